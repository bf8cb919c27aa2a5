//! Expressions as terms: each different one once, in a form in which equal meanings look alike. A term stands behind its operands, so that going through
//! them in order meets operands first.
//!
//! What is said of a term is meant of its evaluation by itself, wherever it stands: the narrowed types of a branch are of no use here, and are not kept.

use crate::optimize::analysis::depends_on_epoch;
use crate::prove::set::is_followed;
use flowc_ir::cast::{cast_can_fail, cast_value};
use flowc_ir::eval::EvalContext;
use flowc_ir::functions::{self, Call, FunctionRef};
use flowc_ir::{CastFailure, DataType, Expr, ExprKind, LocalId, Type, Value};
use std::collections::{BTreeMap, HashMap};

/// The position of a term.
pub(crate) type TermId = usize;

/// The most terms that are looked at; what goes beyond is not followed.
pub(crate) const MOST_TERMS: usize = 1500;

/// What a term computes from its operands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Variable(usize),
    Literal(Value),
    Call(FunctionRef),
    And,
    Or,
    Not,
    IsNull,
    If,
    Coalesce,
    InList(Vec<Value>),
    Cast(CastFailure),
    Try,
    Field(usize),
    Struct,
    Array,
    /// Something that is not followed.
    Opaque,
}

/// A term.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub shape: Shape,
    pub args: Vec<TermId>,
    /// The type of its value.
    pub data: DataType,
    /// The types of its operands, as they may be null.
    pub types: Vec<Type>,
    /// Of a call: whether it can be null when no operand is.
    pub null_of_present: bool,
    /// Of a call: whether it can be null when all operands can.
    pub null_of_null: bool,
    /// Whether evaluating it can fail, by its form alone.
    pub total: bool,
    /// Whether it stands for a constant of the epoch.
    pub of_epoch: bool,
}

/// What makes a term the one that it is.
type Key = (ShapeKey, Vec<TermId>, DataType);

/// A shape that can be looked up. Values of constants are kept as text: `-0.0` and `0.0`, which are equal, are two of them, and so are values of different
/// types; most terms have none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ShapeKey {
    Plain(std::mem::Discriminant<Shape>),
    Variable(usize),
    Values(String),
    Call(&'static str),
    Cast(CastFailure),
    Field(usize),
}

impl ShapeKey {
    fn of(shape: &Shape) -> Self {
        match shape {
            Shape::Variable(variable) => ShapeKey::Variable(*variable),
            Shape::Literal(_) | Shape::InList(_) => ShapeKey::Values(format!("{shape:?}")),
            Shape::Call(function) => ShapeKey::Call(function.name),
            Shape::Cast(on_failure) => ShapeKey::Cast(*on_failure),
            Shape::Field(index) => ShapeKey::Field(*index),
            Shape::And
            | Shape::Or
            | Shape::Not
            | Shape::IsNull
            | Shape::If
            | Shape::Coalesce
            | Shape::Try
            | Shape::Struct
            | Shape::Array
            | Shape::Opaque => ShapeKey::Plain(std::mem::discriminant(shape)),
        }
    }
}

/// All terms of a question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    list: Vec<Term>,
    /// The terms by what they are made of; looked up, never gone through.
    known: HashMap<Key, TermId>,
}

impl std::ops::Index<TermId> for Terms {
    type Output = Term;
    fn index(&self, id: TermId) -> &Term {
        &self.list[id]
    }
}

/// What columns and variables of an expression stand for.
struct Scope<'a> {
    columns: &'a BTreeMap<usize, TermId>,
    locals: Vec<(LocalId, TermId)>,
}

impl Terms {
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// A variable of the rows.
    pub fn variable(&mut self, variable: usize, data: &DataType) -> TermId {
        self.add(Shape::Variable(variable), vec![], data.clone())
    }

    /// An expression, whose columns stand for these terms.
    pub fn expression(&mut self, e: &Expr, columns: &BTreeMap<usize, TermId>) -> TermId {
        self.term(e, &mut Scope { columns, locals: vec![] })
    }

    /// Whether there are too many terms for going on.
    pub fn is_full(&self) -> bool {
        self.list.len() > MOST_TERMS
    }

    fn opaque(&mut self, data: &DataType) -> TermId {
        // Each for itself: what is not known is equal to nothing.
        let number = self.list.len();
        let term = Term {
            shape: Shape::Opaque,
            args: vec![],
            data: data.clone(),
            types: vec![],
            null_of_present: true,
            null_of_null: true,
            total: false,
            of_epoch: false,
        };
        self.list.push(term);
        number
    }

