//! Made-up rows, the same in each run: `id` counts from 0, other columns come from a hash of seed, column name and row. Knows nothing of other sources.

use crate::clock::Instant;
use crate::connector::{BatchStream, EpochLimits, Position, Source, SourceRange, Split};
use crate::error::RunError;
use arrow::array::*;
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{self as a, ArrowPrimitiveType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use flowc_ir::arrow_types::{to_arrow, to_arrow_schema};
use flowc_ir::{DataType, Schema, Type};
use futures::StreamExt;
use serde_json::json;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows of a split.
const SPLIT: u64 = 1 << 20;

/// Rows of an epoch of a source without end or rate.
const EPOCH: u64 = 16 << 20;

/// 2020-01-01, where made-up dates and timestamps begin; they end ten years later.
const FIRST_DAY: i64 = 18_262;
const DAYS: u64 = 3_653;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The source.
#[derive(Debug)]
pub struct GenerateSource {
    schema: Schema,
    rows: Option<u64>,
    rate: Option<u64>,
    seed: u64,
    /// When the first range was taken, and the row it began with.
    started: Mutex<Option<(Instant, u64)>>,
}

impl GenerateSource {
    /// Rows of this schema.
    pub fn new(schema: Schema, rows: Option<u64>, rate: Option<u64>, seed: u64) -> Self {
        GenerateSource { schema, rows, rate, seed, started: Mutex::new(None) }
    }

    /// How long to wait until so many rows are due.
    fn wait(&self, first: u64, end: u64) -> Duration {
        let Some(rate) = self.rate.filter(|r| *r > 0) else { return Duration::ZERO };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, row) = *started.get_or_insert((Instant::now(), first));
        let due = Duration::from_secs_f64(end.saturating_sub(row) as f64 / rate as f64);
        due.saturating_sub(begin.elapsed())
    }
}

#[async_trait]
impl Source for GenerateSource {
    async fn next_range(&self, from: Option<&Position>, limits: EpochLimits) -> Result<Option<SourceRange>, RunError> {
        let first = from.and_then(|p| p.0["row"].as_u64()).unwrap_or(0);
        let end = self.rows.unwrap_or(u64::MAX);
        // A source that ends is taken whole; with a rate, a second's rows at a time; one without end in portions.
        let portion = match (self.rate, self.rows) {
            (Some(rate), _) => rate.max(1),
            (None, Some(_)) => u64::MAX,
            (None, None) => EPOCH,
        };
        let portion = portion.min(limits.rows.unwrap_or(u64::MAX)).max(1);
        let next = end.min(first.saturating_add(portion));
        if next <= first {
            return Ok(None);
        }
        let wait = self.wait(first, next);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(Some(SourceRange {
            from: from.cloned(),
            to: Position(json!({ "row": next })),
            text: format!("rows {first}..{next}"),
            rows: Some(next - first),
            bytes: None,
        }))
    }

    async fn splits(&self, range: &SourceRange) -> Result<Vec<Split>, RunError> {
        let row = |p: &Position| p.0["row"].as_u64().unwrap_or(0);
        let (first, end) = (range.from.as_ref().map_or(0, row), row(&range.to));
        // Splits begin at multiples of their size, so that a split holds the same rows however epochs are cut.
        let starts = std::iter::successors(Some(first), |at| Some((at / SPLIT + 1) * SPLIT)).take_while(|at| *at < end);
        let split = |at: u64| {
            let to = end.min((at / SPLIT + 1) * SPLIT);
            Split { detail: json!([at, to]), text: format!("generated rows {at}..{to}"), rows: Some(to - at) }
        };
        Ok(starts.map(split).collect())
    }

    async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let bound = |i: usize| split.detail[i].as_u64().unwrap_or(0);
        let (first, end) = (bound(0), bound(1));
        let (schema, seed) = (self.schema.clone(), self.seed);
        let starts = (first..end).step_by(batch_rows.max(1));
        let batch = move |at: u64| generate(&schema, seed, at..end.min(at + batch_rows.max(1) as u64));
        Ok(futures::stream::iter(starts).map(batch).boxed())
    }
}

fn generate(schema: &Schema, seed: u64, rows: Range<u64>) -> Result<RecordBatch, RunError> {
    let column = |field: &flowc_ir::Field| -> ArrayRef {
        if field.name == "id" && field.ty.data == DataType::Long {
            return Arc::new(Int64Array::from_iter_values(rows.start as i64..rows.end as i64));
        }
        let name = field.name.bytes().fold(seed, |hash, byte| mix(hash ^ u64::from(byte)));
        values(&field.ty, name, rows.clone())
    };
    let columns = schema.fields.iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some((rows.end - rows.start) as usize));
    RecordBatch::try_new_with_options(to_arrow_schema(schema), columns, &options).map_err(crate::operators::internal)
}

