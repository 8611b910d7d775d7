// The editor: CodeMirror with what the front end knows of the text around it.
import {
  acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, completionStatus, snippet,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from "@codemirror/commands";
import {
  bracketMatching, codeFolding, foldAll, foldGutter, foldKeymap, foldService, indentUnit, unfoldAll,
} from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, Prec, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, WidgetType, crosshairCursor, drawSelection, dropCursor, highlightActiveLine,
  highlightActiveLineGutter, highlightSpecialChars, hoverTooltip, keymap, lineNumbers, rectangularSelection, showDialog,
  showTooltip,
} from "@codemirror/view";
import { h, later } from "./dom.js";
import { language } from "./language.js";
import { markdown } from "./markdown.js";

/** A text in the code that is not of the code. */
class Shown extends WidgetType {
  constructor(text, kind, insert) {
    super();
    Object.assign(this, { text, kind, insert });
  }
  eq(other) {
    return other.text === this.text && other.kind === this.kind;
  }
  toDOM(view) {
    const title = this.insert ? "Double-click to write the type into the program" : undefined;
    const node = h(`span.${this.kind}`, { title, "aria-hidden": "true" }, this.text);
    if (this.insert) {
      node.ondblclick = () => view.dispatch({ changes: { from: view.posAtDOM(node), insert: this.insert } });
    }
    return node;
  }
  ignoreEvent() {
    return true;
  }
}

/** Decorations that an effect replaces and edits move. */
function layer() {
  const set = StateEffect.define();
  const field = StateField.define({
    create: () => Decoration.none,
    update(value, tr) {
      value = value.map(tr.changes);
      for (const e of tr.effects) if (e.is(set)) value = e.value;
      return value;
    },
    provide: (f) => EditorView.decorations.from(f),
  });
  return { set, field };
}

const hints = layer();
const colours = layer();
const lenses = layer();
const uses = layer();

const setFolds = StateEffect.define();
const folds = StateField.define({
  create: () => [],
  update(value, tr) {
    for (const e of tr.effects) if (e.is(setFolds)) return e.value;
    if (!tr.docChanged) return value;
    return value.map(([from, to]) => [tr.changes.mapPos(from, 1), tr.changes.mapPos(to, -1)]);
  },
});

const setSignature = StateEffect.define();
const signature = StateField.define({
  create: () => null,
  update(value, tr) {
    for (const e of tr.effects) if (e.is(setSignature)) return e.value;
    return value && tr.docChanged ? { ...value, pos: tr.changes.mapPos(value.pos) } : value;
  },
  provide: (f) => showTooltip.from(f),
});

const ICONS = {
  function: "function", operation: "function", layer: "class", optimizer: "class", local: "variable", member: "property",
  argument: "property", constant: "constant", size: "type", data: "namespace", file: "text", folder: "text",
  setting: "property", type: "type", keyword: "keyword", snippet: "text", task: "namespace",
};

