// The panels beside the editor: picture, layers, memory, and the pages of messages.
import { grouped, h, short, size, svg } from "./dom.js";
import { coloured } from "./language.js";
import { markdown } from "./markdown.js";

/** What a panel says where it has nothing to show. */
function empty(headline, why) {
  return h("div.empty", {}, h("p.big", {}, headline), why ? h("p", {}, why) : null);
}

function choice(label, names, chosen, onPick) {
  if (names.length < 2) return null;
  const select = h("select", { onchange: () => onPick(select.value) }, names.map((n) => h("option", { value: n, selected: n === chosen }, n)));
  return h("label.choice", {}, label, select);
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// ---- picture ---------------------------------------------------------------

const FRAME_STYLE = "h1{display:none}body{margin:10px 16px 24px}";

export function picture(panel, found, { theme, onPick }) {
  if (found.error) {
    // The last picture stays while a mistake is being made.
    if (panel.querySelector("iframe")) return panel.classList.add("stale");
    return panel.replaceChildren(empty("No picture yet", found.error));
  }
  panel.classList.remove("stale");
  const old = panel.querySelector("iframe");
  if (old && old.html === found.html && old.theme === theme) return;
  const page = found.html
    .replace("<html", `<html data-theme="${theme}"`)
    .replace("</style>", `${FRAME_STYLE}</style>`);
  const frame = h("iframe", { title: `picture of ${found.title}`, sandbox: "allow-scripts", srcdoc: page });
  Object.assign(frame, { html: found.html, theme });
  const file = (ending, type, text) =>
    h("button.small", { title: `Download the picture as ${ending}`, onclick: () => save(`${found.title}.${ending}`, type, text) }, ending.toUpperCase());
  panel.replaceChildren(
    h(
      "div.bar",
      {},
      choice("of ", found.names, found.title, onPick) ?? h("span.dim", {}, found.title),
      h("span.grow"),
      file("svg", "image/svg+xml", found.svg),
      file("html", "text/html", found.html),
      file("dot", "text/vnd.graphviz", found.dot),
    ),
    frame,
  );
}

// ---- layers ----------------------------------------------------------------

export function layers(panel, found) {
  if (found.error) {
    if (panel.querySelector("table")) return panel.classList.add("stale");
    return panel.replaceChildren(empty("No layers yet", found.error));
  }
  panel.classList.remove("stale");
  if (found.length === 0) return panel.replaceChildren(empty("No layers", "The program has no task and no model."));
  panel.replaceChildren(...found.map(summary));
}

function summary(s) {
  const all = s.rows.reduce((most, r) => Math.max(most, r.parameters ?? 0), 0);
  const work = s.rows.reduce((most, r) => Math.max(most, r.flops ?? 0), 0);
  const bar = (part, whole) => h("i.bar", { style: `--share:${whole ? part / whole : 0}` });
  const cell = (n, whole, text) => h("td.number", { title: n === null ? "" : grouped(n) }, n === null ? "?" : text(n), bar(n ?? 0, whole));
  // A path stands under that of the layer that it is in: what is new of it is enough.
  const above = [];
  const own = (r) => {
    above.length = r.depth;
    above.push(r.path);
    const outer = r.depth > 0 ? above[r.depth - 1] : undefined;
    return outer && r.path.startsWith(`${outer}.`) ? r.path.slice(outer.length + 1) : r.path;
  };
  const rows = s.rows.map((r) =>
    h(
      "tr",
      {},
      h("td.path", { style: `--depth:${r.depth}`, title: r.path }, h("span", {}, own(r))),
      h("td.kind", {}, r.layer),
      h("td.shape", {}, coloured(r.output.join(", "))),
      s.task ? [cell(r.parameters, all, short), cell(r.flops, work, short)] : null,
    ),
  );
  const totals = s.totals
    .filter((t) => t.values !== 0)
    .map((t) => h("div.card", {}, h("b", {}, t.values === null ? "?" : short(t.values)), h("span", {}, t.kind), h("small", {}, t.bytes === null ? "" : size(t.bytes))));
  const names = ["layer", "kind", "output", ...(s.task ? ["parameters", "FLOP a sample"] : [])];
  return h(
    "section",
    {},
    h("h2", {}, s.task ? "task " : "model ", h("b", {}, s.name)),
    totals.length ? h("div.cards", {}, totals) : null,
    rows.length
      ? h("div.scroll", {}, h("table.layers", {}, h("thead", {}, h("tr", {}, names.map((n, i) => h(i > 2 ? "th.number" : "th", {}, n)))), h("tbody", {}, rows)))
      : h("p.dim", {}, "It has no layers."),
  );
}

// ---- memory ----------------------------------------------------------------

const HUES = 8;

/** Layers that are told apart, at most: colours come again. */
const FAMILIES = 12;

/** The layer that a buffer was made in, as far as colours go: its first names. */
function family(scope, depth) {
  return scope.split(".").slice(0, depth).join(".");
}

/** The layers that colours tell apart: as deep as there are colours. */
function familiesOf(placed) {
  let best = { depth: 1, names: [] };
  for (let depth = 1; depth <= 6; depth++) {
    const names = [...new Set(placed.map((b) => family(b.scope, depth)))].sort();
    if (depth > 1 && names.length > FAMILIES) break;
    best = { depth, names };
  }
  return best;
}

export function memory(panel, found, { onPick, onShow, threads }) {
  if (found.error) {
    if (panel.querySelector("svg")) return panel.classList.add("stale");
    return panel.replaceChildren(empty("No plan yet", found.error));
  }
  panel.classList.remove("stale");
  const { variables } = found;
  const card = (value, name, more) => h("div.card", {}, h("b", {}, value), h("span", {}, name), more ? h("small", {}, more) : null);
  const over = found.lower_bound ? (found.arena_bytes / found.lower_bound - 1) * 100 : 0;
  const placed = found.buffers.filter((b) => b.arena && b.bytes > 0);
  const { depth, names: families } = familiesOf(placed);
  const hue = (b) => families.indexOf(family(b.scope, depth)) % HUES;
  panel.replaceChildren(
    h(
      "div.bar",
      {},
      choice("task ", found.tasks, found.task, (task) => onPick({ task })),
      choice("step ", found.entries, found.entry, (entry) => onPick({ task: found.task, entry })),
      h("span.grow"),
      h("span.dim", { title: "`nnc plan` says the same for the machine that it runs on" }, `batch ${found.batch ?? "–"} · ${threads} thread${threads > 1 ? "s" : ""}`),
    ),
    h(
      "div.cards",
      {},
      card(size(found.total), "a run takes", `${grouped(found.total)} bytes`),
      card(size(variables?.parameters ?? 0), "parameters"),
      variables?.optimizer ? card(size(variables.optimizer), "optimizer's state") : null,
      variables?.state ? card(size(variables.state), "state") : null,
      card(size(found.arena_bytes), "arena of this step", `${over.toFixed(1)} % above the least possible`),
      found.kept ? card(size(found.kept), "weights, packed once") : null,
    ),
    h("h2", {}, "The arena over one step"),
    h("p.dim", {}, `Each box is a tensor: where it lies (up) and from which to which of ${found.launches} launches it lives (across). A click shows its line.`),
    chart(found, placed, hue, onShow),
    legend(families),
    h("h2", {}, "The largest tensors"),
    table(found, onShow),
  );
}

function chart(found, placed, hue, onShow) {
  const [width, height, left, bottom] = [720, 300, 62, 22];
  const x = (t) => left + ((width - left) * t) / (found.launches + 1);
  const y = (b) => (height - bottom) * (1 - b / Math.max(found.arena_bytes, 1));
  const out = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "arena", role: "img", "aria-label": "places of tensors in memory over the launches of a step" });
  for (let i = 0; i <= 4; i++) {
    const at = (found.arena_bytes * i) / 4;
    out.append(
      svg("line", { x1: left, x2: width, y1: y(at), y2: y(at), class: "grid" }),
      svg("text", { x: left - 6, y: Math.min(Math.max(y(at) + 4, 10), height - bottom), class: "axis", "text-anchor": "end" }, size(Math.round(at))),
    );
  }
  for (let i = 0; i <= 4; i++) {
    const t = Math.round((found.launches * i) / 4);
    const anchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
    out.append(svg("text", { x: x(t), y: height - 6, class: "axis", "text-anchor": anchor }, i === 4 ? `launch ${t}` : String(t)));
  }
  for (const b of placed) {
    const [w, tall] = [x(b.last + 1) - x(b.first), y(b.offset) - y(b.offset + b.bytes)];
    const box = svg(
      "rect",
      { x: x(b.first), y: y(b.offset + b.bytes), width: Math.max(w - 0.6, 0.8), height: Math.max(tall - 0.4, 0.5), class: `box h${hue(b)}${b.range ? " go" : ""}` },
      svg("title", {}, `${b.type}  ${size(b.bytes)}\n${b.what}${b.scope ? ` in ${b.scope}` : ""}\nlaunches ${b.first} to ${b.last}\n${b.place}`),
    );
    if (b.range) box.onclick = () => onShow(b.range);
    out.append(box);
  }
  return h("div.scroll", {}, out);
}

