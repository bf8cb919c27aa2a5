//! Which expressions become machine code, and by which operation. The planner asks it before, the code generator while making code, so the two
//! cannot disagree. Knows expressions and types; nothing of how code is made.

use crate::emit::{Order, clif_type, conversion};
use crate::helpers::Helper;
use crate::range::{self, OnlyTypes};
use flowc_ir::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};
use flowc_ir::{DataType, Expr, ExprKind, Type, Value};

/// More constants than these are looked up faster by other means than one comparison each.
const LONGEST_LIST: usize = 48;

/// What a call computes, once the types of its operands are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    /// `a + b` of integers (checked) or floats.
    Add,
    /// `a - b` of integers (checked) or floats.
    Subtract,
    /// `a * b` of integers (checked) or floats.
    Multiply,
    /// `a / b` of floats.
    Divide,
    /// `a div b` of integers.
    Quotient,
    /// `a % b` of integers.
    Remainder,
    /// `a % b` of floats.
    FloatRemainder,
    /// `-a`
    Negate,
    /// `a - b` of dates, in microseconds.
    DateDifference,
    /// A duration divided by a long, rounded half up.
    DurationQuotient,
    /// Decimals of one scale, where sums need no rescaling.
    SameScale {
        /// Whether they are subtracted.
        subtract: bool,
    },
    /// A product of decimals that fits 128 bits and needs no rounding.
    ExactProduct,
    /// Arithmetic of decimals, by a helper; whether a zero second operand fails is the helper's.
    Decimal(Helper),
    /// A constant of doubles.
    Constant(f64),
    /// The absolute value; the least integer has none.
    Abs,
    /// The value itself.
    Same,
    /// A double, or vectors of them, by one instruction.
    Instruction(FloatInstruction),
    /// A double rounded up or down to a long.
    RoundToLong(FloatInstruction),
    /// A function of doubles, by a helper.
    OfDoubles(Helper),
    /// A logarithm, null for operands that are not above the bound.
    Logarithm(Helper, f64),
    /// The logarithm of the second operand to the base of the first.
    LogarithmToBase,
    /// -1, 0 or 1; what is no number stays.
    Sign,
    /// The greatest operand, or the least, that is not null.
    Extreme(Order),
    /// The first operand, not below the second and not above the third.
    Clamp,
    /// The remainder that is not negative.
    PositiveRemainder,
    /// Whether it is NaN; never null.
    IsNan,
    /// The first operand, or the second where the first is NaN.
    NanOr,
    /// Bits moved: `shiftleft`, `shiftright`, `shiftrightunsigned`.
    Shift(Shift),
    /// Bits combined.
    Bits(Bits),
    /// The bits turned over.
    BitNot,
    /// How many bits are set.
    BitCount,
    /// One bit of a long.
    BitGet,
    /// The epoch's time.
    Now,
    /// The date of the epoch's time.
    Today,
    /// A conversion whose misfits fail.
    Convert,
    /// A long multiplied by a constant, checked.
    Scale(i64),
    /// A long divided by a positive constant, rounded down.
    FloorDivide(i64),
    /// A part of a date, or of a timestamp's date.
    DatePart(DatePart),
    /// Of the seconds since midnight: divided by the first, of that the remainder by the second.
    TimePart(i64, i64),
    /// A date moved by days.
    MoveDays {
        /// Whether to earlier days.
        back: bool,
    },
    /// A date moved by months, the day kept where there is one.
    MoveMonths,
    /// The days between two dates.
    DaysBetween,
    /// A timestamp rounded down to a multiple of so many microseconds; its unit is no operand.
    Truncate(i64),
    /// The first operand, null where the second equals it.
    NullIf,
    /// The operand, null where it is zero.
    NullIfZero,
    /// The first operand, or the second where that is null; both are evaluated.
    Nvl,
    /// Equality with null equal to null.
    EqualNull,
    /// Comparison of values of one type.
    Compare(Order),
    /// Comparison of decimals of different scales.
    CompareDecimals(Order),
}

/// What the processor does with a float at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatInstruction {
    Sqrt,
    Nearest,
    Ceil,
    Floor,
}

/// A part of a date; what it is, the interpreter's calendar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub(crate) enum DatePart {
    Year,
    Quarter,
    Month,
    Day,
    DayOfWeek,
    Weekday,
    DayOfYear,
    Week,
    WeekYear,
    /// The last day of its month, as a date.
    LastDay,
}

/// A direction of moved bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shift {
    Left,
    Right,
    RightUnsigned,
}

