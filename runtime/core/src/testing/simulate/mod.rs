//! Whole runs in a simulated world where everything goes wrong, drawn from seeds: which program, which rows, which runs, which faults. Whatever happens, in the
//! end each row is there once. A seed repeats what happened: there is one thread, a clock that the simulation sets, and a seeded dice.
//!
//! `FLOWC_SEEDS=from..to cargo test --release -p flowc-runtime simulate -- --nocapture` runs other seeds.

mod chaos;
mod check;
mod plans;
mod random;
mod schedule;
mod world;

use crate::error::RunError;
use crate::report::{EpochReport, Observer, RunSummary, Unobserved};
use crate::run::{Follow, RunOptions, run};
use crate::{Cancel, EpochLimits};
use chaos::{Chaos, Event, Fired, KINDS, Kind, Ticking};
use check::{Checked, Watermarks};
pub(super) use random::Random;
use schedule::{INTERVAL, Process, Schedule, Step};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use world::{Simulated, World};

/// Seeds that every test run goes through.
const SEEDS: std::ops::Range<u64> = 0..200;

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Reports(Mutex<Vec<EpochReport>>);

impl Observer for Reports {
    fn epoch(&self, report: &EpochReport) {
        self.0.lock().unwrap().push(report.clone());
    }
}

/// A simulation as it goes on.
struct Simulation {
    schedule: Schedule,
    random: Random,
    chaos: Arc<Chaos>,
    world: Arc<World>,
    directory: tempfile::TempDir,
    /// What the targets must hold in the end; empty where rows may be late.
    wanted: BTreeMap<String, Vec<String>>,
    watermarks: Watermarks,
    /// The last copy of the state directory was made when the targets had these epochs.
    copied: Option<u64>,
    drained: bool,
    /// How many sinks the program had last.
    sinks: usize,
    runs: u64,
    /// Whether some runs keep on disk what steps remember.
    on_disk: bool,
}

