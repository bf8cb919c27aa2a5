//! What the compiler may know of files before anything runs: the schema of Parquet files from their footers, a guess for CSV and JSON from their first rows.

use super::cells::value_of_text;
use super::files::list;
use super::json::{Line, Lines, object};
use super::parquet::footer;
use super::records::RECORD_BYTES;
use super::scan::{Dialect, Next, Record, Records};
use crate::error::{Blame, RunError};
use flowc_ir::arrow_types::from_arrow_field;
use flowc_ir::catalog::{Catalog, CatalogError, TableInfo, generated_table, location};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use indexmap::IndexMap;
use serde_json::Value as Json;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Rows that a guess looks at.
const LOOKED_AT: usize = 10_000;

/// The catalog of the connectors of this crate. Delta tables and topics are [`CatalogError::NotFound`] here.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileCatalog;

fn world(error: RunError) -> CatalogError {
    match error.blame {
        Blame::World => CatalogError::Unreachable(error.message),
        Blame::Data => CatalogError::NotATable(error.message),
    }
}

impl Catalog for FileCatalog {
    fn table(&self, connector: &Connector, _version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        match connector {
            Connector::Generate { .. } => Ok(generated_table()),
            Connector::Parquet { glob } => parquet(glob),
            Connector::Csv { glob, header, delimiter, quote, null } => {
                let dialect = Dialect::new(*header, *delimiter, *quote, null).map_err(world)?;
                csv(glob, &dialect).map(|schema| Err(CatalogError::Inferred(schema)))?
            }
            Connector::Json { glob } => json(glob).map(|schema| Err(CatalogError::Inferred(schema)))?,
            Connector::Delta { .. } | Connector::Console | Connector::Kafka { .. } => Err(CatalogError::NotFound),
        }
    }

    fn neighbours(&self, connector: &Connector) -> Vec<String> {
        let parent = location(connector).and_then(|l| Path::new(l).parent());
        let entries = parent.and_then(|p| std::fs::read_dir(p).ok()).into_iter().flatten().flatten();
        let mut paths: Vec<String> = entries.map(|e| e.path().display().to_string()).collect();
        paths.sort();
        paths
    }
}

fn files(glob: &str) -> Result<Vec<super::files::FileEntry>, CatalogError> {
    let files = list(glob).map_err(world)?;
    if files.is_empty() { Err(CatalogError::NotFound) } else { Ok(files) }
}

/// The columns that all files have; their types must agree. A column that may be null in one may be null.
fn parquet(glob: &str) -> Result<TableInfo, CatalogError> {
    let (mut columns, mut rows, mut bytes): (Option<(String, Vec<Field>)>, i64, u64) = (None, 0, 0);
    let files = files(glob)?;
    for file in &files {
        let (_, metadata) = footer(&file.path).map_err(world)?;
        rows += metadata.metadata().file_metadata().num_rows();
        bytes += file.size;
        let mut fields = vec![];
        for field in metadata.schema().fields() {
            let unknown = || CatalogError::UnknownType(field.name().clone(), field.data_type().to_string());
            fields.push(from_arrow_field(field).ok_or_else(unknown)?);
        }
        match &mut columns {
            None => columns = Some((file.path.clone(), fields)),
            Some((first, known)) => merge(first, known, &file.path, &fields)?,
        }
    }
    Ok(TableInfo {
        schema: Schema::new(columns.map(|(_, fields)| fields).unwrap_or_default()),
        files: Some((files.len() as u64, bytes)),
        rows: u64::try_from(rows).ok(),
        ..TableInfo::default()
    })
}

fn merge(first: &str, known: &mut [Field], path: &str, fields: &[Field]) -> Result<(), CatalogError> {
    let disagree = |text: String| Err(CatalogError::NotATable(format!("the files disagree: {text}")));
    if let Some(extra) = fields.iter().find(|f| known.iter().all(|k| k.name != f.name)) {
        return disagree(format!("`{path}` has a column `{}`, `{first}` has not", extra.name));
    }
    for column in known {
        match fields.iter().find(|f| f.name == column.name) {
            None => return disagree(format!("`{first}` has a column `{}`, `{path}` has not", column.name)),
            Some(field) if field.ty.data != column.ty.data => {
                return disagree(format!(
                    "column `{}` is {} in `{first}` and {} in `{path}`",
                    column.name, column.ty.data, field.ty.data
                ));
            }
            Some(field) => column.ty.nullable |= field.ty.nullable,
        }
    }
    Ok(())
}

/// The first of these types that holds every text seen.
const GUESSES: &[DataType] =
    &[DataType::Long, DataType::Double, DataType::Boolean, DataType::Date, DataType::Timestamp, DataType::String];