    fn term(&mut self, e: &Expr, scope: &mut Scope<'_>) -> TermId {
        if self.is_full() {
            return self.opaque(&e.ty.data);
        }
        match &e.kind {
            ExprKind::Column(slot) => match scope.columns.get(slot) {
                Some(term) => *term,
                None => self.opaque(&e.ty.data),
            },
            ExprKind::Literal(value) => self.add(Shape::Literal(value.clone()), vec![], e.ty.data.clone()),
            ExprKind::Local(local) => match scope.locals.iter().rev().find(|(id, _)| id == local) {
                Some((_, term)) => *term,
                None => self.opaque(&e.ty.data),
            },
            ExprKind::Let { local, value, body } => {
                let value = self.term(value, scope);
                scope.locals.push((*local, value));
                let body = self.term(body, scope);
                scope.locals.pop();
                body
            }
            ExprKind::Call { function, .. } => {
                let args = self.children(e, scope);
                self.call(*function, args, &e.ty, depends_on_epoch(e))
            }
            ExprKind::And(_) => {
                let args = self.children(e, scope);
                self.connect(Shape::And, args)
            }
            ExprKind::Or(_) => {
                let args = self.children(e, scope);
                self.connect(Shape::Or, args)
            }
            ExprKind::Not(x) => {
                let x = self.term(x, scope);
                self.negation(x)
            }
            ExprKind::InList { list, .. } => {
                let args = self.children(e, scope);
                let mut list = list.clone();
                list.sort_by(Value::compare);
                list.dedup();
                self.add(Shape::InList(list), args, DataType::Boolean)
            }
            ExprKind::Cast { value, on_failure } => {
                let total = !cast_can_fail(&value.ty.data, &e.ty.data);
                let args = self.children(e, scope);
                if value.ty.data == e.ty.data {
                    return args[0];
                }
                if let Shape::Literal(constant) = &self[args[0]].shape
                    && let Ok(constant) = cast_value(constant, &value.ty.data, &e.ty.data)
                {
                    return self.add(Shape::Literal(constant), vec![], e.ty.data.clone());
                }
                let on_failure = if total { CastFailure::Never } else { *on_failure };
                self.add(Shape::Cast(on_failure), args, e.ty.data.clone())
            }
            kind => {
                let shape = match kind {
                    ExprKind::IsNull(_) => Shape::IsNull,
                    ExprKind::If { .. } => Shape::If,
                    ExprKind::Coalesce(_) => Shape::Coalesce,
                    ExprKind::Try(_) => Shape::Try,
                    ExprKind::Field { index, .. } => Shape::Field(*index),
                    ExprKind::Struct(_) => Shape::Struct,
                    ExprKind::Array(_) => Shape::Array,
                    _ => return self.opaque(&e.ty.data),
                };
                let args = self.children(e, scope);
                if let (Shape::Coalesce, Some((a, b))) = (&shape, self.same_or_null(&args)) {
                    return match functions::find("equal_null") {
                        Some(function) => self.call(function, vec![a, b], &Type::boolean(), false),
                        None => self.add(shape, args, e.ty.data.clone()),
                    };
                }
                self.add(shape, args, e.ty.data.clone())
            }
        }
    }

    /// `(a == b) ?? (a is null and b is null)`: null is equal to null.
    fn same_or_null(&self, args: &[TermId]) -> Option<(TermId, TermId)> {
        let [equal, nulls] = args else { return None };
        let (equal, nulls) = (&self[*equal], &self[*nulls]);
        let is_null_of = |id: &TermId, x: TermId| self[*id].shape == Shape::IsNull && self[*id].args == [x];
        let [a, b] = equal.args.as_slice() else { return None };
        let of_both = match nulls.shape {
            Shape::And => nulls.args.iter().any(|n| is_null_of(n, *a)) && nulls.args.iter().any(|n| is_null_of(n, *b)),
            Shape::IsNull => a == b && nulls.args == [*a],
            _ => false,
        };
        (equal.function() == Some("equal") && of_both && nulls.args.len() <= 2).then_some((*a, *b))
    }

    fn children(&mut self, e: &Expr, scope: &mut Scope<'_>) -> Vec<TermId> {
        e.children().into_iter().map(|child| self.term(child, scope)).collect()
    }

