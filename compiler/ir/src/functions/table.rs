//! The table itself: what the topics declare, in one list.

use super::Function;
use std::collections::BTreeMap;
use std::sync::OnceLock;

static TABLE: OnceLock<(Vec<Function>, BTreeMap<&'static str, usize>)> = OnceLock::new();

fn table() -> &'static (Vec<Function>, BTreeMap<&'static str, usize>) {
    TABLE.get_or_init(|| {
        let topics: &[&[Function]] = &[
            super::arithmetic::FUNCTIONS,
            super::comparison::FUNCTIONS,
            super::math::FUNCTIONS,
            super::string::FUNCTIONS,
            super::substring::FUNCTIONS,
            super::regex::FUNCTIONS,
            super::date_parts::FUNCTIONS,
            super::datetime::FUNCTIONS,
            super::conditional::FUNCTIONS,
            super::hash::FUNCTIONS,
            super::json::FUNCTIONS,
            super::array::FUNCTIONS,
            super::map::FUNCTIONS,
        ];
        let mut all: Vec<Function> = topics.concat();
        all.sort_by_key(|f| (f.category, f.name));
        let index = all.iter().enumerate().map(|(i, f)| (f.name, i)).collect();
        (all, index)
    })
}

/// Every function and operator, ordered by category and name.
pub fn all() -> &'static [Function] {
    &table().0
}

pub(super) fn index_of(name: &str) -> Option<usize> {
    table().1.get(name).copied()
}
