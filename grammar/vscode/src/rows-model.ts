// Rows as a table of HTML.

/** Text without signs that mean something in HTML. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

type Column = string | { name: string; type?: string };

/** What `flowc/preview` answers: columns, and rows as arrays or by name; `error` where a row fails. */
export interface Preview {
  title?: string;
  columns?: Column[];
  rows?: (unknown[] | Record<string, unknown>)[];
  truncated?: boolean;
  message?: string;
  error?: { code: string; message: string; help?: string | null; row?: [string, string][]; location?: unknown } | null;
}

/** Which rows: those of a declaration, or of a flow as far as so many of its steps. */
export interface RowsOf {
  name: string;
  steps?: number;
}

/** What the server is asked. A lens says which rows; without one the place of the cursor does. */
export function previewParams(uri: string, of: RowsOf, position: { line: number; character: number } | undefined, limit: number): Record<string, unknown> {
  const params: Record<string, unknown> = { textDocument: { uri }, name: of.name, limit };
  if (of.steps !== undefined) params.steps = of.steps;
  else if (position) params.position = { line: position.line, character: position.character };
  return params;
}

/** Why there are no rows: the code, how to go on, and the row that fails. */
function failure(error: NonNullable<Preview["error"]>): string {
  const help = error.help ? `<p>${escapeHtml(error.help)}</p>` : "";
  const cells = (error.row ?? []).map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`);
  const row = cells.length > 0 ? `<table>${cells.join("")}</table>` : "";
  return `<p class="error">${escapeHtml(`${error.code}: ${error.message}`)}</p>${help}${row}`;
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '<td class="null">null</td>';
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return `<td${typeof value === "number" ? ' class="number"' : ""}>${escapeHtml(text)}</td>`;
}

/** The table. Columns that nobody names are those of the first row. */
export function tableOf(preview: Preview): string {
  if (preview.error) return failure(preview.error);
  const rows = preview.rows ?? [];
  const first = rows[0];
  const columns: Column[] = preview.columns ?? (first && !Array.isArray(first) ? Object.keys(first) : []);
  const names = columns.map((c) => (typeof c === "string" ? { name: c, type: "" } : { name: c.name, type: c.type ?? "" }));
  const head = names.map((c) => `<th>${escapeHtml(c.name)}<span>${escapeHtml(c.type)}</span></th>`).join("");
  const body = rows.map((row) => {
    const cells = Array.isArray(row) ? row : names.map((c) => row[c.name]);
    return `<tr>${cells.map(cell).join("")}</tr>`;
  });
  const note = preview.message ?? `${rows.length}${preview.truncated ? " or more" : ""} row${rows.length === 1 ? "" : "s"}`;
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table><p>${escapeHtml(note)}</p>`;
}
