//! Expressions in the words of the language, for people to read.

use flowc_ir::cast::format::text_of;
use flowc_ir::types::quote_name;
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, Program, ProgramStep, Value};

/// A column as people call it: a joined table's is `device.site`.
pub(crate) fn name(name: &str) -> String {
    let plain = |part: &str| !part.is_empty() && quote_name(part) == part;
    if name.split('.').all(plain) { name.to_string() } else { quote_name(name) }
}

/// Names of the column slots: inputs by their names, computed ones by the column that they go out as, or by a number.
pub(crate) fn slot_names(program: &Program) -> Vec<String> {
    let mut names: Vec<String> = program.input.fields.iter().map(|f| name(&f.name)).collect();
    let lets = program.steps.iter().filter(|s| matches!(s, ProgramStep::Let(_))).count();
    for number in 0..lets {
        let slot = names.len();
        let output = program.outputs.iter().find(|o| o.value.kind == ExprKind::Column(slot));
        let name = output.map(|o| self::name(&o.field.name)).filter(|name| !names.contains(name));
        names.push(name.unwrap_or_else(|| format!("_{}", number + 1)));
    }
    names
}

/// A literal.
pub(crate) fn value(value: &Value, ty: &DataType) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(text) => format!("{text:?}").replace('{', "{{").replace('}', "}}"),
        Value::Date(_) | Value::Timestamp(_) | Value::TimestampNtz(_) => {
            format!("@{}", text_of(value, ty).replace(' ', "T"))
        }
        Value::Decimal(_) => text_of(value, ty) + "d",
        other => text_of(other, ty),
    }
}

/// How strongly a form holds its parts together; parts that hold less are put in parentheses.
fn strength(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::If { .. } | ExprKind::Let { .. } => 0,
        ExprKind::Or(_) => 1,
        ExprKind::And(_) => 2,
        ExprKind::Not(_) => 3,
        ExprKind::IsNull(_) | ExprKind::InList { .. } => 4,
        ExprKind::Coalesce(_) => 5,
        ExprKind::Call { function, .. } => match function.name {
            "equal" | "not_equal" | "less" | "less_equal" | "greater" | "greater_equal" | "like" | "matches" => 4,
            "add" | "subtract" => 6,
            "multiply" | "divide" | "div" | "mod" => 7,
            "negate" => 8,
            _ => 10,
        },
        ExprKind::Cast { on_failure, .. } if *on_failure != CastFailure::Never => 9,
        _ => 10,
    }
}

fn is_text_of(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Call { function, .. } if function.name == "to_text")
}

/// `"Sensor {id}"`
fn interpolated(parts: &[Expr], names: &[String]) -> String {
    let mut out = String::from("\"");
    for part in parts {
        match &part.kind {
            ExprKind::Literal(text @ Value::String(_)) => {
                let quoted = value(text, &DataType::String);
                out += &quoted[1..quoted.len() - 1];
            }
            ExprKind::Call { args, .. } if is_text_of(part) => out += &format!("{{{}}}", show(&args[0], names)),
            _ => out += &format!("{{{}}}", show(part, names)),
        }
    }
    out + "\""
}

/// The expression as it would be written. What steps remember is found by such texts (see `lower::temporary`): another text for the same makes it useless.
pub(crate) fn show(expr: &Expr, names: &[String]) -> String {
    let part = |e: &Expr, least: u8| {
        let text = show(e, names);
        let inner = match &e.kind {
            // A widening is not written.
            ExprKind::Cast { value, on_failure: CastFailure::Never } => value,
            _ => e,
        };
        if strength(inner) < least { format!("({text})") } else { text }
    };
    let list = |xs: &[Expr]| xs.iter().map(|x| show(x, names)).collect::<Vec<_>>().join(", ");
    let joined = |xs: &[Expr], sign: &str, least: u8| xs.iter().map(|x| part(x, least)).collect::<Vec<_>>().join(sign);
    match &expr.kind {
        ExprKind::Column(slot) => names.get(*slot).cloned().unwrap_or_else(|| format!("${slot}")),
        ExprKind::Literal(v) => value(v, &expr.ty.data),
        ExprKind::Local(local) => format!("%{}", local.0),
        ExprKind::Let { local, value, body } => {
            format!("let %{} = {} in {}", local.0, show(value, names), show(body, names))
        }
        ExprKind::Call { function, args } => match (sign(function.name), args.as_slice()) {
            (Some(sign), [a, b]) => {
                let own = strength(expr);
                // Operators of one strength go from left to right; comparisons do not follow each other.
                format!("{} {sign} {}", part(a, if own == 4 { 5 } else { own }), part(b, own + 1))
            }
            (_, [x]) if function.name == "negate" => format!("-{}", part(x, 8)),
            (_, [x]) if function.name == "to_text" => format!("\"{{{}}}\"", show(x, names)),
            (_, [x, i]) if function.name == "index" => format!("{}[{}]", part(x, 10), show(i, names)),
            _ if function.name == "concat" && args.iter().any(is_text_of) => interpolated(args, names),
            _ => format!("{}({})", function.name, list(args)),
        },
        ExprKind::And(xs) => joined(xs, " and ", 3),
        ExprKind::Or(xs) => joined(xs, " or ", 2),
        ExprKind::Not(x) => match &x.kind {
            ExprKind::IsNull(inner) => format!("{} is not null", part(inner, 5)),
            _ => format!("not {}", part(x, 4)),
        },
        ExprKind::IsNull(x) => format!("{} is null", part(x, 5)),
        ExprKind::If { condition, then, otherwise } => {
            format!("if {} then {} else {}", show(condition, names), show(then, names), show(otherwise, names))
        }
        ExprKind::Coalesce(xs) => joined(xs, " ?? ", 6),
        ExprKind::InList { value: x, list } => {
            let items: Vec<String> = list.iter().map(|v| value(v, &x.ty.data)).collect();
            format!("{} in [{}]", part(x, 5), items.join(", "))
        }
        ExprKind::Cast { value, on_failure } => match on_failure {
            CastFailure::Never => show(value, names),
            CastFailure::Error => format!("{} as {}", part(value, 9), expr.ty.data),
            CastFailure::Null => format!("{} as {}?", part(value, 9), expr.ty.data),
        },
        ExprKind::Try(x) => format!("try({})", show(x, names)),
        ExprKind::Field { value, index } => {
            let name = match &value.ty.data {
                DataType::Struct(fields) => fields.get(*index).map(|f| quote_name(&f.name)),
                _ => None,
            };
            format!("{}.{}", part(value, 10), name.unwrap_or_else(|| index.to_string()))
        }
        ExprKind::Struct(xs) => {
            let fields = match &expr.ty.data {
                DataType::Struct(fields) => fields.as_slice(),
                _ => &[],
            };
            let pairs = fields.iter().zip(xs).map(|(f, x)| format!("{}: {}", quote_name(&f.name), show(x, names)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        ExprKind::Array(xs) => format!("[{}]", list(xs)),
    }
}

fn sign(name: &str) -> Option<&'static str> {
    Some(match name {
        "add" => "+",
        "subtract" => "-",
        "multiply" => "*",
        "divide" => "/",
        "div" => "div",
        "mod" => "%",
        "equal" => "==",
        "not_equal" => "!=",
        "less" => "<",
        "less_equal" => "<=",
        "greater" => ">",
        "greater_equal" => ">=",
        "like" => "like",
        "matches" => "matches",
        _ => return None,
    })
}
