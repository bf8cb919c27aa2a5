//! How a command ends. The statuses are a contract with scripts: 0 fine, 1 the program or its data is wrong, 2 the command's own words are wrong,
//! 3 the world failed, 128 + signal. Knows nothing of what the commands do.

use std::process::ExitCode;

/// The end of a command that did its work and has already said what there was to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Fine,
    /// The program, its tests or its data is wrong.
    Wrong,
    /// The command's own words are wrong.
    Usage,
    /// The world failed: storage, network, another writer.
    World,
    /// A signal of this number ended the work.
    Signal(u8),
}

impl Exit {
    /// The process's status.
    pub fn status(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Wrong => 1,
            Exit::Usage => 2,
            Exit::World => 3,
            Exit::Signal(number) => 128 + number,
        }
    }

    /// Of two ends, the one to report for both: the world's failure before the program's before none.
    pub fn worst(self, other: Exit) -> Exit {
        if self.status() >= other.status() { self } else { other }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.status())
    }
}

/// Why a command could not do its work, not yet told to the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The status that it gives.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// How to go on.
    pub help: Option<String>,
}

impl Failure {
    /// The command's own words are wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Usage, message: message.into(), help: None }
    }

    /// The program or its data is wrong.
    pub fn wrong(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Wrong, message: message.into(), help: None }
    }

    /// The world failed.
    pub fn world(message: impl Into<String>) -> Self {
        Failure { exit: Exit::World, message: message.into(), help: None }
    }

    /// Says how to go on.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
