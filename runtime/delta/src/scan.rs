//! Reads data files: which of them, in which parts, and their rows as batches of the program's columns. Shared by sources, lookup tables and
//! `show`. Knows one version of a table's schema; nothing of positions.

use crate::codes;
use crate::convert;
use crate::facts::{Column, FileFacts, PartFacts, RowGroupFacts};
use crate::file_reader::FileReader;
use crate::local_rows::{LocalRows, Predicate, Skipped, Wanted};
use crate::log::features::{self, Features};
use crate::log::{Add, Metadata, Snapshot, actions::DeletionVector, deletion};
use crate::partition;
use crate::prune::{Facts, Renumbered, may_match};
use crate::schema::{self, DeltaField, DeltaType};
use crate::storage::{Storage, StorageError, one_line};
use crate::within::{MORSEL_ROWS, Within, morsels};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType as A, Field as AField, FieldRef, Schema as ASchema, SchemaRef, TimeUnit};
use deltalake::logstore::object_store;
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::{DataType, Program, Schema, Type, Value};
use flowc_runtime::{BatchStream, Needed, RunError, Split};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderBuilder, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;

/// A part of a large file ends with the row group that reaches this many rows; a file is large when it has twice as many.
const SPLIT_ROWS: u64 = 1_000_000;
/// A file is large when it has more bytes than this, where the number of rows is not known.
const LARGE_FILE_BYTES: i64 = 256 << 20;

/// A split: a file, or a part of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part {
    add: Add,
    #[serde(flatten)]
    within: Within,
}

/// How to read the data files of a table.
#[derive(Debug, Clone)]
pub struct Scan {
    storage: Storage,
    what: String,
    columns: Arc<Vec<Column>>,
    schema: SchemaRef,
    predicate: Option<Arc<Program>>,
    /// What an epoch needs of the rows that the predicate lets through.
    needed: Option<Arc<Needed>>,
    /// Of each of the predicate's columns, and of those of `needed`, which of `columns` it is.
    places: Arc<Vec<Option<usize>>>,
    by_id: bool,
    split_rows: u64,
    /// Local files are cut into parts of about so many rows, wherever that is; none: they are not.
    morsel_rows: Option<u64>,
}

/// An opened file.
struct Opened {
    reader: FileReader,
    metadata: ArrowReaderMetadata,
    /// The root column in the file of each column.
    positions: Vec<Option<usize>>,
}

impl Opened {
    /// The rows of each row group, by their numbers in the file.
    fn groups(&self) -> Vec<Range<u64>> {
        let groups = self.metadata.metadata().row_groups().iter();
        let groups = groups.scan(0u64, |next, group| {
            let start = *next;
            *next += group.num_rows().max(0) as u64;
            Some(start..*next)
        });
        groups.collect()
    }
}

/// Batches, each with the number of its first row in the file.
pub type NumberedRows = BoxStream<'static, Result<(u64, RecordBatch), RunError>>;

impl Scan {
    /// Reads `wanted` columns of the table as it is at a version. `what` names it in messages.
    pub fn new(
        storage: &Storage,
        what: &str,
        snapshot: &Snapshot,
        wanted: &Schema,
        predicate: Option<&Program>,
    ) -> Result<Scan, RunError> {
        let metadata = &snapshot.metadata;
        let fields = schema::parse(&metadata.schema_string).map_err(|e| e.reading(what))?;
        let features = Features::of(&snapshot.protocol, metadata, &fields);
        if !features.unreadable.is_empty() {
            return Err(unreadable(what, &features.unreadable));
        }
        let wrong = differences(&fields, wanted);
        if !wrong.is_empty() {
            return Err(changed(what, snapshot.version, &wrong.join("; ")));
        }
        let column = |field: &flowc_ir::Field| {
            let table = fields.iter().find(|f| f.name == field.name).cloned()?;
            let partition = metadata.partition_columns.contains(&field.name);
            Some(Column { field: field.clone(), table, partition })
        };
        Ok(Scan {
            storage: storage.clone(),
            what: what.to_string(),
            columns: Arc::new(wanted.fields.iter().filter_map(column).collect()),
            schema: to_arrow_schema(wanted),
            predicate: predicate.cloned().map(Arc::new),
            needed: None,
            places: Arc::new((0..wanted.len()).map(Some).collect()),
            by_id: metadata.property("delta.columnMapping.mode") == Some("id"),
            split_rows: SPLIT_ROWS,
            morsel_rows: None,
        })
    }

