//! What is known of tables: answers that were given, and the questions that are still open. Must not know how tables are read.

use flowc_ir::catalog::{Answer, Catalog, CatalogError, TableInfo, generated_table, location};
use flowc_ir::plan::{Connector, VersionSpec};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What the checker asks of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Where the table is.
    pub connector: Connector,
    /// At which version; none: as it is now.
    pub version: Option<VersionSpec>,
}

/// The tables as far as they were read. A table that was not is pending: what depends on it is not judged.
#[derive(Debug, Default)]
pub struct Tables {
    answers: Vec<Answer>,
    neighbours: BTreeMap<String, Vec<String>>,
    open: RefCell<Vec<Question>>,
    revision: u64,
}

impl Tables {
    /// Changes with every answer that differs from the one before.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Gives the answer to a question, and the names of what is near its place. Says whether it is news.
    pub fn answer(
        &mut self,
        question: &Question,
        found: Result<TableInfo, CatalogError>,
        neighbours: Vec<String>,
    ) -> bool {
        self.open.borrow_mut().retain(|q| q != question);
        if let Some(place) = location(&question.connector) {
            self.neighbours.insert(place.to_string(), neighbours);
        }
        let known = self.answers.iter_mut().find(|a| is_answer(a, &question.connector, question.version));
        match known {
            Some(known) if known.found == found => return false,
            Some(known) => known.found = found,
            None => {
                self.answers.push(Answer { connector: question.connector.clone(), version: question.version, found })
            }
        }
        self.revision += 1;
        true
    }

    /// The questions that were asked since the last time and have no answer.
    pub fn take_open(&mut self) -> Vec<Question> {
        std::mem::take(&mut *self.open.borrow_mut())
    }

    /// Forgets the answers that no program asks for any more.
    pub fn retain(&mut self, keep: impl Fn(&Question) -> bool) {
        self.answers.retain(|a| keep(&Question { connector: a.connector.clone(), version: a.version }));
        let answers = &self.answers;
        self.neighbours.retain(|place, _| answers.iter().any(|a| location(&a.connector) == Some(place)));
    }

    /// The questions that have an answer.
    pub fn answered(&self) -> Vec<Question> {
        self.answers.iter().map(|a| Question { connector: a.connector.clone(), version: a.version }).collect()
    }
}

fn is_answer(answer: &Answer, connector: &Connector, version: Option<VersionSpec>) -> bool {
    answer.connector == *connector && answer.version == version
}

impl Catalog for Tables {
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        if matches!(connector, Connector::Generate { .. }) {
            return Ok(generated_table());
        }
        if let Some(answer) = self.answers.iter().find(|a| is_answer(a, connector, version)) {
            return answer.found.clone();
        }
        let question = Question { connector: connector.clone(), version };
        let mut open = self.open.borrow_mut();
        if !open.contains(&question) {
            open.push(question);
        }
        Err(CatalogError::Pending)
    }

    fn neighbours(&self, connector: &Connector) -> Vec<String> {
        location(connector).and_then(|place| self.neighbours.get(place)).cloned().unwrap_or_default()
    }
}
