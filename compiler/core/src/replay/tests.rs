//! Which sinks a replay writes, what it refuses, and what its plan asks of the table, from programs.

use super::*;
use crate::load::FixedLoader;
use crate::pipeline::{Input as Source, check};
use flowc_ir::catalog::{FixedCatalog, TableInfo};
use flowc_ir::graph::Operator;
use flowc_ir::{DataType, Field, Schema, Type};
use indexmap::IndexMap;

fn table(columns: &[(&str, Type)]) -> TableInfo {
    let fields = columns.iter().map(|(name, ty)| Field::new(*name, ty.clone()));
    TableInfo { schema: Schema::new(fields.collect()), ..TableInfo::default() }
}

fn integer() -> Type {
    Type::new(DataType::Integer)
}

/// Rejected rows with these columns of the flow.
fn rejects(columns: &[(&str, Type)]) -> TableInfo {
    let names = Type::new(DataType::Array(Box::new(Type::nullable(DataType::String))));
    table(&[columns, &[("_failed", names), ("_epoch", Type::new(DataType::Long))]].concat())
}

/// The sources `s` and `t`, a table `d`, and what `rejects` holds.
fn replay_from(held: TableInfo, text: &str) -> Result<Replay, Refusal> {
    let mut catalog = FixedCatalog::default();
    let readings = [("id", integer()), ("value", Type::nullable(DataType::Double))];
    catalog.add("/w/s", table(&readings));
    catalog.add("/w/t", table(&readings));
    catalog.add("/w/u", table(&[("id", integer()), ("at", Type::new(DataType::Timestamp))]));
    catalog.add("/w/d", table(&[("id", integer()), ("site", Type::new(DataType::String))]));
    catalog.add("/w/rejects", held);
    let text = format!(
        "source s = delta(\"s\")\nsource t = delta(\"t\")\ntable d = delta(\"d\")\nsource u = delta(\"u\") {{ event_time at\n watermark 1h }}\n{text}"
    );
    let loader = FixedLoader { files: IndexMap::from([("p.flow".to_string(), text)]) };
    let outcome = check(&Source { name: "p", path: "p.flow", base: "/w", params: &IndexMap::new() }, &loader, &catalog);
    let errors: Vec<_> = outcome.diagnostics.iter().filter(|d| d.is_error()).collect();
    let checked = outcome.undecided.unwrap_or_else(|| panic!("{errors:?}"));
    let replay = Replay::of(&checked, rejects_sink(&checked, &|location| location == "/w/rejects")?)?;
    replay.plan().map(|_| replay)
}

fn replay(text: &str) -> Result<Replay, Refusal> {
    replay_from(rejects(&[("id", integer()), ("value", Type::nullable(DataType::Double))]), text)
}

const CLEAN: &str =
    "flow clean = s |> where value is not null or id > 0 |> expect { known: id in d.id else quarantine }\n";
const REJECTS: &str = "sink r = clean.rejected -> delta(\"rejects\")\n";

fn sinks(replay: &Replay) -> Vec<&str> {
    replay.checked.sinks.iter().map(|s| s.name.as_str()).collect()
}

fn reason(refused: Result<Replay, Refusal>) -> (Reason, String) {
    let refusal = refused.map(|r| r.checked.sinks.len()).unwrap_err();
    assert!(!refusal.help.is_empty());
    (refusal.reason, refusal.message)
}

#[test]
fn sinks_that_add_what_passes_are_written() {
    let text = format!(
        "{CLEAN}{REJECTS}flow others = t |> union clean |> where id > 3\nflow sums = clean |> aggregate n = count() by id\n\
         flow worst = clean.rejected |> where id > 5\nsink a = clean -> delta(\"a\")\nsink b = others -> console()\n\
         sink c = sums -> delta(\"c\") {{ mode overwrite }}\nsink w = worst -> delta(\"w\")\nsink x = t -> delta(\"x\")\n"
    );
    let replay = replay(&text).unwrap();
    assert_eq!(sinks(&replay), ["r", "a", "b"]);
    let left_out: Vec<&str> = replay.left_out.iter().map(|l| l.sink.as_str()).collect();
    assert_eq!(left_out, ["c", "w"]);
    let plan = replay.plan().unwrap();
    let read: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(read, ["r"], "no other source takes part");
    assert!(plan.sinks.iter().all(|sink| !sink.whole));
    let columns: Vec<&str> = plan.sources[0].schema.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(columns, ["_epoch", "id", "value"], "with one `expect`, the rules' names do not matter");
}

