// The dataflow graph: from a plan or from the server, laid out in layers, drawn as SVG. Must not know of the editor.

import { escapeHtml } from "./rows-model";

/** A node: what it is, and the line of the program that it is about, from 0. */
export interface GraphNode {
  id: string;
  title: string;
  detail: string[];
  kind: "source" | "table" | "step" | "sink";
  line?: number;
  /** The last line that it is about. */
  endLine?: number;
}

/** Nodes and who reads whom. */
export interface Graph {
  nodes: GraphNode[];
  edges: { from: string; to: string }[];
}

interface Plan {
  inputs?: { name: string; kind: string; location: string; columns?: { name: string }[] }[];
  steps?: { number: number; name: string; reads: string[]; operator: string; does: string[] }[];
  sinks?: { name: string; reads: string; location: string; mode: string }[];
}

const escaped = (name: string) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The lines from a declaration to the next one at the margin, from 0. */
function declaration(lines: string[], word: string, name: string): [number, number] | undefined {
  const start = lines.findIndex((l) => new RegExp(`^\\s*${word}\\s+\`?${escaped(name)}\`?\\s*=`).test(l));
  if (start < 0) return undefined;
  const next = lines.findIndex((l, i) => i > start && /^(use|param|source|table|fn|flow|sink|test)\b/.test(l));
  return [start, (next < 0 ? lines.length : next) - 1];
}

/** `clean |> where + clean |> extend` is about the lines of these steps of `clean`. */
function linesOfStep(lines: string[], name: string, taken: Map<string, number>): [number, number] | undefined {
  let found: [number, number] | undefined;
  for (const part of name.split(" + ")) {
    const [flow, step] = part.split(" |> ");
    const whole = declaration(lines, step ? "flow" : "sink", flow);
    if (!whole) continue;
    let [from, to] = whole;
    if (step) {
      // Steps are listed in their order: the second `where` of a flow is the next one in the text.
      const after = taken.get(`${flow}|${step}`) ?? whole[0] - 1;
      const word = new RegExp(`\\|>\\s*((left|right|full|semi|anti)\\s+)?${escaped(step)}\\b`);
      from = lines.findIndex((l, i) => i > after && i >= whole[0] && i <= whole[1] && word.test(l));
      if (from < 0) continue;
      taken.set(`${flow}|${step}`, from);
      to = from;
      while (to < whole[1] && !/^\s*\|>/.test(lines[to + 1]) && lines[to + 1].trim() !== "" && !lines[to + 1].startsWith("#")) to++;
    }
    found = found ? [Math.min(found[0], from), Math.max(found[1], to)] : [from, to];
  }
  return found;
}

/** The graph of a plan as `flowc explain --format json` has it, with places found in the text; paths from `directory` on. */
export function graphOfPlan(plan: Plan, text: string, directory?: string): Graph {
  // Tables mostly lie below the program: what they have in common with it tells nothing.
  const shown = (location: string) => (directory ? location.replace(`${directory.replace(/\/$/, "")}/`, "") : location);
  const lines = text.split(/\r?\n/);
  const nodes: GraphNode[] = [];
  const edges: Graph["edges"] = [];
  const taken = new Map<string, number>();
  const at = (place: [number, number] | undefined) => (place ? { line: place[0], endLine: place[1] } : {});
  const named = (name: string) => {
    const step = /^step (\d+)$/.exec(name);
    return step ? `step ${step[1]}` : `input ${name}`;
  };
  for (const input of plan.inputs ?? []) {
    const kind = input.kind === "table" ? "table" : "source";
    const place = declaration(lines, kind, input.name);
    nodes.push({ id: `input ${input.name}`, title: input.name, detail: [shown(input.location)], kind, ...at(place) });
  }
  for (const step of plan.steps ?? []) {
    const id = `step ${step.number}`;
    nodes.push({ id, title: step.name, detail: step.does, kind: "step", ...at(linesOfStep(lines, step.name, taken)) });
    const tables = (plan.inputs ?? []).filter((i) => i.kind === "table" && step.does.some((d) => d.includes(`\`${i.name}\``)));
    const reads = new Set([...step.reads.map(named), ...tables.map((t) => `input ${t.name}`)]);
    reads.forEach((from) => edges.push({ from, to: id }));
  }
  for (const sink of plan.sinks ?? []) {
    const id = `sink ${sink.name}`;
    const place = declaration(lines, "sink", sink.name);
    nodes.push({ id, title: sink.name, detail: [shown(sink.location), sink.mode], kind: "sink", ...at(place) });
    edges.push({ from: named(sink.reads), to: id });
  }
  const ids = new Set(nodes.map((n) => n.id));
  return { nodes, edges: edges.filter((e) => ids.has(e.from) && ids.has(e.to)) };
}

interface ServerNode {
  id?: string | number;
  name?: string;
  label?: string;
  kind?: string;
  columns?: { name: string; type: string }[];
  location?: { range: { start: { line: number }; end: { line: number } } } | null;
}

/** The graph as `flowc/graph` has it: declarations, edges by their numbers. What is missing is left out, so that the view does not fail on an
 * older or a newer server. */
