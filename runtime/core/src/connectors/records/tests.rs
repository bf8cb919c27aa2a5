//! Files of any bytes, read with malformed rows put aside: each record is a row or malformed, whatever is read of it and however it is cut into batches.

use super::*;
use crate::connector::{Connectors, EpochLimits};
use crate::connectors::FileConnectors;
use crate::connectors::json::{Line, Lines};
use crate::connectors::scan::{Dialect, Next, Record, Records};
use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use flowc_ir::plan::{Connector, SourceSpec};
use flowc_ir::{DataType, Field, Origin, Type};
use futures::TryStreamExt;
use proptest::prelude::*;
use std::path::Path;

fn declared() -> Schema {
    Schema::new(vec![
        Field::new("a", Type::new(DataType::Long)),
        Field::new("b", Type::nullable(DataType::String)),
        Field::new("c", Type::nullable(DataType::Boolean)),
    ])
}

/// The rows and the malformed records of a file.
async fn read(path: &Path, columns: &[usize], batch_rows: usize) -> (RecordBatch, RecordBatch) {
    let glob = path.display().to_string();
    let connector = match path.extension().is_some_and(|e| e == "csv") {
        true => Connector::Csv { glob, header: false, delimiter: ',', quote: '"', null: String::new() },
        false => Connector::Json { glob },
    };
    let schema = Schema::new(columns.iter().map(|c| declared().fields[*c].clone()).collect());
    let (quarantine, origin) = (Some(declared()), Origin::default());
    let spec = SourceSpec {
        arrival: None,
        updates: Default::default(),
        committed: None,
        promises: vec![],
        name: "s".into(),
        connector,
        schema,
        predicate: None,
        quarantine,
        start: None,
        origin,
    };
    let source = FileConnectors::default().source(&spec).await.unwrap();
    let range = source.next_range(None, EpochLimits::NONE).await.unwrap().unwrap();
    let (mut rows, mut malformed) = (vec![], vec![]);
    for split in source.splits(&range).await.unwrap() {
        for part in source.read_parts(&split, batch_rows).await.unwrap().try_collect::<Vec<_>>().await.unwrap() {
            match part {
                Part::Rows(batch) => rows.push(batch),
                Part::Malformed(batch) => malformed.push(batch),
                Part::Skipped(_) => {}
            }
        }
        // Who asks for rows alone gets the same ones.
        let alone: Vec<_> = source.read(&split, batch_rows).await.unwrap().try_collect().await.unwrap();
        assert_eq!(alone, rows);
    }
    assert!(rows.iter().chain(&malformed).all(|b| b.num_rows() <= batch_rows));
    let rows = concat_batches(&to_arrow_schema(&spec.schema), &rows).unwrap();
    (rows, concat_batches(&malformed_columns(), &malformed).unwrap())
}

/// Lines where records begin, without empty lines, and their texts.
fn records(path: &Path, bytes: &[u8]) -> Vec<(i64, String)> {
    let mut found = vec![];
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    if path.extension().is_some_and(|e| e == "csv") {
        let mut records = Records::new(bytes, &Dialect::new(false, ',', '"', "").unwrap());
        let mut record = Record::default();
        loop {
            match records.next(&mut record).unwrap() {
                Next::End => return found,
                Next::Record if record.len() == 1 && record.field(0) == Some(("", false)) => {}
                _ => found.push((record.line as i64, text(records.text()))),
            }
        }
    }
    let mut lines = Lines::new(bytes, RECORD_BYTES);
    for line in 1.. {
        match lines.next().unwrap() {
            Line::End => break,
            _ if std::str::from_utf8(lines.text()).is_ok_and(|t| t.trim().is_empty()) => {}
            _ => found.push((line, text(lines.text()))),
        }
    }
    found
}

fn check(name: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let all = records(&path, bytes);
    futures::executor::block_on(async {
        let (rows, malformed) = read(&path, &[0, 1, 2], 1000).await;
        assert_eq!(rows.num_rows() + malformed.num_rows(), all.len(), "{all:?}");
        let raw = malformed.column(0).as_string::<i32>();
        let lines = malformed.column(2).as_primitive::<Int64Type>().values();
        for (raw, line) in raw.iter().zip(lines) {
            let known = all.iter().find(|(at, _)| at == line).map(|(_, text)| text.as_str());
            assert_eq!(known, raw, "line {line}");
        }
        assert!(lines.windows(2).all(|w| w[0] < w[1]), "{lines:?}");
        for (columns, batch) in [(&[0, 1, 2][..], 1), (&[1], 3), (&[], 2), (&[2, 0], 1000)] {
            let (some, same) = read(&path, columns, batch).await;
            assert_eq!(some, rows.project(columns).unwrap());
            assert_eq!(same, malformed, "columns {columns:?}");
        }
    });
}

fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => proptest::sample::select(of).prop_map(|s| s.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

const CSV: &[&str] = &["1", "-7", "x", "\"", "\"\"", ",", ",", "true", "\n", "\n", "\r\n", "2,y,false\n", "3,,\n", "é"];
const JSON: &[&str] = &[
    "{",
    "}",
    "\"a\":",
    "1",
    ",",
    "null",
    "\n",
    "\n",
    "\r\n",
    "[",
    "{\"a\":1,\"b\":\"x\"}\n",
    "{\"a\":2.5}\n",
    "{\"a\":3,\"c\":true}\n",
    "{\"b\":\"\\ud800\"}\n",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_csv_record_is_a_row_or_malformed(bytes in pieces(CSV)) {
        check("a.csv", &bytes);
    }

    #[test]
    fn every_json_line_is_a_row_or_malformed(bytes in pieces(JSON)) {
        check("a.json", &bytes);
    }
}
