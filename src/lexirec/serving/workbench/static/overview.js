// Overview: whether the service is ready, what answers, how fast, how often a simpler model, and how far the catalogue lags.

import * as api from "./api.js";
import { count, duration, h, ms, percent, plural, show, spark } from "./dom.js";

export const about = "How this process is: what answers, how fast, and whether anything needs a look.";
const EVERY = 5000;

export function start(body) {
  const place = h("div", {});
  body.append(place);
  let timer = 0, over = false;
  const turn = async () => {
    await show(place, "the overview", () => api.get("v1/overview"), draw);
    if (!over) timer = setTimeout(turn, document.hidden ? 4 * EVERY : EVERY);
  };
  turn();
  return () => { over = true; clearTimeout(timer); };
}

function tile(name, value, note, state = "", line = null) {
  return h("section", { class: `tile ${state}` }, h("h2", {}, name), h("p", { class: "figure" }, value), h("p", { class: "note" }, note), line);
}

function draw(found) {
  const { ready, model, catalog, intervals } = found;
  const broken = Object.entries(ready.parts).filter(([, part]) => !part.ok);
  const share = found.fallback_share;
  // newcomers are to get popular items; what counts is how often the model did not answer those whom it knows
  const unwanted = Object.entries(found.fallbacks).reduce((sum, [why, many]) => sum + (why === "newcomer" ? 0 : many), 0) / Math.max(found.lists, 1);
  const line = (name, values, format) => spark(values, { label: name, format });
  const rate = intervals.map((each) => each.lists / found.interval_seconds);
  const fallbacks = Object.entries(found.fallbacks).map(([why, many]) => `${many} ${why}`).join(", ");
  return h("div", {},
    h("div", { class: "tiles" },
      tile("Ready", { ok: "Yes", degraded: "Yes, but", failing: "No" }[ready.status],
        broken.length ? broken.map(([name, part]) => `${name}: ${part.detail}`).join("; ")
          : ready.degraded.length ? `does not work: ${ready.degraded.join(", ")}` : `all ${Object.keys(ready.parts).length} parts answer; up for ${duration(found.seconds_since_start)}`,
        { ok: "good", degraded: "warn", failing: "bad" }[ready.status]),
      tile("Half of the lists within", ms(found.p50), "p50 of the last quarter of an hour", "", line("p50 in ms", intervals.map((each) => each.p50), ms)),
      tile("99 of 100 within", ms(found.p99), "p99 of the last quarter of an hour", "", line("p99 in ms", intervals.map((each) => each.p99), ms)),
      tile("Lists", count(found.lists), `${plural(found.waiting, "request")} waiting now`, "", line("Lists a second", rate, (value) => value.toFixed(1))),
      tile("Fallbacks", percent(share, share && share < 0.1 ? 1 : 0), fallbacks || "the model answered every list", unwanted > 0.02 ? "warn" : "", line("Fallbacks", intervals.map((each) => each.fallbacks))),
      tile("Invalid items", count(found.invalid_items), found.invalid_items ? "items broke a filter: report this" : "no list held an item that was not allowed", found.invalid_items ? "bad" : "good"),
      tile("Catalogue lag", catalog.staged ? duration(catalog.lag_seconds) : "None", catalog.staged ? `${plural(catalog.staged, "change")} wait for the next version` : "nothing is staged", catalog.last_problem ? "bad" : ""),
      tile("Events", count(found.events.accepted || 0), `accepted since the start${found.events.rejected ? `, ${count(found.events.rejected)} rejected` : ""}`, "", line("Events", intervals.map((each) => each.events))),
    ),
    h("div", { class: "columns" },
      h("section", { class: "card" }, h("h2", {}, "What answers"),
        h("dl", {},
          h("dt", {}, "Model"), h("dd", {}, h("strong", {}, model.name), " ", h("code", {}, model.version)),
          h("dt", {}, "How"), h("dd", {}, [model.protocol.recommender, model.protocol.search].filter(Boolean).join(", ")),
          h("dt", {}, "Catalogue"), h("dd", {}, `version ${catalog.version}, ${plural(catalog.items, "item")}, ${count(catalog.available)} may be recommended`),
          h("dt", {}, "Newer than the model"), h("dd", {}, plural(catalog.newer_than_model, "item")),
          h("dt", {}, "lexirec"), h("dd", {}, found.lexirec))),
      h("section", { class: "card" }, h("h2", {}, "Parts"),
        h("ul", { class: "parts" }, Object.entries(ready.parts).map(([name, part]) =>
          h("li", { class: part.ok ? "good" : "bad" }, h("strong", {}, name), " ", part.ok ? { draining: "no", queue: "has room" }[name] || "answers" : part.detail))),
        catalog.last_problem ? h("p", { class: "warn-text" }, `The last publish failed: ${catalog.last_problem}`) : null,
        found.inexact ? h("p", { class: "note" }, `${plural(found.inexact, "list")} ${found.inexact === 1 ? "is" : "are"} not provably those of an exhaustive search.`) : null,
        found.impressions_dropped ? h("p", { class: "warn-text" }, `${plural(found.impressions_dropped, "answer")} could not be recorded.`) : null)),
  );
}
