//! A batch of rows with its place in the order of the input. Knows nothing of where rows come from or what becomes of them.

use arrow::record_batch::RecordBatch;

/// Where a batch stands in the input of an operator. The order of rows is that of paths, within them of splits, within them of sequence numbers, within
/// those of rows; it does not depend on which worker reads what, nor on how splits are cut into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Order {
    /// Which way the rows came: unions number the paths through their inputs, in the order of the inputs.
    pub path: u32,
    /// The ordinal of the split.
    pub split: u32,
    /// Increases within a split. Not dense.
    pub sequence: u32,
}

/// The place of one row: an [`Order`] and the row in its batch, as one number.
pub type RowOrder = u128;

impl Order {
    /// The place of the batch's first row; that of row `n` is `n` more.
    pub fn first_row(self) -> RowOrder {
        u128::from(self.path) << 96 | u128::from(self.split) << 64 | u128::from(self.sequence) << 32
    }

    /// As [`Order::first_row`], for places that are compared across epochs: rows of one path stand in the order of their epochs, so that the order does not
    /// depend on how the input is cut into epochs. None beyond 2^12 paths, 2^36 epochs, 2^26 splits of an epoch, 2^30 batches of a split, 2^24 rows of a batch.
    pub(crate) fn first_row_of(self, epoch: u64, rows: usize) -> Option<RowOrder> {
        let mut place = 0;
        let parts =
            [(u64::from(self.path), 12), (epoch, 36), (u64::from(self.split), 26), (u64::from(self.sequence), 30)];
        for (part, bits) in parts {
            if part >> bits != 0 {
                return None;
            }
            place = place << bits | u128::from(part);
        }
        (rows <= 1 << 24).then_some(place << 24)
    }
}

/// Rows on their way through the operators.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The rows.
    pub data: RecordBatch,
    /// Where they stand.
    pub order: Order,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn across_epochs_paths_come_first_and_limits_are_told() {
        let at = |path, epoch, split, sequence| Order { path, split, sequence }.first_row_of(epoch, 1 << 24).unwrap();
        let places = [at(0, 0, 0, 0), at(0, 0, 0, 1), at(0, 0, 1, 0), at(0, 1, 0, 0), at(1, 0, 0, 0)];
        assert!(places.is_sorted_by(|a, b| a + (1 << 24) <= *b));
        assert_eq!(at((1 << 12) - 1, (1 << 36) - 1, (1 << 26) - 1, (1 << 30) - 1), u128::MAX << 24);
        let order = Order::default();
        assert_eq!(order.first_row_of(1 << 36, 1), None);
        assert_eq!(order.first_row_of(0, (1 << 24) + 1), None);
        assert_eq!(Order { path: 1 << 12, ..order }.first_row_of(0, 1), None);
    }
}
