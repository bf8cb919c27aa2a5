//! The words of the command line: commands, flags, help texts. Says what may be written; what it does is in `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use flowc_runtime::Partition;
use std::path::PathBuf;

/// flowc: data pipelines over Delta Lake, checked before they run, compiled, exactly once.
#[derive(Debug, Parser)]
#[command(name = "flowc", version, about, long_about = None, disable_help_subcommand = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Colours: by default as the terminal and NO_COLOR say
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// If the output is a terminal and NO_COLOR is not set
    Auto,
    /// In any case
    Always,
    /// In no case
    Never,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project that runs: a program, small Delta tables, a README
    #[command(after_help = "Example:\n  flowc new weather && flowc run weather/weather.flow")]
    New(New),
    /// Do everything but run: parse, resolve names, check types against the live tables; keep flow.lock up to date
    #[command(
        after_help = "Example:\n  flowc check examples/sensor/sensor.flow\n  flowc check --format json *.flow\n  flowc check --locked *.flow"
    )]
    Check(Check),
    /// Make one executable of a program, with plan.json and graph.svg beside it
    #[command(after_help = "Example:\n  flowc build sensor.flow -o dist && dist/sensor --param warehouse=/data")]
    Build(Build),
    /// Build a program in memory and run it
    #[command(
        after_help = "Example:\n  flowc run examples/sensor/sensor.flow\n  flowc run sensor.flow --param warehouse=/data/warehouse"
    )]
    Run(RunFile),
    /// Run a program's test blocks
    #[command(
        after_help = "Example:\n  flowc test sensor.flow --filter severity\n  flowc test *.flow --junit results.xml\n  flowc test sensor.flow --record clean --from \"version 812\" --limit 20"
    )]
    Test(Test),
    /// Show a program's plan or one of its stages, or an error's page
    #[command(after_help = "Example:\n  flowc explain sensor.flow --stage graph\n  flowc explain E0204")]
    Explain(Explain),
    /// Bring programs into canonical form, in place
    #[command(after_help = "Example:\n  flowc fmt *.flow\n  flowc fmt --check sensor.flow\n  flowc fmt - < draft.flow")]
    Fmt(Fmt),
    /// Show a Delta table: schema, properties, constraints, partitions, size, history
    #[command(
        after_help = "Example:\n  flowc show examples/sensor/warehouse/sensor --rows 5\n  flowc show warehouse/sensor --changes 3..5"
    )]
    Show(Show),
    /// Show how far a program has come: positions of its sources, its last epochs, counts of its expectations
    #[command(after_help = "Example:\n  flowc status sensor.flow\n  flowc status sensor.flow --format json")]
    Status(StatusFile),
    /// Show which columns come from which (not supported yet)
    #[command(after_help = "Example:\n  flowc lineage sensor.flow --format dot")]
    Lineage(Later),
    /// Speak the language server protocol on standard input and output
    #[command(after_help = "Example:\n  flowc lsp\n\nEditors start it; see docs/editor.md")]
    Lsp(Lsp),
    /// Put the rejected rows that a table keeps through the mended program again
    #[command(
        after_help = "Example:\n  flowc replay warehouse/sensor_rejects\n  flowc replay s3://bucket/rejects --program sensor.flow --param warehouse=s3://bucket"
    )]
    Replay(Replay),
    /// Show what becomes of the state of the last run, step by step, when the program runs next
    #[command(after_help = "Example:\n  flowc plan sensor.flow")]
    Plan(PlanFile),
    /// Write a completion script for a shell
    #[command(after_help = "Example:\n  flowc completions bash > ~/.local/share/bash-completion/completions/flowc")]
    Completions(Completions),
}

/// A command that this version does not have yet; takes any words, so that the answer is always the same one.
#[derive(Debug, Args)]
pub struct Later {
    /// Whatever the command will take
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub words: Vec<String>,
}

