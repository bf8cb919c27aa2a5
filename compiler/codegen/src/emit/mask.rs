//! Conditions over a block of 64 rows at once: words of truth, null and failure, combined by three-valued logic on words. What stands at the leaves is
//! a column's bits, a comparison of vectors, or the row-by-row code of whatever else. Knows blocks; nothing of what happens to the words.

use super::code::Code;
use super::row::{ColumnRegisters, Row};
use super::{each_row, vector};
use crate::fused::Fused;
use cranelift::prelude::*;
use flowc_ir::{Expr, ExprKind, Value as Constant};

/// The block that a condition is computed for.
pub(crate) struct Scope<'p> {
    pub(crate) fused: &'p Fused,
    pub(crate) columns: &'p [ColumnRegisters],
    /// `EvalContext::now`
    pub(crate) now: Value,
    /// The block's first row.
    pub(crate) base: Value,
    /// The rows that matter.
    pub(crate) alive: Value,
    /// Values that no one may need, but whose failure counts.
    pub(crate) strict: &'p [&'p Expr],
}

/// Words of a condition: bits of rows that do not matter are anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Rows where it is true.
    pub(crate) truth: Value,
    /// Rows where it is null; none: nowhere. Never together with `truth`.
    pub(crate) null: Option<Value>,
    /// Rows where it fails; none: nowhere.
    pub(crate) fail: Option<Value>,
}

