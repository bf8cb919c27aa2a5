//! The checkpoint protocol as a pure decision: what a starting run must do, given what the state directory and the targets say. No I/O.
//!
//! The steps of an epoch, each atomic: (1) its record is written to the state directory; (2) where operators remember something, what they remember after it is
//! added to the record; (3) each target commits its rows together with the epoch's number; (4) the checkpoint moves to the epoch. A crash may come between any
//! two of them. An epoch without rows, in which only event time goes on, is like any other.

/// What a starting run observes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The last epoch in the checkpoint; 0 if there is no checkpoint.
    pub done: u64,
    /// The last epoch that was planned.
    pub planned: Option<Planned>,
    /// The sinks of the program.
    pub sinks: Vec<SinkFacts>,
    /// Whether everything is to start again.
    pub full_refresh: bool,
}

/// An epoch's record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Planned {
    /// Its number.
    pub epoch: u64,
    /// The sinks that it writes.
    pub sinks: Vec<String>,
    /// Whether what its operators remember after it is still to be recorded: that comes before the first target commits.
    pub pending: bool,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkFacts {
    /// Its name.
    pub name: String,
    /// Whether the target keeps account of epochs.
    pub accounts: bool,
    /// The last epoch that the checkpoint knows it to have.
    pub recorded: Option<u64>,
    /// The last epoch that the target says it has.
    pub committed: Option<u64>,
    /// Whether a full refresh began and the target has not been replaced yet: then it may have any finished epoch.
    pub replacing: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Plan this epoch.
    Next {
        /// Its number.
        epoch: u64,
    },
    /// Run the planned epoch again.
    Resume {
        /// Its number.
        epoch: u64,
        /// The sinks that lack it.
        write: Vec<String>,
        /// The sinks that have it.
        skip: Vec<String>,
    },
    /// Forget all positions; the next epoch is the one after this.
    Refresh {
        /// The greatest number that any target or record has.
        after: u64,
    },
    /// Do nothing: rows could be written twice, or be lost.
    Stop(Stop),
}

/// Why nothing can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The target has an epoch that the state does not know.
    StateLost {
        /// The sink.
        sink: String,
        /// What its target has.
        committed: u64,
        /// What the state knows.
        recorded: Option<u64>,
    },
    /// The target lacks an epoch that the state knows it to have had.
    TargetBehind {
        /// The sink.
        sink: String,
        /// What its target has.
        committed: Option<u64>,
        /// What the state knows.
        recorded: u64,
    },
}

/// Decides.
pub fn decide(facts: &Facts) -> Action {
    let open = facts.planned.as_ref().filter(|p| p.epoch > facts.done);
    if facts.full_refresh {
        let committed = facts.sinks.iter().filter_map(|s| s.committed);
        let after = committed.chain([facts.done]).chain(open.map(|p| p.epoch)).max().unwrap_or(0);
        return Action::Refresh { after };
    }
    for sink in facts.sinks.iter().filter(|s| s.accounts) {
        // A target that has an epoch whose operators' states are not recorded got it from another directory than this one.
        let planned = open.filter(|p| p.sinks.contains(&sink.name) && !p.pending).map(|p| p.epoch);
        let outdated = sink.replacing && sink.committed.is_none_or(|c| c <= facts.done);
        if sink.committed == sink.recorded || outdated || (planned.is_some() && sink.committed == planned) {
            continue;
        }
        return Action::Stop(match (sink.committed, sink.recorded) {
            (committed, Some(recorded)) if committed.is_none_or(|c| c < recorded) => {
                Stop::TargetBehind { sink: sink.name.clone(), committed, recorded }
            }
            (committed, recorded) => {
                Stop::StateLost { sink: sink.name.clone(), committed: committed.unwrap_or(0), recorded }
            }
        });
    }
    let Some(planned) = open else {
        return Action::Next { epoch: facts.done + 1 };
    };
    let has =
        |name: &String| facts.sinks.iter().any(|s| s.name == *name && s.accounts && s.committed == Some(planned.epoch));
    // A sink that the program no longer has is not written; its record stays as it is.
    let known = planned.sinks.iter().filter(|n| facts.sinks.iter().any(|s| s.name == **n)).cloned();
    let (skip, write) = known.partition(has);
    Action::Resume { epoch: planned.epoch, write, skip }
}

/// What a starting replay must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// Plan this one. An earlier one that no target has is forgotten: its rows are where they were.
    Next {
        /// Its number.
        epoch: u64,
    },
    /// Run the planned one again, for the sinks that lack it.
    Finish {
        /// The sinks that lack it.
        write: Vec<String>,
        /// The sinks that have it.
        skip: Vec<String>,
    },
    /// Do nothing: a target has rows of a replay that is not finished, and what it read is not known.
    Unknown {
        /// The sink.
        sink: String,
        /// The replay that its target has.
        committed: u64,
    },
}

/// Decides for a replay. The target whose rows are replayed is committed last, so what it has is finished: the state is needed for the one replay that is not.
pub fn decide_replay(facts: &Facts, replayed: &str) -> Replay {
    let left = facts.sinks.iter().find(|s| s.name == replayed).and_then(|s| s.committed).unwrap_or(0);
    let finished = left.max(facts.done);
    let ahead = facts.sinks.iter().filter(|s| s.accounts).find(|s| s.committed.is_some_and(|c| c > finished));
    let next = Replay::Next { epoch: finished + 1 };
    let open = facts.planned.as_ref().filter(|p| p.epoch > facts.done && p.epoch >= left);
    let known = |p: &Planned| facts.sinks.iter().filter(|s| s.accounts).all(|s| s.committed.unwrap_or(0) <= p.epoch);
    let Some(planned) = open.filter(|p| known(p)) else {
        return match ahead {
            Some(SinkFacts { name, committed: Some(committed), .. }) => {
                Replay::Unknown { sink: name.clone(), committed: *committed }
            }
            _ => next,
        };
    };
    let has =
        |name: &String| facts.sinks.iter().any(|s| s.name == *name && s.accounts && s.committed == Some(planned.epoch));
    let known = planned.sinks.iter().filter(|n| facts.sinks.iter().any(|s| s.name == **n)).cloned();
    let (skip, write): (Vec<String>, Vec<String>) = known.partition(has);
    if skip.is_empty() { next } else { Replay::Finish { write, skip } }
}

#[cfg(test)]
mod tests;
