//! Spark SQL text of Delta tables (CHECK constraints, column invariants, generated columns), to and from flowc's expressions.
//! It must not know of tables, programs or diagnostics: names are resolved and types checked by whoever asked.

mod dialect;
mod function;
mod literal;
mod print;
mod read;

#[cfg(test)]
mod tests;

pub use print::to_spark_sql;
pub use read::{to_ast_expr, to_ast_expr_for};

/// Why a SQL text is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// It is not SQL.
    #[error("{0}")]
    Syntax(String),
    /// It is SQL that flowc has no counterpart for.
    #[error("{0} is not supported")]
    Unsupported(String),
}

impl SqlError {
    pub(crate) fn unsupported(construct: impl Into<String>) -> Self {
        SqlError::Unsupported(construct.into())
    }
}
