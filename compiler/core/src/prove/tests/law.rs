//! The law of the prover, on generated columns, definitions, facts and rows: what a row computes is what the prover says is possible, for every expression;
//! what it calls proved is true of each row that gets there and never fails, what it calls refuted is true of none, and its witness really fails.
//!
//! A seed that fails is printed; `FLOWC_SEED=<seed>` runs it alone, `FLOWC_PROOFS=<count>` runs more of them.

use crate::prove::decide::{Question, Verdict};
use crate::prove::knowledge::{Knowledge, Reason};
use crate::prove::set::{at_ordinal, ordinal};
use flowc_ir::eval::EvalContext;
use flowc_ir::interpret::eval;
use flowc_ir::testgen::{Generator, Options};
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, Field, Origin, Type, Value, functions};
use std::collections::BTreeSet;

const CASES: u64 = 1_500;

/// So many rows are tried for each case.
const ROWS: usize = 60;

#[derive(Debug, Default)]
struct Counts {
    rows: usize,
    proved: usize,
    refuted: usize,
    open: usize,
    unreachable: usize,
    narrow: usize,
}

fn types(g: &mut Generator) -> Vec<Type> {
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let all = [
        DataType::Boolean,
        DataType::Integer,
        DataType::Integer,
        DataType::Long,
        DataType::Byte,
        DataType::Double,
        DataType::Double,
        DataType::Float,
        decimal(10, 2),
        decimal(5, 0),
        DataType::Date,
        DataType::Timestamp,
        DataType::Duration,
        DataType::String,
        DataType::Array(Box::new(Type::nullable(DataType::Integer))),
    ];
    let count = 2 + g.below(4);
    (0..count).map(|_| Type { data: g.pick(&all).clone(), nullable: g.once_in(2) }).collect()
}

/// A case: what is known, how its values come about, and a question.
struct Case {
    known: Knowledge,
    columns: Vec<Type>,
    /// Values that are computed, over those before.
    definitions: Vec<Expr>,
    /// Conditions, and whether flowc tests them or a table promises them. A condition sees this many values.
    conditions: Vec<(Expr, bool)>,
    goal: Expr,
    /// Constants that matter.
    constants: Vec<(DataType, Value)>,
}

fn at(kind: ExprKind, data: DataType, nullable: bool) -> Expr {
    Expr::new(kind, Type { data, nullable }, Origin::default())
}

fn call(name: &str, args: Vec<Expr>) -> Option<Expr> {
    let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
    let resolution = functions::resolve(name, &types).ok()?;
    let widened = args.into_iter().zip(&resolution.parameters).map(|(arg, parameter)| {
        if arg.ty.data == parameter.data {
            return arg;
        }
        let nullable = arg.ty.nullable;
        let kind = ExprKind::Cast { value: Box::new(arg), on_failure: CastFailure::Never };
        at(kind, parameter.data.clone(), nullable)
    });
    let kind = ExprKind::Call { function: resolution.function, args: widened.collect() };
    Some(Expr::new(kind, resolution.result, Origin::default()))
}

/// Conditions as people write them: on columns, small sums and products of them, against constants and each other.
struct Conditions<'g> {
    g: &'g mut Generator,
    columns: Vec<Type>,
    constants: Vec<(DataType, Value)>,
}

