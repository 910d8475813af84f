// The beam tree of one request: which prefixes lived, which were pruned at which score, where a filter cut, and the certificate.

import * as api from "./api.js";
import { count, empty, h, plural, replace, s, score, show } from "./dom.js";
import { questionForm, somebody } from "./question.js";

export const about = "How the search found one list, word by word. It is the real search of the model that answers, recorded as it ran.";
const ROW = 26, COLUMN = 190, LEFT = 60;
const STATES = { found: "in the list", kept: "kept", pruned: "pruned", forbidden: "not allowed: filtered or seen", beaten: "reached, not in the list" };
const FEW = { pruned: 6, forbidden: 4, beaten: 4, kept: 8 };

export function start(body, parameters) {
  const place = h("div", { class: "beam-result" });
  const shown = { kept: false, pruned: true, forbidden: true, beaten: false };
  let form = null, over = false, found = null;

  const ask = () => show(place, "the search", async () => {
    found = await api.post("v1/preview?beam=true", form.body({ return_fields: [] }));
    form.counts(found.filters);
    return found;
  }, draw);
  const waiting = h("div", {});
  body.append(waiting);
  show(waiting, "users", async () => {
    await somebody();
    if (over) return;
    form = questionForm(parameters, ask);
    body.append(form.element, h("section", { class: "card results" }, place));
    ask();
  }, () => null).then(() => waiting.firstElementChild || waiting.remove());
  return () => { over = true; };

  function draw({ recommendation, beam, remarks }) {
    if (!beam) return empty(remarks[0] || "No beam search was made.", h("p", {}, h("a", { href: `#shopper?${form.address()}` }, "The list")));
    const picture = h("div", { class: "picture" });
    const detail = h("p", { class: "beam-detail", "aria-live": "polite" }, "Choose a word to see its scores. Arrow keys walk the tree.");
    const redraw = () => replace(picture, drawing(beam, shown, detail));
    const boxes = ["kept", "pruned", "forbidden", "beaten"].map((state) => {
      const many = beam.depths.reduce((sum, each) => sum + each.nodes.filter((node) => node.state === state).length, 0);
      return h("label", { class: "check" }, h("input", { type: "checkbox", checked: shown[state], onchange: (event) => { shown[state] = event.target.checked; redraw(); } }),
        h("span", { class: `key ${state}` }), `${state === "kept" ? "all kept" : STATES[state]} (${count(many)})`);
    });
    redraw();
    return h("div", {},
      h("h2", {}, `${plural(recommendation.items.length, "item")} by a search of width ${beam.width}`),
      h("p", { class: recommendation.exact ? "good-text" : "note" }, certificate(recommendation, beam)),
      remarks.map((each) => h("p", { class: "note" }, each)),
      h("fieldset", { class: "inline" }, h("legend", { class: "hidden" }, "Shown besides the paths to the list"), h("span", { class: "check" }, h("span", { class: "key found" }), "paths to the list"), boxes),
      detail, picture,
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Steps of the search" }, h("table", {},
        h("thead", {}, h("tr", {}, ["word", "scored", "kept", "pruned", "not allowed", "items reached", "worst kept"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, beam.depths.map((each) => h("tr", {}, h("th", { scope: "row" }, each.depth),
          [each.scored, each.kept, each.pruned, each.forbidden, each.ended].map((value) => h("td", { class: "number" }, count(value))), h("td", { class: "number" }, score(each.worst_kept))))))),
      h("p", {}, h("a", { href: `#shopper?${form.address()}` }, "The list with its reasons")));
  }

  function certificate(answer, beam) {
    if (answer.exact === null) return "The model gives no bounds, so nobody can say whether the list is the best one.";
    const last = `the last place has ${score(beam.last_score)}`;
    if (answer.exact && beam.bound === null) return "Certificate: nothing was pruned, so the list is provably the best one.";
    if (answer.exact) return `Certificate: no item below a pruned word scores more than ${score(beam.bound)}, and ${last}. The list is provably the best one.`;
    return beam.bound === null ? "No certificate: a boost lifts words later than they were pruned." : `No certificate: an item below a pruned word could score up to ${score(beam.bound)}, and ${last}. The list may still be the best one.`;
  }
}

/** Choose what is drawn: all that leads to the list, and some of each other state. */
function chosen(beam, shown) {
  const byNode = new Map();
  const wanted = new Set();
  for (const depth of beam.depths) for (const node of depth.nodes) byNode.set(node.node, { ...node, depth: depth.depth });
  for (const depth of beam.depths) {
    const many = {};
    for (const node of depth.nodes) {
      many[node.state] = (many[node.state] || 0) + 1;
      const take = node.state === "found" || (shown[node.state] && (node.state === "kept" || many[node.state] <= FEW[node.state]));
      if (!take) continue;
      for (let each = byNode.get(node.node); each; each = byNode.get(each.parent)) wanted.add(each.node);
    }
  }
  return [...wanted].map((node) => byNode.get(node));
}

