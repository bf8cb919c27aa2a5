//! Against the Parquet crate's own reader: every flat type, with and without nulls, by dictionary and plain, pages of both versions, codecs, and any rows. Damaged
//! files are errors.

use super::local::Shared;
use super::rows::{Rows, Step, readable};
use arrow::array::{
    Array, ArrayRef, BinaryArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;

/// A table of every type; `spread`: of how many values, `nulls`: how many of a hundred.
fn table(rows: usize, spread: u64, nulls: u64, seed: u64) -> RecordBatch {
    let numbers: Vec<u64> = (0..rows as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20)
        .collect();
    let some = |salt: u64| {
        let null = move |n: &u64| (n.wrapping_mul(salt | 1) >> 7) % 100 < nulls;
        numbers.iter().map(move |n| (!null(n)).then_some(n % spread)).collect::<Vec<_>>()
    };
    let text = |n: u64| format!("{}{}", "é".repeat((n % 23) as usize), n);
    let texts: Vec<Option<String>> = some(3).into_iter().map(|n| n.map(text)).collect();
    let bytes: Vec<Option<Vec<u8>>> =
        some(5).into_iter().map(|n| n.map(|n| vec![n as u8; (n % 19) as usize])).collect();
    let time: TimestampMicrosecondArray = some(7).into_iter().map(|n| n.map(|n| n as i64 * 1_000)).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("int", Arc::new(some(9).into_iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>()), true),
        ("long", Arc::new(some(11).into_iter().map(|n| n.map(|n| n as i64 - 5)).collect::<Int64Array>()), true),
        ("float", Arc::new(some(13).into_iter().map(|n| n.map(|n| n as f32 / 3.0)).collect::<Float32Array>()), true),
        ("double", Arc::new(some(15).into_iter().map(|n| n.map(|n| n as f64 / 7.0)).collect::<Float64Array>()), true),
        ("date", Arc::new(some(17).into_iter().map(|n| n.map(|n| n as i32)).collect::<Date32Array>()), true),
        ("time", Arc::new(time.with_timezone("UTC")), true),
        ("text", Arc::new(StringArray::from(texts)), true),
        ("bytes", Arc::new(BinaryArray::from_iter(bytes)), true),
        ("required", Arc::new(numbers.iter().map(|n| Some((n % spread) as i64)).collect::<Int64Array>()), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a table")
}

fn properties(version: bool, codec: u8, dictionary: bool, page: usize, group: usize) -> WriterProperties {
    let codecs =
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default()), Compression::LZ4_RAW];
    let version = if version { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
    let builder = WriterProperties::builder().set_writer_version(version).set_compression(codecs[codec as usize % 4]);
    let builder = builder
        .set_dictionary_enabled(dictionary)
        .set_dictionary_page_size_limit(if page.is_multiple_of(2) { 1 << 20 } else { 600 });
    // Writers of the second version would take encodings that are not read here.
    let builder =
        builder.set_encoding(Encoding::PLAIN).set_data_page_row_count_limit(page).set_write_batch_size(page.min(64));
    builder.set_max_row_group_row_count(Some(group)).build()
}

fn written(table: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut bytes = vec![];
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties)).expect("a writer");
    writer.write(table).expect("writes");
    writer.close().expect("closes");
    bytes
}

/// Whether a batch is read as codes, by its number.
type IsCoded<'a> = &'a dyn Fn(usize) -> bool;

/// What is read of a file, in batches by steps, until all of it is read: how many columns are read here, and each with its arrays. Of a batch that is read as codes,
/// its rows one by one, chosen by a bitmap, must be those that come without one.
fn read(bytes: &[u8], steps: &[(usize, usize)], coded: IsCoded) -> Result<Vec<(usize, Vec<ArrayRef>)>, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&Bytes::copy_from_slice(bytes), options)?;
    let (footer, schema) = (metadata.metadata(), metadata.schema());
    let groups: Vec<usize> = (0..footer.num_row_groups()).collect();
    let roots: Vec<usize> = (0..schema.fields().len()).filter(|r| readable(footer, schema, &groups, *r)).collect();
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    let mut rows = Rows::open(&Shared::new(file)?, footer, schema, &groups, &roots, Default::default())?;
    let read = |(place, root): (usize, &usize)| {
        let arrays = steps.iter().enumerate().map(|(batch, (skip, read))| {
            let steps = [Step { skip: *skip, read: *read }];
            if !coded(batch) {
                return rows.read(place, &steps);
            }
            let coded = rows.read_coded(place, &steps)?;
            let all = coded.array(None)?;
            let kept = BooleanBuffer::collect_bool(*read, |row| (row / 3 + batch) % 3 == 0);
            assert_eq!(&coded.array(Some(&kept))?, &filter(&all, &kept.into())?, "column {root}");
            Ok(all)
        });
        Ok((*root, arrays.collect::<Result<Vec<_>, ParquetError>>()?))
    };
    roots.iter().enumerate().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn arrays_are_those_of_the_parquet_crate(
        (rows, spread, nulls, seed) in (1usize..3000, prop_oneof![1u64..4, 1u64..300, 1u64..1_000_000], prop_oneof![Just(0u64), Just(1), 0u64..=100], any::<u64>()),
        (version, codec, dictionary, page, group) in (any::<bool>(), 0u8..4, any::<bool>(), 1usize..900, 1usize..4000),
        cuts in prop::collection::vec((0usize..900, 0usize..900), 1..12),
        coded in any::<u16>(),
    ) {
        let table = table(rows, spread, nulls, seed);
        let bytes = written(&table, properties(version, codec, dictionary, page, group));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let theirs = ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::from(bytes.clone()), options).expect("a file");
        let theirs: Vec<RecordBatch> = theirs.build().expect("a reader").collect::<Result<_, _>>().expect("reads");
        let (mut steps, mut at) = (vec![], 0);
        for (skip, take) in cuts.into_iter().chain([(0, rows)]) {
            let skip = skip.min(rows - at);
            let take = take.min(rows - at - skip);
            steps.push((skip, take));
            at += skip + take;
        }
        let mine = read(&bytes, &steps, &|batch| coded >> (batch % 16) & 1 == 1).expect("reads");
        prop_assert_eq!(mine.len(), table.num_columns());
        for (root, arrays) in mine {
            let columns: Vec<&dyn Array> = theirs.iter().map(|batch| batch.column(root).as_ref()).collect();
            let whole = concat(&columns).expect("one type");
            let mut at = 0;
            for ((skip, take), array) in steps.iter().zip(arrays) {
                array.to_data().validate_full().expect("a sound array");
                prop_assert_eq!(&array, &whole.slice(at + skip, *take), "column {}", root);
                at += skip + take;
            }
        }
    }

    #[test]
    fn damaged_files_are_errors_or_rows(
        (spread, nulls, version, codec, dictionary) in (1u64..500, 0u64..30, any::<bool>(), 0u8..4, any::<bool>()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        coded in any::<bool>(),
    ) {
        let mut bytes = written(&table(500, spread, nulls, 1), properties(version, codec, dictionary, 100, 300));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (_, arrays) in read(&bytes, &[(0, 130), (90, 280)], &|_| coded).unwrap_or_default() {
            arrays.iter().for_each(|array| array.to_data().validate_full().expect("a sound array"));
        }
    }
}