impl Conditions<'_> {
    fn column(&mut self) -> Expr {
        let index = self.g.below(self.columns.len());
        let ty = self.columns[index].clone();
        at(ExprKind::Column(index), ty.data, ty.nullable)
    }

    fn constant(&mut self, data: &DataType) -> Expr {
        let small = [0, 1, -1, 2, 5, 10, 100, -40];
        let known: Vec<Value> = self.constants.iter().filter(|(d, _)| d == data).map(|(_, v)| v.clone()).collect();
        let value = match data {
            _ if !known.is_empty() && self.g.once_in(2) => self.g.pick(&known).clone(),
            DataType::Double => Value::Double(*self.g.pick(&[0.0, -0.0, 1.0, 0.5, -2.5, 100.0, f64::INFINITY, 9.3e18])),
            DataType::Float => Value::Float(*self.g.pick(&[0.0, 1.0, 0.1, -2.5, 100.0])),
            DataType::Integer | DataType::Long | DataType::Byte | DataType::Decimal { .. } => {
                at_ordinal(data, *self.g.pick(&small)).expect("it is small")
            }
            other => self.g.value(&Type::new(other.clone())),
        };
        self.constants.push((data.clone(), value.clone()));
        at(ExprKind::Literal(value), data.clone(), false)
    }

    fn operand(&mut self, depth: usize) -> Expr {
        let column = self.column();
        let data = column.ty.data.clone();
        if depth == 0 || self.g.once_in(2) {
            return column;
        }
        if self.g.once_in(6) {
            return self.g.expression(&self.columns.clone(), &data);
        }
        let other = if self.g.once_in(2) { self.operand(depth - 1) } else { self.constant(&data) };
        let name = *self.g.pick(&[
            "add",
            "subtract",
            "multiply",
            "divide",
            "div",
            "mod",
            "pmod",
            "greatest",
            "least",
            "nvl",
            "clamp",
            "negate",
            "abs",
            "floor",
            "ceil",
            "sqrt",
            "year",
            "month",
            "unix_millis",
            "date",
            "length",
            "round",
        ]);
        let made = match name {
            "clamp" => {
                let high = self.constant(&data);
                call(name, vec![column.clone(), other, high])
            }
            "negate" | "abs" | "floor" | "ceil" | "sqrt" | "year" | "month" | "unix_millis" | "date" | "length"
            | "round" => call(name, vec![column.clone()]),
            _ => call(name, vec![column.clone(), other]),
        };
        let branch = self.g.once_in(8).then(|| self.condition(depth - 1));
        match (made, branch) {
            (Some(made), Some(condition)) if made.ty.data == column.ty.data => {
                let (data, nullable) = (made.ty.data.clone(), made.ty.nullable || column.ty.nullable);
                let parts = (Box::new(condition), Box::new(made), Box::new(column));
                at(ExprKind::If { condition: parts.0, then: parts.1, otherwise: parts.2 }, data, nullable)
            }
            (made, _) => made.unwrap_or(column),
        }
    }

    fn condition(&mut self, depth: usize) -> Expr {
        let boolean = |kind| at(kind, DataType::Boolean, true);
        match self.g.below(12) {
            0 if depth > 0 => boolean(ExprKind::And(vec![self.condition(depth - 1), self.condition(depth - 1)])),
            1 if depth > 0 => boolean(ExprKind::Or(vec![self.condition(depth - 1), self.condition(depth - 1)])),
            2 if depth > 0 => boolean(ExprKind::Not(Box::new(self.condition(depth - 1)))),
            3 => {
                let null = at(ExprKind::IsNull(Box::new(self.operand(depth))), DataType::Boolean, false);
                if self.g.once_in(2) { null } else { boolean(ExprKind::Not(Box::new(null))) }
            }
            4 => {
                let value = self.operand(depth);
                let list: Vec<Expr> = (0..1 + self.g.below(3)).map(|_| self.constant(&value.ty.data.clone())).collect();
                let list = list.into_iter().filter_map(|e| match e.kind {
                    ExprKind::Literal(value) => Some(value),
                    _ => None,
                });
                boolean(ExprKind::InList { list: list.collect(), value: Box::new(value) })
            }
            5 if self.g.once_in(3) => self.g.expression(&self.columns.clone(), &DataType::Boolean),
            6 => {
                let inner = self.condition(depth.saturating_sub(1));
                let no = at(ExprKind::Literal(Value::Boolean(self.g.once_in(2))), DataType::Boolean, false);
                boolean(ExprKind::Coalesce(vec![inner, no]))
            }
            _ => {
                let left = self.operand(depth);
                let right = if self.g.once_in(3) { self.operand(depth) } else { self.constant(&left.ty.data.clone()) };
                let name = *self.g.pick(&[
                    "less",
                    "less_equal",
                    "greater",
                    "greater_equal",
                    "equal",
                    "not_equal",
                    "equal_null",
                ]);
                let data = left.ty.data.clone();
                let compared = call(name, vec![left.clone(), right]);
                let with_constant = |this: &mut Self| call(name, vec![left.clone(), this.constant(&data)]);
                let found = compared.or_else(|| with_constant(self));
                found.unwrap_or_else(|| at(ExprKind::IsNull(Box::new(left)), DataType::Boolean, false))
            }
        }
    }
}

