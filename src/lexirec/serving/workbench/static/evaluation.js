// Online evaluation: whether what is shown is taken, by variant and day, with intervals; no winner below what the sample can show.

import * as api from "./api.js";
import { count, day, empty, h, newId, percent, plural, s, show, spark } from "./dom.js";

export const about = "Whether what was shown was taken, by variant. Intervals of 95 % come from resampling users.";
const NAMES = { ctr: "Clicked lists", mrr: "MRR of clicks", fallback_share: "Fallbacks", coverage: "Catalogue shown", new_item_share: "New items" };
const SHOWN_APART = new Set(["variant", "days", "impressions", "users", "hits", "inferred", "items_shown", "conversions"]);

export function start(body, parameters) {
  const days = h("select", { id: newId("days"), onchange: () => ask() }, [1, 7, 30, 90].map((value) => h("option", { value, ...(value === (Number(parameters.get("days")) || 7) ? { selected: true } : {}) }, value === 1 ? "1 day" : `${value} days`)));
  const k = h("select", { id: newId("k"), onchange: () => ask() }, [1, 3, 5, 10, 20].map((value) => h("option", { value, ...(value === (Number(parameters.get("k")) || 10) ? { selected: true } : {}) }, `first ${value}`)));
  const place = h("div", { "aria-live": "polite" });
  body.append(h("p", { class: "inline" }, h("label", { for: days.id }, "Last"), days, h("label", { for: k.id }, "Places"), k, h("button", { type: "button", onclick: () => ask() }, "Compute again")), place);
  const ask = () => show(place, "figures", () => api.get(api.query("v1/evaluation", { days: days.value, k: k.value })), draw);
  ask();
}

const isFigure = (value) => value !== null && typeof value === "object" && typeof value.value === "number";
const nameOf = (name) => NAMES[name] || name.replaceAll("_", " ").replace(/^conversion:/, "Converted: ");

/** All figures of a variant by name, also those that this page does not know yet. */
function figuresOf(variant) {
  const found = new Map();
  for (const [name, value] of Object.entries(variant)) {
    if (SHOWN_APART.has(name)) continue;
    if (isFigure(value)) found.set(name, value);
    else if (typeof value === "number") found.set(name, { value });
  }
  for (const [type, value] of Object.entries(variant.conversions || {})) if (isFigure(value)) found.set(`conversion:${type}`, value);
  return found;
}

function draw(found) {
  const variants = found.variants || [];
  const remarks = (found.remarks || []).map((each) => h("p", { class: "note" }, each));
  if (!variants.length) {
    return empty("No list was recorded in this time.", h("p", {}, "Lists are recorded when shoppers ask for them by ", h("code", {}, "/v1/recommend"), "; send ", h("code", {}, "recommendation_id"), " with the events that follow. The ", h("a", { href: "../shop/" }, "shop"), " does so."), ...remarks);
  }
  const names = [...new Set(variants.flatMap((each) => [...figuresOf(each).keys()]))];
  return h("div", {},
    h("p", { class: "note" }, `${day(found.since)} to ${day(found.until)} UTC, lists of ${percent(found.recorded_share ?? 1)} of the users; clicks are ${found.clicks ? found.clicks.join(", ") : "all events but those that forbid an item"}.`),
    h("section", { class: "card" }, h("h2", {}, "By variant"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures by variant" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "figure"), variants.map((each) => h("th", { scope: "col" }, each.variant)))),
        h("tbody", {},
          row("Lists", variants, (each) => count(each.impressions ?? 0)), row("Users", variants, (each) => count(each.users ?? 0)),
          row("Events that came of them", variants, (each) => `${count(each.hits ?? 0)}${each.inferred ? `, ${count(each.inferred)} inferred` : ""}`),
          names.map((name) => {
            const figures = variants.map((each) => figuresOf(each).get(name));
            const top = Math.max(...figures.filter(Boolean).map((each) => each.high ?? each.value), 1e-9);
            return row(nameOf(name), figures, (figure) => (figure ? [text(name, figure), interval(figure, top)] : "–"));
          }))))),
    h("section", { class: "card" }, h("h2", {}, "Candidate against active"), differences(found.differences)),
    h("section", { class: "card" }, h("h2", {}, "By day"), variants.map((each) => byDay(each))), ...remarks);
}

const row = (name, values, cell) => h("tr", {}, h("th", { scope: "row" }, name), values.map((each) => h("td", {}, cell(each))));
const text = (name, figure) => (name === "mrr" ? figure.value.toFixed(3) : Math.abs(figure.value) <= 1 ? percent(figure.value, 1) : count(figure.value));

function interval(figure, top) {
  if (figure.low === null || figure.low === undefined) return null;
  const x = (value) => 2 + 116 * Math.max(0, Math.min(1, value / top));
  return s("svg", { class: "interval", viewBox: "0 0 120 12", width: 120, height: 12, role: "img", "aria-label": `95 % interval from ${figure.low.toFixed(3)} to ${figure.high.toFixed(3)}` },
    s("line", { class: "axis", x1: 2, x2: 118, y1: 6, y2: 6 }), s("line", { class: "range", x1: x(figure.low), x2: x(figure.high), y1: 6, y2: 6 }), s("circle", { class: "dot", cx: x(figure.value), cy: 6, r: 3.5 }));
}

function differences(found) {
  if (!found || !found.length) return h("p", { class: "note" }, "There is nothing to compare: only one variant has lists of two users or more. [traffic] in the settings of the service splits the users.");
  const words = { above: ["The candidate is better", "good"], below: ["The candidate is worse", "bad"], open: ["Open", ""] };
  const size = (value) => (typeof value === "number" ? `± ${value.toFixed(4)}` : "–");
  const lean = (each) => `${each.value > 0 ? "+" : ""}${each.value.toFixed(4)}`;
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences" }, h("table", {},
    h("thead", {}, h("tr", {}, ["figure", "difference", "95 % interval", "a verdict needs", "found in 80 % from", "verdict"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, found.map((each) => h("tr", {}, h("th", { scope: "row" }, nameOf(each.metric)), h("td", { class: "number" }, lean(each)),
      h("td", { class: "number" }, `${each.low.toFixed(4)} … ${each.high.toFixed(4)}`), h("td", { class: "number" }, size(each.smallest_difference)), h("td", { class: "number" }, size(each.detectable_difference)),
      h("td", {}, h("span", { class: `tag ${(words[each.verdict] || ["", ""])[1]}` }, (words[each.verdict] || [each.verdict])[0])))))));
}

function byDay(variant) {
  const days = variant.days || [];
  if (!days.length) return null;
  const clicks = days.map((each) => (isFigure(each.ctr) ? each.ctr.value : null));
  return h("div", { class: "by-day" }, h("h3", {}, variant.variant),
    h("div", { class: "tiles" },
      h("div", { class: "tile" }, h("h4", {}, "Lists"), h("p", { class: "figure" }, count(days[days.length - 1].impressions)), spark(days.map((each) => each.impressions), { label: "Lists by day" })),
      h("div", { class: "tile" }, h("h4", {}, "Clicked lists"), h("p", { class: "figure" }, clicks[clicks.length - 1] === null ? "–" : percent(clicks[clicks.length - 1], 1)), spark(clicks, { label: "Share of clicked lists by day", format: (value) => percent(value, 1) }))),
    h("p", { class: "note" }, `${days[0].day} to ${days[days.length - 1].day}, ${plural(days.length, "day")} with lists`));
}
