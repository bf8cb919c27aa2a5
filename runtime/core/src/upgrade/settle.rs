//! What a step can do with the state that another form of it has left: take it as it is, take it over changed, or nothing. Pure: from two forms. Knows nothing
//! of how state is stored.

use super::form::{Call, Column, Form, StepKind, is_hidden, words};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Type};
use std::collections::BTreeSet;

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be taken over.
    Taken(Move),
    /// It is of no use: why, in words.
    Other(String),
}

/// Where the parts of a new state come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Move {
    /// For each key the old one.
    pub(super) keys: Vec<usize>,
    /// For each aggregate the old one.
    pub(super) calls: Vec<usize>,
    /// For each column of kept rows, of each input, the old one; none: it is null.
    pub(super) rows: Vec<Vec<Option<usize>>>,
    /// What becomes of it, in words; empty: nothing that anyone sees.
    pub(super) changes: Vec<String>,
    /// Whether it depends on what is remembered: something that might be null is not any more.
    pub(super) loses_null: bool,
}

/// Whether values of a type are values of another one, and different ones stay different: byte→short→integer→long, float→double, date→timestamp, decimals of
/// the same scale with more digits, and element by element in arrays, maps and structs.
pub(super) fn grows(from: &DataType, to: &DataType) -> bool {
    let integer = |data: &DataType| match data {
        DataType::Byte => Some(0),
        DataType::Short => Some(1),
        DataType::Integer => Some(2),
        DataType::Long => Some(3),
        _ => None,
    };
    let within = |from: &Type, to: &Type| (!from.nullable || to.nullable) && grows(&from.data, &to.data);
    match (from, to) {
        (a, b) if a == b => true,
        (DataType::Float, DataType::Double) | (DataType::Date, DataType::Timestamp) => true,
        (DataType::Decimal { precision: p, scale: s }, DataType::Decimal { precision: q, scale: t }) => {
            s == t && p <= q
        }
        (DataType::Array(a), DataType::Array(b)) => within(a, b),
        (DataType::Map(k, v), DataType::Map(l, w)) => grows(k, l) && within(v, w),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.name == y.name && within(&x.ty, &y.ty))
        }
        (a, b) => matches!((integer(a), integer(b)), (Some(a), Some(b)) if a < b),
    }
}

/// Whether two types are the same but for what a comment in a struct says.
fn same(a: &DataType, b: &DataType) -> bool {
    a == b || a.to_string() == b.to_string()
}

/// What a step of the new form can do with the state of the old one.
pub(super) fn settle(old: &Form, new: &Form) -> Verdict {
    let mut moved = Move::default();
    let parts = [compare_words, compare_keys, compare_calls, compare_rows, compare_incremental];
    match parts.iter().try_for_each(|part| part(old, new, &mut moved)) {
        Ok(()) => {
            // A key of rows that wait is one of their columns, too.
            let mut seen = BTreeSet::new();
            moved.changes.retain(|change| seen.insert(change.clone()));
            Verdict::Taken(moved)
        }
        Err(why) => Verdict::Other(why),
    }
}

fn compare_words(old: &Form, new: &Form, _: &mut Move) -> Result<(), String> {
    match old.kind == new.kind && old.does == new.does {
        true => Ok(()),
        false => Err(format!("it was `{}`, and is `{}` now", old.does, new.does)),
    }
}

/// What keeps results right takes over nothing that was left by another form: what has come out of it has to be what it would come to itself.
fn compare_incremental(old: &Form, new: &Form, _: &mut Move) -> Result<(), String> {
    match new.kind != StepKind::Incremental || old == new {
        true => Ok(()),
        false => Err("its results have come out already, and would not be taken away as they were".into()),
    }
}

/// What becomes of a type.
fn compare_types(what: &str, old: &Type, new: &Type, moved: &mut Move) -> Result<(), String> {
    if !same(&old.data, &new.data) {
        if !grows(&old.data, &new.data) {
            return Err(format!("{what} was {}, and is {} now", old.data, new.data));
        }
        moved.changes.push(format!("{what} from {} to {}", old.data, new.data));
    }
    moved.loses_null |= old.nullable && !new.nullable;
    Ok(())
}

fn compare_keys(old: &Form, new: &Form, moved: &mut Move) -> Result<(), String> {
    let gone = old.keys.iter().find(|key| new.keys.iter().all(|other| other.name != key.name));
    if let Some(gone) = gone {
        return Err(format!("`{}` is no key any more", gone.name));
    }
    for key in &new.keys {
        let Some(from) = old.keys.iter().position(|other| other.name == key.name) else {
            return Err(format!("`{}` is a further key", key.name));
        };
        let (before, now) = (&old.keys[from].ty, &key.ty);
        match new.kind {
            // They find their keys in the rows; or nothing is taken over from another form.
            StepKind::Join | StepKind::Top | StepKind::Upsert | StepKind::ChangingJoin | StepKind::Incremental => {}
            StepKind::Aggregate => compare_types(&format!("`{}`", key.name), before, now, moved)?,
            // Keys do not come out: one that is null matches nothing any more.
            StepKind::Dedup | StepKind::Unique => {
                compare_types(&format!("`{}`", key.name), before, &now.clone().with_nullable(true), moved)?;
            }
        }
        moved.keys.push(from);
    }
    Ok(())
}

