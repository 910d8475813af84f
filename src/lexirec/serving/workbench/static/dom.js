// Small helpers: elements, drawings, states of a panel, and long lists of which only what is seen is drawn.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name === "value") node.value = value;
    else if (name === "checked" || name === "disabled" || name === "hidden" || name === "open") node[name] = true;
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Make an element: `h("p", {class: "note"}, "text", child)`. Texts stay texts, so nothing that is shown can be code. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an element of a drawing. */
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function replace(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
}

let unique = 0;
/** An id that no other element has. */
export const newId = (prefix) => `${prefix}-${(unique += 1)}`;

// ------------------------------------------------------------------------------------------------------- numbers

const whole = new Intl.NumberFormat("en");
export const count = (value) => whole.format(value);
export const plural = (value, one, many) => `${count(value)} ${value === 1 ? one : many || one + "s"}`;
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
export const ms = (value) =>
  value === null || value === undefined ? "–" : value < 10 ? `${value.toFixed(1)} ms` : `${count(Math.round(value))} ms`;
export const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const day = (text) => (text ? text.slice(0, 16).replace("T", " ") : "–");

// -------------------------------------------------------------------------------------------------------- states

/** What stands where data is on its way; it appears after a moment only, so that fast answers do not flicker. */
export const loading = (what) => h("p", { class: "state loading", role: "status" }, `Loading ${what} …`);

/** What stands where there is nothing: what is missing, and what to do. */
export const empty = (what, ...advice) => h("div", { class: "state empty" }, h("p", {}, what), ...advice);

/** What stands where a request failed: the service's own words, and a way to try again. */
export function failed(error, again) {
  return h(
    "div",
    { class: "state error", role: "alert" },
    h("p", {}, h("strong", {}, error.title || "This did not work."), " ", error.message),
    error.status === 401 || error.status === 403
      ? h("p", {}, "Enter a key that may do this, with the button “Key” at the top.")
      : null,
    again ? h("button", { type: "button", onclick: again }, "Try again") : null,
  );
}

/** Show what a promise gives in a place, with the states before it and where it fails. */
export async function show(place, what, ask, draw) {
  const turn = (place.turn = (place.turn || 0) + 1);
  if (!place.childElementCount) replace(place, loading(what));
  else place.classList.add("stale");
  place.setAttribute("aria-busy", "true");
  try {
    const found = await ask();
    if (place.turn === turn) replace(place, draw(found));
  } catch (error) {
    if (place.turn === turn && error.name !== "AbortError") {
      replace(place, failed(error, () => show(place, what, ask, draw)));
    }
    if (!("status" in error)) console.error(error);
  } finally {
    if (place.turn === turn) {
      place.removeAttribute("aria-busy");
      place.classList.remove("stale");
    }
  }
}

let speaker = null;
/** Say something to screen readers, and for a few seconds to everybody. */
export function say(text, kind = "note") {
  speaker = speaker || document.getElementById("said");
  speaker.className = `said ${kind}`;
  speaker.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (speaker.textContent = ""), 8000);
}

// --------------------------------------------------------------------------------------------------------- lists

/**
 * A list of any length: only the rows that are seen exist. Arrow keys, Page, Home and End move, Enter chooses.
 *
 * `source(start)` returns a promise of `{rows, more}`: the rows from a place on, and whether others follow.
 */
