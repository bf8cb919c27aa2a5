//! Types as written → types; implicit widening; which conversions there are.

use crate::check::{Checker, article, constant};
use crate::codes;
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, Field, Type, Value};
use flowc_syntax::ast::{ColumnDef, TypeExpr, TypeExprKind};
use flowc_syntax::diagnostic::{Diagnostic, Help, did_you_mean};
use flowc_syntax::span::Span;

const NAMES: &[(&str, DataType)] = &[
    ("boolean", DataType::Boolean),
    ("byte", DataType::Byte),
    ("short", DataType::Short),
    ("integer", DataType::Integer),
    ("long", DataType::Long),
    ("float", DataType::Float),
    ("double", DataType::Double),
    ("string", DataType::String),
    ("binary", DataType::Binary),
    ("date", DataType::Date),
    ("timestamp", DataType::Timestamp),
    ("timestamp_ntz", DataType::TimestampNtz),
    ("duration", DataType::Duration),
    ("bool", DataType::Boolean),
    ("int", DataType::Integer),
    ("bigint", DataType::Long),
];

/// Names of types in other languages, and what they are called here.
const FOREIGN: &[(&str, &str)] = &[
    ("str", "string"),
    ("text", "string"),
    ("varchar", "string"),
    ("char", "string"),
    ("i8", "byte"),
    ("tinyint", "byte"),
    ("i16", "short"),
    ("smallint", "short"),
    ("i32", "integer"),
    ("i64", "long"),
    ("f32", "float"),
    ("real", "float"),
    ("f64", "double"),
    ("number", "double"),
    ("numeric", "decimal(18, 2)"),
    ("datetime", "timestamp"),
    ("interval", "duration"),
    ("bytes", "binary"),
    ("list", "array<string>"),
];

