//! What differs between a table as it was locked and as it is: change by change, each of which can be taken back alone, so that it can be seen what depends
//! on it. Knows tables; nothing of programs.

use super::{Found, Lock};
use crate::check::{article, list};
use crate::codes;
use flowc_ir::catalog::{Answer, CatalogError, TableInfo};
use flowc_ir::types::quote_name;
use flowc_ir::{DataType, Field, Type};

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A column came.
    Added(Field),
    /// A column went.
    Dropped(Field),
    /// A column has another name: the old one, and the column as it is.
    Renamed(String, Field),
    /// A column, or a field of a struct in one (with dots), has another type or may be null now, or no longer: as it was, as it is.
    Retyped(String, Type, Type),
    /// A CHECK constraint or column invariant: as it was, as it is.
    Constraint(String, Option<String>, Option<String>),
    /// A generated column's expression: as it was, as it is.
    Generated(String, Option<String>, Option<String>),
    /// The partition columns.
    Partitioned(Vec<String>, Vec<String>),
    /// A property.
    Property(String, Option<String>, Option<String>),
    /// A feature of the protocol came (or went), and whether flowc can read and write the table with it.
    Feature(String, bool),
    /// The table is gone.
    Gone,
    /// Its newest version is older than the one that was locked: another table stands there.
    Replaced(u64, u64),
}

/// A table that differs from what was locked.
#[derive(Debug, Clone)]
pub struct Drift {
    /// What was asked, and how it is.
    pub answer: Answer,
    /// How it was.
    pub was: TableInfo,
    /// What differs, with the time at which it came to be so.
    pub changes: Vec<(Change, Option<When>)>,
}

/// When a table changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The version that changed it, or the first after it that is still known.
    pub version: u64,
    /// The version known before, where those between are gone.
    pub after: Option<u64>,
    /// What that version was: `ALTER TABLE at …`.
    pub what: String,
}

/// A table at a version that changed it.
#[derive(Debug, Clone)]
pub struct Moment {
    /// When.
    pub when: When,
    /// How it was from then on.
    pub info: TableInfo,
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.after {
            Some(after) => write!(f, "between version {after} and version {}", self.version),
            None if self.what.is_empty() => write!(f, "at version {}", self.version),
            None => write!(f, "at version {} ({})", self.version, self.what),
        }
    }
}