function layout(nodes) {
  const children = new Map();
  for (const node of nodes) children.set(node.parent, [...(children.get(node.parent) || []), node]);
  const rank = (node) => (node.score === null ? -1e6 + node.log_prob : node.score);
  let row = 0;
  const set = (node) => {
    const below = (children.get(node.node) || []).sort((a, b) => rank(b) - rank(a));
    node.children = below;
    if (!below.length) node.y = row++;
    else {
      below.forEach(set);
      node.y = (below[0].y + below[below.length - 1].y) / 2;
    }
  };
  const root = { node: 0, word: "", depth: 0 };
  set(root);
  return { root, rows: Math.max(row, 1) };
}

function drawing(beam, shown, detail) {
  const nodes = chosen(beam, shown);
  if (!nodes.length) return empty("No word was scored.");
  const { root, rows } = layout(nodes);
  const height = rows * ROW + 30;
  const x = (node) => 14 + (node.depth ? LEFT + (node.depth - 1) * COLUMN : 0);
  const y = (node) => 26 + node.y * ROW;
  const edges = [], marks = [];
  let width = 0;
  const groups = new Map();
  const parents = new Map();

  const name = (node) => `${node.word || "start"}, ${STATES[node.state] || ""}${node.rank ? `, place ${node.rank}` : ""}, ${node.score === null ? "no score" : `score ${score(node.score)}`}`;
  const tell = (node) => replace(detail,
    h("strong", {}, node.word), node.title ? ` → ${node.title}` : "", ` · ${STATES[node.state]}${node.rank ? `, place ${node.rank}` : ""}`,
    ` · score ${score(node.score)} · probability after its parent ${(100 * Math.exp(node.log_prob)).toFixed(1)} %`,
    node.bias === null ? " · no item below is allowed" : node.bias ? ` · boost ${score(node.bias)}` : "", ` · ${plural(node.items, "item")} below`);
  const focus = (node) => {
    if (!node || !groups.has(node.node)) return;
    for (const each of groups.values()) each.setAttribute("tabindex", "-1");
    const group = groups.get(node.node);
    group.setAttribute("tabindex", "0");
    group.focus({ preventScroll: true });
    group.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const walk = (node, event) => {
    const level = nodes.filter((each) => each.depth === node.depth).sort((a, b) => a.y - b.y);
    const at = level.indexOf(node);
    const to = { ArrowDown: level[at + 1], ArrowUp: level[at - 1], ArrowLeft: parents.get(node.node), ArrowRight: (node.children || [])[0], Home: level[0], End: level[level.length - 1] }[event.key];
    if (!(event.key in { ArrowDown: 1, ArrowUp: 1, ArrowLeft: 1, ArrowRight: 1, Home: 1, End: 1 })) {
      if (event.key === "Enter" && node.item_id) location.hash = `tree?item=${encodeURIComponent(node.item_id)}`;
      return;
    }
    event.preventDefault();
    focus(to);
  };

  function put(node) {
    for (const child of node.children || []) {
      parents.set(child.node, node);
      const from = [x(node) + (node.depth ? Math.min(COLUMN - 30, 18 + wide(cut(node.word)) + wide(valueOf(node))) : 8), y(node)], to = [x(child) - 8, y(child)], middle = (from[0] + to[0]) / 2;
      edges.push(s("path", { class: `edge ${child.state}`, d: `M${from[0]} ${from[1]}C${middle} ${from[1]} ${middle} ${to[1]} ${to[0]} ${to[1]}` }));
      put(child);
    }
    if (!node.depth) {
      marks.push(s("circle", { class: "root", cx: x(node), cy: y(node), r: 5 }));
      return;
    }
    const label = node.title ? `${node.rank ? `${node.rank}. ` : ""}${cut(node.title, 48)}` : cut(node.word);
    width = Math.max(width, x(node) + 26 + wide(label) + (node.title ? 0 : wide(valueOf(node))));
    const group = s("g", {
      class: `node ${node.state}`, role: "treeitem", tabindex: "-1", "aria-level": node.depth, "aria-label": name(node),
      ...(node.children.length ? { "aria-expanded": "true" } : {}),
      transform: `translate(${x(node)} ${y(node)})`, onfocus: () => tell(node), onclick: () => focus(node), onkeydown: (event) => walk(node, event),
    },
      s("rect", { class: "hit", x: -10, y: -ROW / 2, width: 26 + wide(label) + (node.title ? 0 : wide(valueOf(node))), height: ROW, rx: 4 }),
      node.state === "forbidden" ? s("path", { class: "mark", d: "M-4 -4L4 4M-4 4L4 -4" }) : s("circle", { class: "mark", r: node.state === "found" ? 4.5 : 3.5 }),
      s("text", { x: 9, y: 4 }, label),
      node.title ? null : s("text", { class: "value", x: 15 + wide(label), y: 4 }, valueOf(node)));
    groups.set(node.node, group);
    marks.push(group);
  }
  put(root);
  const first = nodes.find((each) => each.rank === 1) || nodes[0];
  groups.get(first.node).setAttribute("tabindex", "0");
  return s("svg", { class: "beam-tree", viewBox: `0 0 ${width} ${height}`, width, height, role: "tree", "aria-label": "Words that the search tried" }, edges, marks);
}

const valueOf = (node) => (node.score === null ? "" : node.score.toFixed(2));
const pen = document.createElement("canvas").getContext("2d");
/** The width of a text in the drawing's font. */
function wide(text) {
  pen.font = '600 12.5px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
  return pen.measureText(text).width;
}
const cut = (text, most = 18) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
