// The page: an editor, a list of problems, panels; the front end of nnc in a worker behind them.
import { forEachDiagnostic } from "@codemirror/lint";
import { Client } from "./client.js";
import { grouped, h, later, memory as kept, short, size } from "./dom.js";
import { applyEdits, lineChanges, makeEditor, message, note, rich, show } from "./editor.js";
import * as panels from "./panels.js";

/* global NNC_EXAMPLES */
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const threads = Math.min(navigator.hardwareConcurrency || 4, 64);

// ---- the front end ----------------------------------------------------------

/** Bytes from the single-file build, whose parts are in the page itself. */
async function inlined(id) {
  const text = $(id)?.textContent.trim();
  if (!text) return null;
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function load() {
  const [wasm, script] = await Promise.all([inlined("nnc-wasm"), inlined("nnc-worker")]);
  const from = script && URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const spawn = () => new Worker(from ?? "worker.js");
  if (wasm) return new Client(spawn, await WebAssembly.compile(wasm));
  const fetched = await fetch("nnc.wasm");
  if (!fetched.ok) throw new Error(`nnc.wasm: ${fetched.status}`);
  const typed = fetched.headers.get("content-type") === "application/wasm";
  const compiled = typed ? WebAssembly.compileStreaming(fetched) : WebAssembly.compile(await fetched.arrayBuffer());
  return new Client(spawn, await compiled);
}

// ---- the program in the address ---------------------------------------------

async function packed(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let out = "";
  for (const b of bytes) out += String.fromCharCode(b);
  return btoa(out).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

const FIRST = "digits";

/** The program that the address names, and the example that it is, if it is one. */
async function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  try {
    if (given.has("program")) return { text: await unpacked(given.get("program")), example: "" };
  } catch {
    // A link that was cut: the first example.
  }
  const example = NNC_EXAMPLES.find((e) => e.name === given.get("example")) ?? NNC_EXAMPLES.find((e) => e.name === FIRST);
  return { text: example.text, example: example.name };
}

async function main() {
  const [client, first] = await Promise.all([load(), fromAddress()]);
  let example = first.example;
  let diagnostics = [];
  let picked = {};
  let hintMode = kept.get("hints") ?? "names";

  const onCode = async (code) => {
    try {
      const found = await client.call("explain", { code });
      panels.page($("page"), found, { onCode, onProgram: (text) => replace(text, "") });
      tab("page");
    } catch (fault) {
      note(view, fault.message);
    }
  };
  const onSource = async (module, range) => {
    const found = await client.call("source", { module });
    // A hidden page has no places to scroll to.
    tab("page");
    panels.source($("page"), module, found.text, range);
  };
  const format = async () => {
    const { state } = view;
    try {
      const found = await client.call("format", { text: state.doc.toString() });
      if (view.state.doc !== state.doc) return;
      view.dispatch({ changes: lineChanges(state.doc.toString(), found.text), userEvent: "input.format" });
      if (found.unread) note(view, "what could not be read was left as it is");
    } catch (fault) {
      note(view, fault.message);
    }
  };
  const editor = makeEditor({ parent: $("editor"), client, text: first.text, onChange: changed, onCode, onSource, onFormat: format });
  const { view } = editor;

  // ---- checking -----------------------------------------------------------

  let looking = false;
  let again = false;
  /** One question at a time; what was typed meanwhile is asked about at once afterwards. */
  async function look() {
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    do {
      again = false;
      const { doc } = view.state;
      try {
        const { value, ms } = await client.timed("look", { text: doc.toString(), hints: hintMode });
        if (value.error) throw new Error(value.error);
        if (view.state.doc !== doc) continue;
        editor.apply(value, doc);
        diagnostics = value.diagnostics;
        problems(ms);
        settle();
      } catch (fault) {
        $("state").textContent = `the compiler failed: ${fault.message.split("\n")[0]}`;
        root.dataset.state = "failed";
      }
    } while (again);
    looking = false;
  }

  const settle = later(async () => {
    refresh();
    await remember();
  }, 300);

  async function remember() {
    const text = view.state.doc.toString();
    const known = NNC_EXAMPLES.find((e) => e.name === example);
    const hash = known && known.text === text ? `#example=${known.name}` : `#program=${await packed(text)}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    $("example").value = known && known.text === text ? known.name : "";
  }

  function changed() {
    root.dataset.state = "checking";
    look();
  }

  function problems(ms) {
    const counts = { error: 0, warning: 0, info: 0 };
    for (const d of diagnostics) counts[d.severity]++;
    const few = (n, one) => (n ? `${n} ${one}${n > 1 ? "s" : ""}` : "");
    const told = [few(counts.error, "error"), few(counts.warning, "warning")].filter(Boolean).join(", ");
    $("state").textContent = `${told || "no mistakes"} · checked in ${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
    root.dataset.state = counts.error ? "error" : counts.warning ? "warning" : "fine";
    const order = { error: 0, warning: 1, info: 2 };
    const list = [...diagnostics].sort((a, b) => order[a.severity] - order[b.severity]);
    $("problems").replaceChildren(
      ...list.map((d) => {
        const range = d.primary?.range;
        const line = range ? view.state.doc.lineAt(Math.min(range[0], view.state.doc.length)) : null;
        const place = line
          ? h("button.place", { onclick: () => show(view, range) }, `${line.number}:${range[0] - line.from + 1}`)
          : h("span.place");
        const fixes = d.fixes.map((f) =>
          h("button.fix", { onclick: () => applyEdits(view, f.edits), title: "Apply this change" }, ...rich(f.title)),
        );
        return h(`div.problem.${d.severity}`, {}, h("i.dot", { title: d.severity }), place, h("div.grow", {}, message(d, view, { onCode, compact: true }), fixes.length ? h("div.fixes", {}, fixes) : null));
      }),
    );
  }

  // ---- panels -------------------------------------------------------------

  const tabs = ["picture", "layers", "memory", "page"];
  let open = tabs.includes(kept.get("tab")) && kept.get("tab") !== "page" ? kept.get("tab") : "picture";

  function tab(name, focus) {
    open = name;
    kept.set("tab", name);
    for (const t of tabs) {
      const on = t === name;
      $(t).hidden = !on;
      $(`tab-${t}`).setAttribute("aria-selected", String(on));
      $(`tab-${t}`).tabIndex = on ? 0 : -1;
      if (on && focus) $(`tab-${t}`).focus();
    }
    refresh();
  }
  for (const t of tabs) {
    $(`tab-${t}`).onclick = () => tab(t);
    $(`tab-${t}`).onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) tab(tabs[(tabs.indexOf(t) + step + tabs.length) % tabs.length], true);
    };
  }

  /** Fills the open panel, and the figures in the footer. */
  async function refresh() {
    const text = view.state.doc.toString();
    const ask = (name, more) => client.timed(name, { text, ...more }).then((a) => a.value).catch((f) => ({ error: f.message }));
    const now = () => view.state.doc.toString() === text;
    if (open === "picture") {
      const found = await ask("picture", { what: picked.what });
      // Another program has other names.
      if (found.error && picked.what) {
        picked.what = undefined;
        return refresh();
      }
      if (now()) panels.picture($("picture"), found, { theme: root.dataset.theme, onPick: (what) => ((picked.what = what), refresh()) });
    } else if (open === "layers") {
      const found = await ask("summary");
      if (now()) panels.layers($("layers"), found);
    } else if (open === "memory") {
      const found = await ask("plan", { task: picked.task, entry: picked.entry, threads });
      if (found.error && picked.task) {
        picked.task = picked.entry = undefined;
        return refresh();
      }
      const onPick = (chosen) => (Object.assign(picked, { entry: undefined }, chosen), refresh());
      if (now()) panels.memory($("memory"), found, { onPick, onShow: (range) => show(view, range), threads });
    }
    costs(text);
  }

  const costs = later(async (text) => {
    if (view.state.doc.toString() !== text || diagnostics.some((d) => d.severity === "error")) {
      $("costs").textContent = "";
      return;
    }
    const found = await client.call("summary", { text }).catch(() => []);
    const plan = await client.call("plan", { text, threads }).catch(() => null);
    if (view.state.doc.toString() !== text) return;
    const task = found.find((s) => s.task && s.name === (plan?.task ?? s.name));
    const parameters = task?.totals.find((t) => t.kind === "parameters")?.values;
    const parts = [];
    if (parameters) parts.push(h("span", { title: `${grouped(parameters)} numbers that are learned` }, `${short(parameters)} parameters`));
    if (plan) parts.push(h("span", { title: `${grouped(plan.total)} bytes: variables and the arena` }, `${size(plan.total)} for ${plan.task}`));
    $("costs").replaceChildren(...parts);
  }, 500);

  // ---- header -------------------------------------------------------------

  function replace(text, name) {
    example = name;
    picked = {};
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: 0 }, scrollIntoView: true });
    view.focus();
  }

  const kinds = [...new Set(NNC_EXAMPLES.map((e) => e.kind))];
  $("example").append(
    h("option", { value: "", disabled: true }, "your own program"),
    ...kinds.map((kind) =>
      h("optgroup", { label: kind }, NNC_EXAMPLES.filter((e) => e.kind === kind).map((e) => h("option", { value: e.name, title: e.about }, e.about ? `${e.name} — ${e.about}` : e.name))),
    ),
  );
  $("example").value = example;
  $("example").onchange = () => {
    const chosen = NNC_EXAMPLES.find((e) => e.name === $("example").value);
    if (chosen) replace(chosen.text, chosen.name);
  };
  $("hints").value = hintMode;
  $("hints").onchange = () => {
    hintMode = $("hints").value;
    kept.set("hints", hintMode);
    look();
  };
  $("format").onclick = () => format().then(() => view.focus());
  $("share").onclick = async () => {
    await remember();
    try {
      await navigator.clipboard.writeText(location.href);
      toast("The link is copied: it holds the whole program.");
    } catch {
      toast("The address of this page holds the whole program: copy it from there.");
    }
  };
  $("theme").onclick = () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    kept.set("theme", root.dataset.theme);
    refresh();
  };
  addEventListener("hashchange", async () => {
    const given = await fromAddress();
    if (given.text !== view.state.doc.toString()) replace(given.text, given.example);
  });

  const KEYS = [
    ["Ctrl-Space", "what can be written here, what fits the shapes first"],
    ["Ctrl-.", "fixes and rewrites for the place at the cursor"],
    ["F8", "the next problem"],
    ["F12, Ctrl-click", "where a name is declared"],
    ["F2", "rename"],
    ["Ctrl-S, Shift-Alt-F", "format"],
    ["Ctrl-/", "comment out, or in"],
    ["Ctrl-Shift-[, Ctrl-Shift-]", "fold, unfold"],
    ["Ctrl-F", "search and replace"],
    ["Escape, then Tab", "leave the editor"],
  ];
  $("keys").append(
    h("h2", {}, "Keys"),
    h("dl", {}, KEYS.map(([key, what]) => [h("dt", {}, key.split(", ").map((k) => h("kbd", {}, k))), h("dd", {}, what)])),
    h("p.dim", {}, "Everything runs in this page: nothing that you write leaves it. Programs are trained by ", h("code", {}, "nnc run"), " on your machine."),
    h("form", { method: "dialog" }, h("button", {}, "Close")),
  );
  $("help").onclick = () => $("keys").showModal();

  function toast(text) {
    const node = h("div.toast", { role: "status" }, text);
    document.body.append(node);
    setTimeout(() => node.remove(), 3000);
  }

  // ---- the width of the editor --------------------------------------------

  const split = $("split");
  const widen = (share) => {
    const at = Math.min(Math.max(share, 20), 80);
    $("left").style.flexBasis = `${at}%`;
    split.setAttribute("aria-valuenow", at.toFixed(0));
    kept.set("split", at.toFixed(1));
  };
  if (kept.get("split")) widen(Number(kept.get("split")));
  split.onpointerdown = (event) => {
    split.setPointerCapture(event.pointerId);
    root.classList.add("dragging");
    split.onpointermove = (move) => widen((move.clientX / innerWidth) * 100);
    split.onpointerup = () => {
      split.onpointermove = split.onpointerup = null;
      root.classList.remove("dragging");
    };
  };
  split.onkeydown = (event) => {
    const step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
    if (step) widen(Number(split.getAttribute("aria-valuenow")) + step);
  };

  panels.nothing($("page"));
  tab(open);
  await look();
  client.call("version").then(({ version }) => ($("version").textContent = `nnc ${version}`));
  // For the tests of this page.
  globalThis.playground = { view, client, editor, count: () => { let n = 0; forEachDiagnostic(view.state, () => n++); return n; } };
  root.dataset.ready = "";
}

main().catch((fault) => {
  $("state").textContent = `the playground cannot start: ${fault.message}`;
  root.dataset.state = "failed";
  if (location.protocol === "file:") {
    $("editor").append(h("p.empty", {}, "A browser reads no program parts from a folder. Open playground.html instead, which holds everything, or serve this folder."));
  }
});
