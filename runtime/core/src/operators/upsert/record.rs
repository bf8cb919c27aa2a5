//! What a record says happened to its row. Knows the words for it, and nothing of what was known before.

use super::super::internal;
use super::super::kept::taken;
use super::Shape;
use crate::error::RunError;
use crate::text::row_text;
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::record_batch::RecordBatch;

/// The records that say something, and which of them delete their row; none: none says anything.
pub(super) fn said(
    shape: &Shape,
    records: RecordBatch,
    epoch: u64,
) -> Result<Option<(RecordBatch, BooleanArray)>, RunError> {
    let mut changes = read(shape, &records, epoch)?;
    let said: Vec<u32> = (0..).zip(&changes).filter(|(_, c)| **c != Change::Pass).map(|(row, _)| row).collect();
    if said.is_empty() {
        return Ok(None);
    }
    let records = if said.len() == changes.len() { records } else { taken(&records, said)? };
    changes.retain(|change| *change != Change::Pass);
    let deleted = changes.iter().map(|change| Some(*change == Change::Delete)).collect();
    Ok(Some((records, deleted)))
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is as the record says.
    Put,
    /// It is not there any more.
    Delete,
    /// The record says nothing of how the row is now.
    Pass,
}

/// The words of Debezium, of Delta's change data feed, and of their like.
const WORDS: [(&str, Change); 16] = [
    ("c", Change::Put),
    ("r", Change::Put),
    ("i", Change::Put),
    ("insert", Change::Put),
    ("create", Change::Put),
    ("read", Change::Put),
    ("snapshot", Change::Put),
    ("u", Change::Put),
    ("update", Change::Put),
    ("upsert", Change::Put),
    ("update_postimage", Change::Put),
    ("update_after", Change::Put),
    ("d", Change::Delete),
    ("delete", Change::Delete),
    ("update_preimage", Change::Pass),
    ("update_before", Change::Pass),
];

/// What a word means, in any case of letters.
fn meaning(word: &str) -> Option<Change> {
    WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, change)| *change)
}

/// What each record says. Fails at the first that does not say it, or whose row lacks a value that it must have.
pub(super) fn read(shape: &Shape, records: &RecordBatch, epoch: u64) -> Result<Vec<Change>, RunError> {
    let words = records.column(shape.spec.operation).as_string_opt::<i32>();
    let words = words.ok_or_else(|| internal("what happened to a row is no string"))?;
    let keys = || shape.spec.keys.iter();
    let keyless = |row: usize| keys().all(|key| records.column(*key).is_null(row));
    let nulls = |column: &&usize| records.column(**column).null_count() > 0;
    let required: Vec<usize> = shape.required.iter().filter(nulls).copied().collect();
    let mut changes = Vec::with_capacity(records.num_rows());
    // Neighbours mostly say the same.
    let mut last: Option<(&str, Change)> = None;
    for row in 0..records.num_rows() {
        let change = match words.is_valid(row).then(|| words.value(row)) {
            None if keyless(row) => Change::Pass,
            None => return Err(unknown(shape, records, row, epoch)),
            Some(word) => match last.filter(|(known, _)| *known == word) {
                Some((_, change)) => change,
                None => {
                    let change = meaning(word).ok_or_else(|| unknown(shape, records, row, epoch))?;
                    last = Some((word, change));
                    change
                }
            },
        };
        // Of a row that is deleted the key is enough.
        let needs = |column: &&usize| match change {
            Change::Put => true,
            Change::Delete => shape.spec.keys.contains(column),
            Change::Pass => false,
        };
        if let Some(column) = required.iter().filter(needs).find(|column| records.column(**column).is_null(row)) {
            return Err(lacking(shape, records, (row, *column), epoch));
        }
        changes.push(change);
    }
    Ok(changes)
}

/// Sees to it that each record says when its change was made.
pub(super) fn dated(shape: &Shape, records: &RecordBatch, time: usize, epoch: u64) -> Result<(), RunError> {
    let times = records.column(time);
    let Some(row) = (0..times.len()).filter(|_| times.null_count() > 0).find(|row| times.is_null(*row)) else {
        return Ok(());
    };
    let source = &shape.spec.source;
    let text = format!("a record of source `{source}` has null for its `sequence by`, and history needs its time");
    Err(RunError { row: row_text(records, row), ..RunError::data("R0106", text) }.help(format!(
        "epoch {epoch} was not committed; repair the record, or give it another time: `sequence by … ?? …`"
    )))
}

fn unknown(shape: &Shape, records: &RecordBatch, row: usize, epoch: u64) -> RunError {
    let word = records.column(shape.spec.operation).as_string::<i32>();
    let word = if word.is_null(row) { "null".to_string() } else { format!("{:?}", word.value(row)) };
    let (source, name) = (&shape.spec.source, shape.input.field(shape.spec.operation).name());
    let text = format!("a record of source `{source}` does not say what happened to its row: `{name}` is {word}");
    let of = |wanted: Change| {
        let words = WORDS.iter().filter(|(_, change)| *change == wanted).map(|(word, _)| format!("`{word}`"));
        words.collect::<Vec<_>>().join(", ")
    };
    let help = format!(
        "epoch {epoch} was not committed; the words are {} for a row that is there, {} for one that is not, and {} are passed over, in any case of letters",
        of(Change::Put),
        of(Change::Delete),
        of(Change::Pass),
    );
    RunError { row: row_text(records, row), ..RunError::data("R0141", text) }.help(help)
}

fn lacking(shape: &Shape, records: &RecordBatch, (row, column): (usize, usize), epoch: u64) -> RunError {
    let (source, name) = (&shape.spec.source, shape.input.field(column).name());
    let text = format!("a record of source `{source}` has null for `{name}`, which is never null in its rows");
    RunError { row: row_text(records, row), ..RunError::data("R0106", text) }.help(format!(
        "epoch {epoch} was not committed; declare the column as one that may be null, or filter such records out with a `where`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_in_any_case() {
        for (word, change) in WORDS {
            assert_eq!(meaning(word), Some(change));
            assert_eq!(meaning(&word.to_uppercase()), Some(change));
        }
        for word in ["", "x", "inserted", "ⓘ", "truncate"] {
            assert_eq!(meaning(word), None, "{word}");
        }
    }
}
