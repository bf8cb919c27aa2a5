//! What is remembered between epochs: stored as it changes, restored, cleared away; and sessions across epochs.

use super::tests::{Between, Run, calls, counting, cut, hop, random_rows, random_window, row, spec, tumble};
use super::*;
use arrow::array::{ArrayRef, Int64Array};
use flowc_ir::aggregates::AggregateFunction as F;
use flowc_ir::graph::Window;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn session(gap: i64) -> Window {
    Window::Session { gap }
}

/// The rows of each stored batch.
fn lengths(run: &Run) -> Vec<usize> {
    run.stored.segments.iter().map(RecordBatch::num_rows).collect()
}

#[test]
fn sessions_grow_and_merge_across_epochs() {
    for between in [Between::Memory, Between::Stored, Between::Whole] {
        let mut run = counting(session(5));
        run.epoch(&[&[row("a", 0, 1), row("a", 12, 2), row("b", 3, 3)]], Some(2), between).unwrap();
        assert_eq!((run.remembered.windows, run.remembered.first_end, run.remembered.last_end), (3, Some(5), Some(17)));
        // 6 is too far from 0 and from 12; 5 brings the three of them together in the next epoch, and 8 the last one.
        run.epoch(&[&[row("a", 6, 4)]], Some(3), between).unwrap();
        assert_eq!(run.remembered.windows, 4);
        run.epoch(&[&[row("a", 5, 5), row("a", 8, 6)]], Some(7), between).unwrap();
        assert_eq!((run.remembered.windows, run.rows.len()), (2, 0));
        run.epoch(&[&[row("c", 100, 7)]], Some(100), between).unwrap();
        assert_eq!(run.rows, ["b 3 8 1 3", "a 0 17 5 1"], "{between:?}");
        // What has been given out does not come back from the store.
        run.epoch(&[&[row("a", 101, 8)]], Some(i64::MAX), between).unwrap();
        assert_eq!(run.rows[2..], ["c 100 105 1 7", "a 101 106 1 8"], "{between:?}");
        assert!(run.late.is_empty());
    }
}

/// A row exactly a gap behind the last one belongs to the session, be it there at once, or in the next epoch, when the watermark has come exactly so far.
#[test]
fn a_row_at_the_end_of_a_session_belongs_to_it_however_rows_are_cut() {
    let (first, at_end, after) = (row("a", 10, 1), row("a", 15, 2), row("a", 21, 3));
    for between in [Between::Memory, Between::Stored, Between::Whole] {
        let mut once = counting(session(5));
        once.epoch(&[&[first.clone(), at_end.clone(), after.clone()]], Some(i64::MAX), between).unwrap();
        assert_eq!(once.rows, ["a 10 20 2 1", "a 21 26 1 3"]);
        let mut cut = counting(session(5));
        cut.epoch(&[std::slice::from_ref(&first)], Some(15), between).unwrap();
        assert_eq!((cut.remembered.windows, cut.remembered.first_end), (1, Some(15)), "the watermark is at its end");
        cut.epoch(&[std::slice::from_ref(&at_end)], Some(20), between).unwrap();
        assert_eq!((cut.remembered.windows, cut.remembered.first_end), (1, Some(20)));
        cut.epoch(&[std::slice::from_ref(&after)], Some(21), between).unwrap();
        assert_eq!((&cut.rows[..], cut.remembered.windows), (&["a 10 20 2 1".to_string()][..], 1));
        cut.epoch(&[], Some(i64::MAX), between).unwrap();
        assert_eq!((cut.rows, cut.late), (once.rows, vec![]), "{between:?}");
    }
}

/// One microsecond decides: what is on time, what is late, and that a row which lies a microsecond too far is a session of its own.
#[test]
fn a_session_closes_when_the_watermark_is_past_its_end() {
    for between in [Between::Memory, Between::Stored, Between::Whole] {
        let mut run = counting(session(5));
        run.epoch(&[&[row("a", 10, 1), row("b", 9, 2)]], Some(15), between).unwrap();
        assert_eq!(run.rows, ["b 9 14 1 2"]);
        // c's session would end at the watermark, and is open; d's would end before it. a at 16 is a microsecond too far from 10.
        run.epoch(&[&[row("c", 10, 3), row("d", 9, 4), row("a", 16, 5)]], Some(16), between).unwrap();
        assert_eq!(run.rows[1..], ["a 10 15 1 1", "c 10 15 1 3"], "{between:?}");
        assert_eq!(run.late, ["d 9 4 4.0 true"]);
        run.epoch(&[], Some(21), between).unwrap();
        assert_eq!((run.rows.len(), run.remembered.windows), (3, 1));
        run.epoch(&[], Some(22), between).unwrap();
        assert_eq!(run.rows[3..], ["a 16 21 1 5"]);
    }
}

