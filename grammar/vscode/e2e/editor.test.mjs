// The extension as a user has it. What needs the language server is left out where this flowc has none.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Editor, hasServer } from "./editor.mjs";

const FILE = "weather.flow";
const withServer = { skip: hasServer ? false : "this flowc has no language server" };
let editor;
let original;

before(async () => {
  editor = await Editor.start();
  original = editor.read(FILE);
});
after(() => editor?.stop());
beforeEach(async () => {
  await editor.page.keyboard.press("Escape");
  await editor.open(FILE);
});
afterEach(async (context) => {
  await editor.picture(context.name.replace(/\W+/g, "-"));
  // Each test leaves the program as it was.
  await editor.page.keyboard.press("Escape");
  await editor.open(FILE);
  await editor.restore(FILE, original);
});

test("tokens of different kinds have different colours", async () => {
  const words = { keyword: "flow", comment: "## Degrees Fahrenheit.*", type: "double", number: "32", step: "where" };
  const colours = await editor.colours({ plain: "value", ...words });
  assert.notEqual(colours.keyword, colours.comment);
  assert.notEqual(colours.comment, colours.number);
  assert.notEqual(colours.number, colours.type);
});

test("the status bar has the version", async () => {
  await editor.page.locator(".statusbar-item", { hasText: /flowc \d+\.\d+\.\d+/ }).waitFor();
});

test("a wrong column name is underlined, and no longer when it is right", async () => {
  await editor.replace(FILE, "value between", "valeu between");
  await editor.save();
  await editor.page.locator(".squiggly-error").first().waitFor();
  await editor.command("Problems: Focus on Problems View");
  await editor.page.locator(".markers-panel", { hasText: "valeu" }).first().waitFor();
  await editor.picture("squiggle");
  await editor.page.locator(".editor-instance .view-lines").first().click();
  await editor.replace(FILE, "valeu between", "value between");
  await editor.save();
  await editor.page.locator(".squiggly-error").first().waitFor({ state: "detached" });
});

test("a quick fix mends a column name", withServer, async () => {
  await editor.replace(FILE, "value between", "valeu between");
  await editor.page.locator(".squiggly-error").first().waitFor();
  const line = editor.read(FILE).split("\n").findIndex((l) => l.includes("value between"));
  await editor.quickFix(line + 1, 15, "value", "quick-fix");
  await editor.page.locator(".squiggly-error").first().waitFor({ state: "detached" });
});

test("hovering says what a column is", withServer, async () => {
  await editor.hover("value", "double");
});

test("columns of the live table are completed", withServer, async () => {
  const line = editor.read(FILE).split("\n").findIndex((l) => l.includes("|> where value"));
  await editor.goTo(line + 1, 5 + "|> where ".length);
  await editor.page.keyboard.type("ti");
  await editor.complete("timestamp");
});

test("a lens runs its test", withServer, async () => {
  await editor.goTo(original.split("\n").length);
  await editor.lens(/run test/i, editor.page.locator(".codicon-testing-passed-icon").first());
});

test("a document is formatted", async () => {
  await editor.replace(FILE, "flow clean = sensor", "flow   clean=sensor");
  await editor.command("Format Document");
  await editor.page.locator(".view-line", { hasText: "flow clean = sensor" }).first().waitFor();
  await editor.save();
  assert.equal(editor.read(FILE), original);
});

test("a test runs, and its mark says that it passed", async () => {
  const line = original.split("\n").findIndex((l) => l.startsWith("test "));
  await editor.goTo(line + 1);
  await editor.command("flowc: Run Test at Cursor");
  await editor.page.locator(".editor-instance .codicon-testing-passed-icon").first().waitFor();
});

test("a failed test shows its rows where they are expected", async () => {
  await editor.replace(FILE, "celsius: 100.0 }]", "celsius: 101.0 }]");
  await editor.save();
  const line = original.split("\n").findIndex((l) => l.startsWith("test "));
  await editor.goTo(line + 2);
  await editor.command("flowc: Run Test at Cursor");
  await editor.page.locator(".editor-instance .codicon-testing-failed-icon").first().waitFor();
  await editor.page.locator(".editor-instance span.content", { hasText: /100\.0 } != .*101\.0 }/ }).first().waitFor();
});

