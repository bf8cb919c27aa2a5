//! Every crash point of an epoch with two targets that keep account and a console, as a table.

use super::*;

const PLANNED: Option<u64> = Some(4);

fn sink(name: &str, recorded: Option<u64>, committed: Option<u64>) -> SinkFacts {
    SinkFacts { name: name.into(), accounts: true, recorded, committed, replacing: false }
}

fn console(recorded: Option<u64>) -> SinkFacts {
    SinkFacts { name: "console".into(), accounts: false, recorded, committed: None, replacing: false }
}

fn facts(done: u64, planned: Option<u64>, sinks: Vec<SinkFacts>) -> Facts {
    let names = ["a", "b", "console"].map(String::from).to_vec();
    Facts {
        done,
        planned: planned.map(|epoch| Planned { epoch, sinks: names, pending: false }),
        sinks,
        full_refresh: false,
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| s.to_string()).collect()
}

fn resume(write: &[&str], skip: &[&str]) -> Action {
    Action::Resume { epoch: 4, write: names(write), skip: names(skip) }
}

#[test]
fn every_crash_point_of_an_epoch() {
    let (r, n) = (Some(3), Some(4));
    let table: Vec<(&str, Facts, Action)> = vec![
        ("nothing yet", facts(0, None, vec![sink("a", None, None), console(None)]), Action::Next { epoch: 1 }),
        (
            "between epochs",
            facts(3, Some(3), vec![sink("a", r, r), sink("b", r, r), console(r)]),
            Action::Next { epoch: 4 },
        ),
        (
            "planned, nothing committed",
            facts(3, PLANNED, vec![sink("a", r, r), sink("b", r, r), console(r)]),
            resume(&["a", "b", "console"], &[]),
        ),
        (
            "planned, the first committed",
            facts(3, PLANNED, vec![sink("a", r, n), sink("b", r, r), console(r)]),
            resume(&["b", "console"], &["a"]),
        ),
        (
            "planned, the second committed alone",
            facts(3, PLANNED, vec![sink("a", r, r), sink("b", r, n), console(r)]),
            resume(&["a", "console"], &["b"]),
        ),
        (
            "all committed, the checkpoint did not move: the console cannot tell",
            facts(3, PLANNED, vec![sink("a", r, n), sink("b", r, n), console(r)]),
            resume(&["console"], &["a", "b"]),
        ),
        (
            "the checkpoint moved",
            facts(4, PLANNED, vec![sink("a", n, n), sink("b", n, n), console(n)]),
            Action::Next { epoch: 5 },
        ),
        (
            "the first epoch of all, one committed",
            Facts {
                planned: Some(Planned { epoch: 1, sinks: names(&["a", "b"]), pending: false }),
                sinks: vec![sink("a", None, Some(1)), sink("b", None, None)],
                ..Facts::default()
            },
            Action::Resume { epoch: 1, write: names(&["b"]), skip: names(&["a"]) },
        ),
        (
            "a sink that was added after the plan waits for the next epoch",
            facts(3, PLANNED, vec![sink("a", r, r), sink("new", None, None)]),
            resume(&["a"], &[]),
        ),
        (
            "a sink that sat out the last epochs",
            facts(3, None, vec![sink("a", r, r), sink("b", Some(1), Some(1))]),
            Action::Next { epoch: 4 },
        ),
    ];
    for (what, facts, expected) in table {
        assert_eq!(decide(&facts), expected, "{what}");
    }
}

#[test]
fn never_writes_twice_and_never_leaves_a_gap() {
    let lost = |committed, recorded| Action::Stop(Stop::StateLost { sink: "a".into(), committed, recorded });
    let behind = |committed, recorded| Action::Stop(Stop::TargetBehind { sink: "a".into(), committed, recorded });
    let table: Vec<(&str, Facts, Action)> = vec![
        ("state directory lost", facts(0, None, vec![sink("a", None, Some(3))]), lost(3, None)),
        ("an old copy of the state", facts(2, None, vec![sink("a", Some(2), Some(3))]), lost(3, Some(2))),
        ("an old copy with a plan", facts(3, PLANNED, vec![sink("a", Some(3), Some(5))]), lost(5, Some(3))),
        (
            "the plan does not write the sink that has its number",
            Facts {
                done: 3,
                planned: Some(Planned { epoch: 4, sinks: names(&["b"]), pending: false }),
                sinks: vec![sink("a", Some(3), Some(4))],
                full_refresh: false,
            },
            lost(4, Some(3)),
        ),
        ("the table was dropped", facts(3, None, vec![sink("a", Some(3), None)]), behind(None, 3)),
        ("the table was restored", facts(3, PLANNED, vec![sink("a", Some(3), Some(2))]), behind(Some(2), 3)),
    ];
    for (what, facts, expected) in table {
        assert_eq!(decide(&facts), expected, "{what}");
    }
}

