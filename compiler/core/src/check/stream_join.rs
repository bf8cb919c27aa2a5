//! Joins of two streams: rows match where the condition holds and their event times are near each other, or they are of the same window.

use crate::check::flow::{Done, FlowBuilder};
use crate::check::join::keyword;
use crate::check::keys::Matched;
use crate::check::late::{own_columns, own_rows};
use crate::check::narrow::{Outcome, facts};
use crate::check::scope::{Env, Obstacle, Remedy, Rows};
use crate::check::time::watermark_needed;
use crate::check::{Checker, origin};
use crate::checked::{Bound, CheckedJoin, Input, Operation};
use crate::codes;
use flowc_ir::graph::{JoinKind, Kind};
use flowc_ir::types::quote_name;
use flowc_ir::{Expr, Program, Type};
use flowc_syntax::ast::{self, Join, Step};
use flowc_syntax::diagnostic::Diagnostic;

/// What bounds a join in time.
struct Matching {
    within: Option<(Bound, Expr)>,
    windows: Option<[(usize, usize); 2]>,
}

impl Checker<'_> {
    /// `join X as y on condition within 10m`
    pub(super) fn stream_join(&self, flow: &mut FlowBuilder, step: &Step, join: &Join, right: &Done) {
        let mut left = flow.rows.clone();
        let columns = own_columns(&right.rows, origin(step.span));
        let mut right_rows = own_rows(&right.rows);
        let both = self.is_told_apart(flow, join).then(|| self.both(flow, join, &right_rows)).flatten();
        let Some(both) = both else {
            flow.give_up();
            return;
        };
        if left.kind.is_changing() || right_rows.kind.is_changing() {
            let sides = (left, right_rows, both);
            return self.changing_join(flow, step, join, (right.input, columns), sides);
        }
        let matching = self.matching(&mut left, &mut right_rows, join);
        if join.on.is_none() && (matching.windows.is_none() || join.within.is_some()) && !both.open {
            self.no_condition(step, join);
        }
        let on = self.on(join, &both);
        let kind = kind(join.kind);
        let mut rows = joined(&left, &right_rows, &both, kind, on.as_ref());
        let timed = matching.within.is_some();
        let unmarked = rows.time.watermark.is_none();
        let whole = !timed || unmarked;
        flow.can_be_late(step, whole);
        if whole && !rows.bounded {
            let remedy = if timed { watermark_needed(&rows.time.unmarked) } else { Remedy::Within };
            rows.blocked.get_or_insert(Obstacle { span: step.keyword, step: keyword(join.kind), remedy });
        }
        // Rows of equal windows come when the watermark closes them, whichever side is the later.
        rows.time.punctual &= matching.windows.is_some() && !whole;
        let alias = join.alias.as_ref().unwrap_or(&join.right.name).text.clone();
        let Matching { within, windows } = matching;
        let joined = CheckedJoin { right: right.input, columns, alias, kind, on, windows, within, whole };
        flow.push(step, keyword(join.kind), Operation::Join(Box::new(joined)), rows);
    }

    /// A join of streams of which one changes, or both: what comes out are the pairs of what both sides are now.
    fn changing_join(
        &self,
        flow: &mut FlowBuilder,
        step: &Step,
        join: &Join,
        (input, columns): (Input, Program),
        (left, right, both): (Rows, Rows, Rows),
    ) {
        if let Some(within) = &join.within {
            let message = "`within` bounds how far apart two events are, and rows that change are no events";
            let found = Diagnostic::error(codes::MISPLACED_CLAUSE, within.span, message).label("not here");
            self.report(found.help("leave `within` out: a row matches as long as it is there"));
        }
        for (rows, name) in [(&left, &flow.start), (&right, &join.right.name.text)] {
            if !rows.kind.is_changing() && !rows.bounded && !rows.open {
                self.grows_for_ever(flow, step, join, name);
            }
        }
        let windows = window_of(&left).zip(window_of(&right)).map(|(left, right)| [left, right]);
        if join.on.is_none() && windows.is_none() && !both.open {
            self.no_condition(step, join);
        }
        let on = self.on(join, &both);
        let kind = kind(join.kind);
        let alias = join.alias.as_ref().unwrap_or(&join.right.name).text.clone();
        let key = super::keys::joined(&left, &right, kind, Matched { on: on.as_ref(), windows }, &alias);
        let mut rows = joined(&left, &right, &both, kind, on.as_ref());
        rows.kind = Kind::Changing { key };
        rows.bounded = false;
        let joined = CheckedJoin { right: input, columns, alias, kind, on, windows, within: None, whole: false };
        flow.push(step, keyword(join.kind), Operation::Join(Box::new(joined)), rows);
    }

    /// The condition over the columns of both sides; null where it is wrong, which was reported.
    fn on(&self, join: &Join, both: &Rows) -> Option<Expr> {
        let mut env = Env::new(both);
        let on = join.on.as_ref().map(|condition| {
            let on = self.condition(&mut env, condition, "the condition of a join");
            on.unwrap_or_else(|| super::steps::null_at(condition.span))
        });
        self.lineage.borrow_mut().root(&env.reads);
        on
    }

    /// Reports rows that are only added, without end, in a join to rows that change.
    fn grows_for_ever(&self, flow: &FlowBuilder, step: &Step, join: &Join, name: &str) {
        let other = if join.right.name.text == name { &flow.start } else { &join.right.name.text };
        let source = quote_name(name);
        self.report(
            Diagnostic::error(
                codes::UNBOUNDED_STATE,
                step.keyword,
                format!("this join would remember every row of `{name}` for ever: any of them may match when `{other}` changes"),
            )
            .label("grows with every row")
            .help(format!(
                "if its table is updated, follow it: `changes` in the source `{source}`; if its rows are looked up as they come, let the other side be a `table`"
            )),
        );
    }

    /// Whether a stream that is joined to itself has another name there.
    fn is_told_apart(&self, flow: &FlowBuilder, join: &Join) -> bool {
        let name = &join.right.name;
        let same = flow.start == name.text && join.alias.is_none() && join.right.output.is_none();
        if same {
            self.report(
                Diagnostic::error(codes::DUPLICATE_ALIAS, name.span, format!("`{}` is joined to itself", name.text))
                    .label("both sides have this name")
                    .help(format!(
                        "give this side another name: `join {0} as other on other.key == key`",
                        quote_name(&name.text)
                    )),
            );
        }
        !same
    }

    /// How the time bounds the matches: by `within`, or else by windows where both sides have some.
    fn matching(&self, left: &mut Rows, right: &mut Rows, join: &Join) -> Matching {
        let windows = window_of(left).zip(window_of(right)).filter(|_| join.within.is_none());
        let windows = windows.map(|(left, right)| [left, right]);
        let bound = match (&join.within, windows) {
            (Some(within), _) => Some((self.within(within, "the duration of a join").unwrap_or_default(), within.span)),
            (None, Some(_)) => Some((0, join.right.span)),
            (None, None) => None,
        };
        let within = bound.map(|(duration, span)| {
            let null = || super::steps::null_at(span);
            let ours = self.event_time_of(left, span, "the left side of the join needs");
            let theirs = match ours.is_some() || left.open {
                true => self.event_time_of(right, span, "the right side of the join needs"),
                false => None,
            };
            if ours.is_none() || theirs.is_none() {
                left.time.assume();
                right.time.assume();
            }
            (Bound { time: ours.unwrap_or_else(null), duration }, theirs.unwrap_or_else(null))
        });
        Matching { within, windows }
    }
}

