// Drives the built page in a headless Chromium: what a person does in the first minute.
//   npm test            after npm run build; screenshots go to test/out/
// Without a browser, or before the build, everything is skipped, and says so. CHROMIUM names another browser.
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";
import { serve } from "../scripts/serve.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "..", "dist");
const out = join(here, "out");
const places = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/snap/bin/chromium"];
const chromium = places.find((p) => p && existsSync(p));
const built = existsSync(join(dist, "index.html"));
const skip = !built ? "dist/ is not there: npm run build" : !chromium ? "no Chromium was found" : false;

let browser;
let server;
const faults = [];

before(async () => {
  if (skip) return;
  mkdirSync(out, { recursive: true });
  server = await serve();
  browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
});
after(async () => {
  await browser?.close();
  server?.server.close();
});

async function open(address = server.url, { theme = "light", width = 1440, height = 900 } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.on("pageerror", (e) => faults.push(e.message));
  page.on("console", (m) => m.type() === "error" && faults.push(m.text()));
  // Whatever is not of the page itself is the network.
  page.on("request", (r) => /^https?:/.test(r.url()) && !r.url().startsWith(server.url) && faults.push(`asks for ${r.url()}`));
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  await page.goto(address);
  await page.waitForSelector("html[data-ready]", { timeout: 30000 });
  return page;
}

const text = (page) => page.evaluate(() => playground.view.state.doc.toString());
const see = (page, what, said) =>
  page.waitForFunction((s, t) => [...document.querySelectorAll(s)].some((e) => e.textContent.includes(t)), { timeout: 20000 }, what, said);

/** Replaces the program, as if it were pasted. */
const write = (page, program) =>
  page.evaluate((insert) => {
    const { view } = playground;
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert } });
    view.focus();
  }, program);

/** The middle of the first place where a text is shown. */
const middle = (page, what, inner = 0) =>
  page.evaluate(
    (w, i) => {
      const at = playground.view.state.doc.toString().indexOf(w) + i;
      const { left, top, bottom } = playground.view.coordsAtPos(at);
      return { x: left + 3, y: (top + bottom) / 2 };
    },
    what,
    inner,
  );

const MODEL = "model Net {\n  fc1 = Linear(32)\n  fc2 = Linear(10)\n\n  forward(x: f32[B, 100]) -> logits[B, 10] {\n    h = x |> fc1 |> relu\n    h |> fc2\n  }\n}\n";

test("a mistake is underlined while it is typed, and one click mends it", { skip }, async () => {
  const page = await open();
  await write(page, MODEL);
  await see(page, "#state", "no mistakes");
  const at = await middle(page, "relu", 4);
  await page.mouse.click(at.x - 3, at.y);
  await page.keyboard.press("Backspace");
  await page.keyboard.type("x");
  await see(page, ".problem.error .headline", "relx");
  assert.equal(await page.$eval(".cm-lintRange-error", (e) => e.textContent), "relx");
  assert.match(await page.$eval(".problem .help", (e) => e.textContent), /relu/);
  await page.keyboard.press("Escape");

  const squiggle = await middle(page, "relx", 2);
  await page.mouse.move(squiggle.x, squiggle.y);
  await see(page, ".cm-tooltip .cm-diagnostic", "relx");
  await page.screenshot({ path: join(out, "mistake.png") });
  await page.click(".cm-tooltip .cm-diagnosticAction");
  await see(page, "#state", "no mistakes");
  assert.equal(await text(page), MODEL);
});

test("a fix in the list of problems is applied", { skip }, async () => {
  const page = await open(`${server.url}#example=wrong_flatten`);
  await see(page, ".problem.error", "8192");
  await page.click(".problem .fix");
  await see(page, "#state", "no mistakes");
  assert.match(await text(page), /in: 128 \* 8 \* 8/);
});

test("hints and hovers show shapes", { skip }, async () => {
  const page = await open();
  await write(page, MODEL);
  await see(page, ".hint", ": f32[B, 32]");
  const at = await middle(page, "fc2\n  }", 1);
  await page.mouse.move(at.x, at.y);
  await see(page, ".cm-tooltip .hover", "layer Linear");
  const x = await middle(page, "h |> fc2");
  await page.mouse.move(x.x, x.y);
  await see(page, ".cm-tooltip .hover", "h: f32[B, 32]");
  await page.screenshot({ path: join(out, "hover.png") });
  await page.select("#hints", "off");
  await page.waitForFunction(() => document.querySelectorAll(".hint").length === 0);
});

test("completion offers what fits, and a choice is written", { skip }, async () => {
  const page = await open();
  await write(page, MODEL);
  await see(page, "#state", "no mistakes");
  const at = await middle(page, "h |> fc2", 8);
  await page.mouse.click(at.x - 3, at.y);
  await page.keyboard.type(" |> softm");
  await see(page, ".cm-tooltip-autocomplete li", "softmax");
  await page.screenshot({ path: join(out, "completion.png") });
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => playground.view.state.doc.toString().includes("h |> fc2 |> softmax\n"));
});

test("formatting lays the program out and keeps the cursor", { skip }, async () => {
  const page = await open();
  await write(page, MODEL.replace("  fc1 = ", " fc1   =").replace("x |> fc1", "x|>fc1"));
  const at = await middle(page, "fc2 = ", 1);
  await page.mouse.click(at.x - 3, at.y);
  await page.keyboard.down("Control");
  await page.keyboard.press("s");
  await page.keyboard.up("Control");
  await page.waitForFunction((t) => playground.view.state.doc.toString() === t, {}, MODEL);
  assert.equal(await page.evaluate(() => playground.view.state.selection.main.head), MODEL.indexOf("fc2 = ") + 1);
});

