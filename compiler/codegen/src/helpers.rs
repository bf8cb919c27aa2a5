//! Functions that compiled code calls: what would be long in machine code, and what the interpreter takes from a library, so that both take the same.
//! Pure and total, without unwinding; only decimals of more than 53 bits, when they become doubles, pass through a text on the heap. Knows numbers only.

use cranelift::prelude::*;
use cranelift_codegen::isa::CallConv;
use flowc_ir::calendar;
use flowc_ir::functions::decimal;

/// A function that compiled code can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Helper {
    /// Decimal `a + b`.
    Add,
    /// Decimal `a - b`.
    Subtract,
    /// Decimal `a * b`.
    Multiply,
    /// Decimal `a / b`.
    Divide,
    /// Decimal `a % b`.
    Remainder,
    /// Decimal `a div b`: a long, in the low half.
    IntegralDivide,
    /// A decimal at another scale.
    Rescale,
    /// The order of two decimals: -1, 0 or 1.
    Compare,
    /// The double nearest to a decimal.
    DecimalToDouble,
    /// `a % b` of doubles.
    FloatRemainder,
    /// `pow`
    Pow,
    /// `atan2`
    Atan2,
    /// `hypot`
    Hypot,
    /// `cbrt`
    Cbrt,
    /// `exp`
    Exp,
    /// `expm1`
    Expm1,
    /// `sin`
    Sin,
    /// `cos`
    Cos,
    /// `tan`
    Tan,
    /// `asin`
    Asin,
    /// `acos`
    Acos,
    /// `atan`
    Atan,
    /// `sinh`
    Sinh,
    /// `cosh`
    Cosh,
    /// `tanh`
    Tanh,
    /// `degrees`
    Degrees,
    /// `radians`
    Radians,
    /// `ln` of a positive number
    Ln,
    /// `log2` of a positive number
    Log2,
    /// `log10` of a positive number
    Log10,
    /// `log1p` of a number above -1
    Log1p,
    /// A part of a day: the day, and the number of a [`crate::select::DatePart`].
    DatePart,
    /// The day so many months later: the day, and the months.
    AddMonths,
}

/// Scales and precision of a decimal operation in one word.
pub(crate) fn digits(left_scale: u8, right_scale: u8, to: decimal::Digits) -> i64 {
    i64::from(left_scale) | i64::from(right_scale) << 8 | i64::from(to.0) << 16 | i64::from(to.1) << 24
}

fn unpack(digits: u64) -> (u8, u8, decimal::Digits) {
    (digits as u8, (digits >> 8) as u8, ((digits >> 16) as u8, (digits >> 24) as u8))
}

fn wide(low: u64, high: u64) -> i128 {
    (u128::from(low) | u128::from(high) << 64) as i128
}

/// Stores what there is, and says whether nothing was there.
///
/// # Safety
/// `out` must be valid for writing 16 bytes, aligned to 8.
unsafe fn give(result: Option<i128>, out: *mut [u64; 2]) -> u64 {
    let v = result.unwrap_or(0) as u128;
    // SAFETY: the caller's promise.
    unsafe { *out = [v as u64, (v >> 64) as u64] };
    u64::from(result.is_none())
}

macro_rules! binary_decimal {
    ($($name:ident($a:ident, $b:ident, $s:ident, $t:ident, $to:ident) = $body:expr;)*) => {
        $(
            /// # Safety
            /// `out` must be valid for writing 16 bytes, aligned to 8.
            unsafe extern "C" fn $name(al: u64, ah: u64, bl: u64, bh: u64, digits: u64, out: *mut [u64; 2]) -> u64 {
                let ($a, $b) = (wide(al, ah), wide(bl, bh));
                #[allow(unused_variables)]
                let ($s, $t, $to) = unpack(digits);
                // SAFETY: the caller's promise.
                unsafe { give($body, out) }
            }
        )*
    };
}

binary_decimal! {
    add(a, b, s, t, to) = decimal::add((a, s), (b, t), to);
    subtract(a, b, s, t, to) = decimal::subtract((a, s), (b, t), to);
    multiply(a, b, s, t, to) = decimal::multiply((a, s), (b, t), to);
    divide(a, b, s, t, to) = if b == 0 { None } else { decimal::divide((a, s), (b, t), to) };
    remainder(a, b, s, t, to) = if b == 0 { None } else { decimal::remainder((a, s), (b, t), to) };
    integral_divide(a, b, s, t, to) = if b == 0 { None } else { decimal::integral_divide((a, s), (b, t)).map(i128::from) };
}