#[test]
fn a_late_row_that_an_open_session_takes_in_counts() {
    let mut run = counting(session(5));
    run.epoch(&[&[row("a", 10, 1)]], Some(13), Between::Stored).unwrap();
    // A session of 7 alone would be over; the one at 10 is open. 4 belongs to what 7 is, but not to what was open; b has nothing open.
    run.epoch(&[&[row("a", 7, 2), row("b", 7, 3), row("a", 4, 4)]], Some(16), Between::Stored).unwrap();
    assert_eq!(run.rows, ["a 7 15 2 1"]);
    assert_eq!(run.late, ["b 7 3 3.0 true", "a 4 4 4.0 true"]);
}

#[test]
fn after_a_drain_sessions_begin_anew() {
    let mut run = counting(session(5));
    run.epoch(&[&[row("a", 10, 1)]], Some(9), Between::Stored).unwrap();
    run.epoch(&[], Some(i64::MAX), Between::Stored).unwrap();
    assert_eq!(run.rows, ["a 10 15 1 1"]);
    run.epoch(&[&[row("a", 10, 2), row("a", 11, 3)]], Some(20), Between::Stored).unwrap();
    assert_eq!((run.rows[1..].to_vec(), run.late.len()), (vec!["a 11 16 1 3".to_string()], 1));
}

#[test]
fn only_what_has_changed_is_written() {
    for (window, widths) in [(tumble(1000), vec![50, 2, 50]), (session(9), vec![50, 2, 51])] {
        let mut run = counting(window.clone());
        let keys: Vec<String> = (0..50).map(|i| format!("k{i:02}")).collect();
        let rows: Vec<_> = keys.iter().map(|key| row(key, 1, 1)).collect();
        run.epoch(&[&rows], Some(0), Between::Stored).unwrap();
        run.epoch(&[&[row("k07", 2, 2), row("k33", 3, 3), row("k07", 4, 4)]], Some(0), Between::Stored).unwrap();
        run.epoch(&[], Some(0), Between::Stored).unwrap();
        assert_eq!(lengths(&run), widths[..2], "{window:?}");
        let names: Vec<String> = run.stored.segments[1].schema().fields().iter().map(|f| f.name().clone()).collect();
        let of = if window == tumble(1000) { vec!["slice"] } else { vec!["session", "first", "last"] };
        let values = ["key_0", "value_0_0", "value_1_0", "value_1_1", "value_1_2"];
        assert_eq!(names, of.into_iter().chain(values).collect::<Vec<_>>());
        run.epoch(&[&[row("new", 2, 2)]], Some(0), Between::Whole).unwrap();
        assert_eq!(lengths(&run), [51]);
        run.epoch(&[], Some(i64::MAX), Between::Stored).unwrap();
        assert!(run.stored.segments.is_empty(), "nothing is open");
        assert_eq!(run.rows.len(), 51);
        assert!(run.rows.iter().any(|line| line.starts_with("k07") && line.ends_with(" 3 1")), "{:?}", run.rows);
    }
}

#[test]
fn a_damaged_state_is_refused() {
    for window in [tumble(10), session(10)] {
        let mut run = counting(window.clone());
        run.epoch(&[&[row("a", 1, 1)]], Some(0), Between::Stored).unwrap();
        let stored = run.stored.clone();
        let damages: [fn(&mut RecordBatch); 3] = [
            |batch| drop(batch.remove_column(0)),
            |batch| drop(batch.remove_column(batch.num_columns() - 1)),
            |batch| {
                let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
                *batch = RecordBatch::try_from_iter([("x", number)]).unwrap();
            },
        ];
        for damage in damages {
            let mut run = counting(window.clone());
            let mut stored = stored.clone();
            stored.segments.iter_mut().for_each(damage);
            run.before = Before::Stored(stored);
            assert_eq!(run.epoch(&[], None, Between::Memory).unwrap_err().code, "R0405");
        }
    }
}

