//! A writer of tables that change: by files rewritten, by deletion vectors, with a change data feed and without. It knows which rows each version holds.

use crate::common::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType as A, Field as AField, Schema as ASchema};
use deltalake::logstore::object_store::ObjectStoreExt;
use deltalake::logstore::object_store::path::Path;
use flowc_delta::Storage;
use flowc_delta::log::commits::commit_path;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A row: `id`, `part`, `value`, and `note`, which comes later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: Option<i64>,
    pub part: Option<&'static str>,
    pub value: Option<i64>,
    pub note: Option<&'static str>,
}

/// How often each row is there.
pub type Bag = BTreeMap<Row, i64>;

#[derive(Debug, Clone)]
struct File {
    path: String,
    rows: Vec<Row>,
    deleted: BTreeSet<usize>,
    add: Value,
}

impl File {
    fn live(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.rows.iter().enumerate().filter(|(i, _)| !self.deleted.contains(i))
    }

    fn removal(&self, data_change: bool, says_all: bool) -> Value {
        let mut remove = json!({ "path": self.path, "dataChange": data_change, "deletionTimestamp": 0 });
        if says_all {
            remove["extendedFileMetadata"] = true.into();
            for key in ["size", "partitionValues"] {
                remove[key] = self.add[key].clone();
            }
        }
        if let Some(vector) = self.add.get("deletionVector") {
            remove["deletionVector"] = vector.clone();
        }
        json!({ "remove": remove })
    }
}

/// What a commit does.
#[derive(Debug, Clone)]
pub enum Operation {
    Append(Vec<Row>),
    /// The rows with this id go.
    Delete(i64),
    /// The rows with this id get another value, and another partition if so.
    Update(i64, Option<i64>, Option<&'static str>),
    /// All rows go, and these come.
    Overwrite(Vec<Row>),
    /// Each partition becomes one file.
    Optimize,
    /// What deletion vectors took out of the first file that has one comes back.
    Undelete,
    /// `note` comes.
    AddColumn,
    /// The change data feed begins or ends.
    Feed,
}

/// How a commit that changes rows does it.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// By deletion vectors, and not by files that are written anew.
    pub vectors: bool,
    /// Whether removals say size and partition.
    pub says_all: bool,
}

/// How the table finds its columns in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    None,
    Name,
    Id,
}

/// A table and what it holds.
pub struct Writer {
    pub storage: Storage,
    pub versions: Vec<Bag>,
    partitioned: bool,
    mapping: Mapping,
    files: Vec<File>,
    noted: bool,
    feed: bool,
    names: u128,
}

/// The id of a column.
fn id(name: &str) -> usize {
    ["id", "part", "value", "note"].iter().position(|n| *n == name).map_or(0, |i| i + 1)
}

fn z85(bytes: &[u8]) -> String {
    let alphabet = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let mut text = String::new();
    for group in bytes.chunks(4) {
        let value = u32::from_be_bytes(group.try_into().expect("four bytes"));
        (0..5).rev().for_each(|i| text.push(char::from(alphabet[(value / 85u32.pow(i) % 85) as usize])));
    }
    text
}

/// When a version is committed, in milliseconds.
pub fn time(version: usize) -> i64 {
    1_000_000 + version as i64 * 1_000
}

impl Writer {
    /// An empty table: version 0.
    pub async fn new(partitioned: bool, feed: bool, mapping: Mapping) -> Writer {
        let (storage, versions, files) = (memory(), vec![], vec![]);
        let mut writer = Writer { storage, versions, partitioned, mapping, files, noted: false, feed, names: 0 };
        let features = ["deletionVectors", "columnMapping", "changeDataFeed"];
        let protocol = json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": features[..2], "writerFeatures": features } });
        let lines = vec![protocol, writer.metadata()];
        writer.commit("CREATE TABLE", lines).await;
        writer
    }

    fn metadata(&self) -> Value {
        let field = |name: &str, ty: &str| {
            let metadata = match self.mapping {
                Mapping::None => json!({}),
                _ => {
                    json!({ "delta.columnMapping.physicalName": self.physical(name), "delta.columnMapping.id": id(name) })
                }
            };
            json!({ "name": name, "type": ty, "nullable": true, "metadata": metadata })
        };
        let mut fields = vec![field("id", "long"), field("part", "string"), field("value", "long")];
        fields.extend(self.noted.then(|| field("note", "string")));
        let by: &[&str] = if self.partitioned { &["part"] } else { &[] };
        let schema = json!({ "type": "struct", "fields": fields }).to_string();
        let mode = format!("{:?}", self.mapping).to_lowercase();
        json!({ "metaData": {
            "id": "3a1c1d54-3c2f-4c2f-8f6a-0d1d6f3f1f10", "format": { "provider": "parquet", "options": {} },
            "schemaString": schema, "partitionColumns": by,
            "configuration": { "delta.enableChangeDataFeed": self.feed.to_string(), "delta.columnMapping.mode": mode },
        } })
    }