function legend(families) {
  return h("div.legend", {}, families.map((f, i) => h("span", {}, h(`i.h${i % HUES}`), f || "the task itself")));
}

function table(found, onShow) {
  const rows = found.buffers.slice(0, 40).map((b) => {
    const line = b.place.match(/:(\d+):/)?.[1];
    const go = b.range
      ? h("button.place", { onclick: () => onShow(b.range) }, `line ${line}`)
      : h("span.dim", {}, b.place.replace(/:\d+$/, ""));
    return h(
      "tr",
      {},
      h("td.number", { title: grouped(b.bytes) }, size(b.bytes)),
      h("td.shape", {}, coloured(b.type)),
      h("td", {}, b.what),
      h("td.kind", {}, b.scope),
      h("td", {}, go),
    );
  });
  const names = ["bytes", "type", "what", "in", "from"];
  return h("div.scroll", {}, h("table.layers", {}, h("thead", {}, h("tr", {}, names.map((n, i) => h(i ? "th" : "th.number", {}, n)))), h("tbody", {}, rows)));
}

// ---- pages -----------------------------------------------------------------

export function page(panel, found, { onCode, onProgram }) {
  const body = h("article.page", {}, h("div.crumb", {}, h("code", {}, found.id), " ", found.name), markdown(found.page, onCode, { onProgram }));
  panel.replaceChildren(body);
  panel.scrollTop = 0;
}

export function source(panel, module, text, range) {
  const mark = h("mark", {}, coloured(text.slice(...range)));
  const body = h("pre.source", { tabindex: "0" }, coloured(text.slice(0, range[0])), mark, coloured(text.slice(range[1])));
  panel.replaceChildren(h("article.page", {}, h("div.crumb", {}, "standard library, ", h("code", {}, `std.${module}`)), body));
  panel.scrollTop = 0;
  mark.scrollIntoView({ block: "center" });
}

export function nothing(panel) {
  panel.replaceChildren(empty("What a message means", "A click on the code of a message, such as E0301, shows its page here. Ctrl-click on a name of the standard library shows its source."));
}
