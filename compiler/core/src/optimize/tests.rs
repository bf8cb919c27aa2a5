//! What each rule does, on texts of plans; and for generated plans that nothing else changes: same rows, same order, failing where it failed.

mod generated;
mod run;

use super::{RULES, optimize};
use flowc_ir::plan::{Connector, Plan};
use flowc_ir::text::{Origins, parse_plan, parse_program, print_plan, print_program};

/// A plan over `s(id, value, name, xs)` and `device(id, site, size)` with these nodes and sinks.
fn plan(nodes: &str, sinks: &str) -> Plan {
    let text = format!(
        r#"plan "p"
source "s" {{"connector":"delta","location":"/s"}}
    columns (id: long, value: double?, name: string, xs: array<integer?>)
table "device" {{"connector":"delta","location":"/device"}}
    columns (id: long, site: string, size: long?)
{sinks}
graph {{
    0: source 0 "s" bounded
        columns (id: long, value: double?, name: string, xs: array<integer?>)
{nodes}
}}"#
    );
    let plan = parse_plan(&text).unwrap_or_else(|e| panic!("{e}\n{}", &text[e.at..]));
    assert_eq!(flowc_ir::verify::verify(&plan), Ok(()), "{text}");
    plan
}

fn sink(name: &str, input: u32, columns: &str) -> String {
    format!("sink \"{name}\" {{\"connector\":\"console\"}} <- {input} append whole\n    columns {columns}\n")
}

fn optimized(nodes: &str, sinks: &str) -> String {
    print_plan(&optimize(plan(nodes, sinks)), Origins::Omitted)
}

fn simplified(program: &str) -> String {
    let mut program = parse_program(program).unwrap_or_else(|e| panic!("{e}: {program}"));
    super::simplify::program(&mut program);
    super::tidy::program(&mut program);
    assert_eq!(flowc_ir::verify::verify_program(&program), Ok(()));
    let text = print_program(&program, Origins::Omitted);
    let body = text.split_once('{').map_or("", |(_, body)| body).trim_end_matches('}');
    body.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

#[test]
fn simplification() {
    let columns = "(a: long, b: long?, p: boolean, q: boolean?)";
    for (before, after) in [
        ("out x = add(1L, 2L)", "out x = 3L"),
        // It fails when it is evaluated, not before.
        ("out x = add(9223372036854775807L, 1L)", "out x = add(9223372036854775807L, 1L)"),
        ("out x = not(not(p))", "out x = p"),
        ("out x = not(less(a, 1L))", "out x = greater_equal(a, 1L)"),
        ("out x = and(true, p, true)", "out x = p"),
        ("out x = and(p, and(q, p))", "out x = and(p, q, p)"),
        ("out x = and(q, false)", "out x = (false : boolean?)"),
        ("out x = and(less(add(a, 1L), 2L), false, p)", "out x = and(less(add(a, 1L), 2L), false)"),
        ("out x = or(p, true)", "out x = true"),
        ("out x = if(true, a, 1L)", "out x = a"),
        ("out x = if((null : boolean?), a, 1L)", "out x = 1L"),
        ("out x = coalesce((null : long?), b, a, 1L)", "out x = coalesce(b, a)"),
        ("out x = is_null(a)", "out x = false"),
        ("out x = is_null(add(a, 1L))", "out x = is_null(add(a, 1L))"),
        ("out x = (let %0 = add(a, 1L) in add(%0, 2L))", "out x = add(add(a, 1L), 2L)"),
        ("out x = (let %0 = add(a, 1L) in add(%0, %0))", "out x = (let %0 = add(a, 1L) in add(%0, %0))"),
        ("out x = (let %0 = 1L in add(%0, %0))", "out x = 2L"),
        // What is known of a variable may not be known of what stands for it.
        (
            "out x = (let %0 = nullif(a, 1L) in if(is_null(%0), 0L, (%0 : long)))",
            "out x = (let %0 = nullif(a, 1L) in if(is_null(%0), 0L, (%0 : long)))",
        ),
        ("out x = (let %0 = b in if(is_null(%0), 0L, (%0 : long)))", "out x = if(is_null(b), 0L, (b : long))"),
        ("out x = struct(u: a, v: p).u", "out x = a"),
        ("out x = try(a)", "out x = (a : long?)"),
        ("out x = is_null(try(add(a, 1L)))", "out x = is_null(try(add(a, 1L)))"),
        ("filter true out x = a", "out x = a"),
        // Used once, it goes to its use; unused, it goes; what can fail stays.
        ("let $4 = greater(a, 1L) filter $4 out x = a", "filter greater(a, 1L); out x = a"),
        ("let $4 = greater(a, 1L) let $5 = add(a, 1L) out x = a", "let $4 = add(a, 1L); out x = a"),
        ("let $4 = is_null(b) filter p out x = $4 out y = $4", "filter p; let $4 = is_null(b); out x = $4; out y = $4"),
        ("let $4 = add(a, 1L) filter p out x = $4 out y = $4", "let $4 = add(a, 1L); filter p; out x = $4; out y = $4"),
    ] {
        assert_eq!(simplified(&format!("program {columns} {{ {before} }}")), after, "{before}");
    }
}

#[test]
fn steps_are_fused_and_what_nobody_reads_is_left_out() {
    let nodes = r#"
    1: transform <- [0] "f |> where" bounded program { filter greater(id, 1L) keep id, value, name, xs }
    2: transform <- [1] "f |> extend" bounded program {
        keep id, value, name, xs
        out twice = multiply(id, 2L)
        out half = divide(value, 2.0)
        out short = length(name)
    }
    3: transform <- [2] "f |> select" bounded program { keep id, half }
    4: sink 0 <- [3] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 3, "(id: long, half: double?)")));
}

