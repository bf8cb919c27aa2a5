//! Function calls of Spark SQL, and the constructs that have a syntax of their own but are functions in flowc.

use super::SqlError;
use super::read::Reader;
use flowc_syntax::ast::{BinaryOp, Expr, ExprKind, StringPart};
use sqlparser::ast as sql;

/// Functions that Spark calls without parentheses.
pub(super) fn is_niladic(name: &str) -> bool {
    ["current_date", "current_timestamp"].iter().any(|f| name.eq_ignore_ascii_case(f))
}

/// `f(x, y)`
pub(super) fn call(reader: &Reader<'_>, call: &sql::Function) -> Result<Expr, SqlError> {
    let name = call.name.to_string().replace('`', "").to_ascii_lowercase();
    let plain = call.filter.is_none()
        && call.over.is_none()
        && call.null_treatment.is_none()
        && call.within_group.is_empty()
        && matches!(call.parameters, sql::FunctionArguments::None);
    if !plain {
        return Err(SqlError::unsupported(format!("`{call}`")));
    }
    let args = arguments(call)?;
    named(reader, &name, &args, call)
}

fn arguments(call: &sql::Function) -> Result<Vec<&sql::Expr>, SqlError> {
    let list = match &call.args {
        sql::FunctionArguments::None => return Ok(vec![]),
        sql::FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => list,
        _ => return Err(SqlError::unsupported(format!("`{call}`"))),
    };
    let plain = list.args.iter().map(|arg| match arg {
        sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) => Ok(expr),
        _ => Err(SqlError::unsupported(format!("`{call}`"))),
    });
    plain.collect()
}

/// The call of a function that flowc writes differently, or has under the same name.
fn named(r: &Reader<'_>, name: &str, args: &[&sql::Expr], call: &sql::Function) -> Result<Expr, SqlError> {
    if let ([x], Some(ty)) = (args, cast_function(name)) {
        return r.cast(r.expr(x)?, &ty, false);
    }
    match (name, args) {
        ("coalesce" | "nvl" | "ifnull", [_, ..]) => {
            let values = args.iter().rev().map(|x| r.expr(x)).collect::<Result<Vec<_>, _>>()?;
            let joined = values.into_iter().reduce(|rest, value| r.binary(BinaryOp::Coalesce, value, rest));
            joined.ok_or_else(|| SqlError::unsupported(format!("`{call}`")))
        }
        ("nvl2", [x, a, b]) => Ok(r.choose(r.is_null(r.expr(x)?, true), r.expr(a)?, r.expr(b)?)),
        ("if" | "iff", [c, a, b]) => Ok(r.choose(r.expr(c)?, r.expr(a)?, r.expr(b)?)),
        ("isnull", [x]) => Ok(r.is_null(r.expr(x)?, false)),
        ("isnotnull", [x]) => Ok(r.is_null(r.expr(x)?, true)),
        ("not", [x]) => Ok(r.not(r.expr(x)?)),
        ("equal_null", [a, b]) => r.null_safe_equal(a, b),
        ("mod", [a, b]) => Ok(r.binary(BinaryOp::Remainder, r.expr(a)?, r.expr(b)?)),
        ("rlike" | "regexp" | "regexp_like", [x, pattern]) => r.matches(x, pattern, false),
        ("array", _) => {
            let items = args.iter().map(|x| r.expr(x)).collect::<Result<_, _>>()?;
            Ok(r.node(ExprKind::Array(items)))
        }
        ("named_struct", _) if args.len().is_multiple_of(2) => named_struct(r, args, call),
        _ => with_arguments(r, known_name(name), args),
    }
}

/// Spark has several names for some functions: the one that flowc knows.
fn known_name(name: &str) -> &str {
    const ALIASES: &[(&str, &str)] = &[
        ("day", "dayofmonth"),
        ("substr", "substring"),
        ("ucase", "upper"),
        ("lcase", "lower"),
        ("len", "length"),
        ("char_length", "length"),
        ("character_length", "length"),
        ("power", "pow"),
        ("ceiling", "ceil"),
        ("now", "current_timestamp"),
        ("to_timestamp_ltz", "to_timestamp"),
    ];
    if flowc_ir::functions::find(name).is_some() {
        return name;
    }
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, known)| known)
}