/// The finalizer of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A hash for each row of a column.
fn hashes(column: u64, rows: Range<u64>) -> impl Iterator<Item = u64> {
    rows.map(move |row| mix(column ^ row.wrapping_mul(0xA24B_AED4_963E_E407)))
}

fn numbers<T: ArrowPrimitiveType>(
    column: u64,
    rows: Range<u64>,
    nulls: Option<NullBuffer>,
    value: impl Fn(u64) -> T::Native,
) -> PrimitiveArray<T> {
    let values: Vec<T::Native> = hashes(column, rows).map(value).collect();
    PrimitiveArray::new(ScalarBuffer::from(values), nulls)
}

/// A hash as a number below `end`.
fn below(hash: u64, end: u64) -> u64 {
    ((u128::from(hash) * u128::from(end)) >> 64) as u64
}

/// One value in sixteen of a nullable column is null.
fn nulls(ty: &Type, column: u64, rows: Range<u64>) -> Option<NullBuffer> {
    let valid = || hashes(column ^ 0x6E75_6C6C, rows.clone()).map(|hash| hash >> 60 != 0);
    ty.nullable.then(|| NullBuffer::new(BooleanBuffer::from_iter(valid())))
}

/// Values in ranges that make sense: small integers to 100, longer ones to a million, floats to 1000, dates and times of the twenties.
fn values(ty: &Type, column: u64, rows: Range<u64>) -> ArrayRef {
    let nulls = nulls(ty, column, rows.clone());
    let count = (rows.end - rows.start) as usize;
    let moment = |h: u64| FIRST_DAY * MICROS_PER_DAY + below(h, DAYS * MICROS_PER_DAY as u64) as i64;
    match &ty.data {
        DataType::Null => new_null_array(&to_arrow(&ty.data), count),
        DataType::Boolean => {
            let bits = BooleanBuffer::from_iter(hashes(column, rows).map(|h| h >> 63 == 1));
            Arc::new(BooleanArray::new(bits, nulls))
        }
        DataType::Byte => Arc::new(numbers::<a::Int8Type>(column, rows, nulls, |h| below(h, 100) as i8)),
        DataType::Short => Arc::new(numbers::<a::Int16Type>(column, rows, nulls, |h| below(h, 10_000) as i16)),
        DataType::Integer => Arc::new(numbers::<a::Int32Type>(column, rows, nulls, |h| below(h, 1_000_000) as i32)),
        DataType::Long => Arc::new(numbers::<a::Int64Type>(column, rows, nulls, |h| below(h, 1_000_000) as i64)),
        DataType::Float => Arc::new(numbers::<a::Float32Type>(column, rows, nulls, |h| {
            (h >> 40) as f32 / (1_u32 << 24) as f32 * 1000.0
        })),
        DataType::Double => Arc::new(numbers::<a::Float64Type>(column, rows, nulls, |h| {
            (h >> 11) as f64 / (1_u64 << 53) as f64 * 1000.0
        })),
        DataType::Decimal { precision, scale } => {
            let end = 10_u64.pow(u32::from(*precision).min(9));
            let decimals = numbers::<a::Decimal128Type>(column, rows, nulls, |h| i128::from(below(h, end)));
            Arc::new(decimals.with_data_type(a::DataType::Decimal128(*precision, *scale as i8)))
        }
        DataType::Date => {
            Arc::new(numbers::<a::Date32Type>(column, rows, nulls, |h| (FIRST_DAY as u64 + below(h, DAYS)) as i32))
        }
        DataType::Timestamp => {
            let times = numbers::<a::TimestampMicrosecondType>(column, rows, nulls, moment);
            Arc::new(times.with_timezone("UTC"))
        }
        DataType::TimestampNtz => Arc::new(numbers::<a::TimestampMicrosecondType>(column, rows, nulls, moment)),
        DataType::Duration => Arc::new(numbers::<a::DurationMicrosecondType>(column, rows, nulls, |h| {
            below(h, MICROS_PER_DAY as u64) as i64
        })),
        DataType::String => Arc::new(texts(column, rows, nulls.as_ref())),
        DataType::Binary => Arc::new(BinaryArray::from(texts(column, rows, nulls.as_ref()))),
        nested => self::nested(nested, column, rows, nulls),
    }
}

fn texts(column: u64, rows: Range<u64>, nulls: Option<&NullBuffer>) -> StringArray {
    let mut builder = StringBuilder::new();
    for (i, hash) in hashes(column, rows).enumerate() {
        if nulls.is_some_and(|n| n.is_null(i)) {
            builder.append_null();
        } else {
            builder.append_value(format!("v{}", below(hash, 1000)));
        }
    }
    builder.finish()
}

