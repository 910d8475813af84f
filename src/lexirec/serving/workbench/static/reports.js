// Reports of the store: what the offline evaluation of each experiment and study said, in place.

import * as api from "./api.js";
import { day, empty, h, longList, replace, show } from "./dom.js";
import { markdown } from "./markdown.js";

export const about = "What was measured before: the reports of the experiments and studies of this store.";

export function start(body, parameters) {
  const text = h("section", { class: "card report", "aria-live": "polite" });
  let all = null;
  const list = longList({
    label: "Reports", rowHeight: 52,
    source: async () => {
      all = all || (await api.get("v1/reports")).items;
      const first = all.find((each) => each.name === parameters.get("name")) || all[0];
      if (first) open(first);
      return { rows: all, more: false };
    },
    draw: (report) => [h("span", { class: "cut" }, h("strong", {}, report.name)), h("span", { class: "note" }, `${report.kind === "run" ? "experiment" : "study"}${report.finished ? `, ${day(report.finished)} UTC` : ""}`)],
    choose: open,
    nothing: () => empty("The store has no reports.", h("p", {}, h("code", {}, "lexirec run EXPERIMENT.toml"), " makes one.")),
  });
  body.append(h("section", { class: "card" }, list.element), text);
  replace(text, empty("No report is open."));
  list.restart();

  function open(report) {
    // a page of the store comes from elsewhere: it is shown without scripts, forms, links to this page, or an origin
    if (report.page) {
      replace(text, h("h2", {}, report.name), h("iframe", { sandbox: "", src: api.address(report.page.url), title: `Report ${report.name}`, loading: "lazy" }));
      return;
    }
    if (!report.text) {
      replace(text, empty(`“${report.name}” has no report.`));
      return;
    }
    show(text, "the report", async () => {
      const response = await fetch(api.address(report.text.url), { cache: "no-store" });
      if (!response.ok) throw new api.Problem(response.status, await response.json());
      return response.text();
    }, (found) => h("article", { class: "markdown" }, markdown(found, (name, alt) => figure(report, name, alt))));
  }

  function figure(report, name, alt) {
    const wanted = name.replace(/\.\w+$/, "");
    const file = report.figures.find((each) => each.name.replace(/\.\w+$/, "") === wanted);
    return file ? h("img", { src: api.address(file.url), alt: alt || wanted, loading: "lazy" }) : alt;
  }
}
