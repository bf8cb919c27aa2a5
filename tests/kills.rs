//! `kill -9` of the real binary over Delta tables on disk, again and again, at moments that a seed draws: so many milliseconds after the start, or just after the
//! process has planned an epoch or committed one to a table. Whatever the moments, in the end the sinks hold the rows of one run that nothing interrupted.
//!
//! `FLOWC_KILLS=200 cargo test --test kills -- --nocapture` kills so many times; `FLOWC_KILLS_SEED` draws other moments.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Project, flowc};

/// Kills of an ordinary test run, over all programs.
const KILLS: u64 = 6;

/// No program is killed for longer than this, however many kills were asked for.
const LONGEST: Duration = Duration::from_secs(50);

/// Rows of a file; each file is a commit of the source.
const FILE_ROWS: u64 = 25;

/// Rows of an epoch: two files.
const EPOCH_ROWS: &str = "50";

/// A program, and the tables that it reads and writes. Where rows may be late they are read commit by commit from the first: what a run takes at once as a table's
/// snapshot has other rows later than the watermark.
struct Case {
    name: &'static str,
    program: &'static str,
    sources: &'static [&'static str],
    sinks: &'static [&'static str],
}

const CASES: [Case; 3] = [
    Case {
        name: "stateless",
        program: "source s = delta(\"in\")\n\
            flow even = s |> where id % 2 == 0 |> extend w = v * 2\n\
            flow odd = s |> where id % 2 == 1\n\
            sink even = even -> delta(\"even\")\nsink odd = odd -> delta(\"odd\")\n",
        sources: &["in"],
        sinks: &["even", "odd"],
    },
    Case {
        name: "windows",
        program: "source s = delta(\"in\") { start version 0 event_time at = timestamp_millis(ms) watermark 2s }\n\
            flow w = s |> aggregate n = count(), total = sum(v), newest = last(id) by k, window tumble(5s)\n\
            sink windows = w -> delta(\"windows\")\nsink late = w.late -> delta(\"late\")\n",
        sources: &["in"],
        sinks: &["windows", "late"],
    },
    Case {
        name: "join",
        program: "source l = delta(\"in\") { event_time at = timestamp_millis(ms) watermark 25s }\n\
            source r = delta(\"other\") { event_time at = timestamp_millis(ms) watermark 25s }\n\
            flow j = l |> left join r on r.k == k within 3s\n\
                |> select id, k, v, other = r.id, other_v = r.v\n\
            sink joined = j -> delta(\"joined\")\n",
        sources: &["in", "other"],
        sinks: &["joined"],
    },
];

/// Random numbers that a seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A row of a source. Ten rows make a second of event time, out of order by less than two. Every hundredth row comes twenty seconds late: far behind what an epoch
/// can hold, so that whatever the cut it is late for windows of five seconds.
fn row(source: &str, i: u64) -> String {
    let mixed = Random(i ^ source.len() as u64).below(1 << 20);
    let back = if i % 100 == 57 && i > 100 { 20_000 } else { mixed % 1_900 };
    let ms = 1_700_000_000_000 + i * 100 - back;
    let v = mixed as f64 / 7.0;
    format!("{{\"id\": {i}, \"ms\": {ms}, \"k\": {}, \"v\": {v}}}\n", mixed % 13)
}

/// Adds so many commits to each source: flowc itself writes them, a commit a file.
fn append(project: &Project, case: &Case, from: u64, commits: u64) {
    for source in case.sources {
        for commit in from..from + commits {
            let rows = commit * FILE_ROWS..(commit + 1) * FILE_ROWS;
            let text: String = rows.map(|i| row(source, i)).collect();
            project.write(&format!("seed/{source}/{commit:06}.json"), &text);
        }
        let program = format!("seed_{source}.flow");
        let columns = "id: long, ms: long, k: integer, v: double";
        project.write(
            &program,
            &format!("source rows = json(\"seed/{source}/*.json\") {{ schema {{ {columns} }} }}\nsink out = rows -> delta(\"{source}\")\n"),
        );
        project.flowc(&["run", &program, "--epoch-files", "1", "--workers", "1"]).expect(0);
    }
}

