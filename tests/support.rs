//! What the tests share: temporary projects, running the binary, and an independent reader of Delta tables that knows nothing of flowc.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The directory of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The built binary.
pub fn flowc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowc"));
    command.env("NO_COLOR", "1");
    command
}

/// A directory for one test, gone afterwards.
pub struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// An empty one.
    pub fn new() -> Self {
        Project { dir: tempfile::tempdir().unwrap() }
    }

    /// One with a copy of an example.
    pub fn example(name: &str) -> Self {
        let project = Project::new();
        copy_tracked(&root().join("examples").join(name), project.path());
        project
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file; directories are made.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Runs `flowc` here with these words.
    pub fn flowc(&self, words: &[&str]) -> Ran {
        Ran::of(flowc().args(words).current_dir(self.path()))
    }

    /// Runs a program that must succeed.
    pub fn run(&self, program: &str) -> Ran {
        self.flowc(&["run", program]).expect(0)
    }

    /// Makes or extends a Delta table from JSON lines, with a program of flowc. `schema` as in a `schema` block; columns without `?` become NOT NULL.
    pub fn table(&self, name: &str, schema: &str, rows: &[&str]) {
        let files = self.path().join(format!("seed/{name}"));
        let count = std::fs::read_dir(&files).map_or(0, Iterator::count);
        self.write(&format!("seed/{name}/{count:04}.json"), &(rows.join("\n") + "\n"));
        let program = format!(
            "source rows = json(\"seed/{name}/*.json\") {{ schema {{ {schema} }} }}\n\
             flow all = rows\nsink out = all -> delta(\"{name}\")\n"
        );
        let program_name = format!("seed_{}.flow", name.replace('/', "_"));
        self.write(&program_name, &program);
        self.run(&program_name);
    }

    /// The rows of a Delta table as it is now, as JSON, sorted.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        rows(&self.path().join(table))
    }

    /// The newest version of a Delta table; none if there is none.
    pub fn version(&self, table: &str) -> Option<u64> {
        commits(&self.path().join(table)).len().checked_sub(1).map(|v| v as u64)
    }

    /// The actions of a commit.
    pub fn commit(&self, table: &str, version: u64) -> Vec<Value> {
        let path = self.path().join(table).join(format!("_delta_log/{version:020}.json"));
        actions(&path)
    }

    /// What a Delta table is: the newest `metaData` of its log.
    pub fn metadata(&self, table: &str) -> Value {
        let commits = commits(&self.path().join(table));
        let found = commits.iter().rev().flat_map(|c| actions(c)).find_map(|a| a.get("metaData").cloned());
        found.expect("a log has metadata")
    }

    /// Commits actions to a Delta table, as another writer would.
    pub fn commit_by_hand(&self, table: &str, operation: &str, actions: &[Value]) {
        let info = serde_json::json!({ "commitInfo": { "operation": operation, "timestamp": 1_767_225_600_000_i64 } });
        let lines: Vec<String> = std::iter::once(&info).chain(actions).map(ToString::to_string).collect();
        let version = self.version(table).map_or(0, |v| v + 1);
        self.write(&format!("{table}/_delta_log/{version:020}.json"), &(lines.join("\n") + "\n"));
    }

    /// Changes what a Delta table is, as ALTER TABLE of another engine does.
    pub fn alter(&self, table: &str, operation: &str, change: impl FnOnce(&mut Value)) {
        let mut metadata = self.metadata(table);
        change(&mut metadata);
        self.commit_by_hand(table, operation, &[serde_json::json!({ "metaData": metadata })]);
    }

    /// Changes the columns of a Delta table.
    pub fn alter_columns(&self, table: &str, operation: &str, change: impl FnOnce(&mut Vec<Value>)) {
        self.alter(table, operation, |metadata| {
            let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
            change(schema["fields"].as_array_mut().unwrap());
            metadata["schemaString"] = schema.to_string().into();
        });
    }

    /// Every file below, by path, with its content: to assert that nothing changed.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.path(), &mut found);
        found
    }
}

fn collect(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let content = std::fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
}

/// Copies a directory, without what programs made in it: what git knows, or outside a repository all but the usual results.
fn copy_tracked(from: &Path, to: &Path) {
    let listed = Command::new("git").args(["ls-files", "-z", "."]).current_dir(from).output();
    let listed = listed.map(|o| String::from_utf8(o.stdout).unwrap()).unwrap_or_default();
    let mut names: Vec<PathBuf> = listed.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect();
    if names.is_empty() {
        let mut found = BTreeMap::new();
        collect(from, &mut found);
        names = found.into_keys().map(|p| p.strip_prefix(from).unwrap().to_path_buf()).collect();
        names.retain(|n| !n.components().any(|c| [".flow", "sensor_result"].iter().any(|made| c.as_os_str() == *made)));
    }
    for name in names {
        let target = to.join(&name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(name), target).unwrap();
    }
}

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Ran {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Ran {
            status: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Fails, with all that was written, if it ended with another status.
    #[track_caller]
    pub fn expect(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in\n{}", self.stdout))
    }

    /// Standard output as a JSON document a line.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in\n{l}"))).collect()
    }
}

/// The commit files of a Delta table, oldest first.
fn commits(table: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(table.join("_delta_log")) else { return vec![] };
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|f| {
        let name = f.file_name().unwrap().to_string_lossy().into_owned();
        name.len() == 25 && name.ends_with(".json")
    });
    files.sort();
    files
}

fn actions(commit: &Path) -> Vec<Value> {
    std::fs::read_to_string(commit).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// The rows of a Delta table, by replaying its log and reading its Parquet files.
pub fn rows(table: &Path) -> Vec<Value> {
    let mut files: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for commit in commits(table) {
        for action in actions(&commit) {
            if let Some(add) = action.get("add") {
                let values = add["partitionValues"].as_object().unwrap().clone();
                files.insert(add["path"].as_str().unwrap().to_string(), values);
            } else if let Some(remove) = action.get("remove") {
                files.remove(remove["path"].as_str().unwrap());
            }
        }
    }
    let mut found = vec![];
    for (path, partition) in files {
        let path = percent_decoded(&path);
        for mut row in parquet_rows(&table.join(path)) {
            row.as_object_mut().unwrap().extend(partition.clone());
            found.push(row);
        }
    }
    found.sort_by_key(ToString::to_string);
    found
}

fn percent_decoded(path: &str) -> String {
    let mut bytes = vec![];
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The rows of a Parquet file, as JSON with nulls written out.
pub fn parquet_rows(path: &Path) -> Vec<Value> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    let mut lines = vec![];
    let mut writer = arrow::json::writer::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut lines);
    for batch in reader.build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    String::from_utf8(lines).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
