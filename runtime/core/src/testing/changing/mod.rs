//! Whole runs of programs over rows that change: tables are changed at random, what changed is read in epochs cut at random, by processes that are killed at random;
//! whenever a run comes to its end, the sinks hold what the program means, computed anew from the tables as they are then.
//!
//! `FLOWC_SEEDS=from..to cargo test --release -p flowc-runtime changing::` runs other seeds.

mod shapes;
mod upgrades;
mod world;

use super::simulate::Random;
use super::{Faults, Planned, Row, batch_of, options, texts};
use crate::connectors::memory::MemoryConnectors;
use crate::report::Unobserved;
use crate::run::{RunOptions, run};
use crate::state::disk::{self, faults::Fault};
use crate::zset::weighted;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use flowc_ir::arrow_types::to_arrow_schema;
use shapes::{SHAPES, Shape, Tables, record_schema};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use world::Mortal;

/// Seeds that every test run goes through.
const SEEDS: std::ops::Range<u64> = 0..44;

/// Lets accesses of this thread to the state directory be operations like any other: the one at which a process is killed may happen, or half of it.
struct Watched;

impl Watched {
    fn new(faults: &Arc<Faults>, last: Fault) -> Watched {
        let (faults, last) = (Arc::clone(faults), Cell::new(Some(last)));
        disk::faults::ask(Some(Rc::new(move |_, _| match faults.step() {
            Ok(()) => None,
            Err(_) => Some(last.take().unwrap_or(Fault::Before)),
        })));
        Watched
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        disk::faults::ask(None);
    }
}

/// A world that changes.
struct Changing {
    seed: u64,
    random: Random,
    shape: Shape,
    memory: MemoryConnectors,
    tables: Tables,
    /// The sequence of the newest record of each id, and the next one.
    sequences: BTreeMap<i64, i64>,
    next: i64,
    state: tempfile::TempDir,
    /// What remembers something is kept on disk in most runs.
    on_disk: bool,
    killed: u64,
}

impl Changing {
    fn new(seed: u64) -> Changing {
        let mut random = Random::new(seed);
        let shape = SHAPES[seed as usize % SHAPES.len()];
        let memory = MemoryConnectors::new(random.pick(&[1, 2, 5]));
        let (tables, sequences, state) = (Tables::default(), BTreeMap::new(), tempfile::tempdir().unwrap());
        let on_disk = random.one_in(3);
        Changing { seed, random, shape, memory, tables, sequences, next: 0, state, on_disk, killed: 0 }
    }

    fn x(&mut self) -> Option<f64> {
        (!self.random.one_in(7)).then(|| self.random.within(0..4) as f64)
    }

    /// Inserts, updates and deletes rows of a table; how it has changed, in any order, some rows more than once.
    fn change(&mut self, table: &mut BTreeMap<i64, Option<f64>>) -> Vec<(Row, i64)> {
        let mut changes: Vec<(Row, i64)> = vec![];
        for _ in 0..self.random.within(0..9) {
            let id = self.random.within(0..12);
            let new = (!self.random.one_in(3)).then(|| self.x());
            let old = match new {
                Some(x) => table.insert(id, x),
                None => table.remove(&id),
            };
            changes.extend(old.map(|x| ((id, x), -1)));
            changes.extend(new.map(|x| ((id, x), 1)));
        }
        for place in (1..changes.len()).rev() {
            let other = self.random.within(0..place as i64 + 1) as usize;
            changes.swap(place, other);
        }
        changes
    }

    /// Records of changes; some come late, and say nothing new.
    fn record(&mut self, table: &mut BTreeMap<i64, Option<f64>>) -> RecordBatch {
        let (mut rows, mut words, mut sequences): (Vec<Row>, Vec<&str>, Vec<i64>) = (vec![], vec![], vec![]);
        for _ in 0..self.random.within(0..9) {
            let (id, x) = (self.random.within(0..12), self.x());
            let delete = self.random.one_in(3);
            self.next += 1;
            let sequence = self.next - if self.random.one_in(4) { self.random.within(0..9) } else { 0 };
            let known = self.sequences.entry(id).or_insert(i64::MIN);
            if sequence >= *known {
                *known = sequence;
                if delete {
                    table.remove(&id)
                } else {
                    table.insert(id, x)
                };
            }
            rows.push((id, x));
            words.push(if delete {
                self.random.pick(&["d", "DELETE"])
            } else {
                self.random.pick(&["c", "u", "Insert"])
            });
            sequences.push(sequence);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
            Arc::new(StringArray::from(words)),
            Arc::new(Int64Array::from(sequences)),
        ];
        RecordBatch::try_new(to_arrow_schema(&record_schema()), columns).unwrap()
    }