/// Many groups that close and few that stay: the closed ones are cleared away, and the others are as they were.
#[test]
fn what_has_closed_is_cleared_away() {
    let keys: Vec<String> = (0..1200).map(|i| format!("{i:04}")).collect();
    for (window, between) in [(tumble(10), Between::Memory), (tumble(10), Between::Stored)]
        .into_iter()
        .chain([Between::Memory, Between::Stored].map(|between| (hop(10, 5, 0), between)))
        .chain([Between::Memory, Between::Stored].map(|between| (session(5), between)))
    {
        let mut run = Run::new(spec(window.clone(), &[0], calls()));
        // These stay open until the end, and some of them change.
        let stay: Vec<_> = keys[..50].iter().map(|key| row(key, 995, 7)).collect();
        run.epoch(&[&stay], Some(0), between).unwrap();
        let mut bytes = vec![];
        for epoch in 1..9 {
            let mut rows: Vec<_> = keys.iter().map(|key| row(key, epoch * 10, epoch)).collect();
            rows.extend([("x", 995), ("y", 1003), ("x", 996)].map(|(key, at)| row(key, at, epoch)));
            run.epoch(&[&rows], Some(epoch * 10), between).unwrap();
            bytes.push(run.remembered.bytes);
        }
        assert!(bytes[7] <= bytes[..4].iter().max().unwrap() * 5 / 4, "{window:?} {bytes:?}");
        run.epoch(&[], Some(i64::MAX), between).unwrap();
        let x: Vec<&String> = run.rows.iter().filter(|line| line.starts_with("x ") && !line.contains("1005")).collect();
        let list = "[1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8]";
        assert!(!x.is_empty() && x.iter().all(|line| line.contains(list)), "{window:?} {x:?}");
        let numbers = |line: &String| line.split(' ').nth(3).unwrap().parse::<i64>().unwrap();
        let total: i64 = run.rows.iter().map(numbers).sum();
        let times = if matches!(window, Window::Hop { .. }) { 2 } else { 1 };
        assert_eq!(total, times * (50 + 8 * 1203), "{window:?}");
    }
}

#[test]
fn rows_of_equal_times_count_by_their_columns_where_the_order_means_nothing() {
    let aggregates = [F::First, F::Last, F::CollectList].map(|f| super::tests::call(f, &[2], None)).to_vec();
    let mut all: BTreeSet<Vec<String>> = BTreeSet::new();
    let rows = [row("a", 3, 1), row("a", 1, 2), row("a", 1, 3), row("a", 3, 4), row("a", 2, 5)];
    for shift in 0..rows.len() {
        for cut in 1..rows.len() {
            let mut rows = rows.to_vec();
            rows.rotate_left(shift);
            let mut run =
                Run::new(graph::WindowAggregate { by_time: true, ..spec(tumble(10), &[0], aggregates.clone()) });
            run.epoch(&[&rows[..cut]], None, Between::Stored).unwrap();
            run.epoch(&[&rows[cut..]], Some(i64::MAX), Between::Memory).unwrap();
            all.insert(run.rows);
        }
    }
    assert_eq!(all.len(), 1, "{all:?}");
    let line = all.first().unwrap()[0].clone();
    assert!(["a 0 10 2 ", "a 0 10 3 "].iter().any(|start| line.starts_with(start)), "{line}");
    assert!([", 5, 1, 4]", ", 5, 4, 1]"].iter().any(|end| line.ends_with(end)), "{line}");
}

/// What comes out of rows of which some are late: what is late depends on the epochs, and on nothing else.
fn run_with_late(
    window: &Window,
    rows: &[super::tests::Row],
    epochs: usize,
    (splits, workers, batch_rows): (usize, usize, usize),
    between: &[Between],
) -> (Vec<String>, Vec<String>) {
    let mut run = Run::new(spec(window.clone(), &[0], calls()));
    (run.workers, run.batch_rows, run.delay) = (workers, batch_rows, 1);
    cut(&mut run, rows, epochs, splits, between);
    (run.rows, run.late)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn late_rows_depend_on_the_epochs_alone(
        window in random_window(),
        rows in random_rows(),
        epochs in 1usize..8,
        how in (1usize..4, 1usize..3, 1usize..8),
        between in super::tests::between(),
    ) {
        let plain = run_with_late(&window, &rows, epochs, (1, 1, 1000), &[Between::Memory]);
        prop_assert_eq!(run_with_late(&window, &rows, epochs, how, &between), plain);
    }
}
