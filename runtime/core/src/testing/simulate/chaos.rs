//! What goes wrong: each operation of the simulated world asks, and a seeded dice tells what becomes of it. Counts what happened. Knows nothing of what the
//! operations do.

use super::random::Random;
use crate::Cancel;
use crate::clock::Clock;
use crate::error::RunError;
use crate::state::disk;
use crate::state::disk::faults;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An operation fails and has done nothing.
    Before,
    /// An operation is done; the caller is told that it failed.
    After,
    /// An operation is half done, and fails.
    Torn,
    /// Another writer commits first, and the operation fails.
    Conflict,
    /// Another writer commits first, and the target tries again.
    Retried,
    /// An operation takes long; others go on meanwhile.
    Slow,
    /// The process ends, before, after or within an operation: all that follow fail.
    Crash,
    /// The run is told to end.
    Cancel,
    /// The clock is set back.
    ClockBack,
    /// The clock is set on.
    ClockForward,
    /// The state directory is gone.
    StateLost,
    /// The state directory is an old copy.
    StateOld,
}

pub(super) const KINDS: [Kind; 12] = [
    Kind::Before,
    Kind::After,
    Kind::Torn,
    Kind::Conflict,
    Kind::Retried,
    Kind::Slow,
    Kind::Crash,
    Kind::Cancel,
    Kind::ClockBack,
    Kind::ClockForward,
    Kind::StateLost,
    Kind::StateOld,
];

/// Where it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Area {
    Source,
    Table,
    Sink,
    State,
}

/// What an operation does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// It writes what nobody sees yet.
    Writes,
    /// It makes things visible.
    Commits,
    /// It removes something.
    Removes,
}

/// How often what went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fired(pub(super) BTreeMap<(Area, Kind), u64>);

impl Fired {
    pub(super) fn of(&self, kind: Kind) -> u64 {
        self.0.iter().filter(|((_, k), _)| *k == kind).map(|(_, n)| n).sum()
    }

    pub(super) fn all(&self) -> u64 {
        self.0.values().sum()
    }

    pub(super) fn add(&mut self, other: &Fired) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in KINDS {
            let by_area = self.0.iter().filter(|((_, k), _)| *k == kind);
            let by_area: Vec<String> = by_area.map(|((area, _), n)| format!("{area:?} {n}").to_lowercase()).collect();
            writeln!(f, "  {:<14}{:>6}   {}", format!("{kind:?}"), self.of(kind), by_area.join(", "))?;
        }
        Ok(())
    }
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Passes,
    Before,
    After,
    Torn,
    Conflict,
    Retried,
    /// It passes, after so many others.
    Slow(u64),
}

/// The dice, and what it has done.
pub(super) struct Chaos(Mutex<Dice>);

struct Dice {
    random: Random,
    /// Something goes wrong once in so many operations; 0: never.
    rate: u64,
    crashed: bool,
    fired: Fired,
    log: Vec<String>,
    operations: u64,
    cancel: Cancel,
    now: i64,
}

/// More operations than any run needs: it does not end.
const ENDLESS: u64 = 200_000;

impl fmt::Debug for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chaos")
    }
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Chaos {
        Chaos(Mutex::new(Dice {
            random: Random::new(seed),
            rate: 0,
            crashed: false,
            fired: Fired::default(),
            log: vec![],
            operations: 0,
            cancel: Cancel::new(),
            now: 1_000_000,
        }))
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A process begins, with its switch.
    pub(super) fn begin(&self, rate: u64, cancel: &Cancel) {
        let mut dice = self.dice();
        (dice.rate, dice.crashed, dice.operations, dice.cancel) = (rate, false, 0, cancel.clone());
        dice.log.push(format!("-- a run with a fault in {rate} operations"));
    }

    pub(super) fn fired(&self) -> Fired {
        self.dice().fired.clone()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.dice().log.clone()
    }

    /// Takes notice of what is done to the state directory between runs.
    pub(super) fn note(&self, kind: Kind) {
        self.dice().fire(Area::State, kind, "between runs");
    }

    /// What becomes of an operation.
    pub(super) fn roll(&self, area: Area, effect: Effect, what: &str) -> Verdict {
        self.dice().roll(area, effect, what)
    }

    /// An operation that only reads.
    pub(super) async fn reads(&self, area: Area, what: &str) -> Result<(), RunError> {
        match self.roll(area, Effect::Reads, what) {
            Verdict::Passes => Ok(()),
            Verdict::Slow(times) => {
                wait(times).await;
                Ok(())
            }
            _ => Err(self.injected(area, what)),
        }
    }

    /// The error of an operation that failed. Those of sources are of two kinds, because an epoch that its input made fail is planned anew.
    pub(super) fn injected(&self, area: Area, what: &str) -> RunError {
        let code = if area == Area::Source && self.dice().random.one_in(2) { "R0201" } else { "R9999" };
        RunError::world(code, format!("injected: {what}"))
    }

    /// Asks the dice about the state directory, until the guard is dropped.
    pub(super) fn watch_state(self: &Arc<Self>) -> Watched {
        let chaos = Arc::clone(self);
        faults::ask(Some(Rc::new(move |access, path| {
            let effect = match access {
                disk::Access::Read => Effect::Reads,
                disk::Access::Write(_) => Effect::Commits,
                disk::Access::Remove => Effect::Removes,
            };
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            match chaos.roll(Area::State, effect, &format!("{effect:?} {name}")) {
                Verdict::Passes | Verdict::Slow(_) => None,
                Verdict::After => Some(faults::Fault::After),
                Verdict::Torn => Some(faults::Fault::Torn),
                _ => Some(faults::Fault::Before),
            }
        })));
        Watched
    }
}

