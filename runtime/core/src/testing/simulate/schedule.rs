//! What happens in a simulation, drawn from its seed: which program, which rows come when, and which runs there are, with how many faults. Knows nothing of how
//! it is carried out.

use super::chaos::Event;
use super::plans::{DELAY, TOPOLOGIES, Topology};
use super::random::Random;
use super::world::Part;
use crate::testing::Row;
use std::collections::VecDeque;

/// All that happens.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) topology: Topology,
    /// Whether rows come later than the watermark allows, and runs are drained in between: what is late then depends on how the input is cut.
    pub(super) late: bool,
    pub(super) split_rows: usize,
    pub(super) steps: Vec<Step>,
}

/// What happens at once.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A process runs.
    Run(Process),
    /// A copy of the state directory is made.
    Copy,
    /// The state directory is lost; it is then brought back, or everything is computed again.
    Lose { refresh: bool },
    /// The copy takes the place of the state directory; then as above.
    Old { refresh: bool },
}

/// A process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    /// Rows that have come when it starts.
    pub(super) rows: Vec<Part>,
    /// What happens while it waits; none: it does not follow its sources.
    pub(super) follow: Option<VecDeque<Event>>,
    pub(super) workers: usize,
    pub(super) batch_rows: usize,
    pub(super) limit: Option<u64>,
    pub(super) drain: bool,
    pub(super) refresh: bool,
    /// The program has so many of its sinks.
    pub(super) sinks: usize,
    /// One fault in so many operations; 0: none.
    pub(super) rate: u64,
}

/// Microseconds between epochs, and between looks at the sources.
pub(super) const INTERVAL: i64 = 7;

impl Schedule {
    /// That of a seed.
    pub(super) fn draw(seed: u64) -> Schedule {
        let mut random = Random::new(seed);
        let topology = TOPOLOGIES[seed as usize % TOPOLOGIES.len()];
        let late = topology != Topology::Stateless && random.one_in(4);
        let mut parts: VecDeque<Part> = parts(&mut random, late).into();
        let all = topology.sinks().len();
        // A sink that is added later gets all rows.
        let mut fewer = if !late && random.one_in(4) { random.within(1..4) } else { 0 };
        let mut copied = false;
        let mut steps = vec![];
        while !parts.is_empty() || random.one_in(2) {
            let sinks = if fewer > 0 { 1.max(all / 2) } else { all };
            fewer -= 1;
            steps.push(Step::Run(Process::draw(&mut random, &mut parts, (sinks, late))));
            match random.within(0..12) {
                0 | 1 => {
                    steps.push(Step::Copy);
                    copied = true;
                }
                2 => steps.push(Step::Lose { refresh: random.one_in(2) }),
                3 | 4 if copied => steps.push(Step::Old { refresh: random.one_in(2) }),
                _ => {}
            }
        }
        Schedule { topology, late, split_rows: random.pick(&[1, 2, 3, 8]), steps }
    }

    /// All rows, in the order in which they come.
    pub(super) fn rows(&self) -> Part {
        let mut all = Part::new();
        let mut add = |part: &Part| {
            for (source, rows) in part {
                all.entry(source).or_default().extend(rows);
            }
        };
        for step in &self.steps {
            let Step::Run(process) = step else { continue };
            process.rows.iter().for_each(&mut add);
            for event in process.follow.iter().flatten() {
                if let Event::Rows(part) = event {
                    add(part);
                }
            }
        }
        all
    }
}

impl Process {
    fn draw(random: &mut Random, parts: &mut VecDeque<Part>, (sinks, late): (usize, bool)) -> Process {
        let rows = if random.one_in(5) { vec![] } else { parts.pop_front().into_iter().collect() };
        let follow = random.one_in(3).then(|| {
            let mut events = VecDeque::new();
            for _ in 0..random.within(1..8) {
                let part = if random.one_in(2) { parts.pop_front() } else { None };
                events.push_back(part.map_or(Event::Nothing, Event::Rows));
            }
            events
        });
        Process {
            rows,
            follow,
            drain: late && random.one_in(6),
            sinks,
            rate: random.pick(&[0, 400, 150, 60, 60, 25]),
            ..Process::quiet(random)
        }
    }

    /// One without rows and faults.
    pub(super) fn quiet(random: &mut Random) -> Process {
        Process {
            rows: vec![],
            follow: None,
            workers: random.pick(&[1, 1, 2, 3]),
            batch_rows: random.pick(&[1, 3, 1024]),
            limit: random.pick(&[None, Some(3), Some(7), Some(7), Some(20)]),
            drain: false,
            refresh: false,
            sinks: usize::MAX,
            rate: 0,
        }
    }
}

/// Rows of both sources, in parts; event time goes on, and rows are out of order by no more than the delay (so some lie at the watermark), or (`late`) some of them by more.
fn parts(random: &mut Random, late: bool) -> Vec<Part> {
    let mut bases = [random.within(-30..60), random.within(-30..60)];
    let mut count = [0.0, 1000.0];
    let mut draw = |random: &mut Random, source: usize, most: i64| -> Vec<Row> {
        let rows = random.within(0..most);
        let draw = |_| {
            bases[source] += if random.one_in(12) { random.within(5..30) } else { random.within(0..4) };
            let back = if late && random.one_in(6) { random.within(0..50) } else { random.within(0..DELAY + 1) };
            count[source] += 1.0;
            (bases[source] - back, Some(count[source]))
        };
        (0..rows).map(draw).collect()
    };
    let parts = (0..random.within(3..7)).map(|_| {
        let (rows, others) = (draw(random, 0, 16), draw(random, 1, 10));
        Part::from([("in", rows), ("other", others)])
    });
    parts.collect()
}
