//! What evaluating expressions needs and yields, whoever does it: constants of the epoch, failures of rows, and the kernel interface between the
//! compiler and the runtime. Knows Arrow batches; nothing of how a kernel is made.

use crate::expr::{Origin, Program};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The constants of an epoch; recorded with it, so that running it again gives the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvalContext {
    /// `current_timestamp()`: microseconds since 1970-01-01T00:00:00Z.
    pub now: i64,
    /// The epoch's number.
    pub epoch: u64,
}

/// Why a row fails. The codes have pages behind `flowc explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FailureCode {
    /// R0101: an integer, decimal, date or duration result does not fit its type.
    Overflow = 1,
    /// R0102: division or remainder by zero (integers and decimals).
    DivisionByZero = 2,
    /// R0103: `as` met a value that the type does not hold.
    Cast = 3,
    /// R0104: a function's operand is outside its domain.
    Argument = 4,
    /// R0105: a row breaks a constraint of a sink.
    Constraint = 5,
    /// R0106: a value of a column that must not be null is null.
    Null = 6,
}

impl FailureCode {
    /// The code of the page.
    pub fn code(self) -> &'static str {
        match self {
            FailureCode::Overflow => "R0101",
            FailureCode::DivisionByZero => "R0102",
            FailureCode::Cast => "R0103",
            FailureCode::Argument => "R0104",
            FailureCode::Constraint => "R0105",
            FailureCode::Null => "R0106",
        }
    }
}

/// Why one row fails, without the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub code: FailureCode,
    /// What happened, with the values: ``2147483647 + 1 does not fit integer``. Compiled kernels leave it empty: whoever reports the failure
    /// lets the interpreter evaluate the row again to get it.
    pub message: String,
}

impl Failure {
    /// A failure with its explanation.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
}

/// The first row of a batch that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// Its index in the batch given to the kernel.
    pub row: usize,
    /// Why.
    pub failure: Failure,
    /// The expression.
    pub origin: Origin,
}

impl fmt::Display for RowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] row {}: {}", self.failure.code.code(), self.row, self.failure.message)
    }
}

impl std::error::Error for RowFailure {}

/// How a kernel runs its expressions, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct KernelReport {
    /// What made it: `interpreter`, `cranelift`.
    pub backend: &'static str,
    /// The steps and outputs, each with `jit` (machine code), `arrow` (vectorized kernels), `row` (row by row) or `copy` (column passed on); `adaptive` for what is
    /// decided batch by batch.
    pub parts: Vec<(String, &'static str)>,
}

/// A compiled [`Program`]: pure and total. The same batch gives the same result, whatever ran before; it may be called from many threads at once.
pub trait Kernel: Send + Sync + fmt::Debug {
    /// Runs the program over a batch whose columns are the program's input (types as [`crate::arrow_types`] maps them; slices allowed). The result has
    /// the program's output schema and the surviving rows in order; or the first row that fails.
    fn run(&self, context: &EvalContext, input: &RecordBatch) -> Result<RecordBatch, RowFailure>;

    /// How it runs.
    fn report(&self) -> KernelReport;
}

/// Makes kernels: the interpreter, or a code generator.
pub trait Backend: Send + Sync {
    /// Compiles a verified program. Fails only if the backend itself breaks; then the message is a bug report.
    fn compile(&self, program: &Program) -> Result<Arc<dyn Kernel>, String>;
}
