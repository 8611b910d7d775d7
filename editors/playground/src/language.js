// The language for CodeMirror: its words come from the compiler's grammar when the page is built (NNC_WORDS).
import { HighlightStyle, LanguageSupport, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { highlightCode, tags as t } from "@lezer/highlight";

/* global NNC_WORDS */
const keywords = new Set(NNC_WORDS.keywords);
const dtypes = new Set(NNC_WORDS.dtypes);
const declares = new Set(NNC_WORDS.declares);

export const nn = StreamLanguage.define({
  name: "nn",
  startState: () => ({ declared: false }),
  token(stream, state) {
    if (stream.eatSpace()) return null;
    if (stream.match("///")) {
      stream.skipToEnd();
      return "docComment";
    }
    if (stream.match("//")) {
      stream.skipToEnd();
      return "lineComment";
    }
    if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) return "string";
    if (stream.match(/^(?:\d[\d_]*\.\d[\d_]*(?:[eE][+-]?\d+)?|\d[\d_]*(?:[eE][+-]?\d+)?)/)) return "number";
    const word = stream.match(/^[A-Za-z_][A-Za-z0-9_]*/);
    if (word) {
      const text = word[0];
      if (state.declared) {
        state.declared = false;
        return "definition";
      }
      if (declares.has(text) && stream.match(/^[ \t]+[A-Za-z_]/, false)) state.declared = true;
      if (keywords.has(text) && !stream.match(/^[ \t]*:/, false)) return "keyword";
      state.declared = false;
      if (text === "true" || text === "false" || text === "none") return "atom";
      if (dtypes.has(text)) return "typeName";
      return /^[A-Z]/.test(text) && text.length > 1 && /[a-z]/.test(text) ? "className" : "variableName";
    }
    state.declared = false;
    if (stream.match("|>")) return "pipe";
    if (stream.match(/^(?:->|==|!=|<=|>=|\.\.)/)) return "operator";
    const c = stream.next();
    return "{}[]()".includes(c) ? "bracket" : "+-*/^@=<>".includes(c) ? "operator" : null;
  },
  tokenTable: { definition: t.definition(t.className), pipe: t.controlOperator },
  languageData: {
    commentTokens: { line: "//" },
    closeBrackets: { brackets: ["(", "[", "{", '"'] },
    indentOnInput: /^\s*[}\])]$/,
  },
});

const colours = HighlightStyle.define([
  { tag: t.keyword, class: "k" },
  { tag: [t.lineComment], class: "c" },
  { tag: [t.docComment], class: "cd" },
  { tag: t.string, class: "s" },
  { tag: [t.number, t.atom], class: "n" },
  { tag: t.typeName, class: "ty" },
  { tag: t.className, class: "cl" },
  { tag: t.definition(t.className), class: "df" },
  { tag: t.controlOperator, class: "pp" },
  { tag: t.operator, class: "o" },
  { tag: t.bracket, class: "b" },
]);

export const language = new LanguageSupport(nn, [syntaxHighlighting(colours)]);

/** Code as coloured nodes, for messages and documentation. */
export function coloured(code) {
  const out = document.createDocumentFragment();
  highlightCode(
    code,
    nn.parser.parse(code),
    colours,
    (text, classes) => {
      if (!classes) return out.append(text);
      const span = document.createElement("span");
      span.className = classes;
      span.textContent = text;
      out.append(span);
    },
    () => out.append("\n"),
  );
  return out;
}
