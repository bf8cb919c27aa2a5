//! Typed expressions to Spark SQL text, for the CHECK constraints and generated columns of tables that flowc creates.
//!
//! The text means in Spark what the expression means in flowc for every row that flowc lets through; what has no such text is an error that names it.

use flowc_ir::{CastFailure, DataType, Expr, ExprKind, LocalId, Schema, Value};
use std::collections::BTreeMap;

/// Functions that are called by the same name and mean the same in Spark.
const SAME_IN_SPARK: &[&str] = &[
    "abs",
    "acos",
    "add_months",
    "array_contains",
    "array_distinct",
    "array_max",
    "array_min",
    "ascii",
    "asin",
    "atan",
    "atan2",
    "base64",
    "cbrt",
    "ceil",
    "concat",
    "concat_ws",
    "contains",
    "cos",
    "cosh",
    "crc32",
    "date_add",
    "date_format",
    "date_sub",
    "date_trunc",
    "datediff",
    "day",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "degrees",
    "element_at",
    "endswith",
    "exp",
    "expm1",
    "floor",
    "from_unixtime",
    "get_json_object",
    "greatest",
    "hex",
    "hour",
    "hypot",
    "initcap",
    "instr",
    "isnan",
    "last_day",
    "least",
    "left",
    "length",
    "levenshtein",
    "ln",
    "log",
    "log10",
    "log1p",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "map_keys",
    "map_values",
    "md5",
    "minute",
    "month",
    "months_between",
    "nanvl",
    "next_day",
    "nullif",
    "octet_length",
    "pi",
    "pmod",
    "position",
    "pow",
    "quarter",
    "radians",
    "regexp_extract",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rint",
    "round",
    "rpad",
    "rtrim",
    "second",
    "sha",
    "sha1",
    "sha2",
    "sign",
    "signum",
    "sin",
    "sinh",
    "size",
    "soundex",
    "split",
    "sqrt",
    "startswith",
    "substring",
    "substring_index",
    "tan",
    "tanh",
    "timestamp_micros",
    "timestamp_millis",
    "timestamp_seconds",
    "to_date",
    "to_timestamp",
    "translate",
    "trim",
    "trunc",
    "unbase64",
    "unhex",
    "unix_date",
    "unix_micros",
    "unix_millis",
    "unix_seconds",
    "unix_timestamp",
    "upper",
    "weekday",
    "weekofyear",
    "xxhash64",
    "year",
];

/// The digits of the decimal that an integer is widened to.
const INTEGER_DIGITS: u8 = 10;

/// The text of an expression over these columns, or what in it Spark SQL has no text for.
pub fn to_spark_sql(expr: &Expr, columns: &Schema) -> Result<String, String> {
    Printer { columns, locals: BTreeMap::new() }.expr(expr)
}

/// The literal of a literal, and of one that was widened: `1` for a long, `0.5` for a double.
fn as_literal(expr: &Expr) -> Option<&Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value),
        _ => None,
    }
}

struct Printer<'a> {
    columns: &'a Schema,
    locals: BTreeMap<LocalId, String>,
}

