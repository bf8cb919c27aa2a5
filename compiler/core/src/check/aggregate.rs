//! The `aggregate` step: keys, aggregates, and expressions over both.

use crate::check::columns::Columns;
use crate::check::flow::FlowBuilder;
use crate::check::scope::{AggregateContext, Clock, Column, Env, Obstacle, Place, Remedy, Rows};
use crate::check::time::{watermark_help, watermark_needed};
use crate::check::types::span_of;
use crate::check::{Checker, article, constant, origin};
use crate::checked::{CheckedAggregate, EventTime, Operation, Windowing};
use crate::codes;
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::graph::{Kind, Window};
use flowc_ir::{DataType, Expr, ExprKind, Field, Output, Program, Type, Value};
use flowc_syntax::ast::{self, Aggregate, Arg, Assignment, Name, Step};
use flowc_syntax::diagnostic::Diagnostic;
use flowc_syntax::span::Span;
use smol_str::SmolStr;

/// A column that an aggregate step makes.
struct Made {
    name: String,
    span: Span,
    comment: Option<String>,
    /// Over the keys and, behind them, the aggregates.
    value: Option<Expr>,
    lineage: Option<usize>,
}

impl Checker<'_> {
    /// An aggregate in an aggregate step: remembered, and read as a column behind the keys.
    pub(super) fn collect_aggregate(
        &self,
        env: &mut Env<'_>,
        function: AggregateFunction,
        name: &Name,
        args: &[Arg],
        filter: Option<&ast::Expr>,
        span: Span,
    ) -> Option<Expr> {
        let Place::Aggregates(context) = &env.place else { return None };
        let (input, keyed) = (context.input.clone(), context.keyed);
        let mut inner = Env::new(&input);
        inner.place = Place::Operand;
        let typed = self.positional(&mut inner, name, args);
        let filter = filter.map(|f| self.condition(&mut inner, f, "behind `where`"));
        env.reads.append(&mut inner.reads);
        let mut typed = typed?;
        let filter = match filter {
            Some(filter) => Some(filter?),
            None => None,
        };
        let constants = self.aggregate_constants(function, name, &mut typed, span)?;
        let ty = self.aggregate_type(function, name, &typed, keyed && filter.is_none(), span)?;
        let Place::Aggregates(context) = &mut env.place else { return None };
        let at = origin(span);
        let field = Field::new(String::new(), ty.clone());
        let call = CheckedAggregate { field, function, args: typed, constants, filter, origin: at };
        let same = |c: &CheckedAggregate| {
            (c.function, &c.args, &c.constants, &c.filter) == (call.function, &call.args, &call.constants, &call.filter)
        };
        let index = context.calls.iter().position(same).unwrap_or(context.calls.len());
        if index == context.calls.len() {
            context.calls.push(call);
        }
        Some(Expr::new(ExprKind::Column(env.rows.columns.len() + index), ty, at))
    }

    fn aggregate_constants(
        &self,
        function: AggregateFunction,
        name: &Name,
        args: &mut Vec<Expr>,
        span: Span,
    ) -> Option<Vec<Value>> {
        let (least, most) = function.arity();
        let constants = usize::from(function == AggregateFunction::Percentile);
        if args.len() < least + constants || args.len() > most + constants {
            let (least, most) = (least + constants, most + constants);
            let expected = if least == most { least.to_string() } else { format!("{least} or {most}") };
            self.arity(name, span, args.len(), &expected, &[function.info().signature.to_string()]);
            return None;
        }
        if constants == 0 {
            return Some(vec![]);
        }
        let fraction = args.pop()?;
        let at = span_of(&fraction);
        let value = self.widened(fraction, &DataType::Double).and_then(|e| constant::evaluate(&e));
        match value {
            Some(Value::Double(x)) if (0.0..=1.0).contains(&x) => Some(vec![Value::Double(x)]),
            _ => {
                self.report(
                    Diagnostic::error(
                        codes::BAD_FRACTION,
                        at,
                        "the fraction of `percentile` is a constant from 0 to 1",
                    )
                    .label("not such a constant")
                    .help("for example `percentile(x, 0.95)`"),
                );
                None
            }
        }
    }

    fn aggregate_type(
        &self,
        function: AggregateFunction,
        name: &Name,
        args: &[Expr],
        nonempty: bool,
        span: Span,
    ) -> Option<Type> {
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        let known = types.iter().all(|t| t.data != DataType::Null);
        if let Some(ty) = known.then(|| function.result_type(&types, nonempty)).flatten() {
            return Some(ty);
        }
        let wrong = args.first().map_or(span, span_of);
        let shown = types.iter().map(article).collect::<Vec<_>>().join(" and ");
        self.report(
            Diagnostic::error(codes::BAD_OPERAND, wrong, format!("`{}` does not take {shown}", name.text))
                .label(format!("this is {shown}"))
                .help(format!("it is called as `{}`", function.info().signature)),
        );
        None
    }

    /// `aggregate out = …, … by key, …`
    pub(super) fn aggregate_step(&self, flow: &mut FlowBuilder, step: &Step, aggregate: &Aggregate) {
        let window = aggregate.window.as_ref();
        let late = aggregate.late.as_ref().and_then(|late| self.lateness(flow, late, window.is_some()));
        let windowing = window.map(|window| self.windowing(flow, step, window, late));
        let input = flow.rows.clone();
        let (keys, mut key_rows) = self.keys(&input, &aggregate.keys);
        let nonempty = window.is_some() || !aggregate.keys.is_empty();
        let mut nameless = key_rows.columns.len() < aggregate.keys.len();
        let mut names: Vec<(String, Span)> =
            aggregate.keys.iter().zip(&key_rows.columns).map(|(k, c)| (c.name.to_string(), k.span)).collect();
        if let Some(window) = window {
            names.extend(WINDOW.map(|(name, _)| (name.to_string(), window.span)));
            let first = key_rows.columns.len();
            key_rows.columns.extend(window_columns(first));
        }
        let context = AggregateContext { input: input.clone(), calls: vec![], keyed: nonempty };
        let mut env = Env::new(&key_rows);
        env.place = Place::Aggregates(Box::new(context));
        let mut outputs: Vec<Made> = vec![];
        for assignment in &aggregate.aggregates {
            env.reads.clear();
            let value = self.expr(&mut env, &assignment.value).and_then(|v| self.storable(v));
            let Some((name, span)) = self.assigned_name(assignment) else {
                nameless = true;
                continue;
            };
            let id = self.lineage.borrow_mut().computed(&name, span, &env.reads, self.has_sinks(&flow.name));
            outputs.push(Made { name, span, comment: assignment.doc.clone(), value, lineage: Some(id) });
        }
        let Place::Aggregates(context) = env.place else { return };
        if input.kind.is_changing() {
            self.no_order(&input, &context.calls);
        }
        let names = names.iter().map(|(name, span)| (name.as_str(), *span));
        self.unique_columns(names.chain(outputs.iter().map(|o| (o.name.as_str(), o.span))));
        let mut result = grouped(&input, step, &key_rows.columns, windowing.as_ref());
        result.open |= nameless;
        let windowing = windowing.map(|windowing| {
            let by_time = input.time.unordered && context.calls.iter().any(|call| minds_order(call.function));
            Windowing { by_time, ..windowing }
        });
        let operation = Operation::Aggregate { keys, aggregates: context.calls, window: windowing };
        self.emit_aggregate(flow, step, result, operation, outputs);
        flow.rows.open |= nameless;
    }

    /// The windows of the step. If they are wrong, which was reported, any others take their place: their columns are known all the same.
    fn windowing(&self, flow: &mut FlowBuilder, step: &Step, window: &ast::Window, late: Option<i64>) -> Windowing {
        let input = flow.rows.clone();
        let time = self.event_time_of(&input, window.span, "windows need");
        if time.is_none() {
            flow.rows.time.assume();
        }
        let whole = flow.rows.time.watermark.is_none() || input.kind != Kind::Append;
        flow.can_be_late(step, whole && late.is_none());
        Windowing {
            window: self.window(window).unwrap_or(Window::Session { gap: 1 }),
            time: time.unwrap_or_else(|| super::steps::null_at(window.span)),
            by_time: false,
            whole,
            late,
        }
    }

    /// For how long rows correct a window that is over; none: something is wrong with it, which was reported.
    fn lateness(&self, flow: &FlowBuilder, late: &ast::Expr, windowed: bool) -> Option<i64> {
        let rows = &flow.rows;
        let micros = self.positive_duration(late, "how late a row may be", "late 10m")?;
        let closed = rows.time.watermark.is_some() || rows.time.event.is_none() || rows.open;
        if windowed && closed {
            return Some(micros);
        }
        let (message, help) = match windowed {
            false => {
                ("`late` is about windows, and here are none", "leave it out, or say `window tumble(1m)`".to_string())
            }
            true => ("no row is late: without a watermark no window is ever over", watermark_help(&rows.time.unmarked)),
        };
        self.report(Diagnostic::error(codes::LATE_WINDOW, late.span, message).label("late for what?").help(help));
        None
    }

    /// Reports aggregates that ask for the order of rows that change.
    fn no_order(&self, rows: &Rows, calls: &[CheckedAggregate]) {
        for call in calls {
            let (word, by) = match call.function {
                AggregateFunction::First => ("first", "min_by"),
                AggregateFunction::Last => ("last", "max_by"),
                _ => continue,
            };
            let at = call.origin;
            let span = Span::new(flowc_syntax::span::FileId(at.file), at.start as usize, at.end as usize);
            let found = Diagnostic::error(
                codes::NO_ORDER,
                span,
                format!("rows that change have no order, so there is no {word} one"),
            )
            .label("of which order?");
            let found = match &rows.changing {
                Some(step) => found.also(step.span, format!("`{}` makes the rows change", step.step)),
                None => found,
            };
            self.report(found.help(format!("say what orders them: `{by}(VALUE, TIME)`")));
        }
    }

    /// The keys as expressions over the input, and as the columns that the outputs see.
    fn keys(&self, input: &Rows, written: &[Assignment]) -> (Vec<(Field, Expr)>, Rows) {
        let mut keys = vec![];
        let mut columns: Vec<Column> = vec![];
        let mut env = Env::new(input);
        for key in written {
            env.reads.clear();
            let value = self.expr(&mut env, &key.value);
            self.lineage.borrow_mut().root(&env.reads);
            if let Some(value) = value.as_ref().filter(|v| !v.ty.data.is_orderable()) {
                self.report(
                    Diagnostic::error(
                        codes::NOT_ORDERED,
                        span_of(value),
                        format!("rows cannot be grouped by {}", article(&value.ty.data)),
                    )
                    .label("maps have no equality")
                    .help("group by a value of the map: `m[\"key\"]`"),
                );
            }
            let Some((name, span)) = self.assigned_name(key) else { continue };
            let lineage = match (&key.name, env.reads.iter().next()) {
                (None, Some(same)) if env.reads.len() == 1 && !self.lineage.borrow().is_unwatched(*same) => *same,
                _ => self.lineage.borrow_mut().computed(&name, span, &env.reads, false),
            };
            let ty = value.as_ref().map(|v| v.ty.clone());
            let comment = key.doc.clone().or_else(|| comment_of(input, &key.value));
            columns.push(Column {
                name: name.as_str().into(),
                table: None,
                ty,
                comment: comment.as_deref().map(SmolStr::new),
                slot: columns.len(),
                lineage: Some(lineage),
            });
            if let Some(value) = value {
                keys.push((Field { name, ty: value.ty.clone(), comment }, value));
            }
        }
        (keys, Rows { columns: columns.into(), open: false, ..input.with_columns(vec![]) })
    }

    fn emit_aggregate(
        &self,
        flow: &mut FlowBuilder,
        step: &Step,
        mut rows: Rows,
        mut operation: Operation,
        outputs: Vec<Made>,
    ) {
        let Operation::Aggregate { aggregates: calls, .. } = &mut operation else { return };
        let first = rows.columns.len();
        let direct = |index: usize| {
            outputs
                .iter()
                .position(|o| matches!(o.value, Some(Expr { kind: ExprKind::Column(c), .. }) if c == first + index))
        };
        let taken: Vec<&str> =
            rows.columns.iter().map(|c| c.name.as_str()).chain(outputs.iter().map(|o| o.name.as_str())).collect();
        for (index, call) in calls.iter_mut().enumerate() {
            // An aggregate that is an output by itself has that output's name; a part of one gets a name that nothing else has.
            let mut free = format!("aggregate {index}");
            while taken.contains(&free.as_str()) {
                free.push('\'');
            }
            call.field.name = direct(index).map_or(free, |o| outputs[o].name.clone());
            call.field.comment = direct(index).and_then(|o| outputs[o].comment.clone());
        }
        let plain = outputs.len() == calls.len() && (0..calls.len()).all(|i| direct(i) == Some(i));
        let column = |made: &Made| Column {
            name: made.name.as_str().into(),
            table: None,
            ty: made.value.as_ref().map(|v| v.ty.clone()),
            comment: made.comment.as_deref().map(SmolStr::new),
            slot: 0,
            lineage: made.lineage,
        };
        let key_columns = rows.columns.clone();
        let grouped: Vec<Column> = key_columns
            .iter()
            .cloned()
            .chain(calls.iter().map(|c| Column {
                name: c.field.name.as_str().into(),
                table: None,
                ty: Some(c.field.ty.clone()),
                comment: c.field.comment.as_deref().map(SmolStr::new),
                slot: 0,
                lineage: None,
            }))
            .collect();
        let computed: Vec<Column> = key_columns.iter().cloned().chain(outputs.iter().map(column)).collect();
        rows = rows.with_columns(if plain { computed.clone() } else { grouped });
        flow.push(step, "aggregate", operation, rows);
        if plain {
            return;
        }
        let input = flow.rows.schema();
        let mut program = Program { input, ..Program::default() };
        for (slot, column) in flow.rows.columns[..first].iter().enumerate() {
            let ty = column.ty.clone().unwrap_or_else(Type::null);
            let field = column.field(ty.clone());
            program.outputs.push(Output { field, value: Expr::new(ExprKind::Column(slot), ty, origin(step.span)) });
        }
        for made in &outputs {
            let value = made.value.clone().unwrap_or_else(|| super::steps::null_at(step.span));
            let field = Field { name: made.name.clone(), ty: value.ty.clone(), comment: made.comment.clone() };
            program.outputs.push(Output { field, value });
        }
        let rows = flow.rows.with_columns(computed);
        flow.push(step, "aggregate", Operation::Transform(program), rows);
    }
}

