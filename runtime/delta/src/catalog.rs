//! What the compiler asks of Delta tables. Synchronous: it brings its own threads, so it may be called from anywhere. Knows the log; nothing of
//! running.

use crate::facts;
use crate::log::Snapshot;
use crate::log::features::{self, Features};
use crate::schema;
use crate::sink::is_data_file;
use crate::storage::{Storage, StorageError};
use deltalake::logstore::object_store::{ObjectStore, ObjectStoreExt, path::Path};
use flowc_ir::catalog::{Catalog, CatalogError, TableInfo};
use flowc_ir::plan::{Connector, VersionSpec};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

type Answers = BTreeMap<(String, Option<(bool, i64)>), Result<TableInfo, CatalogError>>;

/// A catalog of Delta tables. Each table is looked at once: the answers stay the same for the life of the catalog. Other connectors are asked of the
/// inner catalog.
pub struct DeltaCatalog {
    inner: Arc<dyn Catalog + Send + Sync>,
    answers: Mutex<Answers>,
}

impl fmt::Debug for DeltaCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeltaCatalog")
    }
}

impl DeltaCatalog {
    /// Asks `inner` for everything that is not a Delta table.
    pub fn new(inner: Arc<dyn Catalog + Send + Sync>) -> Self {
        DeltaCatalog { inner, answers: Mutex::default() }
    }
}

/// Runs a future to its end on a thread of its own, so that a caller inside a runtime is no problem.
pub(crate) fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Files are read one after the other, mostly: each thread more costs more than it saves.
            let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).enable_all().build();
            Ok(runtime.map_err(|e| e.to_string())?.block_on(work))
        });
        thread.join().unwrap_or_else(|_| Err("reading the table failed unexpectedly".into()))
    })
}

impl Catalog for DeltaCatalog {
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        let Connector::Delta { location } = connector else {
            return self.inner.table(connector, version);
        };
        let key = version.map(|v| match v {
            VersionSpec::Number(n) => (false, n as i64),
            VersionSpec::Timestamp(t) => (true, t),
        });
        let key = (location.clone(), key);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(&key) {
            return answer.clone();
        }
        let answer = block_on(look(location, version)).unwrap_or_else(|e| Err(CatalogError::Unreachable(e)));
        answers.insert(key, answer.clone());
        answer
    }

    fn neighbours(&self, connector: &Connector) -> Vec<String> {
        match connector {
            Connector::Delta { location } => block_on(neighbours(location)).unwrap_or_default(),
            other => self.inner.neighbours(other),
        }
    }
}

async fn look(location: &str, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
    let storage = Storage::open(location).map_err(|e| CatalogError::Unreachable(e.to_string()))?;
    if is_file(location) {
        return Err(CatalogError::NotATable("a file; a Delta table is a folder with a `_delta_log`".into()));
    }
    match load(&storage, version).await {
        Ok(snapshot) => {
            let mut info = table_info(&snapshot)?;
            if let Some(VersionSpec::Number(_)) = version {
                info.bounds = facts::table_bounds(&snapshot, &info.schema);
            }
            Ok(info)
        }
        Err(StorageError::NoTable) => Err(what_else(&storage).await),
        Err(StorageError::NoSuchVersion { oldest, newest }) => Err(CatalogError::NoSuchVersion { oldest, newest }),
        Err(other) => Err(CatalogError::Unreachable(format!("{location}: {other}"))),
    }
}

fn is_file(location: &str) -> bool {
    let path = crate::storage::location_url(location).ok().and_then(|url| url.to_file_path().ok());
    // A folder's URL ends with a slash, and no file's path does.
    path.is_some_and(|p| p.components().collect::<std::path::PathBuf>().is_file())
}

/// The table at a version.
pub async fn load(storage: &Storage, version: Option<VersionSpec>) -> Result<Snapshot, StorageError> {
    let number = match version {
        Some(version) => Some(Snapshot::resolve(storage, version).await?),
        None => None,
    };
    Snapshot::load(storage, number).await
}

/// What the compiler wants to know of a table.
pub fn table_info(snapshot: &Snapshot) -> Result<TableInfo, CatalogError> {
    let metadata = &snapshot.metadata;
    let fields = schema::parse(&metadata.schema_string).map_err(|e| CatalogError::Unreachable(e.to_string()))?;
    let features = Features::of(&snapshot.protocol, metadata, &fields);
    let columns = schema::to_flowc(&fields).map_err(|e| CatalogError::UnknownType(e.column, e.ty))?;
    let bytes = snapshot.files.values().map(|f| f.size.max(0) as u64).sum();
    Ok(TableInfo {
        schema: columns,
        partition_by: metadata.partition_columns.clone(),
        constraints: features::constraints(metadata, &fields),
        generated: features::generated(&fields),
        properties: metadata.properties().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        version: Some(snapshot.version),
        features: features.all,
        unreadable: features.unreadable,
        unwritable: features.unwritable,
        column_ids: fields.iter().filter_map(|f| Some((f.name.clone(), f.id()?))).collect(),
        padded: fields.iter().filter(|f| is_padded(f)).map(|f| f.name.clone()).collect(),
        append_only: metadata.enabled("delta.appendOnly"),
        description: metadata.description.clone(),
        files: Some((snapshot.files.len() as u64, bytes)),
        rows: snapshot.files.values().map(|f| f.rows()).sum(),
        bounds: vec![],
    })
}

