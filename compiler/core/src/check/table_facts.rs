//! What a table promises of its rows: CHECK constraints and generated columns, as conditions over the columns that are read. What flowc does not
//! understand of them, or what meant something else where the rows were written, is no fact.

use crate::check::Checker;
use crate::check::scope::{Column, Env, Rows};
use crate::checked::TableFact;
use crate::optimize::analysis::{columns_of, depends_on_epoch, map_columns};
use crate::sql;
use flowc_ir::catalog::TableInfo;
use flowc_ir::{DataType, Expr, ExprKind, Schema, Type, Value};
use flowc_syntax::span::Span;

/// Functions of timestamps that mean the same in every time zone.
const ZONELESS: &[&str] =
    &["timestamp_millis", "timestamp_micros", "timestamp_seconds", "unix_millis", "unix_micros", "unix_seconds"];

impl Checker<'_> {
    /// The promises of a table, over the columns of `schema` (its own, or those of them that a contract names).
    pub(super) fn table_facts(&self, info: &TableInfo, schema: &Schema, span: Span) -> Vec<TableFact> {
        let columns = info.schema.fields.iter().enumerate().map(|(slot, field)| Column {
            name: field.name.as_str().into(),
            table: None,
            ty: Some(field.ty.clone()),
            comment: None,
            slot,
            lineage: None,
        });
        let rows = Rows { columns: columns.collect(), ..Rows::default() };
        let typed = |text: &str| {
            let syntax = sql::to_ast_expr_for(text, span, &info.schema).ok()?;
            let (typed, found) = self.overheard(|| self.expr(&mut Env::new(&rows), &syntax));
            typed.filter(|e| !found.iter().any(|d| d.is_error()) && means_the_same(e, text))
        };
        let mut facts = self.statistics(info, schema, span);
        // Texts that are compared by other rules than by their bytes are not followed.
        if info.features.iter().any(|feature| feature.starts_with("collations")) {
            return facts;
        }
        for (name, text) in &info.constraints {
            let condition = typed(text).filter(|e| e.ty.data == DataType::Boolean);
            let moved = condition.and_then(|e| over(&e, info, schema));
            facts.extend(moved.map(|condition| TableFact { what: "constraint", name: name.clone(), condition }));
        }
        for (name, text) in &info.generated {
            let Some(column) = rows.own(name) else { continue };
            let value = typed(text).and_then(|value| self.widened_silently(value, column));
            let condition = value.and_then(|value| self.same_value(column, value, super::origin(span)));
            let moved = condition.and_then(|e| over(&e, info, schema));
            facts.extend(moved.map(|condition| TableFact { what: "generated column", name: name.clone(), condition }));
        }
        facts
    }

    /// What the files' statistics say. Texts are cut there, and floats may be NaN besides: the catalog gives them no bounds that do not hold.
    fn statistics(&self, info: &TableInfo, schema: &Schema, span: Span) -> Vec<TableFact> {
        let at = super::origin(span);
        let boolean = |kind: ExprKind| Expr::new(kind, Type::nullable(DataType::Boolean), at);
        let mut facts = vec![];
        for bounds in &info.bounds {
            let Some(slot) = schema.index_of(&bounds.column) else { continue };
            let held = info.schema.field(&bounds.column).map(|f| &f.ty.data);
            let ty = &schema.fields[slot].ty;
            if held != Some(&ty.data) {
                continue;
            }
            let value = Expr::new(ExprKind::Column(slot), ty.clone(), at);
            let null = boolean(ExprKind::IsNull(Box::new(value.clone())));
            let mut fact = |condition: Expr| {
                facts.push(TableFact { what: "file statistics", name: bounds.column.clone(), condition });
            };
            if !bounds.nulls {
                fact(boolean(ExprKind::Not(Box::new(null.clone()))));
            }
            let cut = matches!(ty.data, DataType::String | DataType::Binary);
            for (bound, test) in [(&bounds.min, "greater_equal"), (&bounds.max, "less_equal")] {
                let Some(bound) = bound.clone().filter(|_| !cut) else { continue };
                let bound = Expr::new(ExprKind::Literal(bound), Type::new(ty.data.clone()), at);
                let compared = self.built_in(test, vec![value.clone(), bound], span);
                if let Some(compared) = compared {
                    fact(boolean(ExprKind::Or(vec![null.clone(), compared])));
                }
            }
        }
        facts
    }

    fn widened_silently(&self, value: Expr, column: &Column) -> Option<Expr> {
        let data = column.ty.as_ref()?.data.clone();
        self.overheard(|| self.widened(value, &data)).0
    }
}

/// Whether a condition means to flowc what it meant to whoever tested it: it names neither the time of the test nor, without saying so, a time zone.
fn means_the_same(e: &Expr, text: &str) -> bool {
    let zoned = |data: &DataType| *data == DataType::Timestamp;
    let zoneless = |data: &DataType| data.is_numeric() || zoned(data);
    let mut same = !depends_on_epoch(e);
    e.walk(&mut |e| match &e.kind {
        // A text without a zone is read in the session's.
        ExprKind::Literal(Value::Timestamp(_)) => same &= text.contains("Z'") || text.contains("Z\""),
        ExprKind::Cast { value, .. } => {
            let (from, to) = (&value.ty.data, &e.ty.data);
            same &= zoneless(from) == zoneless(to) || !zoned(from) && !zoned(to);
        }
        // Divided by zero it is null to Spark, and infinite or NaN to flowc.
        ExprKind::Call { function, args }
            if matches!(function.name, "divide" | "mod" | "pmod") && e.ty.data.is_floating() =>
        {
            same &= matches!(&args[1].kind, ExprKind::Literal(Value::Double(v)) if *v != 0.0);
        }
        ExprKind::Call { function, args } if !ZONELESS.contains(&function.name) => {
            let compares = matches!(
                function.name,
                "equal" | "not_equal" | "less" | "less_equal" | "greater" | "greater_equal" | "equal_null"
            );
            let takes = args.iter().any(|a| zoned(&a.ty.data));
            same &= compares || !takes && !zoned(&e.ty.data);
        }
        _ => {}
    });
    same
}

/// The condition over the columns that are read; none if one of them is not, or has another type.
fn over(e: &Expr, info: &TableInfo, read: &Schema) -> Option<Expr> {
    let table = &info.schema;
    for column in columns_of(e) {
        let field = &table.fields[column];
        // To Spark, blanks at the end of a `char(n)` do not count.
        (!info.padded.contains(&field.name)).then_some(())?;
        read.field(&field.name).filter(|f| f.ty.data == field.ty.data)?;
    }
    let position = |column: usize| read.index_of(&table.fields[column].name).unwrap_or(usize::MAX);
    Some(map_columns(e, position))
}
