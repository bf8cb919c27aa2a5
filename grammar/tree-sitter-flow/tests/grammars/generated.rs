//! What is committed of the parser is what its grammar says: nobody needs the generator to use it, and nobody forgets to run it.

use std::path::Path;
use tree_sitter_generate::{OptLevel, generate_parser_in_directory};

/// As `tree-sitter generate` does without being told.
const ABI: usize = 15;

/// Generates into another directory, and compares what comes with what is here. The grammar is written in JavaScript: with `FLOWC_GRAMMAR=grammar.js` it is run by node,
/// otherwise what came of it last is generated from.
#[test]
fn the_parser_is_that_of_the_grammar() {
    let grammar = std::env::var("FLOWC_GRAMMAR").unwrap_or_else(|_| "src/grammar.json".to_string());
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("can be made");
    std::fs::create_dir(out.path().join("src")).expect("can be made");
    // The generator looks for `tree-sitter.json` beside the grammar.
    for file in [&grammar, "tree-sitter.json"] {
        std::fs::copy(here.join(file), out.path().join(file)).expect("can be copied");
    }
    let (grammar, node) = (out.path().join(grammar), Some("node"));
    let mut remarks = vec![];
    let optimizations = OptLevel::default();
    let no_directory = None::<&Path>;
    let all = generate_parser_in_directory(
        out.path(),
        no_directory,
        Some(grammar),
        ABI,
        None,
        node,
        true,
        optimizations,
        &mut remarks,
    );
    all.unwrap_or_else(|e| panic!("{e}"));
    for file in ["grammar.json", "node-types.json", "parser.c"] {
        let committed = std::fs::read_to_string(here.join("src").join(file)).expect("is there");
        let generated = std::fs::read_to_string(out.path().join("src").join(file)).expect("was generated");
        let same = committed.lines().zip(generated.lines()).take_while(|(a, b)| a == b).count();
        assert!(committed == generated, "src/{file} is old from line {} on: run `tree-sitter generate`", same + 1);
    }
}