/// Where a process was when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    BetweenEpochs,
    PlannedNothingCommitted,
    SomeSinksCommitted,
    AllCommittedCheckpointBehind,
}

/// What the state directory and the targets say.
struct Stand {
    planned: u64,
    done: u64,
    committed: Vec<u64>,
}

impl Stand {
    fn of(project: &Project, case: &Case) -> Stand {
        let state = project.path().join(".flow/k");
        let epochs = std::fs::read_dir(state.join("epochs")).into_iter().flatten().flatten();
        let names = epochs.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse::<u64>().ok());
        let checkpoint = std::fs::read_to_string(state.join("checkpoint.json")).ok();
        let checkpoint = checkpoint.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
        Stand {
            planned: names.max().unwrap_or(0),
            done: checkpoint.and_then(|c| c["done"].as_u64()).unwrap_or(0),
            committed: case.sinks.iter().map(|sink| *epochs_of(project, sink).last().unwrap_or(&0)).collect(),
        }
    }

    fn phase(&self) -> Phase {
        let has = self.committed.iter().filter(|epoch| **epoch == self.planned).count();
        match has {
            _ if self.planned <= self.done => Phase::BetweenEpochs,
            0 => Phase::PlannedNothingCommitted,
            n if n < self.committed.len() => Phase::SomeSinksCommitted,
            _ => Phase::AllCommittedCheckpointBehind,
        }
    }
}

/// The epochs that a table says it has, in the order of its commits.
fn epochs_of(project: &Project, table: &str) -> Vec<u64> {
    let versions = project.version(table).map_or(0, |version| version + 1);
    let actions = (0..versions).flat_map(|version| project.commit(table, version));
    actions.filter_map(|action| action.get("txn")?["version"].as_u64()).collect()
}

