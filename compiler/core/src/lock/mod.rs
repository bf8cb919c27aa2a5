//! `flow.lock`: what the tables were when the programs of a directory were last found right. Pure: texts in, texts out; whoever calls reads and writes the
//! file. [`text`] is its format, [`drift`] compares, [`place`] shows differences in the program.
//!
//! What is kept is what a program is checked against. A table's version is that of the last change of anything kept, so that commits of rows do not touch the file.

pub mod drift;
pub mod place;
mod text;

pub use text::{LockError, damaged, missing};

use crate::load;
use flowc_ir::catalog::{Answer, Catalog, CatalogError, TableInfo, generated_table, location};
use flowc_ir::plan::{Connector, VersionSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use std::collections::BTreeMap;

/// What is known of a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A table, or files that say their columns.
    Table(Box<TableInfo>),
    /// Files whose columns have names (CSV with a header) or not even that (JSON): the program declares the types.
    Files(Vec<String>),
    /// Nothing: a sink will create it.
    Absent,
}

/// A place, as it was when a program that uses it was last right.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Relative to the directory of `flow.lock` where the program writes it so.
    pub location: String,
    /// The connector and its options, without the location.
    pub connector: serde_json::Map<String, serde_json::Value>,
    /// The version that a program pins; none: as it is now.
    pub at: Option<VersionSpec>,
    /// The programs that use it. One that uses it only with some `--param` stands here with ` --param` behind its name.
    pub programs: Vec<String>,
    /// What it is.
    pub found: Found,
}

/// All that a `flow.lock` says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lock {
    /// By location and version.
    entries: Vec<Entry>,
}

/// The program on whose behalf a lock is written.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    /// Its file's name, or path relative to the lock.
    pub program: &'a str,
    /// Whether parameters were given: what it asks without them is not known then.
    pub with_params: bool,
    /// The directory that relative locations start from.
    pub base: &'a str,
    /// The locations that are written relative to it.
    pub relative: &'a BTreeMap<String, String>,
}

impl Lock {
    /// The entries, by location and version.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes in what a program was told. Entries that it no longer uses, and nobody else, go.
    pub fn record(&mut self, user: User<'_>, answers: &[Answer]) {
        let with = format!("{} --param", user.program);
        if !user.with_params {
            self.entries.iter_mut().for_each(|e| e.programs.retain(|p| p != user.program));
        }
        for answer in answers {
            let Some(new) = entry(user, answer) else { continue };
            let place = self.entries.iter().position(|e| {
                e.at == new.at
                    && e.connector == new.connector
                    && load::join(user.base, &e.location) == load::join(user.base, &new.location)
            });
            let at = place.unwrap_or_else(|| {
                self.entries.push(Entry { programs: vec![], ..new.clone() });
                self.entries.len() - 1
            });
            let entry = &mut self.entries[at];
            if !same(&entry.found, &new.found) {
                entry.found = new.found;
            }
            let known = |p: &String| *p == user.program || user.with_params && *p == with;
            if !entry.programs.iter().any(known) {
                entry.programs.push(if user.with_params { with.clone() } else { user.program.to_string() });
                entry.programs.sort();
            }
            if !user.with_params {
                entry.programs.retain(|p| *p != with);
            }
        }
        self.entries.retain(|e| !e.programs.is_empty());
        self.sort();
    }

    /// Takes over what another lock has of places of which this one has nothing.
    pub fn complete(&mut self, other: &Lock, base: &str) {
        let place = |e: &Entry| load::join(base, &e.location);
        for entry in &other.entries {
            let same = |e: &Entry| e.at == entry.at && e.connector == entry.connector && place(e) == place(entry);
            if !self.entries.iter().any(same) {
                self.entries.push(entry.clone());
            }
        }
        self.sort();
    }

    /// Brings back what these answers had in an older lock: whoever got them still has to see the difference.
    pub fn hold(&mut self, older: &Lock, base: &str, answers: &[Answer]) {
        for answer in answers {
            let Some(old) = older.find(base, &answer.connector, answer.version) else { continue };
            let place = load::join(base, &old.location);
            let same = |e: &&mut Entry| {
                e.at == old.at && e.connector == old.connector && load::join(base, &e.location) == place
            };
            match self.entries.iter_mut().find(same) {
                Some(entry) => entry.found.clone_from(&old.found),
                None => self.entries.push(old.clone()),
            }
        }
        self.sort();
    }

    /// Forgets programs that are gone.
    pub fn keep_programs(&mut self, exists: impl Fn(&str) -> bool) {
        for entry in &mut self.entries {
            entry.programs.retain(|p| exists(p.strip_suffix(" --param").unwrap_or(p)));
        }
        self.entries.retain(|e| !e.programs.is_empty());
    }

    fn sort(&mut self) {
        let key =
            |e: &Entry| (e.location.clone(), e.connector.get("connector").map(ToString::to_string), e.at.map(text::at));
        self.entries.sort_by_key(key);
    }

