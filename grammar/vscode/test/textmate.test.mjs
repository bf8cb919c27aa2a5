// The TextMate grammar in the library that editors use, over real programs.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const { INITIAL, parseRawGrammar, Registry } = require("vscode-textmate");
const oniguruma = require("vscode-oniguruma");
const at = (path) => new URL(`../../../${path}`, import.meta.url);
await oniguruma.loadWASM(readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")).buffer);
const registry = new Registry({
  onigLib: Promise.resolve({ createOnigScanner: (p) => new oniguruma.OnigScanner(p), createOnigString: (s) => new oniguruma.OnigString(s) }),
  loadGrammar: async () => parseRawGrammar(readFileSync(at("grammar/flow.tmLanguage.json"), "utf8"), "flow.json"),
});
const grammar = await registry.loadGrammar("source.flow");

/** Each token's text and innermost scope. */
function tokens(text) {
  let state = INITIAL;
  return text.split("\n").flatMap((line) => {
    const found = grammar.tokenizeLine(line, state);
    state = found.ruleStack;
    return found.tokens.map((t) => [line.slice(t.startIndex, t.endIndex), t.scopes.at(-1)]);
  });
}
const scope = (text, word) => tokens(text).find(([t]) => t.trim() === word)?.[1];

test("words have their scopes", () => {
  assert.equal(scope("flow a = b", "flow"), "keyword.declaration.flow");
  assert.equal(scope("    |> left join d on d.id == id", "left"), "keyword.control.step.flow");
  assert.equal(scope("param day: date = @2026-11-22", "date"), "support.type.flow");
  assert.equal(scope('fn f() = "a {g(x)}"', "g"), "entity.name.function.flow");
  assert.equal(scope("    ## of the column", "## of the column"), "comment.line.documentation.flow");
  assert.equal(scope('extend x = r"^a{2}$"', 'r"^a{2}$"'), "string.quoted.other.raw.flow");
});

test("a string ends on its line, whatever is in it", () => {
  assert.equal(scope('use "a{b\nflow c = d', "flow"), "keyword.declaration.flow");
});

test("real programs have colours on every line", () => {
  const programs = ["examples/sensor", "examples/orders", "examples/nexmark"].flatMap((d) =>
    readdirSync(at(d)).filter((f) => f.endsWith(".flow")).map((f) => readFileSync(at(`${d}/${f}`), "utf8")),
  );
  assert.ok(programs.length > 20);
  for (const program of programs) {
    for (const line of program.split("\n").filter((l) => l.trim() !== "")) {
      assert.ok(tokens(line).some(([, s]) => s !== "source.flow"), line);
    }
  }
});
