//! The sample tables: what a page says of them, as a catalog for the compiler and as rows for the runtime. Must not know what programs do with them.

use arrow::record_batch::RecordBatch;
use flowc_ir::catalog::{Catalog, CatalogError, TableInfo, generated_table, location};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::text::parse_type;
use flowc_ir::{Field, Schema};
use flowc_runtime::connectors::batch_of_json;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A table as a page gives it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Sample {
    /// Where programs find it.
    pub(crate) location: String,
    /// A line for each column, `name: type`, with `## comment` behind it; and for each constraint, `constraint name: condition`.
    pub(crate) schema: String,
    /// Objects.
    #[serde(default)]
    pub(crate) rows: Vec<Json>,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mistake {
    location: String,
    /// The line of the schema, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The row, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<usize>,
    message: String,
}

/// The tables of a page.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    tables: Vec<(Sample, TableInfo)>,
}

impl Samples {
    /// The tables, and what is wrong with them.
    pub(crate) fn new(given: Vec<Sample>) -> (Samples, Vec<Mistake>) {
        let (mut tables, mut mistakes) = (vec![], vec![]);
        for sample in given {
            let info = info(&sample, &mut mistakes);
            if let Err(bad) = batch_of_json(&info.schema, &sample.rows) {
                let message = format!("`{}`: {}", bad.column, bad.message);
                mistakes.push(Mistake {
                    location: sample.location.clone(),
                    line: None,
                    row: Some(bad.row + 1),
                    message,
                });
            }
            tables.push((sample, info));
        }
        (Samples { tables }, mistakes)
    }

    fn at(&self, connector: &Connector) -> Option<&(Sample, TableInfo)> {
        let wanted = plain(location(connector)?);
        self.tables.iter().find(|(sample, _)| plain(&sample.location) == wanted)
    }

    /// Where the tables are.
    pub(crate) fn locations(&self) -> Vec<String> {
        self.tables.iter().map(|(sample, _)| sample.location.clone()).collect()
    }

    /// The rows that a program reads there.
    pub(crate) fn rows(&self, connector: &Connector) -> &[Json] {
        self.at(connector).map(|(sample, _)| sample.rows.as_slice()).unwrap_or_default()
    }
}

/// A place as it is written, whatever directory it is looked for in.
fn plain(location: &str) -> &str {
    let location = location.strip_prefix("./").unwrap_or(location);
    location.trim_start_matches('/').trim_end_matches('/')
}

fn info(sample: &Sample, mistakes: &mut Vec<Mistake>) -> TableInfo {
    let mut info = TableInfo { version: Some(0), rows: Some(sample.rows.len() as u64), ..TableInfo::default() };
    for (index, line) in sample.schema.lines().enumerate() {
        let read = read_line(line.trim().trim_end_matches(','), &mut info);
        if let Err(message) = read {
            let (location, line) = (sample.location.clone(), Some(index + 1));
            mistakes.push(Mistake { location, line, row: None, message });
        }
    }
    info
}

fn read_line(line: &str, info: &mut TableInfo) -> Result<(), String> {
    let (line, comment) = match line.split_once("##") {
        Some((line, comment)) => (line.trim().trim_end_matches(','), Some(comment.trim().to_string())),
        None => (line, None),
    };
    if line.is_empty() {
        return Ok(());
    }
    let form = "a line is `name: type`, or `constraint name: condition`";
    let (name, rest) = line.split_once(':').ok_or(form)?;
    let (name, rest) = (name.trim(), rest.trim());
    if let Some(name) = name.strip_prefix("constraint ") {
        info.constraints.push((name.trim().to_string(), rest.to_string()));
        return Ok(());
    }
    let name = name.trim_matches('`');
    if name.is_empty() {
        return Err(form.into());
    }
    if info.schema.fields.iter().any(|field| field.name == name) {
        return Err(format!("there are two columns `{name}`"));
    }
    let ty = parse_type(rest).map_err(|_| format!("`{rest}` is not a type"))?;
    info.schema.fields.push(Field { comment, ..Field::new(name, ty) });
    Ok(())
}

impl Catalog for Samples {
    fn table(&self, connector: &Connector, _version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        if matches!(connector, Connector::Generate { .. }) {
            return Ok(generated_table());
        }
        let (_, info) = self.at(connector).ok_or(CatalogError::NotFound)?;
        match connector {
            // Files of text have no types of their own.
            Connector::Csv { .. } | Connector::Json { .. } => Err(CatalogError::Inferred(info.schema.clone())),
            Connector::Parquet { .. } => {
                Ok(TableInfo { schema: info.schema.clone(), rows: info.rows, ..TableInfo::default() })
            }
            _ => Ok(info.clone()),
        }
    }

    fn neighbours(&self, _connector: &Connector) -> Vec<String> {
        self.locations()
    }
}

/// Rows of a schema; of records that do not fit, each with what is wrong.
pub(crate) fn sorted(schema: &Schema, rows: &[Json]) -> (Option<RecordBatch>, Vec<(usize, String)>) {
    if let Ok(all) = batch_of_json(schema, rows) {
        return (Some(all), vec![]);
    }
    let (mut fit, mut bad) = (vec![], vec![]);
    for (index, row) in rows.iter().enumerate() {
        match batch_of_json(schema, std::slice::from_ref(row)) {
            Ok(_) => fit.push(row.clone()),
            Err(why) => bad.push((index, format!("`{}`: {}", why.column, why.message))),
        }
    }
    (batch_of_json(schema, &fit).ok(), bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::{DataType, Type};
    use serde_json::json;

    fn sample(schema: &str, rows: Json) -> Sample {
        let rows = rows.as_array().unwrap().clone();
        Sample { location: "./warehouse/t".into(), schema: schema.into(), rows }
    }

    #[test]
    fn a_schema_is_a_line_for_each_column() {
        let text =
            "id: integer, ## its number\nwhat: struct<a: array<long?>, b: decimal(10, 2)?>?\n\nconstraint sane: id > 0";
        let (samples, mistakes) = Samples::new(vec![sample(text, json!([]))]);
        assert_eq!(mistakes, []);
        let delta = Connector::Delta { location: "/warehouse/t/".into() };
        let info = samples.table(&delta, None).unwrap();
        let id = Field { comment: Some("its number".into()), ..Field::new("id", Type::new(DataType::Integer)) };
        assert_eq!((&info.schema.fields[0], info.schema.len()), (&id, 2));
        assert_eq!(info.constraints, [("sane".to_string(), "id > 0".to_string())]);
        let elsewhere = Connector::Delta { location: "/warehouse/other".into() };
        assert_eq!(samples.table(&elsewhere, None), Err(CatalogError::NotFound));
        let csv = Connector::Json { glob: "/warehouse/t".into() };
        assert!(matches!(samples.table(&csv, None), Err(CatalogError::Inferred(_))));
    }

    #[test]
    fn mistakes_say_where() {
        let (_, mistakes) = Samples::new(vec![sample("id: integer\nx: number\nid: long\n?", json!([{ "id": 1 }, {}]))]);
        let places: Vec<(Option<usize>, Option<usize>)> = mistakes.iter().map(|m| (m.line, m.row)).collect();
        assert_eq!(places, [(Some(2), None), (Some(3), None), (Some(4), None), (None, Some(2))]);
    }
}
