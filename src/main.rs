//! The executable; everything is in the library.

use std::ffi::{c_int, c_long};

/// glibc's allocator gives memory back between batches and takes it again, which costs up to half of the time on large batches.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds until memory that is free goes back to the system, all of it at once: what was freed just before goes with it, though the next batches need it again, and each page
/// that is taken again is cleared first. At 50, a tenth more time in all, for a tenth less memory.
const PURGE_DELAY: c_long = 1000;

/// `mi_option_purge_delay` of mimalloc.h, which is not among the crate's constants.
const PURGE_DELAY_OPTION: c_int = 15;

/// Memory comes in the system's small pages. The allocator takes what it needs from many places, and with huge pages (2 MiB) each of them is cleared as a whole, and stays: half more memory, of
/// which most is never used. Tables that need them to be found fast are kept small instead. (The allocator is built with `no_thp`, so that it does not ask for any; this is for systems
/// that give them to everyone.)
#[cfg(target_os = "linux")]
fn small_pages() {
    // A kernel that does not know it says so, and nothing has changed.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
fn small_pages() {}

fn main() -> std::process::ExitCode {
    small_pages();
    // SAFETY: the function checks the number of the option, and stores a number that the allocator reads when it is about to give memory back. No other thread runs yet.
    // `MIMALLOC_PURGE_DELAY` in the environment goes before it.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY_OPTION, PURGE_DELAY) };
    flowc::main()
}
