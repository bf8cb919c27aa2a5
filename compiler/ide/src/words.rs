//! What the words of the language mean, in a line or two: for hover and completion. The language reference says more. Must not know of programs.

/// A word, how it is written as a snippet of an editor (`$1` is where to go on), and what it does.
pub(crate) struct Word {
    /// The word, or words.
    pub name: &'static str,
    /// What completion inserts.
    pub snippet: &'static str,
    /// What it does.
    pub doc: &'static str,
}

const fn word(name: &'static str, snippet: &'static str, doc: &'static str) -> Word {
    Word { name, snippet, doc }
}

/// What begins a declaration.
pub(crate) const DECLARATIONS: &[Word] = &[
    word("use", "use \"$1\"", "Makes the functions and params of another file known here."),
    word(
        "param",
        "param ${1:name}: ${2:string} = ${3:value}",
        "A value that is given when the program runs: `--param name=value`.",
    ),
    word(
        "source",
        "source ${1:name} = ${2:delta}(\"$3\")",
        "A stream of rows: of a Delta table, of files, or made up.",
    ),
    word("table", "table ${1:name} = ${2:delta}(\"$3\")", "A snapshot of rows to join with."),
    word("fn", "fn ${1:name}(${2:x}: ${3:long}) -> ${4:long} = $0", "A function of values, put in place of its calls."),
    word(
        "flow",
        "flow ${1:name} = ${2:input}\n    |> $0",
        "Rows from a source, a table or another flow, through steps.",
    ),
    word("sink", "sink ${1:name} = ${2:flow} -> ${3:delta}(\"$4\")", "Writes the rows of a flow."),
    word(
        "test",
        "test \"${1:name}\" {\n    given ${2:source} [\n        $3\n    ]\n    then ${4:flow} [\n        $0\n    ]\n}",
        "Rows that are given, and those that are expected: `flowc test` runs it.",
    ),
];

/// What begins a step.
pub(crate) const STEPS: &[Word] = &[
    word("where", "where $0", "Keeps the rows for which the condition is true; null is not true."),
    word(
        "extend",
        "extend ${1:column} = $0",
        "Adds columns, or gives columns other values. Each sees those before it.",
    ),
    word("select", "select $0", "Keeps these columns, in this order, perhaps computed."),
    word("drop", "drop $0", "Leaves columns out."),
    word("rename", "rename ${1:new} = ${2:old}", "Gives columns other names."),
    word(
        "expect",
        "expect {\n    ${1:rule}: $2 else ${3|quarantine,drop,warn,fail|}\n}",
        "Tests each row, and says what happens to one that fails: `warn`, `drop`, `quarantine`, `repair`, `fail`.",
    ),
    word(
        "join",
        "join ${1:table} on ${1:table}.${2:key} == ${3:key}",
        "Adds the columns of matching rows; rows without a match are left out.",
    ),
    word(
        "left join",
        "left join ${1:table} on ${1:table}.${2:key} == ${3:key}",
        "Adds the columns of matching rows; they are null where there is none.",
    ),
    word(
        "right join",
        "right join ${1:stream} on ${1:stream}.${2:key} == ${3:key} within ${4:10m}",
        "All rows of the other side, with those that match.",
    ),
    word(
        "full join",
        "full join ${1:stream} on ${1:stream}.${2:key} == ${3:key} within ${4:10m}",
        "All rows of both sides.",
    ),
    word("semi join", "semi join ${1:table} on ${1:table}.${2:key} == ${3:key}", "Keeps the rows that have a match."),
    word("anti join", "anti join ${1:table} on ${1:table}.${2:key} == ${3:key}", "Keeps the rows that have no match."),
    word(
        "aggregate",
        "aggregate ${1:n} = ${2:count()} by ${3:key}",
        "One row for each group, or for each group and window.",
    ),
    word("dedup", "dedup by ${1:key} within ${2:10m}", "Keeps the first row of each key, within a time."),
    word("top", "top ${1:10} by ${2:column} desc per ${3:key}", "The greatest, or least, rows of each key."),
    word("sort", "sort ${1:column} ${2|asc,desc|}", "Puts all rows in order."),
    word("limit", "limit ${1:100}", "At most so many rows."),
    word("union", "union $0", "The rows of other flows as well."),
    word("explode", "explode ${1:array} as ${2:element}", "One row for each element of an array."),
];

/// The clauses of a source or a table.
pub(crate) const SOURCE_CLAUSES: &[Word] = &[
    word(
        "schema",
        "schema {\n    ${1:column}: ${2:string},\n}",
        "The columns and types that are relied on: a contract with the table, or what files of text hold.",
    ),
    word("event_time", "event_time ${1:at} = $0", "Which time a row is of."),
    word("watermark", "watermark ${1:5s}", "How late a row may come, in event time."),
    word("idle", "idle ${1:1m}", "After so long without rows it holds no other source back."),
    word("changes", "changes by ${1:key}", "Follows rows as they are updated and deleted, too."),
    word("sequence by", "sequence by $0", "Which of several changes of a row is the latest."),
    word("ignore updates", "ignore updates", "Reads only rows that are added."),
    word("malformed", "malformed ${1|quarantine,fail|}", "What happens to rows of text files that do not parse."),
    word("start", "start version ${1:0}", "Where reading begins the first time."),
    word("version", "version ${1:0}", "The version of the table that is looked at."),
    word("as of", "as of ${1:@2026-01-01}", "The table as it was at a time."),
];

