// The program, its tables and the choices in the URL's fragment: it never leaves the browser, and survives a reload.

const through = async (stream, bytes) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

/** The fragment of a state. */
export async function encode(state) {
  const bytes = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify({ v: 1, ...state })));
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return "p=" + btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The state of a fragment; null: it is none. */
export async function decode(fragment) {
  const found = /^#?p=([\w-]+)$/.exec(fragment);
  if (!found) return null;
  try {
    const text = atob(found[1].replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = await through(new DecompressionStream("deflate-raw"), Uint8Array.from(text, (c) => c.charCodeAt(0)));
    const state = JSON.parse(new TextDecoder().decode(bytes));
    if (state.v !== 1 || typeof state.text !== "string" || !Array.isArray(state.tables)) return null;
    const text_of = (value) => (typeof value === "string" ? value : "");
    const tables = state.tables.map((t) => ({ location: text_of(t?.location), schema: text_of(t?.schema), rows: text_of(t?.rows), format: t?.format === "json" ? "json" : "csv" }));
    return { text: state.text, tables, epochRows: Number(state.epochRows) || null, close: state.close !== false };
  } catch {
    return null;
  }
}