fn reason(text: &str) -> Reason {
    Reason { text: text.into(), source: "test".into(), origin: None, promise: None }
}

fn case(g: &mut Generator) -> Case {
    let columns = types(g);
    let fields: Vec<Field> =
        columns.iter().enumerate().map(|(i, ty)| Field::new(format!("c{i}"), ty.clone())).collect();
    let mut known = Knowledge::default();
    known.read(&fields, &|f| reason(&f.name));
    let mut make = Conditions { g, columns: columns.clone(), constants: vec![] };
    let mut definitions = vec![];
    let mut conditions = vec![];
    for _ in 0..1 + make.g.below(5) {
        if make.g.once_in(3) {
            let value = make.operand(2);
            let variable = known.defined(known.over(&value), Some(reason("definition")));
            known.columns.push(variable);
            make.columns.push(value.ty.clone());
            definitions.push(value);
        } else {
            let condition = make.condition(2);
            let evaluated = !make.g.once_in(3);
            let over = known.over(&condition);
            known.learn(&over, evaluated, &|_| vec![reason("fact")]);
            conditions.push((condition, evaluated));
        }
    }
    let goal = match make.g.once_in(4) && !conditions.is_empty() {
        // Something that is near to what is known.
        true => conditions[make.g.below(conditions.len())].0.clone(),
        false => make.condition(2),
    };
    let constants = make.constants;
    Case { known, columns, definitions, conditions, goal, constants }
}

/// The values of a row, computed ones too; none if it does not get there.
fn reaches(case: &Case, row: &[Value]) -> Option<Vec<Value>> {
    let context = EvalContext::default();
    let mut all = row.to_vec();
    for definition in &case.definitions {
        all.push(eval(definition, &all, &context).ok()?);
    }
    for (condition, evaluated) in &case.conditions {
        match eval(condition, &all, &context) {
            Ok(Value::Boolean(true)) => {}
            // What a table promises was computed by someone who does not fail where flowc does; each part of it for itself.
            _ if !evaluated => {
                for part in crate::optimize::analysis::conjuncts(condition) {
                    if !matches!(eval(part, &all, &context), Ok(Value::Boolean(true)) | Err(_)) {
                        return None;
                    }
                }
            }
            _ => return None,
        }
    }
    Some(all)
}

fn value_near(g: &mut Generator, ty: &Type, constants: &[(DataType, Value)]) -> Value {
    if ty.nullable && g.once_in(6) {
        return Value::Null;
    }
    let fitting: Vec<&Value> = constants.iter().filter(|(d, _)| *d == ty.data).map(|(_, v)| v).collect();
    if fitting.is_empty() || g.once_in(3) {
        return g.value(&Type::new(ty.data.clone()));
    }
    let value = (*g.pick(&fitting)).clone();
    let by = *g.pick(&[0, 0, 1, -1, 3]);
    match ordinal(&value) {
        Some(at) if by != 0 => at_ordinal(&ty.data, at + by).unwrap_or(value),
        _ if value == Value::Double(0.0) && g.once_in(2) => Value::Double(-0.0),
        _ => value,
    }
}

/// What a value of this expression can be, against what it is.
fn holds(case: &Case, e: &Expr, rows: &[Vec<Value>], counts: &mut Counts) -> Result<(), String> {
    let over = case.known.over(e);
    let relevant = case.known.relevant(&over);
    let question = Question::new(&case.known, &over, &relevant, &BTreeSet::new());
    if question.terms.is_full() {
        return Ok(());
    }
    let answer = question.state().ask(question.goal);
    counts.narrow += usize::from(answer.set != crate::prove::set::Set::any(&e.ty.data));
    for row in rows {
        let told = || format!("{e:?}\nis, of {row:?},\n");
        match eval(e, row, &EvalContext::default()) {
            _ if answer.impossible => return Err(format!("{} though no row is possible", told())),
            Ok(Value::Null) if !answer.set.null => return Err(format!("{} null, not in {:?}", told(), answer.set)),
            Ok(value) if !value.is_null() && !answer.set.values.contains(&value) => {
                return Err(format!("{} {value:?}, not in {:?}", told(), answer.set));
            }
            Err(failed) if !answer.fails => return Err(format!("{} failing with {failed:?}", told())),
            _ => {}
        }
    }
    Ok(())
}

