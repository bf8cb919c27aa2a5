//! Mistakes with no better explanation than what stands there and what could.

use super::Site;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::grammar::Rule;
use crate::lex::Lex;
use crate::span::Span;

impl Site<'_> {
    /// Something that cannot stand where it stands, or an end that comes too early.
    pub(super) fn unexpected(&self) -> Diagnostic {
        let expected = describe(self.expected);
        let ends = self.at >= self.to || self.at >= self.parts.tokens.len();
        if ends && self.at > 0 {
            let last = self.span(self.at - 1);
            let place = Span { start: last.end, ..last };
            let what = self.what();
            let message = match expected.as_str() {
                "" => format!("this {what} ends too early"),
                _ => format!("this {what} ends where {expected} should follow"),
            };
            return Diagnostic::error(codes::INCOMPLETE, place, message)
                .label(if expected.is_empty() {
                    "something is missing here".into()
                } else {
                    format!("{expected} is missing here")
                })
                .help(self.help());
        }
        let found = self.found();
        let message = if expected.is_empty() {
            format!("{found} cannot stand here")
        } else {
            format!("expected {expected}, found {found}")
        };
        Diagnostic::error(codes::UNEXPECTED, self.span(self.at), message).label("not expected here").help(self.help())
    }

    /// What the part is.
    fn what(&self) -> &'static str {
        match self.word(self.from) {
            "|>" => "step",
            "flow" | "sink" | "source" | "table" | "param" | "fn" | "test" | "use" if self.from == 0 => "declaration",
            _ => "clause",
        }
    }

    fn found(&self) -> String {
        match self.parts.kind(self.at) {
            None => "the end".into(),
            Some(Lex::StringOpen) => "a string".into(),
            Some(_) => format!("`{}`", self.word(self.at)),
        }
    }

    /// The form of the part that the mistake is in.
    fn help(&self) -> String {
        let first = if self.word(self.from) == "|>" { self.from + 1 } else { self.from };
        let form = match self.word(first) {
            "where" => "where CONDITION",
            "extend" => "extend column = VALUE, …",
            "select" => "select column, column = VALUE, …",
            "drop" => "drop column, …",
            "rename" => "rename new = old, …",
            "expect" => "expect { name: CONDITION else quarantine }",
            "join" | "left" | "right" | "full" | "semi" | "anti" => "join X on CONDITION",
            "aggregate" => "aggregate n = count() by key, window tumble(1m)",
            "dedup" => "dedup by key within 10m",
            "top" => "top N by VALUE desc per key",
            "sort" => "sort VALUE desc, …",
            "limit" => "limit N",
            "union" => "union X, Y",
            "explode" => "explode array as element",
            "schema" => "schema { column: type, … }",
            "event_time" => "event_time column = VALUE",
            "watermark" => "watermark 5s",
            "idle" => "idle 1m",
            "changes" => "changes from op, before, after by key",
            "sequence" => "sequence by VALUE",
            "ignore" => "ignore updates",
            "malformed" => "malformed quarantine",
            "start" => "start version N",
            "version" => "version N",
            "as" => "as of @2026-11-22T10:00:00Z",
            "mode" => "mode append",
            "partition" => "partition by column",
            "constraint" => "constraint name: CONDITION",
            "properties" => "properties { \"key\": \"value\" }",
            "evolve" => "evolve",
            "given" => "given NAME [{ column: VALUE }]",
            "then" => "then FLOW [{ column: VALUE }]",
            "at" => "at @2026-11-22T10:00:00Z",
            "advance" => "advance watermark to @2026-11-22T10:00:00Z",
            "use" => "use \"file.flow\"",
            "param" => "param name: type = VALUE",
            "source" => "source name = delta(\"path\") { … }",
            "table" => "table name = delta(\"path\")",
            "fn" => "fn name(a: type) -> type = VALUE",
            "flow" => "flow name = source |> where CONDITION",
            "sink" => "sink name = flow -> delta(\"path\") { … }",
            "test" => "test \"what it shows\" { given … then … }",
            _ if matches!(self.word(0), "source" | "table") && self.from > 0 => "column: type",
            _ if self.inside_expect() => "name: CONDITION else POLICY",
            _ => return "look for a word or sign too many, or one that is missing, just before".into(),
        };
        format!("the form is `{form}`")
    }

    fn inside_expect(&self) -> bool {
        self.word(0) == "flow"
            && (0..self.from).rev().find(|&i| self.word(i) == "|>").is_some_and(|i| self.word(i + 1) == "expect")
    }
}

