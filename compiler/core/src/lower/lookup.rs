//! Joins to tables: the condition is split into keys, conditions on one side, and the rest.
//!
//! A pair matches where all conjuncts are true. A conjunct may be evaluated elsewhere than in its place only if no failure comes or goes with it:
//! itself it cannot fail, or it is the first (which is evaluated for every pair anyway); and none before it that stays behind can fail. So a row fails
//! where it would have failed, with one difference: the first conjunct is evaluated even if the other side has no rows at all.

use super::changing::{carried, with_carried};
use super::temporary::{WithTemporaries, choose, hidden, text};
use super::{Lowering, Mode, node};
use crate::checked::{CheckedStep, Operation};
use crate::explain::expression::name;
use crate::optimize::analysis::{can_fail, columns_of, conjuncts, map_columns};
use flowc_ir::graph::{Lookup, LookupKind, NodeId, Operator};
use flowc_ir::{CastFailure, Expr, ExprKind, Field, Output, Program, Schema, Type};

/// The columns that an expression over pairs reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    None,
    Stream,
    Table,
    Both,
}

pub(super) fn side(expr: &Expr, stream: usize) -> Side {
    let columns = columns_of(expr);
    match (columns.iter().any(|c| *c < stream), columns.iter().any(|c| *c >= stream)) {
        (false, false) => Side::None,
        (true, false) => Side::Stream,
        (false, true) => Side::Table,
        (true, true) => Side::Both,
    }
}

/// The two sides of an equality between the stream and the table, of one type.
pub(crate) fn key(conjunct: &Expr, stream: usize) -> Option<(Expr, Expr)> {
    let ExprKind::Call { function, args } = &conjunct.kind else { return None };
    let [a, b] = args.as_slice() else { return None };
    if function.name != "equal" || !a.ty.data.is_orderable() {
        return None;
    }
    let (ours, theirs) = match (side(a, stream), side(b, stream)) {
        (Side::Stream, Side::Table) => (a, b),
        (Side::Table, Side::Stream) => (b, a),
        _ => return None,
    };
    let common = ours.ty.data.common(&theirs.ty.data)?;
    let widen = |expr: &Expr| {
        if expr.ty.data == common {
            return Some(expr.clone());
        }
        let ty = Type { data: common.clone(), nullable: expr.ty.nullable };
        let cast = ExprKind::Cast { value: Box::new(expr.clone()), on_failure: CastFailure::Never };
        expr.ty.data.widens_to(&common).then(|| Expr::new(cast, ty, expr.origin))
    };
    Some((widen(ours)?, widen(theirs)?))
}

/// The condition in its parts.
struct Split {
    stream: WithTemporaries,
    table: WithTemporaries,
    stream_keys: Vec<usize>,
    table_keys: Vec<usize>,
    residual: Vec<Expr>,
}

/// `ahead`: the stream's columns with what is computed before any part of the condition.
fn split(on: &Expr, stream: &Schema, ahead: WithTemporaries, table: &Schema, kind: LookupKind) -> Split {
    let mut parts = Split {
        stream: ahead,
        table: WithTemporaries::new(table),
        stream_keys: vec![],
        table_keys: vec![],
        residual: vec![],
    };
    let width = stream.len();
    let drops_unmatched = matches!(kind, LookupKind::Inner | LookupKind::Semi);
    let mut settled = true;
    for (i, conjunct) in conjuncts(on).into_iter().enumerate() {
        if conjunct.kind == ExprKind::Literal(flowc_ir::Value::Boolean(true)) {
            continue;
        }
        if settled && (i == 0 || !can_fail(conjunct)) {
            if let Some((ours, theirs)) = key(conjunct, width) {
                parts.stream_keys.push(parts.stream.column_in_order(ours));
                parts.table_keys.push(parts.table.column_in_order(map_columns(&theirs, |c| c - width)));
                continue;
            }
            match side(conjunct, width) {
                Side::Table => {
                    parts.table.filter(map_columns(conjunct, |c| c - width));
                    continue;
                }
                Side::Stream | Side::None if drops_unmatched => {
                    parts.stream.filter(conjunct.clone());
                    continue;
                }
                _ => {}
            }
        }
        settled &= !can_fail(conjunct);
        parts.residual.push(conjunct.clone());
    }
    parts
}

