//! Windows of time zones, before 1970 and on days that are no 24 hours long; and that slices and windows fit together.

use super::*;
use flowc_ir::graph::Alignment;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000;

fn berlin(offset: i64) -> Alignment {
    Alignment { offset, zone: Some("Europe/Berlin".into()) }
}

/// A moment, in hours after 1970-01-01T00:00:00Z.
fn utc(date: (i32, u32, u32), hours: i64) -> i64 {
    let date = chrono::NaiveDate::from_ymd_opt(date.0, date.1, date.2).unwrap();
    date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_micros() + hours * HOUR
}

/// The windows that contain a moment.
fn of(windows: &Windows, at: i64) -> Vec<Bounds> {
    let slice = windows.slice(at);
    assert!(slice.start <= at && at < slice.end, "{at} in {slice:?}");
    let found = windows.ending(|from| (slice.start >= from).then_some(slice.start), None, i64::MAX);
    assert_eq!(found.last().map(|last| last.end), slice.last_end, "{at}");
    assert!(found.iter().all(|w| w.start <= slice.start && slice.end <= w.end), "{slice:?} {found:?}");
    found
}

fn spans(window: &Window, at: i64) -> Vec<(i64, i64)> {
    let windows = Windows::new(window).unwrap();
    of(&windows, at).iter().map(|w| (w.start, w.end)).collect()
}

#[test]
fn days_of_a_zone_have_23_24_or_25_hours() {
    let days = Window::Tumble { size: DAY, align: berlin(0) };
    // Midnight is at 23:00 UTC, in summer at 22:00.
    let spring = (utc((2024, 3, 30), 23), utc((2024, 3, 31), 22));
    for hours in [0, 1, 12, 21] {
        assert_eq!(spans(&days, utc((2024, 3, 31), hours)), [spring]);
    }
    assert_eq!(spring.1 - spring.0, 23 * HOUR);
    let autumn = (utc((2024, 10, 26), 22), utc((2024, 10, 27), 23));
    assert_eq!(spans(&days, utc((2024, 10, 27), 22)), [autumn]);
    assert_eq!(autumn.1 - autumn.0, 25 * HOUR);
    // Weeks that begin on Monday: 1970-01-05 was one.
    let weeks = Window::Tumble { size: 7 * DAY, align: berlin(4 * DAY) };
    assert_eq!(spans(&weeks, utc((2024, 3, 31), 21)), [(utc((2024, 3, 24), 23), utc((2024, 3, 31), 22))]);
    // Days that begin at 06:00.
    let shifts = Window::Tumble { size: DAY, align: berlin(6 * HOUR) };
    assert_eq!(spans(&shifts, utc((2024, 3, 31), 3)), [(utc((2024, 3, 30), 5), utc((2024, 3, 31), 4))]);
}

#[test]
fn parts_of_a_day_are_counted_from_its_midnight_and_the_last_ends_with_it() {
    let parts = Window::Tumble { size: 6 * HOUR, align: berlin(0) };
    let spring = utc((2024, 3, 30), 23);
    assert_eq!(spans(&parts, spring + 17 * HOUR), [(spring + 12 * HOUR, spring + 18 * HOUR)]);
    assert_eq!(spans(&parts, spring + 18 * HOUR), [(spring + 18 * HOUR, spring + 23 * HOUR)]);
    let autumn = utc((2024, 10, 26), 22);
    assert_eq!(spans(&parts, autumn + 24 * HOUR), [(autumn + 24 * HOUR, autumn + 25 * HOUR)]);
    assert_eq!(spans(&parts, autumn + 25 * HOUR), [(autumn + 25 * HOUR, autumn + 31 * HOUR)]);
    // Before 1970.
    let winter = utc((1969, 12, 31), -1);
    assert_eq!(spans(&parts, winter + HOUR), [(winter, winter + 6 * HOUR)]);
}

#[test]
fn windows_of_a_zone_that_overlap() {
    let days = Window::Hop { size: 2 * DAY, slide: DAY, align: berlin(0) };
    let midnights = [(29, 23), (30, 23), (31, 22)].map(|(day, hour)| utc((2024, 3, day), hour));
    let next = utc((2024, 4, 1), 22);
    assert_eq!(spans(&days, midnights[1] + HOUR), [(midnights[0], midnights[2]), (midnights[1], next)]);
    // A day long, each hour: on the day of 25 hours the windows that begin in its last hour and at midnight end at the same time.
    let day = Window::Hop { size: DAY, slide: HOUR, align: berlin(0) };
    let autumn = utc((2024, 10, 26), 22);
    let of_last = spans(&day, autumn + 24 * HOUR);
    assert_eq!(of_last[0], (autumn, autumn + 25 * HOUR));
    assert_eq!(*of_last.last().unwrap(), (autumn + 24 * HOUR, autumn + 49 * HOUR));
    assert_eq!(of_last.len(), 25);
    let ends_together = spans(&day, autumn + 25 * HOUR);
    assert_eq!(
        ends_together[ends_together.len() - 2..],
        [(autumn + 24 * HOUR, autumn + 49 * HOUR), (autumn + 25 * HOUR, autumn + 49 * HOUR),]
    );
    // The first six hours of each day.
    let mornings = Window::Hop { size: 6 * HOUR, slide: DAY, align: berlin(0) };
    assert_eq!(spans(&mornings, autumn + 5 * HOUR), [(autumn, autumn + 6 * HOUR)]);
    assert_eq!(spans(&mornings, autumn + 6 * HOUR), []);
    // Three days, begun every two.
    let overlapping = Window::Hop { size: 3 * DAY, slide: 2 * DAY, align: berlin(0) };
    assert!([1, 2].contains(&spans(&overlapping, autumn).len()));
    assert!(spans(&overlapping, autumn).iter().all(|(start, end)| end - start == 73 * HOUR));
}

