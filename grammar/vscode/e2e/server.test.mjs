// The extension with a language server: a stub that knows one program, so that these hold whatever flowc's own server can do.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Editor } from "./editor.mjs";

const FILE = "weather.flow";
let editor;
let original;

before(async () => {
  editor = await Editor.start({ stub: true });
  original = editor.read(FILE);
});
after(() => editor?.stop());
beforeEach(async () => {
  await editor.page.keyboard.press("Escape");
  await editor.open(FILE);
});
afterEach(async (context) => {
  await editor.picture(`server-${context.name.replace(/\W+/g, "-")}`);
  await editor.page.keyboard.press("Escape");
  await editor.command("View: Close All Editors");
});

test("a lens runs its test", async () => {
  await editor.goTo(original.split("\n").length);
  await editor.lens("Run test", editor.page.locator(".codicon-testing-passed-icon").first());
});

test("a lens previews rows", async () => {
  await editor.goTo(1);
  const rows = editor.page.frameLocator("iframe.webview.ready").frameLocator("iframe").locator("td");
  await editor.lens(/^Preview rows$/, rows.filter({ hasText: "clean of the stub" }));
  assert.deepEqual(await rows.allTextContents(), ["1", "clean of the stub", "50", "null"]);
});

test("rows that the server has as text are shown as text", async () => {
  await editor.goTo(1);
  const words = editor.page.locator(".view-line", { hasText: "flowc.preview: rows of device in words" }).first();
  await editor.lens("Preview rows of the table", words);
});

test("while the program is being changed, the graph is the server's", async () => {
  await editor.goTo(1);
  await editor.page.keyboard.type("#");
  await editor.page.locator(".tab.active.dirty").waitFor();
  await editor.command("flowc: Show Dataflow Graph");
  const nodes = editor.page.frameLocator("iframe.webview.ready").frameLocator("iframe").locator(".node text.title");
  await nodes.first().waitFor();
  assert.deepEqual(await nodes.allTextContents(), ["from the stub", "to the stub"]);
  await editor.picture("server-graph");
  await editor.page.locator(".editor-instance .view-lines").first().click();
  await editor.restore(FILE, original);
});

test("hovering asks the server", async () => {
  await editor.goTo(1);
  await editor.hover("value", "of the stub");
});

test("completion asks the server", async () => {
  await editor.goTo(original.split("\n").findIndex((l) => l.includes("|> where")) + 1, 14);
  await editor.complete("timestamp_of_the_stub");
});

test("a quick fix mends what the server underlines, while the file is not saved", async () => {
  await editor.replace(FILE, "value between", "valeu between");
  await editor.page.locator(".squiggly-error").first().waitFor();
  await editor.quickFix(original.split("\n").findIndex((l) => l.includes("|> where")) + 1, 15, "Change to", "server-quick-fix");
  await editor.page.locator(".squiggly-error").first().waitFor({ state: "detached" });
  await editor.save();
  assert.equal(editor.read(FILE), original);
});

test("the server is started again", async () => {
  await editor.command("flowc: Restart Language Server");
  await editor.page.locator(".statusbar-item", { hasText: /flowc \d+\.\d+\.\d+/ }).waitFor();
  await editor.hover("value", "of the stub");
});
