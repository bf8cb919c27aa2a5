//! Programs by chance: every form of the grammar, with any layout and comments anywhere.

use flowc_syntax::TokenKind;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z_][a-z0-9_]{0,6}".prop_filter("reserved", |n| !RESERVED.contains(&n.as_str())),
        2 => prop::sample::select(vec!["window", "from", "limit", "by", "where", "flow", "source", "table", "late", "per", "on", "at", "drop"])
            .prop_map(String::from),
        1 => "`[a-zA-Z0-9 äé?{}\"'#-]{1,6}`",
    ]
}

const RESERVED: &[&str] = &[
    "null", "true", "false", "if", "then", "else", "and", "or", "not", "in", "is", "as", "like", "matches", "between",
    "div", "_", "match",
];

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,9}",
        "[1-9][0-9_]{0,3}\\.[0-9]{1,3}d?",
        "[0-9]{1,3}e-?[0-9]{1,2}",
        "[0-9]{1,2}%",
        "[0-9]{1,4}(us|ms|s|m|h|d)",
        Just("null".into()),
        Just("true".into()),
        "\"[a-z #é}]{0,5}(\\\\n|\\{\\{|\\\\\"|)[a-z]{0,3}\"".prop_map(|s: String| s.replace('}', "}}")),
        "r\"[a-z\\\\#.{}*]{0,6}\"",
        Just("@2026-11-22".into()),
        Just("@2026-11-22T10:00:00.5+02:00".into()),
    ]
}

fn type_expr() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "int",
        "integer",
        "bigint",
        "bool",
        "string",
        "double",
        "decimal(10, 2)",
        "timestamp",
    ])
    .prop_map(String::from);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| format!("array < {t} >")),
            (inner.clone(), inner.clone()).prop_map(|(k, v)| format!("map < {k} , {v} >")),
            (name(), inner.clone()).prop_map(|(n, t)| format!("struct < {n} : {t} >")),
            inner.prop_map(|t| if t.ends_with('?') { t } else { format!("{t} ?") }),
        ]
    })
}

fn list(of: impl Strategy<Value = String>, least: usize) -> impl Strategy<Value = String> {
    (prop::collection::vec(of, least..4), any::<bool>()).prop_map(|(elements, trailing)| {
        let comma = if trailing && !elements.is_empty() { " ," } else { "" };
        elements.join(" , ") + comma
    })
}

pub fn expr() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![name(), literal()];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let e = inner.boxed();
        let p = || e.clone().prop_map(|e| format!("( {e} )"));
        let arithmetic = prop::sample::select(vec!["+", "-", "*", "/", "%", "div", "??"]);
        let comparison = prop::sample::select(vec![
            "==",
            "!=",
            "<",
            "<=",
            ">",
            ">=",
            "in",
            "not in",
            "like",
            "not like",
            "matches",
            "not matches",
        ]);
        let logic = prop::sample::select(vec!["and", "or"]);
        prop_oneof![
            (e.clone(), arithmetic, p()).prop_map(|(a, op, b)| format!("{} {op} {b}", operand(&a))),
            (p(), comparison, p()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (p(), logic, e.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (p(), p(), p(), any::<bool>())
                .prop_map(|(a, b, c, n)| format!("{a} {} between {b} and {c}", if n { "not" } else { "" })),
            (p(), any::<bool>()).prop_map(|(a, n)| format!("{a} is {} null", if n { "not" } else { "" })),
            e.clone().prop_map(|a| format!("not ( {a} )")),
            p().prop_map(|a| format!("- {a}")),
            (p(), type_expr()).prop_map(|(a, t)| format!("{a} as {t}")),
            (p(), name()).prop_map(|(a, n)| format!("{a} . {n}")),
            (p(), e.clone()).prop_map(|(a, i)| format!("{a} [ {i} ]")),
            (name(), list(e.clone(), 0)).prop_map(|(f, args)| format!("{f} ( {args} )")),
            list(e.clone(), 0).prop_map(|l| format!("[ {l} ]")),
            list((name(), e.clone()).prop_map(|(n, e)| format!("{n} : {e}")), 0).prop_map(|l| format!("{{ {l} }}")),
            (e.clone(), e.clone(), e.clone()).prop_map(|(a, b, c)| format!("if {a} then {b} else {c}")),
            (e.clone(), list((literal(), e.clone()).prop_map(|(p, e)| format!("{p} | > 3 or in [ 1 ] => {e}")), 0))
                .prop_map(|(v, arms)| format!("match {v} {{ {arms} }}")),
            e.clone().prop_map(p_string),
        ]
    })
}

/// An operand of arithmetic: whatever is not certainly one in parentheses.
fn operand(e: &str) -> String {
    if e.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') { e.to_string() } else { format!("( {e} )") }
}

/// A string with a value in it.
fn p_string(e: String) -> String {
    format!("\"a {{ {e} }} b\"")
}