/// What a run came to: its summary, or its error.
type Ended = Result<RunSummary, RunError>;

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let schedule = Schedule::draw(seed);
        let chaos = Arc::new(Chaos::new(seed ^ 0xc4a05));
        Simulation {
            random: Random::new(seed ^ 0x51),
            world: Arc::new(World::new(Arc::clone(&chaos), schedule.split_rows)),
            chaos,
            directory: tempfile::tempdir().unwrap(),
            wanted: BTreeMap::new(),
            watermarks: Watermarks::default(),
            copied: None,
            drained: false,
            sinks: 1,
            runs: 0,
            on_disk: seed.is_multiple_of(4),
            schedule,
        }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn aside(&self) -> PathBuf {
        self.directory.path().join("aside")
    }

    fn copy(&self) -> PathBuf {
        self.directory.path().join("copy")
    }

    /// The greatest epoch of all targets.
    fn committed(&self) -> u64 {
        self.world.targets().values().filter_map(|target| target.committed).max().unwrap_or(0)
    }

    /// What one run gives that reads everything at once.
    async fn straight(&self) -> Result<BTreeMap<String, Vec<String>>, String> {
        let alone = Arc::new(World::new(Arc::new(Chaos::new(0)), 1024));
        let rows = self.schedule.rows();
        alone.add(&rows);
        let topology = self.schedule.topology;
        let options = RunOptions {
            workers: 1,
            batch_rows: 1024,
            drain: true,
            clock: Arc::new(crate::clock::FixedClock(1_000_000)),
            ..RunOptions::new(self.directory.path().join("straight"))
        };
        let plan = topology.plan(usize::MAX).executable();
        let ran = run(&plan, Arc::new(Simulated(Arc::clone(&alone))), options, Arc::new(Unobserved)).await;
        ran.map_err(|e| format!("the uninterrupted run: {e}"))?;
        let targets = alone.targets();
        let held = |name: &&str| (name.to_string(), targets.get(*name).map_or(vec![], |t| t.rows.clone()));
        let wanted = topology.sinks().iter().map(held).collect();
        check::modelled(topology, &rows, &wanted)?;
        Ok(wanted)
    }

    /// Runs a process, with the faults that its rate gives. What it left behind must be in order whether it succeeded or not.
    async fn process(&mut self, process: &Process) -> Result<Ended, String> {
        self.runs += 1;
        self.sinks = process.sinks;
        process.rows.iter().for_each(|part| self.world.add(part));
        let cancel = Cancel::new();
        let clock = Arc::new(Ticking {
            chaos: Arc::clone(&self.chaos),
            longest: INTERVAL,
            events: Mutex::new(process.follow.clone().unwrap_or_default()),
            world: Arc::clone(&self.world),
            cancel: cancel.clone(),
        });
        let options = RunOptions {
            workers: process.workers,
            batch_rows: process.batch_rows,
            limits: EpochLimits { rows: process.limit, ..EpochLimits::NONE },
            // Those in between find it in the state directory.
            on_disk: self.on_disk && !self.runs.is_multiple_of(3),
            memory: if self.on_disk { 64 << 10 } else { 512 << 20 },
            drain: process.drain,
            full_refresh: process.refresh,
            follow: process.follow.is_some().then_some(Follow { poll: INTERVAL, interval: INTERVAL }),
            cancel: cancel.clone(),
            clock: Arc::clone(&clock) as Arc<dyn crate::clock::Clock>,
            ..RunOptions::new(self.state())
        };
        let (before, reports) = (self.chaos.fired(), Arc::new(Reports::default()));
        self.chaos.begin(process.rate, &cancel);
        let plan = self.schedule.topology.plan(process.sinks).executable();
        let watched = self.chaos.watch_state();
        let ended = run(&plan, Arc::new(Simulated(Arc::clone(&self.world))), options, reports.clone()).await;
        drop(watched);
        // What had not come when the process ended has come by the next.
        for event in std::mem::take(&mut *clock.events.lock().unwrap()) {
            if let Event::Rows(part) = event {
                self.world.add(&part);
            }
        }
        self.drained |= process.drain;
        let reports = reports.0.lock().unwrap().clone();
        match &ended {
            Ok(summary) if summary.epochs != reports.len() as u64 => {
                return Err(format!("{} epochs in the summary, {} reports", summary.epochs, reports.len()));
            }
            Err(e) if e.message.contains("injected") && self.chaos.fired() == before => {
                return Err(format!("an error without a fault: {e}"));
            }
            Err(e) if !e.message.contains("injected") && e.code != "R0401" => return Err(format!("{e}")),
            _ => {}
        }
        self.check(&reports)?;
        Ok(ended)
    }

    fn check(&mut self, reports: &[EpochReport]) -> Checked {
        let targets = self.world.targets();
        check::orders(self.schedule.topology, &targets, self.drained)?;
        self.watermarks.advance(reports)?;
        check::reports(reports, &targets)?;
        if self.wanted.is_empty() { Ok(()) } else { check::only_wanted(&targets, &self.wanted) }
    }

    async fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Run(process) => match self.process(process).await? {
                Err(e) if !e.message.contains("injected") => Err(e.to_string()),
                _ => Ok(()),
            },
            Step::Copy => {
                copy_directory(&self.state(), &self.copy());
                self.copied = Some(self.committed());
                Ok(())
            }
            Step::Lose { refresh } => {
                self.chaos.note(Kind::StateLost);
                self.exchange(None, *refresh).await
            }
            Step::Old { refresh } => match self.copied {
                Some(_) => {
                    self.chaos.note(Kind::StateOld);
                    self.exchange(self.copied, *refresh).await
                }
                None => Ok(()),
            },
        }
    }

    /// Another directory takes the place of the state: none, or the copy, made when the targets had this epoch. A run may only go on from there if nothing is lost;
    /// otherwise it must stop, and touch nothing. Then the state comes back, or everything is computed again.
    async fn exchange(&mut self, copied: Option<u64>, refresh: bool) -> Checked {
        let _ = std::fs::remove_dir_all(self.aside());
        if self.state().exists() {
            std::fs::rename(self.state(), self.aside()).unwrap();
        }
        if copied.is_some() {
            copy_directory(&self.copy(), &self.state());
        }
        let (before, known) = (self.world.targets(), copied.unwrap_or(0));
        let process = Process { sinks: self.sinks, ..Process::quiet(&mut self.random) };
        // The epoch after the last that was finished may have been planned.
        let must_stop = if copied.is_some() { self.committed() > known + 1 } else { self.committed() > 0 };
        match self.process(&process).await? {
            Ok(_) if must_stop => return Err("the state is not what it was, and the run did not stop".into()),
            Ok(_) => return Ok(()),
            Err(e) if e.code != "R0401" => return Err(format!("not R0401: {e}")),
            Err(_) if self.world.targets() != before => return Err("a run that stopped has written".into()),
            Err(_) => {}
        }
        if !refresh {
            std::fs::remove_dir_all(self.state()).unwrap();
            std::fs::rename(self.aside(), self.state()).unwrap();
            return Ok(());
        }
        self.watermarks = Watermarks::default();
        let process = Process { refresh: true, rate: self.random.pick(&[0, 60, 25]), ..process };
        if self.process(&process).await?.is_err() {
            self.watermarks = Watermarks::default();
            let again = self.process(&Process { rate: 0, ..process }).await?;
            again.map_err(|e| format!("the full refresh: {e}"))?;
        }
        // Its numbers go on, so an older copy is one of another past.
        self.copied = None;
        Ok(())
    }

    /// The last runs, without faults: all that is open is closed, and then nothing is left to do.
    async fn end(&mut self) -> Checked {
        let last = Process { drain: true, ..Process::quiet(&mut self.random) };
        self.process(&last).await?.map_err(|e| format!("the last run: {e}"))?;
        let targets = self.world.targets();
        let again = self.process(&last).await?.map_err(|e| format!("the run after the last: {e}"))?;
        if again.epochs != 0 || self.world.targets() != targets {
            return Err(format!("the run after the last did {again:?}"));
        }
        if !self.wanted.is_empty() {
            return check::equal(&targets, &self.wanted);
        }
        let seen = crate::state::look(&self.state(), "p").map_err(|e| e.to_string())?;
        let seen = seen.ok_or("there is no state")?;
        check::conserved(self.schedule.topology, &self.schedule.rows(), &targets, &seen)
    }

    async fn run(&mut self) -> Checked {
        if !self.schedule.late {
            self.wanted = self.straight().await?;
        }
        for step in self.schedule.steps.clone() {
            self.step(&step).await?;
        }
        self.end().await
    }
}

