//! The table itself.

use super::Function;

/// Every function and operator, ordered by category and name.
pub fn all() -> &'static [Function] {
    &[]
}
