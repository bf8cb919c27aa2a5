//! Which part of a data file a split reads. Large files are cut at row groups; where few files are to be read, local ones are cut within row groups as well, so that
//! all workers have something to do ("morsels": Leis et al., "Morsel-driven parallelism", SIGMOD 2014). Knows rows and row groups; nothing of what is read.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// With fewer files than this, local ones are cut into morsels. It does not depend on how many workers there are, so that splits do not either. A snapshot is read two
/// files an epoch: cut as well, each took a quarter more time, as what comes before a morsel in its file is read to be skipped.
pub(crate) const FEW_FILES: usize = 2;

/// About so many rows has a morsel: to come to its first row, each column decodes its dictionary and a part of a page that the morsel before decodes as well.
pub(crate) const MORSEL_ROWS: u64 = 1 << 18;

/// A part of a file; the default is all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Within {
    /// Only these row groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_groups: Option<Range<usize>>,
    /// And of these only rows with these numbers in the file. In a split `rows` is the name of something else.
    #[serde(default, rename = "between", skip_serializing_if = "Option::is_none")]
    pub rows: Option<Range<u64>>,
}

impl Within {
    /// Some row groups.
    pub(crate) fn groups(row_groups: Range<usize>) -> Within {
        Within { row_groups: Some(row_groups), rows: None }
    }

    /// Of these rows, numbered as in the file, those that are in the part.
    pub(crate) fn cut(&self, rows: Range<u64>) -> Range<u64> {
        match &self.rows {
            Some(within) => rows.start.max(within.start)..rows.end.min(within.end),
            None => rows,
        }
    }

    /// What to say of it behind the file's name.
    pub(crate) fn text(&self) -> String {
        match self {
            Within { rows: Some(rows), .. } if rows.end == u64::MAX => format!(" rows {}..", rows.start),
            Within { rows: Some(rows), .. } => format!(" rows {}..{}", rows.start, rows.end),
            Within { row_groups: Some(groups), .. } => format!(" row groups {}..{}", groups.start, groups.end),
            _ => String::new(),
        }
    }
}

/// A file has so many morsels, unless they would be too small or too large. Groups of windows in which one ends and the next begins are found twice, and one that begins
/// far behind in a row group reads the headers of all pages before it.
const MORSELS: u64 = 4;

/// Cuts a file of so many rows into morsels of at least so many, and not many more than so many, each with how many rows it has; none: it is one. The last goes to the
/// end of the file, be there more rows than the log says.
pub(crate) fn morsels(rows: u64, (least, most): (u64, u64)) -> Option<Vec<(Within, u64)>> {
    let count = rows / (rows / MORSELS).min(most).max(least).max(1);
    if count < 2 {
        return None;
    }
    let at = |morsel: u64| (u128::from(rows) * u128::from(morsel) / u128::from(count)) as u64;
    let morsel = |morsel: u64| {
        let (start, end) = (at(morsel), at(morsel + 1));
        let known = end - start;
        let end = if morsel + 1 == count { u64::MAX } else { end };
        (Within { row_groups: None, rows: Some(start..end) }, known)
    };
    Some((0..count).map(morsel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn morsels_follow_each_other_to_the_end() {
        assert_eq!(morsels(19, (10, 100)), None);
        let counts =
            [(80, 4), (800, 8), (8_000, 80)].map(|(rows, count)| (morsels(rows, (8, 100)).map(|m| m.len()), count));
        assert!(counts.iter().all(|(found, count)| *found == Some(*count)), "{counts:?}");
        for (rows, size) in [(20, 10), (29, 10), (1_666_666, 1 << 18), (7, 1), (7, 0)] {
            let morsels = morsels(rows, (size, 1 << 20)).expect("several");
            let (mut next, mut known) = (0, 0);
            for (within, count) in &morsels {
                let range = within.rows.clone().expect("rows");
                assert_eq!(range.start, next);
                (next, known) = (range.end, known + count);
                assert!(*count >= size && *count < 2 * size.max(1));
            }
            assert_eq!((next, known), (u64::MAX, rows));
        }
    }

    #[test]
    fn a_part_of_a_run_of_rows() {
        let all = Within::default();
        assert_eq!(all.cut(3..9), 3..9);
        let some = Within { rows: Some(5..7), ..Within::default() };
        assert_eq!(some.cut(3..9), 5..7);
        assert!(some.cut(0..4).is_empty() && some.cut(8..9).is_empty());
        assert_eq!(
            (all.text(), some.text(), Within::groups(0..2).text()),
            (String::new(), " rows 5..7".into(), " row groups 0..2".into())
        );
    }
}