    async fn commit(&mut self, operation: &str, mut lines: Vec<Value>) {
        let version = self.versions.len();
        let info = json!({ "commitInfo": { "operation": operation, "timestamp": time(version) } });
        lines.insert(0, info);
        let text: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
        let path = commit_path(version as u64);
        self.storage.store().put(&path, text.join("\n").into()).await.expect("writes");
        let mut bag = Bag::new();
        for (_, row) in self.files.iter().flat_map(File::live) {
            *bag.entry(row.clone()).or_default() += 1;
        }
        self.versions.push(bag);
    }

    fn physical(&self, name: &str) -> String {
        if self.mapping == Mapping::None { name.to_string() } else { format!("col-{name}") }
    }

    /// A column of a file; by ids it may have any name.
    fn field(&self, name: &str, ty: A) -> AField {
        match self.mapping {
            Mapping::Id => {
                let metadata = [("PARQUET:field_id".to_string(), id(name).to_string())].into_iter().collect();
                AField::new(format!("f{}", id(name)), ty, true).with_metadata(metadata)
            }
            _ => AField::new(self.physical(name), ty, true),
        }
    }

    fn name(&mut self) -> u128 {
        self.names += 1;
        self.names
    }

    /// Writes rows of a partition; the last column of a feed's file is the type of the change.
    async fn parquet(&self, path: &str, rows: &[Row], types: Option<Vec<&str>>) -> usize {
        let mut fields = vec![self.field("value", A::Int64), self.field("id", A::Int64)];
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.value).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.id).collect::<Int64Array>()),
        ];
        let mut text = |field: AField, values: Vec<Option<&str>>| {
            fields.push(field);
            columns.push(Arc::new(StringArray::from(values)));
        };
        if !self.partitioned {
            text(self.field("part", A::Utf8), rows.iter().map(|r| r.part).collect());
        }
        if self.noted {
            text(self.field("note", A::Utf8), rows.iter().map(|r| r.note).collect());
        }
        if let Some(types) = types {
            text(AField::new("_change_type", A::Utf8, true), types.into_iter().map(Some).collect());
        }
        let batch = RecordBatch::try_new(Arc::new(ASchema::new(fields)), columns).expect("a batch");
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
        let mut bytes = vec![];
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a writer");
        writer.write(&batch).expect("writes");
        writer.close().expect("closes");
        let size = bytes.len();
        self.storage.store().put(&Path::from(path), bytes.into()).await.expect("writes");
        size
    }

    fn by_partition<T: Clone>(&self, rows: &[T], part: impl Fn(&T) -> Option<&'static str>) -> Vec<Vec<T>> {
        let mut parts: BTreeMap<Option<&str>, Vec<T>> = BTreeMap::new();
        for row in rows {
            parts.entry(part(row).filter(|_| self.partitioned)).or_default().push(row.clone());
        }
        parts.into_values().collect()
    }

    fn partition(&self, row: &Row) -> Value {
        if self.partitioned { json!({ self.physical("part"): row.part }) } else { json!({}) }
    }

    /// Writes rows as files, and returns their actions.
    async fn add(&mut self, rows: &[Row], data_change: bool) -> Vec<Value> {
        let mut lines = vec![];
        for rows in self.by_partition(rows, |row| row.part) {
            let path = format!("file-{}.parquet", self.name());
            let size = self.parquet(&path, &rows, None).await;
            let stats = json!({ "numRecords": rows.len() }).to_string();
            let add = json!({ "path": path, "partitionValues": self.partition(&rows[0]), "size": size,
                "modificationTime": time(self.versions.len()), "dataChange": data_change, "stats": stats });
            lines.push(json!({ "add": add }));
            self.files.push(File { path, rows, deleted: BTreeSet::new(), add });
        }
        lines
    }

    async fn vector(&mut self, deleted: &BTreeSet<usize>) -> Value {
        let mut data = 1_681_511_377u32.to_le_bytes().to_vec();
        let bitmap: RoaringTreemap = deleted.iter().map(|row| *row as u64).collect();
        bitmap.serialize_into(&mut data).expect("writes");
        let mut file = vec![1u8];
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&data);
        file.extend(crc32fast::hash(&data).to_be_bytes());
        let uuid = uuid::Uuid::from_u128(self.name());
        let path = Path::from(format!("deletion_vector_{uuid}.bin"));
        self.storage.store().put(&path, file.into()).await.expect("writes");
        json!({ "storageType": "u", "pathOrInlineDv": z85(uuid.as_bytes()), "offset": 1,
            "sizeInBytes": data.len(), "cardinality": deleted.len() })
    }

    /// Takes rows out of a file.
    async fn take_out(&mut self, file: usize, rows: BTreeSet<usize>, how: How) -> Vec<Value> {
        let mut lines = vec![self.files[file].removal(true, how.says_all)];
        let left: Vec<Row> =
            self.files[file].live().filter(|(i, _)| !rows.contains(i)).map(|(_, row)| row.clone()).collect();
        if how.vectors && !left.is_empty() {
            let deleted: BTreeSet<usize> = self.files[file].deleted.union(&rows).copied().collect();
            lines.push(self.again(file, deleted).await);
        } else {
            self.files[file].rows.clear();
            lines.extend(self.add(&left, true).await);
        }
        lines
    }

    /// The action that adds a file with another deletion vector.
    async fn again(&mut self, file: usize, deleted: BTreeSet<usize>) -> Value {
        let vector = if deleted.is_empty() { Value::Null } else { self.vector(&deleted).await };
        let file = &mut self.files[file];
        file.add["deletionVector"] = vector;
        file.add["dataChange"] = true.into();
        file.deleted = deleted;
        json!({ "add": file.add })
    }

    async fn feed(&mut self, changes: Vec<(Row, &'static str)>) -> Vec<Value> {
        let mut lines = vec![];
        for changes in self.by_partition(&changes, |(row, _)| row.part) {
            let (rows, types): (Vec<Row>, Vec<&str>) = changes.into_iter().unzip();
            let path = format!("_change_data/cdc-{}.parquet", self.name());
            let size = self.parquet(&path, &rows, Some(types)).await;
            let partition = self.partition(&rows[0]);
            lines.push(
                json!({ "cdc": { "path": path, "partitionValues": partition, "size": size, "dataChange": false } }),
            );
        }
        lines
    }

    /// The paths of the files that hold rows, in the order in which they came.
    pub fn paths(&self) -> Vec<String> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Commits a version; none if there is nothing to do.
    pub async fn write(&mut self, operation: &Operation, how: How) {
        match operation {
            Operation::Append(rows) => {
                let lines = self.add(&self.noted(rows), true).await;
                self.commit("WRITE", lines).await;
            }
            Operation::Delete(id) => self.change(*id, None, how).await,
            Operation::Update(id, value, part) => self.change(*id, Some((*value, *part)), how).await,
            Operation::Overwrite(rows) => {
                let mut lines: Vec<Value> = self.files.drain(..).map(|f| f.removal(true, how.says_all)).collect();
                lines.extend(self.add(&self.noted(rows), true).await);
                self.commit("WRITE", lines).await;
            }
            Operation::Optimize => {
                let files = std::mem::take(&mut self.files);
                let mut lines: Vec<Value> = files.iter().map(|f| f.removal(false, how.says_all)).collect();
                let rows: Vec<Row> = files.iter().flat_map(File::live).map(|(_, row)| row.clone()).collect();
                lines.extend(self.add(&rows, false).await);
                self.commit("OPTIMIZE", lines).await;
            }
            Operation::Undelete => {
                let Some(file) = self.files.iter().position(|f| !f.deleted.is_empty()) else { return };
                let kept = self.files[file].deleted.iter().skip(1).copied().collect();
                let mut lines = vec![self.files[file].removal(true, how.says_all)];
                lines.push(self.again(file, kept).await);
                self.commit("RESTORE", lines).await;
            }
            Operation::AddColumn => {
                self.noted = true;
                let lines = vec![self.metadata()];
                self.commit("ADD COLUMNS", lines).await;
            }
            Operation::Feed => {
                self.feed = !self.feed;
                let lines = vec![self.metadata()];
                self.commit("SET TBLPROPERTIES", lines).await;
            }
        }
    }

    /// Rows as the table can hold them now.
    fn noted(&self, rows: &[Row]) -> Vec<Row> {
        rows.iter().map(|row| Row { note: row.note.filter(|_| self.noted), ..row.clone() }).collect()
    }

    async fn change(&mut self, id: i64, to: Option<(Option<i64>, Option<&'static str>)>, how: How) {
        let (mut lines, mut changes, mut fresh) = (vec![], vec![], vec![]);
        for file in 0..self.files.len() {
            let hit: BTreeSet<usize> =
                self.files[file].live().filter(|(_, row)| row.id == Some(id)).map(|(i, _)| i).collect();
            if hit.is_empty() {
                continue;
            }
            for i in &hit {
                let old = self.files[file].rows[*i].clone();
                match to {
                    Some((value, part)) => {
                        let new = Row { value, part: part.or(old.part), ..old.clone() };
                        changes.extend([(old, "update_preimage"), (new.clone(), "update_postimage")]);
                        fresh.push(new);
                    }
                    None => changes.push((old, "delete")),
                }
            }
            lines.extend(self.take_out(file, hit, how).await);
        }
        lines.extend(self.add(&fresh, true).await);
        if self.feed {
            lines.extend(self.feed(changes).await);
        }
        self.files.retain(|file| file.live().next().is_some());
        if !lines.is_empty() {
            self.commit(if to.is_some() { "UPDATE" } else { "DELETE" }, lines).await;
        }
    }
}