    /// With parts of large files of another size.
    pub fn with_split_rows(self, split_rows: u64) -> Scan {
        Scan { split_rows, ..self }
    }

    /// With local files cut more finely: there are few of them.
    pub(crate) fn in_morsels(self) -> Scan {
        Scan { morsel_rows: self.morsel_rows.or(Some(MORSEL_ROWS)), ..self }
    }

    /// With local files cut into parts of about so many rows.
    pub fn with_morsel_rows(self, rows: u64) -> Scan {
        Scan { morsel_rows: Some(rows), ..self }
    }

    /// With a predicate over further columns, of which nothing is known: `places` has the position among the columns that are read of each of its columns.
    pub fn with_predicate(self, predicate: Option<&Program>, places: Vec<Option<usize>>) -> Scan {
        Scan { predicate: predicate.cloned().map(Arc::new), places: Arc::new(places), ..self }
    }

    /// Without rows that an epoch does not need; `needed` counts columns as the predicate does.
    pub(crate) fn needing(self, needed: &Needed) -> Scan {
        Scan { needed: Some(Arc::new(needed.clone())), ..self }
    }

    /// With one more column, behind the others: one that files have and the table does not, of this name.
    pub fn with_column(self, name: &str, ty: Type) -> Scan {
        let table = DeltaField {
            name: name.to_string(),
            ty: DeltaType::Primitive(ty.data.clone()),
            nullable: ty.nullable,
            metadata: Default::default(),
        };
        let column = Column { field: flowc_ir::Field::new(name, ty), table, partition: false };
        let columns: Vec<Column> = self.columns.iter().cloned().chain([column]).collect();
        let schema = to_arrow_schema(&Schema::new(columns.iter().map(|c| c.field.clone()).collect()));
        Scan { columns: Arc::new(columns), schema, ..self }
    }

    /// The same without columns but those at these positions, and without a predicate.
    pub fn narrowed(&self, positions: &[usize]) -> Scan {
        let columns: Vec<Column> = positions.iter().filter_map(|p| self.columns.get(*p)).cloned().collect();
        let schema = to_arrow_schema(&Schema::new(columns.iter().map(|c| c.field.clone()).collect()));
        Scan {
            columns: Arc::new(columns),
            schema,
            predicate: None,
            needed: None,
            places: Arc::default(),
            ..self.clone()
        }
    }

    /// A file's bytes and its footer, where it has the columns that are read and no others.
    pub async fn exact(&self, add: &Add) -> Result<Option<(FileReader, Arc<ParquetMetaData>)>, RunError> {
        let opened = self.open(add).await?;
        let mut roots: Vec<usize> = opened.positions.iter().flatten().copied().collect();
        roots.sort_unstable();
        roots.dedup();
        let wanted = self.columns.iter().filter(|c| !c.partition).count();
        let exact = roots.len() == wanted && opened.metadata.schema().fields().len() == wanted;
        Ok(exact.then(|| (opened.reader, Arc::clone(opened.metadata.metadata()))))
    }

    /// The columns of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table, for messages.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// How many rows a part of a large file has.
    pub fn split_rows(&self) -> u64 {
        self.split_rows
    }

    /// Whether a file can hold a row that the predicate lets through.
    pub fn keeps(&self, add: &Add) -> bool {
        self.may_match(&FileFacts::new(&self.columns, add))
    }

