//! Statistics of a file that is being written, as the log has them: rows, and bounds and nulls of each column. Knows Arrow and the protocol's
//! rules for rounding; nothing of files.

use crate::partition::{decimal_text, value_at};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::*;
use chrono::{DateTime, Datelike, NaiveDate};
use flowc_ir::Value;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Texts longer than this are cut.
const TEXT_CHARS: usize = 32;

/// One column that is not a struct: its names from the outside in.
#[derive(Debug, Clone)]
struct Leaf {
    path: Vec<String>,
    indices: Vec<usize>,
    min: Option<Value>,
    max: Option<Value>,
    nan: bool,
    nulls: u64,
    scale: u8,
}

/// The statistics of a file.
#[derive(Debug, Clone)]
pub struct FileStats {
    rows: u64,
    leaves: Vec<Leaf>,
}

impl FileStats {
    /// Of a file with these columns; the first `limit` leaves are looked at.
    pub fn new(schema: &Schema, limit: usize) -> Self {
        let mut leaves = vec![];
        collect(schema.fields(), &[], &[], &mut leaves);
        leaves.truncate(limit);
        FileStats { rows: 0, leaves }
    }

    /// The rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes further rows in.
    pub fn update(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for leaf in &mut self.leaves {
            leaf.update(batch);
        }
    }

    /// As the log's JSON text.
    pub fn to_json(&self) -> String {
        let (mut mins, mut maxes, mut nulls) = (Map::new(), Map::new(), Map::new());
        for leaf in &self.leaves {
            if let Some(json) = leaf.min.as_ref().and_then(|v| lower(v, leaf.scale)) {
                insert(&mut mins, &leaf.path, json);
            }
            // NaN is the greatest: a file that has one has no bound that JSON can say.
            if let Some(json) = leaf.max.as_ref().filter(|_| !leaf.nan).and_then(|v| upper(v, leaf.scale)) {
                insert(&mut maxes, &leaf.path, json);
            }
            insert(&mut nulls, &leaf.path, leaf.nulls.into());
        }
        serde_json::json!({ "numRecords": self.rows, "minValues": mins, "maxValues": maxes, "nullCount": nulls, "tightBounds": true })
            .to_string()
    }
}

fn collect(fields: &Fields, path: &[String], indices: &[usize], leaves: &mut Vec<Leaf>) {
    for (i, field) in fields.iter().enumerate() {
        let path: Vec<String> = path.iter().cloned().chain([field.name().clone()]).collect();
        let indices: Vec<usize> = indices.iter().copied().chain([i]).collect();
        match field.data_type() {
            DataType::Struct(inner) => collect(inner, &path, &indices, leaves),
            other => {
                let scale = if let DataType::Decimal128(_, scale) = other { *scale as u8 } else { 0 };
                leaves.push(Leaf { path, indices, min: None, max: None, nan: false, nulls: 0, scale });
            }
        }
    }
}

