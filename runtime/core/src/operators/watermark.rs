//! Notes how far the event time of a source's rows has come. Of rows that change only those that are added move it: a row that is taken away tells of the past, and
//! need never have been seen where a source is read from the middle of its history. Knows nothing of what waits for it.

use crate::error::RunError;
use crate::operators::incremental::weights;
use crate::operators::internal;
use crate::operators::stateful::Changes;
use crate::state::OperatorState;
use arrow::array::AsArray;
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use flowc_ir::graph;
use std::sync::atomic::{AtomicI64, Ordering};

/// The note that keeps the greatest event time seen.
const LATEST: &str = "latest";

/// No row has had a time yet.
const NONE: i64 = i64::MIN;

/// The operator.
#[derive(Debug)]
pub struct Watermark {
    spec: graph::Watermark,
    /// The greatest event time seen; [`NONE`] before the first.
    latest: AtomicI64,
}

impl Watermark {
    /// `latest`: the greatest event time that earlier epochs have seen.
    pub(crate) fn new(spec: &graph::Watermark, latest: Option<i64>) -> Watermark {
        Watermark { spec: spec.clone(), latest: AtomicI64::new(latest.unwrap_or(NONE)) }
    }

    /// Takes notice of rows.
    pub(crate) fn observe(&self, rows: &RecordBatch) -> Result<(), RunError> {
        let times = rows.column(self.spec.time);
        let times = times.as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| internal("an event time that is no timestamp"))?;
        let latest = match weights(rows)? {
            None => max(times),
            Some(weights) => {
                times.iter().zip(weights).filter(|(_, weight)| **weight > 0).filter_map(|(at, _)| at).max()
            }
        };
        if let Some(latest) = latest {
            self.latest.fetch_max(latest, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The greatest event time seen.
    pub(crate) fn latest(&self) -> Option<i64> {
        Some(self.latest.load(Ordering::Relaxed)).filter(|latest| *latest != NONE)
    }

    /// The watermark that follows: no time is known before the first row.
    pub(crate) fn watermark(&self) -> Option<i64> {
        self.latest().map(|latest| latest.saturating_sub(self.spec.delay))
    }
}

impl Watermark {
    /// What the next epoch has to know.
    pub(crate) fn changes(&self) -> Changes {
        let latest = self.latest().map(|latest| (LATEST.to_string(), latest.to_string()));
        Changes { whole: true, notes: latest.into_iter().collect(), ..Changes::default() }
    }
}

/// The greatest event time that earlier epochs have seen.
pub(crate) fn latest(state: &OperatorState) -> Option<i64> {
    state.notes.get(LATEST)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn rows(times: Vec<Option<i64>>) -> RecordBatch {
        let times = Arc::new(TimestampMicrosecondArray::from(times)) as ArrayRef;
        RecordBatch::try_from_iter([("at", times)]).unwrap()
    }

    #[test]
    fn it_is_the_greatest_time_less_the_delay() {
        let spec = graph::Watermark { source: "s".into(), time: 0, delay: 5, idle: None };
        let watermark = Watermark::new(&spec, None);
        watermark.observe(&rows(vec![None])).unwrap();
        assert_eq!(watermark.watermark(), None);
        watermark.observe(&rows(vec![Some(30), None, Some(20)])).unwrap();
        watermark.observe(&rows(vec![Some(10)])).unwrap();
        assert_eq!((watermark.latest(), watermark.watermark()), (Some(30), Some(25)));
        assert_eq!(Watermark::new(&spec, Some(40)).watermark(), Some(35));
        // What is taken away moves nothing.
        let columns = rows(vec![Some(70), Some(50), None]).columns().to_vec();
        let weights = Arc::new(arrow::array::Int64Array::from(vec![-1, 2, 1])) as ArrayRef;
        let changing = RecordBatch::try_from_iter([("at", columns[0].clone()), (graph::WEIGHT, weights)]).unwrap();
        watermark.observe(&changing).unwrap();
        assert_eq!(watermark.latest(), Some(50));
        // Times before 1970, and none that could be confused with "no time".
        let early = Watermark::new(&spec, None);
        early.observe(&rows(vec![Some(-100)])).unwrap();
        assert_eq!(early.watermark(), Some(-105));
    }
}
