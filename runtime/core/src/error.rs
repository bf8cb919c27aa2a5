//! Why a run stops. Knows places in the user's source only as [`Origin`]s; whoever shows the error has the text.

use flowc_ir::Origin;
use flowc_ir::eval::RowFailure;

/// Whose fault it is; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The program or its data (exit status 1).
    Data,
    /// Storage, network, another writer (exit status 3).
    World,
}

/// Why a run stops. Says what happened, where (sink, epoch, table version, row) and how to go on. Codes `R01..`: rows, `R02..`: sources, `R03..`: sinks,
/// `R04..`: state, `R05..`: storage; each has a page.
#[derive(Debug, Clone, thiserror::Error)]
#[error("[{code}] {message}")]
pub struct RunError {
    /// The stable code.
    pub code: &'static str,
    /// Whose fault it is.
    pub blame: Blame,
    /// What happened, naming sink, epoch, version, file and row where there are such.
    pub message: String,
    /// How to go on.
    pub help: Option<String>,
    /// The place in the program.
    pub origin: Option<Origin>,
    /// The row, column by column, as text.
    pub row: Vec<(String, String)>,
}

impl RunError {
    /// An error of the program or its data.
    pub fn data(code: &'static str, message: impl Into<String>) -> Self {
        RunError { code, blame: Blame::Data, message: message.into(), help: None, origin: None, row: vec![] }
    }

    /// An error of the world.
    pub fn world(code: &'static str, message: impl Into<String>) -> Self {
        RunError { blame: Blame::World, ..RunError::data(code, message) }
    }

    /// Says how to go on.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where in the program.
    pub fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl From<RowFailure> for RunError {
    fn from(failure: RowFailure) -> Self {
        RunError::data(failure.failure.code.code(), failure.failure.message).at(failure.origin)
    }
}
