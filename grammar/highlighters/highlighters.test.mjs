// Both definitions in the real libraries, over real programs.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import hljs from "highlight.js/lib/core";
import Prism from "prismjs";
import flowOfHighlightJs from "./highlightjs.js";
import flowOfPrism from "./prism.js";
import * as words from "./words.js";

hljs.registerLanguage("flow", flowOfHighlightJs);
flowOfPrism(Prism);
const at = (path) => new URL(`../../${path}`, import.meta.url);
const programs = ["examples/sensor", "examples/orders", "examples/nexmark", "compiler/syntax/tests/golden"].flatMap((d) =>
  readdirSync(at(d)).filter((f) => f.endsWith(".flow")).map((f) => readFileSync(at(`${d}/${f}`), "utf8")),
);
const unescaped = (html) =>
  html.replace(/<[^>]*>/g, "").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&#x27;", "'").replaceAll("&amp;", "&");
const sample = 'flow a = b\n    |> left join d on d.id == id\n    |> where x as double > 1.5 # why\n    |> extend t = "a {f(x)}", u = null\n';

test("the words are those of the grammar", () => {
  const pest = readFileSync(at("grammar/flow.pest"), "utf8");
  const keywords = [...pest.matchAll(/^kw_(\w+) /gm)].map((m) => m[1]);
  assert.ok(keywords.length > 80);
  const known = new Set(Object.values(words).flat());
  assert.deepEqual(keywords.filter((k) => !known.has(k)), []);
});

test("highlight.js keeps the text and finds what there is", () => {
  assert.ok(programs.length > 20);
  for (const text of programs) assert.equal(unescaped(hljs.highlight(text, { language: "flow", ignoreIllegals: false }).value), text);
  const html = hljs.highlight(sample, { language: "flow" }).value;
  for (const [scope, word] of [["keyword", "flow"], ["title class_", "a"], ["keyword", "left"], ["property", "id"], ["type", "double"], ["number", "1.5"], ["comment", "# why"], ["literal", "null"], ["title function_", "f"]]) {
    assert.ok(html.includes(`<span class="hljs-${scope}">${word}</span>`), `${scope} ${word}\n${html}`);
  }
});

test("Prism keeps the text and finds what there is", () => {
  for (const text of programs) assert.equal(unescaped(Prism.highlight(text, Prism.languages.flow, "flow")), text);
  const html = Prism.highlight(sample, Prism.languages.flow, "flow");
  for (const [scope, word] of [["keyword", "flow"], ["class-name", "a"], ["step keyword", "left join"], ["property", "id"], ["type builtin", "double"], ["number", "1.5"], ["comment", "# why"], ["constant boolean", "null"], ["function", "f"]]) {
    assert.ok(html.includes(`<span class="token ${scope}">${word}</span>`), `${scope} ${word}\n${html}`);
  }
});