    fn may_match(&self, facts: &dyn Facts) -> bool {
        // Where event times must be observed, no file and no row group is passed over.
        let needed = self.needed.as_ref().filter(|needed| needed.times.is_none()).map(|needed| &needed.predicate);
        let facts = Renumbered { facts, places: &self.places };
        self.predicate.as_deref().into_iter().chain(needed).all(|predicate| may_match(predicate, &facts))
    }

    /// The least and the greatest value of a column of whole numbers or timestamps in a file, where its statistics say so.
    pub fn span(&self, add: &Add, column: &str) -> Option<(i64, i64)> {
        let position = self.columns.iter().position(|c| c.field.name == column)?;
        let ty = &self.columns[position].field.ty;
        let range = FileFacts::new(&self.columns, add).range(&[position], ty)?;
        let whole = |value: Value| match value {
            Value::Byte(x) => Some(i64::from(x)),
            Value::Short(x) => Some(i64::from(x)),
            Value::Integer(x) => Some(i64::from(x)),
            Value::Long(x) | Value::Timestamp(x) => Some(x),
            _ => None,
        };
        Some((whole(range.min?)?, whole(range.max?)?))
    }

    /// The splits of files, in their order; files that the predicate rules out are left out.
    pub async fn splits(&self, files: &[Arc<Add>]) -> Result<Vec<Split>, RunError> {
        let mut splits = vec![];
        for add in files.iter().filter(|f| self.keeps(f)) {
            let rows = add.physical_rows();
            let local = self.morsel_rows.filter(|_| self.storage.local(&add.path).is_some());
            if let Some(parts) = local.zip(rows).and_then(|(least, rows)| morsels(rows, (least, self.split_rows))) {
                let whole = add.deletion_vector.is_none();
                let part = |(within, rows)| split(Part { add: slim(add), within }, whole.then_some(rows));
                splits.extend(parts.into_iter().map(part));
            } else if rows.map_or(add.size > LARGE_FILE_BYTES, |r| r > 2 * self.split_rows) {
                self.cut(add, &mut splits).await?;
            } else {
                splits.push(split(Part { add: slim(add), within: Within::default() }, add.rows()));
            }
        }
        Ok(splits)
    }

    /// Cuts a large file at row groups.
    async fn cut(&self, add: &Add, splits: &mut Vec<Split>) -> Result<(), RunError> {
        let opened = self.open(add).await?;
        let groups = opened.metadata.metadata().row_groups();
        let (mut start, mut rows) = (0, 0);
        for (i, group) in groups.iter().enumerate() {
            rows += group.num_rows().max(0) as u64;
            if rows >= self.split_rows || i + 1 == groups.len() {
                let known = add.deletion_vector.is_none().then_some(rows);
                splits.push(split(Part { add: slim(add), within: Within::groups(start..i + 1) }, known));
                (start, rows) = (i + 1, 0);
            }
        }
        Ok(())
    }

