// Builds dist/: the front end as WebAssembly, the page, and the page with everything inside as one file.
//   node scripts/build.mjs [--dev]     --dev keeps names and takes the WebAssembly that is there
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const top = join(here, "..", "..");
const dist = join(here, "dist");
const dev = process.argv.includes("--dev");
const read = (...path) => readFileSync(join(...path), "utf8");

/** The words of the language, from the compiler's grammar. */
function words() {
  const grammar = read(top, "grammar", "nn.pest");
  const of = (rule) => {
    const start = grammar.indexOf(`\n${rule} `);
    const end = ["stop }", "stop\n}"].map((e) => grammar.indexOf(e, start)).filter((at) => at > 0);
    if (start < 0 || end.length === 0) throw new Error(`grammar/nn.pest has no rule ${rule}`);
    return [...grammar.slice(start, Math.min(...end)).matchAll(/"([^"]+)"/g)].map((m) => m[1]);
  };
  const declares = ["const", "fn", "layer", "optimizer", "data"].flatMap((rule) => of(`kw_${rule}`));
  const others = ["use", "task", "forward", "update", "step", "gradient"].flatMap((rule) => of(`kw_${rule}`));
  const keywords = [...new Set([...of("reserved"), ...of("context"), ...declares, ...others])];
  const values = ["true", "false", "none"];
  return { keywords: keywords.filter((w) => !values.includes(w)).sort(), dtypes: of("dtype"), declares };
}

/** The project's examples and models, with a line on each. */
function examples() {
  const rows = (folder) =>
    new Map([...read(top, folder, "README.md").matchAll(/^\| \[`?(\w+)\.nn`?\]\([^)]*\) \| ([^|]*) \|/gm)].map((m) => [m[1], m[2]]));
  const plain = (text = "") => text.replace(/[`*]/g, "").split(/[;:]/)[0].trim();
  return ["examples", "models"].flatMap((folder) => {
    const about = rows(folder);
    const files = readdirSync(join(top, folder)).filter((f) => f.endsWith(".nn")).map((f) => f.slice(0, -3));
    const order = [...about.keys()];
    const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
    files.sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
    const taken = folder === "models" ? "models/" : "";
    return files.map((name) => ({ name: taken + name, kind: folder, about: plain(about.get(name)), text: read(top, folder, `${name}.nn`) }));
  });
}

function wasm() {
  const target = join(process.env.CARGO_TARGET_DIR ?? join(top, "target"), "wasm32-unknown-unknown", "playground", "nnc_playground.wasm");
  if (!(dev && existsSync(target))) {
    const args = ["build", "-p", "nnc-playground", "--profile", "playground", "--target", "wasm32-unknown-unknown"];
    execFileSync("cargo", args, { cwd: top, stdio: "inherit" });
  }
  return readFileSync(target);
}

/** The licences of what is bundled. */
function notices(metafile) {
  const names = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const found = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/);
    if (found) names.add(found[1]);
  }
  const parts = [...names].sort().map((name) => {
    const folder = join(here, "node_modules", name);
    const about = JSON.parse(read(folder, "package.json"));
    const file = readdirSync(folder).find((f) => /^licen[sc]e/i.test(f));
    if (!file) throw new Error(`${name} comes without its licence`);
    return `${name} ${about.version} (${about.license})\n\n${read(folder, file).trim()}\n`;
  });
  return ["The playground of nnc holds code of others under these licences.\n", ...parts, crates()].join("\n----\n\n");
}

/** The crates inside of the WebAssembly module. */
function crates() {
  const args = ["tree", "-p", "nnc-playground", "--target", "wasm32-unknown-unknown", "-e", "normal", "--prefix", "none", "-f", "{p} ({l})"];
  const lines = execFileSync("cargo", args, { cwd: top, encoding: "utf8" }).split("\n");
  const rows = lines.map((l) => l.replace(/ \(\*\)$/, "")).filter((l) => l && !/^nnc/.test(l));
  return `The WebAssembly module holds these crates of Rust; each comes with its licence from crates.io.\n\n${[...new Set(rows)].sort().join("\n")}\n`;
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const common = {
  bundle: true, minify: !dev, format: "iife", target: "es2022", outdir: dist, metafile: true, legalComments: "none", charset: "utf8",
  define: { NNC_WORDS: JSON.stringify(words()), NNC_EXAMPLES: JSON.stringify(examples()) },
};
const module = wasm();
const app = await build({ ...common, entryPoints: { app: join(here, "src", "main.js"), worker: join(here, "src", "worker.js") } });
await build({ ...common, entryPoints: { app: join(here, "src", "style.css") } });
const page = read(here, "src", "index.html");
writeFileSync(join(dist, "index.html"), page);
writeFileSync(join(dist, "nnc.wasm"), module);
writeFileSync(join(dist, "NOTICES.txt"), notices(app.metafile));

// One file that works from a disk: everything inside, the large parts packed.
const packed = (id, bytes) => `<script type="text/plain" id="${id}">${gzipSync(bytes, { level: 9 }).toString("base64")}</script>\n`;
const script = read(dist, "app.js").replaceAll("</script", "<\\/script");
const whole = page
  .replace('<link rel="stylesheet" href="app.css">', () => `<style>${read(dist, "app.css")}</style>`)
  .replace('<script src="app.js"></script>', () => packed("nnc-wasm", module) + packed("nnc-worker", Buffer.from(read(dist, "worker.js"))) + `<script>${script}</script>`)
  .replace("</body>", () => `<!--\n${read(dist, "NOTICES.txt").replaceAll("--", "- -")}-->\n</body>`);
writeFileSync(join(dist, "playground.html"), whole);

for (const file of readdirSync(dist).sort()) {
  const bytes = readFileSync(join(dist, file));
  console.log(`${file.padEnd(16)} ${String(bytes.length).padStart(9)} bytes, ${String(gzipSync(bytes, { level: 9 }).length).padStart(9)} packed`);
}
