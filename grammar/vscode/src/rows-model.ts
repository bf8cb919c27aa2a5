// Rows as a table of HTML.

/** Text without signs that mean something in HTML. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

type Column = string | { name: string; type?: string };

/** What `flowc/preview` answers: columns, and rows as arrays or by name. */
export interface Preview {
  columns?: Column[];
  rows?: (unknown[] | Record<string, unknown>)[];
  truncated?: boolean;
  message?: string;
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '<td class="null">null</td>';
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return `<td${typeof value === "number" ? ' class="number"' : ""}>${escapeHtml(text)}</td>`;
}

/** The table. Columns that nobody names are those of the first row. */
export function tableOf(preview: Preview): string {
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