    async fn open(&self, add: &Add) -> Result<Opened, RunError> {
        let (store, path) = self.storage.resolve(&add.path).map_err(|e| e.reading(&self.what))?;
        let size = u64::try_from(add.size).map_err(|_| self.bad(&add.path, "the log gives it a negative size"))?;
        let mut reader = FileReader::new(store, path, size);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options).await;
        let metadata = metadata.and_then(microseconds).map_err(|e| self.parquet_error(&add.path, e))?;
        let fields = metadata.schema().fields();
        let position = |c: &Column| if c.partition { None } else { convert::position(fields, &c.table, self.by_id) };
        let positions = self.columns.iter().map(position).collect();
        Ok(Opened { reader, metadata, positions })
    }

    fn part(&self, split: &Split) -> Result<Part, RunError> {
        serde_json::from_value(split.detail.clone())
            .map_err(|e| RunError::world(codes::BAD_POSITION, format!("{}: split {}: {e}", self.what, split.text)))
    }

    /// Reads a split, where that saves work without rows that the predicate rejects.
    pub async fn needed(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let part = self.part(split)?;
        self.read_needed(&part.add, &part.within, None, (batch_rows, &Skipped::default())).await
    }

    /// Reads a split.
    pub async fn read(&self, split: &Split, batch_rows: usize) -> Result<BatchStream, RunError> {
        let part = self.part(split)?;
        Ok(self.read_rows(&part.add, &part.within, None, batch_rows).await?.batches)
    }

    /// As [`Scan::read_rows`], but where that saves work, rows that the predicate rejects are counted and not given out.
    pub async fn read_needed(
        &self,
        add: &Add,
        within: &Within,
        only: Option<&RoaringTreemap>,
        (batch_rows, skipped): (usize, &Skipped),
    ) -> Result<BatchStream, RunError> {
        let (all, needed) = (self.predicate.as_deref(), self.needed.as_deref());
        let predicate = Predicate::new(all, needed, &self.places, skipped);
        Ok(self.selected_rows(add, within, only, (batch_rows, predicate)).await?.batches)
    }

    /// Reads of a file, or of some of its row groups, the rows that are in the table; or exactly the rows `only`, deleted or not. Either way without row groups
    /// that the predicate rules out.
    pub async fn read_rows(
        &self,
        add: &Add,
        within: &Within,
        only: Option<&RoaringTreemap>,
        batch_rows: usize,
    ) -> Result<FileRows, RunError> {
        self.selected_rows(add, within, only, (batch_rows, None)).await
    }

    async fn selected_rows(
        &self,
        add: &Add,
        within: &Within,
        only: Option<&RoaringTreemap>,
        how: (usize, Option<Predicate>),
    ) -> Result<FileRows, RunError> {
        let opened = self.open(add).await?;
        let deleted = match &add.deletion_vector {
            Some(vector) if only.is_none() => Some(self.deleted(vector).await?),
            _ => None,
        };
        let groups = self.row_groups(&opened, within.row_groups.clone());
        self.file_rows(add, &opened, selected(&opened, (&groups, within), only, deleted.as_ref()), how)
    }

    /// The rows of those row groups of a file of which `keeps` is true, deleted ones too; each batch with the number of its first row in the file.
    pub async fn numbered(
        &self,
        add: &Add,
        keeps: impl Fn(&dyn Facts) -> Result<bool, RunError>,
        batch_rows: usize,
    ) -> Result<NumberedRows, RunError> {
        let opened = self.open(add).await?;
        let (metadata, parquet) = (opened.metadata.metadata(), opened.metadata.parquet_schema());
        let mut groups = vec![];
        for index in 0..metadata.num_row_groups() {
            let (group, arrow) = (metadata.row_group(index), opened.metadata.schema());
            let group = RowGroupFacts::new(&self.columns, &opened.positions, group, parquet, arrow);
            if keeps(&PartFacts::new(&self.columns, add, group))? {
                groups.push(index);
            }
        }
        let FileRows { rows, batches } = self.file_rows(
            add,
            &opened,
            selected(&opened, (&groups, &Within::default()), None, None),
            (batch_rows, None),
        )?;
        let mut runs = rows.into_iter();
        let mut run = runs.next().unwrap_or_default();
        let mut number = move |batch: Result<RecordBatch, RunError>| match batch {
            Err(error) => vec![Err(error)],
            Ok(batch) => {
                let (mut pieces, mut taken) = (vec![], 0);
                while taken < batch.num_rows() {
                    if run.is_empty() {
                        match runs.next() {
                            Some(next) => run = next,
                            None => break,
                        }
                        continue;
                    }
                    let rows = (batch.num_rows() - taken).min((run.end - run.start) as usize);
                    pieces.push(Ok((run.start, batch.slice(taken, rows))));
                    run.start += rows as u64;
                    taken += rows;
                }
                pieces
            }
        };
        Ok(batches.flat_map(move |batch| futures::stream::iter(number(batch))).boxed())
    }

    /// How many rows a file has, deleted ones too.
    pub async fn length(&self, add: &Add) -> Result<u64, RunError> {
        match add.physical_rows() {
            Some(rows) => Ok(rows),
            None => Ok(self.open(add).await?.groups().last().map_or(0, |group| group.end)),
        }
    }

    /// The rows of a file that are deleted.
    pub async fn deleted_rows(&self, add: &Add) -> Result<RoaringTreemap, RunError> {
        match &add.deletion_vector {
            Some(vector) => self.deleted(vector).await,
            None => Ok(RoaringTreemap::new()),
        }
    }

    /// The rows of row groups that are selected.
    fn file_rows(
        &self,
        add: &Add,
        opened: &Opened,
        Selected { groups, rows, counted, selection }: Selected,
        (batch_rows, predicate): (usize, Option<Predicate>),
    ) -> Result<FileRows, RunError> {
        // The projection keeps the file's order of columns, each once.
        let mut roots: Vec<usize> = opened.positions.iter().flatten().copied().collect();
        roots.sort_unstable();
        roots.dedup();
        let places = opened.positions.iter().map(|p| p.and_then(|p| roots.binary_search(&p).ok())).collect();
        let shape = Shape { scan: self.clone(), places, partitions: self.partitions(add)? };
        let metadata = opened.metadata.clone();
        let (batch_rows, needed) = (batch_rows.max(1), groups.clone());
        let asked = move |roots: &[usize]| {
            let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
            (metadata, Asked { groups, selection, mask, batch_rows })
        };
        let failed = |e| self.parquet_error(&add.path, e);
        let Some(path) = self.storage.local(&add.path) else {
            let (metadata, asked) = asked(&roots);
            let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(opened.reader.clone(), metadata);
            let (scan, path) = (self.clone(), add.path.clone());
            let batches = asked.of(builder).build().map_err(failed)?.map(move |batch| {
                let batch = batch.map_err(|e| scan.parquet_error(&path, e))?;
                shape.batch(&path, batch.columns(), batch.num_rows())
            });
            return Ok(FileRows { rows, batches: batches.try_filter(|b| ready(b.num_rows() > 0)).boxed() });
        };
        // Page by page, where others are read a row group at a time: the memory is that of a page a column. The task reads itself, which is mostly a copy from the
        // memory of the operating system; between batches it can be given up.
        let open = || {
            File::open(&path).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => self.gone(&format!("data file {}", add.path)),
                _ => StorageError::Failed(one_line(&e)).reading(&self.what),
            })
        };
        let file = open()?;
        let wanted = Wanted { groups: needed, runs: counted.into(), roots, batch_rows };
        let rest = |roots: &[usize]| {
            let (metadata, asked) = asked(roots);
            asked.of(ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(&path)?, metadata)).build()
        };
        let batches = LocalRows::open(file, (&opened.metadata, wanted), (shape, &add.path), predicate, rest);
        let batches = futures::stream::iter(batches.map_err(failed)?);
        let batches = batches.then(|batch| tokio::task::yield_now().map(|()| batch));
        Ok(FileRows { rows, batches: batches.try_filter(|b| ready(b.num_rows() > 0)).boxed() })
    }

    /// The row groups of a part that can hold a row that the predicate lets through.
    fn row_groups(&self, opened: &Opened, part: Option<Range<usize>>) -> Vec<usize> {
        let metadata = opened.metadata.metadata();
        let all = part.unwrap_or(0..metadata.num_row_groups());
        let keeps = |index: &usize| {
            let group = metadata.row_group(*index);
            let (parquet, arrow) = (opened.metadata.parquet_schema(), opened.metadata.schema());
            self.may_match(&RowGroupFacts::new(&self.columns, &opened.positions, group, parquet, arrow))
        };
        all.filter(|i| *i < metadata.num_row_groups()).filter(keeps).collect()
    }

    /// The rows that a deletion vector takes out of a file.
    pub async fn deleted(&self, vector: &DeletionVector) -> Result<RoaringTreemap, RunError> {
        deletion::read(&self.storage, vector).await.map_err(|e| match e {
            StorageError::Missing(path) => self.gone(&format!("deletion vector {path}")),
            other => other.reading(&self.what),
        })
    }

    fn partitions(&self, add: &Add) -> Result<Vec<Value>, RunError> {
        let value = |column: &Column| {
            if !column.partition {
                return Ok(Value::Null);
            }
            let why = |e: String| self.bad(&add.path, &format!("partition column `{}`: {e}", column.field.name));
            column.partition_value(add).map_err(why)
        };
        self.columns.iter().map(value).collect()
    }

    pub(crate) fn bad(&self, path: &str, why: &str) -> RunError {
        RunError::world(codes::BAD_FILE, format!("{}: data file {path}: {why}", self.what))
            .help(
                "the file is damaged, or was not written by the table's schema: restore it, or delete it from the table; nothing of the epoch was committed",
            )
    }

    fn gone(&self, file: &str) -> RunError {
        RunError::world(codes::FILE_GONE, format!("{}: {file} is gone", self.what)).help(
            "it was vacuumed before it was read, or lost: bring it back, or run with --full-refresh to read the table as it is now; nothing of the epoch was \
             committed",
        )
    }

    /// What to say where a file cannot be read.
    pub(crate) fn parquet_error(&self, path: &str, error: ParquetError) -> RunError {
        if let ParquetError::External(inner) = &error
            && let Some(store) = inner.downcast_ref::<object_store::Error>()
        {
            if matches!(store, object_store::Error::NotFound { .. }) {
                return self.gone(&format!("data file {path}"));
            }
            return StorageError::Failed(one_line(store)).reading(&self.what);
        }
        self.bad(path, &one_line(&error))
    }
}