#[test]
fn a_file_without_a_header_keeps_all_columns() {
    let nodes = r#"
    1: transform <- [0] "f |> select" bounded program { keep value }
    2: sink 0 <- [1] "out" bounded"#;
    let mut plan = plan(nodes, &sink("out", 1, "(value: double?)"));
    let mut read = |header| {
        let (glob, null) = ("/s/*.csv".to_string(), String::new());
        plan.sources[0].connector = Connector::Csv { glob, header, delimiter: ',', quote: '"', null };
        optimize(plan.clone()).sources[0].schema.fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(read(true), ["value"]);
    assert_eq!(read(false), ["id", "value", "name", "xs"]);
}

#[test]
fn what_several_read_runs_once() {
    let nodes = r#"
    1: transform <- [0] "f |> extend" bounded program { keep id out n = length(name) filter less(id, 9L) }
    2: transform <- [1] "a" bounded program { filter greater(n, 1) keep id }
    3: sink 0 <- [2] "a" bounded
    4: transform <- [1] "b" bounded program { keep n }
    5: sink 1 <- [4] "b" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &(sink("a", 2, "(id: long)") + &sink("b", 4, "(n: integer)"))));
}

#[test]
fn filters_go_past_unions_sorts_and_lookups() {
    let nodes = r#"
    1: transform <- [0] "f |> select" bounded program { keep id, name }
    2: transform <- [0] "f |> union" bounded program { out id = add(id, 1L) keep name }
    3: union <- [1, 2] "f |> union" bounded
    4: lookup 0 <- [3] "f |> left join" bounded
        columns (id: long, name: string, `device.id`: long?, `device.site`: string?, `device.size`: long?)
        left keys [0] == [0] output [0, 1, 2]
        prepare program (id: long, site: string, size: long?) { filter greater(size, 3L) keep id, site, size }
    5: sort <- [4] "f |> sort" bounded by 1 desc
    6: transform <- [5] "f |> where" bounded program {
        filter and(greater(id, 5L), is_null(`device.site`))
        keep id, name
    }
    7: sink 0 <- [6] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 6, "(id: long, name: string)")));
}

