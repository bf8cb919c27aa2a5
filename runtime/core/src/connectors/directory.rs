//! A directory of files as a sink. Exactly-once by a manifest for each application, `_flowc/APPLICATION.json`: an epoch is committed when the manifest that
//! names it is in place. The manifest also says which temporary files become visible and which files go; whoever finds it next finishes what a crash
//! interrupted. So between any two steps each row is there once, or will be. Knows nothing of what is in a file: that is a [`FileWriter`]'s matter.

use crate::connector::{Committed, EpochId, Sink, SinkEpoch, SinkWriter, Written};
use crate::error::RunError;
use crate::quality::Judgement;
use crate::state::write_atomically;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file is ended when it has about so many bytes.
const TARGET: u64 = 128 << 20;

/// Where manifests and unfinished files are.
const HIDDEN: &str = "_flowc";

/// Writes one file.
pub(crate) trait FileWriter: Send {
    /// Appends rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError>;
    /// About how many bytes the file would have if it ended now.
    fn size(&self) -> u64;
    /// Ends the file.
    fn finish(self: Box<Self>) -> Result<(), RunError>;
}

/// Begins files of a kind.
pub(crate) trait FileKind: Send + Sync + fmt::Debug {
    /// The ending of names, without the dot.
    fn extension(&self) -> &'static str;
    /// Whether rows are wanted in the order of the input.
    fn ordered(&self) -> bool;
    /// Begins a file.
    fn create(&self, file: File) -> Result<Box<dyn FileWriter>, RunError>;
}

/// The sink.
#[derive(Debug, Clone)]
pub(crate) struct DirectorySink {
    directory: PathBuf,
    kind: Arc<dyn FileKind>,
    /// Whether each epoch replaces what is there.
    overwrite: bool,
}

/// What is committed, and what is to be done about it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    application: String,
    epoch: u64,
    /// Files to move from the hidden directory into view: names there and here.
    add: Vec<(String, String)>,
    /// Files to remove.
    remove: Vec<String>,
}

fn failed(what: &str, path: &Path, error: impl fmt::Display) -> RunError {
    RunError::world("R0505", format!("cannot {what} `{}`: {error}", path.display()))
}

/// A name for files: what is no letter or digit becomes `-`, and a hash tells apart what that makes equal.
fn slug(application: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = application.chars().map(plain).collect();
    format!("{name}-{:08x}", xxhash_rust::xxh64::xxh64(application.as_bytes(), 0) as u32)
}

fn remove(path: &Path) -> Result<(), RunError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", path, e)),
        _ => Ok(()),
    }
}

fn names(directory: &Path) -> Result<Vec<String>, RunError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(failed("list", directory, e)),
    };
    let mut names = vec![];
    for entry in entries {
        let name = entry.map_err(|e| failed("list", directory, e))?.file_name();
        names.extend(name.into_string());
    }
    names.sort();
    Ok(names)
}

impl DirectorySink {
    pub(crate) fn new(directory: impl Into<PathBuf>, kind: Arc<dyn FileKind>, overwrite: bool) -> Self {
        DirectorySink { directory: directory.into(), kind, overwrite }
    }

    fn hidden(&self) -> PathBuf {
        self.directory.join(HIDDEN)
    }

    fn manifest_path(&self, application: &str) -> PathBuf {
        self.hidden().join(format!("{}.json", slug(application)))
    }

