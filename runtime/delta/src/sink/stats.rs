//! Statistics of a file that is being written, as the log has them: rows, and bounds and nulls of each column. Knows Arrow and the protocol's
//! rules for rounding; nothing of files.

use crate::partition::{decimal_text, value_at};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{max, min};
use arrow::datatypes::*;
use chrono::{DateTime, Datelike, NaiveDate};
use flowc_ir::Value;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Texts longer than this are cut.
const TEXT_CHARS: usize = 32;

/// What is known of the values of a column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// The least that is a number, where there is one and the type has an order.
    pub min: Option<Value>,
    /// The greatest.
    pub max: Option<Value>,
    /// Whether one of them is not a number.
    pub nan: bool,
    /// Nulls.
    pub nulls: u64,
}

impl Bounds {
    /// Of an array. Types that are not in the statistics of a file have no bounds.
    pub fn of(array: &dyn Array) -> Bounds {
        let mut bounds = Bounds { nulls: array.null_count() as u64, ..Bounds::default() };
        let (low, high) = match array.data_type() {
            DataType::Float32 => bounds.floats(array.as_primitive::<Float32Type>(), Value::Float),
            DataType::Float64 => bounds.floats(array.as_primitive::<Float64Type>(), Value::Double),
            DataType::Utf8 => {
                let found = text_bounds(array.as_string::<i32>().iter().flatten());
                found.map(|(low, high)| (Value::String(low.to_string()), Value::String(high.to_string()))).unzip()
            }
            _ => primitive_bounds(array),
        };
        Bounds { min: low, max: high, ..bounds }
    }

    /// Of texts.
    pub fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Bounds {
        let found = text_bounds(texts);
        let (min, max) = found.map(|(low, high)| (Value::String(low.into()), Value::String(high.into()))).unzip();
        Bounds { min, max, ..Bounds::default() }
    }

    /// Takes those of further values in.
    pub fn merge(&mut self, other: &Bounds) {
        let less = |old: &Option<Value>, new: &Value| old.as_ref().is_none_or(|old| new.compare(old).is_lt());
        let greater = |old: &Option<Value>, new: &Value| old.as_ref().is_none_or(|old| new.compare(old).is_gt());
        if let Some(min) = other.min.as_ref().filter(|v| less(&self.min, v)) {
            self.min = Some(min.clone());
        }
        if let Some(max) = other.max.as_ref().filter(|v| greater(&self.max, v)) {
            self.max = Some(max.clone());
        }
        self.nan |= other.nan;
        self.nulls += other.nulls;
    }

    fn floats<T: ArrowPrimitiveType<Native: Float>>(
        &mut self,
        array: &PrimitiveArray<T>,
        value: fn(T::Native) -> Value,
    ) -> (Option<Value>, Option<Value>) {
        let mut bounds = FloatBounds::NONE;
        match array.nulls().filter(|n| n.null_count() > 0) {
            None => bounds.add(array.values()),
            Some(nulls) => nulls.valid_slices().for_each(|(from, to)| bounds.add(&array.values()[from..to])),
        }
        self.nan |= bounds.nan;
        // Without a number the bounds are the wrong way round.
        if bounds.low <= bounds.high { (Some(value(bounds.low)), Some(value(bounds.high))) } else { (None, None) }
    }
}

/// One column that is not a struct: its names from the outside in.
#[derive(Debug, Clone)]
struct Leaf {
    path: Vec<String>,
    indices: Vec<usize>,
    bounds: Bounds,
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
        self.update_without(batch, |_| false);
    }

    /// Takes further rows in, without the columns of which `known` is true: what is known of these is [told](FileStats::column).
    pub fn update_without(&mut self, batch: &RecordBatch, known: impl Fn(usize) -> bool) {
        self.rows += batch.num_rows() as u64;
        for leaf in self.leaves.iter_mut().filter(|leaf| !known(leaf.indices[0])) {
            leaf.update(batch);
        }
    }

    /// Takes in what is known of the rows' values of a column that is no struct.
    pub fn column(&mut self, index: usize, bounds: &Bounds) {
        for leaf in self.leaves.iter_mut().filter(|leaf| leaf.indices == [index]) {
            leaf.bounds.merge(bounds);
        }
    }

    /// As the log's JSON text.
    pub fn to_json(&self) -> String {
        let (mut mins, mut maxes, mut nulls) = (Map::new(), Map::new(), Map::new());
        for leaf in &self.leaves {
            if let Some(json) = leaf.bounds.min.as_ref().and_then(|v| lower(v, leaf.scale)) {
                insert(&mut mins, &leaf.path, json);
            }
            // NaN is the greatest: a file that has one has no bound that JSON can say.
            if let Some(json) = leaf.bounds.max.as_ref().filter(|_| !leaf.bounds.nan).and_then(|v| upper(v, leaf.scale))
            {
                insert(&mut maxes, &leaf.path, json);
            }
            insert(&mut nulls, &leaf.path, leaf.bounds.nulls.into());
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
                leaves.push(Leaf { path, indices, bounds: Bounds::default(), scale });
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
        if let Some(array) = self.column(batch) {
            self.bounds.merge(&Bounds::of(&array));
        }
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

/// What bounds need of a float.
trait Float: Copy + PartialOrd {
    const INFINITY: Self;
    const NEG_INFINITY: Self;
}

impl Float for f32 {
    const INFINITY: Self = f32::INFINITY;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
}

impl Float for f64 {
    const INFINITY: Self = f64::INFINITY;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
}

/// The least and the greatest number, and whether there was something that is none.
struct FloatBounds<F> {
    low: F,
    high: F,
    nan: bool,
}

impl<F: Float> FloatBounds<F> {
    const NONE: Self = FloatBounds { low: F::INFINITY, high: F::NEG_INFINITY, nan: false };

    /// Several independent minima, as the order of comparisons may not be changed by the compiler and would else bind it to one at a time.
    fn add(&mut self, values: &[F]) {
        const LANES: usize = 8;
        let mut lanes = [const { Self::NONE }; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            lanes.iter_mut().zip(block).for_each(|(lane, v)| lane.one(*v));
        }
        rest.iter().for_each(|v| self.one(*v));
        for lane in lanes {
            self.low = if lane.low < self.low { lane.low } else { self.low };
            self.high = if lane.high > self.high { lane.high } else { self.high };
            self.nan |= lane.nan;
        }
    }

    /// NaN is neither less nor greater.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "only NaN differs from itself")]
    fn one(&mut self, value: F) {
        self.low = if value < self.low { value } else { self.low };
        self.high = if value > self.high { value } else { self.high };
        self.nan |= value != value;
    }
}

/// The least and the greatest text. Most are told apart by their first bytes, without a call.
fn text_bounds<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let first = texts.next()?;
    let (mut low, mut high) = (Head::of(first), Head::of(first));
    for text in texts {
        let head = Head::of(text);
        if head.less(&low) {
            low = head;
        } else if high.less(&head) {
            high = head;
        }
    }
    Some((low.text, high.text))
}

/// A text and its first bytes as a number, which has the texts' order where it differs.
#[derive(Clone, Copy)]
struct Head<'a> {
    bytes: u64,
    text: &'a str,
}

