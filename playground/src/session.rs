//! Requests and their answers. A session keeps the program and the tables of the last `open`; what is asked then is about those. Must not know how an answer is
//! found.

use crate::editor;
use crate::offsets::Offsets;
use crate::rows::{self, Wishes};
use crate::samples::{Mistake, Sample, Samples};
use crate::show;
use flowc_ide::{LoadError, Loader, Workspace};
use flowc_ir::catalog::Catalog;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// The program's file. Locations are looked for in its folder.
pub(crate) const PATH: &str = "/playground.flow";

/// What a page asks.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request {
    /// The program and its tables, or others: what is wrong with them, and what they look like. Places are UTF-16 code units.
    Open { text: String, tables: Vec<Sample> },
    /// What is known of a place.
    Hover { at: usize },
    /// What could be written at a place.
    Complete { at: usize },
    /// The call around a place.
    Signature { at: usize },
    /// Where what stands at a place is declared.
    Definition { at: usize },
    /// The program in canonical form.
    Format,
    /// The graph as a picture, and the plan.
    Show,
    /// The rows.
    Run(Wishes),
}

/// There are no other files.
struct Alone;

impl Loader for Alone {
    fn load(&self, _path: &str) -> Result<String, LoadError> {
        Err(LoadError::NotFound)
    }
}

/// A program and its tables.
pub struct Session {
    pub(crate) workspace: Workspace,
    pub(crate) samples: Samples,
    mistakes: Vec<Mistake>,
    given: Vec<Sample>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Default for Session {
    fn default() -> Self {
        let mut workspace = Workspace::new(Box::new(Alone));
        workspace.set_text(PATH, "");
        Session { workspace, samples: Samples::default(), mistakes: vec![], given: vec![] }
    }
}

impl Session {
    /// Answers a request; both are JSON. What is not a request is answered by `{"refused": WHY}`.
    pub fn answer(&mut self, request: &str) -> String {
        let answer = match serde_json::from_str(request) {
            Ok(request) => self.answer_to(request),
            Err(why) => json!({ "refused": why.to_string() }),
        };
        answer.to_string()
    }

    fn answer_to(&mut self, request: Request) -> Json {
        match request {
            Request::Open { text, tables } => {
                self.open(text, tables);
                self.settle();
                let mut answer = editor::overview(self);
                answer["mistakes"] = json!(self.mistakes);
                answer
            }
            Request::Hover { at } => editor::hover(self, at),
            Request::Complete { at } => editor::complete(self, at),
            Request::Signature { at } => editor::signature(self, at),
            Request::Definition { at } => editor::definition(self, at),
            Request::Format => editor::format(self),
            Request::Show => show::show(self),
            Request::Run(wishes) => rows::answer(self, &wishes),
        }
    }

    fn open(&mut self, text: String, tables: Vec<Sample>) {
        self.workspace.set_text(PATH, text);
        if self.given != tables {
            self.given.clone_from(&tables);
            (self.samples, self.mistakes) = Samples::new(tables);
            for question in self.workspace.tables.answered() {
                self.give(&question);
            }
        }
    }

    /// Answers what the checker asks of tables, until it asks no more.
    pub(crate) fn settle(&mut self) {
        loop {
            self.workspace.program(PATH);
            let open = self.workspace.tables.take_open();
            if open.is_empty() {
                return;
            }
            open.iter().for_each(|question| self.give(question));
        }
    }

    fn give(&mut self, question: &flowc_ide::Question) {
        let found = self.samples.table(&question.connector, question.version);
        let near = self.samples.neighbours(&question.connector);
        self.workspace.tables.answer(question, found, near);
    }

    /// The program's text, with its places.
    pub(crate) fn text(&self) -> (std::sync::Arc<str>, Offsets) {
        let text = self.workspace.text(PATH).cloned().unwrap_or_default();
        let offsets = Offsets::new(&text);
        (text, offsets)
    }
}
