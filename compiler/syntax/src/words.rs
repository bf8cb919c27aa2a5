//! The words of the language, by where they can begin something. The grammar is the authority; a test keeps the two in step.

/// What begins a declaration.
pub(crate) const DECLARATIONS: &[&str] = &["use", "param", "source", "table", "fn", "flow", "sink", "test"];

/// What begins a step.
pub(crate) const STEPS: &[&str] = &[
    "where",
    "extend",
    "select",
    "drop",
    "rename",
    "expect",
    "join",
    "left",
    "right",
    "full",
    "semi",
    "anti",
    "aggregate",
    "dedup",
    "top",
    "sort",
    "limit",
    "union",
    "explode",
];

/// What begins a clause of a source or a table.
pub(crate) const SOURCE_CLAUSES: &[&str] = &[
    "schema",
    "event_time",
    "watermark",
    "idle",
    "changes",
    "sequence",
    "ignore",
    "malformed",
    "start",
    "version",
    "as",
];

/// What begins a clause of a sink.
pub(crate) const SINK_CLAUSES: &[&str] = &["mode", "partition", "constraint", "properties", "evolve"];

/// What begins a clause of a test.
pub(crate) const TEST_CLAUSES: &[&str] = &["given", "then", "at", "advance"];

/// What follows `else` in a rule.
pub(crate) const POLICIES: &[&str] = &["warn", "drop", "quarantine", "repair", "fail"];

/// What follows `mode`.
pub(crate) const MODES: &[&str] = &["append", "overwrite", "merge", "scd2"];

/// What no expression can use as a plain name.
pub(crate) const RESERVED: &[&str] = &[
    "null", "true", "false", "if", "then", "else", "and", "or", "not", "in", "is", "as", "like", "matches", "between",
    "div",
];

/// What goes on with an expression.
pub(crate) const INFIX: &[&str] = &["and", "or", "not", "in", "is", "as", "like", "matches", "between", "div"];

/// Other words that clauses consist of.
pub(crate) const CLAUSE_WORDS: &[&str] = &[
    "from", "by", "updates", "of", "on", "error", "param", "to", "unique", "within", "per", "window", "late", "asc",
    "desc", "nulls", "first", "last", "match",
];

/// Types.
pub(crate) const TYPES: &[&str] = &[
    "boolean",
    "byte",
    "short",
    "integer",
    "long",
    "float",
    "double",
    "decimal",
    "string",
    "binary",
    "date",
    "timestamp",
    "timestamp_ntz",
    "array",
    "map",
    "struct",
    "duration",
    "int",
    "bigint",
    "bool",
];

/// A type's name as the formatter writes it: Delta's own.
pub(crate) fn canonical_type(name: &str) -> &str {
    match name {
        "int" => "integer",
        "bigint" => "long",
        "bool" => "boolean",
        other => other,
    }
}