/// Whether a column was declared as `char(n)`.
fn is_padded(field: &schema::DeltaField) -> bool {
    let declared = field.metadata.get("__CHAR_VARCHAR_TYPE_STRING").and_then(|v| v.as_str());
    declared.is_some_and(|declared| declared.starts_with("char"))
}

/// What lies where a table was expected.
async fn what_else(storage: &Storage) -> CatalogError {
    let store = storage.store();
    let listing = match store.list_with_delimiter(None).await.map_err(StorageError::from) {
        Ok(listing) => listing,
        Err(StorageError::Missing(_)) => return CatalogError::NotFound,
        Err(other) => return CatalogError::Unreachable(format!("{}: {other}", storage.location())),
    };
    let folders: Vec<&str> = listing.common_prefixes.iter().filter_map(|p| p.filename()).collect();
    if only_unfinished_writes(store.as_ref()).await {
        return CatalogError::NotFound;
    }
    if folders.contains(&"_delta_log") {
        return CatalogError::NotATable("a folder whose `_delta_log` has no commit".into());
    }
    if folders.contains(&"metadata") && folders.contains(&"data") {
        return CatalogError::NotATable("an Iceberg table".into());
    }
    if folders.contains(&".hoodie") {
        return CatalogError::NotATable("a Hudi table".into());
    }
    if folders.is_empty() && listing.objects.is_empty() {
        return CatalogError::NotFound;
    }
    let tables = tables_in(storage, &listing.common_prefixes).await;
    if !tables.is_empty() {
        return CatalogError::NotATable(format!("a folder of Delta tables: {}", tables.join(", ")));
    }
    for (suffix, name) in [(".parquet", "Parquet"), (".csv", "CSV"), (".json", "JSON")] {
        if listing.objects.iter().any(|o| o.location.as_ref().ends_with(suffix)) {
            return CatalogError::NotATable(format!("a folder of {name} files without a `_delta_log`"));
        }
    }
    CatalogError::NotATable("a folder without a `_delta_log`".into())
}

/// Whether all that is there are data files of flowc's that no commit refers to: a run that was to create the table was killed before its commit. There is
/// no table then, and the next run creates it.
async fn only_unfinished_writes(store: &dyn ObjectStore) -> bool {
    let mut objects = store.list(None);
    while let Some(object) = objects.next().await {
        let unfinished = object.is_ok_and(|o| {
            let logged = o.location.parts().next().is_some_and(|part| part.as_ref() == "_delta_log");
            let commit = [".json", ".parquet", "_last_checkpoint"].iter().any(|end| o.location.as_ref().ends_with(end));
            if logged { !commit } else { o.location.filename().is_some_and(is_data_file) }
        });
        if !unfinished {
            return false;
        }
    }
    true
}

async fn tables_in(storage: &Storage, folders: &[Path]) -> Vec<String> {
    let store = storage.store();
    let mut names = vec![];
    for folder in folders.iter().take(100) {
        let Some(name) = folder.filename() else { continue };
        if has_log(store.as_ref(), folder).await {
            names.push(name.to_string());
        }
    }
    names.sort();
    names
}

async fn has_log(store: &dyn ObjectStore, folder: &Path) -> bool {
    let log = folder.clone().join("_delta_log");
    if store.head(&log.clone().join("00000000000000000000.json")).await.is_ok() {
        return true;
    }
    store.list_with_delimiter(Some(&log)).await.is_ok_and(|l| !l.objects.is_empty())
}

/// The tables beside a location, as locations.
async fn neighbours(location: &str) -> Vec<String> {
    let trimmed = location.trim_end_matches('/');
    let Some((parent, _)) = trimmed.rsplit_once('/') else { return vec![] };
    let Ok(storage) = Storage::open(if parent.is_empty() { "/" } else { parent }) else { return vec![] };
    let Ok(listing) = storage.store().list_with_delimiter(None).await else { return vec![] };
    let names = tables_in(&storage, &listing.common_prefixes).await;
    names.into_iter().map(|name| format!("{parent}/{name}")).collect()
}