/// Rows of a file.
pub struct FileRows {
    /// Their numbers in the file, in the order of the batches.
    pub rows: Vec<Range<u64>>,
    /// They themselves.
    pub batches: BatchStream,
}

/// Which rows of a file are read.
struct Selected {
    /// The row groups that have any of them.
    groups: Vec<usize>,
    /// Their numbers in the file.
    rows: Vec<Range<u64>>,
    /// They as the reader of these row groups counts them.
    counted: Vec<Range<u64>>,
    /// The same for the Parquet crate's reader; none: all of them.
    selection: Option<RowSelection>,
}

/// Of these row groups, as far as they are within a part of the file, the rows `only`, or those that are not deleted.
fn selected(
    opened: &Opened,
    (groups, part): (&[usize], &Within),
    only: Option<&RoaringTreemap>,
    deleted: Option<&RoaringTreemap>,
) -> Selected {
    let starts = opened.groups();
    let (mut read, mut rows, mut counted, mut offset) = (vec![], vec![], vec![], 0u64);
    for group in groups {
        let within = starts[*group].clone();
        if part.cut(within.clone()).is_empty() {
            continue;
        }
        let found: Vec<Range<u64>> = match (only, deleted) {
            (Some(only), _) => deletion::runs(only, within.clone()),
            (None, Some(deleted)) => {
                let kept = deletion::kept(deleted, within.clone());
                kept.into_iter().map(|r| within.start + r.start as u64..within.start + r.end as u64).collect()
            }
            (None, None) => vec![within.clone()],
        };
        let found: Vec<Range<u64>> = found.into_iter().map(|run| part.cut(run)).filter(|run| !run.is_empty()).collect();
        if found.is_empty() {
            continue;
        }
        let counts = |row: u64| row - within.start + offset;
        counted.extend(found.iter().map(|r| counts(r.start)..counts(r.end)));
        rows.extend(found);
        read.push(*group);
        offset += within.end - within.start;
    }
    let all = only.is_none() && deleted.is_none() && part.rows.is_none();
    let ranges = counted.iter().map(|r: &Range<u64>| r.start as usize..r.end as usize);
    let selection = (!all).then(|| RowSelection::from_consecutive_ranges(ranges, offset as usize));
    Selected { groups: read, rows, counted, selection }
}

