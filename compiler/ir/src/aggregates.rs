//! The aggregate functions: names, signatures, documentation. How they are computed is the runtime's matter; what they mean is said here.

use crate::types::{DataType, Type};
use serde::{Deserialize, Serialize};

/// An aggregate function. Nulls are ignored unless the text says otherwise; over no rows the result is null, for counts 0, for collections empty.
/// "First" and "last" are by the order of the input: source range, then row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFunction {
    /// `count()`: all rows. `count(x)`: rows where x is not null. long.
    Count,
    /// Different values that are not null. long.
    CountDistinct,
    /// The same, by HyperLogLog++ (relative standard error 1.6% or less, deterministic). long.
    ApproxCountDistinct,
    /// The sum; integers: long, overflow fails; decimals: decimal(min(38, p + 10), s); floats: double, correctly rounded whatever the order of the rows.
    Sum,
    /// The mean; decimals: decimal(min(38, p + 4), min(s + 4, …)) as Spark; others: double.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value in the first row, null included.
    First,
    /// The value in the last row, null included.
    Last,
    /// `min_by(x, y)`: x in the first row where y is least; rows with null y are ignored.
    MinBy,
    /// `max_by(x, y)`: x in the first row where y is greatest; rows with null y are ignored.
    MaxBy,
    /// Sample standard deviation; null for fewer than two values. double.
    Stddev,
    /// Sample variance; null for fewer than two values. double.
    Variance,
    /// The values that are not null, in the order of the input.
    CollectList,
    /// Different values that are not null, in the order of their first appearance.
    CollectSet,
    /// `percentile(x, 0.95)`: exact, with linear interpolation, as Spark. double.
    Percentile,
}

/// Name, signature and documentation of an aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AggregateInfo {
    /// Which.
    pub function: AggregateFunction,
    /// As it is written.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What it yields.
    pub doc: &'static str,
}

use AggregateFunction::*;

/// All aggregate functions, in the order of the reference.
pub const ALL: &[AggregateInfo] = &[
    AggregateInfo {
        function: Count,
        name: "count",
        signature: "count() -> long, count(x: T) -> long",
        doc: "Rows, or rows where `x` is not null.",
    },
    AggregateInfo {
        function: CountDistinct,
        name: "count_distinct",
        signature: "count_distinct(x: T) -> long",
        doc: "Different values that are not null.",
    },
    AggregateInfo {
        function: ApproxCountDistinct,
        name: "approx_count_distinct",
        signature: "approx_count_distinct(x: T) -> long",
        doc: "Different values that are not null, estimated by HyperLogLog++ in a fixed amount of memory.",
    },
    AggregateInfo {
        function: Sum,
        name: "sum",
        signature: "sum(x: N) -> N",
        doc: "The sum: `long` for integers (overflow fails), a wider decimal for decimals, `double` for floats, correctly rounded whatever the order of the rows.",
    },
    AggregateInfo {
        function: Avg,
        name: "avg",
        signature: "avg(x: N) -> double",
        doc: "The mean; a decimal for decimals.",
    },
    AggregateInfo { function: Min, name: "min", signature: "min(x: O) -> O", doc: "The least value." },
    AggregateInfo {
        function: Max,
        name: "max",
        signature: "max(x: O) -> O",
        doc: "The greatest value; NaN is the greatest double.",
    },
    AggregateInfo {
        function: First,
        name: "first",
        signature: "first(x: T) -> T",
        doc: "The value in the first row, null included.",
    },
    AggregateInfo {
        function: Last,
        name: "last",
        signature: "last(x: T) -> T",
        doc: "The value in the last row, null included.",
    },
    AggregateInfo {
        function: MinBy,
        name: "min_by",
        signature: "min_by(x: T, y: O) -> T",
        doc: "`x` in the first row where `y` is least.",
    },
    AggregateInfo {
        function: MaxBy,
        name: "max_by",
        signature: "max_by(x: T, y: O) -> T",
        doc: "`x` in the first row where `y` is greatest.",
    },
    AggregateInfo {
        function: Stddev,
        name: "stddev",
        signature: "stddev(x: N) -> double?",
        doc: "Sample standard deviation; null for fewer than two values.",
    },
    AggregateInfo {
        function: Variance,
        name: "variance",
        signature: "variance(x: N) -> double?",
        doc: "Sample variance; null for fewer than two values.",
    },
    AggregateInfo {
        function: CollectList,
        name: "collect_list",
        signature: "collect_list(x: T) -> array<T>",
        doc: "The values that are not null, in the order of the input.",
    },
    AggregateInfo {
        function: CollectSet,
        name: "collect_set",
        signature: "collect_set(x: T) -> array<T>",
        doc: "The different values that are not null, in the order of their first appearance.",
    },
    AggregateInfo {
        function: Percentile,
        name: "percentile",
        signature: "percentile(x: N, fraction: double) -> double",
        doc: "The exact percentile with linear interpolation; `fraction` is a constant from 0 to 1.",
    },
];