#[test]
fn filters_over_both_sides_become_the_condition_of_an_inner_lookup() {
    let nodes = r#"
    1: lookup 0 <- [0] "f |> join" bounded
        columns (id: long, value: double?, name: string, xs: array<integer?>, `device.id`: long, `device.site`: string, `device.size`: long?)
        inner keys [0] == [0] output [0, 1, 2]
        prepare program (id: long, site: string, size: long?) { keep id, site, size }
    2: transform <- [1] "f |> where" bounded program {
        filter and(greater(id, `device.size`), less(`device.size`, id))
        filter equal(name, `device.site`)
        filter greater(add(id, `device.size`), 1L)
        keep id, `device.site`
    }
    3: sink 0 <- [2] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 2, "(id: long, `device.site`: string)")));
}

#[test]
fn a_filter_that_can_fail_stays_behind_a_lookup() {
    let nodes = r#"
    1: lookup 0 <- [0] "f |> join" bounded
        columns (id: long, value: double?, name: string, xs: array<integer?>)
        semi keys [0] == [0] output []
        prepare program (id: long, site: string, size: long?) { keep id }
    2: explode 3 <- [1] "f |> explode" bounded element x: integer?
    3: transform <- [2] "f |> where" bounded program {
        filter greater(add(id, 1L), 5L)
        filter less(id, 100L)
        keep id, x
    }
    4: aggregate <- [3] "f |> aggregate" bounded
        columns (x: integer?, n: long, s: long, m: long)
        keys [1]
        count [] : long
        sum [0] : long
        max [0] : long
    5: transform <- [4] "f |> select" bounded program { keep x, m }
    6: sink 0 <- [5] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 5, "(x: integer?, m: long)")));
}

#[test]
fn what_is_computed_twice_is_computed_once() {
    let nodes = r#"
    1: transform <- [0] "f" bounded program {
        filter greater(length(name), 3)
        out a = add(length(name), 1)
        out b = add(length(name), 1)
        out c = if(greater(id, 1L), upper(name), "x")
        out d = if(greater(id, 2L), upper(name), "y")
    }
    2: sink 0 <- [1] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 1, "(a: integer, b: integer, c: string, d: string)")));
}

#[test]
fn filters_pass_what_groups_by_their_columns() {
    let nodes = r#"
    1: aggregate <- [0] "f |> aggregate" bounded
        columns (id: long, name: string, n: long, m: double?)
        keys [0, 2]
        count [] : long
        max [1] : double?
    2: transform <- [1] "f |> extend + f |> where" bounded program {
        let $4 = divide(m, 2.0)
        filter and(greater(id, 3L), greater(n, 1L))
        filter equal(name, "x")
        keep id, name, n
        out half = $4
    }
    3: dedup "f |> dedup" [0] <- [2] "f |> dedup" bounded
    4: transform <- [3] "f |> where" bounded program {
        filter less(id, 100L)
        filter less(n, 100L)
        keep id, name, n, half
    }
    5: top "f |> top" 3 <- [4] "f |> top" bounded
        per [1]
        by 2 desc
    6: transform <- [5] "f |> where" bounded program {
        filter not_equal(name, "y")
        filter less(id, 50L)
        keep id, name, n, half
    }
    7: sink 0 <- [6] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 6, "(id: long, name: string, n: long, half: double?)")));
}

/// A sum of longs can overflow for a group that the filter would remove.
#[test]
fn a_filter_stays_behind_an_aggregate_that_can_fail() {
    let nodes = r#"
    1: aggregate <- [0] "f |> aggregate" bounded
        columns (name: string, s: long)
        keys [2]
        sum [0] : long
    2: transform <- [1] "f |> where" bounded program { filter equal(name, "x") keep name, s }
    3: sink 0 <- [2] "out" bounded"#;
    let text = optimized(nodes, &sink("out", 2, "(name: string, s: long)"));
    assert!(text.contains("2: transform <- [1] \"f |> where\""), "{text}");
}

