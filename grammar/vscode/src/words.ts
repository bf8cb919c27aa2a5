// Words of flowc's command line and places in its answers.

/** A place in a program, from 1, as flowc's JSON has it. */
export interface Place {
  line: number;
  column: number;
}

/** A diagnostic, as `flowc check --format json` has it. */
export interface FlowcDiagnostic {
  code: string;
  severity: "error" | "warning";
  message: string;
  file: string | null;
  start: Place | null;
  end: Place | null;
  help: string | null;
  label?: string | null;
  labels?: { message: string; file: string; start: Place; end: Place }[];
}

/** `--param NAME=VALUE` for each parameter of the settings. */
export function paramWords(params: Record<string, unknown> | undefined): string[] {
  return Object.entries(params ?? {}).flatMap(([name, value]) => ["--param", `${name}=${String(value)}`]);
}

/** A path of the settings, `~` and `${workspaceFolder}` replaced. */
export function expandPath(path: string, folder: string | undefined, home: string): string {
  const inFolder = path.replaceAll("${workspaceFolder}", folder ?? ".");
  return inFolder === "~" || inFolder.startsWith("~/") ? home + inFolder.slice(1) : inFolder;
}

/** Lines and columns from 0, as the editor counts them; what has no place is at the top. */
export function placeOf(start: Place | null | undefined, end: Place | null | undefined): [number, number, number, number] {
  const from = start ?? { line: 1, column: 1 };
  const to = end ?? from;
  return [from.line - 1, from.column - 1, to.line - 1, Math.max(to.column - 1, from.line === to.line ? from.column : 0)];
}
