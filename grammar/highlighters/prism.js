// Flow programs for Prism: `flow(Prism)` adds `Prism.languages.flow`.
import { clauses, constants, declarations, operators, steps, types } from "./words.js";

const words = (list) => `(?:${list.join("|")})`;

/** Adds the language. */
export default function flow(Prism) {
  const inside = {};
  Object.assign(inside, {
    "doc-comment": { pattern: /##.*/, alias: "comment", greedy: true },
    "raw-string": { pattern: /\br"[^"\r\n]*"/, alias: "string", greedy: true },
    string: {
      pattern: /"(?:\\.|\{\{|\}\}|\{[^{}"\r\n]*(?:"[^"\r\n]*"[^{}"\r\n]*)*\}|[^"\\{\r\n])*"/,
      greedy: true,
      inside: {
        escape: { pattern: /\\u\{[0-9A-Fa-f]*\}|\\.|\{\{|\}\}/, alias: "entity" },
        interpolation: { pattern: /\{[^{}]*\}/, inside: { "interpolation-punctuation": { pattern: /^\{|\}$/, alias: "punctuation" }, rest: inside } },
      },
    },
    comment: { pattern: /#.*/, greedy: true },
    "quoted-name": { pattern: /`[^`\r\n]+`/, alias: "variable" },
    date: { pattern: /@\d[0-9A-Za-z:+.-]*/, alias: "number" },
    number: /\b\d[\d_]*(?:us|ms|s|m|h|d)\b|\b\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?d?\b%?/,
    property: { pattern: /(\.)[A-Za-z_]\w*/, lookbehind: true },
    step: { pattern: new RegExp(`(\\|>\\s*)${words(steps)}\\b(?:\\s+join\\b)?`), lookbehind: true, alias: "keyword" },
    "function-name": { pattern: /(^[ \t]*fn[ \t]+)[A-Za-z_]\w*/m, lookbehind: true, alias: "function" },
    "class-name": { pattern: new RegExp(`(^[ \\t]*${words(declarations)}[ \\t]+)[A-Za-z_]\\w*`, "m"), lookbehind: true },
    type: { pattern: new RegExp(`((?::|->|<|\\bas\\b)\\s*)${words(types)}\\b`), lookbehind: true, alias: "builtin" },
    attribute: { pattern: /\b[A-Za-z_]\w*(?=\s*:)/, alias: "attr-name" },
    constant: { pattern: new RegExp(`\\b${words(constants)}\\b`), alias: "boolean" },
    "word-operator": { pattern: new RegExp(`\\b${words(["unique", "by", "on", "within", "per", "where", "late", ...operators])}\\b`), alias: "keyword" },
    function: /\b[A-Za-z_]\w*(?=\()/,
    keyword: new RegExp(`\\b${words([...declarations, ...clauses, "drop", "join"])}\\b`),
    operator: /\|>|->|=>|==|!=|<=|>=|\?\?|[-+*/%<>=?|]/,
    punctuation: /[,:.(){}[\]]/,
  });
  Prism.languages.flow = inside;
}