test("blocks fold", { skip }, async () => {
  const page = await open();
  await write(page, MODEL);
  await see(page, ".hint", ": f32[B, 32]");
  const lines = () => page.$$eval(".cm-line", (all) => all.length);
  const before = await lines();
  await page.waitForSelector(".cm-foldGutter .fold[title=Fold]");
  await page.click(".cm-foldGutter .fold[title=Fold]");
  await page.waitForSelector(".cm-foldPlaceholder");
  assert.ok((await lines()) < before);
  await page.click(".cm-foldPlaceholder");
  await page.waitForFunction((n) => document.querySelectorAll(".cm-line").length === n, {}, before);
});

test("the panels show picture, layers and memory, and a line behind a tensor", { skip }, async () => {
  const page = await open(`${server.url}#example=digits`);
  const frame = await (await page.waitForSelector("#picture iframe")).contentFrame();
  await frame.waitForSelector(".unit");
  const lines = () => frame.$$eval("svg > g > path", (all) => all.length);
  const all = await lines();
  assert.ok(all > 8, `${all} lines`);
  await frame.click(".group .group > b");
  assert.ok((await lines()) < all, "a fold takes lines away");
  await page.click("#tab-layers");
  await see(page, "#layers td.path", "net");
  assert.match(await page.$eval("#layers .card", (e) => e.textContent), /53\.0 k.*parameters/);
  await page.click("#tab-memory");
  await page.waitForSelector("#memory .arena .box");
  const place = await page.waitForSelector("#memory button.place");
  await place.click();
  assert.ok(await page.evaluate(() => !playground.view.state.selection.main.empty), "a line is selected");
});

test("the page of a code, by a click", { skip }, async () => {
  const page = await open(`${server.url}#example=wrong_flatten`);
  await (await page.waitForSelector(".problem button.code")).click();
  await see(page, "#page h2", "shape-mismatch");
  assert.ok(await page.$eval("#page", (e) => !e.hidden));
});

test("a link holds the program", { skip }, async () => {
  const page = await open();
  const program = `// größer, 深, 🎈\n${MODEL}`;
  await write(page, program);
  await page.waitForFunction(() => location.hash.startsWith("#program="));
  const other = await open(await page.evaluate(() => location.href));
  assert.equal(await text(other), program);
  // Places are right behind letters of several bytes.
  await see(other, ".hint", ": f32[B, 32]");
  const line = await other.$$eval(".cm-line", (all) => all.find((l) => l.textContent.includes("h: f32"))?.textContent);
  assert.match(line, /^ {4}h: f32\[B, 32\] = x/);
});

test("every example is looked at without a fault of the page", { skip }, async () => {
  const page = await open();
  const names = await page.$$eval("#example option:not([disabled])", (all) => all.map((o) => o.value));
  assert.ok(names.length > 30, `${names.length} examples`);
  const failed = await page.evaluate(async (all) => {
    const out = [];
    for (const name of all) {
      document.getElementById("example").value = name;
      document.getElementById("example").onchange();
      const text = playground.view.state.doc.toString();
      for (const call of ["look", "picture", "summary", "plan", "format", "costs"]) {
        const { value } = await playground.client.timed(call, { text, threads: 4 }).catch((e) => ({ value: { error: `trap: ${e.message}` } }));
        if (value.error?.startsWith("trap")) out.push(`${name} ${call}: ${value.error}`);
      }
    }
    return out;
  }, names);
  assert.deepEqual(failed, []);
});

test("half-typed and deep programs do not stop the compiler", { skip }, async () => {
  const page = await open();
  const failed = await page.evaluate(async (model) => {
    const out = [];
    const texts = [];
    for (let i = 0; i < model.length; i += 7) texts.push(model.slice(0, i));
    for (const c of ["(", "[", "{", "-", "f(", "if a {", "x |> "]) texts.push(`model Net { forward(x: f32[B]) { ${c.repeat(3000)}`);
    for (const text of texts) {
      for (const call of ["look", "complete", "signature", "format"]) {
        await playground.client.timed(call, { text, at: text.length }).catch((e) => out.push(`${call} ${text.slice(0, 60)}: ${e.message}`));
      }
    }
    return out;
  }, MODEL);
  assert.deepEqual(failed, []);
});

test("the keyboard reaches everything", { skip }, async () => {
  const page = await open();
  await page.focus("#tab-picture");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-layers");
  await page.focus("#split");
  const width = () => page.$eval("#left", (e) => e.getBoundingClientRect().width);
  const before = await width();
  await page.keyboard.press("ArrowLeft");
  assert.ok((await width()) < before);
  const unnamed = await page.$$eval("button, select, [role=tab]", (all) =>
    all.filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label"))).map((e) => e.outerHTML),
  );
  assert.deepEqual(unnamed, []);
});

test("the keys are listed", { skip }, async () => {
  const page = await open();
  await page.click("#help");
  const rows = await page.$$eval("#keys dt", (all) => all.map((e) => e.textContent));
  assert.ok(rows.length > 5 && rows.includes("F8"), rows.join(" "));
});

test("one file does it all, from a disk and in the dark", { skip }, async () => {
  const page = await open(`${pathToFileURL(join(dist, "playground.html"))}#example=wrong_flatten`, { theme: "dark" });
  await see(page, ".problem.error", "8192");
  assert.equal(await page.$eval("html", (e) => e.dataset.theme), "dark");
  await page.screenshot({ path: join(out, "dark.png") });
  await page.click("#theme");
  assert.equal(await page.$eval("html", (e) => e.dataset.theme), "light");
  await page.screenshot({ path: join(out, "light.png") });
});

test("nothing failed unseen, and nothing was asked of the network", { skip }, () => {
  assert.deepEqual(faults, []);
});
