//! Golden tests of the checker: the codes are written by hand beside the mistakes (`#~ E0202`), what is shown to the user is kept as snapshots.
//!
//! A case is a `.flow` file. `#@ param name=value` gives a parameter; `#@ file units.flow` begins another file that the program may use.

mod support;

mod diagnostics;
mod narrowing;
mod pages;
mod robust;
mod typed;