fn start(project: &Project, words: &[&str]) -> Child {
    let mut command = flowc();
    command.args(["run", "k.flow", "--epoch-rows", EPOCH_ROWS]).args(words).current_dir(project.path());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the moment has come, or the process has ended.
fn wait_for(child: &mut Child, what: impl Fn() -> bool) {
    while !what() && child.try_wait().unwrap().is_none() {
        // The process needs the cores more.
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Waits for a moment that is drawn, and kills; whether the process was still there. `usual`: about how long one runs.
fn kill(project: &Project, case: &Case, random: &mut Random, child: &mut Child, usual: Duration) -> (String, bool) {
    let stand = Stand::of(project, case);
    let (more, spin) = (random.below(5) + 1, Duration::from_micros(random.below(2_000)));
    let begun = Instant::now();
    let moment = match random.below(4) {
        0 => {
            let after = Duration::from_micros(random.below(usual.as_micros() as u64 + 1));
            wait_for(child, || begun.elapsed() >= after);
            format!("{} ms after its start", after.as_millis())
        }
        1 => {
            let next = project.path().join(format!(".flow/k/epochs/{}.json", stand.planned + more));
            wait_for(child, || next.exists());
            format!("after it planned epoch {}", stand.planned + more)
        }
        _ => {
            let sink = case.sinks[random.below(case.sinks.len() as u64) as usize];
            let version = project.version(sink).map_or(0, |version| version + 1) + more - 1;
            let next = project.path().join(format!("{sink}/_delta_log/{version:020}.json"));
            wait_for(child, || next.exists());
            format!("after it committed version {version} of {sink}")
        }
    };
    let reached = Instant::now();
    wait_for(child, || reached.elapsed() >= spin);
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    (format!("{moment} and {} µs", spin.as_micros()), alive)
}

/// Ends a process that was, or was not, killed; it must not have failed by itself.
fn reap(mut child: Child, alive: bool, moment: &str) {
    let status = child.wait().unwrap();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    assert!(alive || status.success(), "to be killed {moment}, it failed: {told}");
}

/// Kills so many runs of a program, with more commits to its sources in between; the phases in which they were.
fn kill_again_and_again(project: &Project, case: &Case, kills: u64, random: &mut Random) -> BTreeMap<Phase, u64> {
    let (begun, mut phases, mut commits, mut landed) = (Instant::now(), BTreeMap::new(), 16, 0);
    append(project, case, 0, commits);
    let mut usual = Duration::from_millis(600);
    while landed < kills && begun.elapsed() < LONGEST {
        let drained: &[&str] = if landed + 1 == kills { &["--drain"] } else { &[] };
        let (started, mut child) = (Instant::now(), start(project, drained));
        let (moment, alive) = kill(project, case, random, &mut child, usual);
        reap(child, alive, &moment);
        if alive {
            landed += 1;
            let phase = Stand::of(project, case).phase();
            println!("{}: killed {moment}: {phase:?}", case.name);
            *phases.entry(phase).or_default() += 1;
        } else {
            usual = started.elapsed();
        }
        // All was read, or there is to be more while an epoch is open.
        if drained.is_empty() && (!alive || random.below(3) == 0) {
            append(project, case, commits, 8);
            commits += 8;
        }
    }
    phases
}

/// Copies the sources elsewhere, and runs the program once.
fn uninterrupted(project: &Project, case: &Case) -> Project {
    let alone = Project::new();
    for source in case.sources {
        let copied = Command::new("cp").arg("-r").arg(project.path().join(source)).arg(alone.path()).status().unwrap();
        assert!(copied.success());
    }
    alone.write("k.flow", case.program);
    alone.flowc(&["run", "k.flow", "--epoch-rows", EPOCH_ROWS, "--drain"]).expect(0);
    alone
}

/// Kills a program, lets it end, and compares; what happened, in a line.
fn killed_is_uninterrupted(case: &Case, kills: u64, random: &mut Random) -> String {
    let project = Project::new();
    project.write("k.flow", case.program);
    let phases = kill_again_and_again(&project, case, kills, random);
    project.flowc(&["run", "k.flow", "--epoch-rows", EPOCH_ROWS, "--drain"]).expect(0);
    let alone = uninterrupted(&project, case);
    let landed: u64 = phases.values().sum();
    let mut line = format!("{}: {landed} of {kills} kills landed: {phases:?}", case.name);
    for sink in case.sinks {
        let (found, wanted) = (project.rows(sink), alone.rows(sink));
        assert!(!wanted.is_empty(), "{}: `{sink}` got nothing", case.name);
        if found != wanted {
            let missing: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).take(10).collect();
            let counts = (found.len(), wanted.len());
            panic!("{}: `{sink}` has {counts:?} rows; missing are {missing:#?} and perhaps more", case.name);
        }
        let epochs = epochs_of(&project, sink);
        assert!(epochs.is_sorted_by(|a, b| a < b), "{}: `{sink}` has commits of epochs {epochs:?}", case.name);
        write!(line, "; {sink} {} rows in {} commits", found.len(), epochs.len()).unwrap();
    }
    assert!(landed > 0, "{}: no kill landed", case.name);
    line
}

#[test]
fn killed_at_random_moments_the_sinks_hold_what_one_run_gives() {
    let (kills, seed) = (number("FLOWC_KILLS", KILLS), number("FLOWC_KILLS_SEED", 1));
    println!("seed {seed}, {kills} kills");
    let mut random = Random(seed);
    let each = kills.div_ceil(CASES.len() as u64);
    let lines: Vec<String> = CASES.iter().map(|case| killed_is_uninterrupted(case, each, &mut random)).collect();
    println!("{}", lines.join("\n"));
}