impl Printer<'_> {
    /// A text that stands by itself: as an argument, or in the place of a whole expression.
    fn expr(&mut self, expr: &Expr) -> Result<String, String> {
        Ok(match &expr.kind {
            ExprKind::Column(index) => {
                let field = self.columns.fields.get(*index).ok_or("a column that is not there")?;
                quote(&field.name)
            }
            ExprKind::Literal(value) => literal(value, &expr.ty.data)?,
            ExprKind::Local(id) => self.locals.get(id).cloned().ok_or("a variable that is not there")?,
            ExprKind::Let { local, value, body } => {
                let text = self.operand(value)?;
                self.locals.insert(*local, text);
                self.expr(body)?
            }
            ExprKind::Call { function, args } => self.call(function.name, args)?,
            ExprKind::And(xs) => self.joined(xs, " AND ")?,
            ExprKind::Or(xs) => self.joined(xs, " OR ")?,
            ExprKind::Not(x) => match &x.kind {
                ExprKind::IsNull(inner) => format!("{} IS NOT NULL", self.operand(inner)?),
                _ => format!("NOT {}", self.operand(x)?),
            },
            ExprKind::IsNull(x) => format!("{} IS NULL", self.operand(x)?),
            ExprKind::If { .. } => self.case(expr)?,
            ExprKind::Coalesce(xs) => format!("COALESCE({})", self.list(xs)?),
            ExprKind::InList { value, list } => {
                let items = list.iter().map(|v| literal(v, &value.ty.data)).collect::<Result<Vec<_>, _>>()?;
                if items.is_empty() {
                    return Err("an empty list".into());
                }
                format!("{} IN ({})", self.operand(value)?, items.join(", "))
            }
            ExprKind::Cast { value, on_failure } => {
                let function = if *on_failure == CastFailure::Null { "TRY_CAST" } else { "CAST" };
                format!("{function}({} AS {})", self.expr(value)?, type_name(&expr.ty.data)?)
            }
            ExprKind::Try(_) => return Err("`try`".into()),
            ExprKind::Field { value, index } => match &value.ty.data {
                DataType::Struct(fields) if *index < fields.len() => {
                    format!("{}.{}", self.operand(value)?, quote(&fields[*index].name))
                }
                _ => return Err("a field that is not there".into()),
            },
            ExprKind::Struct(xs) => match &expr.ty.data {
                DataType::Struct(fields) if fields.len() == xs.len() => {
                    let pairs = fields
                        .iter()
                        .zip(xs)
                        .map(|(f, x)| Ok::<_, String>(format!("{}, {}", string(&f.name), self.expr(x)?)));
                    format!("named_struct({})", pairs.collect::<Result<Vec<_>, _>>()?.join(", "))
                }
                _ => return Err("a struct of another type".into()),
            },
            ExprKind::Array(xs) => format!("array({})", self.list(xs)?),
        })
    }

    /// A text that may stand beside an operator.
    fn operand(&mut self, expr: &Expr) -> Result<String, String> {
        let text = self.expr(expr)?;
        let atomic = match &expr.kind {
            ExprKind::Column(_) | ExprKind::Local(_) | ExprKind::Field { .. } => true,
            ExprKind::Coalesce(_) | ExprKind::Cast { .. } | ExprKind::Struct(_) | ExprKind::Array(_) => true,
            ExprKind::If { .. } => true,
            ExprKind::Literal(_) => !text.starts_with('-'),
            ExprKind::Call { function, .. } => SAME_IN_SPARK.contains(&function.name) || function.name == "index",
            _ => false,
        };
        Ok(if atomic { text } else { format!("({text})") })
    }

    fn list(&mut self, xs: &[Expr]) -> Result<String, String> {
        Ok(xs.iter().map(|x| self.expr(x)).collect::<Result<Vec<_>, _>>()?.join(", "))
    }

    fn joined(&mut self, xs: &[Expr], operator: &str) -> Result<String, String> {
        Ok(xs.iter().map(|x| self.condition(x)).collect::<Result<Vec<_>, _>>()?.join(operator))
    }

    /// An operand of AND and OR: comparisons need no parentheses there.
    fn condition(&mut self, expr: &Expr) -> Result<String, String> {
        let comparison = match &expr.kind {
            ExprKind::IsNull(_) | ExprKind::InList { .. } => true,
            ExprKind::Not(x) => matches!(x.kind, ExprKind::IsNull(_)),
            ExprKind::Call { function, .. } => comparison_sign(function.name).is_some(),
            _ => false,
        };
        if comparison { self.expr(expr) } else { self.operand(expr) }
    }

    fn case(&mut self, expr: &Expr) -> Result<String, String> {
        let mut text = "CASE".to_string();
        let mut rest = expr;
        while let ExprKind::If { condition, then, otherwise } = &rest.kind {
            text += &format!(" WHEN {} THEN {}", self.expr(condition)?, self.expr(then)?);
            rest = otherwise;
        }
        if !matches!(rest.kind, ExprKind::Literal(Value::Null)) {
            text += &format!(" ELSE {}", self.expr(rest)?);
        }
        Ok(text + " END")
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Result<String, String> {
        if let [a, b] = args {
            if let Some(sign) = comparison_sign(name) {
                return Ok(format!("{} {sign} {}", self.compared(a, b)?, self.compared(b, a)?));
            }
            let sign = match name {
                "add" => "+",
                "subtract" => "-",
                "multiply" => "*",
                "divide" => "/",
                "div" => "DIV",
                "mod" => "%",
                _ => "",
            };
            if !sign.is_empty() {
                return Ok(format!("{} {sign} {}", self.beside(a, b)?, self.beside(b, a)?));
            }
        }
        match (name, args) {
            ("negate", [x]) => Ok(format!("-{}", self.operand(x)?)),
            ("like", [x, pattern]) => Ok(format!("{} LIKE {}", self.operand(x)?, self.operand(pattern)?)),
            ("matches", [x, pattern]) => Ok(format!("{} RLIKE {}", self.operand(x)?, self.operand(pattern)?)),
            ("index", [x, index]) => Ok(format!("{}[{}]", self.operand(x)?, self.expr(index)?)),
            ("coalesce", [_, ..]) => Ok(format!("COALESCE({})", self.list(args)?)),
            ("date", [x]) => Ok(format!("CAST({} AS DATE)", self.expr(x)?)),
            // Only what has one spelling in every engine: Spark writes doubles and timestamps in its own way.
            ("to_text", [x]) if x.ty.data.is_integer() || x.ty.data == DataType::String => {
                let text = match x.ty.data {
                    DataType::String => self.expr(x)?,
                    _ => format!("CAST({} AS STRING)", self.expr(x)?),
                };
                Ok(if x.ty.nullable { format!("COALESCE({text}, 'null')") } else { text })
            }
            _ if SAME_IN_SPARK.contains(&name) => Ok(format!("{name}({})", self.list(args)?)),
            _ => Err(format!("`{name}`")),
        }
    }

    /// An operand of a comparison. An integer that was widened to compare it with a decimal is written as that integer.
    fn compared(&mut self, expr: &Expr, other: &Expr) -> Result<String, String> {
        let with_decimal = matches!(other.ty.data, DataType::Decimal { .. }) && as_literal(other).is_none();
        match (as_literal(expr), &expr.ty.data) {
            (Some(Value::Decimal(v)), DataType::Decimal { precision: INTEGER_DIGITS, scale: 0 })
                if with_decimal && i32::try_from(*v).is_ok_and(|v| v >= 0) =>
            {
                Ok(v.to_string())
            }
            _ => self.beside(expr, other),
        }
    }

    /// An operand beside another of the same type: a literal needs no cast there, an implicit widening neither.
    fn beside(&mut self, expr: &Expr, other: &Expr) -> Result<String, String> {
        let typed = as_literal(other).is_none() && expr.ty.data == other.ty.data;
        match as_literal(expr) {
            Some(Value::Long(v)) if typed && *v >= 0 => Ok(v.to_string()),
            Some(Value::Double(v)) if typed => match plain_double(*v) {
                Some(text) => Ok(text),
                None => self.operand(expr),
            },
            _ => self.operand(expr),
        }
    }
}