/// How a condition is computed.
#[derive(Debug)]
enum Node<'e> {
    And(Vec<Node<'e>>),
    Or(Vec<Node<'e>>),
    Not(Box<Node<'e>>),
    /// A boolean column.
    Column(usize),
    /// Where a column is null.
    IsNull(usize),
    Constant(Option<bool>),
    /// The comparison with this number among those of vectors.
    Vector(usize),
    /// The expression with this number among those computed row by row.
    Row(usize, &'e Expr),
}

impl Node<'_> {
    /// Whether something in it is computed row by row of which `which` is true.
    fn by_row(&self, which: &dyn Fn(&Expr) -> bool) -> bool {
        match self {
            Node::And(xs) | Node::Or(xs) => xs.iter().any(|x| x.by_row(which)),
            Node::Not(x) => x.by_row(which),
            Node::Row(_, e) => which(e),
            Node::Column(_) | Node::IsNull(_) | Node::Constant(_) | Node::Vector(_) => false,
        }
    }
}

/// A condition, split into what is computed by words, by vectors and by rows.
#[derive(Debug)]
pub(crate) struct Mask<'e> {
    root: Node<'e>,
    vectors: Vec<vector::Condition<'e>>,
    rows: Vec<&'e Expr>,
}

impl<'e> Mask<'e> {
    /// Plans a boolean expression.
    pub(crate) fn of(e: &'e Expr, fused: &'e Fused) -> Mask<'e> {
        let mut mask = Mask { root: Node::Constant(None), vectors: vec![], rows: vec![] };
        if let Some(condition) = vector::Condition::truth_of(e, fused) {
            mask.vectors.push(condition);
            mask.root = Node::Vector(0);
            return mask;
        }
        mask.root = mask.node(e, fused);
        mask.number_rows();
        mask
    }

    fn node(&mut self, e: &'e Expr, fused: &'e Fused) -> Node<'e> {
        if let Some(condition) = vector::Condition::of(e, fused) {
            self.vectors.push(condition);
            return Node::Vector(self.vectors.len() - 1);
        }
        let by_row = |n: &Node| matches!(n, Node::Row(..));
        match &e.kind {
            ExprKind::And(xs) | ExprKind::Or(xs) => {
                let nodes: Vec<Node> = xs.iter().map(|x| self.node(x, fused)).collect();
                match &e.kind {
                    _ if nodes.iter().all(by_row) => Node::Row(0, e),
                    ExprKind::And(_) => Node::And(nodes),
                    _ => Node::Or(nodes),
                }
            }
            ExprKind::Not(x) => match self.node(x, fused) {
                Node::Row(..) => Node::Row(0, e),
                node => Node::Not(Box::new(node)),
            },
            ExprKind::Literal(Constant::Boolean(b)) => Node::Constant(Some(*b)),
            ExprKind::Literal(Constant::Null) => Node::Constant(None),
            ExprKind::Column(slot) => match fused.local_slot(*slot) {
                None => Node::Column(*slot),
                // A failure in it was its own step's; row by row it is masked there.
                Some(value) if !crate::select::may_fail(value) => self.node(value, fused),
                Some(_) => Node::Row(0, e),
            },
            ExprKind::IsNull(x) => match x.kind {
                ExprKind::Column(slot) if fused.local_slot(slot).is_none() => Node::IsNull(slot),
                _ => Node::Row(0, e),
            },
            _ => Node::Row(0, e),
        }
    }

    /// Gives the expressions that are left to be computed row by row their numbers.
    fn number_rows(&mut self) {
        fn visit<'e>(node: &mut Node<'e>, rows: &mut Vec<&'e Expr>) {
            match node {
                Node::And(xs) | Node::Or(xs) => xs.iter_mut().for_each(|x| visit(x, rows)),
                Node::Not(x) => visit(x, rows),
                Node::Row(number, e) => {
                    *number = rows.len();
                    rows.push(e);
                }
                Node::Column(_) | Node::IsNull(_) | Node::Constant(_) | Node::Vector(_) => {}
            }
        }
        visit(&mut self.root, &mut self.rows);
    }

    /// Makes the code: rows where it is true, and where it fails; of those where it is null not all may be named. `fail` includes the failures of the scope's strict values.
    pub(crate) fn emit(&self, code: &mut Code<'_>, scope: &Scope<'_>) -> Words {
        let vectors = vector::emit(code, scope, &self.vectors);
        let wanted = self.open_rows(code, scope, &vectors);
        let (rows, strict) = self.emit_rows(code, scope, wanted);
        let mut words = emit_node(&self.root, code, scope, &vectors, &rows);
        words.fail = code.either(words.fail, strict);
        words
    }

    /// The rows that what is computed row by row has to be computed for: not those that another operand of the whole condition, an `and`, already decides.
    /// Operands behind one that may fail do not count: a row that fails there fails.
    fn open_rows(&self, code: &mut Code<'_>, scope: &Scope<'_>, vectors: &[Words]) -> Value {
        let Node::And(operands) = &self.root else { return scope.alive };
        if self.rows.is_empty() || !scope.strict.is_empty() {
            return scope.alive;
        }
        let first_to_fail = operands.iter().position(|node| node.by_row(&|e| crate::select::may_fail(e)));
        let mut open = scope.alive;
        for node in &operands[..first_to_fail.unwrap_or(operands.len())] {
            if !node.by_row(&|_| true) {
                let words = emit_node(node, code, scope, vectors, &[]);
                let undecided = code.either(Some(words.truth), words.null).expect("one of them is there");
                open = code.and(open, undecided);
            }
        }
        open
    }

    /// One loop over the rows that are `wanted` for all that is computed row by row.
    fn emit_rows(&self, code: &mut Code<'_>, scope: &Scope<'_>, wanted: Value) -> (Vec<Words>, Option<Value>) {
        if self.rows.is_empty() && scope.strict.is_empty() {
            return (vec![], None);
        }
        let zero = code.int(types::I64, 0);
        let variable = |code: &mut Code<'_>| {
            let v = code.b.declare_var(types::I64);
            code.b.def_var(v, zero);
            v
        };
        let mut found: Vec<(Variable, Option<Variable>, Option<Variable>)> = vec![];
        let mut strict = None;
        // Which flags there are is known only once the code of the row is made, but a variable must have its first value before the loop.
        let spare: Vec<[Variable; 3]> =
            self.rows.iter().map(|_| [variable(code), variable(code), variable(code)]).collect();
        let strict_variable = variable(code);
        each_row(code, wanted, |code, bit| {
            let index = code.ins().iadd(scope.base, bit);
            let mut row = Row::new(code, scope.fused, scope.columns, scope.now, index, bit);
            for value in scope.strict {
                let lane = row.whole(value);
                if let Some(fail) = lane.fail {
                    set_bit(row.code, strict_variable, fail, bit);
                    strict = Some(strict_variable);
                }
            }
            for (e, [truth, null, fail]) in self.rows.iter().zip(&spare) {
                let lane = row.whole(e);
                let value = row.code.unless(lane.null, lane.value);
                set_bit(row.code, *truth, value, bit);
                let mut flag = |variable: &Variable, flag: Option<Value>| {
                    flag.map(|f| {
                        set_bit(row.code, *variable, f, bit);
                        *variable
                    })
                };
                found.push((*truth, flag(null, lane.null), flag(fail, lane.fail)));
            }
        });
        let mut word = |v: Variable| code.b.use_var(v);
        let words = found
            .into_iter()
            .map(|(t, n, f)| Words { truth: word(t), null: n.map(&mut word), fail: f.map(&mut word) })
            .collect();
        (words, strict.map(|v| code.b.use_var(v)))
    }
}

