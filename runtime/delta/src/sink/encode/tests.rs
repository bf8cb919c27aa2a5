//! What is written is read back by the parquet crate, and its footer says what that crate's own writer says.

use super::*;
use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Int32Type, Schema};
use bytes::Bytes;
use deltalake::logstore::object_store::memory::InMemory;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

fn written(batches: &[RecordBatch], group_rows: usize) -> (Bytes, Vec<Option<Bounds>>) {
    let schema = batches[0].schema();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let work = async {
        let upload = BufWriter::new(Arc::clone(&store), Path::from("f"));
        let mut encoder = FileEncoder::new(upload, &schema, group_rows, &batches[0]).expect("an encoder");
        for batch in batches {
            encoder.write(batch).await.expect("written");
        }
        encoder.finish().await.expect("finished");
        let bytes = store.get(&Path::from("f")).await.expect("a file").bytes().await.expect("bytes");
        assert_eq!(bytes.len(), encoder.bytes_written());
        let mut bounds = vec![None; schema.fields().len()];
        encoder.bounds().for_each(|(index, found)| bounds[index] = Some(found.clone()));
        (bytes, bounds)
    };
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

fn read(bytes: Bytes, batch: &RecordBatch) -> (RecordBatch, Arc<ParquetMetaData>) {
    let options =
        ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required).with_encoding_stats_as_mask(false);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).expect("a Parquet file");
    let metadata = Arc::clone(reader.metadata());
    let batches: Vec<RecordBatch> = reader.build().expect("a reader").map(|b| b.expect("rows")).collect();
    (concat_batches(&batch.schema(), &batches).expect("rows"), metadata)
}

fn by_arrow(batches: &[RecordBatch], group_rows: usize) -> Bytes {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(vec![], batches[0].schema(), Some(properties)).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("written"));
    writer.into_inner().expect("finished").into()
}

/// The bytes of bounds, so that zeros are told apart.
fn said(statistics: Option<&Statistics>) -> String {
    let s = statistics.expect("statistics");
    let bounds = (s.min_bytes_opt(), s.max_bytes_opt(), s.null_count_opt(), s.min_is_exact(), s.max_is_exact());
    format!("{bounds:?} {:?}", s.is_min_max_backwards_compatible())
}

fn check(batches: &[RecordBatch], group_rows: usize) -> Arc<ParquetMetaData> {
    let all = concat_batches(&batches[0].schema(), batches).expect("rows");
    let (bytes, bounds) = written(batches, group_rows);
    let (found, metadata) = read(bytes, &all);
    assert_eq!(found, all);
    let (_, theirs) = read(by_arrow(batches, group_rows), &all);
    assert_eq!(metadata.num_row_groups(), theirs.num_row_groups());
    for (mine, theirs) in metadata.row_groups().iter().zip(theirs.row_groups()) {
        assert_eq!(mine.num_rows(), theirs.num_rows());
        for (mine, theirs) in mine.columns().iter().zip(theirs.columns()) {
            assert_eq!(said(mine.statistics()), said(theirs.statistics()), "{}", mine.column_path());
            assert_eq!(mine.num_values(), theirs.num_values());
        }
    }
    for (column, bounds) in all.columns().iter().zip(bounds) {
        if let Some(bounds) = bounds {
            // Bytes and shorts are integers in Parquet.
            let short = matches!(column.data_type(), A::Int8 | A::Int16);
            let column = if short { cast_to(column, A::Int32) } else { Arc::clone(column) };
            assert_eq!(bounds, Bounds::of(&column));
        }
    }
    metadata
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).expect("a batch")
}

fn floats() -> impl Strategy<Value = f64> {
    let special = prop::sample::select(vec![f64::NAN, 0.0, -0.0, f64::INFINITY]);
    prop_oneof![special, (-5i32..5).prop_map(f64::from), any::<i32>().prop_map(f64::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_read_as_they_were_written(
        rows in prop::collection::vec(
            (prop::option::of(any::<i64>()), prop::option::of(-3i32..3), prop::option::of(floats()), prop::option::of("[ab]{0,2}|.{60,70}"), any::<i16>()),
            1..120,
        ),
        cuts in prop::collection::vec(1usize..50, 1..6),
        group_rows in 1usize..200,
    ) {
        let longs: ArrayRef = Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>());
        let floats: Float64Array = rows.iter().map(|r| r.2).collect();
        let all = batch(vec![
            ("long", longs.clone()),
            ("time", cast_to(&longs, A::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))),
            ("ntz", cast_to(&longs, A::Timestamp(TimeUnit::Microsecond, None))),
            ("int", Arc::new(rows.iter().map(|r| r.1).collect::<Int32Array>())),
            ("date", Arc::new(rows.iter().map(|r| r.1).collect::<Date32Array>())),
            ("byte", Arc::new(rows.iter().map(|r| r.1.map(|v| v as i8)).collect::<Int8Array>())),
            ("short", Arc::new(rows.iter().map(|r| r.4).collect::<Int16Array>())),
            ("float", Arc::new(floats.iter().map(|v| v.map(|v| v as f32)).collect::<Float32Array>())),
            ("double", Arc::new(floats)),
            ("text", Arc::new(rows.iter().map(|r| r.3.as_deref()).collect::<StringArray>())),
            ("flag", Arc::new(rows.iter().map(|r| r.1.map(|v| v > 0)).collect::<BooleanArray>())),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|r| r.1.map(|v| vec![Some(v), None]))))),
        ]);
        let (mut at, mut batches) = (0, vec![]);
        for cut in cuts.iter().cycle() {
            if at == all.num_rows() {
                break;
            }
            let rows = (all.num_rows() - at).min(*cut);
            batches.push(all.slice(at, rows));
            at += rows;
        }
        check(&batches, group_rows);
    }
}