/// # Safety
/// `out` must be valid for writing 16 bytes, aligned to 8.
unsafe extern "C" fn rescale(low: u64, high: u64, digits: u64, out: *mut [u64; 2]) -> u64 {
    let (from, _, to) = unpack(digits);
    // SAFETY: the caller's promise.
    unsafe { give(decimal::rescale(wide(low, high), from, to), out) }
}

extern "C" fn compare(al: u64, ah: u64, bl: u64, bh: u64, digits: u64) -> i64 {
    let (s, t, _) = unpack(digits);
    decimal::compare((wide(al, ah), s), (wide(bl, bh), t)) as i64
}

extern "C" fn decimal_to_double(low: u64, high: u64, scale: u64) -> f64 {
    flowc_ir::cast::decimal_to_double(wide(low, high), scale as u8)
}

extern "C" fn date_part(days: i64, part: i64) -> i64 {
    use crate::select::DatePart as P;
    const PARTS: [P; 10] = [
        P::Year,
        P::Quarter,
        P::Month,
        P::Day,
        P::DayOfWeek,
        P::Weekday,
        P::DayOfYear,
        P::Week,
        P::WeekYear,
        P::LastDay,
    ];
    let Some(part) = PARTS.get(part as usize) else { return 0 };
    let (year, month, day) = calendar::civil_from_days(days);
    match part {
        P::Year => year,
        P::Quarter => (month + 2) / 3,
        P::Month => month,
        P::Day => day,
        P::DayOfWeek => (calendar::weekday(days) + 1) % 7 + 1,
        P::Weekday => calendar::weekday(days),
        P::DayOfYear => calendar::day_of_year(days),
        P::Week => calendar::iso_week(days).1,
        P::WeekYear => calendar::iso_week(days).0,
        P::LastDay => calendar::days_from_civil(year, month, calendar::days_in_month(year, month)),
    }
}

extern "C" fn add_months(days: i64, months: i64) -> i64 {
    calendar::add_months(days, months)
}

macro_rules! of_doubles {
    ($($name:ident($($x:ident),+) = $body:expr;)*) => {
        $(extern "C" fn $name($($x: f64),+) -> f64 { $body })*
    };
}

of_doubles! {
    float_remainder(a, b) = a % b;
    pow(a, b) = a.powf(b);
    atan2(a, b) = a.atan2(b);
    hypot(a, b) = a.hypot(b);
    cbrt(a) = a.cbrt();
    exp(a) = a.exp();
    expm1(a) = a.exp_m1();
    sin(a) = a.sin();
    cos(a) = a.cos();
    tan(a) = a.tan();
    asin(a) = a.asin();
    acos(a) = a.acos();
    atan(a) = a.atan();
    sinh(a) = a.sinh();
    cosh(a) = a.cosh();
    tanh(a) = a.tanh();
    degrees(a) = a.to_degrees();
    radians(a) = a.to_radians();
    ln(a) = a.ln();
    log2(a) = a.log2();
    log10(a) = a.log10();
    log1p(a) = a.ln_1p();
}

impl Helper {
    /// All of them; each stands at its own index.
    pub(crate) const ALL: [Helper; 33] = [
        Helper::Add,
        Helper::Subtract,
        Helper::Multiply,
        Helper::Divide,
        Helper::Remainder,
        Helper::IntegralDivide,
        Helper::Rescale,
        Helper::Compare,
        Helper::DecimalToDouble,
        Helper::FloatRemainder,
        Helper::Pow,
        Helper::Atan2,
        Helper::Hypot,
        Helper::Cbrt,
        Helper::Exp,
        Helper::Expm1,
        Helper::Sin,
        Helper::Cos,
        Helper::Tan,
        Helper::Asin,
        Helper::Acos,
        Helper::Atan,
        Helper::Sinh,
        Helper::Cosh,
        Helper::Tanh,
        Helper::Degrees,
        Helper::Radians,
        Helper::Ln,
        Helper::Log2,
        Helper::Log10,
        Helper::Log1p,
        Helper::DatePart,
        Helper::AddMonths,
    ];

