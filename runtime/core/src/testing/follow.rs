//! A run that follows its sources takes what comes until it is cancelled. No time passes: the clock of tests stands still, and waiting is yielding.

use super::*;
use crate::run::Follow;

async fn until(outside: &Outside, rows: usize) {
    while outside.target("out").rows.len() < rows {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_comes_is_taken_and_a_cancelled_run_has_lost_nothing() {
    let mut plan = Planned::new();
    let source = plan.source("in");
    plan.sink("out", source, false);
    let executable = plan.executable();
    let outside = Outside::new((0..5).map(|id| (id, None)));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    let options = RunOptions { follow: Some(Follow { poll: 1, interval: 0 }), ..options(state.path(), 2, 2, None) };
    let cancel = options.cancel.clone();
    let connectors = Arc::new(memory.clone());
    let running = tokio::spawn(async move { run(&executable, connectors, options, Arc::new(Unobserved)).await });
    until(&outside, 5).await;
    for round in 1..4 {
        outside.add((round * 5..round * 5 + 5).map(|id| (id, None)));
        until(&outside, round as usize * 5 + 5).await;
    }
    cancel.cancel();
    let summary = running.await.unwrap().unwrap();
    assert!(summary.cancelled);
    assert_eq!(summary.epochs, outside.target("out").commits);
    outside.add((20..22).map(|id| (id, None)));
    plan.run(&memory, super::options(state.path(), 1, 1024, None)).await.unwrap();
    let ids: Vec<i64> =
        outside.target("out").rows.iter().map(|r| r.split(' ').next().unwrap().parse().unwrap()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..22).collect::<Vec<i64>>());
}

#[tokio::test]
async fn what_is_computed_whole_is_computed_again_when_its_source_has_more() {
    let mut plan = Planned::new();
    let source = plan.source("in");
    plan.sink("out", source, true);
    let executable = plan.executable();
    let outside = Outside::new((0..2).map(|id| (id, None)));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    let state = tempfile::tempdir().unwrap();
    let options = RunOptions { follow: Some(Follow { poll: 1, interval: 0 }), ..options(state.path(), 1, 2, None) };
    let cancel = options.cancel.clone();
    let running = tokio::spawn(async move { run(&executable, Arc::new(memory), options, Arc::new(Unobserved)).await });
    until(&outside, 2).await;
    outside.add([(2, None)]);
    until(&outside, 3).await;
    cancel.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(outside.target("out").commits, 2);
}
