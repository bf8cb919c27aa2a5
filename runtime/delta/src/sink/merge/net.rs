//! What an epoch's rows come to for each key of a merge: a row to put in its place, or that there is none any more. Pure: rows in, decisions out.

use super::key_index::{Groups, KeyIndex};
use super::layout::Layout;
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use arrow::row::Rows;
use flowc_runtime::RunError;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This row takes the place of those that are there, or is added.
    Upsert(u32),
    /// Those that are there leave.
    Delete,
}

/// Which changes of which keys.
#[derive(Debug)]
pub struct Net {
    /// The keys.
    pub index: KeyIndex,
    /// What becomes of each.
    pub changes: Vec<Change>,
}

/// Why a key has no single outcome.
enum Trouble {
    /// Two rows are left.
    Two(u32, u32),
    /// A row is left so often.
    Often(u32, i64),
}

/// What staged rows come to. `where_` names the sink and the epoch in messages.
pub fn net(layout: &Layout, rows: &RecordBatch, changing: bool, where_: &str) -> Result<Net, RunError> {
    let groups = Groups::new(layout.encode_keys(rows)?);
    let changes = if changing { weighted(layout, rows, &groups, where_)? } else { last(&groups) };
    let (index, order) = KeyIndex::new(groups, layout, |group| changes[group].is_some());
    let changes = order.iter().filter_map(|group| changes[*group as usize]).collect();
    Ok(Net { index, changes })
}

/// Of a stream that only adds: the last row of each key.
fn last(groups: &Groups) -> Vec<Option<Change>> {
    let mut changes = vec![None; groups.firsts.len()];
    for (row, group) in groups.of.iter().enumerate() {
        changes[*group as usize] = Some(Change::Upsert(row as u32));
    }
    changes
}

/// Of a stream that changes: what is left when equal rows' weights are added up.
fn weighted(
    layout: &Layout,
    rows: &RecordBatch,
    groups: &Groups,
    where_: &str,
) -> Result<Vec<Option<Change>>, RunError> {
    let weights = rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>().values();
    let (starts, members) = groups.members();
    let encoded = Encoded::of_several(layout, rows, &starts, &members)?;
    let mut changes = Vec::with_capacity(groups.firsts.len());
    let mut scratch = vec![];
    for group in 0..groups.firsts.len() {
        let members = &members[starts[group] as usize..starts[group + 1] as usize];
        let outcome = match members {
            [row] => sum(weights[*row as usize], *row),
            several => {
                scratch.clear();
                scratch.extend_from_slice(several);
                left(&mut scratch, weights, &encoded)
            }
        };
        let key = || layout.text(rows, groups.firsts[group] as usize, true);
        let text = |row: u32| layout.text(rows, row as usize, false);
        changes.push(outcome.map_err(|trouble| {
            let what = match trouble {
                Trouble::Two(a, b) => format!("two rows are left: {} and {}", text(a), text(b)),
                Trouble::Often(row, times) => format!("the row {} is left {times} times", text(row)),
            };
            ambiguous(layout, format!("{where_}: of the key {} {what}", key()))
        })?);
    }
    Ok(changes)
}

fn ambiguous(layout: &Layout, message: String) -> RunError {
    let keys = layout.key_names().join(", ");
    RunError::data(flowc_runtime::codes::AMBIGUOUS_KEY, message).help(format!(
        "make ({keys}) unique, as `top 1 by … per {keys}` does, or merge on more columns; nothing of the epoch was committed"
    ))
}

fn sum(weight: i64, row: u32) -> Result<Option<Change>, Trouble> {
    match weight {
        1 => Ok(Some(Change::Upsert(row))),
        0 => Ok(None),
        weight if weight < 0 => Ok(Some(Change::Delete)),
        weight => Err(Trouble::Often(row, weight)),
    }
}

/// What is left of several rows of a key.
fn left(rows: &mut [u32], weights: &[i64], encoded: &Encoded) -> Result<Option<Change>, Trouble> {
    // Equal rows side by side; of them the first that came, whatever the sort does.
    rows.sort_unstable_by(|a, b| encoded.get(*a).cmp(encoded.get(*b)).then(a.cmp(b)));
    let (mut upsert, mut taken) = (None, false);
    for equal in rows.chunk_by(|a, b| encoded.get(*a) == encoded.get(*b)) {
        let weight: i64 = equal.iter().fold(0, |sum: i64, row| sum.saturating_add(weights[*row as usize]));
        let added = equal.iter().copied().find(|row| weights[*row as usize] > 0).unwrap_or(equal[0]);
        match sum(weight, added)? {
            Some(Change::Upsert(row)) => {
                if let Some(other) = upsert.replace(row) {
                    return Err(Trouble::Two(other, row));
                }
            }
            Some(Change::Delete) => taken = true,
            None => {}
        }
    }
    Ok(upsert.map(Change::Upsert).or(taken.then_some(Change::Delete)))
}

/// The bytes of whole rows, of those whose key has several.
pub struct Encoded {
    rows: Rows,
    /// Where the bytes of each row are.
    place: Vec<u32>,
}

impl Encoded {
    /// Encodes the rows of groups that have several.
    pub fn of_several(
        layout: &Layout,
        batch: &RecordBatch,
        starts: &[u32],
        members: &[u32],
    ) -> Result<Encoded, RunError> {
        let several = starts.windows(2).filter(|w| w[1] - w[0] > 1);
        let wanted: Vec<u32> = several.flat_map(|w| &members[w[0] as usize..w[1] as usize]).copied().collect();
        let mut place = vec![0; batch.num_rows()];
        wanted.iter().zip(0..).for_each(|(row, at)| place[*row as usize] = at);
        let part = take_record_batch(batch, &UInt32Array::from(wanted)).map_err(|e| layout.internal(e))?;
        Ok(Encoded { rows: layout.encode_rows(&part)?, place })
    }

    /// The bytes of a row of a group that has several.
    pub fn get(&self, row: u32) -> &[u8] {
        self.rows.row(self.place[row as usize] as usize).data()
    }
}
