// Elements without a framework.

/** `h("button.small", { onclick }, "text", child)` */
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on") || name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

const NS = "http://www.w3.org/2000/svg";

export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** `1.5 MiB` */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  for (const unit of ["KiB", "MiB", "GiB"]) {
    value /= 1024;
    if (value < 1024 || unit === "GiB") return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ${unit}`;
  }
}

/** `1,234,567` */
export function grouped(n) {
  return n.toLocaleString("en-US");
}

/** `1.2 M` */
export function short(n) {
  for (const [unit, one] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (n >= one) return `${(n / one).toFixed(n >= 100 * one ? 0 : n >= 10 * one ? 1 : 2)} ${unit}`;
  }
  return String(n);
}

/** Calls `f` when nobody called for so long. */
export function later(f, ms) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
}

/** What the browser remembers, if it lets us. */
export const memory = {
  get(key) {
    try {
      return localStorage.getItem(`nnc.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`nnc.${key}`, value);
    } catch {
      // A page from a file may have no memory.
    }
  },
};