#[test]
fn a_full_refresh_goes_on_after_every_number_in_use() {
    let refresh = |facts: Facts| decide(&Facts { full_refresh: true, ..facts });
    assert_eq!(refresh(facts(0, None, vec![sink("a", None, Some(7))])), Action::Refresh { after: 7 });
    assert_eq!(refresh(facts(3, PLANNED, vec![sink("a", Some(3), Some(3))])), Action::Refresh { after: 4 });
    assert_eq!(refresh(facts(9, PLANNED, vec![sink("a", Some(3), None)])), Action::Refresh { after: 9 });
    assert_eq!(refresh(Facts::default()), Action::Refresh { after: 0 });
}

#[test]
fn a_refresh_that_was_killed_goes_on_without_being_asked_again() {
    let old = |name, committed| SinkFacts { replacing: true, ..sink(name, None, committed) };
    let table: Vec<(&str, Facts, Action)> = vec![
        ("nothing planned", facts(7, None, vec![old("a", Some(7)), old("b", Some(5))]), Action::Next { epoch: 8 }),
        (
            "planned, one target replaced",
            facts(3, PLANNED, vec![old("a", Some(4)), old("b", Some(3))]),
            resume(&["b"], &["a"]),
        ),
        (
            "the target has more than anyone knows",
            facts(3, None, vec![old("a", Some(4))]),
            Action::Stop(Stop::StateLost { sink: "a".into(), committed: 4, recorded: None }),
        ),
    ];
    for (what, facts, expected) in table {
        assert_eq!(decide(&facts), expected, "{what}");
    }
}

/// An epoch whose operators remember something is recorded twice before the first commit: when it is planned, and when all of its rows are through. One without
/// rows, in which only event time goes on (a drained run, a source that is idle), has the same crash points.
#[test]
fn every_crash_point_of_an_epoch_whose_operators_remember() {
    let (r, n) = (Some(3), Some(4));
    let of = |done: u64, pending: bool, a: (Option<u64>, Option<u64>), b: (Option<u64>, Option<u64>)| {
        let planned = Some(Planned { epoch: 4, sinks: names(&["a", "b"]), pending });
        Facts { done, planned, sinks: vec![sink("a", a.0, a.1), sink("b", b.0, b.1)], full_refresh: false }
    };
    let lost = |name: &str| Action::Stop(Stop::StateLost { sink: name.into(), committed: 4, recorded: r });
    let table: Vec<(&str, Facts, Action)> = vec![
        ("planned", of(3, true, (r, r), (r, r)), resume(&["a", "b"], &[])),
        ("what is remembered is recorded", of(3, false, (r, r), (r, r)), resume(&["a", "b"], &[])),
        ("the first committed", of(3, false, (r, n), (r, r)), resume(&["b"], &["a"])),
        ("the second committed alone", of(3, false, (r, r), (r, n)), resume(&["a"], &["b"])),
        ("both committed", of(3, false, (r, n), (r, n)), resume(&[], &["a", "b"])),
        ("the checkpoint moved", of(4, false, (n, n), (n, n)), Action::Next { epoch: 5 }),
        // No crash leads here: a copy of the state was made when the epoch was planned, and is brought back.
        ("an old copy, the first committed", of(3, true, (r, n), (r, r)), lost("a")),
        ("an old copy, the second committed", of(3, true, (r, r), (r, n)), lost("b")),
        ("an old copy, both committed", of(3, true, (r, n), (r, n)), lost("a")),
        ("the second sat the last epochs out", of(3, true, (r, r), (Some(1), Some(1))), resume(&["a", "b"], &[])),
    ];
    for (what, facts, expected) in table {
        assert_eq!(decide(&facts), expected, "{what}");
    }
}

