// Who is asked for, and under which rules: a user or a history built by search, filters, places. Shopper and beam tree share it.

import * as api from "./api.js";
import { count, empty, h, longList, newId, patient, plural, replace, say } from "./dom.js";

/** What was asked last, so that a list can be looked at in the beam tree, and the other way round. */
const asked = { user: "", history: [], allow: [], deny: [], k: 10, seen: true };

export const titleOf = (item) => (item.fields && (item.fields.title || item.fields.name)) || item.title || item.item_id;
const titles = new Map();

/** Return the titles of items by id, asking only for those that are not known yet. */
export async function titlesOf(ids) {
  const missing = [...new Set(ids)].filter((id) => !titles.has(id));
  if (missing.length) {
    try {
      const found = await api.post("v1/items/get", { item_ids: missing.slice(0, 1000) }, { quiet: true });
      for (const item of found.items) titles.set(item.item_id, titleOf(item));
    } catch {
      /* a service of a folder has no items to ask for: their ids stand for them */
    }
    for (const id of missing) if (!titles.has(id)) titles.set(id, id);
  }
  return titles;
}

/** A search field with the found things below it; `find(text)` returns `{rows, more}`. */
export function searchField({ label, placeholder, find, draw, choose, hint }) {
  const id = newId("search"), list = newId("found");
  const box = h("div", { class: "options", role: "listbox", id: list, "aria-label": label, hidden: true });
  const field = h("input", {
    type: "search", id, placeholder, autocomplete: "off", spellcheck: "false", role: "combobox", "aria-expanded": "false",
    "aria-controls": list, "aria-autocomplete": "list",
  });
  let rows = [], active = -1, turn = 0, stale = false;

  const close = () => { box.hidden = true; field.setAttribute("aria-expanded", "false"); field.removeAttribute("aria-activedescendant"); };
  function paint() {
    replace(box, rows.length
      ? rows.map((row, place) => h("div", {
          class: "option", role: "option", id: `${list}-${place}`, "aria-selected": place === active ? "true" : "false",
          onmousedown: (event) => { event.preventDefault(); pick(place); },
        }, draw(row)))
      : h("div", { class: "option none", role: "option", "aria-disabled": "true", "aria-selected": "false" }, hint(field.value.trim())));
    box.hidden = false;
    field.setAttribute("aria-expanded", "true");
    if (active >= 0) {
      field.setAttribute("aria-activedescendant", `${list}-${active}`);
      box.children[active].scrollIntoView({ block: "nearest" });
    } else field.removeAttribute("aria-activedescendant");
  }
  const search = async () => {
    const mine = (turn += 1);
    stale = false;
    try {
      const found = await find(field.value.trim());
      if (mine !== turn || document.activeElement !== field) return;
      rows = found;
      active = -1;
      paint();
    } catch (error) {
      if (mine === turn) say(error.message, "bad");
    }
  };
  const soon = patient(() => { if (stale) search(); }, 120);
  function pick(place) {
    const row = rows[place];
    if (row === undefined) return;
    close();
    choose(row, field);
  }
  field.addEventListener("input", () => { stale = true; soon(); });
  field.addEventListener("focus", search);
  field.addEventListener("blur", close);
  async function act(name) {
    if (box.hidden || stale) await search(); // what is listed belongs to an earlier text: keys are faster than answers
    if (name === "Enter") {
      if (rows.length && (active >= 0 || field.value.trim())) pick(Math.max(active, 0));
      return;
    }
    active = Math.max(-1, Math.min(rows.length - 1, active + (name === "ArrowDown" ? 1 : -1)));
    paint();
  }
  let last = Promise.resolve();
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (!["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) return;
    event.preventDefault();
    last = last.then(() => act(event.key));
  });
  return h("div", { class: "search" }, h("label", { for: id }, label), field, box);
}

export const findItems = async (text) => (await api.get(api.query("v1/items", { q: text, limit: 12 }), { quiet: true })).items;
const findUsers = async (text) => (await api.get(api.query("v1/users", { q: text, limit: 12 }), { quiet: true })).items;

