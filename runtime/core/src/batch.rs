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
}

/// Rows on their way through the operators.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The rows.
    pub data: RecordBatch,
    /// Where they stand.
    pub order: Order,
}
