//! Files of rows, written: parquet, csv, json lines. Knows nothing of directories, names or epochs.

use super::directory::{FileKind, FileWriter};
use super::scan::Dialect;
use crate::error::RunError;
use crate::text::{write_json, write_json_row};
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use base64::Engine;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::arrow_values::value_at;
use flowc_ir::cast::format::write_text;
use flowc_ir::{DataType, Schema, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};

fn failed(error: impl fmt::Display) -> RunError {
    RunError::world("R0505", format!("cannot write a file: {error}"))
}

/// Parquet, compressed with zstd.
#[derive(Debug)]
pub(crate) struct ParquetKind {
    pub(crate) schema: Schema,
}

impl FileKind for ParquetKind {
    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn ordered(&self) -> bool {
        false
    }

    fn create(&self, file: File) -> Result<Box<dyn FileWriter>, RunError> {
        let compression = Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?);
        let properties = WriterProperties::builder().set_compression(compression).build();
        let writer = ArrowWriter::try_new(file, to_arrow_schema(&self.schema), Some(properties));
        Ok(Box::new(ParquetFile(writer.map_err(failed)?)))
    }
}

struct ParquetFile(ArrowWriter<File>);

impl FileWriter for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.0.write(batch).map_err(failed)
    }

    fn size(&self) -> u64 {
        (self.0.bytes_written() + self.0.in_progress_size()) as u64
    }

    fn finish(self: Box<Self>) -> Result<(), RunError> {
        self.0.close().map(drop).map_err(failed)
    }
}

/// Lines of text.
struct TextFile<F> {
    file: BufWriter<File>,
    size: u64,
    text: String,
    line: F,
}

impl<F: Fn(&mut String, &RecordBatch, usize) + Send> FileWriter for TextFile<F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        self.text.clear();
        for row in 0..batch.num_rows() {
            (self.line)(&mut self.text, batch, row);
            self.text.push('\n');
        }
        self.size += self.text.len() as u64;
        self.file.write_all(self.text.as_bytes()).map_err(failed)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn finish(mut self: Box<Self>) -> Result<(), RunError> {
        self.file.flush().map_err(failed)
    }
}

/// JSON lines.
#[derive(Debug)]
pub(crate) struct JsonKind {
    pub(crate) schema: Schema,
}

impl FileKind for JsonKind {
    fn extension(&self) -> &'static str {
        "json"
    }

    fn ordered(&self) -> bool {
        true
    }

    fn create(&self, file: File) -> Result<Box<dyn FileWriter>, RunError> {
        let schema = self.schema.clone();
        let line = move |out: &mut String, batch: &RecordBatch, row| write_json_row(out, batch, &schema, row);
        Ok(Box::new(TextFile { file: BufWriter::new(file), size: 0, text: String::new(), line }))
    }
}

/// CSV.
#[derive(Debug)]
pub(crate) struct CsvKind {
    pub(crate) schema: Schema,
    pub(crate) dialect: Dialect,
}

impl FileKind for CsvKind {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn ordered(&self) -> bool {
        true
    }

    fn create(&self, file: File) -> Result<Box<dyn FileWriter>, RunError> {
        let (schema, dialect) = (self.schema.clone(), self.dialect.clone());
        let mut file = BufWriter::new(file);
        let mut header = String::new();
        if dialect.header {
            for (i, field) in schema.fields.iter().enumerate() {
                if i > 0 {
                    header.push(char::from(dialect.delimiter));
                }
                write_field(&mut header, &field.name, &dialect);
            }
            header.push('\n');
            file.write_all(header.as_bytes()).map_err(failed)?;
        }
        let line = move |out: &mut String, batch: &RecordBatch, row| csv_line(out, batch, &schema, &dialect, row);
        Ok(Box::new(TextFile { file, size: header.len() as u64, text: String::new(), line }))
    }
}

fn csv_line(out: &mut String, batch: &RecordBatch, schema: &Schema, dialect: &Dialect, row: usize) {
    let mut cell = String::new();
    for (i, (field, column)) in schema.fields.iter().zip(batch.columns()).enumerate() {
        if i > 0 {
            out.push(char::from(dialect.delimiter));
        }
        cell.clear();
        if text(&mut cell, column, row, field) {
            write_field(out, &cell, dialect);
        } else {
            out.push_str(&dialect.null);
        }
    }
}

/// The text of a value; false if it is null.
fn text(out: &mut String, column: &ArrayRef, row: usize, field: &flowc_ir::Field) -> bool {
    let value = value_at(column, row, &field.ty);
    match (&value, &field.ty.data) {
        (Value::Null, _) => return false,
        (Value::Binary(bytes), _) => base64::engine::general_purpose::STANDARD.encode_string(bytes, out),
        (_, DataType::Array(_) | DataType::Map(..) | DataType::Struct(_)) => write_json(out, &value, &field.ty.data),
        (value, data) => write_text(out, value, data),
    }
    true
}

/// A field, in quotes where it must be: an empty text, too, and one that looks like null, so that it stays what it is.
fn write_field(out: &mut String, text: &str, dialect: &Dialect) {
    let quote = char::from(dialect.quote);
    let special = |c: char| c == quote || c == char::from(dialect.delimiter) || c == '\n' || c == '\r';
    if text.contains(special) || dialect.is_null(text, false) {
        out.push(quote);
        for c in text.chars() {
            if c == quote {
                out.push(quote);
            }
            out.push(c);
        }
        out.push(quote);
    } else {
        out.push_str(text);
    }
}