    /// What it says of a question.
    pub fn find(&self, base: &str, connector: &Connector, version: Option<VersionSpec>) -> Option<&Entry> {
        let place = location(connector)?;
        let kind = kind(connector);
        self.entries.iter().find(|e| e.at == version && e.connector == kind && load::join(base, &e.location) == *place)
    }

    /// A catalog that answers from it, and opens nothing.
    pub fn catalog(&self, base: &str) -> LockedCatalog<'_> {
        LockedCatalog { lock: self, base: base.to_string() }
    }
}

/// What the lock keeps of an answer; none: nothing that could be locked.
fn entry(user: User<'_>, answer: &Answer) -> Option<Entry> {
    let place = location(&answer.connector)?;
    let found = match &answer.found {
        Ok(info) => Found::Table(Box::new(kept(info, answer.version.is_some()))),
        Err(CatalogError::NotFound) => Found::Absent,
        Err(CatalogError::Inferred(schema)) => {
            let named = matches!(answer.connector, Connector::Csv { header: true, .. });
            Found::Files(schema.fields.iter().filter(|_| named).map(|f| f.name.clone()).collect())
        }
        Err(_) => return None,
    };
    let location = user.relative.get(place).cloned().unwrap_or_else(|| place.to_string());
    Some(Entry { location, connector: kind(&answer.connector), at: answer.version, programs: vec![], found })
}

/// Properties that say nothing of how a table is read or written, and change by themselves.
const PASSED_OVER: &[&str] = &[
    "delta.columnMapping.maxColumnId",
    "delta.inCommitTimestampEnablement",
    "delta.constraints.",
    "delta.rowTracking.",
];

/// A table without what changes with its rows, and without what no program is checked against.
fn kept(info: &TableInfo, pinned: bool) -> TableInfo {
    let matters = |key: &str| key.starts_with("delta.") && !PASSED_OVER.iter().any(|p| key.starts_with(p));
    let mut kept = info.clone();
    kept.properties.retain(|key, _| matters(key));
    kept.properties.sort_keys();
    kept.column_ids.sort_keys();
    if !pinned {
        (kept.files, kept.rows) = (None, None);
    }
    kept
}

/// Whether nothing differs that is worth a line in a diff.
fn same(a: &Found, b: &Found) -> bool {
    match (a, b) {
        (Found::Table(a), Found::Table(b)) => {
            // An older version than before is another table.
            let newer = a.version <= b.version;
            newer
                && TableInfo { version: None, ..a.as_ref().clone() }
                    == TableInfo { version: None, ..b.as_ref().clone() }
        }
        _ => a == b,
    }
}

/// A connector's name and options without the location.
fn kind(connector: &Connector) -> serde_json::Map<String, serde_json::Value> {
    let mut fields = match serde_json::to_value(connector) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    fields.retain(|name, _| name != "location" && name != "glob");
    fields
}

/// Answers from a lock: `check --locked`.
#[derive(Debug)]
pub struct LockedCatalog<'a> {
    lock: &'a Lock,
    base: String,
}

impl Catalog for LockedCatalog<'_> {
    fn table(&self, connector: &Connector, version: Option<VersionSpec>) -> Result<TableInfo, CatalogError> {
        if matches!(connector, Connector::Generate { .. }) {
            return Ok(generated_table());
        }
        match self.lock.find(&self.base, connector, version).map(|e| &e.found) {
            Some(Found::Table(info)) => Ok(info.as_ref().clone()),
            Some(Found::Absent) => Err(CatalogError::NotFound),
            Some(Found::Files(names)) => {
                let column = |name: &String| Field::new(name, Type::nullable(DataType::String));
                Err(CatalogError::Inferred(Schema::new(names.iter().map(column).collect())))
            }
            None => Err(CatalogError::NotLocked(self.lacking(connector, version))),
        }
    }

    fn neighbours(&self, _connector: &Connector) -> Vec<String> {
        self.lock.entries.iter().map(|e| load::join(&self.base, &e.location)).collect()
    }
}

impl LockedCatalog<'_> {
    /// What the lock has instead.
    fn lacking(&self, connector: &Connector, version: Option<VersionSpec>) -> String {
        let place = location(connector).unwrap_or_default();
        let others: Vec<String> = self
            .lock
            .entries
            .iter()
            .filter(|e| load::join(&self.base, &e.location) == place)
            .map(|e| match e.at {
                _ if e.connector != kind(connector) => "with another connector, or other options".to_string(),
                Some(at) => format!("at {}", text::at(at)),
                None => "as it is now".to_string(),
            })
            .collect();
        match (others.as_slice(), version) {
            ([], _) => "no table is opened, and there is no entry for it".to_string(),
            (others, Some(at)) => format!("it is there {}, not at {}", others.join(" and "), text::at(at)),
            (others, None) => format!("it is there {}", others.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests;
