//! The columns between two steps: shared by all steps that leave them as they are, with what is made of them once. Knows nothing of facts or steps.

use crate::check::scope::Column;
use crate::facts::ShapeColumn;
use flowc_ir::shared::SharedVec;
use flowc_ir::{Schema, Type};
use std::cell::OnceCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Columns, in order. Copying them costs nothing; the first change of a copy copies the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns(Rc<Shared>);

/// What copies share.
#[derive(Debug, Default)]
struct Shared {
    list: Vec<Column>,
    schema: OnceCell<Schema>,
    shape: OnceCell<SharedVec<ShapeColumn>>,
}

/// A copy is made to be changed: what was made of the list is not true of it.
impl Clone for Shared {
    fn clone(&self) -> Self {
        Shared { list: self.list.clone(), ..Shared::default() }
    }
}

impl Columns {
    /// As a schema; a wrong column has the type of `null`.
    pub fn schema(&self) -> Schema {
        let field = |c: &Column| c.full_field(c.ty.clone().unwrap_or_else(Type::null));
        let schema = || Schema::new(self.0.list.iter().map(field).collect::<Vec<_>>());
        self.0.schema.get_or_init(schema).clone()
    }

    /// As an editor sees them. Columns that only tests see have names that no program can write.
    pub fn shape(&self) -> SharedVec<ShapeColumn> {
        let column = |c: &Column| ShapeColumn {
            name: c.name.clone(),
            table: c.table.clone(),
            ty: c.ty.clone(),
            comment: c.comment.clone(),
            id: c.lineage,
        };
        self.0.shape.get_or_init(|| self.0.list.iter().map(column).collect()).clone()
    }
}

impl From<Vec<Column>> for Columns {
    fn from(list: Vec<Column>) -> Self {
        Columns(Rc::new(Shared { list, ..Shared::default() }))
    }
}

impl FromIterator<Column> for Columns {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> Self {
        Vec::from_iter(columns).into()
    }
}

impl Deref for Columns {
    type Target = Vec<Column>;

    fn deref(&self) -> &Vec<Column> {
        &self.0.list
    }
}

impl DerefMut for Columns {
    fn deref_mut(&mut self) -> &mut Vec<Column> {
        let shared = Rc::make_mut(&mut self.0);
        (shared.schema, shared.shape) = (OnceCell::new(), OnceCell::new());
        &mut shared.list
    }
}

impl<'a> IntoIterator for &'a Columns {
    type Item = &'a Column;
    type IntoIter = std::slice::Iter<'a, Column>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowc_ir::DataType;

    fn column(name: &str, slot: usize) -> Column {
        let ty = Some(Type::nullable(DataType::Long));
        Column { name: name.into(), table: None, ty, comment: None, slot, lineage: None }
    }

    #[test]
    fn what_was_made_of_columns_is_shared_until_they_change() {
        let first = Columns::from(vec![column("a", 0), column("b", 1)]);
        let mut second = first.clone();
        assert!(first.schema().fields.is_same(&second.schema().fields));
        assert!(first.shape().is_same(&second.shape()));
        second.push(column("c", 2));
        assert_eq!((first.schema().len(), second.schema().len(), second.shape().len()), (2, 3, 3));
        second.truncate(1);
        assert_eq!((second.schema().len(), second.shape().len()), (1, 1), "the only owner makes them anew, too");
    }
}
