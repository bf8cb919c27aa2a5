//! The executable; everything is in the library.

/// glibc's allocator gives memory back between batches and takes it again, which costs up to half of the time on large batches.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    flowc::main()
}
