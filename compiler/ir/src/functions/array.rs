//! Functions of arrays.

use super::operand::{MOST_ELEMENTS, argument, array};
use crate::eval::Failure;
use crate::value::Value;

/// Refuses arrays beyond all bounds.
pub(super) fn bounded(elements: usize) -> Result<(), Failure> {
    if elements > MOST_ELEMENTS {
        return Err(argument(format!("the array would have {elements} elements, more than {MOST_ELEMENTS}")));
    }
    Ok(())
}

pub(super) fn concat(args: &[Value]) -> Result<Value, Failure> {
    bounded(args.iter().map(|a| array(a).len()).sum())?;
    Ok(Value::Array(args.iter().flat_map(|a| array(a)).cloned().collect()))
}
