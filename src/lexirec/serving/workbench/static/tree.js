// The tree of identifiers, walked by names: what lies below a word, how pure it is, what collides, where an item sits and why.

import * as api from "./api.js";
import { bar, count, empty, h, longList, newId, percent, plural, replace, show } from "./dom.js";
import { findItems, searchField, titleOf } from "./question.js";

export const about = "The words by which the model spells items. Items below one word should belong together: purity says how far they do.";

export function start(body, parameters) {
  const crumbs = h("nav", { class: "crumbs", "aria-label": "Path in the tree" });
  const facts = h("div", { class: "node-facts", "aria-live": "polite" });
  const children = h("div", { class: "children" });
  const item = h("section", { class: "card detail", "aria-live": "polite" });
  let by = parameters.get("by") || "";

  body.append(
    h("section", { class: "card" }, crumbs, facts, children),
    h("div", {},
      h("section", { class: "card" }, h("h2", {}, "Where an item sits"),
        searchField({
          label: "Find an item", placeholder: "part of a title or an id", find: findItems,
          draw: (row) => [h("span", { class: "cut" }, titleOf(row)), h("span", { class: "note" }, row.item_id)],
          choose: (row, field) => { field.value = ""; openItem(row.item_id); },
          hint: (given) => `No title or id holds “${given}”.`,
        })),
      item));
  replace(item, empty("Choose an item, or a leaf of the tree."));
  openNode(Number(parameters.get("node")) || 0);
  if (parameters.has("item")) openItem(parameters.get("item"));

  function openNode(node, focus = false) {
    return show(facts, "the tree", () => api.get(api.query("v1/identifiers", { node, by, limit: 200 })), (found) => {
      drawCrumbs(found);
      drawChildren(found);
      if (focus) children.querySelector(".long-list").focus();
      return drawNode(found);
    });
  }

  function drawCrumbs(found) {
    const steps = [{ node: 0, word: "all items" }, ...found.path];
    replace(crumbs, h("ol", {}, steps.map((step, place) => h("li", {}, place === steps.length - 1
      ? h("strong", { "aria-current": "location" }, step.word)
      : h("button", { type: "button", class: "link", onclick: () => openNode(step.node, true) }, step.word)))));
  }

  function drawNode(found) {
    const select = h("select", { id: newId("by"), onchange: () => { by = select.value; openNode(found.node); } },
      found.fields.map((name) => h("option", { value: name, ...(name === found.by ? { selected: true } : {}) }, name)));
    return h("div", {},
      h("p", {}, `${plural(found.items, "item")}, word ${found.depth} of at most ${found.longest}; `,
        found.collisions ? `${plural(found.collisions, "collision")}: told apart by a number only.` : "no collisions."),
      h("ul", { class: "purity" }, found.purity.map((each) => h("li", {}, bar(each.share, percent(each.share)),
        h("span", {}, h("strong", {}, percent(each.share)), ` have ${each.field} “${each.value}”`, h("span", { class: "note" }, ` (${percent(each.elsewhere)} of all items)`))))),
      found.examples.length > 1 ? h("details", {}, h("summary", {}, "Examples"), h("ul", {}, found.examples.map((each) => h("li", {}, itemLink(each))))) : null,
      found.fields.length ? h("p", { class: "inline" }, h("label", { for: select.id }, "Purity by"), select) : null);
  }

  function drawChildren(found) {
    let cursor = found.next_cursor;
    const list = longList({
      label: found.depth ? `Below ${found.path[found.path.length - 1].word}` : "First words", rowHeight: 52,
      source: async (begin) => {
        if (!begin) return { rows: found.children, more: cursor !== null };
        const next = await api.get(api.query("v1/identifiers", { node: found.node, by, limit: 200, cursor }), { quiet: true });
        cursor = next.next_cursor;
        return { rows: next.children, more: cursor !== null };
      },
      draw: (child) => [
        h("span", { class: "cut" }, h("strong", {}, child.word), child.item_id ? ` → ${child.title}` : ` · ${plural(child.items, "item")}`),
        h("span", { class: "note cut" }, child.item_id ? child.item_id : [child.purity === null ? null : `${percent(child.purity)} ${child.value}`, child.collisions ? plural(child.collisions, "collision") : null].filter(Boolean).join(" · ")),
        child.item_id || child.purity === null ? null : bar(child.purity, `${percent(child.purity)} ${child.value}`)],
      choose: (child) => (child.item_id ? openItem(child.item_id) : openNode(child.node, true)),
      nothing: () => empty("Nothing lies below: an item ends here."),
    });
    replace(children, list.element);
    list.restart();
  }

  function openItem(id) {
    show(item, "the item", async () => {
      const [place, near] = await Promise.all([
        api.get(`v1/identifiers/${encodeURIComponent(id)}`),
        api.post("v1/similar", { item_id: id, k: 8, return_fields: ["title"] }).catch(() => null)]);
      return { place, near };
    }, ({ place, near }) => h("div", {},
      h("h2", {}, place.title), h("p", { class: "note" }, h("code", {}, place.item_id)),
      h("ol", { class: "words" }, place.words.map((word) => h("li", {},
        h("button", { type: "button", class: "link", onclick: () => openNode(word.node, true) }, word.word),
        h("span", {}, word.found_in.length ? ` stands in its ${word.found_in.join(" and ")}` : " stands in none of its texts", "; ",
          h("span", { class: "note" }, `${plural(word.items, "item")} here, ${percent(word.share)} of them have the word, ${plural(word.siblings, "other word")} beside it`))))),
      place.collides_with.length ? [h("h3", {}, "Has the same words"), h("ul", {}, place.collides_with.map((each) => h("li", {}, itemLink(each))))] : null,
      h("div", { class: "two" },
        h("div", {}, h("h3", {}, "Closest in the tree"), place.closest.length ? h("ul", {}, place.closest.slice(0, 8).map((each) => h("li", {}, itemLink(each)))) : h("p", {}, "None.")),
        h("div", {}, h("h3", {}, near ? `Neighbours by ${near.by}` : "Neighbours"), near && near.items.length ? h("ul", {}, near.items.map((each) => h("li", {}, itemLink({ item_id: each.item_id, title: titleOf(each) })))) : h("p", {}, "Nothing compares items here."))),
      h("p", {}, h("a", { href: `#catalogue?item=${encodeURIComponent(id)}` }, "Its facts"))));
  }

  function itemLink(each) {
    return h("button", { type: "button", class: "link", onclick: () => openItem(each.item_id) }, each.title);
  }
}