/// All facts there can be of two targets around one epoch, also those that no crash leads to: nothing is written to a target that has it, nothing is skipped that
/// lacks it, and what is not known to be whole is not gone on from.
#[test]
fn whatever_is_observed_nothing_is_written_twice_or_skipped() {
    let numbers = [None, Some(2), Some(3), Some(4), Some(5)];
    let mut stops = 0;
    for code in 0..5_usize.pow(4) * 12 {
        let number = |place: u32| numbers[code / 5_usize.pow(place) % 5];
        let rest = code / 5_usize.pow(4);
        let (done, pending, sinks) = (3 + rest as u64 % 2, rest / 2 % 2 == 1, rest / 4);
        // The checkpoint is one file: it knows of no target to have more than it has finished.
        if number(0).max(number(2)) > Some(done) {
            continue;
        }
        let planned = [&["a"][..], &["b"], &["a", "b"]][sinks];
        let planned = Some(Planned { epoch: 4, sinks: names(planned), pending });
        let two = vec![sink("a", number(0), number(1)), sink("b", number(2), number(3))];
        let facts = Facts { done, planned, sinks: two, full_refresh: false };
        let has = |name: &String, epoch: u64| facts.sinks.iter().any(|s| s.name == *name && s.committed >= Some(epoch));
        match decide(&facts) {
            Action::Stop(_) => stops += 1,
            Action::Next { epoch } => {
                assert!(facts.sinks.iter().all(|s| s.committed == s.recorded), "{facts:?}");
                assert!((epoch, done) == (5, 4), "an open epoch comes first: {facts:?}");
            }
            Action::Resume { epoch, write, skip } => {
                assert!(!write.iter().any(|name| has(name, epoch)), "twice: {facts:?}");
                assert!(skip.iter().all(|name| has(name, epoch)), "never: {facts:?}");
                assert!(skip.is_empty() || !pending, "what is remembered is not known: {facts:?}");
                assert_eq!((epoch, done), (4, 3));
            }
            Action::Refresh { .. } => panic!("nobody asked: {facts:?}"),
        }
    }
    assert!(stops > 1000, "{stops}");
}

/// Walks every interleaving of the steps of an epoch with two targets, and two crashes: whatever the order, each target gets the epoch once, and what operators
/// remember is recorded before.
#[test]
fn any_sequence_of_crashes_commits_each_target_once() {
    // The steps: what is remembered is recorded, the targets that lack it are written, the checkpoint moves.
    for first_crash in 0..=4 {
        for second_crash in 0..=4 {
            let mut sinks = vec![sink("a", Some(3), Some(3)), sink("b", Some(3), Some(3))];
            let (mut commits, mut done, mut pending) = ([0, 0], 3, true);
            for crash in [first_crash, second_crash, usize::MAX] {
                let planned = Some(Planned { epoch: 4, sinks: names(&["a", "b"]), pending });
                let facts = Facts { done, planned, sinks: sinks.clone(), full_refresh: false };
                let Action::Resume { epoch: 4, write, .. } = decide(&facts) else { break };
                let steps = write.len() + 1;
                pending &= crash == 0;
                for name in write.iter().take(crash.saturating_sub(1)) {
                    let i = usize::from(name == "b");
                    commits[i] += 1;
                    sinks[i].committed = Some(4);
                }
                if crash > steps {
                    done = 4;
                    sinks.iter_mut().for_each(|s| s.recorded = Some(4));
                }
            }
            assert_eq!(commits, [1, 1], "crashes after {first_crash} and {second_crash} steps");
            assert_eq!((done, pending), (4, false));
        }
    }
}

/// A replay's sinks: `a` takes what passes, `b` holds the rejected rows and is committed last.
fn replaying(done: u64, planned: Option<u64>, a: Option<u64>, b: Option<u64>) -> Facts {
    facts(done, planned, vec![sink("a", None, a), sink("b", None, b), console(None)])
}

#[test]
fn every_crash_point_of_a_replay() {
    let (r, n) = (Some(3), Some(4));
    let finish = |write: &[&str], skip: &[&str]| Replay::Finish { write: names(write), skip: names(skip) };
    let unknown = |committed| Replay::Unknown { sink: "a".into(), committed };
    let table = [
        ("nothing yet", replaying(0, None, None, None), Replay::Next { epoch: 1 }),
        ("between replays", replaying(3, r, r, r), Replay::Next { epoch: 4 }),
        ("planned, nothing committed: begins anew", replaying(3, n, r, r), Replay::Next { epoch: 4 }),
        ("some rows are in a sink", replaying(3, n, n, r), finish(&["b", "console"], &["a"])),
        (
            "the rejected rows have left, the state does not know",
            replaying(3, n, n, n),
            finish(&["console"], &["a", "b"]),
        ),
        ("done", replaying(4, n, n, n), Replay::Next { epoch: 5 }),
        ("a sink is new, or was made anew", replaying(3, r, None, r), Replay::Next { epoch: 4 }),
        ("the state is lost, nothing is open", replaying(0, None, n, n), Replay::Next { epoch: 5 }),
        ("the state is lost, a sink has rows that have not left", replaying(0, None, n, r), unknown(4)),
        ("the state is an old copy", replaying(2, r, n, n), Replay::Next { epoch: 5 }),
        ("the state is an old copy, a sink has rows of a later replay", replaying(2, r, n, r), unknown(4)),
        ("the table of rejected rows was made anew", replaying(3, r, r, None), Replay::Next { epoch: 4 }),
        ("and the state is lost", replaying(0, None, r, None), unknown(3)),
    ];
    for (what, facts, expected) in table {
        assert_eq!(decide_replay(&facts, "b"), expected, "{what}");
    }
}
