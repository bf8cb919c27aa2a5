//! What a form says of each kind of step, and what it leaves out; and states of the forms that earlier versions wrote.

use super::*;
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::graph::*;
use flowc_ir::{DataType, Expr, ExprKind, Field, Origin, Output, Program, Schema, Type, Value};

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, data)| Field::new(*name, Type::new(data.clone()))).collect())
}

fn rows() -> Schema {
    use DataType::*;
    let mut schema =
        schema(&[("id", Long), ("v", Integer), ("at", Timestamp), ("#v * 2", Integer), ("#v > 1", Boolean)]);
    schema.fields.push(Field::new("device.site", Type::nullable(String)));
    schema.fields.push(Field::new("a name", Type::nullable(String)));
    schema
}

fn node(operator: Operator, inputs: Vec<NodeId>, schema: Schema) -> Node {
    let (kind, label, origin) = (Kind::Append, String::new(), Origin::default());
    Node { operator, inputs, schema, kind, bounded: false, label, origin }
}

/// The graph of a step over rows of these columns; its node is the last.
fn graph(operator: Operator, inputs: &[Schema]) -> Graph {
    let mut graph = Graph::default();
    let place = |(i, schema): (usize, &Schema)| node(Operator::Source(SourceId(i as u32)), vec![], schema.clone());
    graph.nodes.extend(inputs.iter().enumerate().map(place));
    let of = (0..inputs.len() as u32).map(NodeId).collect();
    graph.nodes.push(node(operator, of, Schema::default()));
    graph
}

fn formed(operator: Operator, inputs: &[Schema]) -> Form {
    let graph = graph(operator, inputs);
    form(&graph, &graph.nodes[inputs.len()]).unwrap()
}

fn call(function: F, args: &[usize], filter: Option<usize>, constants: Vec<Value>) -> AggregateCall {
    let ty = Type::nullable(DataType::Long);
    AggregateCall { function, args: args.to_vec(), constants, filter, ty, origin: Origin::default() }
}

fn windows(by_time: bool) -> Operator {
    let aggregates = vec![
        call(F::Count, &[], None, vec![]),
        call(F::Sum, &[3], Some(4), vec![]),
        call(F::First, &[1], None, vec![]),
        call(F::Percentile, &[1], None, vec![Value::Double(0.95)]),
    ];
    let aggregate = Aggregate { keys: vec![5, 0], aggregates };
    let window = Window::Tumble { size: 60_000_000, align: Alignment::default() };
    Operator::WindowAggregate(WindowAggregate { name: "w".into(), window, time: 2, aggregate, by_time, late: None })
}

fn dedup(by_time: bool, within: Option<i64>) -> Operator {
    Operator::Dedup(Dedup { name: "d".into(), keys: vec![6, 3], time: within.map(|_| 2), within, by_time })
}

fn top() -> Operator {
    let order = vec![SortColumn { column: 3, descending: true, nulls_first: false }];
    Operator::Top(Top { name: "t".into(), count: 3, order, keys: vec![0], window: Some((2, 2)) })
}

fn join() -> Operator {
    let ty = Type::boolean();
    let value = Expr::new(ExprKind::Literal(Value::Boolean(true)), ty.clone(), Origin::default());
    let outputs = vec![Output { field: Field::new("#right.v > v", ty), value }];
    let residual = Some(Program { input: Schema::default(), steps: vec![], outputs });
    let within = Some(Within { left: 2, right: 1, duration: 5_000_000 });
    Operator::Join(StreamJoin {
        name: "j".into(),
        kind: JoinKind::Left,
        left_keys: vec![0, 3],
        right_keys: vec![0, 2],
        within,
        residual,
    })
}

fn right() -> Schema {
    schema(&[("id", DataType::Long), ("seen", DataType::Timestamp), ("w", DataType::Integer)])
}

/// These texts find the state that earlier releases have left: what changes here makes it useless.
#[test]
fn a_form_says_what_is_computed_in_words() {
    let said = |operator: Operator, inputs: &[Schema]| formed(operator, inputs).to_string();
    assert_eq!(
        said(windows(false), &[rows()]),
        "tumble(1m) over at by (device.site: string?, id: long): count(), sum(v * 2) where v > 1 of integer, first(v) of integer, percentile(v, 0.95) of integer"
    );
    assert!(
        said(windows(true), &[rows()])
            .contains("sum(v * 2) where v > 1 of integer, first(v) in the order of time of integer")
    );
    assert_eq!(
        said(dedup(false, Some(7_000_000)), &[rows()]),
        "dedup within 7s of at by (`a name`: string?, v * 2: integer)"
    );
    assert_eq!(said(dedup(false, None), &[rows()]), "dedup by (`a name`: string?, v * 2: integer)");
    let kept = "(id: long, v: integer, at: timestamp, `device.site`: string?, `a name`: string?)";
    assert_eq!(
        said(dedup(true, Some(7_000_000)), &[rows()]),
        format!("dedup within 7s of at in the order of time by (`a name`: string?, v * 2: integer) of {kept}")
    );
    assert_eq!(
        said(top(), &[rows()]),
        format!("the first 3 by v * 2 desc nulls last of each window at to at by (id: long) of {kept}")
    );
    assert_eq!(
        said(join(), &[rows(), right()]),
        format!(
            "left join within 5s of at and seen where right.v > v on (id == id: long, v * 2 == w: integer) of {kept} and (id: long, seen: timestamp, w: integer)"
        )
    );
    let unique = Unique {
        flow: "f".into(),
        rule: "r".into(),
        keys: vec![0, 3],
        time: Some(2),
        within: Some(1_000_000),
        delay: Some(5),
    };
    assert_eq!(said(Operator::Unique(unique), &[rows()]), "unique within 1s of at by (id: long, v * 2: integer)");
}