#[test]
fn windows_that_accumulate_over_a_day_of_25_hours() {
    let window = Window::Cumulate { size: DAY, step: 12 * HOUR, align: berlin(0) };
    let autumn = utc((2024, 10, 26), 22);
    let ends = [12, 24, 25].map(|hours| (autumn, autumn + hours * HOUR));
    assert_eq!(spans(&window, autumn), ends);
    assert_eq!(spans(&window, autumn + 24 * HOUR), ends[2..]);
}

#[test]
fn a_midnight_and_a_day_that_clocks_skip() {
    let zone = |zone: &str| Alignment { offset: 0, zone: Some(zone.into()) };
    // In Beirut the day of 2022-03-27 began at 01:00, which is 22:00 UTC.
    let days = Window::Tumble { size: DAY, align: zone("Asia/Beirut") };
    assert_eq!(spans(&days, utc((2022, 3, 27), 0)), [(utc((2022, 3, 26), 22), utc((2022, 3, 27), 21))]);
    // Samoa had no 2011-12-30: the 29th ends where the 31st begins, at 10:00 UTC.
    for size in [DAY, 6 * HOUR] {
        let parts = Window::Tumble { size, align: zone("Pacific/Apia") };
        let skipped = utc((2011, 12, 30), 10);
        assert_eq!(spans(&parts, skipped - 1), [(skipped - size, skipped)]);
        assert_eq!(spans(&parts, skipped), [(skipped, skipped + size)]);
    }
    // A week that grows by days, in which one is missing.
    let week = Window::Cumulate { size: 7 * DAY, step: DAY, align: zone("Pacific/Apia") };
    let begins = utc((2011, 12, 29), 10);
    let ends = [1, 2, 3, 4, 5].map(|day| (begins, begins + day * DAY));
    assert_eq!(spans(&week, begins)[..5], ends);
}

#[test]
fn windows_of_a_zone_that_are_neither_days_nor_parts_of_one_are_refused() {
    assert!(Windows::new(&Window::Tumble { size: 36 * HOUR, align: berlin(0) }).is_err());
    assert!(Windows::new(&Window::Tumble { size: 0, align: Alignment::default() }).is_err());
    let nowhere = Alignment { offset: 0, zone: Some("Nowhere/City".into()) };
    assert!(Windows::new(&Window::Tumble { size: DAY, align: nowhere }).is_err());
}

fn align() -> impl Strategy<Value = Alignment> {
    let zones = ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "+05:30", "Pacific/Apia"];
    (prop::option::of(prop::sample::select(zones.to_vec())), -50i64..50)
        .prop_map(|(zone, hours)| Alignment { offset: hours * HOUR, zone: zone.map(str::to_string) })
}

fn window() -> impl Strategy<Value = Window> {
    let length = || prop::sample::select(&[HOUR / 2, HOUR, 5 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY][..]);
    prop_oneof![
        (length(), align()).prop_map(|(size, align)| Window::Tumble { size, align }),
        (length(), length(), align()).prop_map(|(size, slide, align)| Window::Hop { size, slide, align }),
        (prop::sample::select(&[HOUR / 2, HOUR, 6 * HOUR, DAY][..]), prop::sample::select(&[1, 4, 7][..]), align())
            .prop_filter("whole days", |(step, n, align)| {
                align.zone.is_none() || step * n < DAY || step * n % DAY == 0
            })
            .prop_map(|(step, n, align)| Window::Cumulate { size: step * n, step, align }),
    ]
}

proptest! {
    /// Slices cover time without gaps, windows consist of whole slices, and the later a window begins, the later it ends.
    #[test]
    fn slices_and_windows_fit_together(window in window(), from in prop_oneof![3 => -2_000_000i64..2_000_000, 1 => Just(478_000), 1 => 736_100i64..736_500]) {
        let windows = Windows::new(&window).unwrap();
        let mut at = from * HOUR / 2;
        let (mut before, mut slices): (Vec<Bounds>, Vec<Slice>) = (vec![], vec![]);
        for _ in 0..60 {
            let slice = windows.slice(at);
            prop_assert_eq!(slice.start, if slices.is_empty() { slice.start } else { at });
            prop_assert_eq!(windows.slice(slice.end - 1), slice);
            let found = of(&windows, slice.start);
            prop_assert!(found.is_sorted() && found.is_sorted_by_key(|w| w.start));
            // All at once as one after the other.
            for w in &found {
                if !before.contains(w) {
                    prop_assert!(before.last().is_none_or(|last| last < w), "{:?} {:?}", before, w);
                    before.push(*w);
                }
            }
            slices.push(slice);
            at = slice.end;
        }
        let starts: Vec<i64> = slices.iter().filter(|s| s.last_end.is_some()).map(|s| s.start).collect();
        let first = |from: i64| starts.iter().copied().find(|start| *start >= from);
        prop_assert_eq!(&windows.ending(first, None, i64::MAX), &before);
        let middle = before.get(before.len() / 2).copied();
        let later: Vec<Bounds> = before.iter().copied().filter(|w| middle.is_none_or(|m| *w > m)).collect();
        prop_assert_eq!(windows.ending(first, middle, i64::MAX), later);
        let until = middle.map_or(0, |m| m.end);
        let by: Vec<Bounds> = before.iter().copied().filter(|w| w.end <= until).collect();
        prop_assert_eq!(windows.ending(first, None, until), by);
    }
}
