// What needs no editor: words, tests, rows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeHtml, expandPath, failureText, outcomeOf, paramWords, placeOf, tableOf, testsOf } from "../dist/pure.mjs";

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
