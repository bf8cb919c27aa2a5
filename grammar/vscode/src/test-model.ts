// The tests of a program: where they stand, and what `flowc test --format json` says of them.

import type { FlowcDiagnostic } from "./words";

/** A `test` block in a text: its name, and the line of its word, from 0. */
export interface FoundTest {
  name: string;
  line: number;
}

/** The test blocks of a text. Lines that are comments have none; names are as written, without escapes. */
export function testsOf(text: string): FoundTest[] {
  const found: FoundTest[] = [];
  text.split(/\r?\n/).forEach((line, number) => {
    const match = /^\s*test\s*"((?:[^"\\]|\\.)*)"/.exec(line);
    if (match) found.push({ name: unescaped(match[1]), line: number });
  });
  return found;
}

function unescaped(text: string): string {
  const plain: Record<string, string> = { n: "\n", t: "\t", r: "\r" };
  return text
    .replace(/\\u\{([0-9A-Fa-f]+)\}|\\(.)/g, (_, code, char) => (code ? String.fromCodePoint(parseInt(code, 16)) : (plain[char] ?? char)))
    .replaceAll("{{", "{")
    .replaceAll("}}", "}");
}

type Row = Record<string, string>;

/** What differs in a `then`. */
export interface RowsDiffer {
  same: number;
  different: { kind: "changed" | "missing" | "unexpected"; expected?: Row | null; found?: Row | null; columns?: string[] }[];
}

/** A failure: a diagnostic at its `then`, with rows. */
export interface TestFailure extends FlowcDiagnostic {
  rows?: RowsDiffer | null;
  error?: { message?: string; code?: string } | null;
}

/** A test that ran. */
export interface TestResult {
  name: string;
  line: number;
  status: "passed" | "failed";
  milliseconds: number;
  failures: TestFailure[];
}

/** What a run of tests gave: results, or why there are none. */
export function outcomeOf(json: unknown): { tests: TestResult[]; diagnostics: FlowcDiagnostic[] } {
  const document = (json ?? {}) as { tests?: TestResult[]; diagnostics?: FlowcDiagnostic[] };
  return { tests: document.tests ?? [], diagnostics: document.diagnostics ?? [] };
}

function written(row: Row | null | undefined): string {
  const fields = Object.entries(row ?? {});
  return `{ ${fields.map(([name, value]) => `${name}: ${value}`).join(", ")} }`;
}

/** A failure in words, and its rows as the editor compares them: expected beside found. */
export function failureText(failure: TestFailure): { message: string; expected?: string; actual?: string } {
  const label = failure.label ? `: ${failure.label}` : "";
  const error = failure.error?.message ? `\n${failure.error.code ?? ""} ${failure.error.message}`.trimEnd() : "";
  const message = `${failure.code} ${failure.message}${label}${error}${failure.help ? `\n${failure.help}` : ""}`;
  const different = failure.rows?.different ?? [];
  if (different.length === 0) return { message };
  const side = (of: "expected" | "found") => different.filter((d) => d[of]).map((d) => written(d[of])).join("\n");
  return { message, expected: side("expected"), actual: side("found") };
}