/// What a Parquet reader is asked for.
struct Asked {
    groups: Vec<usize>,
    selection: Option<RowSelection>,
    mask: ProjectionMask,
    batch_rows: usize,
}

impl Asked {
    fn of<T>(self, builder: ArrowReaderBuilder<T>) -> ArrowReaderBuilder<T> {
        let builder = match self.selection {
            Some(selection) => builder.with_row_selection(selection),
            None => builder,
        };
        builder.with_batch_size(self.batch_rows).with_row_groups(self.groups).with_projection(self.mask)
    }
}

/// How the batches of one file become batches of the program.
pub(crate) struct Shape {
    scan: Scan,
    /// The column in the file's (projected) batches of each column.
    places: Vec<Option<usize>>,
    /// The value of each partition column.
    partitions: Vec<Value>,
}

impl Shape {
    /// Which of the file's (projected) columns a column is; none: it is a partition column, or the file lacks it.
    pub(crate) fn place(&self, column: usize) -> Option<usize> {
        self.places[column]
    }

    /// What to say where the file cannot be read.
    pub(crate) fn failed(&self, path: &str, error: ParquetError) -> RunError {
        self.scan.parquet_error(path, error)
    }

    /// A column for so many rows, from the file's. The error says what does not fit.
    pub(crate) fn column(&self, i: usize, read: Option<&ArrayRef>, rows: usize) -> Result<ArrayRef, String> {
        let column = &self.scan.columns[i];
        let data = &column.field.ty.data;
        match read {
            _ if column.partition => partition::constant(&self.partitions[i], data, rows)
                .ok_or_else(|| format!("no partition value of type {data}")),
            Some(array) => convert::convert(array, data, &column.table.ty, self.scan.by_id),
            None => Ok(new_null_array(self.scan.schema.field(i).data_type(), rows)),
        }
    }

