//! Filters go towards the sources, past operators that they commute with.
//!
//! Laws: behind a union a program runs on every branch instead. Behind a sort a filter runs before it: the order of the rows that stay is the same. Behind a
//! lookup a filter that reads the stream's columns alone runs before it, if neither it nor the lookup can fail (a row that fails there must fail
//! still), one that reads the table's columns alone before it on the table's side if it is an inner one, and any other that cannot fail
//! becomes part of the condition of an inner one, so that what it reads is all that is copied of the pairs that fail it; behind an explode likewise,
//! where it does not read the element. Past what groups, joins and remembers rows see [`crossing`](super::crossing). Nothing passes a limit, an `expect` or a
//! watermark: they see which rows there are.

use super::analysis::{can_fail, columns_of, conjuncts, map_columns};
use super::crossing;
use super::edit::{expressions, readers, renumber, transform};
use flowc_ir::graph::{Graph, LookupKind, Node, NodeId, Operator};
use flowc_ir::plan::Plan;
use flowc_ir::{Expr, ExprKind, Field, Output, Program, ProgramStep, Schema, Type};

/// Pushes as far as it goes: a filter moves past one operator a time.
pub(super) fn run(plan: &mut Plan) {
    super::fuse::run(plan);
    for _ in 0..plan.graph.nodes.len() {
        if !pass(plan) {
            return;
        }
        renumber(plan);
        super::fuse::run(plan);
    }
}

fn pass(plan: &mut Plan) -> bool {
    let readers = readers(&plan.graph);
    let whole = crossing::whole(plan);
    for index in 0..plan.graph.nodes.len() {
        let id = NodeId(index as u32);
        let Some(program) = transform(&plan.graph, id) else { continue };
        let before = plan.graph.node(id).inputs[0];
        if readers[before.0 as usize].len() != 1 {
            continue;
        }
        let program = program.clone();
        let pushed = match &plan.graph.node(before).operator {
            Operator::Union => into_branches(&mut plan.graph, id, before, &program),
            Operator::Sort(_) => ahead(&mut plan.graph, (id, before, 0), leading(&program, |_| true), |column| column),
            Operator::Lookup(lookup) => {
                let fails = lookup.residual.iter().flat_map(expressions).any(can_fail);
                let width = plan.graph.node(plan.graph.node(before).inputs[0]).schema.len();
                let may = |e: &Expr| !fails && !can_fail(e) && columns_of(e).iter().all(|c| *c < width);
                let of_table = |e: &Expr| !fails && !can_fail(e) && columns_of(e).iter().all(|c| *c >= width);
                let inner = lookup.kind == LookupKind::Inner;
                ahead(&mut plan.graph, (id, before, 0), leading(&program, may), |column| column)
                    || inner && into_table(&mut plan.graph, id, before, width, leading(&program, of_table))
                    || inner && into_condition(&mut plan.graph, id, before, width, leading(&program, |e| !can_fail(e)))
            }
            Operator::Explode { .. } => {
                let element = plan.graph.node(before).schema.len() - 1;
                let may = |e: &Expr| !can_fail(e) && !columns_of(e).contains(&element);
                ahead(&mut plan.graph, (id, before, 0), leading(&program, may), |column| column)
            }
            _ => crossing::crossings(&plan.graph, before, whole[before.0 as usize]).into_iter().any(|crossing| {
                let may = |e: &Expr| !can_fail(e) && columns_of(e).iter().all(|c| crossing.columns.contains_key(c));
                let place = |column| crossing.columns.get(&column).copied().unwrap_or(column);
                ahead(&mut plan.graph, (id, before, crossing.input), leading(&program, may), place)
            }),
        };
        if pushed {
            return true;
        }
    }
    false
}

/// The filters of a program that may go ahead of it, and what is left of the program. They read what goes in, and what can fail before them stays before them; past
/// what they leave behind go only filters that cannot fail themselves.
fn leading(program: &Program, may: impl Fn(&Expr) -> bool) -> Option<(Vec<Expr>, Program)> {
    let inputs = program.input.len();
    let may = |e: &Expr| columns_of(e).iter().all(|column| *column < inputs) && may(e);
    let (mut moved, mut left) = (vec![], vec![]);
    let mut steps = program.steps.iter();
    for step in steps.by_ref() {
        match step {
            ProgramStep::Filter(condition) if may(condition) && (left.is_empty() || !can_fail(condition)) => {
                moved.push(condition.clone());
            }
            // Of a conjunction that cannot fail the parts go one by one.
            ProgramStep::Filter(condition) if !can_fail(condition) => {
                let (go, stay): (Vec<&Expr>, Vec<&Expr>) = conjuncts(condition).into_iter().partition(|c| may(c));
                moved.extend(go.iter().copied().cloned());
                left.push(if go.is_empty() { step.clone() } else { ProgramStep::Filter(all(condition, stay)) });
            }
            ProgramStep::Let(value) if !can_fail(value) => left.push(step.clone()),
            _ => {
                left.push(step.clone());
                break;
            }
        }
    }
    left.extend(steps.cloned());
    (!moved.is_empty()).then(|| (moved, Program { steps: left, ..program.clone() }))
}

/// What is left of a conjunction.
fn all(condition: &Expr, parts: Vec<&Expr>) -> Expr {
    let parts: Vec<Expr> = parts.into_iter().cloned().collect();
    Expr::new(ExprKind::And(parts), condition.ty.clone(), condition.origin)
}