/// The clauses of a sink.
pub(crate) const SINK_CLAUSES: &[Word] = &[
    word(
        "mode",
        "mode ${1|append,overwrite,merge on,scd2 on|}",
        "How rows meet those that are there; `append` if it is left out.",
    ),
    word("partition by", "partition by $0", "The columns that folders are made of."),
    word("constraint", "constraint ${1:name}: $0", "What must be true of every row; the table gets it too."),
    word("properties", "properties { \"$1\": \"$2\" }", "Properties of the table."),
    word("evolve", "evolve", "Columns that the table lacks are added to it."),
];

/// The clauses of a test.
pub(crate) const TEST_CLAUSES: &[Word] = &[
    word("given", "given ${1:source} [\n    $0\n]", "The rows that a source or table has."),
    word("then", "then ${1:flow} [\n    $0\n]", "The rows that come out, of a flow, a side output or a sink."),
    word("at", "at ${1:@2026-01-01T00:00:00Z}", "What time it is."),
    word(
        "advance watermark to",
        "advance watermark to ${1:@2026-01-01T00:00:00Z}",
        "All sources have reached this event time.",
    ),
];

/// The modes of a sink.
pub(crate) const MODES: &[Word] = &[
    word("append", "append", "Rows are added."),
    word("overwrite", "overwrite", "The rows replace all that are there."),
    word("overwrite partition", "overwrite partition", "The rows replace the partitions that they are in."),
    word("merge on", "merge on $0", "A row replaces the one with the same key."),
    word("scd2 on", "scd2 on $0", "Keeps the history of each key: from when to when a row was valid."),
];

/// What happens to a row that fails a rule.
pub(crate) const POLICIES: &[Word] = &[
    word("warn", "warn", "The row goes on, and is counted."),
    word("drop", "drop", "The row is left out."),
    word("quarantine", "quarantine", "The row goes to the flow's side output `rejected`."),
    word("repair", "repair ${1:column} = $0", "Columns get other values, and the row goes on."),
    word("fail", "fail", "The run stops."),
];

/// What begins or goes on with an expression.
pub(crate) const EXPRESSIONS: &[Word] = &[
    word("if", "if $1 then $2 else $0", "One of two values: the second where the condition is false or null."),
    word("match", "match $1 {\n    $2 => $3,\n    _ => $0,\n}", "The value of the first pattern that fits."),
    word("not", "not $0", "The opposite; null stays null."),
    word("and", "and $0", "True if both are; the right side is only looked at where the left does not decide."),
    word("or", "or $0", "True if one is."),
    word("in", "in [$0]", "Whether the value is one of these, or in a table's column."),
    word("is null", "is null", "Whether there is no value."),
    word("is not null", "is not null", "Whether there is a value; behind it the type is not nullable."),
    word("like", "like \"$0%\"", "Whether the text fits: `%` any text, `_` any character."),
    word("matches", "matches r\"$0\"", "Whether a part of the text fits the regular expression."),
    word("between", "between $1 and $0", "Whether it lies between two values, both included."),
    word("as", "as $0", "Converts; with a `?` behind the type a failure is null."),
    word("div", "div $0", "Division of whole numbers."),
    word("null", "null", "No value."),
    word("true", "true", "The truth."),
    word("false", "false", "Its opposite."),
];

/// The meaning of a word that may be one of several, by what it begins with.
pub(crate) fn find(lists: &[&'static [Word]], word: &str) -> Option<&'static Word> {
    let mut all = lists.iter().flat_map(|list| list.iter());
    all.find(|w| w.name == word || w.name.split(' ').next() == Some(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_syntax::words;

    #[test]
    fn every_word_that_begins_something_is_explained() {
        let pairs: [(&[&str], &'static [Word]); 7] = [
            (words::DECLARATIONS, DECLARATIONS),
            (words::STEPS, STEPS),
            (words::SOURCE_CLAUSES, SOURCE_CLAUSES),
            (words::SINK_CLAUSES, SINK_CLAUSES),
            (words::TEST_CLAUSES, TEST_CLAUSES),
            (words::MODES, MODES),
            (words::POLICIES, POLICIES),
        ];
        for (all, explained) in pairs {
            for word in all {
                assert!(find(&[explained], word).is_some(), "{word}");
            }
            for w in explained {
                assert!(all.contains(&w.name.split(' ').next().unwrap_or_default()), "{}", w.name);
            }
        }
    }
}
