//! Runs that are killed at each of their operations and run again: each row gets to each target exactly once.

use super::*;

fn rows(n: i64) -> Vec<Row> {
    (0..n).map(|i| (i, Some(i as f64 / 4.0))).collect()
}

fn expected(rows: &[Row]) -> Vec<String> {
    rows.chunks(1).flat_map(|r| texts(&batch_of(r))).collect()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// Two appending sinks and an ordered one behind one source.
fn three_sinks() -> Planned {
    let mut p = Planned::new();
    let source = p.source("in");
    let even = p.divisible(source, 2);
    let all = p.divisible(source, 1);
    p.sink("all", all, false);
    p.sink("even", even, false);
    p.sink("ordered", all, false);
    p
}

fn check(outside: &Outside, all: &[Row]) {
    let even: Vec<Row> = all.iter().copied().filter(|r| r.0 % 2 == 0).collect();
    assert_eq!(sorted(outside.target("all").rows), sorted(expected(all)));
    assert_eq!(sorted(outside.target("even").rows), sorted(expected(&even)));
    assert_eq!(outside.target("ordered").rows, expected(all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_operation_each_row_arrives_once() {
    let plan = three_sinks();
    let mut completed = false;
    for kill in 0..1000 {
        let outside = Outside::new(rows(10));
        let state = tempfile::tempdir().unwrap();
        let faults = Faults::after(kill);
        let memory = Memory { outside: Arc::clone(&outside), faults: Arc::clone(&faults) };
        // Two epochs; then more rows, and a second kill, before a run that comes to its end.
        let first = plan.run(&memory, options(state.path(), 2, 2, Some(6))).await;
        // What is read ahead fails nobody; what follows the kill does.
        assert!(first.is_ok() || faults.hit(), "kill after {kill}");
        completed = first.is_ok();
        outside.add([(10, None), (11, Some(-0.0))]);
        let again = Memory { faults: Faults::after(kill % 17 + 5), ..memory.clone() };
        let _ = plan.run(&again, options(state.path(), 1, 4, None)).await;
        let last = Memory { faults: Faults::none(), ..memory };
        plan.run(&last, options(state.path(), 2, 1, None)).await.unwrap();
        check(&outside, &[rows(10), vec![(10, None), (11, Some(-0.0))]].concat());
        if completed {
            break;
        }
    }
    assert!(completed, "the run was killed at each of its operations");
}

#[tokio::test]
async fn a_second_run_commits_nothing_and_a_later_one_only_what_is_new() {
    let plan = three_sinks();
    let outside = Outside::new(rows(10));
    let state = tempfile::tempdir().unwrap();
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let first = plan.run(&memory, options(state.path(), 2, 4, None)).await.unwrap();
    assert_eq!((first.epochs, first.last_epoch, first.sources[0].rows), (1, 1, 10));
    assert_eq!(first.sinks.iter().map(|s| s.committed.rows).collect::<Vec<_>>(), [10, 5, 10]);
    let second = plan.run(&memory, options(state.path(), 2, 4, None)).await.unwrap();
    assert_eq!((second.epochs, second.last_epoch), (0, 1));
    outside.add([(10, None)]);
    let third = plan.run(&memory, options(state.path(), 2, 4, None)).await.unwrap();
    assert_eq!((third.epochs, third.last_epoch, third.sources[0].rows), (1, 2, 1));
    assert_eq!(third.sources[0].range, "rows 10..11");
    assert_eq!(outside.target("all").commits, 2);
}

#[tokio::test]
async fn a_sink_that_is_added_later_gets_all_rows() {
    let mut plan = three_sinks();
    let outside = Outside::new(rows(5));
    let state = tempfile::tempdir().unwrap();
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan.run(&memory, options(state.path(), 1, 4, None)).await.unwrap();
    outside.add([(5, None)]);
    plan.sink("new", NodeId(2), false);
    let run = plan.run(&memory, options(state.path(), 1, 4, None)).await.unwrap();
    assert_eq!(run.epochs, 2, "the old sinks and the new one stand at different positions");
    let all = [rows(5), vec![(5, None)]].concat();
    check(&outside, &all);
    assert_eq!(sorted(outside.target("new").rows), sorted(expected(&all)));
    outside.add([(6, None)]);
    let run = plan.run(&memory, options(state.path(), 1, 4, None)).await.unwrap();
    assert_eq!(run.epochs, 1, "from then on one pass writes all");
}

#[tokio::test]
async fn a_whole_computation_runs_again_only_when_its_input_changed() {
    let mut plan = three_sinks();
    let limited = plan.node(Operator::Limit(7), &[NodeId(2)], row_schema());
    plan.sink("whole", limited, true);
    let outside = Outside::new(rows(5));
    let state = tempfile::tempdir().unwrap();
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    for (more, epochs, whole) in [(5, 1, 5), (0, 0, 5), (1, 2, 6), (3, 2, 7), (0, 0, 7)] {
        if more < 5 {
            outside.add((0..more).map(|i| (100 + i, None)));
        }
        let run = plan.run(&memory, options(state.path(), 2, 2, None)).await.unwrap();
        assert_eq!(run.epochs, epochs, "after {more} more rows");
        assert_eq!(outside.target("whole").rows.len(), whole);
    }
}

#[tokio::test]
async fn lost_state_stops_and_a_full_refresh_replaces() {
    let plan = three_sinks();
    let outside = Outside::new(rows(10));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    plan.run(&memory, options(state.path(), 1, 4, Some(4))).await.unwrap();
    let lost = tempfile::tempdir().unwrap();
    let error = plan.run(&memory, options(lost.path(), 1, 4, None)).await.unwrap_err();
    assert_eq!(error.code, "R0401");
    check(&outside, &rows(10));
    // The refresh itself may be killed anywhere, too.
    let mut completed = false;
    for kill in 0..1000 {
        let faults = Faults::after(kill);
        let refresh = || RunOptions { full_refresh: true, ..options(lost.path(), 1, 4, Some(6)) };
        let killed = Memory { faults, ..memory.clone() };
        completed = plan.run(&killed, refresh()).await.is_ok();
        if !completed && kill % 2 == 0 {
            plan.run(&memory, refresh()).await.unwrap();
        } else if !completed {
            // Without the flag it goes on, unless the refresh had not begun.
            match plan.run(&memory, options(lost.path(), 1, 4, None)).await {
                Ok(_) => {}
                Err(e) if e.code == "R0401" && !lost.path().join("checkpoint.json").exists() => continue,
                Err(e) => panic!("{e}"),
            }
        }
        check(&outside, &rows(10));
        if completed {
            break;
        }
    }
    assert!(completed);
    outside.targets.lock().unwrap().remove("even");
    let error = plan.run(&memory, options(lost.path(), 1, 4, None)).await.unwrap_err();
    assert_eq!(error.code, "R0402");
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing_and_the_next_one_goes_on() {
    let plan = three_sinks();
    let outside = Outside::new(rows(10));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();

    #[derive(Debug)]
    struct Stop(Cancel);
    impl crate::Observer for Stop {
        fn progress(&self, progress: &crate::Progress) {
            if progress.sources[0].rows >= 4 {
                self.0.cancel();
            }
        }
    }
    let options_ = options(state.path(), 1, 2, None);
    let stop = Arc::new(Stop(options_.cancel.clone()));
    let summary = run(&plan.executable(), Arc::new(memory.clone()), options_, stop).await.unwrap();
    assert!(summary.cancelled && summary.epochs == 0);
    assert_eq!(outside.target("all").commits, 0);
    let summary = plan.run(&memory, options(state.path(), 1, 2, None)).await.unwrap();
    assert!(!summary.cancelled);
    check(&outside, &rows(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_failing_row_is_reported_whatever_the_workers_and_batches() {
    let mut p = Planned::new();
    let source = p.source("in");
    // The branch that is built first fails at a later row.
    let late = p.assert_not(source, 7);
    let early = p.assert_not(source, 5);
    p.sink("late", late, false);
    p.sink("early", early, false);
    for workers in [1, 2, 4] {
        for batch in [1, 3, 1024] {
            let outside = Outside::new(rows(30));
            let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
            let state = tempfile::tempdir().unwrap();
            let error = p.run(&memory, options(state.path(), workers, batch, None)).await.unwrap_err();
            assert_eq!(error.code, "R0105");
            assert_eq!(error.message, "not 5 does not hold");
            assert_eq!(error.row, [("id".into(), "5".into()), ("x".into(), "1.25".into())]);
            assert_eq!(
                error.help.as_deref(),
                Some(
                    "the row comes from rows 3..6\nepoch 1 was not committed; a `where` before it leaves such rows out"
                )
            );
            assert_eq!(outside.target("late").commits, 0);
        }
    }
}

#[tokio::test]
async fn an_epoch_that_its_input_made_fail_is_planned_anew_from_the_corrected_input() {
    let mut p = Planned::new();
    let source = p.source("in");
    let checked = p.assert_not(source, 5);
    p.sink("out", checked, false);
    let outside = Outside::new(rows(8));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    p.run(&memory, options(state.path(), 2, 2, None)).await.unwrap_err();
    outside.rows.lock().unwrap().get_mut("in").unwrap().truncate(4);
    let summary = p.run(&memory, options(state.path(), 2, 2, None)).await.unwrap();
    assert_eq!((summary.epochs, summary.last_epoch), (1, 1));
    assert_eq!(sorted(outside.target("out").rows), expected(&rows(4)));
}

#[tokio::test]
async fn a_moved_source_is_refused() {
    let mut plan = three_sinks();
    let outside = Outside::new(rows(3));
    let memory = Memory { outside, faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    plan.run(&memory, options(state.path(), 1, 4, None)).await.unwrap();
    plan.plan.sources[0].connector = Connector::Delta { location: "/elsewhere".into() };
    let error = plan.run(&memory, options(state.path(), 1, 4, None)).await.unwrap_err();
    assert_eq!(error.code, "R0406");
}
