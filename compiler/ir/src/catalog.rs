//! The compiler's one door to the world: what is known of a table or of files before anything runs.

use crate::plan::{Connector, VersionSpec};
use crate::types::{DataType, Field, Schema, Type};
use crate::value::Value;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// What a table, or a set of files, is made of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its columns, partition columns included.
    pub schema: Schema,
    /// The partition columns, in order.
    pub partition_by: Vec<String>,
    /// CHECK constraints and column invariants: name and Spark SQL text.
    pub constraints: Vec<(String, String)>,
    /// Generated columns: name and Spark SQL text.
    pub generated: Vec<(String, String)>,
    /// Table properties.
    pub properties: IndexMap<String, String>,
    /// The version that was looked at; none for files.
    pub version: Option<u64>,
    /// Names of the protocol's reader and writer features in force (implied ones too).
    pub features: Vec<String>,
    /// Features without which the table cannot be read correctly, that flowc does not have.
    pub unreadable: Vec<String>,
    /// Features without which the table cannot be written correctly, that flowc does not have.
    pub unwritable: Vec<String>,
    /// The ids of columns, where the table maps its columns: a column that is renamed keeps its own.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub column_ids: IndexMap<String, i64>,
    /// Columns of Spark's `char(n)`: blanks at their ends do not count there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub padded: Vec<String>,
    /// Whether the property `delta.appendOnly` is set.
    pub append_only: bool,
    /// The table's description.
    pub description: Option<String>,
    /// Number of data files and their size in bytes, where known.
    pub files: Option<(u64, u64)>,
    /// Number of rows, where the statistics of every file say it.
    pub rows: Option<u64>,
    /// What the statistics of all files say of columns. Only of a version that was asked for by its number: such a version never changes.
    #[serde(default)]
    pub bounds: Vec<ColumnBounds>,
}

/// What the statistics of all files say of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnBounds {
    /// The column.
    pub column: String,
    /// No value is less.
    pub min: Option<Value>,
    /// No value is greater.
    pub max: Option<Value>,
    /// Whether a row may be null.
    pub nulls: bool,
}

/// Why a table is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogError {
    /// There is nothing at the location, or no file for a glob. For a sink: the table will be created.
    NotFound,
    /// There is something, but it is not what the connector reads: what it is instead.
    NotATable(String),
    /// Files of text (csv, json) in which nothing was found that parses: what is wrong with the first row.
    Malformed(String),
    /// This version (or time) does not exist; the versions that do.
    NoSuchVersion {
        /// The oldest that can be read.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
    /// The schema cannot be told from the files alone (csv, json): what they look like.
    Inferred(Schema),
    /// The table has a column of a type that flowc does not know: column, type.
    UnknownType(String, String),
    /// The world failed: storage cannot be reached, or the log is damaged. (Exit status 3.)
    Unreachable(String),
    /// Nothing may be opened, and what was recorded beforehand does not have it: why.
    NotLocked(String),
    /// It is being read, and the answer will come later: what depends on it is not judged.
    Pending,
}

/// What the compiler asks of the world. Answers must stay the same during one compilation.
pub trait Catalog {
    /// What is at the connector's location. For a version, that version's schema.
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError>;

    /// Names near `location` that look like tables, for "did you mean".
    fn neighbours(&self, connector: &Connector) -> Vec<String> {
        let _ = connector;
        vec![]
    }

    /// Whether this is only how tables might be: then what a program's `schema` says of a column gives way to what the table says, where both fit.
    fn hypothetical(&self) -> bool {
        false
    }
}

/// A question to a catalog, with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was asked for.
    pub connector: Connector,
    /// At which version; none: as it is now.
    pub version: Option<VersionSpec>,
    /// What there is.
    pub found: Result<TableInfo, CatalogError>,
}

/// Asks another catalog, and remembers the answers in the order of the first questions.
pub struct Recorder<'a> {
    inner: &'a dyn Catalog,
    answers: RefCell<Vec<Answer>>,
}

impl std::fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("answers", &self.answers).finish_non_exhaustive()
    }
}

impl<'a> Recorder<'a> {
    /// Asks `inner`.
    pub fn new(inner: &'a dyn Catalog) -> Self {
        Recorder { inner, answers: RefCell::default() }
    }

    /// All answers, each question once.
    pub fn answers(self) -> Vec<Answer> {
        self.answers.into_inner()
    }
}

impl Catalog for Recorder<'_> {
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        let known = |a: &&Answer| a.connector == *connector && a.version == version;
        if let Some(answer) = self.answers.borrow().iter().find(known) {
            return answer.found.clone();
        }
        let found = self.inner.table(connector, version);
        self.answers.borrow_mut().push(Answer { connector: connector.clone(), version, found: found.clone() });
        found
    }

    fn neighbours(&self, connector: &Connector) -> Vec<String> {
        self.inner.neighbours(connector)
    }

    fn hypothetical(&self) -> bool {
        self.inner.hypothetical()
    }
}

/// Answers given beforehand; whatever else is asked is passed on.
pub struct Replay<'a> {
    /// The answers.
    pub answers: Vec<Answer>,
    /// Answers the rest.
    pub rest: &'a dyn Catalog,
    /// As [`Catalog::hypothetical`].
    pub hypothetical: bool,
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("answers", &self.answers).finish_non_exhaustive()
    }
}

impl Catalog for Replay<'_> {
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        let known = self.answers.iter().find(|a| a.connector == *connector && a.version == version);
        known.map_or_else(|| self.rest.table(connector, version), |a| a.found.clone())
    }

    fn neighbours(&self, connector: &Connector) -> Vec<String> {
        self.rest.neighbours(connector)
    }

    fn hypothetical(&self) -> bool {
        self.hypothetical
    }
}

/// A catalog of tables given beforehand, by location or glob, each the same at every version: for tests and editors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FixedCatalog {
    /// The tables.
    pub tables: IndexMap<String, TableInfo>,
}

impl FixedCatalog {
    /// Adds a table.
    pub fn add(&mut self, location: impl Into<String>, info: TableInfo) {
        self.tables.insert(location.into(), info);
    }
}

/// The location or glob of a connector that has one.
pub fn location(connector: &Connector) -> Option<&str> {
    match connector {
        Connector::Delta { location } => Some(location),
        Connector::Parquet { glob } | Connector::Csv { glob, .. } | Connector::Json { glob } => Some(glob),
        Connector::Generate { .. } | Connector::Console | Connector::Kafka { .. } => None,
    }
}

impl Catalog for FixedCatalog {
    fn table(&self, connector: &Connector, _version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        if matches!(connector, Connector::Generate { .. }) {
            return Ok(generated_table());
        }
        location(connector).and_then(|l| self.tables.get(l)).cloned().ok_or(CatalogError::NotFound)
    }

    fn neighbours(&self, _connector: &Connector) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }
}

/// What `generate` yields when no schema is declared.
pub fn generated_table() -> TableInfo {
    let id = Field::new("id", Type::new(DataType::Long));
    TableInfo { schema: Schema::new(vec![id]), ..TableInfo::default() }
}
