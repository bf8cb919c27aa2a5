//! Steps that remember more than the memory holds, through whole runs: what comes out is what comes out where the memory holds all.

use super::time::timed_schema;
use super::*;
use flowc_ir::graph::*;

/// What is by `id`: as many keys as rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyed {
    Windows,
    Sessions,
    Dedup,
    Join(JoinKind),
    Top,
    Unique,
}

const STEPS: [Keyed; 7] = [
    Keyed::Windows,
    Keyed::Sessions,
    Keyed::Dedup,
    Keyed::Join(JoinKind::Full),
    Keyed::Join(JoinKind::Semi),
    Keyed::Top,
    Keyed::Unique,
];

fn plan_of(keyed: Keyed) -> Planned {
    let mut plan = Planned::new();
    let rows = plan.timed("in", 500);
    let end = match keyed {
        Keyed::Windows => {
            plan.window("w", rows, Window::Tumble { size: 16_000, align: Alignment::default() }, (2, &[0]))
        }
        Keyed::Sessions => plan.window("w", rows, Window::Session { gap: 10_000 }, (2, &[0])),
        Keyed::Dedup => {
            let spec = Dedup { name: "d".into(), keys: vec![0], time: Some(2), within: Some(12_000), by_time: false };
            plan.node(Operator::Dedup(spec), &[rows], timed_schema())
        }
        Keyed::Unique => {
            let mut schema = timed_schema();
            schema.fields.push(Field::new("#once", Type::boolean()));
            let (flow, rule, keys) = ("f".into(), "once".into(), vec![0]);
            let spec = Unique { flow, rule, keys, time: Some(2), within: Some(12_000), delay: Some(500) };
            plan.node(Operator::Unique(spec), &[rows], schema)
        }
        Keyed::Join(kind) => {
            let other = plan.timed("other", 500);
            let within = Some(Within { left: 2, right: 2, duration: 12_000 });
            let (left_keys, right_keys) = (vec![0], vec![0]);
            let spec = StreamJoin { name: "j".into(), kind, left_keys, right_keys, within, residual: None };
            let mut schema = timed_schema();
            if kind == JoinKind::Full {
                schema.fields.iter_mut().for_each(|field| field.ty.nullable = true);
                for field in timed_schema().fields {
                    schema.fields.push(Field::new(format!("o.{}", field.name), field.ty.with_nullable(true)));
                }
            }
            plan.node(Operator::Join(spec), &[rows, other], schema)
        }
        Keyed::Top => {
            let windowed =
                plan.window("w", rows, Window::Tumble { size: 12_000, align: Alignment::default() }, (2, &[0]));
            let schema = plan.plan.graph.node(windowed).schema.clone();
            let order = vec![SortColumn { column: 4, descending: true, nulls_first: false }];
            let top = Top { name: "t".into(), count: 1, order, keys: vec![0], window: Some((1, 2)) };
            plan.node(Operator::Top(top), &[windowed], schema)
        }
    };
    plan.sink("out", end, false);
    flowc_ir::verify::verify(&plan.plan).unwrap();
    plan
}

const ROWS: i64 = 24_000;

/// Rows, and those of the other source: of every third id, and some that the first one has not. Every id comes twice, out of order.
fn part(range: std::ops::Range<i64>) -> (Vec<Row>, Vec<Row>) {
    let rows = range.clone().map(|i| (i / 2 + 37 * (i % 2), Some(i as f64))).collect();
    let other = range.filter(|i| i % 3 == 0).map(|i| (i / 2 + i % 5, Some(-i as f64))).collect();
    (rows, other)
}

/// The rows that come out, epoch by epoch, and the most that is on disk after a run.
async fn rows_of(keyed: Keyed, memory: usize, limit: Option<u64>) -> (Vec<String>, u64) {
    let outside = Arc::new(Outside { rows: Mutex::default(), targets: Mutex::default(), split_rows: 4_000 });
    let state = tempfile::tempdir().unwrap();
    let world = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let mut on_disk = 0;
    for run in 0..4 {
        let drain = run == 3;
        if !drain {
            let (rows, other) = part(run * ROWS / 3..(run + 1) * ROWS / 3);
            let mut all = outside.rows.lock().unwrap();
            all.entry("in".into()).or_default().extend(rows);
            all.entry("other".into()).or_default().extend(other);
        }
        let options = RunOptions { drain, memory, ..options(state.path(), 2, 2048, limit) };
        plan_of(keyed).run(&world, options).await.unwrap();
        let seen = crate::state::look(state.path(), "p").unwrap().unwrap();
        let steps = seen.checkpoint.unwrap().sinks["out"].operators.clone();
        on_disk = on_disk.max(steps.values().map(|step| step.remembered.on_disk).max().unwrap_or(0));
        let left = std::fs::read_dir(state.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"));
        assert_eq!(left.count(), 0, "what was on disk for the run is gone with it");
    }
    let mut rows = outside.targets.lock().unwrap()["out"].rows.clone();
    if let Keyed::Join(_) = keyed {
        rows.sort();
    }
    (rows, on_disk)
}

#[tokio::test]
async fn what_the_memory_does_not_hold_comes_out_as_what_it_holds() {
    for keyed in STEPS {
        let (wanted, none) = rows_of(keyed, 512 << 20, None).await;
        assert!(none == 0 && wanted.len() > 4_000, "{keyed:?}: {} rows", wanted.len());
        // By events of the watermark alone: the first may spill between two epochs, the second within one.
        for limit in [Some(3_000), None] {
            let (rows, on_disk) = rows_of(keyed, 400 << 10, limit).await;
            assert!(on_disk > 100_000, "{keyed:?}: only {on_disk} bytes are on disk");
            let mut sorted = (rows.clone(), wanted.clone());
            sorted.0.sort();
            sorted.1.sort();
            assert!(sorted.0 == sorted.1, "{keyed:?} by {limit:?}: {} rows instead of {}", rows.len(), wanted.len());
            if limit.is_none() {
                assert!(rows == wanted, "{keyed:?}: in another order");
            }
        }
    }
}
