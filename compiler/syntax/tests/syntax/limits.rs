//! Text that is too much of something: a diagnostic, never an overflow, and time linear in the text.

use crate::{parse, parse_clean};

fn codes(text: &str) -> Vec<&'static str> {
    parse(text).1.iter().map(|d| d.code).collect()
}

#[test]
fn a_hundred_levels_are_fine() {
    // An `if` and a `match` are a level, and so are their brackets.
    for (open, close, levels) in [
        ("(", ")", 100),
        ("[", "]", 100),
        ("f(", ")", 100),
        ("x[", "]", 100),
        ("{ a: ", "}", 100),
        ("if a then b else (", ")", 60),
        ("match x { _ => ", "}", 60),
    ] {
        let text = format!("fn f() = {}1{}", open.repeat(levels), close.repeat(levels));
        assert_eq!(parse_clean(open, &text).items.len(), 1);
        flowc_syntax::format(&text).expect("formats");
    }
}

#[test]
fn a_hundred_thousand_levels_are_one_mistake() {
    let n = 100_000;
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("f(", ")"),
        ("{ a: ", "}"),
        ("if a then b else (", ")"),
        ("if ", ""),
        ("\"{", "}\""),
        ("match ", ""),
        ("not ", ""),
        ("- ", ""),
        ("x as array<", ">"),
        ("count() where ", ""),
        ("match x { _ => ", "}"),
    ] {
        let text = format!("fn f() = {}1{}", open.repeat(n), close.repeat(n));
        let found = codes(&text);
        assert_eq!(found.len(), 1, "{open}: {found:?}");
        if !["x as array<", "match "].contains(&open) {
            assert_eq!(found, ["E0122"], "{open}");
        }
    }
}

#[test]
// Two megabytes are what a thread gets by default.
fn a_small_stack_is_enough_or_one_mistake() {
    let forms = [
        ("(", ")", 128),
        ("f(", ")", 128),
        ("{ a: ", "}", 128),
        ("\"{", "}\"", 128),
        ("if a then b else (", ")", 64),
        ("match x { _ => ", "}", 64),
    ];
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for (open, close, levels) in forms {
            let text = format!("fn f() = {}1{}", open.repeat(levels), close.repeat(levels));
            let found = codes(&text);
            assert!(found.is_empty() || found == ["E0122"], "{open}: {found:?}");
        }
    });
    thread.expect("threads can be made").join().expect("no overflow");
}

#[test]
fn brackets_that_never_match_are_no_overflow() {
    for text in [
        "(",
        "[",
        "{",
        "\"{",
        "f(",
        "(]",
        "{)",
        "if a then ",
        "match x { ",
        "array<",
        "[[}",
        "((|>",
        "`",
        "r\"",
        "@",
        "|>",
    ] {
        for head in
            ["", "fn f() = ", "flow a = b |> where ", "test \"x\" { given s ", "source s = delta(\"x\") { schema { a: "]
        {
            let found = codes(&format!("{head}{}", text.repeat(20_000)));
            assert!(!found.is_empty(), "{head}{text}");
        }
    }
}

#[test]
fn long_chains_are_one_mistake() {
    for op in [" + ", " or ", " and ", " ?? ", " == ", ".", " as string as ", " is null == "] {
        let text = format!("flow a = b |> where x{}", format!("{op}x").repeat(5_000));
        let found = codes(&text);
        assert!(found.contains(&"E0122"), "{op}: {found:?}");
        assert_eq!(found.len(), 1, "{op}: {found:?}");
    }
    let text = format!("fn f() = {} 1", "if a then b else".repeat(5_000).replace("elseif", "else if"));
    assert_eq!(codes(&text), ["E0122"]);
}

#[test]
fn two_hundred_operands_are_fine() {
    for op in ["+", "or", "and", "??"] {
        parse_clean(op, &format!("fn f() = x{}", format!(" {op} x").repeat(200)));
    }
    parse_clean("if", &format!("fn f() = {}1", "if a then b else ".repeat(100)));
}

#[test]
fn ten_thousand_lines() {
    let mut text = String::new();
    for i in 0..2_000 {
        text.push_str(&format!(
            "flow f{i} = s\n    |> where a > {i} and b < (c + {i}) * 2\n    |> extend x = f(a, \"v {{b}}\"), y = if a then 1 else 2\n    |> aggregate n = count() by k\n\n"
        ));
    }
    let ast = parse_clean("large", &text);
    assert_eq!(ast.items.len(), 2_000);
    let broken = text.replace("b < ", "b = ");
    let (ast, diagnostics) = parse(&broken);
    assert_eq!((ast.items.len(), diagnostics.len(), ast.broken.len()), (2_000, 2_000, 2_000));
}

#[test]
fn line_ends_and_byte_order_mark() {
    let text =
        "\u{feff}## whole\r\n\r\n# c\r\nflow a = b\r\n    |> where x > 1 # d\r\n\r\n\r\nsink c = a -> console()\r\n";
    let ast = parse_clean("crlf", text);
    assert_eq!(ast.description.as_deref(), Some("whole"));
    let formatted = flowc_syntax::format(text).expect("no mistakes");
    assert_eq!(formatted, "## whole\n\n# c\nflow a = b\n    |> where x > 1 # d\n\nsink c = a -> console()\n");
    for empty in ["", "\n", "\u{feff}", "# only\n", "## only"] {
        assert!(parse_clean("empty", empty).items.is_empty());
        flowc_syntax::format(empty).expect("no mistakes");
    }
}
