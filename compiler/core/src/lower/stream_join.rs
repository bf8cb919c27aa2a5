//! Joins of streams: the condition is split into keys, conditions on the right side, and the rest, by the laws of `lookup`.

use super::lookup::{Side, key, residual, side};
use super::step::existing_or_new;
use super::temporary::{WithTemporaries, choose, hidden};
use super::{Lowering, node};
use crate::checked::{CheckedJoin, CheckedStep};
use crate::optimize::analysis::{can_fail, conjuncts, map_columns};
use flowc_ir::graph::{JoinKind, NodeId, Operator, StreamJoin, Within};
use flowc_ir::{Expr, Field, Schema};

/// Both sides with the columns that the operator needs.
struct Sides {
    left: WithTemporaries,
    right: WithTemporaries,
    left_keys: Vec<usize>,
    right_keys: Vec<usize>,
    residual: Vec<Expr>,
}

impl Sides {
    /// Takes the condition apart. Conditions on the right side alone remove its rows, where those without a match do not come out.
    fn split(&mut self, on: &Expr, width: usize, kind: JoinKind) {
        let mut settled = true;
        for (i, conjunct) in conjuncts(on).into_iter().enumerate() {
            if settled && (i == 0 || !can_fail(conjunct)) {
                if let Some((ours, theirs)) = key(conjunct, width) {
                    self.left_keys.push(self.left.column_in_order(ours));
                    self.right_keys.push(self.right.column_in_order(map_columns(&theirs, |c| c - width)));
                    continue;
                }
                if side(conjunct, width) == Side::Table && !kind.widens_left() {
                    self.right.filter(map_columns(conjunct, |c| c - width));
                    continue;
                }
            }
            settled &= !can_fail(conjunct);
            self.residual.push(conjunct.clone());
        }
    }

    /// Equal windows.
    fn windows(&mut self, [left, right]: [(usize, usize); 2]) {
        self.left_keys.extend([left.0, left.1]);
        self.right_keys.extend([right.0, right.1]);
    }
}

/// Adds the nodes of a join of streams.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    join: &CheckedJoin,
    label: &str,
    whole: bool,
) -> NodeId {
    // What is lowered for the other side has its own place.
    let at = std::mem::take(&mut l.at);
    let other = l.input(join.right);
    let other =
        if is_all(&join.columns) { other } else { l.transform(other, join.columns.clone(), label, step.origin) };
    let (left, right) = (l.schema(before).clone(), l.schema(other).clone());
    let mut sides = Sides {
        left: WithTemporaries::new(&left),
        right: WithTemporaries::new(&right),
        left_keys: vec![],
        right_keys: vec![],
        residual: vec![],
    };
    join.windows.iter().for_each(|windows| sides.windows(*windows));
    join.on.iter().for_each(|on| sides.split(on, left.len(), join.kind));
    let within = join.within.as_ref().map(|(bound, theirs)| Within {
        left: existing_or_new(&mut sides.left, &bound.time),
        right: existing_or_new(&mut sides.right, theirs),
        duration: bound.duration,
    });
    let ours = l.with_temporaries(before, sides.left, label, step.origin);
    let theirs = l.with_temporaries(other, sides.right, label, step.origin);
    let (wide_left, wide_right) = (l.schema(ours).clone(), l.schema(theirs).clone());
    let schema = joined(&step.rows.schema, (&left, &wide_left), (&right, &wide_right), join.kind);
    let operator = Operator::Join(StreamJoin {
        name: at.name,
        kind: join.kind,
        left_keys: sides.left_keys,
        right_keys: sides.right_keys,
        within,
        residual: residual(sides.residual, &left, &wide_left, &wide_right),
    });
    let found = l.add(node(operator, vec![ours, theirs], schema.clone(), &step.rows, whole, label, step.origin));
    l.at.node = Some(found);
    let carried = if join.kind.yields_right() { right.len() } else { 0 };
    let kept: Vec<usize> = (0..left.len()).chain(wide_left.len()..wide_left.len() + carried).collect();
    if kept.len() == schema.len() {
        return found;
    }
    l.transform(found, choose(&schema, &kept, &step.rows.schema), label, step.origin)
}

/// Whether a program lets all columns through as they are.
fn is_all(program: &flowc_ir::Program) -> bool {
    let same = |(i, o): (usize, &flowc_ir::Output)| {
        let input = &program.input.fields[i];
        o.value.kind == flowc_ir::ExprKind::Column(i) && o.field.name == input.name && o.field.ty == input.ty
    };
    program.outputs.len() == program.input.len() && program.outputs.iter().enumerate().all(same)
}

/// The columns that come out: those of the step, with the temporary ones behind each side's own.
fn joined(out: &Schema, left: (&Schema, &Schema), right: (&Schema, &Schema), kind: JoinKind) -> Schema {
    let widened = |field: &Field, widens: bool| Field {
        ty: field.ty.clone().with_nullable(field.ty.nullable || widens),
        ..field.clone()
    };
    let mut fields: Vec<Field> = out.fields[..left.0.len()].to_vec();
    fields.extend(left.1.fields[left.0.len()..].iter().map(|field| widened(field, kind.widens_left())));
    if kind.yields_right() {
        fields.extend(out.fields[left.0.len()..].iter().cloned());
        for field in &right.1.fields[right.0.len()..] {
            let taken = |name: &str| fields.iter().any(|f| f.name == name);
            let name =
                if taken(&field.name) { hidden(&format!("right.{}", field.name), taken) } else { field.name.clone() };
            fields.push(Field { name, ..widened(field, kind.widens_right()) });
        }
    }
    Schema::new(fields)
}
