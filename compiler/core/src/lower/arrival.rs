//! Which column of a source its event time follows from, so that what a file's statistics say of the column says when its rows are. It must not know of files.

use crate::checked::CheckedSource;
use flowc_ir::{DataType, Expr, ExprKind, ProgramStep};

/// The column and how many microseconds one of it is; none: the event time is computed in another way.
pub(super) fn column(source: &CheckedSource, time: usize) -> Option<(String, i64)> {
    // What a record is about stands in other columns than the file's.
    if source.records.is_some() {
        return None;
    }
    let Some(derive) = &source.derive else {
        return Some((source.spec.schema.fields.get(time)?.name.clone(), 1));
    };
    let inputs = derive.input.len();
    let mut value = &derive.outputs.get(time)?.value;
    // The time is a `Let`, which the output passes on.
    if let ExprKind::Column(slot) = value.kind
        && slot >= inputs
    {
        let lets = derive.steps.iter().filter_map(|step| if let ProgramStep::Let(e) = step { Some(e) } else { None });
        value = lets.into_iter().nth(slot - inputs)?;
    }
    let (slot, unit) = counted(value)?;
    Some((derive.input.fields.get(slot)?.name.clone(), unit))
}

/// The column that an expression counts time by.
fn counted(value: &Expr) -> Option<(usize, i64)> {
    match &value.kind {
        ExprKind::Column(slot) if value.ty.data == DataType::Timestamp => Some((*slot, 1)),
        ExprKind::Call { function, args } => {
            let unit = match function.name {
                "timestamp_micros" => 1,
                "timestamp_millis" => 1_000,
                "timestamp_seconds" => 1_000_000,
                _ => return None,
            };
            Some((whole_column(args.first()?)?, unit))
        }
        _ => None,
    }
}

/// The column of whole numbers that an expression is, be it widened.
fn whole_column(value: &Expr) -> Option<usize> {
    match &value.kind {
        ExprKind::Column(slot) if value.ty.data.is_integer() => Some(*slot),
        ExprKind::Cast { value, .. } if value.ty.data.is_integer() => whole_column(value),
        _ => None,
    }
}