/** `$1`, `${0:x}` of the protocol in CodeMirror's form. */
function template(text) {
  return text.replace(/\$(\d)/g, "$${$1}").replace(/\$\{0(:?)/g, "$${9$1").replace(/\$\{(\d)\}/g, "$${$1:}");
}

/** The smallest replacements of lines that make one text of another, so that cursors and folds stay. */
export function lineChanges(before, after) {
  if (before === after) return [];
  const [a, b] = [before.split(/(?<=\n)/), after.split(/(?<=\n)/)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const [x, y] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  let at = a.slice(0, head).join("").length;
  if (x.length * y.length > 400000) return [{ from: at, to: at + x.join("").length, insert: y.join("") }];
  // Longest common subsequence of the lines between.
  const best = Array.from({ length: x.length + 1 }, () => new Uint32Array(y.length + 1));
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      best[i][j] = x[i] === y[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const out = [];
  let open = null;
  const change = () => (open ??= { from: at, to: at, insert: "" });
  for (let i = 0, j = 0; i < x.length || j < y.length; ) {
    if (i < x.length && j < y.length && x[i] === y[j]) {
      if (open) out.push(open);
      open = null;
      at += x[i].length;
      i++;
      j++;
    } else if (j < y.length && (i === x.length || best[i][j + 1] >= best[i + 1][j])) {
      change().insert += y[j++];
    } else {
      change().to += x[i].length;
      at += x[i].length;
      i++;
    }
  }
  if (open) out.push(open);
  return out;
}

export function applyEdits(view, edits, event = "input.fix") {
  const changes = edits.map((e) => ({ from: e.range[0], to: e.range[1], insert: e.text }));
  view.dispatch({ changes, userEvent: event });
  view.focus();
}

/** A message with its cure, as the tooltip and the list of problems show it. */
export function message(d, view, { onCode, compact }) {
  const out = h("div.message");
  const code = h("button.code", { onclick: () => onCode(d.code), title: `What ${d.code} means` }, d.code);
  // What the page cannot know is not the program's fault.
  const aside = d.severity === "info" ? h("span.dim", {}, " – a page reads no files ") : " ";
  out.append(h("div.headline", {}, ...rich(d.headline), aside, code));
  const notes = [...d.notes.map((n) => ["note", n]), ...d.help.map((n) => ["help", n])];
  if (!compact) {
    if (d.primary?.text) out.append(h("div.label", {}, ...rich(d.primary.text)));
    for (const label of d.secondary) {
      const line = label.range ? view.state.doc.lineAt(Math.min(label.range[0], view.state.doc.length)) : null;
      const go = () => show(view, label.range);
      const where = line ? h("button.place", { onclick: go }, `line ${line.number}`) : h("span.place", {}, label.place);
      out.append(h("div.label", {}, where, " ", ...rich(label.text)));
    }
  }
  for (const [kind, text] of notes) out.append(h(`div.${kind}`, {}, ...rich(text)));
  return out;
}

export function rich(text) {
  return text.split(/(`[^`]+`)/).map((part) => (part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : part));
}

/** Selects a place and shows it. */
export function show(view, range) {
  if (!range) return;
  const [from, to] = range.map((at) => Math.min(at, view.state.doc.length));
  view.dispatch({
    selection: { anchor: from, head: to },
    effects: EditorView.scrollIntoView(from, { y: "center" }),
    userEvent: "select",
  });
  view.focus();
}

/**
 * @param {object} page
 * @param {HTMLElement} page.parent
 * @param {import("./client.js").Client} page.client
 * @param {() => void} page.onChange
 * @param {(code: string) => void} page.onCode
 * @param {(module: string, range: number[]) => void} page.onSource
 */
export function makeEditor({ parent, client, text, onChange, onCode, onSource, onFormat }) {
  const ask = (name, state, request = {}) => client.call(name, { text: state.doc.toString(), ...request });

  const hover = hoverTooltip(
    async (view, pos) => {
      const { state } = view;
      const found = await ask("hover", state, { at: pos }).catch(() => null);
      if (!found || view.state.doc !== state.doc) return null;
      const [from, end] = found.range;
      return {
        pos: from,
        end,
        above: true,
        create: () => ({ dom: h("div.hover", {}, markdown(found.markdown, onCode)) }),
      };
    },
    { hoverTime: 250, hideOnChange: true },
  );

  const complete = async (context) => {
    const before = context.matchBefore(/[A-Za-z_][A-Za-z0-9_]*/);
    const start = context.matchBefore(/(?:\|>|[.(,:="])[ ]?/);
    if (!context.explicit && !before && !start) return null;
    const all = await ask("complete", context.state, { at: context.pos }).catch(() => null);
    if (!all || all.length === 0 || context.aborted) return null;
    // Among what fits alike, what begins with the word comes first.
    const word = context.state.sliceDoc(all[0].range[0], context.pos).toLowerCase();
    const begins = (c) => Number(!c.label.toLowerCase().startsWith(word));
    const order = word ? all.map((c, i) => [begins(c), i, c]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((e) => e[2]) : all;
    const options = order.map((c) => {
      const option = { label: c.label, type: ICONS[c.kind] ?? "text", detail: c.detail };
      if (c.snippet) option.apply = snippet(template(c.insert));
      else if (c.insert !== c.label) option.apply = c.insert;
      option.info = async () => {
        const docs = await client.call("document", { name: c.label }).catch(() => null);
        const shown = docs ?? c.docs;
        return shown ? h("div.hover", {}, markdown(shown, onCode)) : null;
      };
      return option;
    });
    return { from: all[0].range[0], options, filter: false };
  };

  const askSignature = later(async (view) => {
    const { state } = view;
    const at = state.selection.main;
    let found = null;
    if (at.empty && view.hasFocus && completionStatus(state) === null) {
      found = await ask("signature", state, { at: at.head }).catch(() => null);
    }
    if (view.state.doc !== state.doc || view.state.selection.main.head !== at.head) return;
    const now = view.state.field(signature);
    if (!found) {
      if (now) view.dispatch({ effects: setSignature.of(null) });
      return;
    }
    const create = () => {
      const active = found.params[found.active ?? -1];
      const { label } = found;
      const parts = active
        ? [label.slice(0, active[0]), h("b", {}, label.slice(...active)), label.slice(active[1])]
        : [label];
      return { dom: h("div.signature", {}, h("code", {}, ...parts)) };
    };
    view.dispatch({ effects: setSignature.of({ pos: at.head, above: true, arrow: false, create }) });
  }, 150);

  const askUses = later(async (view) => {
    const { state } = view;
    const at = state.selection.main;
    const found = at.empty ? await ask("highlights", state, { at: at.head }).catch(() => []) : [];
    if (view.state.doc !== state.doc) return;
    const mark = (u) => Decoration.mark({ class: u.binds ? "use binds" : "use" }).range(u.range[0], u.range[1]);
    const marks = (Array.isArray(found) ? found : []).filter((u) => u.range[1] > u.range[0]).map(mark);
    view.dispatch({ effects: uses.set.of(Decoration.set(marks, true)) });
  }, 180);

  const define = async (view, at) => {
    const found = await ask("definition", view.state, { at }).catch(() => null);
    if (found?.module) onSource(found.module, found.range);
    else if (found?.range) show(view, found.range);
    return Boolean(found);
  };

  const rename = (view) => {
    const { state } = view;
    const at = state.selection.main.head;
    ask("rename", state, { at })
      .then(async ({ range }) => {
        const value = state.sliceDoc(...range);
        const options = { label: `Rename ${value} to`, input: { name: "to", value }, focus: "input[name=to]", submitLabel: "Rename" };
        const form = await showDialog(view, options).result;
        view.focus();
        if (!form) return;
        const { edits } = await ask("rename", view.state, { at, to: form.elements.to.value });
        applyEdits(view, edits, "input.rename");
      })
      .catch((fault) => note(view, fault.message));
    return true;
  };

  const act = (view) => {
    const { from, to } = view.state.selection.main;
    ask("actions", view.state, { from, to })
      .then((all) => {
        if (all.length === 0) return note(view, "nothing is offered here");
        menu(view, all.map((a) => ({ title: a.title, run: () => applyEdits(view, a.edits) })));
      })
      .catch(() => {});
    return true;
  };

  const keys = [
    { key: "Shift-Alt-f", run: () => (onFormat(), true) },
    { key: "Mod-s", run: () => (onFormat(), true) },
    { key: "F12", run: (v) => (define(v, v.state.selection.main.head), true) },
    { key: "F2", run: rename },
    { key: "Mod-.", run: act },
    { key: "Mod-/", run: toggleComment },
    { key: "Tab", run: acceptCompletion },
    { key: "Escape", run: (v) => (v.state.field(signature) ? (v.dispatch({ effects: setSignature.of(null) }), true) : false) },
  ];

  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lintGutter(),
        lineNumbers(),
        foldGutter({
          // Folds come from the worker, after the text.
          foldingChanged: (update) => update.transactions.some((t) => t.effects.some((e) => e.is(setFolds))),
          markerDOM: (open) => h("span.fold", { title: open ? "Fold" : "Unfold" }, open ? "⌄" : "›"),
        }),
        codeFolding({ placeholderText: "⋯" }),
        folds,
        foldService.of((state, start, end) => {
          // What is in braces: from the end of its line to the closing brace's.
          const found = state.field(folds).find(([from, to]) => from >= start && from <= end && to > end);
          return found ? { from: end, to: found[1] } : null;
        }),
        highlightActiveLineGutter(),
        highlightSpecialChars(),
        history(),
        drawSelection(),
        dropCursor(),
        EditorState.allowMultipleSelections.of(true),
        indentUnit.of("  "),
        language,
        bracketMatching(),
        closeBrackets(),
        rectangularSelection(),
        crosshairCursor(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        EditorView.lineWrapping,
        hints.field,
        colours.field,
        lenses.field,
        uses.field,
        signature,
        hover,
        autocompletion({ override: [complete], activateOnTypingDelay: 60, icons: true }),
        Prec.high(keymap.of(keys)),
        keymap.of([
          ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap,
          ...lintKeymap, indentWithTab,
        ]),
        EditorView.contentAttributes.of({ "aria-label": "program", spellcheck: "false", autocorrect: "off" }),
        EditorView.updateListener.of((u) => {
          if (u.docChanged) onChange();
          if (u.docChanged || u.selectionSet) {
            const typed = u.transactions.some((t) => t.isUserEvent("input") || t.isUserEvent("delete"));
            if (typed || u.state.field(signature)) askSignature(u.view);
            askUses(u.view);
          }
        }),
        EditorView.domEventHandlers({
          mousedown(event, v) {
            if (!(event.ctrlKey || event.metaKey) || event.button !== 0) return false;
            const at = v.posAtCoords({ x: event.clientX, y: event.clientY });
            if (at === null) return false;
            define(v, at);
            return true;
          },
        }),
      ],
    }),
  });

  /** Shows what the front end found for a text, if it is still the text. */
  function apply(found, doc) {
    if (view.state.doc !== doc) return;
    const within = (range) => range[0] <= range[1] && range[1] <= doc.length;
    const side = (at, widget, side) => Decoration.widget({ widget, side }).range(at);
    const hintMarks = found.hints.map((x) => side(x.at, new Shown(x.label, "hint", x.insert), 1));
    const tokenMarks = found.tokens
      .filter((x) => within(x.range) && x.range[1] > x.range[0])
      .map((x) => {
        const names = [x.kind, ...x.modifiers].map((n) => `t-${n}`).join(" ");
        return Decoration.mark({ class: names }).range(x.range[0], x.range[1]);
      });
    const lensMarks = found.lenses.map((x) => side(doc.lineAt(x.range[0]).to, new Shown(x.title, "lens"), 2));
    const marks = found.diagnostics.map((d) => {
      const place = d.primary?.range ?? [0, 0];
      const actions = d.fixes.map((f) => ({ name: f.title.replaceAll("`", ""), apply: (v) => applyEdits(v, f.edits) }));
      return {
        from: Math.min(place[0], doc.length),
        to: Math.min(place[1], doc.length),
        severity: d.severity,
        message: d.headline,
        renderMessage: (v) => message(d, v, { onCode }),
        actions,
      };
    });
    view.dispatch(setDiagnostics(view.state, marks), {
      effects: [
        hints.set.of(Decoration.set(hintMarks, true)),
        colours.set.of(Decoration.set(tokenMarks, true)),
        lenses.set.of(Decoration.set(lensMarks, true)),
        setFolds.of(found.folds.map((f) => f.range)),
      ],
    });
  }

  return { view, apply, foldAll: () => foldAll(view), unfoldAll: () => unfoldAll(view) };
}

/** A line at the cursor that goes away by itself. */
export function note(view, text) {
  const at = view.coordsAtPos(view.state.selection.main.head);
  const node = h("div.note", { role: "status" }, text);
  if (at) Object.assign(node.style, { left: `${at.left}px`, top: `${at.bottom + 4}px` });
  document.body.append(node);
  setTimeout(() => node.remove(), 2500);
}

/** A menu at the cursor, for the keyboard too. */
function menu(view, entries) {
  const at = view.coordsAtPos(view.state.selection.main.head);
  const close = (event) => {
    if (event && node.contains(event.relatedTarget)) return;
    node.remove();
    if (!event) view.focus();
  };
  const node = h(
    "div.menu",
    { role: "menu", onfocusout: close },
    entries.map((e) => h("button", { role: "menuitem", onclick: () => (close(), e.run()) }, e.title)),
  );
  node.onkeydown = (event) => {
    const all = [...node.children];
    const now = all.indexOf(document.activeElement);
    if (event.key === "Escape") close();
    else if (event.key === "ArrowDown") all[(now + 1) % all.length].focus();
    else if (event.key === "ArrowUp") all[(now + all.length - 1) % all.length].focus();
    else return;
    event.preventDefault();
  };
  if (at) Object.assign(node.style, { left: `${at.left}px`, top: `${at.bottom + 4}px` });
  document.body.append(node);
  node.firstChild.focus();
}
