//! More stack for WebAssembly than the megabyte that the linker gives: checking an expression goes as deep as it nests, and nothing can grow the stack there.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=8388608");
    }
}