/** The form; `changed()` hears of every change. */
export function questionForm(parameters, changed) {
  if (parameters.has("user")) { asked.user = parameters.get("user"); asked.history = []; }
  if (parameters.has("history")) { asked.user = ""; asked.history = parameters.get("history").split(",").filter(Boolean); }
  const who = h("div", { class: "who" }), chips = h("div", { class: "chips" }), events = h("div", { class: "events" });
  const filters = h("ul", { class: "filters" });

  function drawWho() {
    replace(who, asked.user
      ? h("p", { class: "chosen" }, h("span", {}, "User ", h("strong", {}, asked.user)), h("button", { type: "button", class: "quiet", onclick: () => setUser("") }, "Let go"))
      : h("p", { class: "note" }, "No user: a newcomer, or the history below alone."));
    replace(chips, asked.history.map((id, place) => h("span", { class: "chip" }, titles.get(id) || id,
      h("button", { type: "button", "aria-label": `Remove ${titles.get(id) || id}`, onclick: () => { asked.history.splice(place, 1); drawWho(); changed(); } }, "×"))));
    drawEvents();
  }

  function drawEvents() {
    if (!asked.user) return void replace(events);
    let cursor = null;
    const user = asked.user;
    const list = longList({
      label: `Stored events of ${user}`, rowHeight: 40,
      source: async (start) => {
        const found = await api.get(api.query(`v1/users/${encodeURIComponent(user)}/events`, { limit: 100, cursor: start ? cursor : null }));
        cursor = found.next_cursor;
        await titlesOf(found.events.map((each) => each.item_id));
        return { rows: found.events, more: cursor !== null };
      },
      draw: (event) => [h("span", { class: "cut" }, titles.get(event.item_id)), h("span", { class: "note" }, `${event.type}, ${event.time.slice(0, 10)}`)],
      choose: (event) => { location.hash = `catalogue?item=${encodeURIComponent(event.item_id)}`; },
      nothing: () => empty("This user has no events yet."),
    });
    list.element.classList.add("short");
    replace(events, h("details", {}, h("summary", { onclick: () => { if (!list.rows().length) list.restart(); } }, `Stored events of ${user}`), list.element));
  }

  function setUser(user) {
    asked.user = user;
    drawWho();
    changed();
  }

  function drawFilters(counts = []) {
    const rows = [...asked.allow.map((text) => ["allow", text]), ...asked.deny.map((text) => ["deny", text])];
    replace(filters, rows.map(([kind, text]) => {
      const found = counts.find((each) => each.kind === kind && each.filter === text);
      return h("li", {}, h("span", { class: `tag ${kind}` }, kind === "allow" ? "only" : "never"), h("code", {}, text),
        h("span", { class: "note" }, found ? `${plural(found.alone, "item")} alone, ${count(found.left)} with those before` : ""),
        h("button", { type: "button", class: "quiet", "aria-label": `Remove the filter ${text}`, onclick: () => { asked[kind] = asked[kind].filter((each) => each !== text); drawFilters(); changed(); } }, "×"));
    }));
  }

  const kind = h("select", { id: newId("kind"), "aria-label": "Kind of filter" }, h("option", { value: "allow" }, "only"), h("option", { value: "deny" }, "never"));
  const text = h("input", { type: "text", id: newId("filter"), placeholder: "price<20", spellcheck: "false", autocomplete: "off", maxlength: "256" });
  const addFilter = (event) => {
    event.preventDefault();
    const given = text.value.trim();
    if (!given || asked[kind.value].includes(given)) return;
    asked[kind.value].push(given);
    text.value = "";
    drawFilters();
    changed();
  };
  const k = h("input", { type: "number", id: newId("k"), min: "1", max: "50", value: String(asked.k), onchange: () => { asked.k = Math.max(1, Math.min(50, Number(k.value) || 10)); k.value = asked.k; changed(); } });
  const seen = h("input", { type: "checkbox", id: newId("seen"), checked: asked.seen, onchange: () => { asked.seen = seen.checked; changed(); } });

  const element = h("div", { class: "question" },
    h("section", { class: "card" }, h("h2", {}, "For whom"),
      searchField({
        label: "Find a user", placeholder: "first letters of an id", find: findUsers,
        draw: (user) => [h("span", { class: "cut" }, user.user_id), h("span", { class: "note" }, plural(user.events, "event"))],
        choose: (user, field) => { field.value = ""; setUser(user.user_id); },
        hint: (given) => given ? `No user's id begins with “${given}”.` : "There is no user yet; they come with their first event.",
      }),
      who,
      searchField({
        label: "Add an item to the history", placeholder: "part of a title or an id", find: findItems,
        draw: (item) => [h("span", { class: "cut" }, titleOf(item)), h("span", { class: "note" }, item.item_id)],
        choose: (item, field) => { field.value = ""; titles.set(item.item_id, titleOf(item)); asked.history.push(item.item_id); drawWho(); changed(); },
        hint: (given) => `No title or id holds “${given}”.`,
      }),
      chips, asked.history.length ? null : null, events),
    h("section", { class: "card" }, h("h2", {}, "Under which rules"),
      h("form", { class: "inline", onsubmit: addFilter }, h("label", { for: text.id }, "Filter"), kind, text, h("button", { type: "submit" }, "Add")),
      filters,
      h("p", { class: "inline" }, h("label", { for: k.id }, "Places"), k, h("label", { class: "check", for: seen.id }, seen, "leave out seen items"))),
  );
  titlesOf(asked.history).then(drawWho);
  drawWho();
  drawFilters();

  return {
    element,
    /** The body of the request. */
    body: (more = {}) => ({
      ...(asked.user ? { user_id: asked.user } : {}), ...(asked.history.length ? { history: asked.history } : {}), k: asked.k,
      exclude_seen: asked.seen, allow: asked.allow, deny: asked.deny, timeout_ms: 10000, ...more,
    }),
    counts: drawFilters,
    /** Parameters of an address that asks the same. */
    address: () => new URLSearchParams(asked.user ? { user: asked.user } : asked.history.length ? { history: asked.history.join(",") } : {}).toString(),
    anybody: () => Boolean(asked.user || asked.history.length),
  };
}

/** Choose the first user, so that a panel shows something at once. */
export async function somebody() {
  if (asked.user || asked.history.length) return;
  const users = (await api.get("v1/users?limit=1", { quiet: true })).items;
  if (users.length) asked.user = users[0].user_id;
}