impl AggregateFunction {
    /// The function of this name.
    pub fn find(name: &str) -> Option<AggregateFunction> {
        ALL.iter().find(|a| a.name == name).map(|a| a.function)
    }

    /// Its entry.
    pub fn info(self) -> &'static AggregateInfo {
        ALL.iter().find(|a| a.function == self).unwrap_or(&ALL[0])
    }

    /// How many column operands it takes, least and most (percentile's fraction is a constant besides).
    pub fn arity(self) -> (usize, usize) {
        match self {
            Count => (0, 1),
            MinBy | MaxBy => (2, 2),
            _ => (1, 1),
        }
    }

    /// The type of the result for operands of these types; none if they do not fit. `nonempty`: every group has a row that the filter lets in.
    pub fn result_type(self, args: &[Type], nonempty: bool) -> Option<Type> {
        let arg = args.first();
        let carried = |t: &Type| Type { data: t.data.clone(), nullable: t.nullable || !nonempty };
        Some(match self {
            Count | CountDistinct | ApproxCountDistinct => Type::new(DataType::Long),
            Sum => carried(&Type { data: sum_type(&arg?.data)?, nullable: arg?.nullable }),
            Avg => carried(&Type { data: average_type(&arg?.data)?, nullable: arg?.nullable }),
            Min | Max => arg?.data.is_orderable().then(|| carried(arg.unwrap_or(&args[0])))?,
            First | Last => carried(arg?),
            MinBy | MaxBy => {
                let by = args.get(1)?;
                by.data.is_orderable().then(|| Type {
                    data: args[0].data.clone(),
                    nullable: args[0].nullable || by.nullable || !nonempty,
                })?
            }
            Stddev | Variance => arg?.data.is_numeric().then(|| Type::nullable(DataType::Double))?,
            CollectList | CollectSet => Type::new(DataType::Array(Box::new(Type::new(arg?.data.clone())))),
            Percentile => {
                arg?.data.is_numeric().then(|| carried(&Type { data: DataType::Double, nullable: args[0].nullable }))?
            }
        })
    }
}

fn sum_type(arg: &DataType) -> Option<DataType> {
    match arg {
        d if d.is_integer() => Some(DataType::Long),
        DataType::Decimal { precision, scale } => {
            Some(DataType::Decimal { precision: (precision + 10).min(38), scale: *scale })
        }
        DataType::Float | DataType::Double => Some(DataType::Double),
        DataType::Duration => Some(DataType::Duration),
        _ => None,
    }
}

fn average_type(arg: &DataType) -> Option<DataType> {
    match arg {
        DataType::Decimal { precision, scale } => {
            let (precision, scale) = (u16::from(*precision) + 4, u16::from(*scale) + 4);
            // Spark's rule: beyond 38 digits, digits after the point are given up first, but not the digits before it.
            let precision_kept = precision.min(38);
            let scale_kept = scale.min(precision_kept - (precision - scale).min(precision_kept));
            Some(DataType::Decimal { precision: precision_kept as u8, scale: scale_kept as u8 })
        }
        d if d.is_numeric() => Some(DataType::Double),
        _ => None,
    }
}
