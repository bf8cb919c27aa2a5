//! Facts and obligations: what every row is known to fulfil, and whether that is enough for what has to hold of it.
//!
//! A stage between checking and lowering: it reads the checked program, goes through its flows step by step, and decides each rule of each
//! expectation and each constraint of each sink: *proved* (its run-time test is taken out), *refuted* (an error, with a row that shows it) or *open* (tested for
//! every row; of a sink a warning).
//! Knows typed expressions only; nothing of syntax. What it does not understand it does not know: the result is then open, never wrong.

mod aggregate;
mod arithmetic;
mod backward;
mod decide;
mod follow;
mod forward;
mod knowledge;
mod known;
mod obligations;
mod order;
mod rules;
mod set;
mod solve;
mod terms;
#[cfg(test)]
mod tests;
mod witness;

pub use knowledge::Reason;
pub(crate) use known::known;
pub use known::{Known, RowsAt};
pub(crate) use obligations::decide;
pub(crate) use terms::same;