fn cast_to(array: &ArrayRef, data: A) -> ArrayRef {
    arrow::compute::cast(array, &data).expect("a cast")
}

/// A number that looks like any.
fn scattered(i: u64) -> u64 {
    (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i << 31).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

fn encodings(metadata: &ParquetMetaData, group: usize) -> Vec<(bool, bool, bool)> {
    let columns = metadata.row_group(group).columns().iter();
    let has = |c: &parquet::file::metadata::ColumnChunkMetaData| {
        let encodings: Vec<Encoding> = c.encodings().collect();
        let pages = c.page_encoding_stats().expect("counts of pages");
        let plain =
            pages.iter().any(|p| p.page_type == parquet::basic::PageType::DATA_PAGE && p.encoding == Encoding::PLAIN);
        (encodings.contains(&Encoding::RLE_DICTIONARY), plain, c.compression() != Compression::UNCOMPRESSED)
    };
    columns.map(has).collect()
}

#[test]
fn many_pages_are_coded_as_it_pays() {
    const ROWS: u64 = 200_000;
    let all = batch(vec![
        // Few values; ever new ones that come in order, with a few repeated; all different from the beginning; texts like that.
        ("few", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| (scattered(i) % 3000) as i64)))),
        ("time", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| 1_700_000_000_000 + i as i64 / 2 * 7)))),
        ("noise", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|i| scattered(i) as f64)))),
        (
            "kind",
            Arc::new(StringArray::from_iter_values(
                (0..ROWS).map(|i| ["low", "high", "normal"][(scattered(i) % 3) as usize]),
            )),
        ),
        ("note", Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| format!("note {:x}", scattered(i)))))),
        ("holed", Arc::new((0..ROWS).map(|i| (i % 7 > 0).then_some((i / 5000) as i32)).collect::<Int32Array>())),
        ("none", Arc::new(Int32Array::new_null(ROWS as usize))),
    ]);
    let batches: Vec<RecordBatch> = (0..10).map(|i| all.slice(i * 20_000, 20_000)).collect();
    let metadata = check(&batches, 150_000);
    let first = encodings(&metadata, 0);
    assert_eq!(first[0], (true, false, false), "numbers of a dictionary hardly get smaller");
    assert_eq!(first[1], (true, true, true), "values that keep coming are given up");
    assert_eq!(first[2], (false, true, false), "noise does not get smaller");
    assert_eq!((first[3].0, first[3].1, first[5].0), (true, false, true));
    assert!(!first[4].0 && first[4].1, "texts that all differ have no dictionary");
    assert!(!encodings(&metadata, 1)[1].0, "what was given up is not tried again");
}

#[test]
fn large_texts_do_not_gather_in_a_page() {
    let texts = (0..40).map(|i| "x".repeat(300_000) + &i.to_string());
    let all = batch(vec![("text", Arc::new(StringArray::from_iter_values(texts)))]);
    let metadata = check(std::slice::from_ref(&all), 1000);
    let pages = &metadata.offset_index().expect("an index")[0][0].page_locations;
    assert!(pages.len() >= 10, "{} pages", pages.len());
}

#[test]
fn the_page_index_bounds_each_page() {
    let values: Vec<Option<i64>> = (0..60_000).map(|i| (i >= 20_480).then_some(i / 2)).collect();
    let all = batch(vec![("v", Arc::new(Int64Array::from(values.clone())))]);
    let metadata = check(std::slice::from_ref(&all), 100_000);
    let ColumnIndexMetaData::INT64(index) = &metadata.column_index().expect("an index")[0][0] else { panic!("longs") };
    let pages = &metadata.offset_index().expect("an index")[0][0].page_locations;
    assert_eq!(pages.len(), 3);
    for (n, page) in pages.iter().enumerate() {
        let end = pages.get(n + 1).map_or(values.len(), |p| p.first_row_index as usize);
        let held = &values[page.first_row_index as usize..end];
        assert_eq!(index.min_value(n).copied(), held.iter().flatten().min().copied());
        assert_eq!(index.max_value(n).copied(), held.iter().flatten().max().copied());
    }
}

#[test]
fn columns_without_nulls_have_no_levels() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", A::Int64, false), Field::new("b", A::Utf8, false)]));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2, 1])), Arc::new(StringArray::from(vec!["x", "", "x"]))];
    check(&[RecordBatch::try_new(schema, columns).expect("a batch")], 2);
}