/// See [`Chaos::watch_state`].
pub(super) struct Watched;

impl Drop for Watched {
    fn drop(&mut self) {
        faults::ask(None);
    }
}

/// Lets others go first.
pub(super) async fn wait(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

impl Dice {
    fn fire(&mut self, area: Area, kind: Kind, what: &str) {
        *self.fired.0.entry((area, kind)).or_default() += 1;
        self.log.push(format!("{kind:?}, {area:?}: operation {} ({what})", self.operations));
    }

    fn roll(&mut self, area: Area, effect: Effect, what: &str) -> Verdict {
        if self.crashed {
            return Verdict::Before;
        }
        self.operations += 1;
        assert!(self.operations < ENDLESS, "the run does not end");
        // Where something becomes visible there is more to go wrong.
        let rate = if effect == Effect::Commits { self.rate.div_ceil(4) } else { self.rate };
        if rate == 0 || !self.random.one_in(rate) {
            return Verdict::Passes;
        }
        let state = area == Area::State;
        let kinds: &[Kind] = match effect {
            Effect::Reads => {
                &[Kind::Before, Kind::Slow, Kind::Crash, Kind::Cancel, Kind::ClockBack, Kind::ClockForward]
            }
            Effect::Writes => &[Kind::Before, Kind::After, Kind::Torn, Kind::Slow, Kind::Crash],
            Effect::Commits if state => &[Kind::Before, Kind::After, Kind::Torn, Kind::Crash, Kind::Crash],
            Effect::Commits => {
                &[Kind::Before, Kind::After, Kind::Conflict, Kind::Retried, Kind::Slow, Kind::Crash, Kind::Crash]
            }
            Effect::Removes => &[Kind::Before, Kind::After, Kind::Crash],
        };
        let kind = self.random.pick(kinds);
        self.fire(area, kind, what);
        self.becomes(kind, effect)
    }

    fn becomes(&mut self, kind: Kind, effect: Effect) -> Verdict {
        match kind {
            Kind::Before => Verdict::Before,
            Kind::After => Verdict::After,
            Kind::Torn => Verdict::Torn,
            Kind::Conflict => Verdict::Conflict,
            Kind::Retried => Verdict::Retried,
            Kind::Slow => Verdict::Slow(self.random.next() % 20 + 1),
            Kind::Crash => {
                self.crashed = true;
                let torn = matches!(effect, Effect::Writes | Effect::Commits).then_some(Verdict::Torn);
                let moments = [Some(Verdict::Before), Some(Verdict::After), torn];
                let verdict = self.random.pick(&moments).unwrap_or(Verdict::After);
                self.log.push(format!("   the process ends: {verdict:?}"));
                verdict
            }
            Kind::Cancel => {
                self.cancel.cancel();
                Verdict::Passes
            }
            Kind::ClockBack => {
                self.now -= self.random.within(1..100_000_000);
                Verdict::Passes
            }
            Kind::ClockForward => {
                self.now += self.random.within(1..100_000_000);
                Verdict::Passes
            }
            Kind::StateLost | Kind::StateOld => Verdict::Passes,
        }
    }
}

/// The clock of a run, which can be set; while the run waits, more rows come, and at last it is told to end.
#[derive(Debug)]
pub(super) struct Ticking {
    pub(super) chaos: Arc<Chaos>,
    /// The longest that the run may wait.
    pub(super) longest: i64,
    pub(super) events: Mutex<VecDeque<Event>>,
    pub(super) world: Arc<super::world::World>,
    pub(super) cancel: Cancel,
}

/// What happens while a run waits.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Nothing,
    Rows(super::world::Part),
}

impl Clock for Ticking {
    fn now(&self) -> i64 {
        let mut dice = self.chaos.dice();
        dice.now += 1;
        dice.now
    }

    fn pause(&self, micros: i64) -> BoxFuture<'static, ()> {
        assert!(micros <= self.longest, "waits {micros} microseconds, at most {} make sense", self.longest);
        self.chaos.dice().now += micros.max(0);
        match self.events.lock().unwrap().pop_front() {
            Some(Event::Nothing) => {}
            Some(Event::Rows(part)) => self.world.add(&part),
            None => self.cancel.cancel(),
        }
        tokio::task::yield_now().boxed()
    }
}
