//! Replays that are killed at each of their operations and run again: each row that passes gets to each target once, and what is rejected again stays.

use super::*;
use crate::run::replay;

/// `rejects` holds rows; even ones pass, those that three divides are rejected again. `out` is another target of what passes, `ordered` a third.
fn planned() -> Planned {
    let mut p = Planned::new();
    let source = p.source("rejects");
    let even = p.divisible(source, 2);
    let again = p.divisible(source, 3);
    p.sink("rejects", again, false);
    p.sink("out", even, false);
    p.sink("ordered", even, false);
    p
}

fn row(id: i64) -> Row {
    (id, Some(id as f64))
}

fn outside(ids: std::ops::Range<i64>) -> Arc<Outside> {
    let rows = BTreeMap::from([("rejects".to_string(), ids.map(row).collect())]);
    Arc::new(Outside { rows: Mutex::new(rows), targets: Mutex::default(), split_rows: 3 })
}

fn held(outside: &Outside) -> Vec<i64> {
    let mut ids: Vec<i64> = outside.rows.lock().unwrap()["rejects"].iter().map(|r| r.0).collect();
    ids.sort_unstable();
    ids
}

fn written(outside: &Outside, name: &str) -> Vec<i64> {
    let mut ids: Vec<i64> =
        outside.target(name).rows.iter().map(|r| r.split(' ').next().unwrap().parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

async fn run_replay(plan: &Planned, memory: &Memory, options: RunOptions) -> Result<RunSummary, RunError> {
    replay(&plan.executable(), Arc::new(memory.clone()), options, Arc::new(Unobserved), "rejects").await
}

fn of(program: &str, options: RunOptions) -> RunOptions {
    RunOptions { fingerprint: Some(program.to_string()), ..options }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_operation_each_row_arrives_once() {
    let plan = planned();
    let mut completed = false;
    for kill in 0..1000 {
        let outside = outside(1..11);
        let state = tempfile::tempdir().unwrap();
        let faults = Faults::after(kill);
        let memory = Memory { outside: Arc::clone(&outside), faults: Arc::clone(&faults) };
        let first = run_replay(&plan, &memory, options(state.path(), 2, 2, None)).await;
        assert_eq!(first.is_err(), faults.hit(), "kill after {kill}");
        completed = first.is_ok();
        // Rows that an ordinary run rejects meanwhile.
        outside.rows.lock().unwrap().get_mut("rejects").unwrap().extend([row(12), row(13)]);
        let again = Memory { faults: Faults::after(kill % 17 + 5), ..memory.clone() };
        let _ = run_replay(&plan, &again, options(state.path(), 1, 4, None)).await;
        let last = Memory { faults: Faults::none(), ..memory };
        // The first finishes what was begun, the second takes what came meanwhile, and rows that were rejected again: they fail and pass as before.
        run_replay(&plan, &last, options(state.path(), 2, 1, None)).await.unwrap();
        let (out, left) = (written(&outside, "out"), held(&outside));
        assert_eq!(out, written(&outside, "ordered"), "kill after {kill}");
        // 6 passes and is rejected again in this test, so that every replay passes it on once more; all others once.
        let once: Vec<i64> = out.iter().copied().filter(|id| *id != 6 && *id != 12).collect();
        assert_eq!(once, [2, 4, 8, 10], "kill after {kill}");
        let replays = outside.target("rejects").commits as usize;
        assert_eq!(out.iter().filter(|id| **id == 6).count(), replays, "kill after {kill}");
        let kept = if left.contains(&13) { vec![3, 6, 9, 12, 13] } else { vec![3, 6, 9, 12] };
        assert_eq!(left, kept, "kill after {kill}");
        if completed {
            break;
        }
    }
    assert!(completed, "the replay was killed at each of its operations");
}

#[tokio::test]
async fn an_unfinished_replay_is_finished_by_its_own_program_only() {
    let plan = planned();
    let mut stopped = 0;
    for kill in 0..200 {
        let outside = outside(1..7);
        let state = tempfile::tempdir().unwrap();
        let memory = Memory { outside: Arc::clone(&outside), faults: Faults::after(kill) };
        if run_replay(&plan, &memory, of("old", options(state.path(), 1, 4, None))).await.is_ok() {
            break;
        }
        let memory = Memory { faults: Faults::none(), ..memory };
        let begun = outside.target("out").commits;
        let finished = outside.target("rejects").commits;
        match run_replay(&plan, &memory, of("new", options(state.path(), 1, 4, None))).await {
            Ok(_) => assert!(begun == 0 || finished == 1, "kill after {kill}"),
            Err(error) => {
                assert_eq!((error.code, begun, finished), ("R0409", 1, 0), "kill after {kill}");
                // Without its state nobody knows what it had read.
                let lost = tempfile::tempdir().unwrap();
                let error = run_replay(&plan, &memory, of("old", options(lost.path(), 1, 4, None))).await.unwrap_err();
                assert_eq!(error.code, "R0410");
                run_replay(&plan, &memory, of("old", options(state.path(), 1, 4, None))).await.unwrap();
                stopped += 1;
            }
        }
        assert_eq!(written(&outside, "out"), [2, 4, 6], "kill after {kill}");
        assert_eq!(held(&outside), [3, 6], "kill after {kill}");
    }
    assert!(stopped > 1, "{stopped}");
}

#[tokio::test]
async fn ordinary_runs_and_replays_keep_accounts_of_their_own() {
    let plan = planned();
    let outside = outside(1..7);
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let (runs, replays) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run_replay(&plan, &memory, options(replays.path(), 1, 4, None)).await.unwrap();
    // The ordinary run of another plan with these sinks begins with its epoch 1.
    let mut ordinary = Planned::new();
    let source = ordinary.source("in");
    ordinary.sink("out", source, false);
    outside.add([row(100)]);
    let summary = ordinary.run(&memory, options(runs.path(), 1, 4, None)).await.unwrap();
    assert_eq!((summary.epochs, summary.last_epoch), (1, 1));
    assert_eq!(written(&outside, "out"), [2, 4, 6, 100]);
    let lost = tempfile::tempdir().unwrap();
    let second = run_replay(&plan, &memory, options(lost.path(), 1, 4, None)).await.unwrap();
    assert_eq!(second.last_epoch, 2, "the targets know how many replays there were");
}

#[tokio::test]
async fn a_replay_beside_another_one_stops_before_rows_leave() {
    /// Another replay that is faster at the sink `out`.
    #[derive(Debug)]
    struct Faster(Arc<Outside>);
    impl crate::Observer for Faster {
        fn progress(&self, _: &crate::Progress) {
            let mut targets = self.0.targets.lock().unwrap();
            targets.entry("out".into()).or_default().others.insert("p/out/replay/rejects".into(), 1);
        }
    }
    let outside = outside(1..7);
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    let other = Arc::new(Faster(Arc::clone(&outside)));
    let options = options(state.path(), 1, 4, None);
    let ran = replay(&planned().executable(), Arc::new(memory), options, other, "rejects").await;
    assert_eq!(ran.unwrap_err().code, "R0411");
    assert_eq!(held(&outside), [1, 2, 3, 4, 5, 6]);
}