/// How two integers' bits are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bits {
    And,
    Or,
    Xor,
}

/// The operation behind a call; none if there is no machine code for it.
pub(crate) fn operation(function: &str, args: &[&DataType], result: &DataType) -> Option<Operation> {
    if !args.iter().all(|t| t.is_fixed_width()) || !result.is_fixed_width() {
        return None;
    }
    if let (Some(order), [a, b]) = (Order::of(function), args) {
        return match (a, b) {
            (DataType::Decimal { scale: s, .. }, DataType::Decimal { scale: t, .. }) if s != t => {
                Some(Operation::CompareDecimals(order))
            }
            _ => (clif_type(a) == clif_type(b)).then_some(Operation::Compare(order)),
        };
    }
    if let Some(operation) = any_type_operation(function, args, result) {
        return Some(operation);
    }
    match args {
        [] => constant(function),
        _ if datetime_operation(function, args, result).is_some() => datetime_operation(function, args, result),
        [DataType::Decimal { precision: p, scale: s }, DataType::Decimal { precision: q, scale: t }] => {
            decimal_operation(function, (*p, *s), (*q, *t), result)
        }
        [a, b] => binary_operation(function, a, b, result),
        [a] => unary_operation(function, a, result),
        _ => None,
    }
}

fn decimal_operation(function: &str, (p, s): (u8, u8), (q, t): (u8, u8), result: &DataType) -> Option<Operation> {
    let to = result.as_decimal()?;
    Some(match function {
        "add" | "subtract" if s == t && to.1 == s => Operation::SameScale { subtract: function == "subtract" },
        "add" => Operation::Decimal(Helper::Add),
        "subtract" => Operation::Decimal(Helper::Subtract),
        "multiply" if p + q <= 38 && to.1 == s + t => Operation::ExactProduct,
        "multiply" => Operation::Decimal(Helper::Multiply),
        "divide" => Operation::Decimal(Helper::Divide),
        "mod" => Operation::Decimal(Helper::Remainder),
        "div" => Operation::Decimal(Helper::IntegralDivide),
        _ => return None,
    })
}

fn binary_operation(function: &str, a: &DataType, b: &DataType, result: &DataType) -> Option<Operation> {
    use DataType::{Date, Double, Duration, Long, Timestamp, TimestampNtz};
    let numbers = a == b && (a.is_integer() || a.is_floating());
    let moment = |t: &DataType| matches!(t, Timestamp | TimestampNtz | Duration);
    let same = numbers && a == result;
    Some(match function {
        "add" if same => Operation::Add,
        "subtract" if same => Operation::Subtract,
        "multiply" if same => Operation::Multiply,
        "add" if moment(a) && *b == Duration || *a == Duration && moment(b) => Operation::Add,
        "subtract" if moment(a) && (a == b || *b == Duration) => Operation::Subtract,
        "subtract" if (a, b) == (&Date, &Date) => Operation::DateDifference,
        "multiply" if (a, b) == (&Duration, &Long) || (a, b) == (&Long, &Duration) => Operation::Multiply,
        "divide" if same && a.is_floating() => Operation::Divide,
        "divide" if (a, b) == (&Duration, &Long) => Operation::DurationQuotient,
        "div" if same && a.is_integer() || (a, b) == (&Duration, &Duration) => Operation::Quotient,
        "mod" if same && a.is_integer() || (a, b) == (&Duration, &Duration) => Operation::Remainder,
        "mod" if same && a.is_floating() => Operation::FloatRemainder,
        "pmod" if same && !matches!(a, DataType::Decimal { .. }) => Operation::PositiveRemainder,
        "log" => Operation::LogarithmToBase,
        "nanvl" => Operation::NanOr,
        "shiftleft" => Operation::Shift(Shift::Left),
        "shiftright" => Operation::Shift(Shift::Right),
        "shiftrightunsigned" => Operation::Shift(Shift::RightUnsigned),
        "bit_and" if same && a.is_integer() => Operation::Bits(Bits::And),
        "bit_or" if same && a.is_integer() => Operation::Bits(Bits::Or),
        "bit_xor" if same && a.is_integer() => Operation::Bits(Bits::Xor),
        "bit_get" if *a == Long => Operation::BitGet,
        _ if (a, b) == (&Double, &Double) => Operation::OfDoubles(Helper::of_doubles(function)?),
        _ => return None,
    })
}