fn copy_directory(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).into_iter().flatten() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
        if path.is_dir() {
            copy_directory(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Simulates a seed; what went wrong, how many runs there were, and what does not hold.
fn simulate(seed: u64) -> (Fired, u64, Checked) {
    let mut simulation = Simulation::new(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(simulation.run())));
    let checked = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    });
    let checked = checked.map_err(|what| {
        let log = simulation.chaos.log().join("\n");
        format!("seed {seed}: {what}\n{:#?}\n{log}\nseed {seed}: {what}", simulation.schedule)
    });
    (simulation.chaos.fired(), simulation.runs, checked)
}

/// The seeds that are asked for: `from..to`.
fn asked() -> Option<std::ops::Range<u64>> {
    let text = std::env::var("FLOWC_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("FLOWC_SEEDS is from..to");
    Some(from.parse().unwrap()..to.parse().unwrap())
}

#[test]
fn whatever_goes_wrong_each_row_is_there_once() {
    let seeds = asked().unwrap_or(SEEDS);
    let (mut fired, mut runs, mut failed) = (Fired::default(), 0, vec![]);
    for seed in seeds.clone() {
        let (more, ran, checked) = simulate(seed);
        fired.add(&more);
        runs += ran;
        if let Err(what) = checked {
            // The whole of the first is enough to look at.
            let last = what.lines().last().unwrap_or_default().to_string();
            println!("{}", if failed.is_empty() { what } else { last });
            failed.push(seed);
        }
    }
    println!("seeds {seeds:?}: {runs} runs, {} faults\n{fired}", fired.all());
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
    if seeds == SEEDS {
        for kind in KINDS {
            assert!(fired.of(kind) > 0, "{kind:?} never happened");
        }
    }
}

#[test]
fn a_seed_repeats_what_happened() {
    for seed in [3, 7, 21] {
        let (first, second) = (simulate(seed), simulate(seed));
        assert_eq!((first.0, first.1, first.2), (second.0, second.1, second.2), "seed {seed}");
    }
}