fn assignment() -> impl Strategy<Value = String> {
    prop_oneof![(name(), expr()).prop_map(|(n, e)| format!("{n} = {e}")), name()]
}

fn step() -> impl Strategy<Value = String> {
    let order =
        (name(), prop::sample::select(vec!["", "desc", "asc nulls last"])).prop_map(|(n, o)| format!("{n} {o}"));
    let policy = prop_oneof![
        Just(String::new()),
        Just("else quarantine".into()),
        Just("else drop ,".into()),
        (name(), expr()).prop_map(|(n, e)| format!("else repair {n} = {e}")),
    ];
    let rule = (name(), expr(), policy).prop_map(|(n, e, p)| format!("{n} : ( {e} ) {p}"));
    prop_oneof![
        expr().prop_map(|e| format!("where {e}")),
        list(assignment(), 1).prop_map(|l| format!("extend {l}")),
        list(assignment(), 1).prop_map(|l| format!("select {l}")),
        list(name(), 1).prop_map(|l| format!("drop {l}")),
        (name(), name()).prop_map(|(a, b)| format!("rename {a} = {b}")),
        prop::collection::vec(rule, 0..3).prop_map(|rules| format!("expect {{ {} }}", rules.join(" "))),
        (name(), expr()).prop_map(|(n, e)| format!("left join {n} as y on {e} within 10m")),
        (list((name(), expr()).prop_map(|(n, e)| format!("{n} = {e}")), 1), list(name(), 1)).prop_map(|(a, k)| {
            format!(
                "aggregate {} by {} , window tumble ( 1m )",
                a.trim_end_matches([' ', ',']),
                k.trim_end_matches([' ', ','])
            )
        }),
        (name(), list(order, 1), name()).prop_map(|(n, o, k)| format!("top {n} by {o} per {k}")),
        name().prop_map(|n| format!("dedup by {n} within 1h")),
        list(name(), 1).prop_map(|l| format!("union {l}")),
        name().prop_map(|n| format!("explode {n} as x")),
    ]
}

fn item() -> impl Strategy<Value = String> {
    let column = (name(), type_expr()).prop_map(|(n, t)| format!("{n} : {t}")).boxed();
    let row = list((name(), literal()).prop_map(|(n, l)| format!("{n} : {l}")), 0).prop_map(|l| format!("{{ {l} }}"));
    prop_oneof![
        3 => (name(), name(), prop::collection::vec(step(), 0..4))
            .prop_map(|(n, s, steps)| format!("flow {n} = {s} {}", steps.iter().map(|s| format!("|> {s} ")).collect::<String>())),
        1 => (name(), type_expr(), expr()).prop_map(|(n, t, e)| format!("param {n} : {t} = {e}")),
        1 => (name(), list(column.clone(), 0), expr()).prop_map(|(n, p, e)| format!("fn {n} ( {p} ) -> int = {e}")),
        1 => (name(), list(column, 0), expr()).prop_map(|(n, c, e)| {
            format!("source {n} = delta ( \"x\" , a : 1 ) {{ schema {{ {c} }} event_time at = {e} watermark 5s changes from op, after by id, k }}")
        }),
        1 => (name(), name(), expr(), list(assignment(), 1)).prop_map(|(n, f, e, k)| {
            format!("sink {n} = {f} . rejected -> delta ( \"y\" ) {{ mode append partition by {k} constraint ok : {e} }}")
        }),
        1 => (name(), list(row, 0)).prop_map(|(n, rows)| format!("test \"t\" {{ given {n} [ {rows} ] then {n} [ ] }}")),
    ]
}

/// The words of a program, one blank between any two.
pub fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(item(), 1..4).prop_map(|items| items.join(" "))
}

/// What can stand between two words.
pub fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => Just(" ".to_string()),
        2 => Just("\n".to_string()),
        1 => Just("\n\n\n".to_string()),
        1 => Just("\r\n\t".to_string()),
        1 => Just(" # note\n".to_string()),
        1 => Just("\n  # own line\n".to_string()),
        1 => Just(" ## doc\n".to_string()),
        1 => Just("\n## doc\n\n".to_string()),
    ]
}

/// A program with any layout and comments between its words; blanks within strings and names stay.
pub fn laid_out() -> impl Strategy<Value = String> {
    (program(), prop::collection::vec(gap(), 64)).prop_map(|(program, gaps)| {
        let mut out = String::new();
        let mut gaps = gaps.iter().cycle();
        let mut holes = 0;
        for (range, kind) in flowc_syntax::highlight(&program) {
            let text = &program[range];
            // A value in a string stays on the string's line.
            match (kind, text) {
                (TokenKind::Interpolation, "{") => holes += 1,
                (TokenKind::Interpolation, _) => holes -= 1,
                _ => {}
            }
            match gaps.next() {
                Some(gap) if kind == TokenKind::Space && holes == 0 => out.push_str(gap),
                _ => out.push_str(text),
            }
        }
        out
    })
}