/// Adds the nodes of a join to a table.
pub(super) fn lower(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    let Operation::Lookup { table, kind, as_of, on, .. } = &step.operation else { return before };
    let (table, kind) = (*table, *kind);
    let stream = l.schema(before).clone();
    let id = l.table_id(table);
    let columns = l.checked.tables[table].spec.schema.clone();
    let mut ahead = WithTemporaries::new(&stream);
    let as_of = as_of.as_ref().map(|time| match time.kind {
        ExprKind::Column(index) => index,
        _ => ahead.column_in_order(time.clone()),
    });
    let behind = carried(&stream).len();
    let own = stream.len() - behind;
    // Behind the stream's own columns are those that the condition knows nothing of.
    let on = map_columns(on, |c| if c < own { c } else { c + behind });
    let parts = split(&on, &stream, ahead, &columns, kind);
    let reads = l.with_temporaries(before, parts.stream, label, step.origin);
    let widened = l.schema(reads).clone();
    let prepare = parts.table.finish();
    let carries = matches!(kind, LookupKind::Inner | LookupKind::Left);
    let output: Vec<usize> = if carries { (0..columns.len()).collect() } else { vec![] };
    // The rows behind the step: the stream's columns, then the table's under their joined names.
    let joined = step.rows.schema.fields.iter().skip(own).take(output.len()).cloned();
    let mut schema = widened.clone();
    schema.fields.extend(joined);
    let residual = residual(parts.residual, &stream, &widened, &prepare.output_schema());
    let (stream_keys, table_keys) = (parts.stream_keys, parts.table_keys);
    let operator =
        Operator::Lookup(Lookup { table: id, kind, as_of, prepare, stream_keys, table_keys, residual, output });
    let found = l.add(node(operator, vec![reads], schema.clone(), &step.rows, mode, label, step.origin));
    if behind == 0 && (reads == before || widened.len() == stream.len()) {
        return found;
    }
    let positions: Vec<usize> = (0..own).chain(widened.len()..schema.len()).chain(own..stream.len()).collect();
    let to = with_carried(&step.rows.schema, &stream);
    l.transform(found, choose(&schema, &positions, &to), label, step.origin)
}

/// Adds the nodes of a test whether a value is in a table's column.
pub(super) fn mark(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    (table, column, value): (usize, usize, &Expr),
    label: &str,
    mode: Mode,
) -> NodeId {
    let stream = l.schema(before).clone();
    let id = l.table_id(table);
    let columns = l.checked.tables[table].spec.schema.clone();
    let mut widened = WithTemporaries::new(&stream);
    let key = widened.column(value.clone());
    let reads = l.with_temporaries(before, widened, label, step.origin);
    let field = &columns.fields[column];
    let theirs = Expr::new(ExprKind::Column(column), field.ty.clone(), value.origin);
    let ty = Type { data: value.ty.data.clone(), nullable: field.ty.nullable };
    let theirs = match theirs.ty.data == ty.data {
        true => theirs,
        false => {
            let cast = ExprKind::Cast { value: Box::new(theirs), on_failure: CastFailure::Never };
            Expr::new(cast, ty.clone(), value.origin)
        }
    };
    let outputs = vec![Output { field: Field { ty, ..field.clone() }, value: theirs }];
    let prepare = Program { input: columns.clone(), steps: vec![], outputs };
    let widened = l.schema(reads).clone();
    let mut schema = widened.clone();
    // The checked rows end with the mark.
    schema.fields.extend(step.rows.schema.fields.last().cloned());
    let operator = Operator::Lookup(Lookup {
        table: id,
        kind: LookupKind::Mark,
        as_of: None,
        prepare,
        stream_keys: vec![key],
        table_keys: vec![0],
        residual: None,
        output: vec![],
    });
    let found = l.add(node(operator, vec![reads], schema.clone(), &step.rows, mode, label, step.origin));
    let behind = carried(&stream).len();
    if behind == 0 && widened.len() == stream.len() {
        return found;
    }
    let own = stream.len() - behind;
    let positions: Vec<usize> = (0..own).chain([widened.len()]).chain(own..stream.len()).collect();
    let to = with_carried(&step.rows.schema, &stream);
    l.transform(found, choose(&schema, &positions, &to), label, step.origin)
}

/// The program for what is left of the condition, over the stream's columns (temporary ones too) and the table's. What comes out is named by the condition:
/// what a join of streams remembers depends on it.
pub(super) fn residual(conjuncts: Vec<Expr>, stream: &Schema, widened: &Schema, table: &Schema) -> Option<Program> {
    let first = conjuncts.first()?.clone();
    let shift = widened.len() - stream.len();
    let moved = conjuncts.iter().map(|c| map_columns(c, |i| if i < stream.len() { i } else { i + shift }));
    let nullable = conjuncts.iter().any(|c| c.ty.nullable);
    let ty = Type::boolean().with_nullable(nullable);
    let mut moved: Vec<Expr> = moved.collect();
    let value = match moved.len() {
        1 => moved.swap_remove(0),
        _ => Expr::new(ExprKind::And(moved), ty.clone(), first.origin),
    };
    let words = words(&conjuncts, stream, table);
    let mut input = widened.clone();
    for field in &table.fields {
        let name = match input.field(&field.name) {
            Some(_) => {
                let right = format!("right.{}", field.name);
                hidden(&right, |n| input.field(n).is_some() || table.field(n).is_some())
            }
            None => field.name.clone(),
        };
        input.fields.push(Field { name, ..field.clone() });
    }
    Some(Program { input, steps: vec![], outputs: vec![Output { field: Field::new(words, ty), value }] })
}

/// A condition in words; the columns of the right side say that they are.
fn words(conjuncts: &[Expr], stream: &Schema, table: &Schema) -> String {
    let left = stream.fields.iter().map(|field| name(&field.name));
    let slots: Vec<String> = left.chain(table.fields.iter().map(|f| format!("right.{}", name(&f.name)))).collect();
    let parts: Vec<String> = conjuncts.iter().map(|conjunct| text(conjunct, &slots)).collect();
    hidden(&parts.join(" and "), |_| false)
}
