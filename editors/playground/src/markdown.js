// The Markdown that nnc's own pages and hovers are written in, as nodes: headings, paragraphs, lists, tables, code.
import { h } from "./dom.js";
import { coloured } from "./language.js";

/** `code`, **strong**, *emphasis*, [text](address), codes of messages */
function inline(text, onCode) {
  const out = [];
  const pattern = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)]+)\)|\b([EW]\d{4})\b/g;
  let at = 0;
  for (const m of text.matchAll(pattern)) {
    out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[1] !== undefined) out.push(h("code", {}, coloured(m[1])));
    else if (m[2] !== undefined) out.push(h("strong", {}, ...inline(m[2], onCode)));
    else if (m[3] !== undefined) out.push(h("em", {}, m[3]));
    else {
      const code = m[6] ?? m[5]?.match(/([EW]\d{4})\.md/)?.[1];
      if (code && onCode) out.push(h("button.link", { onclick: () => onCode(code) }, m[4] ?? code));
      else if (m[5]?.startsWith("http")) out.push(h("a", { href: m[5], rel: "noreferrer", target: "_blank" }, m[4]));
      else out.push(m[4] ?? m[0]);
    }
  }
  out.push(text.slice(at));
  return out;
}

function table(rows, onCode) {
  const cells = (row) => row.trim().replace(/^\||\|$/g, "").split("|").map((c) => c.trim());
  const [head, , ...body] = rows.map(cells);
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, head.map((c) => h("th", {}, ...inline(c, onCode))))),
    h("tbody", {}, body.map((row) => h("tr", {}, row.map((c) => h("td", {}, ...inline(c, onCode)))))),
  );
}

/** @param {string} text @param {(code: string) => void} [onCode] what a click on the code of a message does */
export function markdown(text, onCode, { onProgram } = {}) {
  const out = document.createDocumentFragment();
  const lines = text.replace(/\s+$/, "").split("\n");
  for (let i = 0; i < lines.length; ) {
    const line = lines[i];
    const fence = line.match(/^```(\S*)/);
    if (fence) {
      const code = [];
      for (i++; i < lines.length && !lines[i].startsWith("```"); i++) code.push(lines[i]);
      i++;
      const program = code.join("\n");
      const isProgram = fence[1].startsWith("nn");
      const block = h("pre", { tabindex: "0" }, h("code", {}, isProgram ? coloured(program) : program));
      if (isProgram && onProgram && code.length > 2) {
        const open = () => onProgram(program + "\n");
        out.append(h(".program", {}, block, h("button.small", { onclick: open }, "Open in the editor")));
      } else {
        out.append(block);
      }
    } else if (/^#{1,4} /.test(line)) {
      const level = line.indexOf(" ");
      out.append(h(`h${level + 1}`, {}, ...inline(line.slice(level + 1))));
      i++;
    } else if (/^[-*] /.test(line)) {
      const list = h("ul");
      while (i < lines.length && /^([-*] |  \S)/.test(lines[i])) {
        let item = lines[i++].slice(2);
        while (i < lines.length && /^  \S/.test(lines[i])) item += ` ${lines[i++].trim()}`;
        list.append(h("li", {}, ...inline(item, onCode)));
      }
      out.append(list);
    } else if (/^---+$/.test(line)) {
      out.append(h("hr"));
      i++;
    } else if (line.startsWith("|")) {
      const rows = [];
      while (i < lines.length && lines[i].startsWith("|")) rows.push(lines[i++]);
      out.append(table(rows, onCode));
    } else if (line.trim() === "") {
      i++;
    } else {
      const parts = [];
      for (; i < lines.length && lines[i].trim() !== "" && !/^(```|#{1,4} |[-*] |\||---)/.test(lines[i]); i++) {
        // Two blanks at the end of a line end it.
        parts.push(...inline(lines[i].trimEnd(), onCode), lines[i].endsWith("  ") ? h("br") : " ");
      }
      out.append(h("p", {}, parts));
    }
  }
  return out;
}
