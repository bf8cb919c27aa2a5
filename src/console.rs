//! Standard output and standard error as the commands use them: results to the one, the rest to the other, colours as asked, and no panic when a
//! reader goes away. Knows nothing of what is written.

use crate::cli::When;
use crate::exit::Failure;
use std::io::{self, IsTerminal, Write};

/// The status that a process has which SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;

/// Where a command writes, and whether in colours.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// Whether standard output takes colours.
    pub color_out: bool,
    /// Whether standard error takes colours.
    pub color_err: bool,
    /// Whether standard error is a terminal, so that progress can be drawn on it.
    pub live: bool,
}

impl Console {
    /// As the flag, NO_COLOR and the terminal say.
    pub fn new(when: When) -> Console {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let wanted = |terminal: bool| match when {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !refused,
        };
        let err = io::stderr().is_terminal();
        Console { color_out: wanted(io::stdout().is_terminal()), color_err: wanted(err), live: err }
    }

    /// Writes a result. When nobody reads any more, the process ends quietly as SIGPIPE would end it.
    pub fn out(&self, text: &str) {
        let written = Results.write_all(text.as_bytes()).and_then(|()| Results.flush());
        if written.is_err() {
            std::process::exit(3);
        }
    }

    /// Writes a result and a line break.
    pub fn out_line(&self, text: &str) {
        self.out(&format!("{text}\n"));
    }

    /// Writes a message. When nobody reads it, it is lost.
    pub fn err(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// Writes a message and a line break.
    pub fn err_line(&self, text: &str) {
        self.err(&format!("{text}\n"));
    }

    /// Tells why a command could not do its work.
    pub fn failure(&self, failure: &Failure) {
        self.err_line(&format!("{} {}", self.red("error:"), failure.message));
        if let Some(help) = &failure.help {
            self.err_line(&format!("  {} {help}", self.cyan("help:")));
        }
    }

    /// For standard error: an error's word.
    pub fn red(&self, text: &str) -> String {
        paint(self.color_err, "1;31", text)
    }

    /// For standard error: a help's word.
    pub fn cyan(&self, text: &str) -> String {
        paint(self.color_err, "36", text)
    }

    /// For standard error: what is less important.
    pub fn dim(&self, text: &str) -> String {
        paint(self.color_err, "2", text)
    }

    /// For standard error: what went well.
    pub fn green(&self, text: &str) -> String {
        paint(self.color_err, "32", text)
    }
}

/// Standard output. When nobody reads it any more, the process ends quietly as SIGPIPE would end it.
#[derive(Debug, Clone, Copy)]
pub struct Results;

impl Write for Results {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        io::stdout().write(buffer).inspect_err(end_if_broken)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().inspect_err(end_if_broken)
    }
}

fn end_if_broken(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(BROKEN_PIPE);
    }
}

/// The text with an SGR sequence around it, if colours are wanted.
pub fn paint(color: bool, sgr: &str, text: &str) -> String {
    if color { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_string() }
}