impl Change {
    /// The code of its warning.
    pub fn code(&self) -> &'static str {
        match self {
            Change::Added(_) | Change::Dropped(_) | Change::Renamed(..) | Change::Retyped(..) => codes::COLUMN_DRIFT,
            Change::Constraint(..) | Change::Generated(..) => codes::RULE_DRIFT,
            _ => codes::STORAGE_DRIFT,
        }
    }

    /// The column that it is about, as it is called now; where it is gone, as it was.
    pub fn column(&self) -> Option<&str> {
        match self {
            Change::Added(f) | Change::Dropped(f) => Some(&f.name),
            Change::Renamed(was, _) => Some(was),
            Change::Retyped(path, ..) => path.split('.').next(),
            _ => None,
        }
    }

    /// What happened, in one sentence without its time.
    pub fn sentence(&self) -> String {
        match self {
            Change::Added(field) => format!("the column {} was added", tick(&field.name)),
            Change::Dropped(field) => format!("the column {} was dropped", tick(&field.name)),
            Change::Renamed(was, field) => format!("{} was renamed to {}", tick(was), tick(&field.name)),
            Change::Retyped(path, was, is) if was.data == is.data => {
                format!("{} {}", tick(path), if is.nullable { "became nullable" } else { "is no longer nullable" })
            }
            Change::Retyped(path, was, is) => {
                format!("{} was {}, and is {}", tick(path), article(was), article(is))
            }
            Change::Constraint(name, None, _) => format!("the constraint {} was added", tick(name)),
            Change::Constraint(name, _, None) => format!("the constraint {} was dropped", tick(name)),
            Change::Constraint(name, ..) => format!("the constraint {} changed", tick(name)),
            Change::Generated(name, None, _) => format!("{} became a generated column", tick(name)),
            Change::Generated(name, _, None) => format!("{} is no longer a generated column", tick(name)),
            Change::Generated(name, ..) => format!("the generated column {} is computed in another way", tick(name)),
            Change::Partitioned(was, is) => {
                format!("it was partitioned by {}, and is by {}", columns(was), columns(is))
            }
            Change::Property(key, None, Some(is)) => format!("the property `{key}` was set to `{is}`"),
            Change::Property(key, _, None) => format!("the property `{key}` was removed"),
            Change::Property(key, was, is) => {
                let text = |v: &Option<String>| v.clone().unwrap_or_default();
                format!("the property `{key}` was `{}`, and is `{}`", text(was), text(is))
            }
            Change::Feature(name, true) => format!("its protocol got the feature `{name}`"),
            Change::Feature(name, false) => format!("its protocol no longer has the feature `{name}`"),
            Change::Gone => "the table is gone".to_string(),
            Change::Replaced(was, is) => {
                format!("it was replaced: its newest version is {is}, flow.lock has version {was}")
            }
        }
    }

    /// As lines of a diff.
    pub fn diff(&self) -> Vec<String> {
        let column = |f: &Field| f.to_string();
        let rule = |sign: &str, name: &str, text: &Option<String>| text.as_ref().map(|t| format!("{sign} {name}: {t}"));
        match self {
            Change::Added(field) => vec![format!("+ {}", column(field))],
            Change::Dropped(field) => vec![format!("- {}", column(field))],
            Change::Renamed(was, field) => {
                vec![format!("- {}: {}", quote_name(was), field.ty), format!("+ {}", column(field))]
            }
            Change::Retyped(path, was, is) => vec![format!("- {path}: {was}"), format!("+ {path}: {is}")],
            Change::Constraint(name, was, is) | Change::Generated(name, was, is) | Change::Property(name, was, is) => {
                rule("-", name, was).into_iter().chain(rule("+", name, is)).collect()
            }
            _ => vec![],
        }
    }

    /// The table as it is, with this change taken back.
    pub fn without(&self, was: &TableInfo, is: &TableInfo) -> TableInfo {
        let mut info = is.clone();
        let pairs = |of: &[(String, String)], name: &str, old: &Option<String>| {
            let mut all: Vec<_> = of.iter().filter(|(n, _)| n != name).cloned().collect();
            all.extend(old.iter().map(|text| (name.to_string(), text.clone())));
            all.sort();
            all
        };
        match self {
            Change::Added(field) => info.schema.fields.retain(|f| f.name != field.name),
            Change::Dropped(field) => {
                let at = was.schema.index_of(&field.name).unwrap_or_default().min(info.schema.len());
                info.schema.fields.insert(at, field.clone());
            }
            Change::Renamed(name, field) => {
                info.schema.fields.iter_mut().filter(|f| f.name == field.name).for_each(|f| f.name.clone_from(name));
            }
            Change::Retyped(path, ..) => {
                let root = path.split('.').next().unwrap_or(path);
                let old = was.schema.field(root).map(|f| f.ty.clone());
                for field in info.schema.fields.iter_mut().filter(|f| f.name == root) {
                    field.ty = old.clone().unwrap_or_else(|| field.ty.clone());
                }
            }
            Change::Constraint(name, old, _) => info.constraints = pairs(&info.constraints, name, old),
            Change::Generated(name, old, _) => info.generated = pairs(&info.generated, name, old),
            Change::Partitioned(old, _) => info.partition_by.clone_from(old),
            Change::Property(key, old, _) => {
                match old {
                    Some(value) => drop(info.properties.insert(key.clone(), value.clone())),
                    None => drop(info.properties.shift_remove(key)),
                }
                info.append_only = info.properties.get("delta.appendOnly").is_some_and(|v| v == "true");
            }
            Change::Feature(name, true) => {
                info.features.retain(|f| f != name);
                info.unreadable.retain(|f| f != name);
                info.unwritable.retain(|f| f != name);
            }
            Change::Feature(name, false) => info.features.push(name.clone()),
            Change::Gone | Change::Replaced(..) => return was.clone(),
        }
        info
    }
}

fn tick(name: &str) -> String {
    format!("`{name}`")
}

fn columns(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_string() } else { list(names) }
}

/// What differs, in the order of the table's columns. Comments and descriptions are documentation: they do not count.
pub fn changes(was: &TableInfo, is: &TableInfo) -> Vec<Change> {
    let mut found = vec![];
    if let (Some(old), Some(new)) = (was.version, is.version)
        && new < old
    {
        found.push(Change::Replaced(old, new));
    }
    changed_columns(was, is, &mut found);
    pairs(&was.constraints, &is.constraints, Change::Constraint, &mut found);
    pairs(&was.generated, &is.generated, Change::Generated, &mut found);
    if was.partition_by != is.partition_by {
        found.push(Change::Partitioned(was.partition_by.clone(), is.partition_by.clone()));
    }
    let sorted = |info: &TableInfo| {
        let mut all: Vec<_> = info.properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        all.sort();
        all
    };
    pairs(&sorted(was), &sorted(is), Change::Property, &mut found);
    let came = is.features.iter().filter(|f| !was.features.contains(f)).map(|f| Change::Feature(f.clone(), true));
    let went = was.features.iter().filter(|f| !is.features.contains(f)).map(|f| Change::Feature(f.clone(), false));
    found.extend(came.chain(went));
    found
}

