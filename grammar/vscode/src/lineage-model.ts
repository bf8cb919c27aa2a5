// Where a column comes from and where it goes, as a tree.

interface Position {
  line: number;
  character: number;
}

export interface Place {
  uri: string;
  range: { start: Position; end: Position };
}

interface Column {
  name: string;
  of: string;
  stored: boolean;
  location: Place;
}

/** What `flowc/lineage` answers; nothing where no column is. */
export interface Lineage {
  column: Column;
  from: Column[];
  to: Column[];
}

/** A line of the tree. */
export interface LineageNode {
  label: string;
  description: string;
  icon: string;
  place?: Place;
  children: LineageNode[];
}

function leaf(column: Column): LineageNode {
  const description = `${column.of}${column.stored ? ", stored" : `, line ${column.location.range.start.line + 1}`}`;
  return { label: column.name, description, icon: column.stored ? "database" : "symbol-field", place: column.location, children: [] };
}

function group(label: string, icon: string, columns: Column[], none: string): LineageNode {
  const description = columns.length === 0 ? none : `${columns.length} column${columns.length === 1 ? "" : "s"}`;
  return { label, description, icon, children: columns.map(leaf) };
}

/** The column, what it comes from and what comes from it, nearest first. */
export function lineageTree(lineage: Lineage | null | undefined): LineageNode[] {
  if (!lineage) return [];
  const source = lineage.column.stored ? "a table has it" : "constants alone";
  return [
    leaf(lineage.column),
    group("comes from", "arrow-up", lineage.from, source),
    group("goes to", "arrow-down", lineage.to, "no other column"),
  ];
}
