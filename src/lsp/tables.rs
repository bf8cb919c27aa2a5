//! Reads tables on threads of their own, so that nothing waits for storage. Must not know which programs ask.

use crate::world;
use crossbeam_channel::{Receiver, Sender, unbounded};
use flowc_ide::Question;
use flowc_ir::catalog::{Catalog, CatalogError, TableInfo};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What was found out of a table.
#[derive(Debug)]
pub struct Found {
    /// What was asked.
    pub question: Question,
    /// What there is.
    pub found: Result<TableInfo, CatalogError>,
    /// Names near its place.
    pub neighbours: Vec<String>,
}

/// Threads that read tables.
#[derive(Debug)]
pub struct Readers {
    questions: Sender<Question>,
    /// The answers, as they come.
    pub answers: Receiver<Found>,
}

/// How many tables are read at a time.
const THREADS: usize = 4;

impl Readers {
    /// Starts the threads; they end with this value.
    pub fn start() -> Readers {
        let (questions, asked) = unbounded::<Question>();
        let (answer, answers) = unbounded();
        for _ in 0..THREADS {
            let (asked, answer) = (asked.clone(), answer.clone());
            std::thread::spawn(move || {
                for question in asked {
                    if answer.send(read(question)).is_err() {
                        break;
                    }
                }
            });
        }
        Readers { questions, answers }
    }

    /// Asks for a table.
    pub fn ask(&self, question: Question) {
        // The threads live as long as this value.
        let _ = self.questions.send(question);
    }
}

fn read(question: Question) -> Found {
    let catalog = world::catalog();
    let look = || {
        let found = catalog.table(&question.connector, question.version);
        let near = if found.is_err() { catalog.neighbours(&question.connector) } else { vec![] };
        (found, near)
    };
    let (found, neighbours) = catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| {
        (Err(CatalogError::Unreachable("reading it failed with a mistake of flowc's own".into())), vec![])
    });
    Found { question, found, neighbours }
}