    fn manifest(&self, application: &str) -> Result<Option<Manifest>, RunError> {
        let path = self.manifest_path(application);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed("read", &path, e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("read", &path, e)),
        }
    }

    /// Does what a committed manifest says, as far as it is not done.
    fn settle(&self, manifest: &Manifest) -> Result<(), RunError> {
        // First what goes: a reader may miss rows for a moment, but never sees them twice.
        for name in &manifest.remove {
            remove(&self.directory.join(name))?;
        }
        for (from, to) in &manifest.add {
            let (from, to) = (self.hidden().join(from), self.directory.join(to));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() == ErrorKind::NotFound && to.exists() => {}
                Err(e) => return Err(failed("create", &to, e)),
                Ok(()) => {}
            }
        }
        let directory = File::open(&self.directory).and_then(|d| d.sync_all());
        directory.map_err(|e| failed("write", &self.directory, e))
    }

    /// Removes unfinished files of an application.
    fn clean(&self, application: &str) -> Result<(), RunError> {
        let prefix = format!("{}-", slug(application));
        for name in names(&self.hidden())? {
            if name.starts_with(&prefix) && name.ends_with(".tmp") {
                remove(&self.hidden().join(name))?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for DirectorySink {
    async fn committed(&self, application: &str) -> Result<Option<u64>, RunError> {
        let manifest = self.manifest(application)?;
        manifest.map(|m| self.settle(&m).map(|()| m.epoch)).transpose()
    }

    async fn begin(&self, id: EpochId) -> Result<Box<dyn SinkEpoch>, RunError> {
        let hidden = self.hidden();
        fs::create_dir_all(&hidden).map_err(|e| failed("create", &hidden, e))?;
        self.committed(&id.application).await?;
        self.clean(&id.application)?;
        Ok(Box::new(DirectoryEpoch { sink: self.clone(), id, next: Arc::new(AtomicU64::new(1)) }))
    }

    fn ordered(&self) -> bool {
        self.kind.ordered()
    }
}

struct DirectoryEpoch {
    sink: DirectorySink,
    id: EpochId,
    /// The number of the next file.
    next: Arc<AtomicU64>,
}

#[async_trait]
impl SinkEpoch for DirectoryEpoch {
    async fn writer(&self) -> Result<Box<dyn SinkWriter>, RunError> {
        let prefix = format!("{}-{:08}", slug(&self.id.application), self.id.epoch);
        let (sink, next) = (self.sink.clone(), Arc::clone(&self.next));
        Ok(Box::new(DirectoryWriter { sink, prefix, next, open: None, written: Written::default() }))
    }

    async fn commit(&self, written: Vec<Written>, _quality: &[Judgement]) -> Result<Committed, RunError> {
        let application = &self.id.application;
        let done = |w: &[Written]| Committed {
            rows: w.iter().map(|w| w.rows).sum(),
            files: w.iter().map(|w| w.files).sum(),
            bytes: w.iter().map(|w| w.bytes).sum(),
            ..Committed::default()
        };
        if self.sink.manifest(application)?.is_some_and(|m| m.epoch >= self.id.epoch) {
            self.sink.clean(application)?;
            return Ok(Committed { already: true, ..Committed::default() });
        }
        let ending = format!(".{}", self.sink.kind.extension());
        let visible =
            names(&self.sink.directory)?.into_iter().filter(|n| n.ends_with(&ending) && !n.starts_with(['_', '.']));
        let replaces = self.sink.overwrite || self.id.replace;
        let manifest = Manifest {
            format: 1,
            application: application.clone(),
            epoch: self.id.epoch,
            add: (written.iter().flat_map(|w| &w.detail).filter_map(|d| d.as_str()))
                .map(|name| (format!("{name}.tmp"), name.to_string()))
                .collect(),
            remove: if replaces { visible.collect() } else { vec![] },
        };
        let path = self.sink.manifest_path(application);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| failed("write", &path, e))?;
        write_atomically(&path, &text).map_err(|e| failed("write", &path, e))?;
        self.sink.settle(&manifest)?;
        Ok(done(&written))
    }

    async fn abort(&self, _written: Vec<Written>) {
        // What cannot be removed now is removed when the next epoch begins.
        let _ = self.sink.clean(&self.id.application);
    }
}

struct DirectoryWriter {
    sink: DirectorySink,
    prefix: String,
    next: Arc<AtomicU64>,
    open: Option<(PathBuf, String, Box<dyn FileWriter>)>,
    written: Written,
}

impl DirectoryWriter {
    fn end(&mut self) -> Result<(), RunError> {
        let Some((path, name, writer)) = self.open.take() else { return Ok(()) };
        writer.finish()?;
        let synced =
            File::open(&path).and_then(|f| if cfg!(test) { f.metadata() } else { f.sync_all().and(f.metadata()) });
        self.written.bytes += synced.map_err(|e| failed("write", &path, e))?.len();
        self.written.files += 1;
        self.written.detail.push(json!(name));
        Ok(())
    }
}

#[async_trait]
impl SinkWriter for DirectoryWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), RunError> {
        let (_, _, writer) = match &mut self.open {
            Some(open) => open,
            none => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let name = format!("{}-{number:04}.{}", self.prefix, self.sink.kind.extension());
                let path = self.sink.hidden().join(format!("{name}.tmp"));
                let file = File::create(&path).map_err(|e| failed("create", &path, e))?;
                none.insert((path, name, self.sink.kind.create(file)?))
            }
        };
        writer.write(batch)?;
        self.written.rows += batch.num_rows() as u64;
        if writer.size() >= TARGET { self.end() } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<Written, RunError> {
        self.end()?;
        Ok(self.written)
    }

    async fn abort(self: Box<Self>) {
        if let Some((path, _, writer)) = self.open {
            drop(writer);
            let _ = remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::JsonKind;
    use super::*;
    use flowc_ir::{DataType, Field, Schema, Type};

    fn sink(directory: &Path, overwrite: bool) -> DirectorySink {
        let schema = Schema::new(vec![Field::new("n", Type::new(DataType::Long))]);
        DirectorySink::new(directory, Arc::new(JsonKind { schema }), overwrite)
    }

    async fn write(
        sink: &DirectorySink,
        epoch: u64,
        replace: bool,
        rows: &[i64],
    ) -> (Box<dyn SinkEpoch>, Vec<Written>) {
        let id = EpochId { replace, ..EpochId::new("p/s", epoch) };
        let begun = sink.begin(id).await.unwrap();
        let mut writer = begun.writer().await.unwrap();
        for n in rows {
            let column = Arc::new(arrow::array::Int64Array::from(vec![*n])) as arrow::array::ArrayRef;
            writer.write(&RecordBatch::try_from_iter([("n", column)]).unwrap()).await.unwrap();
        }
        let written = writer.finish().await.unwrap();
        (begun, vec![written])
    }

    fn content(directory: &Path) -> String {
        let visible = names(directory).unwrap().into_iter().filter(|n| n.ends_with(".json"));
        visible.map(|n| fs::read_to_string(directory.join(n)).unwrap()).collect::<String>().replace('\n', " ")
    }

    #[tokio::test]
    async fn epochs_are_added_or_replaced_and_unfinished_ones_vanish() {
        for overwrite in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let sink = sink(dir.path(), overwrite);
            assert_eq!(sink.committed("p/s").await.unwrap(), None);
            let (epoch, written) = write(&sink, 1, false, &[1, 2]).await;
            assert_eq!(content(dir.path()), "");
            let done = epoch.commit(written, &[]).await.unwrap();
            assert_eq!((done.rows, done.files, done.bytes), (2, 1, 16));
            // An epoch that dies before its commit.
            write(&sink, 2, false, &[7]).await;
            assert_eq!(sink.committed("p/s").await.unwrap(), Some(1));
            let (epoch, written) = write(&sink, 2, false, &[3]).await;
            epoch.commit(written, &[]).await.unwrap();
            let expected = if overwrite { r#"{"n":3} "# } else { r#"{"n":1} {"n":2} {"n":3} "# };
            assert_eq!(content(dir.path()), expected);
            let (epoch, written) = write(&sink, 3, true, &[4]).await;
            epoch.commit(written, &[]).await.unwrap();
            assert_eq!(content(dir.path()), r#"{"n":4} "#);
            assert_eq!(names(&sink.hidden()).unwrap().len(), 1, "only the manifest is left");
        }
    }

    #[tokio::test]
    async fn a_crash_between_any_two_steps_of_a_commit_is_healed() {
        // The steps after the manifest is in place: each removal, each renaming.
        for steps in 0..=4 {
            let dir = tempfile::tempdir().unwrap();
            let sink = sink(dir.path(), true);
            let (epoch, written) = write(&sink, 1, false, &[1]).await;
            epoch.commit(written, &[]).await.unwrap();
            let (_epoch, mut written) = write(&sink, 2, false, &[2]).await;
            let second = sink.begin(EpochId::new("p/other", 1));
            drop(second.await.unwrap());
            let name = written[0].detail.remove(0).as_str().unwrap().to_string();
            let old: Vec<String> = names(dir.path()).unwrap().into_iter().filter(|n| n.ends_with(".json")).collect();
            let manifest = Manifest {
                format: 1,
                application: "p/s".into(),
                epoch: 2,
                add: vec![(format!("{name}.tmp"), name.clone())],
                remove: old.clone(),
            };
            if steps > 0 {
                write_atomically(&sink.manifest_path("p/s"), &serde_json::to_vec(&manifest).unwrap()).unwrap();
            }
            if steps > 1 {
                fs::remove_file(dir.path().join(&old[0])).unwrap();
            }
            if steps > 2 {
                fs::rename(sink.hidden().join(format!("{name}.tmp")), dir.path().join(&name)).unwrap();
            }
            let committed = sink.committed("p/s").await.unwrap();
            assert_eq!(committed, Some(if steps == 0 { 1 } else { 2 }));
            let expected = if steps == 0 { r#"{"n":1} "# } else { r#"{"n":2} "# };
            assert_eq!(content(dir.path()), expected, "after {steps} steps");
        }
    }
}
