//! Which of the connectors that need nothing but this machine a specification asks for: files, made-up rows, the console. Knows nothing of how they work.

use super::cells::{PUT_ASIDE, REPAIR};
use super::console::{ConsoleSink, Out};
use super::csv::CsvFormat;
use super::directory::{DirectorySink, FileKind};
use super::files::{FileSource, Format, RowPolicy};
use super::generate::GenerateSource;
use super::json::JsonFormat;
use super::parquet::ParquetFormat;
use super::scan::Dialect;
use super::write::{CsvKind, JsonKind, ParquetKind};
use crate::connector::{Connectors, LookupTable, Sink, Source};
use crate::error::RunError;
use async_trait::async_trait;
use flowc_ir::plan::{Connector, SinkMode, SinkSpec, SourceSpec, TableSpec};
use flowc_ir::{Program, Schema};
use std::fmt;
use std::sync::{Arc, Mutex};

/// Makes the sources, tables and sinks of files, made-up rows, and the console.
#[derive(Clone)]
pub struct FileConnectors {
    out: Out,
}

impl fmt::Debug for FileConnectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileConnectors")
    }
}

impl Default for FileConnectors {
    fn default() -> Self {
        FileConnectors { out: Arc::new(Mutex::new(std::io::stdout())) }
    }
}

impl FileConnectors {
    /// The console writes to `out` instead of standard output.
    pub fn with_console(out: Out) -> Self {
        FileConnectors { out }
    }
}

fn unsupported(connector: &Connector, what: &str) -> RunError {
    let kind = serde_json::to_value(connector).ok();
    let kind = kind.as_ref().and_then(|v| v["connector"].as_str()).unwrap_or("this");
    RunError::data("R0201", format!("the connector `{kind}` cannot be used as a {what}"))
}

/// Files cannot be changed row by row: the compiler refuses such sinks.
fn unkept(sink: &str) -> RunError {
    let text = format!("sink `{sink}` writes files, which take rows that are added, or replace all of them");
    RunError::data("R0201", text).help("write a Delta table")
}

/// Files to read; none if the connector does not read files.
fn files(
    connector: &Connector,
    schema: &Schema,
    predicate: Option<&Program>,
    policy: RowPolicy,
) -> Result<Option<FileSource>, RunError> {
    let schema = schema.clone();
    let (glob, format): (&String, Arc<dyn Format>) = match connector {
        Connector::Parquet { glob } => (glob, Arc::new(ParquetFormat { schema, predicate: predicate.cloned() })),
        Connector::Csv { glob, header, delimiter, quote, null } => {
            (glob, Arc::new(CsvFormat { schema, dialect: Dialect::new(*header, *delimiter, *quote, null)?, policy }))
        }
        Connector::Json { glob } => (glob, Arc::new(JsonFormat { schema, policy })),
        _ => return Ok(None),
    };
    Ok(Some(FileSource::new(glob, format)))
}

#[async_trait]
impl Connectors for FileConnectors {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        if let Connector::Generate { rows, rate, seed } = &spec.connector {
            return Ok(Arc::new(GenerateSource::new(spec.schema.clone(), *rows, *rate, *seed)));
        }
        let policy = match &spec.quarantine {
            Some(judged) => RowPolicy::Aside(judged.clone()),
            None => RowPolicy::Stop { help: PUT_ASIDE },
        };
        match files(&spec.connector, &spec.schema, spec.predicate.as_ref(), policy)? {
            Some(files) => Ok(Arc::new(files)),
            None => Err(unsupported(&spec.connector, "source")),
        }
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        let policy = RowPolicy::Stop { help: REPAIR };
        match files(&spec.connector, &spec.schema, spec.predicate.as_ref(), policy)? {
            Some(files) => Ok(Arc::new(files)),
            None => Err(unsupported(&spec.connector, "table")),
        }
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        let schema = spec.schema.clone();
        let (directory, kind): (&String, Arc<dyn FileKind>) = match &spec.connector {
            Connector::Console => return Ok(Arc::new(ConsoleSink::new(schema, spec.changing, Arc::clone(&self.out)))),
            Connector::Parquet { glob } => (glob, Arc::new(ParquetKind { schema })),
            Connector::Json { glob } => (glob, Arc::new(JsonKind { schema })),
            Connector::Csv { glob, header, delimiter, quote, null } => {
                (glob, Arc::new(CsvKind { schema, dialect: Dialect::new(*header, *delimiter, *quote, null)? }))
            }
            other => return Err(unsupported(other, "sink")),
        };
        if !spec.partition_by.is_empty() {
            let text = format!("sink `{}` writes files, which have no partition columns", spec.name);
            return Err(RunError::data("R0301", text).help("leave out `partition by`, or write a Delta table"));
        }
        if directory.contains(['*', '?', '[']) {
            let text = format!("sink `{}` needs a directory, not the pattern `{directory}`", spec.name);
            return Err(RunError::data("R0302", text));
        }
        let replaces = match &spec.mode {
            SinkMode::Append => false,
            SinkMode::Overwrite => true,
            _ => return Err(unkept(&spec.name)),
        };
        if spec.changing {
            return Err(unkept(&spec.name));
        }
        Ok(Arc::new(DirectorySink::new(directory, kind, replaces)))
    }
}
