// Shopper: the list of a user or of a history, with its reasons, what filters leave, and two models side by side.

import * as api from "./api.js";
import { bar, count, empty, h, ms, percent, plural, replace, score, show } from "./dom.js";
import { questionForm, somebody, titleOf, titlesOf } from "./question.js";

export const about = "What a shopper would get now, and why. Nothing here is recorded: online figures stay those of real visits.";

export function start(body, parameters) {
  const place = h("div", { class: "lists", "aria-live": "polite" });
  const models = h("div", { class: "inline" });
  const chosen = { left: parameters.get("model") || "", right: parameters.get("other") || "" };
  let form = null, over = false;

  const ask = () => show(place, "the list", async () => {
    const sides = [chosen.left, ...(chosen.right ? [chosen.right] : [])];
    const found = await Promise.all(sides.map((model) =>
      api.post("v1/preview", form.body({ explain: true, return_fields: fields, ...(model ? { model } : {}) }))));
    form.counts(found[0].filters);
    await titlesOf(found.flatMap((each) => each.recommendation.items.flatMap((item) => (item.because || []).map((why) => why.item_id))));
    return found;
  }, draw);

  let fields = [];
  async function prepare() {
    const [loaded, some] = await Promise.all([
      api.get("v1/models", { quiet: true }), api.get("v1/items?limit=5", { quiet: true }).catch(() => ({ items: [] })), somebody()]);
    if (over) return;
    fields = ["title", "name", "price", "brand"].filter((name) => some.items.some((item) => name in item.fields));
    form = questionForm(parameters, ask);
    const pick = (side, label, none) => {
      const id = `model-${side}`;
      return [h("label", { for: id }, label), h("select", { id, onchange: (event) => { chosen[side] = event.target.value; ask(); } },
        none ? h("option", { value: "" }, none) : null,
        loaded.items.map((each) => h("option", { value: each.reference, ...(chosen[side] === each.reference ? { selected: true } : {}) },
          `${each.name} ${each.version.slice(0, 6)}${each.active ? " (active)" : each.candidate ? " (candidate)" : each.previous ? " (before)" : ""}`)))];
    };
    replace(models, pick("left", "Model", "by the traffic split"), pick("right", "beside", loaded.items.length > 1 ? "no other" : "no other is loaded"));
    body.append(form.element, h("section", { class: "card results" }, h("div", { class: "head" }, h("h2", {}, "Next for this shopper"), models), place));
    ask();
  }
  const waiting = h("div", {});
  body.append(waiting);
  show(waiting, "models and users", prepare, () => null).then(() => waiting.firstElementChild || waiting.remove());
  return () => { over = true; };

  function draw(found) {
    const [left, right] = found;
    if (!right) return list(left, null);
    const both = left.recommendation.items.filter((item) => right.recommendation.items.some((each) => each.item_id === item.item_id));
    return h("div", {},
      h("p", { class: "note" }, `${both.length} of ${left.recommendation.items.length} items stand in both lists.`),
      h("div", { class: "two" }, list(left, right), list(right, left)));
  }

  function list(preview, other) {
    const answer = preview.recommendation, items = answer.items;
    const others = other ? new Map(other.recommendation.items.map((each) => [each.item_id, each.rank])) : null;
    const said = answer.fallback === "newcomer" ? "no known event: the most popular items" : answer.fallback ? `a simpler model answered (${answer.fallback})` : answer.exact ? "provably the best list" : answer.exact === false ? "not provably the best list" : "";
    return h("div", { class: "list" },
      other ? h("h3", {}, `${answer.model.name} `, h("code", {}, answer.model.version.slice(0, 6))) : null,
      h("p", { class: "note" }, [`${plural(answer.used_events, "event")} read`, `${count(answer.legal_items)} of ${plural(preview.items, "item")} could stand here`, said, `model ${ms(answer.took_ms.model)}`].filter(Boolean).join(" · ")),
      answer.remarks.map((remark) => h("p", { class: "warn-text" }, remark)),
      answer.unknown_items.length ? h("p", { class: "warn-text" }, `Not in the catalogue: ${answer.unknown_items.join(", ")}`) : null,
      items.length ? null : empty("No item is left.", h("p", {}, "Take a filter away.")),
      h("ol", { class: "ranked" }, items.map((item) => h("li", {},
        h("span", { class: "rank", "aria-hidden": "true" }, item.rank),
        h("div", { class: "what" },
          h("a", { href: `#catalogue?item=${encodeURIComponent(item.item_id)}` }, titleOf(item)),
          h("span", { class: "note" }, [item.fields && item.fields.brand, item.fields && item.fields.price !== undefined ? `${item.fields.price}` : null, `score ${score(item.score)}`].filter(Boolean).join(" · ")),
          others ? moved(item, others.get(item.item_id)) : null,
          reasons(item))))),
      other ? null : h("p", {}, h("a", { href: `#beam?${form.address()}` }, "How the beam search found this list")));
  }

  function moved(item, elsewhere) {
    if (elsewhere === undefined) return h("span", { class: "tag new" }, "not in the other list");
    if (elsewhere === item.rank) return h("span", { class: "tag" }, "same place there");
    return h("span", { class: "tag" }, elsewhere > item.rank ? `▲ ${elsewhere - item.rank} higher here` : `▼ ${item.rank - elsewhere} lower here`);
  }

  function reasons(item) {
    if (!item.because || !item.because.length) return null;
    return h("ul", { class: "because" }, item.because.map((why) => h("li", {},
      bar(why.share, `${percent(why.share)} of the reason`), h("span", { class: "cut" }, "because of ", named(why.item_id)), h("span", { class: "note" }, percent(why.share)))));
  }

  function named(id) {
    const cell = h("em", {}, id);
    titlesOf([id]).then((titles) => (cell.textContent = titles.get(id)));
    return cell;
  }
}