fn pairs(
    was: &[(String, String)],
    is: &[(String, String)],
    change: fn(String, Option<String>, Option<String>) -> Change,
    found: &mut Vec<Change>,
) {
    let of = |all: &[(String, String)], name: &str| all.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone());
    let names = was.iter().chain(is.iter().filter(|(n, _)| of(was, n).is_none())).map(|(n, _)| n);
    for name in names {
        let (old, new) = (of(was, name), of(is, name));
        if old != new {
            found.push(change(name.clone(), old, new));
        }
    }
}

fn changed_columns(was: &TableInfo, is: &TableInfo, found: &mut Vec<Change>) {
    // A table that maps its columns says which is which whatever its name.
    let now = |field: &Field| match was.column_ids.get(&field.name) {
        Some(id) if is.column_ids.values().any(|i| i == id) => {
            is.column_ids.iter().find(|(_, i)| *i == id).and_then(|(name, _)| is.schema.field(name))
        }
        Some(_) if !is.column_ids.is_empty() => None,
        _ => is.schema.field(&field.name),
    };
    let mut kept = vec![];
    for field in &was.schema.fields {
        let Some(new) = now(field) else {
            found.push(Change::Dropped(field.clone()));
            continue;
        };
        kept.push(new.name.as_str());
        if new.name != field.name {
            found.push(Change::Renamed(field.name.clone(), new.clone()));
        }
        retyped(&new.name, &field.ty, &new.ty, found);
    }
    let added = is.schema.fields.iter().filter(|f| !kept.contains(&f.name.as_str()));
    found.extend(added.map(|f| Change::Added(f.clone())));
}

/// The differences of a column's types; those inside of structs by themselves.
fn retyped(path: &str, was: &Type, is: &Type, found: &mut Vec<Change>) {
    if let (DataType::Struct(old), DataType::Struct(new)) = (&was.data, &is.data)
        && old.len() == new.len()
        && old.iter().zip(new).all(|(a, b)| a.name == b.name)
    {
        if was.nullable != is.nullable {
            let plain = |ty: &Type| Type { data: is.data.clone(), nullable: ty.nullable };
            found.push(Change::Retyped(path.to_string(), plain(was), plain(is)));
        }
        old.iter().zip(new).for_each(|(a, b)| retyped(&format!("{path}.{}", a.name), &a.ty, &b.ty, found));
    } else if !same_type(was, is) {
        found.push(Change::Retyped(path.to_string(), was.clone(), is.clone()));
    }
}

/// Whether two types are the same, whatever the comments inside.
fn same_type(a: &Type, b: &Type) -> bool {
    a.nullable == b.nullable
        && match (&a.data, &b.data) {
            (DataType::Array(x), DataType::Array(y)) => same_type(x, y),
            (DataType::Map(k, v), DataType::Map(l, w)) => k == l && same_type(v, w),
            (DataType::Struct(x), DataType::Struct(y)) => {
                x.len() == y.len() && x.iter().zip(y).all(|(f, g)| f.name == g.name && same_type(&f.ty, &g.ty))
            }
            (x, y) => x == y,
        }
}

impl Lock {
    /// The tables among these answers that differ from what is locked; when each change came is not known yet.
    pub fn drift(&self, base: &str, answers: &[Answer]) -> Vec<Drift> {
        let mut found = vec![];
        for answer in answers {
            let locked = self.find(base, &answer.connector, answer.version).map(|e| &e.found);
            let Some(Found::Table(was)) = locked else { continue };
            let changes = match &answer.found {
                Ok(info) => changes(was, &super::kept(info, answer.version.is_some())),
                Err(CatalogError::NotFound) => vec![Change::Gone],
                Err(_) => continue,
            };
            if !changes.is_empty() {
                let changes = changes.into_iter().map(|c| (c, None)).collect();
                found.push(Drift { answer: answer.clone(), was: was.as_ref().clone(), changes });
            }
        }
        found
    }
}

