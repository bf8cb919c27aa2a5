//! Collects the pages of docs/errors into one table, so that `flowc explain CODE` needs no file.

use std::fmt::Write;
use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let dir = Path::new(&root).join("docs/errors");
    println!("cargo:rerun-if-changed={}", dir.display());
    let mut codes: Vec<String> = std::fs::read_dir(&dir)
        .map(|entries| entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    codes.retain(|name| is_page(name));
    codes.sort();
    let mut table = String::from("&[\n");
    for name in &codes {
        let path = dir.join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        let code = name.trim_end_matches(".md");
        writeln!(table, "    ({code:?}, include_str!({:?})),", path.display().to_string())
            .expect("writing to a String");
    }
    table.push_str("]\n");
    std::fs::write(Path::new(&out).join("pages.rs"), table).expect("OUT_DIR can be written");
}

/// `E0204.md`: a letter and four digits.
fn is_page(name: &str) -> bool {
    let Some(code) = name.strip_suffix(".md") else { return false };
    code.len() == 5
        && code.starts_with(|c: char| c.is_ascii_uppercase())
        && code[1..].bytes().all(|b| b.is_ascii_digit())
}
