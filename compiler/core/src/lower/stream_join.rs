//! Joins of streams: the condition is split into keys, conditions on the right side, and the rest, by the laws of `lookup`.

use super::changing::{carried, with_carried};
use super::lookup::{Side, key, residual, side};
use super::step::existing_or_new;
use super::temporary::{WithTemporaries, choose, hidden};
use super::{Lowering, Mode, node};
use crate::checked::{Bound, CheckedJoin, CheckedStep, Operation};
use crate::optimize::analysis::{can_fail, conjuncts, map_columns};
use flowc_ir::graph::{JoinKind, LookupKind, NodeId, Operator, StreamJoin, WEIGHT, Within};
use flowc_ir::{CastFailure, Expr, ExprKind, Field, Schema, Type};

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

/// What is joined, and how.
struct Matching<'a> {
    name: String,
    kind: JoinKind,
    /// The other side.
    other: NodeId,
    /// Over the left columns followed by the right ones, those that are carried aside.
    on: Option<&'a Expr>,
    windows: Option<[(usize, usize); 2]>,
    within: Option<&'a (Bound, Expr)>,
}

/// Adds the nodes of a join of streams.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    join: &CheckedJoin,
    label: &str,
    mode: Mode,
) -> NodeId {
    // What is lowered for the other side has its own place.
    let at = std::mem::take(&mut l.at);
    let other = l.input(join.right);
    let other = if is_all(&join.columns) { other } else { l.transform_all(other, &join.columns, label, step.origin) };
    let (name, kind, on, windows) = (at.name, join.kind, join.on.as_ref(), join.windows);
    let matching = Matching { name, kind, other, on, windows, within: join.within.as_ref() };
    matched(l, before, step, matching, label, mode)
}

/// Adds the nodes of a join of rows that change to a table, whose changes are followed.
pub(super) fn lookup(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    let Operation::Lookup { table, kind, on, .. } = &step.operation else { return before };
    let kind = match kind {
        LookupKind::Inner => JoinKind::Inner,
        LookupKind::Left => JoinKind::Left,
        LookupKind::Semi => JoinKind::Semi,
        LookupKind::Anti => JoinKind::Anti,
        LookupKind::Mark => JoinKind::Mark,
    };
    let (name, other) = (std::mem::take(&mut l.at).name, l.followed(*table));
    let matching = Matching { name, kind, other, on: Some(on), windows: None, within: None };
    matched(l, before, step, matching, label, mode)
}

/// Adds the nodes of a test whether a value of rows that change is in a table's column, whose changes are followed.
pub(super) fn mark(l: &mut Lowering<'_>, before: NodeId, step: &CheckedStep, label: &str, mode: Mode) -> NodeId {
    let Operation::Mark { table, column, value } = &step.operation else { return before };
    let name = std::mem::take(&mut l.at).name;
    let before = l.without_times(before, label);
    let (other, left) = (l.followed(*table), l.schema(before).clone());
    let right = l.schema(other).clone();
    let (mut ours, mut theirs) = (WithTemporaries::new(&left), WithTemporaries::empty(&right));
    let key = ours.column(value.clone());
    let field = &right.fields[*column];
    let ty = Type { data: value.ty.data.clone(), nullable: field.ty.nullable };
    let read = super::temporary::column(*column, field);
    let read = match read.ty.data == ty.data {
        true => read,
        false => {
            let cast = ExprKind::Cast { value: Box::new(read), on_failure: CastFailure::Never };
            Expr::new(cast, ty, value.origin)
        }
    };
    let right_key = theirs.column(read);
    if let Some(place) = right.index_of(WEIGHT) {
        theirs.column(super::temporary::column(place, &right.fields[place]));
    }
    let ours = l.with_temporaries(before, ours, label, step.origin);
    let theirs = l.transform(other, theirs.finish(), label, step.origin);
    let wide = l.schema(ours).clone();
    let mut schema = wide.clone();
    schema.fields.extend(step.rows.schema.fields.last().cloned());
    let operator = Operator::Join(StreamJoin {
        name,
        kind: JoinKind::Mark,
        left_keys: vec![key],
        right_keys: vec![right_key],
        within: None,
        residual: None,
    });
    let found = l.add(node(operator, vec![ours, theirs], schema.clone(), &step.rows, mode, label, step.origin));
    l.at.node = Some(found);
    let own = left.len() - carried(&left).len();
    let kept: Vec<usize> = (0..own).chain([wide.len()]).chain(own..left.len()).collect();
    l.transform(found, choose(&schema, &kept, &with_carried(&step.rows.schema, &left)), label, step.origin)
}

