// Catalogue: search, look at and change facts, hide; what is staged; versions, how they differ, publish, roll back.

import * as api from "./api.js";
import { count, day, duration, empty, h, longList, newId, patient, plural, replace, say, show } from "./dom.js";
import { titleOf, titlesOf } from "./question.js";

export const about = "What can be recommended. Prices, stock and hiding act with the next request; new items and texts with the next version.";
const STATES = [["", "all"], ["live", "live"], ["staged", "staged"], ["hidden", "hidden"], ["removed", "removed"]];

export function start(body, parameters) {
  const detail = h("section", { class: "card detail", "aria-live": "polite" }, empty("Choose an item to see its facts."));
  const versions = h("section", { class: "card" });
  const field = h("input", { type: "search", id: newId("q"), placeholder: "part of a title or an id", autocomplete: "off", spellcheck: "false" });
  const state = h("select", { id: newId("state") }, STATES.map(([value, text]) => h("option", { value }, text)));
  let cursor = null;
  const list = longList({
    label: "Items", rowHeight: 56,
    source: async (begin) => {
      const found = await api.get(api.query("v1/items", { q: field.value.trim(), state: state.value, limit: 100, cursor: begin ? cursor : null }));
      cursor = found.next_cursor;
      return { rows: found.items, more: cursor !== null };
    },
    draw: (item) => [h("span", { class: "cut" }, titleOf(item)), h("span", { class: "note cut" },
      h("span", { class: `tag ${item.state}` }, item.state), ` ${item.item_id}`, item.state === "live" && !item.available ? " · not now" : "")],
    choose: (item, place) => openItem(item.item_id, place),
    nothing: () => empty(field.value.trim() ? `No item's title or id holds “${field.value.trim()}”.` : `No item is ${state.value || "here"}.`),
  });
  field.addEventListener("input", patient(list.restart));
  state.addEventListener("change", () => list.restart());
  body.append(
    h("section", { class: "card" },
      h("form", { class: "inline", role: "search", onsubmit: (event) => { event.preventDefault(); list.restart(); } },
        h("label", { for: field.id }, "Find"), field, h("label", { for: state.id }, "State"), state),
      list.element),
    detail, versions);
  list.restart();
  drawVersions();
  if (parameters.has("item")) openItem(parameters.get("item"), -1);

  // -------------------------------------------------------------------------------------------------- one item

  function openItem(id, place) {
    show(detail, "the item", () => api.get(`v1/items/${encodeURIComponent(id)}`), (item) => drawItem(item, place));
  }

  function drawItem(item, place) {
    const changed = async (send, said) => {
      try {
        const now = await send();
        if (place >= 0 && now.item_id) list.update(place, now);
        say(said);
        openItem(item.item_id, place);
        drawVersions();
      } catch (error) {
        say(error.message, "bad");
      }
    };
    const path = `v1/items/${encodeURIComponent(item.item_id)}`;
    const gone = item.state === "removed" || item.state === "staged";
    return h("div", {},
      h("div", { class: "head" }, h("h2", {}, titleOf(item)), h("span", { class: `tag ${item.state}` }, item.state)),
      h("p", { class: "actions" },
        gone ? null : h("button", { type: "button", class: item.state === "hidden" ? "main" : "", onclick: () => changed(() => api.patch(path, { hidden: item.state !== "hidden" }), item.state === "hidden" ? "It is shown again from the next request on." : "It is hidden from the next request on.") }, item.state === "hidden" ? "Show again" : "Hide"),
        gone ? null : h("button", { type: "button", class: "danger", onclick: (event) => sure(event.target, () => changed(() => api.remove(path), "It is hidden now, and leaves with the next version.")) }, "Remove"),
        h("a", { class: "button quiet", href: `#tree?item=${encodeURIComponent(item.item_id)}` }, "In the tree"),
        h("a", { class: "button quiet", href: `#shopper?history=${encodeURIComponent(item.item_id)}` }, "What follows it")),
      h("dl", { class: "facts" }, h("dt", {}, "item_id"), h("dd", {}, h("code", {}, item.item_id)),
        Object.entries(item.fields).map(([name, value]) => [h("dt", {}, name), h("dd", {}, edit(name, value))])),
      addField());

    function edit(name, value) {
      const shown = Array.isArray(value) ? value.join(" › ") : String(value);
      if (typeof value !== "number" && typeof value !== "string" && typeof value !== "boolean") return shown;
      if (gone) return shown;
      const input = h("input", { type: typeof value === "number" ? "number" : "text", step: "any", value: shown, "aria-label": name, class: shown.length > 40 ? "wide" : "" });
      const save = h("button", { type: "submit", hidden: true }, "Save");
      input.addEventListener("input", () => { save.hidden = input.value === shown; });
      return h("form", { class: "inline fact", onsubmit: (event) => {
        event.preventDefault();
        const given = typeof value === "number" ? Number(input.value) : typeof value === "boolean" ? input.value === "true" : input.value;
        changed(() => api.patch(path, { fields: { [name]: given } }), `${name} is saved.`);
      } }, input, save);
    }

    function addField() {
      if (gone) return null;
      const name = h("input", { type: "text", "aria-label": "Name of a new fact", placeholder: "stock", spellcheck: "false" });
      const value = h("input", { type: "text", "aria-label": "Its value", placeholder: "12" });
      return h("form", { class: "inline fact", onsubmit: (event) => {
        event.preventDefault();
        const text = value.value.trim();
        if (!name.value.trim() || !text) return;
        const given = text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
        changed(() => api.patch(path, { fields: { [name.value.trim()]: given } }), `${name.value.trim()} is saved.`);
      } }, h("span", { class: "note" }, "Another fact"), name, value, h("button", { type: "submit" }, "Save"));
    }
  }

  /** Ask once more before something that cannot be taken back with a click. */
  function sure(button, act) {
    if (button.dataset.sure) return void act();
    button.dataset.sure = "1";
    const before = button.textContent;
    button.textContent = "Really?";
    setTimeout(() => { delete button.dataset.sure; button.textContent = before; }, 4000);
  }

  // -------------------------------------------------------------------------------------------------- versions

  function drawVersions() {
    show(versions, "versions", async () => {
      const [now, kept, staged] = await Promise.all([api.get("v1/catalog"), api.get("v1/catalog/versions"), api.get("v1/items?state=staged&limit=20")]);
      return { now, kept: kept.items, staged: staged.items };
    }, ({ now, kept, staged }) => {
      const diff = h("div", { class: "diff", "aria-live": "polite" });
      const publish = h("button", { type: "button", class: "main", disabled: !now.staged, onclick: () => run(publish, async () => {
        const done = await api.job(await api.post("v1/catalog/publish", undefined), (job) => say(`Publishing, ${duration(job.seconds)} so far …`));
        say(`Version ${done.result && done.result.version !== undefined ? done.result.version : "new"} answers now.`);
      }) }, "Publish");
      return h("div", {},
        h("div", { class: "head" }, h("h2", {}, `Version ${now.version} answers`), publish),
        h("p", {}, now.staged ? `${plural(now.staged, "change")} staged, waiting for ${duration(now.lag_seconds)}.` : "Nothing is staged.",
          now.next_publish_seconds !== null ? ` The next version comes by itself in ${duration(now.next_publish_seconds)}.` : ""),
        now.last_problem ? h("p", { class: "warn-text" }, `The last publish failed: ${now.last_problem}`) : null,
        staged.length ? h("ul", { class: "staged" }, staged.map((item) => h("li", {}, h("span", { class: "tag staged" }, "new"), " ", titleOf(item), " ", h("code", {}, item.item_id)))) : null,
        addItem(),
        h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Versions" }, h("table", {},
          h("thead", {}, h("tr", {}, ["version", "made", "items", ""].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, kept.slice().reverse().map((each) => h("tr", { class: each.active ? "active" : "" },
            h("th", { scope: "row" }, each.version, each.active ? h("span", { class: "tag live" }, "answers") : null),
            h("td", {}, each.created ? day(each.created) : "with the training"),
            h("td", {}, Object.entries(each.counts).map(([name, value]) => `${count(value)} ${name}`).join(", ") || "–"),
            h("td", {}, h("div", { class: "actions" },
              each.parent === null ? null : h("button", { type: "button", class: "quiet", onclick: () => drawDiff(diff, each.parent, each.version) }, "Changes"),
              each.active ? null : h("button", { type: "button", onclick: (event) => sure(event.target, () => run(event.target, async () => {
                await api.post("v1/catalog/rollback", { version: each.version });
                say(`Version ${each.version} answers now.`);
              })) }, "Let it answer")))))))),
        diff);
    });
  }

  async function run(button, act) {
    button.disabled = true;
    try {
      await act();
      list.restart();
    } catch (error) {
      say(error.message, "bad");
    }
    drawVersions();
  }

  function addItem() {
    const id = h("input", { type: "text", id: newId("id"), spellcheck: "false", autocomplete: "off", maxlength: "256" });
    const title = h("input", { type: "text", id: newId("title"), autocomplete: "off" });
    return h("details", {}, h("summary", {}, "Stage a new item"),
      h("form", { class: "stack", onsubmit: async (event) => {
        event.preventDefault();
        try {
          const done = await api.post("v1/items", { items: [{ item_id: id.value.trim(), title: title.value.trim() }] });
          say(done.added ? "It is staged; publish makes it a version." : "The item was there; its text is staged.");
          drawVersions();
          list.restart();
        } catch (error) {
          say(error.message, "bad");
        }
      } }, h("label", { for: id.id }, "Id"), id, h("label", { for: title.id }, "Title"), title, h("p", { class: "actions" }, h("button", { type: "submit" }, "Stage"))));
  }

  function drawDiff(place, from, to) {
    show(place, "the difference", async () => {
      const found = await api.get(api.query("v1/catalog/diff", { from, to }));
      const names = await titlesOf([...found.added, ...found.removed, ...found.renamed, ...found.moved_identifiers].slice(0, 200));
      return { found, names };
    }, ({ found, names }) => {
      const part = (label, ids) => ids.length ? [h("h4", {}, `${plural(ids.length, "item")} ${label}`), h("ul", {}, ids.slice(0, 50).map((id) => h("li", {}, names.get(id) || id)), ids.length > 50 ? h("li", { class: "note" }, `and ${count(ids.length - 50)} more`) : null)] : null;
      const parts = [part("added", found.added), part("removed", found.removed), part("with other texts", found.renamed), part("with another identifier", found.moved_identifiers)].filter(Boolean);
      return h("div", {}, h("h3", {}, `From version ${from} to ${to}`), parts.length ? parts : h("p", {}, "Nothing differs."));
    });
  }
}
