//! The file system as the library asks for it: texts, names in folders, and the programs of a folder. Must not know what stands in the files.

use crate::world::FileLoader;
use flowc_ide::{LoadError, Loader, PathLister};
use std::path::Path;

/// Files on disk.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl Loader for Disk {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        FileLoader.load(path)
    }
}

/// A folder with more names than anyone picks from is listed as far as this.
const LISTED: usize = 1000;

impl PathLister for Disk {
    fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
        let name = |entry: std::fs::DirEntry| {
            let mark = if entry.file_type().is_ok_and(|t| t.is_dir()) { "/" } else { "" };
            format!("{}{mark}", entry.file_name().to_string_lossy())
        };
        let mut names: Vec<String> = entries.take(LISTED).flatten().map(name).collect();
        names.sort();
        names
    }
}

/// How deep, and how many, programs are looked for in a folder that is opened.
const DEPTH: usize = 6;
const PROGRAMS: usize = 500;

/// The `.flow` files in a folder and below it; hidden folders, and those of builds, are left out.
pub fn programs(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut open = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                let skipped =
                    name.starts_with('.') || matches!(name.as_str(), "target" | "node_modules" | "_delta_log");
                if !skipped && depth < DEPTH {
                    open.push((path, depth + 1));
                }
            } else if name.ends_with(".flow") && found.len() < PROGRAMS {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
