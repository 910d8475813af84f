// Markdown of reports as elements: headings, tables, lists, emphasis, code, figures. Everything else stays the text that it is.

import { h } from "./dom.js";

function inline(text, figure) {
  const parts = [];
  const pattern = /!\[([^\]]*)\]\(([^)\s]+)\)|`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)|\\([\\`*_{}[\]()#+\-.!|<>~])/g;
  let last = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(last, match.index));
    last = match.index + match[0].length;
    const [, alt, source, code, strong, label, , escaped] = match;
    if (source !== undefined) parts.push(figure(source, alt));
    else if (code !== undefined) parts.push(h("code", {}, code));
    else if (strong !== undefined) parts.push(h("strong", {}, inline(strong, figure)));
    else if (label !== undefined) parts.push(label);
    else parts.push(escaped);
  }
  parts.push(text.slice(last));
  return parts;
}

const cells = (line) => line.replace(/^\s*\|/, "").replace(/\|\s*$/, "").split(/(?<!\\)\|/).map((each) => each.trim());

/** Return a text as elements; `figure(name, alt)` makes that of a picture. */
export function markdown(text, figure) {
  const lines = text.split("\n"), out = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const heading = /^(#{1,5}) (.*)/.exec(line);
    if (heading) out.push(h(`h${heading[1].length + 1}`, {}, inline(heading[2], figure)));
    else if (/^\s*\|/.test(line) && /^\s*\|[\s:|-]+\|\s*$/.test(lines[at + 1] || "")) {
      const head = cells(line), right = cells(lines[at + 1]).map((each) => each.endsWith(":"));
      const rows = [];
      for (at += 2; at < lines.length && /^\s*\|/.test(lines[at]); at += 1) rows.push(cells(lines[at]));
      at -= 1;
      out.push(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": head.filter(Boolean).join(", ") || "Table" }, h("table", {},
        head.some(Boolean) ? h("thead", {}, h("tr", {}, head.map((each, place) => each ? h("th", { scope: "col", class: right[place] ? "number" : "" }, inline(each, figure)) : h("td", {})))) : null,
        h("tbody", {}, rows.map((row) => h("tr", {}, row.map((each, place) => h("td", { class: right[place] ? "number" : "" }, inline(each, figure)))))))));
    } else if (/^\s*[-*] /.test(line)) {
      const items = [];
      for (; at < lines.length && /^\s*[-*] /.test(lines[at]); at += 1) items.push(h("li", {}, inline(lines[at].replace(/^\s*[-*] /, ""), figure)));
      at -= 1;
      out.push(h("ul", {}, items));
    } else if (/^```/.test(line)) {
      const code = [];
      for (at += 1; at < lines.length && !/^```/.test(lines[at]); at += 1) code.push(lines[at]);
      out.push(h("pre", { tabindex: "0" }, code.join("\n")));
    } else if (line.trim()) {
      const whole = [line];
      while (lines[at + 1] && lines[at + 1].trim() && !/^(#|\s*[-*] |\s*\||```)/.test(lines[at + 1])) whole.push(lines[(at += 1)]);
      out.push(h("p", {}, inline(whole.join(" "), figure)));
    }
  }
  return out;
}