fn set_bit(code: &mut Code<'_>, variable: Variable, flag: Value, bit: Value) {
    let flag = code.ins().uextend(types::I64, flag);
    let flag = code.ins().ishl(flag, bit);
    let before = code.b.use_var(variable);
    let after = code.ins().bor(before, flag);
    code.b.def_var(variable, after);
}

fn emit_node(node: &Node<'_>, code: &mut Code<'_>, scope: &Scope<'_>, vectors: &[Words], rows: &[Words]) -> Words {
    match node {
        Node::Vector(number) => vectors[*number],
        Node::Row(number, _) => rows[*number],
        Node::Constant(value) => {
            let truth = code.int(types::I64, if *value == Some(true) { -1 } else { 0 });
            let null = value.is_none().then(|| code.int(types::I64, -1));
            Words { truth, null, fail: None }
        }
        Node::Column(slot) => {
            let registers = column(scope, *slot);
            match registers.valid {
                None => Words { truth: registers.values, null: None, fail: None },
                Some(valid) => Words {
                    truth: code.ins().band(registers.values, valid),
                    null: Some(code.ins().bnot(valid)),
                    fail: None,
                },
            }
        }
        Node::IsNull(slot) => {
            let truth = match column(scope, *slot).valid {
                None => code.int(types::I64, 0),
                Some(valid) => code.ins().bnot(valid),
            };
            Words { truth, null: None, fail: None }
        }
        Node::Not(x) => {
            let x = emit_node(x, code, scope, vectors, rows);
            let known = code.either(Some(x.truth), x.null).expect("one of them is there");
            Words { truth: code.ins().bnot(known), ..x }
        }
        Node::And(xs) => fold(xs, true, code, scope, vectors, rows),
        Node::Or(xs) => fold(xs, false, code, scope, vectors, rows),
    }
}

fn column(scope: &Scope<'_>, slot: usize) -> ColumnRegisters {
    let position = scope.fused.column(slot).expect("the planner lists the slots that are read");
    scope.columns[position]
}

fn fold(
    nodes: &[Node<'_>],
    and: bool,
    code: &mut Code<'_>,
    scope: &Scope<'_>,
    vectors: &[Words],
    rows: &[Words],
) -> Words {
    let mut words = nodes.iter().map(|n| emit_node(n, code, scope, vectors, rows)).collect::<Vec<_>>().into_iter();
    let Some(mut whole) = words.next() else {
        let truth = code.int(types::I64, if and { -1 } else { 0 });
        return Words { truth, null: None, fail: None };
    };
    for right in words {
        whole = combine(code, whole, right, and);
    }
    whole
}

/// Three-valued `and` or `or` of words; the right side's failures count only where the left side does not decide.
fn combine(code: &mut Code<'_>, a: Words, b: Words, and: bool) -> Words {
    let late = b.fail.map(|fail| {
        // Where `a` leaves it open: true or null for `and`, everything but true for `or`.
        if and {
            let open = code.either(Some(a.truth), a.null).expect("one of them is there");
            code.and(fail, open)
        } else {
            code.ins().band_not(fail, a.truth)
        }
    });
    let fail = code.either(a.fail, late);
    if and {
        let truth = code.and(a.truth, b.truth);
        let null = code.either(a.null, b.null).map(|_| {
            // Neither is false, and not both are true.
            let x = code.either(Some(a.truth), a.null).expect("one of them is there");
            let y = code.either(Some(b.truth), b.null).expect("one of them is there");
            let open = code.and(x, y);
            code.ins().band_not(open, truth)
        });
        return Words { truth, null, fail };
    }
    let truth = code.or(a.truth, b.truth);
    let null = code.either(a.null, b.null).map(|n| code.ins().band_not(n, truth));
    Words { truth, null, fail }
}
