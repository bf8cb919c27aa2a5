//! Copies of files that Parquet's own writer wrote in every way it knows, read by its own reader.

use super::*;
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, filter_record_batch, max, max_string, min, min_string};
use arrow::datatypes::{DataType, Field, Int32Type};
use deltalake::logstore::object_store::memory::InMemory;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use std::sync::Arc;

const ROWS: i64 = 5000;

fn rows() -> RecordBatch {
    let null = |i: &i64, n: i64| i % n == 0;
    let ids = || (0..ROWS).map(|i| i * 7919 % ROWS);
    let inner: ArrayRef = Arc::new(Int32Array::from_iter(ids().map(|i| (!null(&i, 3)).then_some((i % 50) as i32))));
    let fields = vec![Field::new("a", DataType::Int32, true)].into();
    let nulls = NullBuffer::from(ids().map(|i| !null(&i, 11)).collect::<Vec<_>>());
    let decimals = Decimal128Array::from_iter(ids().map(|i| (!null(&i, 10)).then_some(i128::from(i - 9))));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids())), false),
        ("value", Arc::new(Float64Array::from_iter(ids().map(|i| (!null(&i, 7)).then_some((i % 13) as f64)))), true),
        ("name", Arc::new(StringArray::from_iter(ids().map(|i| (!null(&i, 5)).then(|| format!("n{i}"))))), true),
        ("kind", Arc::new(StringArray::from_iter_values(ids().map(|i| ["x", "yy", ""][i as usize % 3]))), false),
        ("on", Arc::new(BooleanArray::from_iter(ids().map(|i| (!null(&i, 4)).then_some(i % 9 == 1)))), true),
        ("one", Arc::new(Int32Array::from_iter_values(ids().map(|_| 1))), false),
        ("none", Arc::new(Int32Array::new_null(ROWS as usize)), true),
        ("price", Arc::new(decimals.with_precision_and_scale(30, 2).expect("a decimal")), true),
        ("pair", Arc::new(StructArray::new(fields, vec![inner], Some(nulls))), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

fn small_pages() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_data_page_row_count_limit(300)
        .set_write_batch_size(100)
        .set_max_row_group_row_count(Some(2200))
}

fn written(rows: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(vec![], rows.schema(), Some(properties)).expect("a writer");
    writer.write(rows).expect("writes");
    writer.into_inner().expect("closes")
}

fn footer(bytes: &[u8]) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(bytes)).expect("a footer")
}

fn read(bytes: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("opens");
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().expect("a reader").map(|b| b.expect("reads")).collect();
    concat_batches(&schema, &batches).expect("one batch")
}

async fn copied(bytes: &[u8], gone: &[u64]) -> Result<(Vec<u8>, Copied), Stop> {
    let mut file = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut file, bytes).expect("writes");
    let local = copied_from(bytes, gone, Some(file)).await;
    let other = copied_from(bytes, gone, None).await;
    // Wherever the file lies, the copy is the same.
    if let (Ok(local), Ok(other)) = (&local, &other) {
        assert_eq!(local, other);
    }
    local
}

async fn copied_from(bytes: &[u8], gone: &[u64], local: Option<File>) -> Result<(Vec<u8>, Copied), Stop> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (from, to) = (Path::from("from"), Path::from("to"));
    store.put(&from, bytes.to_vec().into()).await.expect("puts");
    let reader = FileReader::new(Arc::clone(&store), from, bytes.len() as u64);
    let mut writer = BufWriter::with_capacity(Arc::clone(&store), to.clone(), 1000);
    let done = copy(Source { reader, local }, &footer(bytes), &gone.iter().copied().collect(), &mut writer).await?;
    let copy = store.get(&to).await.expect("is there").bytes().await.expect("reads").to_vec();
    assert_eq!(copy.len() as u64, done.bytes);
    Ok((copy, done))
}

fn without(rows: &RecordBatch, gone: &[u64]) -> RecordBatch {
    let kept: BooleanArray = (0..rows.num_rows() as u64).map(|row| Some(!gone.contains(&row))).collect();
    filter_record_batch(rows, &kept).expect("filters")
}

/// Rows to take out: few, a whole page, a whole row group, every other one, all but one.
fn choices() -> Vec<Vec<u64>> {
    let rows = ROWS as u64;
    vec![
        vec![],
        vec![0],
        vec![17, 18, 2199, 2200, rows - 1],
        (600..900).collect(),
        (0..2200).collect(),
        (2200..4400).chain([4999]).collect(),
        (0..rows).step_by(2).collect(),
        (0..rows).filter(|row| row % 19 != 0).collect(),
        (0..rows - 1).collect(),
    ]
}

fn ways() -> Vec<WriterProperties> {
    let mut ways = vec![];
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for dictionary in [true, false] {
                let plain = parquet::basic::Encoding::PLAIN;
                // What the second version takes where there is no dictionary is not known here.
                let properties = small_pages().set_compression(compression).set_writer_version(version);
                let properties = properties.set_dictionary_enabled(dictionary).set_encoding(plain);
                ways.push(properties.build());
            }
        }
    }
    // A dictionary that is given up within a column chunk.
    ways.push(small_pages().set_dictionary_page_size_limit(2000).build());
    ways
}