fn comparison_sign(name: &str) -> Option<&'static str> {
    Some(match name {
        "equal" => "=",
        "not_equal" => "!=",
        "less" => "<",
        "less_equal" => "<=",
        "greater" => ">",
        "greater_equal" => ">=",
        _ => return None,
    })
}

/// A double that a decimal literal of at most 15 digits is converted to without a change.
fn plain_double(v: f64) -> Option<String> {
    let text = format!("{v:?}");
    let digits = text.chars().filter(char::is_ascii_digit).count();
    (v.is_finite() && v.is_sign_positive() && !text.contains('e') && digits <= 15).then_some(text)
}

/// A column's name, in backticks unless it is a word without a meaning of its own.
fn quote(name: &str) -> String {
    let word = flowc_ir::types::quote_name(name) == name;
    let keyword = sqlparser::keywords::ALL_KEYWORDS.iter().any(|k| name.eq_ignore_ascii_case(k));
    if word && !keyword { name.to_string() } else { format!("`{}`", name.replace('`', "``")) }
}

fn string(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out + "'"
}

fn literal(value: &Value, ty: &DataType) -> Result<String, String> {
    Ok(match value {
        Value::Null if *ty == DataType::Null => "NULL".to_string(),
        Value::Null => format!("CAST(NULL AS {})", type_name(ty)?),
        Value::Boolean(b) => if *b { "TRUE" } else { "FALSE" }.to_string(),
        Value::Byte(v) => format!("CAST({v} AS TINYINT)"),
        Value::Short(v) => format!("CAST({v} AS SMALLINT)"),
        // Without its sign this one does not fit.
        Value::Integer(i32::MIN) => "CAST('-2147483648' AS INT)".to_string(),
        Value::Integer(v) => v.to_string(),
        Value::Long(i64::MIN) => "CAST('-9223372036854775808' AS BIGINT)".to_string(),
        Value::Long(v) if i32::try_from(*v).is_err() => v.to_string(),
        Value::Long(v) => format!("CAST({v} AS BIGINT)"),
        Value::Float(v) => format!("CAST({} AS FLOAT)", string(&float_text(f64::from(*v), &format!("{v:?}")))),
        Value::Double(v) if v.is_finite() => format!("{v:e}"),
        Value::Double(v) => format!("CAST({} AS DOUBLE)", string(&float_text(*v, &format!("{v:?}")))),
        Value::Decimal(v) => decimal(*v, ty)?,
        Value::String(s) => string(s),
        Value::Binary(_) => return Err("a binary literal".into()),
        Value::Date(days) => format!("DATE '{}'", date(*days).ok_or("a date out of range")?),
        Value::Timestamp(t) => format!("TIMESTAMP '{}Z'", date_time(*t).ok_or("a timestamp out of range")?),
        Value::TimestampNtz(t) => {
            format!("TIMESTAMP_NTZ '{}'", date_time(*t).ok_or("a timestamp out of range")?)
        }
        Value::Duration(micros) => duration(*micros),
        Value::Array(items) => match ty {
            DataType::Array(item) => {
                let items = items.iter().map(|v| literal(v, &item.data)).collect::<Result<Vec<_>, _>>()?;
                format!("array({})", items.join(", "))
            }
            _ => return Err("an array of another type".into()),
        },
        Value::Map(_) => return Err("a map literal".into()),
        Value::Struct(items) => match ty {
            DataType::Struct(fields) => {
                let pairs = fields.iter().zip(items);
                let pairs = pairs.map(|(f, v)| Ok(format!("{}, {}", string(&f.name), literal(v, &f.ty.data)?)));
                format!("named_struct({})", pairs.collect::<Result<Vec<_>, String>>()?.join(", "))
            }
            _ => return Err("a struct of another type".into()),
        },
    })
}