/// The positions of the bounds of the rows' windows, where they have some.
fn window_of(rows: &Rows) -> Option<(usize, usize)> {
    let (start, end) = rows.time.window.as_ref()?;
    Some((rows.own(start)?.slot, rows.own(end)?.slot))
}

fn kind(kind: ast::JoinKind) -> JoinKind {
    match kind {
        ast::JoinKind::Inner => JoinKind::Inner,
        ast::JoinKind::Left => JoinKind::Left,
        ast::JoinKind::Right => JoinKind::Right,
        ast::JoinKind::Full => JoinKind::Full,
        ast::JoinKind::Semi => JoinKind::Semi,
        ast::JoinKind::Anti => JoinKind::Anti,
    }
}

/// The rows behind a join. They have the left event time, where there always is a left row.
fn joined(left: &Rows, right: &Rows, both: &Rows, kind: JoinKind, on: Option<&Expr>) -> Rows {
    let width = left.columns.len();
    let mut columns = both.columns.clone();
    if !kind.yields_right() {
        columns.truncate(width);
    }
    for (place, column) in columns.iter_mut().enumerate() {
        let widened = if place < width { kind.widens_left() } else { kind.widens_right() };
        let nullable = |ty: Type| if widened { ty.with_nullable(true) } else { ty };
        column.ty = column.ty.take().map(nullable);
    }
    let mut known = if kind.widens_left() { Default::default() } else { left.facts.clone() };
    if let (Some(on), JoinKind::Inner | JoinKind::Semi) = (on, kind) {
        known.add(facts(on, Outcome::True).of_slots());
    }
    let kept = columns.len();
    let mut rows = left.with_columns(columns);
    rows.open = both.open;
    rows.facts = known.moved(|slot| Some(slot).filter(|s| *s < kept));
    rows.meet(right);
    rows.time.with(&right.time);
    rows.time.unordered = true;
    if kind.widens_left() {
        (rows.time.event, rows.time.window) = (None, None);
    }
    rows
}