fn with_arguments(r: &Reader<'_>, name: &str, args: &[&sql::Expr]) -> Result<Expr, SqlError> {
    Ok(r.call(name, args.iter().map(|x| r.expr(x)).collect::<Result<_, _>>()?))
}

/// Spark's conversion functions: `int(x)` is `CAST(x AS INT)`.
fn cast_function(name: &str) -> Option<sql::DataType> {
    use sql::DataType as D;
    Some(match name {
        "boolean" => D::Boolean,
        "tinyint" => D::TinyInt(None),
        "smallint" => D::SmallInt(None),
        "int" => D::Int(None),
        "bigint" => D::BigInt(None),
        "float" => D::Float(sql::ExactNumberInfo::None),
        "double" => D::Double(sql::ExactNumberInfo::None),
        "decimal" => D::Decimal(sql::ExactNumberInfo::None),
        "string" => D::String(None),
        "binary" => D::Binary(None),
        "date" => D::Date,
        "timestamp" => D::Timestamp(None, sql::TimezoneInfo::None),
        _ => return None,
    })
}

fn named_struct(r: &Reader<'_>, args: &[&sql::Expr], call: &sql::Function) -> Result<Expr, SqlError> {
    let fields = args.chunks(2).map(|pair| match r.expr(pair[0])?.kind {
        ExprKind::String(parts) => match parts.as_slice() {
            [StringPart::Text(name)] => Ok((r.name(name), r.expr(pair[1])?)),
            _ => Err(SqlError::unsupported(format!("`{call}`"))),
        },
        _ => Err(SqlError::unsupported(format!("`{call}`"))),
    });
    Ok(r.node(ExprKind::Struct(fields.collect::<Result<_, _>>()?)))
}

/// What sqlparser has an own form for.
pub(super) fn special(r: &Reader<'_>, expr: &sql::Expr) -> Result<Expr, SqlError> {
    use sql::Expr as E;
    let unsupported = || SqlError::unsupported(format!("`{expr}`"));
    match expr {
        E::Extract { field, expr: x, .. } => {
            Ok(r.call(part_function(field).ok_or_else(unsupported)?, vec![r.expr(x)?]))
        }
        E::Ceil { expr: x, field: sql::CeilFloorKind::DateTimeField(sql::DateTimeField::NoDateTime) } => {
            Ok(r.call("ceil", vec![r.expr(x)?]))
        }
        E::Floor { expr: x, field: sql::CeilFloorKind::DateTimeField(sql::DateTimeField::NoDateTime) } => {
            Ok(r.call("floor", vec![r.expr(x)?]))
        }
        E::Substring { expr: x, substring_from: Some(from), substring_for, .. } => {
            let mut args = vec![r.expr(x)?, r.expr(from)?];
            args.extend(substring_for.as_ref().map(|n| r.expr(n)).transpose()?);
            Ok(r.call("substring", args))
        }
        E::Trim { trim_where, trim_what, expr: x, trim_characters: None } => {
            let name = match trim_where {
                None | Some(sql::TrimWhereField::Both) => "trim",
                Some(sql::TrimWhereField::Leading) => "ltrim",
                Some(sql::TrimWhereField::Trailing) => "rtrim",
            };
            if trim_what.is_some() {
                return Err(unsupported());
            }
            Ok(r.call(name, vec![r.expr(x)?]))
        }
        E::Array(array) => {
            let items = array.elem.iter().map(|x| r.expr(x)).collect::<Result<_, _>>()?;
            Ok(r.node(ExprKind::Array(items)))
        }
        E::Exists { .. } | E::Subquery(_) | E::InSubquery { .. } => Err(SqlError::unsupported("a subquery")),
        _ => Err(unsupported()),
    }
}

/// The function that takes this part of a date or timestamp.
fn part_function(field: &sql::DateTimeField) -> Option<&'static str> {
    use sql::DateTimeField as F;
    Some(match field {
        F::Year | F::Years => "year",
        F::Quarter => "quarter",
        F::Month | F::Months => "month",
        F::Week(None) | F::Weeks => "weekofyear",
        F::Day | F::Days => "dayofmonth",
        F::DayOfWeek | F::Dow => "dayofweek",
        F::DayOfYear | F::Doy => "dayofyear",
        F::Hour | F::Hours => "hour",
        F::Minute | F::Minutes => "minute",
        _ => return None,
    })
}
