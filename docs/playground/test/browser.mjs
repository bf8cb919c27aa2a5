// The playground in Chromium, as a reader has it: what is typed, shown, mended, shared and ended.
//   CHROMIUM=/usr/bin/chromium [PICTURES=directory] node --test test/browser.mjs
import assert from "node:assert/strict";
import { createReadStream, existsSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const folder = fileURLToPath(new URL("..", import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".wasm": "application/wasm" };
const pictures = process.env.PICTURES;
let server, browser, base, missing = new Set();

before(async () => {
  server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const file = join(folder, path === "/" ? "index.html" : path);
    if (!file.startsWith(folder) || missing.has(path) || !existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}/`;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  if (pictures) mkdirSync(pictures, { recursive: true });
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** A page that says what goes wrong in it. */
async function open(fragment = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.wrong.push(message.text()));
  page.setDefaultTimeout(30000);
  await page.goto(base + fragment);
  return page;
}

const picture = (page, name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });
const sink = (page, name) => page.locator("section.sink", { has: page.locator("h2", { hasText: `sink ${name}` }) });

/** Replaces some text of the program. */
async function replace(page, from, to) {
  await page.evaluate(([from, to]) => {
    const view = document.querySelector(".cm-content").cmTile.root.view;
    const at = view.state.doc.toString().indexOf(from);
    if (at < 0) throw new Error(`there is no ${from}`);
    view.dispatch({ changes: { from: at, to: at + from.length, insert: to }, selection: { anchor: at + to.length } });
    view.focus();
  }, [from, to]);
}

/** Types a whole program, key by key. */
async function type(page, text) {
  await page.locator(".cm-content").click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText(text);
}

test("an example runs, and rows change with the program and with the sample data", async () => {
  const page = await open();
  await sink(page, "result").locator("tbody tr").nth(3).waitFor();
  assert.equal(await sink(page, "result").locator("tbody tr").count(), 4);
  assert.match(await sink(page, "report").innerText(), /sensor 2 reported 300(\.0)? °C/);
  await picture(page, "rows");
  await replace(page, "where level > 0", "where level > 1");
  await page.waitForFunction(() => document.querySelectorAll("section.sink")[1]?.querySelectorAll("tbody tr").length === 2);
  await page.locator("#rows").fill("id,timestamp,value\n5,1767268800000,950.0\n");
  await page.waitForFunction(() => document.querySelectorAll("section.sink")[0]?.querySelectorAll("tbody tr").length === 1);
  assert.match(await sink(page, "report").innerText(), /sensor 5 reported 510/);
  await page.locator("#rows").fill("id,timestamp,value\nfive,1,1\n");
  await page.locator("#table-mistakes", { hasText: "row 1" }).waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a mistake has a squiggle, a message, a page and a fix", async () => {
  const page = await open();
  await sink(page, "result").waitFor();
  await replace(page, "value is not null", "valeu is not null");
  await page.locator(".cm-lintRange-error").first().waitFor();
  await page.locator("#tab-problems").click();
  const card = page.locator(".problem").first();
  assert.match(await card.innerText(), /E0202[\s\S]*valeu/);
  await card.locator("summary").click();
  await card.locator(".markdown h3").first().waitFor();
  await picture(page, "problems");
  await card.locator(".actions button").first().click();
  await page.locator("#view-problems", { hasText: "No mistakes." }).waitFor();
  assert.equal(await page.locator(".cm-lintRange-error").count(), 0);
  assert.match(await page.locator(".cm-content").innerText(), /where value is not null/);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("graph, plan, hover with types, completion with columns, rows at the cursor", async () => {
  const page = await open();
  await sink(page, "result").waitFor();
  await page.locator("#tab-graph").click();
  await page.locator("#view-graph svg text", { hasText: "sensor" }).first().waitFor();
  await picture(page, "graph");
  await page.locator("#tab-plan").click();
  await page.locator("#plan", { hasText: "guarantees" }).waitFor();
  await page.locator("#tab-rows").click();
  await page.locator(".tok-column", { hasText: /^value$/ }).first().hover();
  await page.locator(".cm-tooltip-hover", { hasText: "degrees Fahrenheit" }).waitFor();
  await picture(page, "hover");
  await page.mouse.move(5, 5);
  await page.locator(".cm-line", { hasText: "|> where value is not null" }).click();
  await page.locator("#here h2", { hasText: "clean |> where" }).waitFor();
  assert.equal(await page.locator("#here tbody tr").count(), 4);
  await page.keyboard.press("End");
  await page.keyboard.type(" and ti");
  await page.keyboard.press("Control+Space");
  await page.locator(".cm-tooltip-autocomplete li", { hasText: "timestamp" }).first().waitFor();
  await picture(page, "completion");
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a typed program: another table, a failing row, the format", async () => {
  const page = await open();
  await sink(page, "result").waitFor();
  await page.locator("#table-tabs button", { hasText: "+ table" }).click();
  await page.locator("#location").fill("warehouse/n");
  await page.locator("#schema").fill("n: long");
  await page.locator("#rows-format").selectOption("json");
  await page.locator("#rows").fill('{ "n": 9007199254740993 }\n{ "n": 0 }');
  await type(page, 'source s = delta("warehouse/n")\nflow f=s |> extend half = 10 div n\nsink out = f -> console()\n');
  await page.locator("#rows-error .error", { hasText: "R01" }).waitFor();
  await page.locator("#format").click();
  await page.waitForFunction(() => document.querySelector(".cm-content").innerText.includes("flow f = s"));
  await page.locator("#rows").fill('{ "n": 9007199254740993 }');
  await sink(page, "out").locator("td", { hasText: "9007199254740993" }).waitFor();
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("all examples have rows and no mistakes; light, dark, and on a phone", async () => {
  const page = await open("", { colorScheme: "dark" });
  await sink(page, "result").waitFor();
  const titles = await page.locator("#example option:not([hidden])").allTextContents();
  assert.equal(titles.length, 5);
  for (const title of titles) {
    await page.locator("#example").selectOption({ label: title });
    await page.waitForFunction(() => document.querySelectorAll("section.sink tbody tr").length > 0 && !document.querySelector("#view-rows").classList.contains("stale"));
    assert.equal(await page.locator("#count").innerText(), "", title);
    await picture(page, `dark-${title.toLowerCase().replaceAll(" ", "-")}`);
  }
  await page.locator("#tab-graph").click();
  await page.locator("#view-graph svg").waitFor();
  await picture(page, "dark-graph");
  await page.locator("#theme").click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.locator("#tab-rows").click();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, "nothing is cut off at the side");
  await picture(page, "phone");
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("what is shared is there again after a reload", async () => {
  const page = await open();
  await sink(page, "result").waitFor();
  await replace(page, "where level > 0", "where level > 1");
  await page.locator("#epoch-rows").fill("2");
  await page.locator("#rows").fill("id,timestamp,value\n8,1767268800000,950.0\n");
  await page.locator("section.sink td", { hasText: "sensor 8" }).waitFor();
  const url = page.url();
  assert.match(url, /#p=[\w-]+$/);
  await page.reload();
  await page.locator("section.sink td", { hasText: "sensor 8" }).waitFor();
  const other = await open(new URL(url).hash);
  await other.locator("section.sink td", { hasText: "sensor 8" }).waitFor();
  assert.match(await other.locator(".cm-content").innerText(), /level > 1/);
  assert.equal(await other.locator("#epoch-rows").inputValue(), "2");
  const broken = await open("#p=AAAA");
  await sink(broken, "result").waitFor();
  for (const one of [page, other, broken]) {
    assert.deepEqual(one.wrong, []);
    await one.context().close();
  }
});

test("a program without an end is stopped, and the next one runs", async () => {
  const page = await open();
  await sink(page, "result").waitFor();
  const endless = "where level > 0\n    |> extend many = sequence(1, 2000000)\n    |> explode many as one\n    |> extend more = sequence(1, 2000000)\n    |> explode more as other";
  await replace(page, "where level > 0", endless);
  await page.locator("#rows-error .error", { hasText: "stopped" }).waitFor();
  await picture(page, "stopped");
  const many = (name) => `\n    |> extend a_${name} = sequence(1, 1500)\n    |> explode a_${name} as ${name}`;
  const slow = `where level > 0${many("x")}${many("y")}${many("z")}\n    |> where x + y + z < 0`;
  await replace(page, endless, slow);
  await page.locator("#rows-error .error", { hasText: "stopped after 2.5 seconds" }).waitFor();
  await replace(page, slow, "where level > 1");
  await sink(page, "report").locator("tbody tr").first().waitFor();
  await page.waitForFunction(() => !document.querySelector("#rows-error .error"));
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("names are never markup", async () => {
  const page = await open();
  await sink(page, "result").waitFor();
  await page.locator("#rows").fill('id,timestamp,value\n1,1767268800000,950\n');
  await replace(page, "\"sensor {id} reported", "\"<img src=x onerror=alert(1)> {id} reported");
  await sink(page, "report").locator("td", { hasText: "<img src=x" }).waitFor();
  assert.equal(await page.locator("img[src]").count(), 0);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test("a playground that was not built says so", async () => {
  missing.add("/dist/app.js");
  const page = await open();
  await page.locator("#notice", { hasText: "not built" }).waitFor();
  missing = new Set(["/dist/flowc.wasm"]);
  await page.reload();
  await page.locator("#notice", { hasText: "build.sh" }).waitFor();
  missing = new Set();
  await page.context().close();
});
