//! The first rows of bounded input, by their place in it, whoever pushes them.

use super::{Blocking, Fault, Outputs};
use crate::batch::{Batch, Order};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The operator.
#[derive(Debug)]
pub struct Limit {
    count: usize,
    kept: Mutex<BTreeMap<Order, RecordBatch>>,
}

impl Limit {
    /// The first `count` rows.
    pub fn new(count: u64) -> Self {
        Limit { count: usize::try_from(count).unwrap_or(usize::MAX), kept: Mutex::default() }
    }
}

/// Drops what lies behind the first `count` rows, as far as they are known.
fn trim(kept: &mut BTreeMap<Order, RecordBatch>, count: usize) {
    let mut before = 0_usize;
    kept.retain(|_, batch| {
        let room = count.saturating_sub(before);
        before = before.saturating_add(batch.num_rows());
        if batch.num_rows() > room {
            *batch = batch.slice(0, room);
        }
        room > 0
    });
}

impl Blocking for Limit {
    fn push(&self, _worker: usize, batch: Batch) -> Result<(), Fault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(batch.order, batch.data);
        trim(&mut kept, self.count);
        Ok(())
    }

    fn finish(&self) -> Result<Outputs<'static>, Fault> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Box::new(kept.into_values().map(Ok)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    #[test]
    fn first_by_place_not_by_arrival() {
        for count in [0, 1, 3, 4, 5, 100] {
            let limit = Limit::new(count);
            for split in [2_u32, 0, 3, 1] {
                let first = i64::from(split) * 2;
                let column = Arc::new(Int64Array::from(vec![first, first + 1])) as arrow::array::ArrayRef;
                let data = RecordBatch::try_from_iter([("n", column)]).unwrap();
                limit.push(split as usize % 2, Batch { data, order: Order { split, ..Order::default() } }).unwrap();
            }
            let rows: Vec<i64> = limit
                .finish()
                .unwrap()
                .flat_map(|b| b.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec())
                .collect();
            assert_eq!(rows, (0..8).take(count as usize).collect::<Vec<_>>());
        }
    }
}
