//! Moving nodes in the text: what stands behind a change is the same tree, elsewhere. Every field is named, so that a new one cannot be forgotten.
//! Must not know what changed.

use super::*;
use crate::diagnostic::{Diagnostic, Fix, Label};
use crate::span::Span;

/// Something with places.
pub(crate) trait Shift {
    /// Moves all places forward by so many bytes; modulo 2³², so that backward is forward as well.
    fn shift(&mut self, by: u32);
}

impl Shift for Span {
    fn shift(&mut self, by: u32) {
        (self.start, self.end) = (self.start.wrapping_add(by), self.end.wrapping_add(by));
    }
}

impl<T: Shift> Shift for Vec<T> {
    fn shift(&mut self, by: u32) {
        self.iter_mut().for_each(|x| x.shift(by));
    }
}

impl<T: Shift> Shift for Option<T> {
    fn shift(&mut self, by: u32) {
        self.iter_mut().for_each(|x| x.shift(by));
    }
}

impl<T: Shift> Shift for Box<T> {
    fn shift(&mut self, by: u32) {
        (**self).shift(by);
    }
}

impl<A: Shift, B: Shift> Shift for (A, B) {
    fn shift(&mut self, by: u32) {
        self.0.shift(by);
        self.1.shift(by);
    }
}

/// Structures by their fields: those with places, and behind the bar those without.
macro_rules! structures {
    ($($name:ident { $($placed:ident),* $(| $($plain:ident),*)? })*) => {$(
        impl Shift for $name {
            fn shift(&mut self, by: u32) {
                let $name { $($placed,)* $($($plain: _,)*)? } = self;
                $($placed.shift(by);)*
            }
        }
    )*};
}

structures! {
    Name { span | text }
    Use { path_span, span | path }
    Param { name, ty, default, span | doc }
    Source { name, connector, clauses, span | doc }
    SourceClause { kind, span }
    ColumnDef { name, ty, span | doc }
    TypeExpr { kind, span | nullable }
    Table { name, connector, clauses, span | doc }
    Connector { name, args, span }
    Arg { name, value }
    Function { name, params, result, body, span | doc }
    Flow { name, input, steps, span | doc }
    FlowRef { name, output, span }
    Step { kind, span, keyword }
    Assignment { name, value, span | doc }
    Rename { new, old }
    SortKey { value | descending, nulls_first }
    Rule { name, condition, policy, span | doc }
    Policy { kind, span }
    Join { right, alias, on, within, as_of | kind }
    Aggregate { aggregates, keys, window, late }
    Window { name, args, span }
    Sink { name, input, connector, clauses, span | doc }
    SinkClause { kind, span }
    Property { key_span, value | key }
    Test { name_span, clauses, span | doc, name }
    TestClause { kind, span }
    Expr { kind, span }
    MatchArm { patterns, value, span }
    Pattern { kind, span }
    Label { span | message }
    Diagnostic { span, labels, fixes | code, severity, message, label, help }
}

impl Shift for Fix {
    fn shift(&mut self, by: u32) {
        let Fix { title: _, edits } = self;
        edits.iter_mut().for_each(|(span, _)| span.shift(by));
    }
}

impl Shift for Item {
    fn shift(&mut self, by: u32) {
        match self {
            Item::Use(x) => x.shift(by),
            Item::Param(x) => x.shift(by),
            Item::Source(x) => x.shift(by),
            Item::Table(x) => x.shift(by),
            Item::Function(x) => x.shift(by),
            Item::Flow(x) => x.shift(by),
            Item::Sink(x) => x.shift(by),
            Item::Test(x) => x.shift(by),
        }
    }
}

impl Shift for SourceClauseKind {
    fn shift(&mut self, by: u32) {
        match self {
            SourceClauseKind::Schema(columns) => columns.shift(by),
            SourceClauseKind::EventTime { column, value } => {
                column.shift(by);
                value.shift(by);
            }
            SourceClauseKind::Watermark(e) | SourceClauseKind::Idle(e) | SourceClauseKind::SequenceBy(e) => e.shift(by),
            SourceClauseKind::Changes { from, by: key } => {
                from.shift(by);
                key.shift(by);
            }
            SourceClauseKind::IgnoreUpdates => {}
            SourceClauseKind::Malformed(name) => name.shift(by),
            SourceClauseKind::Start(version) | SourceClauseKind::Version(version) => version.shift(by),
        }
    }
}

impl Shift for VersionSpec {
    fn shift(&mut self, by: u32) {
        let (VersionSpec::Number(e) | VersionSpec::Timestamp(e)) = self;
        e.shift(by);
    }
}

impl Shift for TypeExprKind {
    fn shift(&mut self, by: u32) {
        match self {
            TypeExprKind::Named(name) | TypeExprKind::Sized(name, _) => name.shift(by),
            TypeExprKind::Array(inner) => inner.shift(by),
            TypeExprKind::Map(key, value) => {
                key.shift(by);
                value.shift(by);
            }
            TypeExprKind::Struct(columns) => columns.shift(by),
        }
    }
}

