//! What a checked program says of rows that change: the records that they are made of, which streams change, and which steps keep their results right. Knows nothing
//! of how that is done.

use super::{Checked, CheckedStep, Input, Operation};
use flowc_ir::graph::Kind;
use flowc_ir::{DataType, Program, Schema};

/// Records of changes: what they are read as, so that the newest of each key can be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// From a record to the columns of the row that it is about, the word that says what happened, and the sequence.
    pub program: Program,
    /// How many columns the row has.
    pub width: usize,
    /// The positions of the key.
    pub keys: Vec<usize>,
    /// The position of the word.
    pub operation: usize,
    /// The position of the sequence, where there is one.
    pub sequence: Vec<usize>,
    /// The row as it comes out: a column of it that is never null may be null in a record that deletes it.
    pub schema: Schema,
}

impl Records {
    /// The position of the time since when what a record says holds: its sequence, where that is a time.
    pub fn time(&self) -> Option<usize> {
        let is_time = |place: &&usize| self.program.outputs[**place].value.ty.data == DataType::Timestamp;
        self.sequence.first().filter(is_time).copied()
    }
}

impl Checked {
    /// Whether the rows of an input change.
    pub fn kind_of(&self, input: Input) -> Kind {
        match input {
            Input::Source(index) => match &self.sources[index].changes {
                Some(key) => Kind::Changing { key: key.clone() },
                None => Kind::Append,
            },
            Input::Flow(index) => self.flows[index].rows.kind.clone(),
            Input::Rejected(index) => {
                let flow = &self.flows[index];
                let judged = flow.rejected.first().and_then(|rejects| flow.steps.get(rejects.step));
                judged.map_or(Kind::Append, |step| step.rows.kind.clone())
            }
            Input::Late(index) => {
                let flow = &self.flows[index];
                let before = flow.late.as_ref().and_then(|late| flow.steps.get(late.step.checked_sub(1)?));
                before.map_or_else(|| self.kind_of(flow.input), |step| step.rows.kind.clone())
            }
            Input::Malformed(_) | Input::Table(_) => Kind::Append,
        }
    }
}

impl CheckedStep {
    /// Whether it looks at all of its input, so that its rows do not follow from what is new alone. A result that changes is kept right as its input comes, but
    /// for an order of all rows.
    pub fn is_whole(&self) -> bool {
        let ordered = matches!(self.operation, Operation::Sort(_) | Operation::Limit(_));
        self.operation.is_whole() && (ordered || !self.rows.kind.is_changing())
    }

    /// Whether what it gives out and forgets is a matter of the watermark. Rows can be late for it.
    pub fn waits_for_watermark(&self) -> bool {
        match &self.operation {
            Operation::Aggregate { window, .. } if self.rows.kind.is_changing() => {
                window.as_ref().is_some_and(|window| window.late.is_some())
            }
            operation => operation.waits_for_watermark() && !self.rows.kind.is_changing(),
        }
    }
}