impl Checker<'_> {
    /// The type that is written here.
    pub(super) fn type_of(&self, written: &TypeExpr) -> Option<Type> {
        let data = match &written.kind {
            TypeExprKind::Named(name) => self.named_type(&name.text, name.span)?,
            TypeExprKind::Sized(name, sizes) => self.sized_type(&name.text, name.span, sizes, written.span)?,
            TypeExprKind::Array(item) => DataType::Array(Box::new(self.type_of(item)?)),
            TypeExprKind::Map(key, value) => {
                let (key, value) = (self.type_of(key), self.type_of(value));
                DataType::Map(Box::new(key?.data), Box::new(value?))
            }
            TypeExprKind::Struct(columns) => DataType::Struct(self.fields(columns)?),
        };
        Some(Type { data, nullable: written.nullable })
    }

    /// The fields of a struct type. All are checked, even if one is wrong.
    pub(super) fn fields(&self, columns: &[ColumnDef]) -> Option<Vec<Field>> {
        self.each_field(columns).into_iter().collect()
    }

    /// The columns of a `schema` block, one for each that is written; none: it is wrong, and that was reported.
    pub(super) fn each_field(&self, columns: &[ColumnDef]) -> Vec<Option<Field>> {
        let field = |(i, column): (usize, &ColumnDef)| {
            if let Some(before) = columns[..i].iter().find(|c| c.name.text == column.name.text) {
                self.duplicate("columns", &column.name.text, column.name.span, before.name.span);
                return None;
            }
            let ty = self.type_of(&column.ty)?;
            Some(Field { name: column.name.text.clone(), ty, comment: column.doc.clone() })
        };
        columns.iter().enumerate().map(field).collect()
    }

    fn named_type(&self, name: &str, span: Span) -> Option<DataType> {
        let lower = name.to_lowercase();
        if let Some((_, data)) = NAMES.iter().find(|(n, _)| *n == lower) {
            return Some(data.clone());
        }
        let help = match lower.as_str() {
            "decimal" => "say how many digits: `decimal(18, 2)` has 18, 2 of them behind the point".into(),
            "array" => "say of what: `array<string>`".into(),
            "map" => "say from what to what: `map<string, long>`".into(),
            "struct" => "name its fields: `struct<a: string>`".into(),
            _ => unknown_type_help(&lower),
        };
        self.report(
            Diagnostic::error(codes::UNKNOWN_TYPE, span, format!("there is no type `{name}`"))
                .label("unknown type")
                .help(help),
        );
        None
    }

    fn sized_type(&self, name: &str, span: Span, sizes: &[u32], whole: Span) -> Option<DataType> {
        if !matches!(name.to_lowercase().as_str(), "decimal" | "numeric") {
            self.report(
                Diagnostic::error(codes::BAD_TYPE_SIZE, whole, format!("`{name}` takes no size"))
                    .label("only `decimal` has a size")
                    .help(unknown_or_plain(name)),
            );
            return None;
        }
        let (precision, scale) = match sizes {
            [p] => (*p, 0),
            [p, s] => (*p, *s),
            _ => (0, 0),
        };
        if !(1..=38).contains(&precision) || scale > precision {
            self.report(
                Diagnostic::error(
                    codes::BAD_TYPE_SIZE,
                    whole,
                    "a decimal has 1 to 38 digits, and no more of them behind the point",
                )
                .label("not a size of a decimal")
                .help("for example `decimal(18, 2)`"),
            );
            return None;
        }
        let _ = span;
        Some(DataType::Decimal { precision: precision as u8, scale: scale as u8 })
    }

    /// Reports a column, operand or field that there is twice.
    pub(super) fn duplicate(&self, what: &str, name: &str, span: Span, before: Span) {
        self.report(
            Diagnostic::error(codes::DUPLICATE_COLUMN, span, format!("there are two {what} `{name}`"))
                .label("the second")
                .also(before, "the first")
                .help("give one of them another name"),
        );
    }

    /// The expression in a wider type; reports nothing: `None` if it does not widen.
    pub(super) fn widened(&self, e: Expr, to: &DataType) -> Option<Expr> {
        if let Some(value) = constant_of(&e).and_then(|v| constant::convert(v, &e.ty.data, to)) {
            let ty = Type { data: to.clone(), nullable: e.ty.nullable };
            return Some(Expr::new(ExprKind::Literal(value), ty, e.origin));
        }
        e.ty.data.widens_to(to).then(|| self.converted(e, to))
    }

    /// The expression in a type that was found to be wide enough.
    pub(super) fn converted(&self, e: Expr, to: &DataType) -> Expr {
        if e.ty.data == *to {
            return e;
        }
        let ty = Type { data: to.clone(), nullable: e.ty.nullable };
        if let Some(value) = constant_of(&e).and_then(|v| constant::convert(v, &e.ty.data, to)) {
            return Expr::new(ExprKind::Literal(value), ty, e.origin);
        }
        match (e.kind, to) {
            (ExprKind::Array(items), DataType::Array(item)) => {
                let items = items.into_iter().map(|i| self.converted(i, &item.data)).collect();
                Expr::new(ExprKind::Array(items), ty, e.origin)
            }
            (ExprKind::Struct(items), DataType::Struct(fields)) => {
                let items = items.into_iter().zip(fields).map(|(i, f)| self.converted(i, &f.ty.data)).collect();
                Expr::new(ExprKind::Struct(items), ty, e.origin)
            }
            (kind, _) => {
                let origin = e.origin;
                let value = Box::new(Expr::new(kind, e.ty, origin));
                // Decimals of more than 38 digits in all meet in one that some of their values do not fit.
                let on_failure = if value.ty.data.widens_to(to) { CastFailure::Never } else { CastFailure::Error };
                Expr::new(ExprKind::Cast { value, on_failure }, ty, origin)
            }
        }
    }

    /// Brings several values to their common type; `what` says what they are, for the message.
    pub(super) fn unified(&self, values: Vec<Expr>, code: &'static str, what: &str) -> Option<(Vec<Expr>, Type)> {
        let mut common = Type::new(DataType::Null);
        for value in &values {
            match common.common(&value.ty) {
                Some(ty) => common = ty,
                None => {
                    let first = values.iter().find(|v| v.ty.data != DataType::Null).unwrap_or(value);
                    self.report(
                        Diagnostic::error(code, span_of(value), format!("{what} have no common type"))
                            .label(format!("this is {}", article(&value.ty)))
                            .also(span_of(first), format!("this is {}", article(&first.ty)))
                            .help(format!("convert one of them, for example with `as {}`", first.ty.data)),
                    );
                    return None;
                }
            }
        }
        if common.data == DataType::Null {
            common.nullable = true;
        }
        let values = values.into_iter().map(|v| self.converted(v, &common.data)).collect();
        Some((values, common))
    }
}

/// A literal's value.
pub(crate) fn constant_of(e: &Expr) -> Option<&Value> {
    match &e.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

/// The place of a typed expression as a place of the syntax.
pub(crate) fn span_of(e: &Expr) -> Span {
    Span::new(flowc_syntax::span::FileId(e.origin.file), e.origin.start as usize, e.origin.end as usize)
}

fn unknown_type_help(name: &str) -> Help {
    let known = NAMES.iter().map(|(n, _)| *n).chain(["decimal", "array", "map", "struct"]);
    if let Some((_, here)) = FOREIGN.iter().find(|(n, _)| *n == name) {
        return Help::instead(format!("here it is called `{here}`"), *here);
    }
    match did_you_mean(name, known) {
        Some(near) => Help::did_you_mean(near),
        None => "the types are boolean, byte, short, integer, long, float, double, decimal(p, s), string, binary, date, timestamp, timestamp_ntz, \
                 array<T>, map<K, V>, struct<a: T>"
            .into(),
    }
}

fn unknown_or_plain(name: &str) -> Help {
    let lower = name.to_lowercase();
    match NAMES.iter().any(|(n, _)| *n == lower) {
        true => Help::instead(format!("write `{lower}`"), lower),
        false => unknown_type_help(&lower),
    }
}