/// `flowc lsp`
#[derive(Debug, Args)]
pub struct Lsp {
    /// Speak on standard input and output: the only way, for editors that say so
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// `flowc new`
#[derive(Debug, Args)]
pub struct New {
    /// The directory to make; its last part names the program
    pub dir: PathBuf,
}

/// Values for a program's `param` declarations.
#[derive(Debug, Clone, Default, Args)]
pub struct Params {
    /// A value for one of the program's parameters; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
}

/// `flowc check`
#[derive(Debug, Args)]
pub struct Check {
    /// The programs
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// How to write the diagnostics
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Check against flow.lock and open no table
    #[arg(long)]
    pub locked: bool,
}

/// `flowc test`
#[derive(Debug, Args)]
pub struct Test {
    /// The programs
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run only the tests whose names contain this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// How to write the results
    #[arg(long, value_enum, default_value_t)]
    pub format: TestFormat,
    /// Instead of running tests, write one: rows of the program's sources, and what becomes of them in this flow or sink
    #[arg(long, value_name = "FLOW", conflicts_with_all = ["filter", "junit", "coverage", "format"])]
    pub record: Option<String>,
    /// With --record: the sources' rows at this version, for example "version 812" or "as of @2026-11-22T10:00:00Z" [default: now]
    #[arg(long, value_name = "VERSION", requires = "record")]
    pub from: Option<String>,
    /// With --record: the most rows of each source
    #[arg(long, value_name = "N", requires = "record", default_value_t = 20)]
    pub limit: u32,
    /// With --record: add the test to the program's file instead of printing it
    #[arg(long, requires = "record")]
    pub write: bool,
    /// Check the programs against flow.lock: then tests need no table at all
    #[arg(long, conflicts_with = "record")]
    pub locked: bool,
    /// Tell what no test reached: flows, sinks, branches
    #[arg(long)]
    pub coverage: bool,
    /// Write the results as JUnit XML to this file, too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// How the results of tests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TestFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For CI systems
    Junit,
}

/// `flowc build`
#[derive(Debug, Args)]
pub struct Build {
    /// The program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write the executable, plan.json and graph.svg
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the program's relative paths start when the executable runs [default: the program's directory now]
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// What to make: `native`; `flink` is not supported yet
    #[arg(long, default_value = "native", value_name = "TARGET")]
    pub target: String,
    /// Values for parameters, kept in the executable.
    #[command(flatten)]
    pub params: Params,
}

/// `flowc run`
#[derive(Debug, Args)]
pub struct RunFile {
    /// The program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to run it.
    #[command(flatten)]
    pub flags: RunFlags,
}

/// The flags of a run, of `flowc run` and of built executables alike.
#[derive(Debug, Clone, Args)]
pub struct RunFlags {
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// Where the run's state is kept [default: .flow/NAME beside the program]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// How many workers compute at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// The most memory that batches in flight may take, for example 512MiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<u64>,
    /// Compute everything from the beginning and replace what the sinks hold; of one sink: --full-refresh=SINK, may be repeated
    #[arg(long, value_name = "SINK", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub full_refresh: Vec<String>,
    /// Compute one partition of a sink's table again, for example SINK:day=2026-11-22, and replace it; values as in the paths of its files; may be repeated
    #[arg(long, value_name = "SINK:COLUMN=VALUE[,...]", value_parser = partition)]
    pub refresh_partition: Vec<(String, Partition)>,
    /// Read a source again from this version of its table on, for sinks that keep rows by a key; where the program has several sources: --since SOURCE=version N
    #[arg(long, value_names = ["[SOURCE=]version", "N"], num_args = 2)]
    pub since: Option<Vec<String>>,
    /// Compute the sinks behind this step again from the beginning, and replace what they hold; may be repeated
    #[arg(long, value_name = "STEP")]
    pub rebuild: Vec<String>,
    /// Stay, and process what arrives, until a signal ends the run
    #[arg(long)]
    pub follow: bool,
    /// Start an epoch at most so often when following, for example 500ms or 10s: what arrives meanwhile is committed together
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "follow")]
    pub every: Option<i64>,
    /// Close everything that is still open when nothing is new
    #[arg(long, conflicts_with = "follow")]
    pub drain: bool,
    /// Take at most so many files of each source in an epoch
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub epoch_files: Option<u64>,
    /// Take about so many bytes of each source in an epoch at most, for example 256MiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub epoch_bytes: Option<u64>,
    /// Take about so many rows of each source in an epoch at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub epoch_rows: Option<u64>,
    /// How to write epochs and the summary
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `flowc replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The Delta table that a sink of the program writes from `FLOW.rejected`: a directory or URL
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// The program [default: the one that wrote the table, as its commits say]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// Where the program's runs keep their state; a replay has a directory in it [default: .flow/NAME beside the program]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// How many workers compute at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// The most memory that batches in flight may take, for example 512MiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<u64>,
    /// How to write the epoch and the summary
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `flowc explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// A program, or the code of an error or warning such as E0204
    #[arg(value_name = "FILE|CODE")]
    pub what: String,
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// What is shown.
    #[command(flatten)]
    pub flags: ExplainFlags,
}

