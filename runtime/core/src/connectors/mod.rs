//! The connectors that need nothing but this machine: files (parquet, csv, json lines), made-up rows, the console.

pub mod console;
pub mod generate;

use crate::connector::{Connectors, LookupTable, Sink, Source};
use crate::error::RunError;
use async_trait::async_trait;
use console::{ConsoleSink, Out};
use flowc_ir::plan::{Connector, SinkSpec, SourceSpec, TableSpec};
use generate::GenerateSource;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Makes the sources, tables and sinks of this module.
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

#[async_trait]
impl Connectors for FileConnectors {
    async fn source(&self, spec: &SourceSpec) -> Result<Arc<dyn Source>, RunError> {
        Ok(match &spec.connector {
            Connector::Generate { rows, rate, seed } => {
                Arc::new(GenerateSource::new(spec.schema.clone(), *rows, *rate, *seed))
            }
            other => return Err(unsupported(other, "source")),
        })
    }

    async fn table(&self, spec: &TableSpec) -> Result<Arc<dyn LookupTable>, RunError> {
        Err(unsupported(&spec.connector, "table"))
    }

    async fn sink(&self, spec: &SinkSpec) -> Result<Arc<dyn Sink>, RunError> {
        Ok(match &spec.connector {
            Connector::Console => Arc::new(ConsoleSink::new(spec.schema.clone(), Arc::clone(&self.out))),
            other => return Err(unsupported(other, "sink")),
        })
    }
}
