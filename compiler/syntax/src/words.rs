//! The words of the language, by where they can begin something. The grammar is the authority; a test keeps the two in step.

/// What begins a declaration.
pub const DECLARATIONS: &[&str] = &["use", "param", "source", "table", "fn", "flow", "sink", "test"];

/// What begins a step.
pub const STEPS: &[&str] = &[
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
pub const SOURCE_CLAUSES: &[&str] = &[
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
pub const SINK_CLAUSES: &[&str] = &["mode", "partition", "constraint", "properties", "evolve"];

/// What begins a clause of a test.
pub const TEST_CLAUSES: &[&str] = &["given", "then", "at", "advance"];

/// What follows `else` in a rule.
pub const POLICIES: &[&str] = &["warn", "drop", "quarantine", "repair", "fail"];

/// What follows `mode`.
pub const MODES: &[&str] = &["append", "overwrite", "merge", "scd2"];

/// What no expression can use as a plain name.
pub const RESERVED: &[&str] = &[
    "null", "true", "false", "if", "then", "else", "and", "or", "not", "in", "is", "as", "like", "matches", "between",
    "div",
];

/// What goes on with an expression.
pub const INFIX: &[&str] = &["and", "or", "not", "in", "is", "as", "like", "matches", "between", "div"];

/// Other words that clauses consist of.
pub const CLAUSE_WORDS: &[&str] = &[
    "from", "by", "updates", "of", "on", "error", "param", "to", "unique", "within", "per", "window", "late", "asc",
    "desc", "nulls", "first", "last", "match",
];

/// Types.
pub const TYPES: &[&str] = &[
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const GRAMMAR: &str = include_str!("../../../grammar/flow.pest");

    /// The keywords with which the alternatives of a rule begin.
    fn begins(rule: &str) -> BTreeSet<String> {
        let body = |rule: &str| {
            let start = GRAMMAR.find(&format!("\n{rule} ")).unwrap_or_else(|| panic!("the grammar has no rule {rule}"));
            let text = &GRAMMAR[start + 1..];
            let open = text.find('{').expect("a rule has a body");
            let body = text[open + 1..text.find(" }").expect("a body ends")].trim();
            // What stands in parentheses is behind the first word.
            let mut depth = 0;
            let outside = body.chars().filter(|c| {
                depth += i32::from(*c == '(');
                depth -= i32::from(*c == ')');
                depth == 0
            });
            outside.collect::<String>()
        };
        let mut found = BTreeSet::new();
        for alternative in body(rule).split('|').map(str::trim) {
            let first = alternative.split([' ', '~']).next().unwrap_or_default();
            let optional = first.strip_suffix('?');
            match first.strip_prefix("kw_") {
                Some(word) => drop(found.insert(word.to_string())),
                None => found.extend(begins(optional.unwrap_or(first))),
            }
            if optional.is_some() {
                let second = alternative.split('~').nth(1).map(str::trim).and_then(|s| s.strip_prefix("kw_"));
                found.extend(second.map(String::from));
            }
        }
        found
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|w| w.to_string()).collect()
    }

    #[test]
    fn the_lists_are_those_of_the_grammar() {
        assert_eq!(begins("declaration"), set(DECLARATIONS));
        assert_eq!(begins("step"), set(STEPS));
        assert_eq!(begins("source_clause"), set(SOURCE_CLAUSES));
        assert_eq!(begins("sink_clause"), set(SINK_CLAUSES));
        assert_eq!(begins("test_clause"), set(TEST_CLAUSES));
        assert_eq!(begins("policy"), set(POLICIES));
        assert_eq!(begins("sink_mode"), set(MODES));
    }

    #[test]
    fn every_keyword_is_in_a_list() {
        let lists = [
            DECLARATIONS,
            STEPS,
            SOURCE_CLAUSES,
            SINK_CLAUSES,
            TEST_CLAUSES,
            POLICIES,
            MODES,
            RESERVED,
            CLAUSE_WORDS,
            TYPES,
        ];
        let known: BTreeSet<String> = lists.iter().flat_map(|list| set(list)).collect();
        let keywords =
            GRAMMAR.lines().filter_map(|l| l.strip_prefix("kw_")).filter_map(|l| l.split_whitespace().next());
        let missing: Vec<&str> = keywords.filter(|k| !known.contains(*k)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