#[test]
fn rules_that_judge_epochs_are_left_out() {
    let text = "flow clean = s |> expect { known: id in d.id else quarantine, few: share(known) < 1% else fail }\n";
    let replay = replay(&format!("{text}{REJECTS}sink a = clean -> delta(\"a\")\n")).unwrap();
    let plan = replay.plan().unwrap();
    let rules = plan.graph.nodes.iter().filter_map(|node| match &node.operator {
        Operator::Expect(expect) => Some(expect.rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(rules.collect::<Vec<_>>(), [["known"]]);
}

/// Rejected rows of the source with a watermark.
fn replay_timed(steps: &str, sinks: &str) -> Result<Replay, Refusal> {
    let held = rejects(&[("id", integer()), ("at", Type::new(DataType::Timestamp))]);
    let text = format!("flow clean = u {steps} |> expect {{ known: id in d.id else quarantine }}\n{REJECTS}");
    replay_from(held, &format!("{text}{sinks}"))
}

#[test]
fn rows_do_not_go_through_what_remembers_others() {
    let refused = |sinks: &str, step: &str| {
        let (kind, message) = reason(replay_timed("", sinks));
        assert_eq!(kind, Reason::Sinks, "{message}");
        assert!(message.starts_with(&format!("`{step}` remembers the rows of ordinary runs")), "{message}");
    };
    let plain = "sink a = clean -> delta(\"a\")\n";
    let windows = "flow f = clean |> aggregate n = count() by id, window tumble(1m)\n";
    refused(&format!("{plain}{windows}sink f = f -> delta(\"f\")\n"), "f |> aggregate");
    refused(&format!("{plain}flow f = clean |> dedup by id within 1m\nsink f = f -> delta(\"f\")\n"), "f |> dedup");
    // What a row is matched with depends on it, whichever side it is on.
    let join = "flow f = u |> anti join clean on clean.id == id within 1m\n";
    refused(&format!("{plain}{join}sink f = f -> delta(\"f\")\n"), "f |> anti join");
    let late = "sink l = f.late -> delta(\"l\")\n";
    refused(&format!("{plain}{windows}{late}"), "f |> aggregate");
    // What is computed as a whole is left out; a step before the `expect` has done its work.
    let whole = format!("{plain}{windows}sink f = f -> delta(\"f\") {{ mode overwrite }}\n");
    assert_eq!(sinks(&replay_timed("", &whole).unwrap()), ["r", "a"]);
    assert_eq!(sinks(&replay_timed("|> dedup by id within 1m", plain).unwrap()), ["r", "a"]);
    let between = "|> expect { positive: id > 0 else quarantine } |> dedup by id within 1m";
    let (kind, message) = reason(replay_timed(between, plain));
    assert_eq!(kind, Reason::Sinks);
    assert!(message.starts_with("`clean |> dedup`"), "{message}");
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let (kind, message) =
        reason(replay(&format!("{CLEAN}sink a = clean -> delta(\"a\")\nsink r = clean.rejected -> delta(\"r\")\n")));
    assert_eq!((kind, message.as_str()), (Reason::NoRejects, "no sink of `p` writes this table"));
    let derived = format!(
        "{CLEAN}flow w = clean.rejected |> where id > 5\nsink a = clean -> delta(\"a\")\nsink r = w -> delta(\"rejects\")\n"
    );
    assert_eq!(reason(replay(&derived)).0, Reason::Derived);
    let passing = format!(
        "{CLEAN}flow c = clean |> extend _failed = [\"x\"], _epoch = 1\nsink r = clean.rejected -> delta(\"x\")\nsink a = c -> delta(\"rejects\")\n"
    );
    assert_eq!(reason(replay(&passing)).0, Reason::NoRejects);
    let nothing = format!("{CLEAN}{REJECTS}");
    assert_eq!(
        reason(replay(&nothing)),
        (Reason::Sinks, "no sink reads the rows that pass: they would be lost".into())
    );
    let whole = format!(
        "{CLEAN}{REJECTS}flow n = clean |> aggregate n = count()\nsink n = n -> delta(\"n\") {{ mode overwrite }}\n"
    );
    assert_eq!(reason(replay(&whole)).0, Reason::Sinks);
    let both = format!(
        "{CLEAN}{REJECTS}flow good = clean |> select id\nflow all = clean.rejected |> select id |> union good\nsink a = all -> delta(\"a\")\n"
    );
    let (kind, message) = reason(replay(&both));
    assert!(kind == Reason::Sinks && message.contains("twice"), "{message}");
    let overwritten = format!(
        "{CLEAN}sink a = clean -> delta(\"a\")\nsink r = clean.rejected -> delta(\"rejects\") {{ mode overwrite }}\n"
    );
    assert_eq!(reason(replay(&overwritten)).0, Reason::Sinks);
}

#[test]
fn only_columns_that_are_used_must_be_there() {
    let joined = |keep: &str, uses: &str| {
        format!(
            "flow clean = s |> join d on d.id == id {keep}|> expect {{ small: value < 10 else quarantine }} |> extend where_ = {uses}\n\
             {REJECTS}sink a = clean -> delta(\"a\")\n"
        )
    };
    replay(&joined("", "value + 1")).unwrap();
    let (kind, message) = reason(replay(&joined("", "d.site")));
    assert!(kind == Reason::Columns && message.contains("`d.site` belongs to a joined table"), "{message}");
    let site = ("site", Type::new(DataType::String));
    let held = rejects(&[("id", integer()), ("value", Type::nullable(DataType::Double)), site.clone()]);
    replay_from(held, &joined("|> extend site = d.site ", "site")).unwrap();
}

#[test]
fn columns_have_the_types_that_the_flow_needs() {
    let text = format!("{CLEAN}{REJECTS}sink a = clean -> delta(\"a\")\n");
    // The sink widens; what comes back is narrowed again.
    let wider = rejects(&[("id", Type::nullable(DataType::Long)), ("value", Type::nullable(DataType::Double))]);
    let plan = replay_from(wider, &text).unwrap().plan().unwrap();
    assert_eq!(plan.sources[0].schema.field("id").unwrap().ty, Type::nullable(DataType::Long));
    let more = rejects(&[
        ("id", integer()),
        ("value", Type::nullable(DataType::Double)),
        ("old", Type::nullable(DataType::Date)),
    ]);
    replay_from(more, &text).unwrap();
    let evolving = "flow clean = s |> extend n = if id > 1 then id else null |> expect { k: id in d.id else quarantine }\n\
                    sink r = clean.rejected -> delta(\"rejects\") { evolve }\nsink a = clean -> delta(\"a\")\n";
    replay(evolving).unwrap();
    let (kind, message) = reason(replay(&evolving.replace("if id > 1 then id else null", "id + 1")));
    assert!(kind == Reason::Columns && message.contains("`n` is no column of the table"), "{message}");
}

#[test]
fn rows_enter_where_they_left() {
    let text = format!(
        "flow clean = s |> expect {{ a: id in d.id else quarantine }} |> extend id = id + 1 |> expect {{ b: id < 9 else quarantine, c: id < 7 else drop }}\n\
         {REJECTS}sink a = clean -> delta(\"a\")\n"
    );
    let plan = replay(&text).unwrap().plan().unwrap();
    let columns: Vec<&str> = plan.sources[0].schema.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(columns, ["_epoch", "_failed", "id", "value"]);
    let unions = plan.graph.nodes.iter().filter(|n| n.operator == Operator::Union).count();
    assert_eq!(unions, 2, "one where rows meet, one of what is rejected again");
}

#[test]
fn which_row_was_the_first_was_decided_when_it_came() {
    let held = || rejects(&[("id", integer()), ("at", Type::new(DataType::Timestamp))]);
    let rest = format!("{REJECTS}sink a = clean -> delta(\"a\")\n");
    let inside = format!(
        "flow clean = u |> expect {{ known: id in d.id else quarantine, one: unique (id) within 1h else quarantine }}\n{rest}"
    );
    let plan = replay_from(held(), &inside).unwrap().plan().unwrap();
    assert!(plan.sources[0].schema.field("_failed").is_some());
    let behind = format!(
        "flow clean = u |> expect {{ known: id in d.id else quarantine }} |> expect {{ one: unique (id) within 1h else drop }}\n{rest}"
    );
    let (kind, message) = reason(replay_from(held(), &behind));
    assert!(kind == Reason::Sinks && message.starts_with("rule `one` of `clean`"), "{message}");
}
