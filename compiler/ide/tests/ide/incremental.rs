//! The answer after any edits is that of a program that is checked for the first time.

use super::support::{MAIN, open, read_tables};
use proptest::prelude::*;

const PROGRAMS: &[&str] = &[
    include_str!("../../../core/tests/golden/sensor.flow"),
    include_str!("../../../core/tests/golden/orders.flow"),
    include_str!("../../../core/tests/golden/lookup.flow"),
    include_str!("../../../core/tests/golden/streams.flow"),
    include_str!("../../../core/tests/golden/windows.flow"),
    include_str!("../../../core/tests/golden/changing.flow"),
];

const PIECES: &[&str] =
    &["", " ", "\n", "|> ", "value", "(", ")", "{", "}", "\"", "= 1", " and id > 3", "flow x = y\n", "# ", ",", "."];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn edits_change_nothing_but_the_text(
        program in 0..PROGRAMS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, 0..PIECES.len()), 1..6),
    ) {
        let mut text = PROGRAMS[program].to_string();
        let mut workspace = open(&text);
        for (at, length, piece) in edits {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let start = boundary(at.index(text.len() + 1));
            let end = boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, PIECES[piece]);
            workspace.set_text(MAIN, text.as_str());
            read_tables(&mut workspace);
            let fresh = open(&text).problems(MAIN);
            prop_assert_eq!(workspace.problems(MAIN), fresh);
        }
    }
}