    /// Changes all tables.
    fn turn(&mut self) {
        let mut tables = std::mem::take(&mut self.tables);
        for (name, table) in [("left", &mut tables.left), ("right", &mut tables.right)] {
            let changes = self.change(table);
            let rows = batch_of(&changes.iter().map(|(row, _)| *row).collect::<Vec<_>>());
            let weights = changes.iter().map(|(_, weight)| *weight).collect();
            self.memory.add_rows(name, weighted(&rows, weights).unwrap()).unwrap();
        }
        let records = self.record(&mut tables.records);
        self.memory.add_rows("records", records).unwrap();
        self.tables = tables;
    }

    /// Runs the program, in processes that may be killed, until one comes to its end.
    async fn run(&mut self, plan: &Planned) {
        let executable = plan.executable();
        for attempt in 0.. {
            let mortal = attempt < 3 && self.random.one_in(2);
            let faults = if mortal { Faults::after(self.random.within(0..150)) } else { Faults::none() };
            let last = self.random.pick(&[Fault::Before, Fault::After, Fault::Torn]);
            let random = &mut self.random;
            let limit = random.pick(&[None, None, Some(1), Some(4)]);
            let options = RunOptions {
                on_disk: self.on_disk && !random.one_in(4),
                memory: if self.on_disk { 256 << 10 } else { 512 << 20 },
                full_refresh: !mortal && random.one_in(12),
                drain: random.one_in(8),
                durable: false,
                ..options(self.state.path(), random.pick(&[1, 2, 3]), random.pick(&[1, 3, 1024]), limit)
            };
            let connectors = Mortal { memory: self.memory.clone(), faults: Arc::clone(&faults) };
            let watched = Watched::new(&faults, last);
            let ran = run(&executable, Arc::new(connectors), options, Arc::new(Unobserved)).await;
            drop(watched);
            self.killed += u64::from(faults.hit());
            match ran {
                Ok(_) => return,
                Err(error) => assert!(faults.hit(), "seed {}: {error}", self.seed),
            }
        }
    }

    fn check(&self, plan: &Planned, step: i64) {
        let wanted = self.shape.model(&self.tables);
        for sink in plan.plan.sinks.iter().map(|sink| &sink.name) {
            let mut rows: Vec<String> = self.memory.written(sink).iter().flat_map(texts).collect();
            rows.sort();
            let (seed, shape) = (self.seed, self.shape);
            assert!(rows == wanted, "seed {seed}, {shape:?}, step {step}: `{sink}` holds {rows:#?}, not {wanted:#?}");
        }
    }
}

/// The seeds that are asked for: `from..to`.
fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("FLOWC_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("FLOWC_SEEDS is from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

#[tokio::test]
async fn sinks_hold_what_the_program_means_whatever_changed() {
    let mut killed = 0;
    for seed in seeds() {
        let mut world = Changing::new(seed);
        let plan = world.shape.plan();
        for step in 0..world.random.within(4..9) {
            // More than one commit may have come since the last run.
            for _ in 0..world.random.within(1..4) {
                world.turn();
            }
            world.run(&plan).await;
            world.check(&plan, step);
        }
        killed += world.killed;
    }
    assert!(killed > 20 || seeds() != SEEDS, "only {killed} processes were killed");
}

#[test]
fn programs_are_sound_and_have_a_meaning() {
    let mut tables = Tables::default();
    tables.left.extend([(1, Some(1.0)), (2, Some(1.0)), (3, None)]);
    for shape in SHAPES {
        let plan = shape.plan();
        assert_eq!(Shape::merges(&plan), !matches!(shape, Shape::Union | Shape::Chain));
    }
    let one = format!("1#{:x}", 1f64.to_bits());
    assert_eq!(Shape::Aggregate.model(&tables), [format!("{one} 2"), "null 1".into()]);
    assert_eq!(Shape::Top.model(&tables), [format!("2 {one}"), "3 null".into()]);
    assert_eq!(Shape::Distinct.model(&tables), [one.clone(), "null".into()]);
    tables.left.extend([(4, Some(1.0)), (7, Some(1.0))]);
    let windows = |sessions| Shape::Window { sessions }.model(&tables);
    assert_eq!(windows(false), [format!("{one} 0 4000 2"), format!("{one} 4000 8000 2"), "null 0 4000 1".into()]);
    assert_eq!(windows(true), [format!("{one} 1000 6000 3"), format!("{one} 7000 9000 1"), "null 3000 5000 1".into()]);
    tables.records.extend([(8, Some(1.0)), (9, Some(2.0))]);
    assert_eq!(Shape::Counted.model(&tables), [format!("{one} 4")]);
}
