//! Whole runs over the connectors of this crate: made-up rows into files, files looked up, sorted and shown, new files alone in the next run.

use super::*;
use crate::connectors::FileConnectors;
use flowc_ir::graph::{Lookup, LookupKind, SortColumn, TableId};
use std::io::Write;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

async fn go(plan: &Planned, state: &Path, workers: usize, screen: &Screen) -> Result<RunSummary, RunError> {
    let connectors = FileConnectors::with_console(Arc::new(Mutex::new(screen.clone())));
    run(&plan.executable(), Arc::new(connectors), options(state, workers, 64, None), Arc::new(Unobserved)).await
}

/// `generate(rows: N)`, every third row, into Parquet files.
fn writer(rows: u64, directory: &str) -> Planned {
    let mut p = Planned::new();
    let source = p.source("made");
    p.plan.sources[0].connector = Connector::Generate { rows: Some(rows), rate: None, seed: 1 };
    let third = p.divisible(source, 3);
    p.sink("files", third, false);
    p.plan.sinks[0].connector = Connector::Parquet { glob: directory.into() };
    p
}

/// The files' rows whose id is in the table, in descending order, on the console and as CSV; all of them again as JSON, only what is new.
fn reader(directory: &str, table: &str, out: &Path) -> Planned {
    let mut p = Planned::new();
    let source = p.source("in");
    p.plan.sources[0].connector = Connector::Parquet { glob: directory.into() };
    p.plan.tables.push(TableSpec {
        promises: vec![],
        name: "wanted".into(),
        connector: Connector::Csv { glob: table.into(), header: true, delimiter: ';', quote: '"', null: String::new() },
        schema: row_schema(),
        predicate: None,
        version: None,
        origin: Origin::default(),
    });
    let outputs = row_schema()
        .fields
        .into_iter()
        .enumerate()
        .map(|(i, field)| Output { value: Expr::new(ExprKind::Column(i), field.ty.clone(), Origin::default()), field });
    let lookup = Operator::Lookup(Lookup {
        table: TableId(0),
        kind: LookupKind::Semi,
        as_of: None,
        prepare: Program { input: row_schema(), steps: vec![], outputs: outputs.collect() },
        stream_keys: vec![0],
        table_keys: vec![0],
        residual: None,
        output: vec![],
    });
    let found = p.node(lookup, &[source], row_schema());
    let by = SortColumn { column: 0, descending: true, nulls_first: false };
    let sorted = p.node(Operator::Sort(vec![by]), &[found], row_schema());
    p.sink("screen", sorted, true);
    p.sink("ordered", sorted, true);
    p.plan.sinks[1].connector = Connector::Csv {
        glob: out.join("csv").display().to_string(),
        header: false,
        delimiter: ',',
        quote: '"',
        null: String::new(),
    };
    p.sink("new", source, false);
    p.plan.sinks[2].connector = Connector::Json { glob: out.join("json").display().to_string() };
    p
}

fn visible(directory: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().filter(|f| f.is_file()).map(|f| std::fs::read_to_string(f).unwrap());
    texts.flat_map(|t| t.lines().map(str::to_string).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_rows_go_through_files_and_a_lookup() {
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let parquet = dir.path().join("parquet").display().to_string();
        let table = dir.path().join("wanted.csv");
        std::fs::write(&table, "x;id\n;3\n1.5;4\n;300\n;9\n").unwrap();
        let (states, screen) = ([dir.path().join("a"), dir.path().join("b")], Screen::default());

        let made = go(&writer(1000, &parquet), &states[0], workers, &screen).await.unwrap();
        assert_eq!((made.sources[0].rows, made.sinks[0].committed.rows), (1000, 334));
        let plan = reader(&parquet, table.to_str().unwrap(), dir.path());
        let first = go(&plan, &states[1], workers, &screen).await.unwrap();
        assert_eq!(first.sinks.iter().map(|s| s.committed.rows).collect::<Vec<_>>(), [3, 3, 334]);
        let shown = screen.take();
        let ids =
            |text: &str| text.lines().map(|l| l.split([':', ',']).nth(1).unwrap().to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&shown), ["300", "9", "3"], "{shown}");
        assert_eq!(visible(&dir.path().join("json")).len(), 334);

        assert_eq!(go(&plan, &states[1], workers, &screen).await.unwrap().epochs, 0);
        // More rows: one new file. The whole is computed again, the stream goes on.
        go(&writer(1100, &parquet), &states[0], workers, &screen).await.unwrap();
        std::fs::write(&table, "x;id\n;1098\n;3\n").unwrap();
        let second = go(&plan, &states[1], workers, &screen).await.unwrap();
        assert_eq!(second.sinks.iter().map(|s| s.committed.rows).collect::<Vec<_>>(), [2, 2, 33]);
        assert_eq!(ids(&screen.take()), ["1098", "3"]);
        assert_eq!(visible(&dir.path().join("json")).len(), 367);
        let csv = visible(&dir.path().join("csv"));
        assert_eq!(csv.iter().map(|l| l.split(',').next().unwrap()).collect::<Vec<_>>(), ["1098", "3"]);
    }
}

#[tokio::test]
async fn a_bad_line_stops_the_run_before_anything_is_visible() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "id,x\n1,1\n2,1e3\n").unwrap();
    std::fs::write(dir.path().join("b.csv"), "id,x\n3,\nfour,1\n").unwrap();
    let mut p = Planned::new();
    let source = p.source("in");
    let glob = dir.path().join("*.csv").display().to_string();
    p.plan.sources[0].connector =
        Connector::Csv { glob, header: true, delimiter: ',', quote: '"', null: String::new() };
    p.sink("out", source, false);
    p.plan.sinks[0].connector = Connector::Json { glob: dir.path().join("out").display().to_string() };
    let (state, screen) = (dir.path().join("state"), Screen::default());
    let error = go(&p, &state, 2, &screen).await.unwrap_err();
    assert_eq!(error.code, "R0205");
    assert!(error.message.contains("b.csv`, line 3, column `id`: \"four\""), "{}", error.message);
    assert_eq!(visible(&dir.path().join("out")), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(dir.path().join("out/_flowc")).unwrap().count(), 0, "nothing is left over");
}