export function graphOfServer(answer: unknown): Graph {
  const { nodes, edges } = (answer ?? {}) as { nodes?: ServerNode[]; edges?: { from: unknown; to: unknown }[] };
  const kinds = ["source", "table", "step", "sink"] as const;
  const known: GraphNode[] = (nodes ?? []).map((node, number) => {
    const id = String(node.id ?? number);
    const range = node.location?.range;
    const place = range ? { line: range.start.line, endLine: range.end.line } : {};
    const columns = node.columns ?? [];
    const detail = columns.slice(0, columns.length > 4 ? 3 : 4).map((c) => `${c.name}: ${c.type}`);
    if (columns.length > 4) detail.push(`and ${columns.length - 3} more`);
    return { id, title: node.name ?? node.label ?? id, detail, kind: kinds.find((k) => k === node.kind) ?? "step", ...place };
  });
  const ids = new Set(known.map((n) => n.id));
  const pairs = (edges ?? []).map(({ from, to }) => ({ from: String(from), to: String(to) }));
  return { nodes: known, edges: pairs.filter((e) => ids.has(e.from) && ids.has(e.to)) };
}

/** The node that a line is about: the one with the fewest lines round it. */
export function nodeAt(graph: Graph, line: number): string | undefined {
  const size = (n: GraphNode) => (n.endLine ?? n.line ?? 0) - (n.line ?? 0);
  const around = graph.nodes.filter((n) => n.line !== undefined && n.line <= line && line <= (n.endLine ?? n.line));
  return around.sort((a, b) => size(a) - size(b))[0]?.id;
}

interface Box extends GraphNode {
  x: number;
  y: number;
  width: number;
  height: number;
}

const CHAR = 7;
const LINE = 16;
const GAP_X = 28;
const GAP_Y = 44;
const shortened = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Layers by the longest way from a source, in each layer by where its readers' inputs stand. */
export function layOut(graph: Graph): { boxes: Box[]; width: number; height: number } {
  const layer = new Map<string, number>(graph.nodes.map((n) => [n.id, 0]));
  // As many rounds as there are nodes: a cycle, which no program has, must not go on for ever.
  for (let round = 0; round < graph.nodes.length; round++) {
    let moved = false;
    for (const { from, to } of graph.edges) {
      const least = Math.min((layer.get(from) ?? 0) + 1, graph.nodes.length);
      if ((layer.get(to) ?? 0) < least) {
        layer.set(to, least);
        moved = true;
      }
    }
    if (!moved) break;
  }
  // What nothing leads to stands just above its first reader.
  for (const node of graph.nodes) {
    const readers = graph.edges.filter((e) => e.from === node.id).map((e) => layer.get(e.to) ?? 0);
    if (readers.length > 0 && !graph.edges.some((e) => e.to === node.id)) layer.set(node.id, Math.min(...readers) - 1);
  }
  const rows: GraphNode[][] = [];
  graph.nodes.forEach((n) => (rows[layer.get(n.id) ?? 0] ??= []).push(n));
  const boxes = new Map<string, Box>();
  let y = 12;
  for (const row of rows) {
    if (!row) continue;
    const centre = (n: GraphNode) => {
      const from = graph.edges.filter((e) => e.to === n.id).map((e) => boxes.get(e.from)).filter((b) => b !== undefined);
      return from.length === 0 ? Infinity : from.reduce((sum, b) => sum + b.x + b.width / 2, 0) / from.length;
    };
    const order = row.map((n, i) => ({ n, i, c: centre(n) })).sort((a, b) => (a.c === b.c ? a.i - b.i : a.c - b.c));
    let x = 12;
    let tallest = 0;
    for (const { n } of order) {
      const texts = [shortened(n.title, 44), ...n.detail.slice(0, 4).map((d) => shortened(d, 48))];
      const width = Math.max(...texts.map((t) => t.length)) * CHAR + 24;
      const height = texts.length * LINE + 16;
      boxes.set(n.id, { ...n, x, y, width, height });
      x += width + GAP_X;
      tallest = Math.max(tallest, height);
    }
    y += tallest + GAP_Y;
  }
  const all = [...boxes.values()];
  return { boxes: all, width: Math.max(240, ...all.map((b) => b.x + b.width + 12)), height: Math.max(80, y - GAP_Y + 12) };
}

/** The graph as SVG. Colours are classes: the view has the editor's. */
export function drawn(graph: Graph): string {
  const { boxes, width, height } = layOut(graph);
  const by = new Map(boxes.map((b) => [b.id, b]));
  const lines = graph.edges.map(({ from, to }) => {
    const [a, b] = [by.get(from), by.get(to)];
    if (!a || !b) return "";
    const [x1, y1, x2, y2] = [a.x + a.width / 2, a.y + a.height, b.x + b.width / 2, b.y];
    const middle = (y1 + y2) / 2;
    return `<path class="edge" marker-end="url(#arrow)" d="M${x1} ${y1} C${x1} ${middle} ${x2} ${middle} ${x2} ${y2 - 2}"/>`;
  });
  const rects = boxes.map((b) => {
    const texts = [shortened(b.title, 44), ...b.detail.slice(0, 4).map((d) => shortened(d, 48))];
    const spans = texts.map((t, i) => `<text class="${i === 0 ? "title" : "detail"}" x="${b.x + 12}" y="${b.y + 20 + i * LINE}">${escapeHtml(t)}</text>`);
    const whole = escapeHtml([b.title, ...b.detail].join("\n"));
    const line = b.line === undefined ? "" : ` data-line="${b.line}"`;
    const label = `tabindex="0" role="button" aria-label="${escapeHtml(b.title)}"`;
    return `<g class="node ${b.kind}" data-id="${escapeHtml(b.id)}"${line} ${label}><title>${whole}</title><rect x="${b.x}" y="${b.y}" width="${b.width}" height="${b.height}" rx="6"/>${spans.join("")}</g>`;
  });
  const arrow = '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">${arrow}${lines.join("")}${rects.join("")}</svg>`;
}