fn insert(into: &mut Map<String, Json>, path: &[String], value: Json) {
    match path {
        [] => {}
        [name] => {
            into.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = into.entry(name.clone()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl Leaf {
    fn update(&mut self, batch: &RecordBatch) {
        let Some(array) = self.column(batch) else { return };
        self.nulls += array.null_count() as u64;
        let (low, high) = match array.data_type() {
            DataType::Float32 => self
                .floats(array.as_primitive::<Float32Type>().iter().flatten().map(|v| (f64::from(v), Value::Float(v)))),
            DataType::Float64 => {
                self.floats(array.as_primitive::<Float64Type>().iter().flatten().map(|v| (v, Value::Double(v))))
            }
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                let value = |v: Option<&str>| v.map(|v| Value::String(v.to_string()));
                (value(min_string(text)), value(max_string(text)))
            }
            _ => primitive_bounds(&array),
        };
        let less = |old: &Option<Value>, new: &Value| old.as_ref().is_none_or(|old| new.compare(old).is_lt());
        let greater = |old: &Option<Value>, new: &Value| old.as_ref().is_none_or(|old| new.compare(old).is_gt());
        self.min = low.filter(|v| less(&self.min, v)).or(self.min.take());
        self.max = high.filter(|v| greater(&self.max, v)).or(self.max.take());
    }

    fn floats(&mut self, values: impl Iterator<Item = (f64, Value)>) -> (Option<Value>, Option<Value>) {
        let mut low: Option<(f64, Value)> = None;
        let mut high: Option<(f64, Value)> = None;
        for (number, value) in values {
            if number.is_nan() {
                self.nan = true;
                continue;
            }
            if low.as_ref().is_none_or(|(l, _)| number < *l) {
                low = Some((number, value.clone()));
            }
            if high.as_ref().is_none_or(|(h, _)| number > *h) {
                high = Some((number, value));
            }
        }
        (low.map(|l| l.1), high.map(|h| h.1))
    }

    /// The leaf's values; null where a struct around them is.
    fn column(&self, batch: &RecordBatch) -> Option<ArrayRef> {
        let (first, rest) = self.indices.split_first()?;
        let mut array = batch.columns().get(*first)?.clone();
        let mut nulls: Option<NullBuffer> = array.logical_nulls();
        for index in rest {
            let inner = array.as_struct_opt()?.columns().get(*index)?.clone();
            nulls = NullBuffer::union(nulls.as_ref(), inner.logical_nulls().as_ref());
            array = inner;
        }
        if rest.is_empty() {
            return Some(array);
        }
        Some(make_array(array.to_data().into_builder().nulls(nulls).build().ok()?))
    }
}

fn primitive_bounds(array: &ArrayRef) -> (Option<Value>, Option<Value>) {
    macro_rules! bounds {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>();
            let wrap = |v: Option<<$type as ArrowPrimitiveType>::Native>| {
                let one = arrow::array::PrimitiveArray::<$type>::from_iter_values(v)
                    .with_data_type(array.data_type().clone());
                (one.len() == 1).then(|| value_at(&one, 0)).flatten()
            };
            (wrap(min(values)), wrap(max(values)))
        }};
    }
    match array.data_type() {
        DataType::Int8 => bounds!(Int8Type),
        DataType::Int16 => bounds!(Int16Type),
        DataType::Int32 => bounds!(Int32Type),
        DataType::Int64 => bounds!(Int64Type),
        DataType::Decimal128(..) => bounds!(Decimal128Type),
        DataType::Date32 => bounds!(Date32Type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => bounds!(TimestampMicrosecondType),
        _ => (None, None),
    }
}

fn lower(value: &Value, scale: u8) -> Option<Json> {
    match value {
        Value::String(text) => Some(text.chars().take(TEXT_CHARS).collect::<String>().into()),
        Value::Timestamp(micros) => instant(micros.div_euclid(1_000), "Z"),
        Value::TimestampNtz(micros) => instant(micros.div_euclid(1_000), ""),
        Value::Float(v) if *v == 0.0 => Some(Json::from(-0.0)),
        Value::Double(v) if *v == 0.0 => Some(Json::from(-0.0)),
        other => exact(other, scale),
    }
}

fn upper(value: &Value, scale: u8) -> Option<Json> {
    let up = |micros: i64| micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0);
    match value {
        Value::String(text) => Some(cut_upwards(text).into()),
        Value::Timestamp(micros) => instant(up(*micros), "Z"),
        Value::TimestampNtz(micros) => instant(up(*micros), ""),
        Value::Float(v) if *v == 0.0 => Some(Json::from(0.0)),
        Value::Double(v) if *v == 0.0 => Some(Json::from(0.0)),
        other => exact(other, scale),
    }
}

/// The beginning of a text and a character above what was cut off, so that nothing in the column is greater.
fn cut_upwards(text: &str) -> String {
    let mut chars = text.chars();
    let mut cut: String = chars.by_ref().take(TEXT_CHARS).collect();
    for next in chars {
        if next < char::MAX {
            cut.push(char::MAX);
            return cut;
        }
        cut.push(next);
    }
    cut
}

fn exact(value: &Value, scale: u8) -> Option<Json> {
    let number = |text: String| serde_json::from_str::<Json>(&text).ok();
    match value {
        Value::Byte(v) => Some((*v).into()),
        Value::Short(v) => Some((*v).into()),
        Value::Integer(v) => Some((*v).into()),
        Value::Long(v) => Some((*v).into()),
        Value::Float(v) if v.is_finite() => number(format!("{v:?}")),
        Value::Double(v) if v.is_finite() => number(format!("{v:?}")),
        Value::Decimal(v) => number(decimal_text(*v, scale)),
        Value::Date(v) => {
            let date = NaiveDate::from_num_days_from_ce_opt(v.checked_add(719_163)?)?;
            (0..=9999).contains(&date.year()).then(|| date.to_string().into())
        }
        _ => None,
    }
}

fn instant(millis: i64, zone: &str) -> Option<Json> {
    let time = DateTime::from_timestamp_millis(millis)?;
    (0..=9999).contains(&time.year()).then(|| format!("{}{zone}", time.format("%Y-%m-%dT%H:%M:%S%.3f")).into())
}

/// The Arrow schema without metadata, for [`FileStats::new`] and the Parquet writer.
pub fn plain(fields: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;

    fn stats(columns: Vec<(&str, ArrayRef)>) -> Json {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).expect("a batch");
        let mut stats = FileStats::new(&batch.schema(), 32);
        stats.update(&batch);
        stats.update(&batch.slice(0, 0));
        serde_json::from_str(&stats.to_json()).expect("JSON")
    }

    #[test]
    fn bounds_are_rounded_outwards() {
        let long = "a".repeat(40);
        let top = format!("{}{}z", "b".repeat(31), char::MAX);
        let json = stats(vec![
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1_001), None]).with_timezone("UTC"))),
            ("s", Arc::new(StringArray::from(vec![Some(long.as_str()), Some(top.as_str()), None]))),
            ("d", Arc::new(Date32Array::from(vec![-1, 0, 1]))),
            ("n", Arc::new(Decimal128Array::from(vec![-5, 7, 0]).with_precision_and_scale(38, 3).expect("decimal"))),
        ]);
        assert_eq!(json["minValues"]["t"], "1969-12-31T23:59:59.999Z");
        assert_eq!(json["maxValues"]["t"], "1970-01-01T00:00:00.002Z");
        assert_eq!(json["minValues"]["s"], "a".repeat(32));
        assert_eq!(json["maxValues"]["s"], format!("{}{}{}", "b".repeat(31), char::MAX, char::MAX));
        assert_eq!(json["minValues"]["d"], "1969-12-31");
        assert_eq!(json["minValues"]["n"].to_string(), "-0.005");
        assert_eq!((json["nullCount"]["t"].as_u64(), json["numRecords"].as_u64()), (Some(1), Some(3)));
    }

    #[test]
    fn not_a_number_has_no_upper_bound() {
        let json = stats(vec![
            ("x", Arc::new(Float64Array::from(vec![f64::NAN, 1.5, 0.0]))),
            ("y", Arc::new(Float32Array::from(vec![0.1, 0.0, -1.0]))),
            ("i", Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0, 2.0]))),
        ]);
        assert_eq!(json["minValues"]["x"].to_string(), "-0.0");
        assert!(json["maxValues"].get("x").is_none() && json["maxValues"].get("i").is_none());
        assert_eq!(json["maxValues"]["y"].to_string(), "0.1");
    }

    #[test]
    fn fields_of_structs_count_the_nulls_around_them() {
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(100), None]));
        let field = Arc::new(Field::new("x", DataType::Int64, true));
        let rows = StructArray::new(vec![field].into(), vec![inner], Some(vec![true, false, true].into()));
        let json = stats(vec![("s", Arc::new(rows))]);
        assert_eq!((json["maxValues"]["s"]["x"].as_i64(), json["nullCount"]["s"]["x"].as_u64()), (Some(1), Some(2)));
    }
}