/// The columns that windows add, with their comments.
const WINDOW: [(&str, &str); 2] =
    [("window_start", "The start of the window"), ("window_end", "The end of the window, which is no part of it")];

fn window_columns(first: usize) -> [Column; 2] {
    [0, 1].map(|at| Column {
        name: WINDOW[at].0.into(),
        table: None,
        ty: Some(Type::new(DataType::Timestamp)),
        comment: Some(WINDOW[at].1.into()),
        slot: first + at,
        lineage: None,
    })
}

/// Whether an aggregate depends on the order of its rows.
fn minds_order(function: AggregateFunction) -> bool {
    use AggregateFunction::{CollectList, First, Last, MaxBy, MinBy};
    matches!(function, First | Last | CollectList | MinBy | MaxBy)
}

/// What is known of the stream behind an aggregate.
fn grouped(input: &Rows, step: &Step, keys: &Columns, windowing: Option<&Windowing>) -> Rows {
    let key: Vec<String> = keys.iter().map(|c| c.name.to_string()).collect();
    let mut rows = input.with_columns(keys.clone());
    rows.time.event = None;
    rows.time.window = None;
    let mut remedy = if key.is_empty() { Remedy::Whole } else { Remedy::End };
    if let Some(windowing) = windowing {
        let [start, end] = WINDOW.map(|(name, _)| name.to_string());
        rows.time = Clock {
            event: Some(EventTime::WindowEnd(end.clone())),
            window: Some((start, end)),
            unordered: false,
            punctual: !windowing.whole,
            ..rows.time
        };
        remedy = watermark_needed(&input.time.unmarked);
    }
    let corrected = windowing.is_some_and(|windowing| windowing.late.is_some());
    let so_far = windowing.is_none_or(|windowing| windowing.whole) && !input.bounded;
    if corrected || so_far || input.kind.is_changing() {
        rows.kind = Kind::Changing { key };
        // What a step before has made changing no watermark makes otherwise.
        rows.changing = rows.changing.filter(|_| windowing.is_some());
        rows.changing.get_or_insert(Obstacle { span: step.keyword, step: "aggregate", remedy });
    }
    rows
}

/// The comment of the column that an expression passes on.
pub(crate) fn comment_of(rows: &Rows, e: &ast::Expr) -> Option<String> {
    match &e.kind {
        ast::ExprKind::Name(name) => rows.own(&name.text)?.comment.as_ref().map(SmolStr::to_string),
        ast::ExprKind::Field(base, field) => match &base.kind {
            ast::ExprKind::Name(table) => {
                rows.joined(&table.text, &field.text)?.comment.as_ref().map(SmolStr::to_string)
            }
            _ => None,
        },
        _ => None,
    }
}