    /// All columns.
    pub(crate) fn batch(&self, path: &str, read: &[ArrayRef], rows: usize) -> Result<RecordBatch, RunError> {
        let mut columns: Vec<ArrayRef> = vec![];
        for (i, column) in self.scan.columns.iter().enumerate() {
            let why = |e: String| self.scan.bad(path, &format!("column `{}`: {e}", column.field.name));
            columns.push(self.column(i, self.places[i].map(|place| &read[place]), rows).map_err(why)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.scan.schema.clone(), columns, &options)
            .map_err(|e| self.scan.bad(path, &e.to_string()))
    }
}

/// What keeps a table from being read as the program wants it, column by column.
pub fn differences(table: &[DeltaField], wanted: &Schema) -> Vec<String> {
    let difference = |field: &flowc_ir::Field| {
        let Some(found) = table.iter().find(|f| f.name == field.name) else {
            return Some(format!("it has no column `{}`", field.name));
        };
        let declared = match found.to_flowc() {
            Ok(declared) => declared,
            Err(unknown) => return Some(format!("`{}` has the type {}", unknown.column, unknown.ty)),
        };
        (!fits(&declared.ty, &field.ty))
            .then(|| format!("`{}` is {} there, {} in the program", field.name, declared.ty, field.ty))
    };
    wanted.fields.iter().filter_map(difference).collect()
}

/// Whether a version of a table promises of its rows what proofs rest on.
pub fn promised(what: &str, snapshot: &Snapshot, promises: &[(String, String)]) -> Result<(), RunError> {
    let fields = schema::parse(&snapshot.metadata.schema_string).map_err(|e| e.reading(what))?;
    let broken = broken_promises(&snapshot.metadata, &fields, promises);
    if broken.is_empty() { Ok(()) } else { Err(changed(what, snapshot.version, &broken.join("; "))) }
}

/// What the table no longer promises of its rows, of what proofs rest on.
pub fn broken_promises(metadata: &Metadata, fields: &[DeltaField], promises: &[(String, String)]) -> Vec<String> {
    let (constraints, generated) = (features::constraints(metadata, fields), features::generated(fields));
    let kept = |promise: &&(String, String)| constraints.contains(*promise) || generated.contains(*promise);
    let broken = promises.iter().filter(|promise| !kept(promise));
    broken.map(|(name, sql)| format!("it no longer has `{name}`, on which a proof rests: `{sql}`")).collect()
}

/// Whether a column of the table can be read as the program wants it. Structs may have got further fields.
fn fits(table: &Type, wanted: &Type) -> bool {
    if table.nullable && !wanted.nullable {
        return false;
    }
    match (&table.data, &wanted.data) {
        (DataType::Struct(has), DataType::Struct(wants)) => {
            wants.iter().all(|w| has.iter().any(|h| h.name == w.name && fits(&h.ty, &w.ty)))
        }
        (DataType::Array(has), DataType::Array(wants)) => fits(has, wants),
        (DataType::Map(key, value), DataType::Map(k, v)) => {
            fits(&Type::new(key.as_ref().clone()), &Type::new(k.as_ref().clone())) && fits(value, v)
        }
        (has, wants) => has.widens_to(wants),
    }
}

/// What reading a file needs of its action.
pub(crate) fn slim(add: &Add) -> Add {
    Add { stats: None, tags: None, ..add.clone() }
}

fn split(part: Part, rows: Option<u64>) -> Split {
    let text = format!("{}{}", part.add.path, part.within.text());
    Split { detail: serde_json::to_value(&part).unwrap_or_default(), text, rows }
}

/// Timestamps of the old kind (96 bits) are nanoseconds for Arrow, which end in 2262; as microseconds they go further.
fn microseconds(metadata: ArrowReaderMetadata) -> parquet::errors::Result<ArrowReaderMetadata> {
    let parquet = metadata.parquet_schema();
    if parquet.columns().iter().all(|c| c.physical_type() != Physical::INT96) {
        return Ok(metadata);
    }
    let fields: Vec<FieldRef> = metadata.schema().fields().iter().map(in_microseconds).collect();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let options = options.with_schema(Arc::new(ASchema::new(fields)));
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
}

fn in_microseconds(field: &FieldRef) -> FieldRef {
    let ty = match field.data_type() {
        A::Timestamp(TimeUnit::Nanosecond, None) => A::Timestamp(TimeUnit::Microsecond, None),
        A::Struct(fields) => A::Struct(fields.iter().map(in_microseconds).collect()),
        A::List(item) => A::List(in_microseconds(item)),
        A::Map(entries, sorted) => A::Map(in_microseconds(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(AField::new(field.name(), ty, field.is_nullable()).with_metadata(field.metadata().clone()))
}

/// A table with features that flowc cannot read.
pub fn unreadable(what: &str, features: &[String]) -> RunError {
    RunError::data(
        codes::UNREADABLE,
        format!("{what} uses features of the Delta protocol that flowc cannot read: {}", features.join(", ")),
    )
    .help("read it with the engine that wrote it, or have that engine drop the features (ALTER TABLE … DROP FEATURE)")
}

/// A table that is not what the program was compiled against.
pub fn changed(what: &str, version: u64, why: &str) -> RunError {
    RunError::data(
        codes::SOURCE_CHANGED,
        format!("{what}, version {version}, is not what the program was compiled against: {why}"),
    )
    .help("check the program against the table as it is now, then run it again")
}