/// What could stand there, in plain words.
fn describe(rules: &[Rule]) -> String {
    let mut words: Vec<String> = Vec::new();
    // Where a value can begin, pest names each way to begin one.
    let value = rules
        .iter()
        .any(|r| matches!(r, Rule::integer | Rule::double | Rule::temporal | Rule::plain_name | Rule::reference));
    // Where a value can go on, likewise.
    let behind = rules
        .iter()
        .any(|r| matches!(r, Rule::field | Rule::dot | Rule::index | Rule::op_add | Rule::compare_op | Rule::cast));
    if value {
        words.push("a value".into());
    }
    for rule in rules {
        use Rule::*;
        let begins = matches!(
            rule,
            lparen
                | lbracket
                | lbrace
                | quote
                | string
                | integer
                | double
                | decimal
                | percent
                | duration
                | temporal
                | raw_string
                | array
                | struct_literal
                | kw_null
                | kw_true
                | kw_false
                | kw_if
                | kw_match
                | plain_name
                | reference
                | op_negate
                | op_not
                | paren
        );
        let goes_on = matches!(rule, lparen | lbracket | dot | call_args);
        if (value && begins) || (behind && goes_on) {
            continue;
        }
        if let Some(text) = plain(*rule)
            && !words.contains(&text)
        {
            words.push(text);
        }
    }
    // Where a value could go on there are always the same fifteen operators: one word for all.
    if words.len() > 4 {
        words.retain(|w| !w.starts_with("an operator"));
        words.truncate(4);
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// A rule as a person would call it; none: not worth naming beside others.
fn plain(rule: Rule) -> Option<String> {
    use Rule::*;
    let text = match rule {
        expr | operand | comparison | reference | if_expr | match_expr | paren | explode_value => "a value",
        assignment | assignments | aggregates | group_keys | dedup_keys | partition_keys => "a column",
        name | plain_name | Rule::word | backticks => "a name",
        step => "a step",
        type_expr => "a type",
        connector => "a connector",
        flow_ref => "a flow, source or table",
        plain_string => "a string",
        source_clause | sink_clause | test_clause => "a clause",
        column | columns => "a column with its type",
        quality_rule => "a rule",
        policy => "a policy",
        sink_mode => "a mode",
        pattern => "a pattern",
        args | arg => "an argument",
        array => "rows in `[…]`",
        integer => "a whole number",
        comma => "`,`",
        colon => "`:`",
        dot => "`.`",
        pipe => "`|>`",
        arrow => "`->`",
        fat_arrow => "`=>`",
        assign => "`=`",
        lparen | call_args => "`(`",
        rparen => "`)`",
        lbracket => "`[`",
        rbracket => "`]`",
        lbrace | sink_block | source_block | test_block => "`{`",
        rbrace => "`}`",
        greater => "`>`",
        less => "`<`",
        quote => "`\"`",
        compare_tail | in_tail | like_tail | matches_tail | between_tail | null_tail | cast | field | index | op_or
        | op_and | op_coalesce | op_add | op_subtract | op_multiply | op_divide | op_div | op_remainder
        | compare_op | negation => "an operator",
        nullable | EOI | filter | broken | item => return None,
        other => {
            let keyword = format!("{other:?}");
            return keyword.strip_prefix("kw_").map(|k| format!("`{k}`"));
        }
    };
    Some(text.to_string())
}