impl<'a> Head<'a> {
    #[inline(always)]
    fn of(text: &'a str) -> Self {
        let all = text.as_bytes();
        let bytes = match all.first_chunk() {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => all.iter().rev().fold(0, |number, byte| number >> 8 | u64::from(*byte) << 56),
        };
        Head { bytes, text }
    }

    #[inline(always)]
    fn less(&self, other: &Head) -> bool {
        if self.bytes != other.bytes {
            return self.bytes < other.bytes;
        }
        // Equal short texts have nothing behind their first bytes.
        !(self.text.len() == other.text.len() && self.text.len() <= 8) && self.text < other.text
    }
}

fn primitive_bounds(array: &dyn Array) -> (Option<Value>, Option<Value>) {
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
    fn bounds_found_elsewhere_say_the_same() {
        let columns: [ArrayRef; 3] = [
            Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.0), Some(7.0)])),
            Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, None])),
            Arc::new(TimestampMicrosecondArray::from(vec![5, 7, -1, 0])),
        ];
        let names = ["x", "s", "t"];
        let batch = RecordBatch::try_from_iter_with_nullable(names.into_iter().zip(columns).map(|(n, c)| (n, c, true)))
            .expect("a batch");
        let (mut all, mut told) = (FileStats::new(&batch.schema(), 2), FileStats::new(&batch.schema(), 2));
        all.update(&batch);
        told.update_without(&batch, |column| column != 1);
        for column in [0, 2] {
            for part in [batch.slice(0, 3), batch.slice(3, 1)] {
                told.column(column, &Bounds::of(part.column(column)));
            }
        }
        assert_eq!(told.to_json(), all.to_json());
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
    fn bounds_of_floats_do_not_depend_on_where_the_rows_stand() {
        for rows in [1usize, 7, 8, 9, 40] {
            for at in 0..rows {
                let values = (0..rows).map(|i| if i == at { -7.5 } else { 2.0 + i as f64 });
                let plain: ArrayRef = Arc::new(Float64Array::from_iter_values(values.clone()));
                let holed: ArrayRef = Arc::new(values.clone().flat_map(|v| [None, Some(v)]).collect::<Float64Array>());
                let high = values.clone().fold(f64::MIN, f64::max);
                for json in [stats(vec![("x", plain)]), stats(vec![("x", holed)])] {
                    assert_eq!(json["minValues"]["x"].as_f64(), Some(-7.5));
                    assert_eq!(json["maxValues"]["x"].as_f64(), Some(high));
                }
            }
        }
        let none: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), None]));
        let json = stats(vec![("x", none)]);
        assert!(json["minValues"].get("x").is_none() && json["maxValues"].get("x").is_none());
    }

    #[test]
    fn bounds_of_texts_are_those_of_their_bytes() {
        let texts =
            ["", "\0", "a", "a\0", "abcdefgh", "abcdefg", "abcdefgh\0", "abcdefghz", "ab", "é", "z", "abcdefghi"];
        for first in texts {
            for second in texts {
                for third in texts {
                    let array = StringArray::from(vec![Some(first), None, Some(second), Some(third)]);
                    let all = [first, second, third];
                    assert_eq!(
                        text_bounds(array.iter().flatten()),
                        all.iter().min().copied().zip(all.iter().max().copied()),
                        "{all:?}"
                    );
                }
            }
        }
        assert_eq!(text_bounds(std::iter::empty()), None);
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
