//! The executable; everything is in the library.

use std::ffi::{c_int, c_long};

/// glibc's allocator gives memory back between batches and takes it again, which costs up to half of the time on large batches.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds until memory that is free is given up, all of it at once: what was freed just before is given up with it, though the next batches need it again.
const PURGE_DELAY: c_long = 50;

/// `mi_option_purge_delay` of mimalloc.h, which is not among the crate's constants.
const PURGE_DELAY_OPTION: c_int = 15;

/// Memory that is given up stays until the system needs it for something else (`MADV_FREE`), instead of being taken away and cleared when it is touched again: of the pages
/// that were cleared a seventh is left at most, for up to a third more resident memory. `MIMALLOC_PURGE_DECOMMITS=1` takes it away.
const PURGE_DECOMMITS: c_long = 0;

/// `mi_option_purge_decommits` of mimalloc.h.
const PURGE_DECOMMITS_OPTION: c_int = 5;

fn main() -> std::process::ExitCode {
    // SAFETY: the function checks the number of the option, and stores a number that the allocator reads when it is about to give memory back. No other thread runs yet.
    // `MIMALLOC_PURGE_DELAY` and `MIMALLOC_PURGE_DECOMMITS` in the environment go before it.
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY_OPTION, PURGE_DELAY);
        libmimalloc_sys::mi_option_set_default(PURGE_DECOMMITS_OPTION, PURGE_DECOMMITS);
    }
    flowc::main()
}