#[tokio::test]
async fn a_copy_has_the_rows_that_are_left() {
    let rows = rows();
    let booleans = rows.schema().index_of("on").expect("a column");
    for (number, way) in ways().into_iter().enumerate() {
        // The second version has booleans as runs.
        let mut rows = rows.clone();
        if way.writer_version() == WriterVersion::PARQUET_2_0 {
            rows.remove_column(booleans);
        }
        let bytes = written(&rows, way);
        assert!(fits(&footer(&bytes)), "way {number}");
        for gone in choices() {
            let (copy, _) = copied(&bytes, &gone).await.expect("fits");
            assert_eq!(read(copy), without(&rows, &gone), "way {number}, without {} rows", gone.len());
        }
    }
}

#[tokio::test]
async fn what_is_said_of_a_copy_is_true() {
    let rows = rows();
    let bytes = written(&rows, small_pages().build());
    let (mut kept_bounds, mut bounded) = (0, 0);
    for gone in choices() {
        let (copy, done) = copied(&bytes, &gone).await.expect("fits");
        let (left, metadata) = (read(copy.clone()), footer(&copy));
        assert_eq!(metadata.file_metadata().num_rows(), left.num_rows() as i64);
        let mut first = 0;
        for group in metadata.row_groups() {
            let part = left.slice(first, group.num_rows() as usize);
            first += part.num_rows();
            for (name, column) in ["id", "value", "name", "kind"].iter().map(|n| (n, part.column_by_name(n))) {
                let leaf = group.columns().iter().find(|c| c.column_path().string() == *name).expect("a leaf");
                let nulls = leaf.statistics().and_then(|s| s.null_count_opt());
                assert_eq!(nulls, column.map(|c| c.null_count() as u64), "{name}");
                let Some(Statistics::Int64(bounds)) = leaf.statistics() else { continue };
                let ids = part.column(0).as_primitive::<arrow::datatypes::Int64Type>();
                let (least, greatest) = (min(ids).expect("some"), max(ids).expect("some"));
                let found = bounds.min_opt().zip(bounds.max_opt());
                assert!(found.is_none_or(|found| found == (&least, &greatest)));
                bounded += usize::from(found.is_some());
            }
        }
        let texts = |batch: &RecordBatch| {
            let names = batch.column_by_name("name").expect("a column").as_string::<i32>().clone();
            (min_string(&names).map(str::to_string), max_string(&names).map(str::to_string))
        };
        if !done.removed[2].bound {
            kept_bounds += 1;
            assert_eq!(texts(&left), texts(&rows), "without {} rows", gone.len());
        }
        let nulls = |batch: &RecordBatch| batch.column_by_name("name").map_or(0, |c| c.null_count() as u64);
        if !done.removed[2].bound {
            assert_eq!(nulls(&rows) - nulls(&left), done.removed[2].nulls);
        }
    }
    assert!(kept_bounds > 1 && bounded > 4, "bounds are not always given up: {kept_bounds} {bounded}");
}

#[tokio::test]
async fn pages_that_lose_no_row_are_the_bytes_they_were() {
    let bytes = written(&rows(), small_pages().build());
    let (copy, _) = copied(&bytes, &[0, 1]).await.expect("fits");
    let metadata = footer(&bytes);
    let holds = |from: u64, size: u64| {
        let piece = &bytes[from as usize..(from + size) as usize];
        copy.windows(piece.len()).any(|window| window == piece)
    };
    for column in metadata.row_group(1).columns() {
        let (from, size) = column.byte_range();
        assert!(holds(from, size), "{}", column.column_path());
    }
    let (from, size) = metadata.row_group(0).column(0).byte_range();
    assert!(!holds(from, size), "of the first row group pages changed");
    assert!(holds(from + size - size / 10, size / 10), "but not all of them");
}

#[tokio::test]
async fn what_is_not_known_does_not_fit() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>((0..9).map(|i| Some(vec![Some(i); i as usize])));
    let lists = RecordBatch::try_from_iter([("list", Arc::new(list) as ArrayRef)]).expect("a batch");
    assert!(!fits(&footer(&written(&lists, small_pages().build()))));
    let rows = rows();
    assert!(!fits(&footer(&written(&rows, small_pages().set_compression(Compression::LZ4_RAW).build()))));
    let deltas =
        small_pages().set_dictionary_enabled(false).set_encoding(parquet::basic::Encoding::DELTA_BINARY_PACKED);
    let ids = rows.project(&[0]).expect("a column");
    assert!(!fits(&footer(&written(&ids, deltas.build()))));
}

#[tokio::test]
async fn damaged_files_do_no_harm() {
    let rows = rows().project(&[0, 1, 2]).expect("columns");
    let bytes = written(&rows, small_pages().build());
    let metadata = footer(&bytes);
    let end = metadata.row_groups().iter().flat_map(|g| g.columns()).map(|c| c.byte_range()).map(|(a, b)| a + b).max();
    let end = end.expect("some") as usize;
    for at in (4..end).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        // An error, or a file that is as damaged.
        let _ = copied(&damaged, &[5, 3000]).await;
    }
}