test("the graph follows the cursor, and a click on a node goes to its step", async () => {
  await editor.command("flowc: Show Dataflow Graph");
  const graph = editor.page.frameLocator("iframe.webview.ready").frameLocator("iframe");
  await graph.locator(".node").first().waitFor();
  assert.ok((await graph.locator(".node").count()) >= 6);
  const lines = original.split("\n");
  await editor.page.locator(".editor-instance .view-lines").first().click();
  await editor.goTo(lines.findIndex((l) => l.includes("|> join device")) + 1, 9);
  await graph.locator(".node.current", { hasText: "join" }).waitFor();
  await editor.picture("graph");
  const sink = lines.findIndex((l) => l.startsWith("sink readings")) + 1;
  const there = editor.page.locator(".statusbar", { hasText: `Ln ${sink}, Col 1` });
  await editor.until(there, () => graph.locator(".node.sink", { hasText: "readings" }).first().click());
  await editor.command("View: Close All Editors");
});

test("rows behind a step are shown, of a program that is not saved too", withServer, async () => {
  const line = original.split("\n").findIndex((l) => l.includes("|> select id")) + 1;
  const page = editor.page.frameLocator("iframe.webview.ready").frameLocator("iframe");
  await editor.goTo(line, 9);
  await editor.until(page.locator("th", { hasText: "celsius" }), () => editor.command("flowc: Preview Rows"));
  await page.locator("td", { hasText: "north" }).first().waitFor();
  assert.deepEqual(await page.locator("th span").allTextContents(), ["integer", "string", "timestamp", "double"]);
  await editor.picture("rows");
  await editor.page.locator(".editor-instance .view-lines").first().click();
  await editor.replace(FILE, "celsius = to_celsius(value)", "kelvin = to_celsius(value) + 273.15");
  await editor.goTo(line, 9);
  await editor.until(page.locator("th", { hasText: "kelvin" }), () => editor.command("flowc: Preview Rows"));
  assert.ok(!editor.read(FILE).includes("kelvin"), "nothing was saved");
  assert.equal(await editor.page.locator(".tab", { hasText: "Rows: clean" }).count(), 1);
  await editor.picture("rows-unsaved");
  await editor.command("View: Close Editors in Other Groups");
});

test("where a column goes is shown, and a click goes there", withServer, async () => {
  const lines = original.split("\n");
  const line = lines.findIndex((l) => l.includes("|> select id"));
  const tree = editor.page.locator(".pane", { hasText: "Lineage of celsius" });
  await editor.goTo(line + 1, lines[line].indexOf("celsius") + 1);
  await editor.until(tree, () => editor.command("flowc: Where Does This Column Go?"));
  for (const column of ["value", "message", "readings, stored"]) await tree.locator(".monaco-list-row", { hasText: column }).first().waitFor();
  await editor.picture("lineage");
  const report = lines.findIndex((l) => l.includes("message =")) + 1;
  const there = editor.page.locator(".statusbar", { hasText: `Ln ${report}, Col` });
  await editor.until(there, () => tree.locator(".monaco-list-row", { hasText: "message" }).first().click());
});

test("the plan opens beside the program", async () => {
  await editor.command("flowc: Show Plan");
  await editor.page.locator(".view-line", { hasText: "clean |> join" }).first().waitFor();
  await editor.picture("plan");
  await editor.command("View: Close All Editors");
});

test("comments that document go on, steps too, and snippets are offered", async () => {
  await editor.goTo(original.split("\n").length);
  await editor.page.keyboard.type("\n## One line");
  await editor.page.keyboard.press("Enter");
  await editor.page.keyboard.type("and another.");
  await editor.save();
  assert.match(editor.read(FILE), /\n## One line\n## and another\.\n?$/);
  await editor.page.keyboard.press("Enter");
  await editor.page.keyboard.press("Control+Backspace");
  await editor.page.keyboard.press("Home");
  await editor.page.keyboard.type("\nsinkm");
  await editor.complete("sinkmerge");
});
