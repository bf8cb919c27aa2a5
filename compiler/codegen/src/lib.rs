//! Typed expressions to machine code: a [`Backend`] that compiles a program with Cranelift, and leaves to Arrow's vectorized kernels what has no fixed
//! width. What a compiled program computes is, bit for bit, what the interpreter of `flowc-ir` computes.
//!
//! The stages: `plan` splits a program into parts; `select` says what machine code there is; `emit` makes Cranelift's intermediate code
//! of a part; `jit` makes a function of that; `memory` lays Arrow's arrays before it; `kernel` runs the parts. A part that filters becomes two functions
//! where vectors help (`stages`): between them `dense` gathers the rows that stay, by `compress`, as `machine` runs them block by block. All unsafe code of the compiler is
//! here. This crate must not know of the syntax, of the runtime, or of where rows come from.
//!
//! Machine code computes every form of expression over types of fixed width, and the functions of `select`: operators, most of numbers, dates and
//! nulls. It is straight-line: both branches of an `if` are computed and one is chosen, and what the interpreter would not have evaluated is masked out
//! of nulls and failures. It calls helpers for what is long: decimals that may need more than 128 bits on the way, transcendental functions, the
//! calendar. Strings, nested values, rounding of floats by their decimal text and the like are columns that Arrow's kernels compute before.
//!
//! Compiled code finds *that* a row fails; which one is first and why is then said by the interpreter. A NaN is a NaN: its bits are those the
//! processor gave.

mod abi;
mod adaptive;
mod compress;
mod constants;
mod dense;
mod emit;
mod fused;
mod helpers;
mod jit;
mod kernel;
mod machine;
mod memory;
mod plan;
mod range;
mod select;
mod stages;
mod valid;

use flowc_ir::Program;
use flowc_ir::eval::{Backend, Kernel};
use std::fmt::Write;
use std::sync::Arc;

/// The backend that compiles with Cranelift, for the processor at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cranelift;

impl Backend for Cranelift {
    fn compile(&self, program: &Program) -> Result<Arc<dyn Kernel>, String> {
        adaptive::compile(program)
    }
}

/// The functions of a program as Cranelift's intermediate code, for `explain`: the same on every processor.
pub fn clif(program: &Program) -> Result<String, String> {
    texts(program, jit::clif)
}

/// The functions of a program as code of the processor at hand, for `explain`.
pub fn asm(program: &Program) -> Result<String, String> {
    texts(program, jit::assembly)
}

fn texts(program: &Program, text: fn(&fused::Fused) -> Result<String, String>) -> Result<String, String> {
    let mut all = String::new();
    for part in &plan::Plan::of(program).parts {
        match part {
            plan::Part::Arrow { slot, reads, .. } => {
                // Writing to a string does not fail.
                let _ = writeln!(all, "; slot {slot}: computed by Arrow's kernels from slots {reads:?}\n");
            }
            plan::Part::Choice { slot, code, constants, .. } => {
                let _ = writeln!(
                    all,
                    "; slot {slot}: one of {} constants, by the number in slot {code}\n",
                    constants.len()
                );
            }
            plan::Part::Machine { fused, targets, .. } => {
                let columns: Vec<_> = fused.columns.keys().collect();
                let targets: Vec<_> = targets.iter().map(|(slot, _)| slot).collect();
                let _ = writeln!(all, "; machine code: reads slots {columns:?}, writes slots {targets:?}");
                match stages::Stages::of(fused) {
                    None => {
                        let _ = writeln!(all, "{}", text(fused)?);
                    }
                    Some(stages) => {
                        let _ = writeln!(all, "; which rows stay:\n{}", text(&stages.filter)?);
                        if let Some(project) = &stages.project {
                            let _ = writeln!(all, "; of the rows that stay:\n{}", text(project)?);
                        }
                    }
                }
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