export function longList({ label, rowHeight, source, draw, choose, nothing }) {
  const base = newId("row");
  const spacer = h("div", { class: "spacer", role: "presentation" });
  const box = h("div", { class: "long-list", role: "listbox", "aria-label": label, tabindex: "0" }, spacer);
  let rows = [], more = true, busy = false, active = -1, turn = 0;

  async function fetchMore() {
    if (busy || !more) return;
    busy = true;
    const mine = turn;
    try {
      const found = await source(rows.length);
      if (mine !== turn) return;
      rows = rows.concat(found.rows);
      more = found.more;
      if (!rows.length) replace(spacer, nothing());
    } catch (error) {
      if (mine !== turn) return;
      more = false;
      replace(spacer, failed(error, restart));
      spacer.style.height = "auto";
      return;
    } finally {
      if (mine === turn) busy = false;
    }
    paint();
  }

  function paint() {
    if (!rows.length) return;
    spacer.style.height = `${rows.length * rowHeight}px`;
    box.style.maxHeight = more ? "" : `${rows.length * rowHeight + 2}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - 4);
    const last = Math.min(rows.length, Math.ceil((box.scrollTop + box.clientHeight) / rowHeight) + 4);
    const seen = [];
    for (let place = first; place < last; place += 1) {
      const row = h(
        "div",
        {
          class: "row", role: "option", id: `${base}-${place}`, "aria-posinset": place + 1,
          "aria-setsize": more ? -1 : rows.length, "aria-selected": place === active ? "true" : "false",
          onclick: () => pick(place),
        },
        draw(rows[place], place),
      );
      row.style.transform = `translateY(${place * rowHeight}px)`;
      row.style.height = `${rowHeight}px`;
      seen.push(row);
    }
    spacer.replaceChildren(...seen);
    if (active >= first && active < last) box.setAttribute("aria-activedescendant", `${base}-${active}`);
    else box.removeAttribute("aria-activedescendant");
    if (more && last > rows.length - 30) fetchMore();
  }

  function move(place) {
    active = Math.max(0, Math.min(rows.length - 1, place));
    const top = active * rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + rowHeight - box.clientHeight;
    paint();
  }

  function pick(place) {
    if (!rows[place]) return;
    move(place);
    choose(rows[place], place);
  }

  function restart() {
    turn += 1;
    rows = [];
    more = true;
    busy = false;
    active = -1;
    box.scrollTop = 0;
    box.removeAttribute("aria-activedescendant");
    spacer.style.height = "auto";
    box.style.maxHeight = "";
    replace(spacer, loading(label.toLowerCase()));
    return fetchMore();
  }

  const page = () => Math.max(1, Math.floor(box.clientHeight / rowHeight) - 1);
  const keys = {
    ArrowDown: () => move(active + 1), ArrowUp: () => move(active - 1),
    PageDown: () => move(active + page()), PageUp: () => move(active - page()),
    Home: () => move(0), End: () => move(rows.length - 1),
    Enter: () => pick(active < 0 ? 0 : active), " ": () => pick(active < 0 ? 0 : active),
  };
  box.addEventListener("keydown", (event) => {
    if (!keys[event.key] || !rows.length) return;
    event.preventDefault();
    keys[event.key]();
  });
  box.addEventListener("scroll", paint, { passive: true });
  new ResizeObserver(paint).observe(box);
  return { element: box, restart, repaint: paint, rows: () => rows, update: (place, row) => { rows[place] = row; paint(); } };
}

/** Call a function once its caller has been silent for a moment. */
export function patient(call, wait = 160) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), wait);
  };
}

// ------------------------------------------------------------------------------------------------------- drawing

/** A spark line of numbers, null for a gap, with its text for those who cannot see it. */
export function spark(values, { label, width = 260, height = 44, format = count } = {}) {
  const known = values.filter((value) => value !== null && value !== undefined);
  const top = Math.max(...known, 0) || 1;
  const x = (place) => (values.length < 2 ? width / 2 : (place / (values.length - 1)) * (width - 4) + 2);
  const y = (value) => height - 3 - (value / top) * (height - 8);
  const parts = [];
  let path = "";
  values.forEach((value, place) => {
    if (value === null || value === undefined) {
      if (path) parts.push(path);
      path = "";
      return;
    }
    path += `${path ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  if (path) parts.push(path);
  const summary = known.length ? `${label}: latest ${format(known[known.length - 1])}, highest ${format(top)}` : `${label}: no data yet`;
  return s(
    "svg",
    { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": summary },
    s("line", { x1: 0, x2: width, y1: height - 3, y2: height - 3, class: "axis" }),
    parts.map((each) => s("path", { d: each, class: "line" })),
    known.length === 1 ? s("circle", { cx: x(values.lastIndexOf(known[0])), cy: y(known[0]), r: 2.5, class: "dot" }) : null,
  );
}

/** A bar of a share of a whole. */
export function bar(share, label) {
  const inner = h("span", { class: "bar-fill" });
  inner.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return h("span", { class: "bar", role: "img", "aria-label": label }, inner);
}