fn matched(
    l: &mut Lowering<'_>,
    before: NodeId,
    step: &CheckedStep,
    matching: Matching<'_>,
    label: &str,
    mode: Mode,
) -> NodeId {
    let Matching { name, kind, other, on, windows, within } = matching;
    let (before, other) = (l.without_times(before, label), l.without_times(other, label));
    let weigh = |l: &mut Lowering<'_>, node| if mode.changing { l.with_weight(node, label) } else { node };
    let (before, other) = (weigh(l, before), weigh(l, other));
    let (left, right) = (l.schema(before).clone(), l.schema(other).clone());
    let own = left.len() - carried(&left).len();
    let on = on.map(|on| map_columns(on, |c| if c < own { c } else { c + left.len() - own }));
    let mut sides = Sides {
        left: WithTemporaries::new(&left),
        right: WithTemporaries::new(&right),
        left_keys: vec![],
        right_keys: vec![],
        residual: vec![],
    };
    windows.iter().for_each(|windows| sides.windows(*windows));
    on.iter().for_each(|on| sides.split(on, left.len(), kind));
    let within = within.map(|(bound, theirs)| Within {
        left: existing_or_new(&mut sides.left, &bound.time),
        right: existing_or_new(&mut sides.right, theirs),
        duration: bound.duration,
    });
    let ours = l.with_temporaries(before, sides.left, label, step.origin);
    let theirs = l.with_temporaries(other, sides.right, label, step.origin);
    let (wide_left, wide_right) = (l.schema(ours).clone(), l.schema(theirs).clone());
    let out = both(&step.rows.schema, &left, &right, kind);
    let schema = joined(&out, (&left, &wide_left), (&right, &wide_right), kind);
    let operator = Operator::Join(StreamJoin {
        name,
        kind,
        left_keys: sides.left_keys,
        right_keys: sides.right_keys,
        within,
        residual: residual(sides.residual, &left, &wide_left, &wide_right),
    });
    let found = l.add(node(operator, vec![ours, theirs], schema.clone(), &step.rows, mode, label, step.origin));
    l.at.node = Some(found);
    let theirs = if kind.yields_right() { right.len() - carried(&right).len() } else { 0 };
    let kept: Vec<usize> = (0..own).chain(wide_left.len()..wide_left.len() + theirs).chain(own..left.len()).collect();
    if kept.len() == schema.len() && kept.is_sorted() {
        return found;
    }
    l.transform(found, choose(&schema, &kept, &with_carried(&step.rows.schema, &left)), label, step.origin)
}

/// The columns of a step with those that both sides carry; the right side's have other names.
fn both(step: &Schema, left: &Schema, right: &Schema, kind: JoinKind) -> Schema {
    let own = left.len() - carried(left).len();
    let mut fields: Vec<Field> = step.fields[..own].to_vec();
    fields.extend(carried(left).iter().cloned());
    fields.extend(step.fields[own..].iter().cloned());
    if kind.yields_right() {
        for field in carried(right) {
            let name = hidden(&format!("right.{}", field.name), |name| fields.iter().any(|f| f.name == name));
            let nullable = field.ty.nullable || kind.widens_right();
            fields.push(Field { name, ty: field.ty.clone().with_nullable(nullable), ..field.clone() });
        }
    }
    Schema::new(fields)
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