    /// Its position among all.
    pub(crate) fn index(self) -> u32 {
        self as u32
    }

    /// The symbol it is linked by.
    pub(crate) fn symbol(self) -> String {
        format!("flowc_{self:?}")
    }

    /// Whether its result is 128 bits wide: written to a place given last, and what it returns says whether there is none.
    pub(crate) fn returns_wide(self) -> bool {
        use Helper::*;
        matches!(self, Add | Subtract | Multiply | Divide | Remainder | IntegralDivide | Rescale)
    }

    /// Its address.
    pub(crate) fn address(self) -> *const u8 {
        match self {
            Helper::Add => add as *const u8,
            Helper::Subtract => subtract as *const u8,
            Helper::Multiply => multiply as *const u8,
            Helper::Divide => divide as *const u8,
            Helper::Remainder => remainder as *const u8,
            Helper::IntegralDivide => integral_divide as *const u8,
            Helper::Rescale => rescale as *const u8,
            Helper::Compare => compare as *const u8,
            Helper::DecimalToDouble => decimal_to_double as *const u8,
            Helper::FloatRemainder => float_remainder as *const u8,
            Helper::Pow => pow as *const u8,
            Helper::Atan2 => atan2 as *const u8,
            Helper::Hypot => hypot as *const u8,
            Helper::Cbrt => cbrt as *const u8,
            Helper::Exp => exp as *const u8,
            Helper::Expm1 => expm1 as *const u8,
            Helper::Sin => sin as *const u8,
            Helper::Cos => cos as *const u8,
            Helper::Tan => tan as *const u8,
            Helper::Asin => asin as *const u8,
            Helper::Acos => acos as *const u8,
            Helper::Atan => atan as *const u8,
            Helper::Sinh => sinh as *const u8,
            Helper::Cosh => cosh as *const u8,
            Helper::Tanh => tanh as *const u8,
            Helper::Degrees => degrees as *const u8,
            Helper::Radians => radians as *const u8,
            Helper::Ln => ln as *const u8,
            Helper::Log2 => log2 as *const u8,
            Helper::Log10 => log10 as *const u8,
            Helper::Log1p => log1p as *const u8,
            Helper::DatePart => date_part as *const u8,
            Helper::AddMonths => add_months as *const u8,
        }
    }

    /// The function of the table that it computes, if it is one of doubles for all doubles.
    pub(crate) fn of_doubles(function: &str) -> Option<Helper> {
        use Helper::*;
        Some(match function {
            "pow" => Pow,
            "atan2" => Atan2,
            "hypot" => Hypot,
            "cbrt" => Cbrt,
            "exp" => Exp,
            "expm1" => Expm1,
            "sin" => Sin,
            "cos" => Cos,
            "tan" => Tan,
            "asin" => Asin,
            "acos" => Acos,
            "atan" => Atan,
            "sinh" => Sinh,
            "cosh" => Cosh,
            "tanh" => Tanh,
            "degrees" => Degrees,
            "radians" => Radians,
            _ => return None,
        })
    }

    /// How it is called.
    pub(crate) fn signature(self, conv: CallConv) -> Signature {
        use Helper::*;
        let (words, floats, result) = match self {
            Add | Subtract | Multiply | Divide | Remainder | IntegralDivide => (6, 0, types::I64),
            Rescale => (4, 0, types::I64),
            Compare => (5, 0, types::I64),
            DecimalToDouble => (3, 0, types::F64),
            DatePart | AddMonths => (2, 0, types::I64),
            FloatRemainder | Pow | Atan2 | Hypot => (0, 2, types::F64),
            _ => (0, 1, types::F64),
        };
        let mut signature = Signature::new(conv);
        signature.params.extend((0..words).map(|_| AbiParam::new(types::I64)));
        signature.params.extend((0..floats).map(|_| AbiParam::new(types::F64)));
        signature.returns.push(AbiParam::new(result));
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_stand_at_their_index() {
        for (i, helper) in Helper::ALL.iter().enumerate() {
            assert_eq!(helper.index() as usize, i);
        }
    }

    #[test]
    fn digits_round_trip() {
        assert_eq!(unpack(digits(3, 38, (38, 7)) as u64), (3, 38, (38, 7)));
    }
}