/// Operations of any number of operands of one type.
fn any_type_operation(function: &str, args: &[&DataType], result: &DataType) -> Option<Operation> {
    let one_type = !args.is_empty() && args.iter().all(|a| *a == result);
    match (function, args) {
        ("greatest", _) if one_type => Some(Operation::Extreme(Order::Greater)),
        ("least", _) if one_type => Some(Operation::Extreme(Order::Less)),
        ("clamp", [_, _, _]) if one_type => Some(Operation::Clamp),
        ("nvl" | "ifnull", [_, _]) if one_type => Some(Operation::Nvl),
        ("nullif", [_, _]) if one_type => Some(Operation::NullIf),
        ("nullifzero", [_]) if one_type => Some(Operation::NullIfZero),
        ("equal_null", [a, b]) if a == b => Some(Operation::EqualNull),
        _ => None,
    }
}

fn constant(function: &str) -> Option<Operation> {
    match function {
        "pi" => Some(Operation::Constant(std::f64::consts::PI)),
        "e" => Some(Operation::Constant(std::f64::consts::E)),
        "now" | "current_timestamp" => Some(Operation::Now),
        "current_date" => Some(Operation::Today),
        _ => None,
    }
}

fn datetime_operation(function: &str, args: &[&DataType], result: &DataType) -> Option<Operation> {
    use DataType::{Date, Double, Integer, Long, Timestamp, TimestampNtz};
    let part = |part| Some(Operation::DatePart(part));
    match (function, args) {
        ("date" | "to_date" | "timestamp" | "to_timestamp", [a]) => {
            conversion(a, result).is_some().then_some(Operation::Convert)
        }
        ("timestamp_millis", [Long]) => Some(Operation::Scale(1000)),
        ("timestamp_seconds", [Long]) => Some(Operation::Scale(MICROS_PER_SECOND)),
        ("timestamp_seconds", [Double]) => Some(Operation::Convert),
        ("timestamp_micros", [Long]) | ("unix_micros", [Timestamp]) => Some(Operation::Same),
        ("unix_date", [Date]) | ("date_from_unix_date", [Integer]) => Some(Operation::Same),
        ("unix_millis", [Timestamp]) => Some(Operation::FloorDivide(1000)),
        ("unix_seconds" | "unix_timestamp", [Timestamp]) => Some(Operation::FloorDivide(MICROS_PER_SECOND)),
        ("year", [Date | Timestamp | TimestampNtz]) => part(DatePart::Year),
        ("quarter", [Date | Timestamp | TimestampNtz]) => part(DatePart::Quarter),
        ("month", [Date | Timestamp | TimestampNtz]) => part(DatePart::Month),
        ("day" | "dayofmonth", [Date | Timestamp | TimestampNtz]) => part(DatePart::Day),
        ("dayofweek", [Date | Timestamp | TimestampNtz]) => part(DatePart::DayOfWeek),
        ("weekday", [Date | Timestamp | TimestampNtz]) => part(DatePart::Weekday),
        ("dayofyear", [Date | Timestamp | TimestampNtz]) => part(DatePart::DayOfYear),
        ("weekofyear", [Date | Timestamp | TimestampNtz]) => part(DatePart::Week),
        ("yearofweek", [Date | Timestamp | TimestampNtz]) => part(DatePart::WeekYear),
        ("last_day", [Date]) => part(DatePart::LastDay),
        ("hour", [Timestamp | TimestampNtz]) => Some(Operation::TimePart(3600, 24)),
        ("minute", [Timestamp | TimestampNtz]) => Some(Operation::TimePart(60, 60)),
        ("second", [Timestamp | TimestampNtz]) => Some(Operation::TimePart(1, 60)),
        ("date_add", [Date, Integer]) => Some(Operation::MoveDays { back: false }),
        ("date_sub", [Date, Integer]) => Some(Operation::MoveDays { back: true }),
        ("add_months", [Date, Integer]) => Some(Operation::MoveMonths),
        ("datediff" | "date_diff", [Date, Date]) => Some(Operation::DaysBetween),
        _ => None,
    }
}

/// Rounding down to a unit that is a constant.
fn truncation(function: &str, args: &[Expr]) -> Option<Operation> {
    let ("date_trunc", [unit, _]) = (function, args) else { return None };
    let ExprKind::Literal(Value::String(unit)) = &unit.kind else { return None };
    Some(Operation::Truncate(match unit.to_ascii_uppercase().as_str() {
        "DAY" | "DD" => MICROS_PER_DAY,
        "HOUR" => 3600 * MICROS_PER_SECOND,
        "MINUTE" => 60 * MICROS_PER_SECOND,
        "SECOND" => MICROS_PER_SECOND,
        "MILLISECOND" => 1000,
        "MICROSECOND" => 1,
        _ => return None,
    }))
}

