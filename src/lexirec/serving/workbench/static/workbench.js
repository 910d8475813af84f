// The frame of the workbench: panels by address, keys of the keyboard, the key of the service, JSON of a panel.

import * as api from "./api.js";
import { h, replace, say } from "./dom.js";
import * as overview from "./overview.js";
import * as shopper from "./shopper.js";
import * as catalogue from "./catalogue.js";
import * as tree from "./tree.js";
import * as beam from "./beam.js";
import * as evaluation from "./evaluation.js";
import * as reports from "./reports.js";

const PANELS = [
  ["overview", "Overview", overview], ["shopper", "Shopper", shopper], ["catalogue", "Catalogue", catalogue],
  ["tree", "Identifiers", tree], ["beam", "Beam tree", beam], ["evaluation", "Online evaluation", evaluation],
  ["reports", "Reports", reports],
];
const main = document.getElementById("panel");
const dialog = document.getElementById("dialog");
const links = document.getElementById("panels");
let stop = () => {};
let present = "";

/** Addresses are `#panel?name=value`, so that every view can be linked to. */
function parse() {
  const [name, rest] = location.hash.replace(/^#\/?/, "").split("?");
  return [PANELS.find(([each]) => each === name) || PANELS[0], new URLSearchParams(rest || "")];
}

function open() {
  const [[name, title, module], parameters] = parse();
  stop();
  api.begin(name);
  const body = h("div", { class: `body ${name}` });
  const about = h("p", { class: "about" }, module.about);
  const json = h("button", { type: "button", class: "quiet", onclick: () => showJson(name, title) }, "JSON");
  replace(main, h("div", { class: "head" }, h("h1", {}, title), json), about, body);
  for (const link of links.querySelectorAll("a")) {
    if (link.dataset.panel === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  links.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  document.title = `${title} · lexirec workbench`;
  stop = module.start(body, parameters) || (() => {});
  if (present && present !== name) main.focus({ preventScroll: true });
  if (present !== name) scrollTo(0, 0);
  present = name;
}

// ------------------------------------------------------------------------------------------------------- dialogs

function openDialog(title, ...content) {
  replace(
    dialog,
    h("div", { class: "head" }, h("h2", { id: "dialog-title" }, title),
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close")),
    ...content,
  );
  dialog.showModal();
}

function showJson(name, title) {
  const calls = api.callsOf(name);
  openDialog(
    `JSON of “${title}”`,
    calls.length ? null : h("p", {}, "This panel has not asked the service anything yet."),
    calls.map((call, place) => {
      const text = JSON.stringify(call.answer, null, 2);
      const body = call.body === undefined ? "" : ` -H 'content-type: application/json' -d '${JSON.stringify(call.body).replaceAll("'", "'\\''")}'`;
      const curl = `curl -s${call.method === "GET" || call.body !== undefined ? "" : ` -X ${call.method}`}${api.key() ? " -H \"Authorization: Bearer $KEY\"" : ""} '${api.address(call.path)}'${body}`;
      return h(
        "details", { open: place === 0 },
        h("summary", {}, h("code", {}, `${call.method} /${call.path}`), ` ${call.status}, ${call.ms.toFixed(0)} ms, ${text.length.toLocaleString("en")} characters`),
        h("p", {}, h("button", { type: "button", onclick: () => copy(text) }, "Copy JSON"), " ",
          h("button", { type: "button", onclick: () => copy(curl) }, "Copy as curl")),
        h("pre", { tabindex: "0" }, text.length > 60000 ? `${text.slice(0, 60000)}\n… (copy it to see the rest)` : text),
      );
    }),
  );
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser does not allow copying here; mark the text instead.", "bad");
  }
}

function askKey() {
  const field = h("input", { type: "password", id: "key-field", autocomplete: "off", spellcheck: "false", value: api.key() });
  const form = h(
    "form", { class: "stack", onsubmit: (event) => { event.preventDefault(); use(field.value.trim()); } },
    h("p", {}, "Needed where the service has keys. It stays in this tab and is gone when the tab is closed; it is sent to this service only."),
    h("label", { for: "key-field" }, "Key of the service"), field,
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Use this key"),
      h("button", { type: "button", onclick: () => use("") }, "Use none")),
  );
  const use = (value) => {
    api.setKey(value);
    dialog.close();
    labelKey();
    open();
    say(value ? "The key is used from now on." : "No key is used.");
  };
  openDialog("Key", form);
  field.focus();
}

function labelKey() {
  document.getElementById("key").textContent = api.key() ? "Key: set" : "Key";
}

function showHelp() {
  const row = (keys, what) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, keys)), h("td", {}, what));
  openDialog("Keyboard", h("table", { class: "plain" }, h("tbody", {},
    row("1 … 7", "open a panel"), row("/", "to the search of a panel"), row("j", "JSON of a panel"), row("?", "this help"),
    row("Tab", "to the next control"), row("↑ ↓ Page Home End", "in lists and in the beam tree"), row("Enter", "choose"),
    row("Esc", "close a dialog"))));
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.target.matches("input, textarea, select")) return;
  const number = Number(event.key);
  if (number >= 1 && number <= PANELS.length) location.hash = PANELS[number - 1][0];
  else if (event.key === "/") {
    const field = main.querySelector("input[type=search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
  } else if (event.key === "j") showJson(present, parse()[0][1]);
  else if (event.key === "?") showHelp();
});

for (const [place, [name, title]] of PANELS.entries()) {
  links.append(h("a", { href: `#${name}`, "data-panel": name, title: `${title} (key ${place + 1})` }, title));
}
document.getElementById("key").addEventListener("click", askKey);
document.getElementById("help").addEventListener("click", showHelp);
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
labelKey();
addEventListener("hashchange", open);
open();
