// Requests to the service: with the key of this tab, with problems in the service's own words, and kept for "JSON".

const KEY = "lexirec-key";
const calls = [];
const MOST = 30;
let panel = "";

export const key = () => sessionStorage.getItem(KEY) || "";
export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/** Name the panel whose requests are made from now on; what it asks is kept for its JSON. */
export function begin(name) {
  panel = name;
}

/** The newest request of each address that a panel made: `{method, path, body, status, ms, answer}`. */
export function callsOf(name) {
  const seen = new Map();
  for (const call of calls) if (call.panel === name) seen.set(`${call.method} ${call.path.split("?")[0]}`, call);
  return [...seen.values()].reverse();
}

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `The service answered with status ${status}.`);
    this.status = status;
    this.title = body.title ? `${body.title}.` : "";
    this.body = body;
  }
}

// Addresses are relative, so that the pages work below any path of a proxy.
const root = new URL("..", document.baseURI);

export function address(path) {
  return new URL(path.replace(/^\//, ""), root).href;
}

async function send(method, path, body, options = {}) {
  const headers = { accept: "application/json" };
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const started = performance.now();
  const call = { panel: options.panel || panel, method, path, body, status: 0, ms: 0, answer: null };
  let response;
  try {
    response = await fetch(address(path), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: options.signal, cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "The service cannot be reached", detail: "Is it running? Nothing was changed." });
  }
  const text = await response.text();
  let answer;
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    answer = { detail: text.slice(0, 300) };
  }
  Object.assign(call, { status: response.status, ms: performance.now() - started, answer });
  if (!options.quiet) {
    calls.push(call);
    if (calls.length > MOST) calls.shift();
    document.dispatchEvent(new CustomEvent("asked"));
  }
  if (!response.ok && !options.any) throw new Problem(response.status, answer);
  return answer;
}

export const get = (path, options) => send("GET", path, undefined, options);
export const post = (path, body, options) => send("POST", path, body, options);
export const patch = (path, body, options) => send("PATCH", path, body, options);
export const remove = (path, options) => send("DELETE", path, undefined, options);

/** Build an address with those parameters that have a value. */
export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** Wait for a job; `told` hears of it while it runs. */
export async function job(started, told = () => {}) {
  let now = started;
  while (now.state === "running") {
    told(now);
    await new Promise((wake) => setTimeout(wake, 250));
    now = await get(`v1/jobs/${encodeURIComponent(now.job_id)}`);
  }
  if (now.state === "failed") throw new Problem(409, { title: "The job failed", detail: now.problem });
  return now;
}