    /// A call, with one name for what is called in several ways.
    fn call(&mut self, function: FunctionRef, mut args: Vec<TermId>, ty: &Type, of_epoch: bool) -> TermId {
        let named = |name: &str| functions::find(name).unwrap_or(function);
        match (function.name, args.as_slice()) {
            ("greater", _) => {
                args.reverse();
                return self.call(named("less"), args, ty, of_epoch);
            }
            ("greater_equal", _) => {
                args.reverse();
                return self.call(named("less_equal"), args, ty, of_epoch);
            }
            ("not_equal", _) => {
                let equal = self.call(named("equal"), args, ty, of_epoch);
                return self.negation(equal);
            }
            ("equal" | "equal_null", [a, b]) if a > b => args.reverse(),
            ("isnull", _) => return self.add(Shape::IsNull, args, DataType::Boolean),
            ("isnotnull", _) => {
                let null = self.add(Shape::IsNull, args, DataType::Boolean);
                return self.negation(null);
            }
            ("nvl" | "ifnull", [_, other]) if self[*other].total => {
                return self.add(Shape::Coalesce, args, ty.data.clone());
            }
            ("date", [x]) if matches!(self[*x].data, DataType::Timestamp | DataType::TimestampNtz) => {
                return self.add(Shape::Cast(CastFailure::Never), args, DataType::Date);
            }
            _ => {}
        }
        if let Some(value) = self.folded(function, &args, ty, of_epoch) {
            return self.add(Shape::Literal(value), vec![], ty.data.clone());
        }
        let id = self.add(Shape::Call(function), args.clone(), ty.data.clone());
        let null_if = |nullable: bool| {
            let types: Vec<Type> = args.iter().map(|a| Type { data: self.list[*a].data.clone(), nullable }).collect();
            functions::resolve(function.name, &types).map_or(true, |r| r.result.nullable)
        };
        let (of_present, of_null) = (null_if(false), null_if(true));
        let term = &mut self.list[id];
        (term.null_of_present, term.null_of_null, term.of_epoch) = (of_present, of_null, of_epoch && args.is_empty());
        id
    }

    /// The value of a call of constants.
    fn folded(&self, function: FunctionRef, args: &[TermId], ty: &Type, of_epoch: bool) -> Option<Value> {
        if of_epoch {
            return None;
        }
        let values = args.iter().map(|a| match &self[*a].shape {
            Shape::Literal(value) => Some(value.clone()),
            _ => None,
        });
        let values = values.collect::<Option<Vec<_>>>()?;
        let types: Vec<Type> = args.iter().map(|a| Type::nullable(self[*a].data.clone())).collect();
        let call = Call { args: &types, result: ty, context: &EvalContext::default() };
        function.call(&call, &values).ok()
    }

    fn connect(&mut self, shape: Shape, args: Vec<TermId>) -> TermId {
        let mut flat: Vec<TermId> = vec![];
        for arg in args {
            let inner = if self[arg].shape == shape { self[arg].args.clone() } else { vec![arg] };
            flat.extend(inner);
        }
        let mut seen = std::collections::BTreeSet::new();
        flat.retain(|a| seen.insert(*a));
        match flat.as_slice() {
            [one] => *one,
            _ => self.add(shape, flat, DataType::Boolean),
        }
    }

    fn negation(&mut self, x: TermId) -> TermId {
        let inner = self[x].clone();
        match &inner.shape {
            Shape::Not => inner.args[0],
            // The order is total, so what is not less is at least as great.
            Shape::Call(f) if matches!(f.name, "less" | "less_equal") => {
                let other = if f.name == "less" { "less_equal" } else { "less" };
                let args = inner.args.iter().rev().copied().collect();
                let function = functions::find(other).unwrap_or(*f);
                self.call(function, args, &Type::nullable(DataType::Boolean), false)
            }
            _ => self.add(Shape::Not, vec![x], DataType::Boolean),
        }
    }

    fn add(&mut self, shape: Shape, args: Vec<TermId>, data: DataType) -> TermId {
        let key = (ShapeKey::of(&shape), args.clone(), data.clone());
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let types: Vec<Type> = args.iter().map(|a| Type::nullable(self[*a].data.clone())).collect();
        let own = match &shape {
            Shape::Call(function) => !function.can_fail(&types),
            Shape::Cast(on_failure) => *on_failure == CastFailure::Null || !cast_can_fail(&self[args[0]].data, &data),
            Shape::Opaque => false,
            _ => true,
        };
        let total = shape == Shape::Try || own && args.iter().all(|a| self[*a].total);
        let term = Term { shape, args, data, types, null_of_present: true, null_of_null: true, total, of_epoch: false };
        self.list.push(term);
        self.known.insert(key, self.list.len() - 1);
        self.list.len() - 1
    }
}

/// Whether two expressions over the same columns mean the same, as far as their forms tell.
pub(crate) fn same(a: &Expr, b: &Expr) -> bool {
    let mut terms = Terms::default();
    let mut columns = BTreeMap::new();
    for e in [a, b] {
        e.walk(&mut |e| {
            if let ExprKind::Column(slot) = e.kind {
                columns.entry(slot).or_insert_with(|| terms.variable(slot, &e.ty.data));
            }
        });
    }
    terms.expression(a, &columns) == terms.expression(b, &columns)
}

impl Term {
    /// Whether its values are followed.
    pub fn is_followed(&self) -> bool {
        is_followed(&self.data)
    }

    /// The function that it calls.
    pub fn function(&self) -> Option<&'static str> {
        match &self.shape {
            Shape::Call(function) => Some(function.name),
            _ => None,
        }
    }
}