fn csv(glob: &str, dialect: &Dialect) -> Result<Schema, CatalogError> {
    let file = &files(glob)?[0];
    let unreadable = |e: std::io::Error| CatalogError::Unreachable(format!("`{}`: {e}", file.path));
    let mut records = Records::new(File::open(&file.path).map_err(unreadable)?, dialect);
    let mut record = Record::default();
    let (mut found, mut wrong) = (false, None);
    // A malformed row is the run's matter; a file of nothing else, or whose header is malformed, may be something else.
    let mut next = |record: &mut Record| loop {
        match records.next(record).map_err(unreadable)? {
            Next::Record => {
                found = true;
                return Ok(true);
            }
            Next::End => return if found { Ok(false) } else { wrong.take().map_or(Ok(false), Err) },
            Next::Malformed(what) => {
                let what = CatalogError::Malformed(format!("`{}`, line {}: {what}", file.path, record.line));
                if dialect.header && !found {
                    return Err(what);
                }
                wrong.get_or_insert(what);
            }
        }
    };
    let mut more = next(&mut record)?;
    let text = |record: &Record, i: usize| record.field(i).map(|(text, _)| text.to_string());
    let names: Vec<String> = match dialect.header {
        true => (0..record.len()).map(|i| text(&record, i).unwrap_or_default()).collect(),
        false => (0..record.len()).map(|i| format!("c{}", i + 1)).collect(),
    };
    if dialect.header && more {
        more = next(&mut record)?;
    }
    let mut guesses = vec![(0, false); names.len()];
    for _ in 0..LOOKED_AT {
        if !more {
            break;
        }
        for (i, (guess, nullable)) in guesses.iter_mut().enumerate().take(record.len()) {
            match record.field(i) {
                Some((text, quoted)) if !dialect.is_null(text, quoted) => {
                    let fits = |data: &DataType| is_plain(text, data) && value_of_text(text, data).is_ok();
                    *guess = (*guess..GUESSES.len() - 1).find(|g| fits(&GUESSES[*g])).unwrap_or(GUESSES.len() - 1);
                }
                _ => *nullable = true,
            }
        }
        more = next(&mut record)?;
    }
    let field = |(name, (guess, nullable)): (String, (usize, bool))| {
        Field::new(name, Type::new(GUESSES[guess].clone()).with_nullable(nullable))
    };
    Ok(Schema::new(names.into_iter().zip(guesses).map(field).collect()))
}

/// Whether a text looks like a value of a type as files have them: `y` is no boolean, `2026` no date.
fn is_plain(text: &str, data: &DataType) -> bool {
    match data {
        DataType::Boolean => ["true", "false"].iter().any(|w| text.eq_ignore_ascii_case(w)),
        DataType::Date => text.len() == 10,
        DataType::Timestamp => text.len() > 10,
        _ => true,
    }
}

fn json(glob: &str) -> Result<Schema, CatalogError> {
    let file = &files(glob)?[0];
    let unreadable = |e: std::io::Error| CatalogError::Unreachable(format!("`{}`: {e}", file.path));
    let mut lines = Lines::new(BufReader::new(File::open(&file.path).map_err(unreadable)?), RECORD_BYTES);
    let mut columns: IndexMap<String, (Type, usize)> = IndexMap::new();
    let (mut rows, mut wrong) = (0, None);
    for i in 1..=LOOKED_AT {
        if lines.next().map_err(unreadable)? == Line::End {
            break;
        }
        let object = match object(lines.text()) {
            Ok(Some(object)) => object,
            Ok(None) => continue,
            // A malformed row is the run's matter; a file of nothing else is something else.
            Err(what) => {
                wrong.get_or_insert(format!("`{}`, line {i}: {what}", file.path));
                continue;
            }
        };
        rows += 1;
        for (name, value) in &object {
            let ty = guess(value);
            match columns.get_mut(name) {
                None => drop(columns.insert(name.clone(), (ty, 1))),
                Some((known, seen)) => {
                    *known = widen(known, &ty);
                    *seen += 1;
                }
            }
        }
    }
    if let Some(wrong) = wrong.filter(|_| rows == 0) {
        return Err(CatalogError::Malformed(wrong));
    }
    let field = |(name, (ty, seen)): (String, (Type, usize))| {
        // A column of nulls alone could be anything.
        let data = if ty.data == DataType::Null { DataType::String } else { ty.data };
        Field::new(name, Type { data, nullable: ty.nullable || seen < rows })
    };
    Ok(Schema::new(columns.into_iter().map(field).collect()))
}

fn guess(value: &Json) -> Type {
    Type::new(match value {
        Json::Null => return Type::null(),
        Json::Bool(_) => DataType::Boolean,
        Json::Number(n) if value_of_text(&n.to_string(), &DataType::Long).is_ok() => DataType::Long,
        Json::Number(_) => DataType::Double,
        Json::String(s) if is_plain(s, &DataType::Date) && value_of_text(s, &DataType::Date).is_ok() => DataType::Date,
        Json::String(s) if is_plain(s, &DataType::Timestamp) && value_of_text(s, &DataType::Timestamp).is_ok() => {
            DataType::Timestamp
        }
        Json::String(_) => DataType::String,
        Json::Array(items) => {
            let item = items.iter().map(guess).reduce(|a, b| widen(&a, &b));
            DataType::Array(Box::new(item.unwrap_or_else(Type::null)))
        }
        Json::Object(fields) => {
            DataType::Struct(fields.iter().map(|(name, value)| Field::new(name, guess(value))).collect())
        }
    })
}

/// A type for the values of both.
fn widen(a: &Type, b: &Type) -> Type {
    let nullable = a.nullable || b.nullable;
    let data = match (&a.data, &b.data) {
        (DataType::Array(x), DataType::Array(y)) => DataType::Array(Box::new(widen(x, y))),
        (DataType::Struct(x), DataType::Struct(y)) => {
            let absent = |f: &Field| Field::new(&f.name, f.ty.clone().with_nullable(true));
            let both = x.iter().map(|f| match y.iter().find(|g| g.name == f.name) {
                Some(g) => Field::new(&f.name, widen(&f.ty, &g.ty)),
                None => absent(f),
            });
            let more = y.iter().filter(|g| x.iter().all(|f| f.name != g.name)).map(absent);
            DataType::Struct(both.chain(more).collect())
        }
        (x, y) if x == y => x.clone(),
        (DataType::Null, x) | (x, DataType::Null) => x.clone(),
        (DataType::Long, DataType::Double) | (DataType::Double, DataType::Long) => DataType::Double,
        _ => DataType::String,
    };
    Type { data, nullable }
}