impl Drift {
    /// Dates the changes by the versions that changed the table: each came with the first version from which on it was there.
    pub fn date(&mut self, moments: &[Moment]) {
        let pinned = self.answer.version.is_some();
        let since: Vec<Vec<Change>> =
            moments.iter().map(|m| changes(&self.was, &super::kept(&m.info, pinned))).collect();
        for (change, when) in &mut self.changes {
            let first = since.iter().rposition(|there| !there.contains(change)).map_or(0, |before| before + 1);
            *when = moments.get(first).map(|m| m.when.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::text::parse_program;

    fn table(columns: &str) -> TableInfo {
        let program = parse_program(&format!("program ({columns}) {{ }}")).expect("columns");
        TableInfo { schema: program.input, version: Some(1), ..TableInfo::default() }
    }

    fn sentences(was: &TableInfo, is: &TableInfo) -> Vec<String> {
        changes(was, is).iter().map(Change::sentence).collect()
    }

    #[test]
    fn columns_are_compared_by_name_and_inside_of_structs() {
        let was = table("id: integer, value: double, gone: string, a: struct<x: long, y: string?>");
        let is = table("id: long, value: double?, a: struct<x: long?, y: string?>, new: date?");
        assert_eq!(
            sentences(&was, &is),
            [
                "`id` was an `integer`, and is a `long`",
                "`value` became nullable",
                "the column `gone` was dropped",
                "`a.x` became nullable",
                "the column `new` was added",
            ]
        );
        assert_eq!(changes(&was, &was), []);
    }

    #[test]
    fn a_mapped_column_is_known_by_its_id() {
        let ids = |names: &[(&str, i64)]| names.iter().map(|(n, i)| (n.to_string(), *i)).collect();
        let was = TableInfo { column_ids: ids(&[("id", 1), ("value", 2)]), ..table("id: integer, value: double") };
        let is = TableInfo { column_ids: ids(&[("id", 1), ("reading", 2)]), ..table("id: integer, reading: double?") };
        assert_eq!(sentences(&was, &is), ["`value` was renamed to `reading`", "`reading` became nullable"]);
        let again = TableInfo { column_ids: ids(&[("id", 1), ("value", 3)]), ..table("id: integer, value: double") };
        assert_eq!(sentences(&was, &again), ["the column `value` was dropped", "the column `value` was added"]);
    }

    #[test]
    fn rules_and_storage_are_compared() {
        let rule = |name: &str, text: &str| (name.to_string(), text.to_string());
        let was = TableInfo {
            constraints: vec![rule("a", "id > 0"), rule("b", "id < 9")],
            partition_by: vec!["id".into()],
            features: vec!["appendOnly".into()],
            ..table("id: integer")
        };
        let is = TableInfo {
            constraints: vec![rule("a", "id >= 0"), rule("c", "id <> 5")],
            features: vec!["appendOnly".into(), "deletionVectors".into()],
            properties: [rule("delta.appendOnly", "true")].into_iter().collect(),
            version: Some(0),
            ..table("id: integer")
        };
        assert_eq!(
            sentences(&was, &is),
            [
                "it was replaced: its newest version is 0, flow.lock has version 1",
                "the constraint `a` changed",
                "the constraint `b` was dropped",
                "the constraint `c` was added",
                "it was partitioned by `id`, and is by nothing",
                "the property `delta.appendOnly` was set to `true`",
                "its protocol got the feature `deletionVectors`",
            ]
        );
    }

    #[test]
    fn taking_every_change_back_gives_the_old_table() {
        let was = table("id: integer, value: double, gone: string");
        let is = table("id: long, value: double?, new: date?");
        let mut back = is.clone();
        for change in changes(&was, &is) {
            back = change.without(&was, &back);
        }
        assert_eq!(back.schema, was.schema);
    }

    #[test]
    fn a_change_is_dated_by_the_version_that_made_it_for_good() {
        let was = table("id: integer, value: double");
        let moment = |version, columns: &str| Moment {
            when: When { version, after: None, what: String::new() },
            info: table(columns),
        };
        let moments = [
            moment(5, "id: integer, value: double?"),
            moment(6, "id: integer, value: double"),
            moment(7, "id: integer, value: double, x: long?"),
            moment(9, "id: integer, value: double?, x: long?"),
        ];
        let answer = Answer {
            connector: flowc_ir::plan::Connector::Delta { location: "/t".into() },
            version: None,
            found: Ok(moments[3].info.clone()),
        };
        let changes = changes(&was, &moments[3].info).into_iter().map(|c| (c, None)).collect();
        let mut drift = Drift { answer, was, changes };
        drift.date(&moments);
        let dated: Vec<_> = drift.changes.iter().map(|(c, w)| (c.sentence(), w.as_ref().map(|w| w.version))).collect();
        assert_eq!(
            dated,
            [("`value` became nullable".to_string(), Some(9)), ("the column `x` was added".to_string(), Some(7))]
        );
    }
}
