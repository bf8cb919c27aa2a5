//! The built binary over real Delta tables.

mod backfill;
mod benches;
mod build;
mod changing;
mod changing_programs;
mod check;
mod connectors;
mod examples;
mod faults;
mod fmt;
mod fuzz;
mod joins;
mod lock;
mod params;
mod quality;
mod recovery;
mod replay;
mod rows;
mod show;
mod sinks;
mod state;
mod status;
mod testing;
mod upgrade;
mod versions;
mod words;