fn float_text(v: f64, finite: &str) -> String {
    if v.is_nan() {
        "NaN".into()
    } else if v.is_infinite() {
        if v > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else {
        finite.to_string()
    }
}

/// A decimal literal has as many digits as it is written with; another type needs a cast.
fn decimal(unscaled: i128, ty: &DataType) -> Result<String, String> {
    let DataType::Decimal { precision, scale } = ty else {
        return Err("a decimal of another type".into());
    };
    let (digits, scale_digits) = (unscaled.unsigned_abs().to_string(), usize::from(*scale));
    let padded = format!("{digits:0>width$}", width = scale_digits + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale_digits);
    let sign = if unscaled < 0 { "-" } else { "" };
    let written = whole.trim_start_matches('0').len() + scale_digits;
    Ok(if *scale > 0 && written.max(1) == usize::from(*precision) {
        format!("{sign}{whole}.{fraction}")
    } else {
        let point = if *scale > 0 { "." } else { "" };
        format!("CAST('{sign}{whole}{point}{fraction}' AS DECIMAL({precision}, {scale}))")
    })
}

fn date(days: i32) -> Option<jiff::civil::Date> {
    jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

fn date_time(micros: i64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(micros).ok()?.to_zoned_datetime(jiff::tz::TimeZone::UTC).datetime();
    Some(time.to_string().replace('T', " "))
}

/// The largest unit that measures it without a rest.
fn duration(micros: i64) -> String {
    const UNITS: &[(i64, &str)] =
        &[(86_400_000_000, "DAY"), (3_600_000_000, "HOUR"), (60_000_000, "MINUTE"), (1_000_000, "SECOND")];
    match UNITS.iter().find(|(unit, _)| micros % unit == 0) {
        Some((unit, name)) => format!("INTERVAL '{}' {name}", micros / unit),
        None => {
            let (sign, rest) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
            format!("INTERVAL '{sign}{}.{:06}' SECOND", rest / 1_000_000, rest % 1_000_000)
        }
    }
}

/// The name of a type in Spark SQL.
fn type_name(ty: &DataType) -> Result<String, String> {
    Ok(match ty {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Byte => "TINYINT".into(),
        DataType::Short => "SMALLINT".into(),
        DataType::Integer => "INT".into(),
        DataType::Long => "BIGINT".into(),
        DataType::Float => "FLOAT".into(),
        DataType::Double => "DOUBLE".into(),
        DataType::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
        DataType::String => "STRING".into(),
        DataType::Binary => "BINARY".into(),
        DataType::Date => "DATE".into(),
        DataType::Timestamp => "TIMESTAMP".into(),
        DataType::TimestampNtz => "TIMESTAMP_NTZ".into(),
        DataType::Array(item) => format!("ARRAY<{}>", type_name(&item.data)?),
        other => return Err(format!("the type `{other}`")),
    })
}
