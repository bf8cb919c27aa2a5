// What needs no editor: words, tests, rows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeHtml, expandPath, failureText, lineageTree, outcomeOf, paramWords, placeOf, previewParams, tableOf, testsOf } from "../dist/pure.mjs";

test("parameters become words of the command line", () => {
  assert.deepEqual(paramWords({ least: -40, day: "2026-11-22", on: true }), ["--param", "least=-40", "--param", "day=2026-11-22", "--param", "on=true"]);
  assert.deepEqual(paramWords(undefined), []);
});

test("paths of the settings", () => {
  assert.equal(expandPath("~/bin/flowc", "/w", "/home/me"), "/home/me/bin/flowc");
  assert.equal(expandPath("${workspaceFolder}/flowc", "/w", "/home/me"), "/w/flowc");
  assert.equal(expandPath("flowc", undefined, "/home/me"), "flowc");
});

test("places count from 0, and what is empty is a character wide", () => {
  assert.deepEqual(placeOf({ line: 3, column: 5 }, { line: 4, column: 1 }), [2, 4, 3, 0]);
  assert.deepEqual(placeOf({ line: 3, column: 5 }, { line: 3, column: 5 }), [2, 4, 2, 5]);
  assert.deepEqual(placeOf(null, null), [0, 0, 0, 1]);
});

test("tests are found where they begin", () => {
  const text = 'flow a = b\n# test "no"\ntest "one" {\n}\n  test "a \\"b\\" {{c}}" {}\n';
  assert.deepEqual(testsOf(text), [{ name: "one", line: 2 }, { name: 'a "b" {c}', line: 4 }]);
});

test("a failure has the rows side by side", () => {
  const different = [
    { kind: "changed", expected: { id: "1", c: "101.0" }, found: { id: "1", c: "100.0" }, columns: ["c"] },
    { kind: "missing", expected: { id: "3" } },
    { kind: "unexpected", found: { id: "4" } },
  ];
  const failure = { code: "R0601", message: "`clean` gives other rows", label: "1 row", start: null, end: null, rows: { same: 0, different } };
  assert.deepEqual(failureText(failure), {
    message: "R0601 `clean` gives other rows: 1 row",
    expected: "{ id: 1, c: 101.0 }\n{ id: 3 }",
    actual: "{ id: 1, c: 100.0 }\n{ id: 4 }",
  });
  assert.deepEqual(outcomeOf(null), { tests: [], diagnostics: [] });
});

test("rows are a table, and nothing in them is markup", () => {
  const html = tableOf({ columns: [{ name: "id", type: "long" }, "<b>"], rows: [[1, "<script>"], { id: null, "<b>": "x" }] });
  assert.ok(html.includes('<td class="number">1</td><td>&#60;script&#62;</td>'));
  assert.ok(html.includes('<td class="null">null</td><td>x</td>'));
  assert.ok(html.includes("2 rows") && !html.includes("<script>"));
  assert.equal(escapeHtml(`"&'`), "&#34;&#38;&#39;");
});

test("a lens says which rows, and without one the cursor does", () => {
  const uri = "file:///a.flow";
  const cursor = { line: 4, character: 2, ignored: true };
  // What the server's lens and its action behind a step pass on: `[uri, name]` and `[uri, name, steps]`.
  assert.deepEqual(previewParams(uri, { name: "clean" }, undefined, 50), { textDocument: { uri }, name: "clean", limit: 50 });
  assert.deepEqual(previewParams(uri, { name: "clean", steps: 0 }, undefined, 50), { textDocument: { uri }, name: "clean", limit: 50, steps: 0 });
  assert.deepEqual(previewParams(uri, { name: "clean", steps: 2 }, cursor, 9), { textDocument: { uri }, name: "clean", limit: 9, steps: 2 });
  const here = { textDocument: { uri }, name: "clean", limit: 50, position: { line: 4, character: 2 } };
  assert.deepEqual(previewParams(uri, { name: "clean" }, cursor, 50), here);
});

test("a row that fails is shown as an error", () => {
  const error = { code: "R0102", message: "division by <0>", help: "use `try`", row: [["id", "4"]] };
  const html = tableOf({ columns: ["id"], rows: [], error });
  assert.match(html, /<p class="error">R0102: division by &#60;0&#62;<\/p>/);
  assert.match(html, /<th>id<\/th><td>4<\/td>/);
  assert.match(tableOf({ columns: ["id"], rows: [[1]], error: null, message: "1 row of `a`" }), /<p>1 row of `a`<\/p>/);
});

test("a column comes from somewhere and goes somewhere", () => {
  const at = (line) => ({ uri: "file:///a.flow", range: { start: { line, character: 4 }, end: { line, character: 9 } } });
  const column = (name, of, stored, line) => ({ name, of, stored, location: at(line) });
  const tree = lineageTree({ column: column("k", "warm", false, 6), from: [column("value", "readings", true, 0)], to: [] });
  const lines = (nodes, depth = 0) => nodes.flatMap((n) => [`${"  ".repeat(depth)}${n.label}: ${n.description}`, ...lines(n.children, depth + 1)]);
  assert.deepEqual(lines(tree), ["k: warm, line 7", "comes from: 1 column", "  value: readings, stored", "goes to: no other column"]);
  assert.deepEqual(tree[1].children[0].place, at(0));
  assert.deepEqual(lineageTree(null), []);
});
