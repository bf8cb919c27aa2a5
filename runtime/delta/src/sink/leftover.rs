//! Files that a killed run left behind: it could not remove them, they are part of no table, and a vacuum does not see those that were not complete.
//! The next run of the same epoch knows them by their names. Knows names of files only.

use crate::storage::Storage;
use flowc_runtime::EpochId;
use std::path::Path;

/// The number that the names of an epoch's files begin with: the same whenever the epoch is run.
pub(super) fn mark(id: &EpochId) -> u64 {
    let text = format!("{}\0{}", id.application, id.epoch);
    // FNV-1a; a UUID's version and variant bits are set, so that the names are those of a version 8 UUID.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash & !0xF000 | 0x8000
}

/// Removes the files with this mark from a table of the local file system, as far as possible. None of them is in the log: the epoch was not committed.
pub(super) async fn remove(storage: &Storage, mark: u64) {
    let Ok(root) = storage.log_store().root_url().to_file_path() else { return };
    let (unique, _) = uuid_half(mark);
    // What remains is part of no table.
    let _ = tokio::task::spawn_blocking(move || walk(&root, &unique)).await;
}

/// How the mark stands in names, with the rest of the UUID.
fn uuid_half(mark: u64) -> (String, String) {
    let text = uuid::Uuid::from_u64_pair(mark, 0).to_string();
    let (unique, rest) = text.split_at(19);
    (unique.to_string(), rest.to_string())
}

/// Data files, files of the change data feed, and deletion vectors.
fn is_ours(name: &str) -> bool {
    ["part-", "cdc-", "deletion_vector_"].iter().any(|start| name.starts_with(start))
}

fn walk(folder: &Path, unique: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && name != "_delta_log" => walk(&entry.path(), unique),
            Ok(kind) if kind.is_file() && is_ours(&name) && name.contains(unique) => {
                let _ = std::fs::remove_file(entry.path());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_epochs_own_files_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = Storage::open(&directory.path().to_string_lossy()).expect("a place");
        let id = |application: &str, epoch| EpochId { resumed: true, ..EpochId::new(application, epoch) };
        let name = |folder: &str, id: &EpochId, end: &str| {
            let unique = uuid::Uuid::from_u64_pair(mark(id), uuid::Uuid::new_v4().as_u64_pair().1);
            let path = directory.path().join(format!("{folder}/part-00000-00000-{unique}.zstd.parquet{end}"));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, "x").expect("a file");
            path
        };
        let (mine, next, other) = (id("p/s", 3), id("p/s", 4), id("p/t", 3));
        let vector = |id: &EpochId| {
            let unique = uuid::Uuid::from_u64_pair(mark(id), 7);
            let path = directory.path().join(format!("deletion_vector_{unique}.bin"));
            std::fs::write(&path, "x").expect("a file");
            path
        };
        let change = name("_change_data/day=1", &mine, "");
        let cdc = change.with_file_name(change.file_name().expect("a name").to_string_lossy().replace("part-", "cdc-"));
        std::fs::rename(change, &cdc).expect("moves");
        let gone = [name(".", &mine, ""), name("day=1", &mine, "#1"), vector(&mine), cdc];
        let kept = [name(".", &next, ""), name("day=1", &other, ""), name("_delta_log", &mine, ""), vector(&next)];
        tokio::runtime::Runtime::new().expect("a runtime").block_on(remove(&storage, mark(&mine)));
        assert!(gone.iter().all(|path| !path.exists()));
        assert!(kept.iter().all(|path| path.exists()));
    }
}