#[test]
fn columns_that_a_step_does_not_keep_are_no_part_of_its_form() {
    let mut other = rows();
    other.fields.push(Field::new("more", Type::nullable(DataType::Date)));
    for operator in [windows(false), dedup(false, Some(1))] {
        assert_eq!(formed(operator.clone(), &[rows()]), formed(operator, &[other.clone()]));
    }
    assert_ne!(formed(top(), &[rows()]), formed(top(), &[other]));
    // A number behind a name is there for the name's sake.
    let mut numbered = rows();
    numbered.fields[3].name = "#v * 2#2".into();
    assert_eq!(formed(windows(false), &[rows()]), formed(windows(false), &[numbered]));
}

#[test]
fn forms_come_back_from_json_and_those_of_earlier_versions_are_words() {
    for form in [formed(windows(false), &[rows()]), formed(join(), &[rows(), right()])] {
        let json = serde_json::to_string(&LeftForm::Parts(form.clone())).unwrap();
        assert_eq!(serde_json::from_str::<LeftForm>(&json).unwrap(), LeftForm::Parts(form));
    }
    let words = LeftForm::Words("by (long)".into());
    assert_eq!(serde_json::from_str::<LeftForm>("\"by (long)\"").unwrap(), words);
}

#[test]
fn forms_of_earlier_versions_are_told_apart_by_their_types() {
    let agrees = |left: &str, operator: Operator, inputs: &[Schema]| {
        let graph = graph(operator, inputs);
        form::earlier::agrees(left, &graph, &graph.nodes[inputs.len()])
    };
    let left =
        "tumble(1m) by (string?, long): count(), sum(integer) where, first(integer), percentile(integer, Double(0.95))";
    assert!(agrees(left, windows(false), &[rows()]));
    assert!(!agrees(&left.replace("first(integer)", "first(long)"), windows(false), &[rows()]));
    let kept =
        "id: long, v: integer, at: timestamp, `#0`: integer, `#12`: boolean, `device.site`: string?, `a name`: string?";
    assert!(agrees(&format!("3 by #0 desc nulls last per (long) of ({kept})"), top(), &[rows()]));
    assert!(!agrees(&format!("2 by #0 desc nulls last per (long) of ({kept})"), top(), &[rows()]));
    let right_kept = "id: long, seen: timestamp, w: integer";
    assert!(agrees(
        &format!("left on (long, integer) within 5s of ({kept}) and ({right_kept})"),
        join(),
        &[rows(), right()]
    ));
    assert!(agrees("by (string?, integer) within 7s", dedup(true, Some(7_000_000)), &[rows()]));
}

#[test]
fn what_keeps_results_right_has_forms_of_its_own_and_takes_over_nothing_else() {
    let weighted = |mut schema: Schema| {
        schema.fields.push(weight());
        schema
    };
    let formed = |operator: Operator, input: Schema| {
        let mut graph = graph(operator, &[input]);
        graph.nodes[1].schema = weighted(Schema::default());
        form(&graph, &graph.nodes[1]).unwrap()
    };
    let Operator::WindowAggregate(windows) = windows(false) else { unreachable!() };
    let keyed = |aggregate: Aggregate| Operator::KeyedAggregate(KeyedAggregate { name: "k".into(), aggregate });
    let count = Aggregate { keys: vec![0], aggregates: vec![call(F::Count, &[], Some(4), vec![])] };
    let of_changes = formed(keyed(count.clone()), weighted(rows()));
    assert_eq!(of_changes.to_string(), "aggregate of rows that change by (id: long): count() where v > 1");
    assert_eq!(formed(keyed(count.clone()), rows()).to_string(), "aggregate by (id: long): count() where v > 1");
    let late = |late| formed(Operator::WindowAggregate(WindowAggregate { late, ..windows.clone() }), rows());
    assert!(
        late(Some(60_000_000)).to_string().starts_with("tumble(1m) over at, corrected for 1m by (device.site: string?")
    );
    assert!(late(None).to_string().starts_with("tumble(1m) over at, corrected for ever by"));
    let Operator::Top(first) = top() else { unreachable!() };
    let first = formed(Operator::Top(Top { window: None, ..first }), weighted(rows()));
    assert!(first.to_string().starts_with(
        "the first 3 by v * 2 desc nulls last of rows that change, kept right by (id: long) of (id: long, v"
    ));
    let settled =
        |old: &Form, new: &Form| matches!(settle(old, new), Verdict::Taken(moved) if moved.changes.is_empty());
    assert!(settled(&of_changes, &of_changes));
    let more = Aggregate { aggregates: vec![], ..count };
    assert!(!settled(&of_changes, &formed(keyed(more), weighted(rows()))));
    let once = graph(Operator::WindowAggregate(windows.clone()), &[rows()]);
    assert!(!settled(&form(&once, &once.nodes[1]).unwrap(), &late(None)));
}
