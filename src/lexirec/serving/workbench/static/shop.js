// The shop front: buy something, and the strip "Next for you" changes, with its reasons. A real client of the service.

import * as api from "./api.js";
import { empty, failed, h, newId, percent, plural, replace, s, say, show } from "./dom.js";

const by = (id) => document.getElementById(id);
const SHOPPER = "lexirec-shopper", BOUGHT = "lexirec-bought";
const titleOf = (item) => (item.fields && (item.fields.title || item.fields.name)) || item.item_id;
const titles = new Map();
let bought = [], cursor = null, strip = null, first = true;

/** This visitor's session: a new one for each browser tab, so that everybody begins with an empty basket. */
function session() {
  let id = sessionStorage.getItem(SHOPPER);
  if (!id) sessionStorage.setItem(SHOPPER, (id = `visitor-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`));
  return id;
}

/** A picture without a picture: two letters on a colour that follows from the item's kind. */
function picture(item) {
  const fields = item.fields || {};
  const kind = String([fields.categories].flat()[0] || fields.brand || item.item_id);
  let hue = 7;
  for (const letter of kind) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  const words = titleOf(item).split(" ").filter((word) => /^\p{L}/u.test(word));
  const shape = s("svg", { class: "goods", viewBox: "0 0 120 80", "aria-hidden": "true" },
    s("rect", { width: 120, height: 80, class: "ground" }), s("circle", { cx: 60, cy: 40, r: 25, class: "disc" }),
    s("text", { x: 60, y: 47, "text-anchor": "middle" }, words.slice(0, 2).map((word) => word[0]).join("").toUpperCase()));
  shape.style.setProperty("--hue", hue);
  return shape;
}

function card(item, { reason = null, from = null } = {}) {
  const fields = item.fields || {}, title = titleOf(item), id = newId("goods");
  titles.set(item.item_id, title);
  return h("article", { class: "goods-card", "aria-labelledby": id }, picture(item),
    h("h3", { id }, title), h("p", { class: "note cut" }, [fields.categories].flat().slice(-1)[0] || fields.brand || ""),
    reason,
    h("p", { class: "buy" }, h("strong", {}, typeof fields.price === "number" ? fields.price.toFixed(2) : ""),
      h("button", { type: "button", class: "main", "aria-label": `Buy ${title}`, onclick: (event) => buy(item, event.target, from) }, "Buy")));
}

async function buy(item, button, from) {
  button.disabled = true;
  try {
    await api.post("v1/events", {
      event_id: crypto.randomUUID ? crypto.randomUUID() : `${session()}-${Date.now()}`, session_id: session(), item_id: item.item_id, type: "purchase",
      ...(from ? { recommendation_id: from.recommendation_id, position: from.position } : {}),
    });
    bought.unshift(item.item_id);
    sessionStorage.setItem(BOUGHT, JSON.stringify(bought.slice(0, 50)));
    say(`You bought “${titleOf(item)}”. What comes next has changed.`);
    drawBought();
    await drawNext();
  } catch (error) {
    say(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

function drawNext() {
  return show(by("next"), "what comes next", () => api.post("v1/recommend", {
    session_id: session(), k: 8, explain: true, scenario: "shop-front", return_fields: strip, timeout_ms: 3000,
  }), (answer) => {
    const newcomer = answer.fallback === "newcomer";
    by("next-title").textContent = newcomer ? "Popular now" : "Next for you";
    by("next-note").textContent = newcomer ? "Buy something, and this strip is yours." : `after ${plural(answer.used_events, "purchase")}, in ${Math.max(1, Math.round(answer.took_ms.total))} ms`;
    if (!answer.items.length) return empty("Nothing is left to recommend.");
    const row = h("div", { class: "strip-row" }, answer.items.map((item) => card(item, { reason: why(item, newcomer), from: { recommendation_id: answer.recommendation_id, position: item.rank } })));
    if (!first) row.classList.add("fresh");
    first = false;
    return row;
  });
}

function why(item, newcomer) {
  if (newcomer) return h("p", { class: "why" }, "bought by many");
  const main = (item.because || [])[0];
  return h("p", { class: "why" }, main ? ["because of ", h("em", {}, titles.get(main.item_id) || main.item_id), ` (${percent(main.share)})`] : "fits what you bought");
}

async function drawBought() {
  const place = by("bought");
  by("anew").hidden = !bought.length;
  if (!bought.length) return void replace(place, h("p", { class: "note" }, "Nothing yet."));
  replace(place, h("ul", { class: "basket" }, bought.map((id) => h("li", {}, titles.get(id) || id))));
}

async function page(start) {
  const found = await api.get(api.query("v1/items", { q: by("q").value.trim(), state: "live", limit: 24, cursor: start ? null : cursor }));
  cursor = found.next_cursor;
  by("more").hidden = cursor === null;
  return found.items;
}

function drawShelf() {
  return show(by("shelf"), "the goods", () => page(true), (items) => items.length
    ? h("div", { class: "shelf" }, items.map((item) => card(item)))
    : empty(`Nothing is called “${by("q").value.trim()}”.`));
}

by("more").addEventListener("click", async () => {
  try {
    by("shelf").querySelector(".shelf").append(...(await page(false)).map((item) => card(item)));
  } catch (error) {
    say(error.message, "bad");
  }
});
by("find").addEventListener("submit", (event) => { event.preventDefault(); drawShelf(); });
let typed = 0;
by("q").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(drawShelf, 200); });
by("anew").addEventListener("click", () => {
  sessionStorage.removeItem(SHOPPER);
  sessionStorage.removeItem(BOUGHT);
  bought = [];
  first = true;
  drawBought();
  drawNext();
});
by("key").addEventListener("click", () => {
  const dialog = by("dialog"), field = h("input", { type: "password", id: "key-field", autocomplete: "off", value: api.key() });
  replace(dialog, h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); api.setKey(field.value.trim()); dialog.close(); begin(); } },
    h("h2", { id: "dialog-title" }, "Key"), h("p", {}, "Needed where the service has keys: one that may read and write. It stays in this tab."),
    h("label", { for: "key-field" }, "Key of the service"), field,
    h("p", { class: "actions" }, h("button", { type: "submit", class: "main" }, "Use"), h("button", { type: "button", onclick: () => dialog.close() }, "Close"))));
  dialog.showModal();
});

async function begin() {
  api.begin("shop");
  try {
    const some = (await api.get("v1/items?limit=5", { quiet: true })).items;
    strip = ["title", "name", "brand", "categories", "price"].filter((name) => some.some((item) => name in item.fields));
    bought = JSON.parse(sessionStorage.getItem(BOUGHT) || "[]");
    if (bought.length) for (const item of (await api.post("v1/items/get", { item_ids: bought }, { quiet: true })).items) titles.set(item.item_id, titleOf(item));
  } catch (error) {
    replace(by("next"), failed(error, begin));
    return;
  }
  drawBought();
  await Promise.all([drawNext(), drawShelf()]);
}
begin();