/// Arrays have 0 to 3 elements, maps 0 to 2 entries, struct fields values of their own.
fn nested(data: &DataType, column: u64, rows: Range<u64>, nulls: Option<NullBuffer>) -> ArrayRef {
    let lengths = |end: u64, nulls: Option<&NullBuffer>| -> Vec<usize> {
        let length = |(i, h)| if nulls.is_some_and(|n| n.is_null(i)) { 0 } else { below(h, end) as usize };
        hashes(column, rows.clone()).enumerate().map(length).collect()
    };
    // Elements are numbered by row, so that those of one row do not depend on how rows are cut into batches.
    let items = |ty: &Type, salt: u64, lengths: &[usize]| -> ArrayRef {
        let parts: Vec<ArrayRef> = (rows.clone().zip(lengths))
            .map(|(row, length)| values(ty, column ^ salt, row * 4..row * 4 + *length as u64))
            .collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let empty = || new_empty_array(&to_arrow(&ty.data));
        if parts.is_empty() { empty() } else { arrow::compute::concat(&parts).unwrap_or_else(|_| empty()) }
    };
    match (data, to_arrow(data)) {
        (DataType::Array(item), a::DataType::List(field)) => {
            let lengths = lengths(4, nulls.as_ref());
            let items = items(item, 1, &lengths);
            Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), items, nulls))
        }
        (DataType::Map(key, value), a::DataType::Map(field, sorted)) => {
            let lengths = lengths(3, nulls.as_ref());
            let keys = items(&Type::new((**key).clone()), 2, &lengths);
            let values = items(value, 3, &lengths);
            let a::DataType::Struct(pair) = field.data_type().clone() else {
                return new_null_array(&to_arrow(data), lengths.len());
            };
            let entries = StructArray::new(pair, vec![keys, values], None);
            Arc::new(MapArray::new(field, OffsetBuffer::from_lengths(lengths), entries, nulls, sorted))
        }
        (DataType::Struct(fields), a::DataType::Struct(arrow_fields)) if !fields.is_empty() => {
            let part = |(i, f): (usize, &flowc_ir::Field)| values(&f.ty, mix(column ^ (i as u64 + 4)), rows.clone());
            let columns = fields.iter().enumerate().map(part).collect();
            Arc::new(StructArray::new(arrow_fields, columns, nulls))
        }
        (_, arrow) => new_null_array(&arrow, (rows.end - rows.start) as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::compute::concat_batches;
    use flowc_ir::Field;
    use futures::TryStreamExt;

    fn schema() -> Schema {
        let array = DataType::Array(Box::new(Type::nullable(DataType::Double)));
        let map = DataType::Map(Box::new(DataType::String), Box::new(Type::nullable(DataType::Long)));
        let point = DataType::Struct(vec![Field::new("x", Type::new(DataType::Byte))]);
        let types = [
            Type::new(DataType::Long),
            Type::nullable(DataType::Double),
            Type::nullable(DataType::String),
            Type::new(DataType::Decimal { precision: 10, scale: 2 }),
            Type::new(DataType::Timestamp),
            Type::nullable(DataType::Boolean),
            Type::nullable(array),
            Type::nullable(map),
            Type::nullable(point),
        ];
        let name = |i: usize| if i == 0 { "id".to_string() } else { format!("c{i}") };
        Schema::new(types.into_iter().enumerate().map(|(i, ty)| Field::new(name(i), ty)).collect())
    }

    async fn rows(source: &GenerateSource, limit: Option<u64>, batch_rows: usize) -> RecordBatch {
        let (mut at, mut all) = (None, vec![]);
        let limits = EpochLimits { rows: limit, ..EpochLimits::NONE };
        while let Some(range) = source.next_range(at.as_ref(), limits).await.unwrap() {
            for split in source.splits(&range).await.unwrap() {
                all.extend(source.read(&split, batch_rows).await.unwrap().try_collect::<Vec<_>>().await.unwrap());
            }
            at = Some(range.to);
        }
        concat_batches(&to_arrow_schema(&schema()), &all).unwrap()
    }

    #[tokio::test]
    async fn the_same_rows_however_they_are_cut() {
        let source = GenerateSource::new(schema(), Some(100), None, 7);
        let whole = rows(&source, None, 1024).await;
        assert_eq!(whole.num_rows(), 100);
        assert_eq!(whole.column(0).as_primitive::<a::Int64Type>().value(99), 99);
        assert!(whole.column(1).null_count() > 0 && whole.column(1).null_count() < 50);
        for (limit, batch) in [(Some(1), 1), (Some(7), 3), (None, 13)] {
            assert_eq!(rows(&source, limit, batch).await, whole);
        }
        let other = rows(&GenerateSource::new(schema(), Some(100), None, 8), None, 1024).await;
        assert_ne!(other.column(1), whole.column(1));
    }

    #[tokio::test]
    async fn nothing_is_left_at_the_end() {
        let source = GenerateSource::new(schema(), Some(3), None, 0);
        let all = source.next_range(None, EpochLimits::NONE).await.unwrap().unwrap();
        assert_eq!(all.text, "rows 0..3");
        assert_eq!(source.next_range(Some(&all.to), EpochLimits::NONE).await.unwrap(), None);
    }
}
