//! The kept rows of each key, with the columns of the key. Knows nothing of other columns.

use super::super::internal;
use super::super::kept::{Horizon, KeyTimes, TooMany};
use crate::error::RunError;
use crate::keys::Keys;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// The keys with their kept rows.
#[derive(Debug)]
pub(super) struct Firsts {
    keys: Keys,
    types: Vec<DataType>,
    times: KeyTimes,
}

fn too_many(_: TooMany) -> RunError {
    RunError::data("R0117", "`dedup` has to remember more than four billion keys")
}

impl Firsts {
    pub(super) fn new(types: Vec<DataType>) -> Result<Firsts, RunError> {
        Ok(Firsts { keys: Keys::new(types.iter())?, types, times: KeyTimes::new() })
    }

    /// Begins an epoch: what lies before the horizon is forgotten, what there is was stored.
    pub(super) fn begin(&mut self, horizon: Horizon) {
        self.times.begin(horizon);
    }

    /// Which rows are the first of their keys, in order; they are kept. `times`: of the rows; without a duration they do not matter.
    pub(super) fn judge(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        bound: Option<(&[i64], i64)>,
    ) -> Result<Vec<bool>, RunError> {
        let encoded = if columns.is_empty() { None } else { Some(self.keys.encode(columns)?) };
        let key = |row: usize| encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
        let first = |row: usize| match bound {
            // Only a kept row that lies before it makes a row a duplicate.
            Some((times, within)) => self.times.keep_first(key(row), times[row], Some((within, 0))),
            None => self.times.keep_first(key(row), 0, None),
        };
        (0..rows).map(first).collect::<Result<_, _>>().map_err(too_many)
    }

    /// How many keys have kept rows that are not forgotten.
    pub(super) fn live(&self) -> usize {
        self.times.live(self.times.horizon())
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.times.bytes()
    }

    /// How many kept rows were not stored yet, and how many keys there are.
    pub(super) fn fresh(&self) -> (usize, usize) {
        (self.times.fresh(), self.times.len())
    }

    /// What is kept, or what was kept since it was stored: the columns of the key, then the time.
    pub(super) fn segments(&self, whole: bool) -> Result<Vec<RecordBatch>, RunError> {
        let kept = self.times.kept(whole, self.times.horizon());
        let key = |(i, data): (usize, &DataType)| Field::new(format!("key{i}"), data.clone(), true);
        let mut fields: Vec<Field> = self.types.iter().enumerate().map(key).collect();
        fields.push(Field::new("time", DataType::Int64, false));
        let schema = Arc::new(ArrowSchema::new(fields));
        let segment = |kept: &[(u32, i64)]| {
            let mut columns = match self.types.is_empty() {
                true => vec![],
                false => self.keys.decode(kept.iter().map(|(key, _)| self.times.key(*key)))?,
            };
            columns.push(Arc::new(Int64Array::from_iter_values(kept.iter().map(|(_, time)| *time))));
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(internal)
        };
        self.times.cut(&kept).into_iter().map(|part| segment(&kept[part])).collect()
    }

    /// Takes a stored batch; what lies before the horizon is left out. None: it has other columns.
    pub(super) fn restore(&mut self, stored: &RecordBatch, horizon: Horizon) -> Result<Option<()>, RunError> {
        let types = stored.columns().iter().map(|column| column.data_type());
        let wanted = self.types.iter().chain([&DataType::Int64]);
        if !types.eq(wanted) {
            return Ok(None);
        }
        let columns = &stored.columns()[..self.types.len()];
        let times = stored.column(self.types.len()).as_primitive::<Int64Type>();
        let encoded = if columns.is_empty() { None } else { Some(self.keys.encode(columns)?) };
        for (row, time) in times.values().iter().enumerate().filter(|(_, time)| !horizon.passed(**time)) {
            let key = encoded.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            self.times.restore(key, *time).map_err(too_many)?;
        }
        Ok(Some(()))
    }
}