/// What a dedup remembers is all keys, whatever is read of them today; a computation of the whole remembers nothing.
#[test]
fn a_filter_stays_behind_what_remembers_rows() {
    let nodes = r#"
    1: dedup "f |> dedup" [0] <- [0] "f |> dedup"
    2: transform <- [1] "f |> where" program { filter less(id, 100L) keep id }
    3: sink 0 <- [2] "out""#;
    let sinks = sink("out", 2, "(id: long)");
    let place = |sinks: &str| {
        let text = optimized(nodes, sinks);
        text.find("filter less").cmp(&text.find("dedup \"f |> dedup\" "))
    };
    assert_eq!(place(&sinks.replace("append whole", "append")), std::cmp::Ordering::Greater);
    assert_eq!(place(&sinks), std::cmp::Ordering::Less);
}

#[test]
fn filters_go_to_either_side_of_a_join() {
    let nodes = |kind: &str| {
        format!(
            r#"
    1: scan 0 "device" bounded
        columns (id: long, site: string, size: long?)
    2: join "f |> join" <- [0, 1] "f |> join" bounded
        columns (id: long, value: double?, name: string, xs: array<integer?>, `d.id`: long, `d.site`: string, `d.size`: long?)
        {kind} keys [0] == [0]
    3: transform <- [2] "f |> where" bounded program {{
        filter and(greater(id, 3L), equal(`d.site`, "x"), less(id, `d.size`))
        keep id, `d.site`
    }}
    4: sink 0 <- [3] "out" bounded"#
        )
    };
    insta::assert_snapshot!(optimized(&nodes("inner"), &sink("out", 3, "(id: long, `d.site`: string)")));
}

/// A flow that two sinks read is computed once, and its source is read for what either of them needs.
#[test]
fn what_two_sinks_read_is_computed_once() {
    let nodes = r#"
    1: transform <- [0] "f |> extend" bounded program { filter greater(id, 1L) keep id, value, name, xs out n = length(name) }
    2: transform <- [1] "a |> where" bounded program { filter greater(n, 3) keep id, n }
    3: sink 0 <- [2] "a" bounded
    4: transform <- [1] "b |> where" bounded program { filter less(n, 2) keep id, value }
    5: sink 1 <- [4] "b" bounded"#;
    let sinks = sink("a", 2, "(id: long, n: integer)") + &sink("b", 4, "(id: long, value: double?)");
    insta::assert_snapshot!(optimized(nodes, &sinks));
}

#[test]
fn columns_that_nobody_needs_are_pruned_through_everything() {
    let nodes = r#"
    1: scan 0 "device" bounded
        columns (id: long, site: string, size: long?)
    2: join "f |> join" <- [0, 1] "f |> join" bounded
        columns (id: long, value: double?, name: string, xs: array<integer?>, `d.id`: long, `d.site`: string, `d.size`: long?)
        inner keys [0] == [0]
    3: explode 3 <- [2] "f |> explode" bounded element x: integer?
    4: union <- [3, 3] "f |> union" bounded
    5: dedup "f |> dedup" [0] <- [4] "f |> dedup" bounded
    6: aggregate <- [5] "f |> aggregate" bounded
        columns (x: integer?, n: long, m: double?, w: string?)
        keys [7]
        count [] : long
        max [1] : double?
        max [2] : string?
    7: transform <- [6] "f |> select" bounded program { keep x, n }
    8: sink 0 <- [7] "out" bounded"#;
    insta::assert_snapshot!(optimized(nodes, &sink("out", 7, "(x: integer?, n: long)")));
}

#[test]
fn rules_are_stable() {
    let nodes = r#"
    1: transform <- [0] "f" bounded program { filter greater(id, 1L) out n = length(name) keep id }
    2: sink 0 <- [1] "out" bounded"#;
    let once = optimize(plan(nodes, &sink("out", 1, "(n: integer, id: long)")));
    assert_eq!(optimize(once.clone()), once);
    let names: std::collections::BTreeSet<_> = RULES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), RULES.len());
}