/// Flags of `explain` of a program.
#[derive(Debug, Clone, Args)]
pub struct ExplainFlags {
    /// Show this stage instead of the plan
    #[arg(long, value_enum)]
    pub stage: Option<Stage>,
    /// Show beside each step how many rows are expected, and what it did in the last epoch
    #[arg(long, conflicts_with = "stage")]
    pub analyze: bool,
    /// Where the runs' state is kept, for --analyze [default: .flow/NAME beside the program]
    #[arg(long, value_name = "DIR", requires = "analyze")]
    pub state: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The stages between text and machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree
    Ast,
    /// The columns and types after every step
    Types,
    /// The dataflow graph, optimized
    Graph,
    /// The plan as it is given to the runtime
    Plan,
    /// The kernels as Cranelift IR
    Clif,
    /// The kernels as machine code
    Asm,
}

/// `flowc status`
#[derive(Debug, Args)]
pub struct StatusFile {
    /// The program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to show.
    #[command(flatten)]
    pub flags: StatusFlags,
}

/// `flowc plan`
#[derive(Debug, Args)]
pub struct PlanFile {
    /// The program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// Where the runs' state is kept [default: .flow/NAME beside the program]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The flags of `flowc status`, and of built executables' `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusFlags {
    /// Where the runs' state is kept [default: .flow/NAME beside the program]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `flowc fmt`
#[derive(Debug, Args)]
pub struct Fmt {
    /// The programs; `-` formats standard input to standard output
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Change nothing; show what would change, and exit 1 if anything would
    #[arg(long)]
    pub check: bool,
}

/// `flowc show`
#[derive(Debug, Args)]
pub struct Show {
    /// The table: a directory or URL
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// Show this many rows too
    #[arg(long, value_name = "N")]
    pub rows: Option<usize>,
    /// Show the table as of this version
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// Show the rows that these versions added and took away, from..to
    #[arg(long, value_name = "A..B", conflicts_with_all = ["rows", "version"], value_parser = versions)]
    pub changes: Option<(u64, u64)>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `flowc completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// The command line of an executable that `flowc build` made: `run`, unless another command is given.
#[derive(Debug, Parser)]
#[command(version, long_about = None, disable_help_subcommand = true, max_term_width = 110, args_conflicts_with_subcommands = true)]
pub struct Packaged {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<PackagedCommand>,
    /// How to run.
    #[command(flatten)]
    pub run: RunFlags,
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// What a built executable does besides running.
#[derive(Debug, Subcommand)]
pub enum PackagedCommand {
    /// Check the program inside against the live tables
    Check(PackagedCheck),
    /// Show the plan of the program inside, or one of its stages
    Explain(PackagedExplain),
    /// Show how far it has come: positions of its sources, its last epochs, counts of its expectations
    Status(StatusFlags),
}

/// `NAME check`
#[derive(Debug, Args)]
pub struct PackagedCheck {
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// Check against what the tables were when it was built, and open none
    #[arg(long)]
    pub locked: bool,
    /// How to write the diagnostics
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `NAME explain`
#[derive(Debug, Args)]
pub struct PackagedExplain {
    /// Values for parameters.
    #[command(flatten)]
    pub params: Params,
    /// What is shown.
    #[command(flatten)]
    pub flags: ExplainFlags,
}

/// A size as it is written: `1048576`, `512KiB`, `512MiB`, `2GiB`, `1.5GB`.
fn memory(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        other => return Err(format!("`{other}` is not a unit of size; write for example 512MiB or 2GiB")),
    };
    let number: f64 = number.parse().map_err(|_| "write a number and a unit, for example 512MiB".to_string())?;
    let bytes = number * scale;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err("that is no amount of memory".to_string()) }
}

/// A duration as programs write it, in microseconds: `250ms`, `5s`, `1m`, `2h`, `7d`.
fn duration(text: &str) -> Result<i64, String> {
    let wrong = || "write a number and a unit, for example 500ms, 10s or 1m".to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit: i64 = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(wrong()),
    };
    number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

/// A partition as paths have it, behind its sink: `out:day=2026-11-22,name=a%2Cb`. Hive's word for null is null.
fn partition(text: &str) -> Result<(String, Partition), String> {
    let wrong =
        || "write the sink, `:`, and its columns with their values, for example out:day=2026-11-22,id=7".to_string();
    let (sink, columns) = text.split_once(':').filter(|(sink, _)| !sink.is_empty()).ok_or_else(wrong)?;
    let mut partition = Partition(Default::default());
    for column in columns.split(',') {
        let (name, value) = column.split_once('=').ok_or_else(wrong)?;
        let (name, value) = (decoded(name)?, decoded(value)?);
        let value = (!value.is_empty() && value != flowc_delta::partition::NULL_FOLDER).then_some(value);
        if name.is_empty() || partition.0.insert(name, value).is_some() {
            return Err(wrong());
        }
    }
    Ok((sink.to_string(), partition))
}

/// A part of a path without its escapes: `a%2Cb`.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no part of a path: behind `%` stand two hexadecimal digits of a UTF-8 text");
    let mut bytes = vec![];
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// A range of versions: `3..5`.
fn versions(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "write the first and the last version, for example 3..5".to_string();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from <= to { Ok((from, to)) } else { Err(format!("{from}..{to} is empty: the first version comes first")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
        Packaged::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:"), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(memory("512MiB"), Ok(512 << 20));
        assert_eq!(memory("2g"), Ok(2 << 30));
        assert_eq!(memory("1000"), Ok(1000));
        assert!(memory("much").is_err());
        assert!(memory("5 parsecs").is_err());
        assert!(memory("0").is_err());
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("500ms"), Ok(500_000));
        assert_eq!(duration("2h"), Ok(7_200_000_000));
        assert!(["5", "s", "1.5s", "5 s", "9999999999999999d"].iter().all(|wrong| duration(wrong).is_err()));
    }

    #[test]
    fn partitions_are_read_as_paths_have_them() {
        let read = |text: &str| partition(text).map(|(sink, partition)| (sink, partition.to_string()));
        assert_eq!(read("out:day=2026-11-22,id=7"), Ok(("out".to_string(), "day=2026-11-22,id=7".to_string())));
        let (_, odd) = partition("out:a%20b=c%2Cd%3D,at=2026-11-22 10:00:00,n=__HIVE_DEFAULT_PARTITION__").unwrap();
        let odd: Vec<_> = odd.0.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(odd, [("a b", Some("c,d=")), ("at", Some("2026-11-22 10:00:00")), ("n", None)]);
        for wrong in
            ["out", "out:", ":day=1", "out:day", "out:day=1,", "out:day=1,day=2", "out:=1", "out:d=%4", "out:d=%FF"]
        {
            assert!(partition(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn version_ranges_are_read() {
        assert_eq!(versions("3..5"), Ok((3, 5)));
        assert!(versions("5..3").is_err());
        assert!(versions("3").is_err());
    }
}