fn unary_operation(function: &str, a: &DataType, result: &DataType) -> Option<Operation> {
    let number = a == result && (a.is_numeric() || *a == DataType::Duration);
    let double = *a == DataType::Double;
    Some(match function {
        "negate" if number => Operation::Negate,
        "abs" if number => Operation::Abs,
        "ceil" | "floor" if *a == DataType::Long => Operation::Same,
        "ceil" if double => Operation::RoundToLong(FloatInstruction::Ceil),
        "floor" if double => Operation::RoundToLong(FloatInstruction::Floor),
        "sqrt" if double => Operation::Instruction(FloatInstruction::Sqrt),
        "rint" if double => Operation::Instruction(FloatInstruction::Nearest),
        "sign" if double => Operation::Sign,
        "isnan" if double => Operation::IsNan,
        "ln" | "log" if double => Operation::Logarithm(Helper::Ln, 0.0),
        "log2" if double => Operation::Logarithm(Helper::Log2, 0.0),
        "log10" if double => Operation::Logarithm(Helper::Log10, 0.0),
        "log1p" if double => Operation::Logarithm(Helper::Log1p, -1.0),
        "bit_not" if a.is_integer() => Operation::BitNot,
        "bit_count" if *a == DataType::Long => Operation::BitCount,
        _ if double => Operation::OfDoubles(Helper::of_doubles(function)?),
        _ => return None,
    })
}

/// The operation behind a call expression.
pub(crate) fn operation_of(function: &str, args: &[Expr], result: &DataType) -> Option<Operation> {
    if let Some(truncation) = truncation(function, args) {
        return Some(truncation);
    }
    let types: Vec<&DataType> = args.iter().map(|a| &a.ty.data).collect();
    operation(function, &types, result)
}

/// Whether this form, apart from what is inside it, becomes machine code.
pub(crate) fn form_compiles(e: &Expr) -> bool {
    let fixed = |t: &Type| t.data.is_fixed_width();
    match &e.kind {
        ExprKind::IsNull(x) if matches!(x.kind, ExprKind::Column(_)) => true,
        ExprKind::Field { .. } | ExprKind::Struct(_) | ExprKind::Array(_) => false,
        _ if !fixed(&e.ty) => false,
        ExprKind::Call { function, args } => operation_of(function.name, args, &e.ty.data).is_some(),
        ExprKind::Cast { value, .. } if value.ty.data == DataType::Null => is_null_literal(value),
        ExprKind::Cast { value, .. } => conversion(&value.ty.data, &e.ty.data).is_some(),
        ExprKind::InList { value, list } => fixed(&value.ty) && list.len() <= LONGEST_LIST,
        ExprKind::IsNull(x) => fixed(&x.ty),
        ExprKind::Coalesce(operands) => !operands.is_empty(),
        _ => true,
    }
}

/// Whether the whole expression becomes machine code.
pub(crate) fn compiles(e: &Expr) -> bool {
    form_compiles(e) && operands(e).into_iter().all(compiles)
}

/// The expressions inside that machine code computes: the validity of a column and the null literal need none.
pub(crate) fn operands(e: &Expr) -> Vec<&Expr> {
    match &e.kind {
        ExprKind::IsNull(x) if matches!(x.kind, ExprKind::Column(_)) => vec![],
        ExprKind::Cast { value, .. } if is_null_literal(value) => vec![],
        ExprKind::Call { function, args } if truncation(function.name, args).is_some() => vec![&args[1]],
        _ => e.children(),
    }
}

fn is_null_literal(e: &Expr) -> bool {
    matches!(e.kind, ExprKind::Literal(Value::Null))
}

/// Whether a row may fail in it. May say so of an expression that never fails.
pub(crate) fn may_fail(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Try(_) => false,
        ExprKind::Call { function, args } => {
            let floats = e.ty.data.is_floating() && args.iter().all(|a| a.ty.data.is_floating());
            let total = floats && operation_of(function.name, args, &e.ty.data).is_some();
            let total = total || range::never_fails(function.name, args, &e.ty.data, &OnlyTypes);
            (function.fails && !total) || args.iter().any(may_fail)
        }
        ExprKind::Cast { value, on_failure } => *on_failure == flowc_ir::CastFailure::Error || may_fail(value),
        _ => e.children().into_iter().any(may_fail),
    }
}
