// Flow programs for highlight.js: `hljs.registerLanguage("flow", flow)`.
import { clauses, constants, declarations, operators, steps, types } from "./words.js";

const either = (words) => `(?:${words.join("|")})`;

/** The definition. */
export default function flow(hljs) {
  const name = "[A-Za-z_][A-Za-z0-9_]*";
  const inside = [];
  const string = {
    scope: "string",
    begin: '"',
    end: /"|$/,
    contains: [
      { scope: "char.escape", match: /\\u\{[0-9A-Fa-f]*\}|\\.|\{\{|\}\}/ },
      { scope: "subst", begin: /\{/, end: /\}|$/, contains: inside },
    ],
  };
  inside.push(
    hljs.COMMENT("##", "$", { scope: "comment", contains: [{ scope: "doctag", match: /^##/ }] }),
    hljs.COMMENT("#", "$"),
    { scope: "string", match: /\br"[^"\r\n]*"/ },
    string,
    { scope: "variable", match: /`[^`\r\n]+`/ },
    { scope: "number", match: /@[0-9][0-9A-Za-z:+.-]*/ },
    { scope: "number", match: /\b[0-9][0-9_]*(?:us|ms|s|m|h|d)\b/ },
    { scope: "number", match: /\b[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?d?\b/ },
    // A field has no keyword's colour, whatever it is called.
    { match: [/\./, name], scope: { 2: "property" } },
    { match: [/\|>/, /\s*/, either(steps), /\b/, /(?:\s+join\b)?/], scope: { 1: "operator", 3: "keyword", 5: "keyword" } },
    { match: [/^\s*fn\b/, /[ \t]+/, name], scope: { 1: "keyword", 3: "title.function" } },
    { match: [`^\\s*${either(declarations)}\\b`, /[ \t]+/, `(?:${name}|\`[^\`\\r\\n]+\`|(?="))`], scope: { 1: "keyword", 3: "title.class" } },
    { match: [/(?::|->|<|\bas\b)\s*/, `${either(types)}\\b`], scope: { 2: "type" } },
    { match: [name, /\s*/, /:/], scope: { 1: "attr" } },
    { scope: "literal", match: `\\b${either(constants)}\\b` },
    { scope: "keyword", match: `\\b${either(["unique", "by", "on", "within", "per", "where", "late", ...operators])}\\b` },
    { match: [name, /\(/], scope: { 1: "title.function" } },
    { scope: "keyword", match: `\\b${either([...clauses, ...declarations, "drop", "join"])}\\b` },
    { scope: "operator", match: /\|>|->|=>|==|!=|<=|>=|\?\?|[-+*/%<>=?|]/ },
  );
  return { name: "flow", aliases: ["flowc"], contains: inside };
}
