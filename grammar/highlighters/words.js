// The words of the language, as both definitions need them. A test compares them with flow.pest.

/** What begins a declaration. */
export const declarations = ["use", "param", "source", "table", "fn", "flow", "sink", "test"];

/** What stands behind `|>`. */
export const steps = [
  "where", "extend", "select", "drop", "rename", "expect", "join", "left", "right", "full", "semi", "anti",
  "aggregate", "dedup", "top", "sort", "limit", "union", "explode",
];

/** What clauses consist of. */
export const clauses = [
  "schema", "event_time", "watermark", "idle", "changes", "from", "sequence", "by", "ignore", "updates", "malformed", "quarantine",
  "fail", "start", "version", "of", "mode", "append", "overwrite", "partition", "merge", "scd2", "on", "constraint", "properties",
  "evolve", "given", "error", "at", "advance", "to", "unique", "within", "warn", "repair", "window", "late", "asc", "desc", "nulls",
  "first", "last", "per",
];

/** What expressions consist of. */
export const operators = ["if", "then", "else", "match", "and", "or", "not", "in", "is", "as", "like", "matches", "between", "div"];

/** What is a value. */
export const constants = ["true", "false", "null"];

/** Types. */
export const types = [
  "boolean", "byte", "short", "integer", "long", "float", "double", "decimal", "string", "binary", "date", "timestamp_ntz", "timestamp",
  "array", "map", "struct", "duration", "int", "bigint", "bool",
];