fn compare_calls(old: &Form, new: &Form, moved: &mut Move) -> Result<(), String> {
    for call in &new.calls {
        let Some(from) = old.calls.iter().position(|other| other.computes == call.computes) else {
            return Err(format!("`{}` was not computed of the rows before", call.computes));
        };
        compare_call(&old.calls[from], call, moved)?;
        moved.calls.push(from);
    }
    let gone = old.calls.iter().filter(|call| new.calls.iter().all(|other| other.computes != call.computes));
    moved.changes.extend(gone.map(|call| format!("- `{}`", call.computes)));
    Ok(())
}

fn compare_call(old: &Call, new: &Call, moved: &mut Move) -> Result<(), String> {
    moved.loses_null |= old.nullable && !new.nullable;
    let before = moved.changes.len();
    for (old, new_type) in old.operands.iter().zip(&new.operands) {
        let nullable = Type { nullable: old.nullable || new_type.nullable, ..new_type.clone() };
        compare_types(&format!("`{}`", new.computes), old, &nullable, moved)?;
    }
    // Its sketches are of the bytes of values.
    if moved.changes.len() > before && new.computes.starts_with("approx_count_distinct(") {
        return Err(format!("`{}` counts values of another type", new.computes));
    }
    Ok(())
}

/// Where a column of kept rows was: under its name; or it is one that was converted to another type for the step, or is not any more.
fn find(columns: &[Column], name: &str) -> Option<usize> {
    let named = |name: &str| columns.iter().position(|column| column.name == name);
    named(name).or_else(|| named(name.strip_prefix('#')?)).or_else(|| named(&format!("#{name}")))
}

fn compare_rows(old: &Form, new: &Form, moved: &mut Move) -> Result<(), String> {
    if old.rows.len() != new.rows.len() {
        return Err("it keeps other rows".into());
    }
    for (input, (before, now)) in old.rows.iter().zip(&new.rows).enumerate() {
        let side = match (new.rows.len(), input) {
            (1, _) => "",
            (_, 0) => "left ",
            _ => "right ",
        };
        if new.kind == StepKind::ChangingJoin {
            same_rows(side, before, now)?;
        }
        let rows = compare_columns(side, before, now, moved)?;
        moved.rows.push(rows);
    }
    Ok(())
}

/// Rows that change are found again by all of their columns.
fn same_rows(side: &str, old: &[Column], new: &[Column]) -> Result<(), String> {
    let lacks = |columns: &[Column], other: &&Column| find(columns, &other.name).is_none();
    let gone = old.iter().find(|column| lacks(new, column)).map(|column| (column, "gone"));
    match gone.or_else(|| new.iter().find(|column| lacks(old, column)).map(|column| (column, "new"))) {
        None => Ok(()),
        Some((column, word)) => Err(format!(
            "the {side}column {} is {word}, and rows that change are told apart by all of their columns",
            quoted(&words(&column.name))
        )),
    }
}

fn compare_columns(side: &str, old: &[Column], new: &[Column], moved: &mut Move) -> Result<Vec<Option<usize>>, String> {
    let places: Vec<Option<usize>> = new.iter().map(|column| find(old, &column.name)).collect();
    let left =
        old.iter().enumerate().filter(|(place, column)| !is_hidden(&column.name) && !places.contains(&Some(*place)));
    let left: Vec<&Column> = left.map(|(_, column)| column).collect();
    for (column, place) in new.iter().zip(&places) {
        let name = format!("{side}`{}`", words(&column.name).trim_matches('`'));
        match place {
            Some(place) => compare_types(&name, &old[*place].ty, &column.ty, moved)?,
            None if is_hidden(&column.name) => return Err(format!("{name} was not computed of the rows before")),
            None if !column.ty.nullable => {
                return Err(format!("the {side}column {} is new, and cannot be null", quoted(&column.name)));
            }
            None => {
                if let Some(gone) = left.iter().find(|gone| same(&gone.ty.data, &column.ty.data)) {
                    let (gone, come) = (quoted(&gone.name), quoted(&column.name));
                    return Err(format!(
                        "the {side}column {come} came as {gone} went, of the same type: if it is the same under another name, what is remembered of it would be lost"
                    ));
                }
                moved.changes.push(format!("+ {side}column {} (null for what was remembered)", quoted(&column.name)));
            }
        }
    }
    moved.changes.extend(left.iter().map(|gone| format!("- {side}column {}", quoted(&gone.name))));
    Ok(places)
}

fn quoted(name: &str) -> String {
    format!("`{}`", quote_name(name).trim_matches('`'))
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