fn judged(case: &Case, rows: &[Vec<Value>], counts: &mut Counts) -> Result<(), String> {
    let context = EvalContext::default();
    let outcomes = rows.iter().map(|row| (row, eval(&case.goal, row, &context)));
    match case.known.decide(&case.goal) {
        Verdict::Proved(_) => {
            counts.proved += 1;
            for (row, outcome) in outcomes {
                if !matches!(outcome, Ok(Value::Boolean(true))) {
                    return Err(format!("proved, but {outcome:?} of {row:?}"));
                }
            }
        }
        Verdict::Refuted { witness, .. } => {
            counts.refuted += 1;
            for (row, outcome) in outcomes {
                if matches!(outcome, Ok(Value::Boolean(true))) {
                    return Err(format!("refuted, but true of {row:?}"));
                }
            }
            let row: Vec<Value> = (0..case.columns.len())
                .map(|i| witness.get(&case.known.columns[i]).cloned().unwrap_or(Value::Null))
                .collect();
            let asked = crate::optimize::analysis::columns_of(&case.goal);
            if asked.iter().all(|c| witness.contains_key(&case.known.columns[*c]))
                && witness.len() == case.known.variables.len()
            {
                let Some(all) = reaches(case, &row) else {
                    return Err(format!("the witness {row:?} does not fulfil the facts"));
                };
                let outcome = eval(&case.goal, &all, &context);
                if !matches!(outcome, Ok(Value::Boolean(false) | Value::Null)) {
                    return Err(format!("the witness {row:?} gives {outcome:?}"));
                }
            }
        }
        Verdict::Open => counts.open += 1,
        Verdict::Unreachable(_) => {
            counts.unreachable += 1;
            if let Some(row) = rows.first() {
                return Err(format!("unreachable, but {row:?} gets there"));
            }
        }
    }
    Ok(())
}

fn one(seed: u64, counts: &mut Counts) {
    let mut g = Generator::new(seed, Options { depth: 3, ..Options::default() });
    let case = case(&mut g);
    let mut rows = vec![];
    for _ in 0..ROWS {
        let row: Vec<Value> = case.columns.iter().map(|ty| value_near(&mut g, ty, &case.constants)).collect();
        rows.extend(reaches(&case, &row));
    }
    counts.rows += rows.len();
    let mut parts = vec![case.goal.clone()];
    parts.extend(case.goal.children().into_iter().cloned());
    parts.extend((0..case.known.columns.len()).map(|i| {
        let data = case.known.variables[case.known.columns[i]].data.clone();
        at(ExprKind::Column(i), data, true)
    }));
    let known: Vec<Type> = parts[parts.len() - case.known.columns.len()..].iter().map(|e| e.ty.clone()).collect();
    let data = g.data_type();
    parts.push(g.expression(&known, &data));
    let mut results = vec![judged(&case, &rows, counts)];
    // A part of a `let` cannot stand alone.
    let bound = |e: &Expr| {
        let mut local = false;
        e.walk(&mut |e| local |= matches!(e.kind, ExprKind::Local(_)));
        local && !matches!(e.kind, ExprKind::Let { .. })
    };
    results.extend(parts.iter().filter(|e| !bound(e)).map(|e| holds(&case, e, &rows, counts)));
    for result in results {
        if let Err(why) = result {
            panic!(
                "FLOWC_SEED={seed}: {why}\ngoal {:?}\nconditions {:#?}\ndefinitions {:#?}",
                case.goal, case.conditions, case.definitions
            );
        }
    }
}

#[test]
fn no_row_contradicts_what_is_known() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let mut counts = Counts::default();
    if let Some(seed) = number("FLOWC_SEED") {
        one(seed, &mut counts);
        return;
    }
    let cases = number("FLOWC_PROOFS").unwrap_or(CASES);
    for seed in 0..cases {
        one(seed, &mut counts);
    }
    println!("{counts:?}");
    let (found, least) = ((counts.proved, counts.refuted, counts.rows), cases as usize);
    assert!(found.0 > least / 20 && found.1 > least / 50 && found.2 > least * 2, "too little was tested: {counts:?}");
}
