//! Makes the tables that the Nexmark programs read: `cargo run --release --example nexmark -- DIR`.
//!
//! Person, auction and bid as Delta tables below DIR, in several commits, so that a run can follow them. What is in them follows from the options alone;
//! `--from` goes on where an earlier call ended.

mod events;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use clap::Parser;
use events::{Cell, Event, Events, Row};
use flowc_delta::{NewTable, Storage, write_rows};
use flowc_ir::arrow_types::to_arrow_schema;
use flowc_ir::{DataType, Schema};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Rows of a batch.
const BATCH: usize = 64 * 1024;

/// Makes Nexmark's person, auction and bid as Delta tables.
#[derive(Debug, Parser)]
struct Options {
    /// Where the tables go
    dir: PathBuf,
    /// How many events: of fifty one is a person, three are auctions, the others bids
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// The number of the first event; the tables must hold those before it
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Another one gives other events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Into how many versions of each table the events go
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    commits: u64,
    /// How many events happen in a second of event time
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: u64,
    /// So many milliseconds at most an event may come too late
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400_000))]
    disorder: u64,
    /// When the first event happens
    #[arg(long, default_value = "2026-01-01T00:00:00Z")]
    start: jiff::Timestamp,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&options.dir)?;
    if options.from == 0 && options.dir.join("bid/_delta_log").exists() {
        return Err(format!("{} has tables already: remove them, or go on with --from", options.dir.display()).into());
    }
    let mut tables = Tables::new(options)?;
    let events = Events {
        seed: options.seed,
        start: options.start.as_microsecond(),
        rate: options.rate,
        disorder: options.disorder * 1000,
    };
    for commit in 0..options.commits {
        let bound = |part: u64| {
            options.from + (u128::from(options.events) * u128::from(part) / u128::from(options.commits)) as u64
        };
        for number in bound(commit)..bound(commit + 1) {
            match events.event(number) {
                Event::Person(row) => tables.person.push(&row)?,
                Event::Auction(row) => tables.auction.push(&row)?,
                Event::Bid(row) => tables.bid.push(&row)?,
            }
        }
        for table in [&mut tables.person, &mut tables.auction, &mut tables.bid] {
            table.commit().await?;
        }
    }
    for table in [&tables.person, &tables.auction, &tables.bid] {
        println!("{}: {} rows", table.storage.location(), table.rows);
    }
    Ok(())
}

/// The three tables.
struct Tables {
    person: Table,
    auction: Table,
    bid: Table,
}

impl Tables {
    fn new(options: &Options) -> Result<Tables, Box<dyn Error>> {
        let table = |name: &str, schema: Schema| Table::new(&options.dir.join(name).display().to_string(), schema);
        Ok(Tables {
            person: table("person", events::person())?,
            auction: table("auction", events::auction())?,
            bid: table("bid", events::bid())?,
        })
    }
}

/// A table with the rows that wait for its next version.
struct Table {
    storage: Storage,
    table: NewTable,
    columns: Vec<Column>,
    waiting: usize,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Table {
    fn new(location: &str, schema: Schema) -> Result<Table, Box<dyn Error>> {
        let storage = Storage::open(location).map_err(|e| format!("{location}: {e}"))?;
        let columns = schema.fields.iter().map(|f| Column::new(&f.ty.data)).collect();
        let table = NewTable { schema, ..NewTable::default() };
        Ok(Table { storage, table, columns, waiting: 0, batches: vec![], rows: 0 })
    }

    fn push(&mut self, row: &Row) -> Result<(), ArrowError> {
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(cell);
        }
        self.waiting += 1;
        if self.waiting == BATCH { self.batch() } else { Ok(()) }
    }

    fn batch(&mut self) -> Result<(), ArrowError> {
        if self.waiting > 0 {
            let columns = self.columns.iter_mut().map(Column::finish).collect();
            self.batches.push(RecordBatch::try_new(to_arrow_schema(&self.table.schema), columns)?);
            self.rows += std::mem::take(&mut self.waiting);
        }
        Ok(())
    }

    /// What waits becomes the next version; nothing, if nothing does.
    async fn commit(&mut self) -> Result<(), Box<dyn Error>> {
        self.batch()?;
        let batches = std::mem::take(&mut self.batches);
        if !batches.is_empty() {
            write_rows(&self.storage, &self.table, &batches).await?;
        }
        Ok(())
    }
}

/// A column that grows.
enum Column {
    Numbers(Int64Builder),
    Times(TimestampMicrosecondBuilder),
    Texts(StringBuilder),
}

impl Column {
    fn new(ty: &DataType) -> Column {
        match ty {
            DataType::Long => Column::Numbers(Int64Builder::new()),
            DataType::Timestamp => Column::Times(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            _ => Column::Texts(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: &Cell) {
        match (self, cell) {
            (Column::Numbers(numbers), Cell::Number(value)) => numbers.append_value(*value),
            (Column::Times(times), Cell::Time(value)) => times.append_value(*value),
            (Column::Texts(texts), Cell::Text(value)) => texts.append_value(value),
            // A row has the types of its table; if it had not, the batch would be refused.
            _ => {}
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Numbers(numbers) => Arc::new(numbers.finish()),
            Column::Times(times) => Arc::new(times.finish()),
            Column::Texts(texts) => Arc::new(texts.finish()),
        }
    }
}