impl Shift for StepKind {
    fn shift(&mut self, by: u32) {
        match self {
            StepKind::Where(e) | StepKind::Limit(e) => e.shift(by),
            StepKind::Extend(list) | StepKind::Select(list) => list.shift(by),
            StepKind::Drop(names) => names.shift(by),
            StepKind::Rename(list) => list.shift(by),
            StepKind::Expect(rules) => rules.shift(by),
            StepKind::Join(join) => join.shift(by),
            StepKind::Aggregate(aggregate) => aggregate.shift(by),
            StepKind::Dedup { keys, within } => {
                keys.shift(by);
                within.shift(by);
            }
            StepKind::Top { count, order, per } => {
                count.shift(by);
                order.shift(by);
                per.shift(by);
            }
            StepKind::Sort(keys) => keys.shift(by),
            StepKind::Union(flows) => flows.shift(by),
            StepKind::Explode { value, column } => {
                value.shift(by);
                column.shift(by);
            }
        }
    }
}

impl Shift for RuleCondition {
    fn shift(&mut self, by: u32) {
        match self {
            RuleCondition::Row(e) => e.shift(by),
            RuleCondition::Unique { columns, within, span } => {
                columns.shift(by);
                within.shift(by);
                span.shift(by);
            }
        }
    }
}

impl Shift for PolicyKind {
    fn shift(&mut self, by: u32) {
        match self {
            PolicyKind::Warn | PolicyKind::Drop | PolicyKind::Quarantine | PolicyKind::Fail => {}
            PolicyKind::Repair(list) => list.shift(by),
        }
    }
}

impl Shift for SinkClauseKind {
    fn shift(&mut self, by: u32) {
        match self {
            SinkClauseKind::Mode(mode) => mode.shift(by),
            SinkClauseKind::PartitionBy(list) => list.shift(by),
            SinkClauseKind::Constraint { name, condition } => {
                name.shift(by);
                condition.shift(by);
            }
            SinkClauseKind::Properties(list) => list.shift(by),
            SinkClauseKind::Evolve => {}
        }
    }
}

impl Shift for SinkMode {
    fn shift(&mut self, by: u32) {
        match self {
            SinkMode::Append | SinkMode::Overwrite | SinkMode::OverwritePartition => {}
            SinkMode::Merge(names) | SinkMode::Scd2(names) => names.shift(by),
        }
    }
}

impl Shift for TestClauseKind {
    fn shift(&mut self, by: u32) {
        match self {
            TestClauseKind::Given(flow, rows) | TestClauseKind::Then(flow, rows) => {
                flow.shift(by);
                rows.shift(by);
            }
            TestClauseKind::ThenError(name) => name.shift(by),
            TestClauseKind::At(e) | TestClauseKind::AdvanceWatermark(e) => e.shift(by),
            TestClauseKind::GivenParam(name, e) => {
                name.shift(by);
                e.shift(by);
            }
        }
    }
}

impl Shift for StringPart {
    fn shift(&mut self, by: u32) {
        match self {
            StringPart::Text(_) => {}
            StringPart::Expr(e) => e.shift(by),
        }
    }
}

impl Shift for ExprKind {
    fn shift(&mut self, by: u32) {
        match self {
            ExprKind::Null
            | ExprKind::Boolean(_)
            | ExprKind::Integer(_)
            | ExprKind::Double(_)
            | ExprKind::Decimal { .. }
            | ExprKind::Percent(_)
            | ExprKind::RawString(_)
            | ExprKind::Date(_)
            | ExprKind::Timestamp(_)
            | ExprKind::TimestampNtz(_)
            | ExprKind::Duration(_)
            | ExprKind::Error => {}
            ExprKind::String(parts) => parts.shift(by),
            ExprKind::Array(items) => items.shift(by),
            ExprKind::Struct(fields) => fields.shift(by),
            ExprKind::Name(name) => name.shift(by),
            ExprKind::Field(value, name) => {
                value.shift(by);
                name.shift(by);
            }
            ExprKind::Call { function, args, filter } => {
                function.shift(by);
                args.shift(by);
                filter.shift(by);
            }
            ExprKind::Unary(_, value) | ExprKind::IsNull { value, negated: _ } => value.shift(by),
            ExprKind::Binary { op: _, op_span, left, right } => {
                op_span.shift(by);
                left.shift(by);
                right.shift(by);
            }
            ExprKind::Between { value, low, high, negated: _ } => {
                value.shift(by);
                low.shift(by);
                high.shift(by);
            }
            ExprKind::Index(value, other)
            | ExprKind::In { value, list: other, negated: _ }
            | ExprKind::Like { value, pattern: other, negated: _ }
            | ExprKind::Matches { value, pattern: other, negated: _ } => {
                value.shift(by);
                other.shift(by);
            }
            ExprKind::If { condition, then, otherwise } => {
                condition.shift(by);
                then.shift(by);
                otherwise.shift(by);
            }
            ExprKind::Match { value, arms } => {
                value.shift(by);
                arms.shift(by);
            }
            ExprKind::Cast { value, ty } => {
                value.shift(by);
                ty.shift(by);
            }
        }
    }
}

impl Shift for PatternKind {
    fn shift(&mut self, by: u32) {
        match self {
            PatternKind::Wildcard => {}
            PatternKind::Value(e)
            | PatternKind::Compare(_, e)
            | PatternKind::In(e)
            | PatternKind::Like(e)
            | PatternKind::Matches(e) => e.shift(by),
            PatternKind::Between(low, high) => {
                low.shift(by);
                high.shift(by);
            }
        }
    }
}
