//! The executable; everything is in the library.

use std::ffi::{c_int, c_long};

/// glibc's allocator gives memory back between batches and takes it again, which costs up to half of the time on large batches.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds until memory that is free goes back to the system, all of it at once: what was freed just before goes with it, though the next batches need it again, and each page
/// that is taken again is cleared first. At 0, half more time in all. With more a run keeps what it needed once: at a second, up to a fifth more memory, for no time that could be
/// measured on a quiet machine.
const PURGE_DELAY: c_long = 50;

/// `mi_option_purge_delay` of mimalloc.h, which is not among the crate's constants.
const PURGE_DELAY_OPTION: c_int = 15;

fn main() -> std::process::ExitCode {
    // SAFETY: the function checks the number of the option, and stores a number that the allocator reads when it is about to give memory back. No other thread runs yet.
    // `MIMALLOC_PURGE_DELAY` in the environment goes before it.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY_OPTION, PURGE_DELAY) };
    flowc::main()
}
