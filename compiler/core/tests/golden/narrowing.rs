//! What is known of nulls: each condition with the type that a nullable column has behind it.

use crate::support::{check_text, rendered};

/// The type of `x` behind `where condition`; `x`, `y` are nullable longs, `s` a nullable struct, `b` a nullable boolean.
fn after(condition: &str, expr: &str) -> String {
    let text = format!(
        "source orders = delta(\"orders\")
flow f = orders |> select x = customer, y = customer, s = address, b = paid, t = note |> where {condition} |> select r = {expr}
sink out = f -> console()"
    );
    let outcome = check_text(&text);
    let checked = outcome.checked.as_ref().unwrap_or_else(|| panic!("{condition}:\n{}", rendered(&outcome)));
    crate::typed::verify(condition, checked);
    checked.flows[0].rows.schema.fields[0].ty.to_string()
}

#[test]
fn where_narrows() {
    let narrowed: &[&str] = &[
        "x is not null",
        "not (x is null)",
        "x > 3",
        "3 < x + 1",
        "x between 1 and 5",
        "x in [1, 2, null]",
        "x not in [1, 2]",
        "x is not null and y > 1",
        "x > 1 or x < -1",
        "x > 1 and (y > 1 or b)",
        "(x > 1) ?? false",
        "not ((x > 1) ?? true)",
        "if x is null then false else true",
        "if b then x > 1 else x < 1",
        "match x { null => false, _ => true }",
        "match x { > 3 => true, _ => false }",
        "not (x is null or y is null)",
        "abs(x) > 1",
        "(x as string) == \"1\"",
        "(x ?? x) > 1",
        "try(x + 1) > 1",
    ];
    for condition in narrowed {
        assert_eq!(after(condition, "x"), "long", "where {condition}");
    }
    let open: &[&str] = &[
        "x is null",
        "x > 1 or y > 1",
        "(x > 1) ?? true",
        "not ((x > 1) ?? false)",
        "coalesce(x, y) > 1",
        "if b then x > 1 else true",
        "(x is not null) == b",
        "match x { null => true, _ => true }",
        "y > 1",
    ];
    for condition in open {
        assert_eq!(after(condition, "x"), "long?", "where {condition}");
    }
}

#[test]
fn fields_and_expressions_narrow() {
    assert_eq!(after("s.city is not null", "s.city"), "string");
    assert_eq!(after("s.city is not null", "s.zip"), "string");
    assert_eq!(after("s is not null", "s.city"), "string?");
    assert_eq!(after("s is not null", "s.zip"), "string");
    assert_eq!(after("x > 0", "if y is null then 0 else y"), "long");
    assert_eq!(after("x > 0", "if y > 3 then y else x"), "long");
    assert_eq!(after("true", "if x is null then 0 else x + 1"), "long");
    assert_eq!(after("true", "match x + y { null => 0, _ => x + y }"), "long");
    assert_eq!(after("true", "match x { null => 0, > 5 => x, _ => x + 1 }"), "long");
    assert_eq!(after("true", "x ?? y"), "long?");
    assert_eq!(after("true", "x ?? y ?? 0"), "long");
    assert_eq!(after("true", "x is not null and x > 3"), "boolean");
    assert_eq!(after("true", "x is null or x > 3"), "boolean");
    assert_eq!(after("true", "x > 3 and x < 5"), "boolean?");
    assert_eq!(after("true", "x in [1, 2]"), "boolean?");
    assert_eq!(after("b", "b"), "boolean");
    assert_eq!(after("t like \"a%\"", "t"), "string");
    assert_eq!(after("t matches r\"^a\"", "length(t)"), "integer");
}

#[test]
fn functions_are_generic_in_nullability() {
    let text = "
fn half(v: double?) = v / 2
fn known(v: long?) -> boolean = v is not null
source orders = delta(\"orders\")
flow f = orders
    |> select a = half(customer), b = half(id), c = half(customer ?? 1), customer
    |> where known(customer)
    |> select a, b, c, d = customer
sink out = f -> console()";
    let outcome = check_text(text);
    let checked = outcome.checked.as_ref().unwrap_or_else(|| panic!("{}", rendered(&outcome)));
    crate::typed::verify("generic", checked);
    let types: Vec<String> = checked.flows[0].rows.schema.fields.iter().map(|f| f.to_string()).collect();
    assert_eq!(types, ["a: double?", "b: double", "c: double", "d: long"]);
}