/// Moves filters that read the table's columns alone to where the table's rows are loaded. Only of an inner lookup: there a row that matches nothing is
/// gone, as it would be behind the filter.
fn into_table(
    graph: &mut Graph,
    id: NodeId,
    before: NodeId,
    width: usize,
    split: Option<(Vec<Expr>, Program)>,
) -> bool {
    let (Some((conditions, rest)), Operator::Lookup(lookup)) = (split, &mut graph.nodes[before.0 as usize].operator)
    else {
        return false;
    };
    // The slot of the prepared rows that a column of the lookup is.
    let slot = |column: usize| match lookup.prepare.outputs[lookup.output[column - width]].value.kind {
        ExprKind::Column(slot) => Some(slot),
        _ => None,
    };
    let passed_on = conditions.iter().flat_map(columns_of).all(|column| slot(column).is_some());
    if !passed_on || lookup.prepare.outputs.iter().any(|o| can_fail(&o.value)) {
        return false;
    }
    let moved = conditions.iter().map(|e| ProgramStep::Filter(map_columns(e, |column| slot(column).unwrap_or(column))));
    let moved: Vec<ProgramStep> = moved.collect();
    lookup.prepare.steps.extend(moved);
    graph.nodes[id.0 as usize].operator = Operator::Transform(rest);
    true
}

/// Makes filters part of the condition of an inner lookup: behind what the condition was, so that it fails where it failed.
fn into_condition(
    graph: &mut Graph,
    id: NodeId,
    before: NodeId,
    width: usize,
    split: Option<(Vec<Expr>, Program)>,
) -> bool {
    let stream = graph.node(graph.node(before).inputs[0]).schema.clone();
    let joined = graph.node(before).schema.clone();
    let (Some((conditions, rest)), Operator::Lookup(lookup)) = (split, &mut graph.nodes[before.0 as usize].operator)
    else {
        return false;
    };
    let place = |column: usize| if column < width { column } else { width + lookup.output[column - width] };
    let moved: Vec<Expr> = conditions.iter().map(|e| map_columns(e, place)).collect();
    let program = lookup.residual.get_or_insert_with(|| {
        let always = Expr::new(ExprKind::And(vec![]), Type::boolean(), moved[0].origin);
        let outputs = vec![Output { field: Field::new("matches", Type::boolean()), value: always }];
        let table = lookup.prepare.output_schema();
        Program { input: pairs(stream, &table, &lookup.output, &joined), steps: vec![], outputs }
    });
    let [output] = program.outputs.as_mut_slice() else { return false };
    let mut parts: Vec<Expr> = conjuncts(&output.value).into_iter().cloned().collect();
    parts.extend(moved.iter().flat_map(conjuncts).cloned());
    let ty = Type::boolean().with_nullable(parts.iter().any(|part| part.ty.nullable));
    output.value = match parts.len() {
        1 => parts.swap_remove(0),
        _ => Expr::new(ExprKind::And(parts), ty.clone(), output.value.origin),
    };
    output.field.ty = ty;
    graph.nodes[id.0 as usize].operator = Operator::Transform(rest);
    true
}

/// The columns of pairs: the stream's, then the table's, those that come out named as there.
fn pairs(stream: Schema, table: &Schema, output: &[usize], joined: &Schema) -> Schema {
    let mut pairs = stream;
    let width = pairs.len();
    for (i, field) in table.fields.iter().enumerate() {
        let out = output.iter().position(|column| *column == i).and_then(|i| joined.fields.get(width + i));
        let mut name = out.map_or(&field.name, |out| &out.name).clone();
        while pairs.field(&name).is_some() {
            name.insert(0, '#');
        }
        pairs.fields.push(Field { name, ..field.clone() });
    }
    pairs
}

/// A program that only filters.
fn filters(input: &Schema, conditions: Vec<Expr>) -> Program {
    let outputs = input.fields.iter().enumerate().map(|(i, field)| Output {
        field: field.clone(),
        value: Expr::new(ExprKind::Column(i), field.ty.clone(), flowc_ir::Origin::default()),
    });
    let outputs = outputs.collect();
    Program { input: input.clone(), steps: conditions.into_iter().map(ProgramStep::Filter).collect(), outputs }
}

/// Moves filters from behind the node `before` to one of its inputs, where the columns stand at these places.
fn ahead(
    graph: &mut Graph,
    (id, before, input): (NodeId, NodeId, usize),
    split: Option<(Vec<Expr>, Program)>,
    place: impl Fn(usize) -> usize,
) -> bool {
    let Some((conditions, rest)) = split else { return false };
    let from = graph.node(before).inputs[input];
    let template = graph.node(from);
    let conditions = conditions.iter().map(|e| map_columns(e, &place)).collect();
    let program = filters(&template.schema, conditions);
    let node = Node {
        schema: template.schema.clone(),
        operator: Operator::Transform(program),
        inputs: vec![from],
        kind: template.kind.clone(),
        bounded: template.bounded,
        label: graph.node(id).label.clone(),
        origin: graph.node(id).origin,
    };
    let filter = graph.add(node);
    graph.nodes[before.0 as usize].inputs[input] = filter;
    graph.nodes[id.0 as usize].operator = Operator::Transform(rest);
    true
}

/// Runs a program that filters on every branch of the union that it reads; the union takes its place.
fn into_branches(graph: &mut Graph, id: NodeId, union: NodeId, program: &Program) -> bool {
    if !program.steps.iter().any(|s| matches!(s, ProgramStep::Filter(_))) {
        return false;
    }
    let reader = graph.node(id).clone();
    let branches = graph.node(union).inputs.clone().into_iter().map(|branch| {
        let (kind, bounded) = (graph.node(branch).kind.clone(), graph.node(branch).bounded);
        graph.add(Node { inputs: vec![branch], kind, bounded, ..reader.clone() })
    });
    let branches = branches.collect();
    let label = graph.node(union).label.clone();
    graph.nodes[id.0 as usize] = Node { operator: Operator::Union, inputs: branches, label, ..reader };
    true
}
