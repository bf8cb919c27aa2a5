//! What no test reached: flows and sinks that no given row leads to, rules that no row fails or no row passes, branches of expressions that were never taken. Branches are found by the reference
//! interpreter, which tells at each `if`, `match` and `??` which way it went.

use super::execution::Ended;
use flowc_core::checked::{Checked, CheckedTest, ClauseKind, Input, Observed, Operation};
use flowc_ir::graph::ExpectRule;
use flowc_ir::interpret::{Recorder, continues};
use flowc_ir::{Expr, ExprKind, Origin};
use flowc_syntax::SourceMap;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a program's text a line shows.
const MOST_TEXT: usize = 40;

/// Remembers the branches that were taken.
#[derive(Debug, Default)]
pub struct Taken(Mutex<BTreeSet<(Origin, Origin)>>);

impl Recorder for Taken {
    fn branch(&self, whole: Origin, taken: Origin) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((whole, taken));
    }
}

/// What the tests of a program reach.
#[derive(Debug, Default)]
pub struct Coverage {
    taken: Arc<Taken>,
    reached: BTreeSet<Observed>,
    /// By flow and rule: whether a row passed, and whether one failed.
    rules: BTreeMap<(String, String), (bool, bool)>,
    /// Where runs stopped: a rule that stops a run has failed.
    stopped: BTreeSet<Origin>,
}

/// Something that tests should reach.
#[derive(Debug, Clone)]
pub struct Point {
    /// `flow`, `sink`, `rule`, `if`, `match`, `??`
    pub kind: &'static str,
    /// Its name, or the text of the branch.
    pub what: String,
    /// What is to be said if it was not reached.
    missing: String,
    /// Where.
    pub origin: Origin,
    /// Whether a test reached it.
    pub reached: bool,
}

impl Coverage {
    /// Is told of the branches.
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        self.taken.clone()
    }

    /// A test is about to run.
    pub fn add(&mut self, program: &Checked, test: &CheckedTest, observed: &[Observed]) {
        let program = test.variant.as_deref().unwrap_or(program);
        let given: BTreeSet<Input> = (test.clauses.iter())
            .filter_map(|c| match &c.kind {
                ClauseKind::Given(input, rows) if !rows.is_empty() => Some(*input),
                _ => None,
            })
            .collect();
        for observed in observed {
            let input = match observed {
                Observed::Rows(input) => *input,
                Observed::Sink(index) => program.sinks[*index].input,
            };
            let fed = |input: Input| !program.sources_of(input).is_disjoint(&given);
            if !fed(input) {
                continue;
            }
            self.reached.insert(*observed);
            let flows = program.sources_of(input).into_iter().filter(|i| fed(*i));
            self.reached.extend(flows.map(Observed::Rows));
        }
    }

    /// What the expectations of a test's run came to.
    pub fn judged(&mut self, ended: &Ended) {
        self.stopped.extend(ended.error.as_ref().and_then(|(_, error)| error.origin));
        for report in ended.summaries.iter().flat_map(|summary| &summary.expectations) {
            let (passed, failed) = self.rules.entry((report.flow.clone(), report.name.clone())).or_default();
            *passed |= report.counts.passed > report.counts.repaired;
            *failed |= report.counts.failed > 0 || report.counts.repaired > 0;
        }
    }

    /// All that could be reached, in the order of the text.
    pub fn points(&self, program: &Checked, sources: &SourceMap) -> Vec<Point> {
        let program = program.unproved.as_deref().unwrap_or(program);
        let mut points = vec![];
        for (index, flow) in program.flows.iter().enumerate() {
            let reached = self.reached.contains(&Observed::Rows(Input::Flow(index)));
            let missing = format!("no given row reaches the flow `{}`", flow.name);
            points.push(Point { kind: "flow", what: flow.name.clone(), missing, origin: flow.origin, reached });
            // Rules of a flow that no test reaches need no word of their own.
            for step in flow.steps.iter().filter(|_| reached) {
                let Operation::Expect(expect) = &step.operation else { continue };
                points.extend(expect.rules.iter().map(|rule| self.rule(&flow.name, rule)));
            }
        }
        for (index, sink) in program.sinks.iter().enumerate() {
            // What is known of a sink's rows is known of those of its flow; what is not is its own constraints and columns.
            let reached = self.reached.contains(&Observed::Sink(index));
            let missing = format!("no test looks at the sink `{}`", sink.name);
            points.push(Point { kind: "sink", what: sink.name.clone(), missing, origin: sink.origin, reached });
        }
        let taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missed: Vec<Origin> = vec![];
        for ((whole, arm), kind) in branches(program, sources) {
            // What stands in a branch that was not taken is not to be told of again.
            if missed.iter().any(|m| inside(whole, *m)) {
                continue;
            }
            let reached = taken.contains(&(whole, arm));
            if !reached {
                missed.push(arm);
            }
            let what = text_at(sources, arm);
            let missing = format!("`{kind}` never gives `{what}`");
            points.push(Point { kind, what, missing, origin: arm, reached });
        }
        points.sort_by_key(|p| p.origin);
        points
    }

    /// A rule is reached if a row passes it and another one fails.
    fn rule(&self, flow: &str, rule: &ExpectRule) -> Point {
        let known = self.rules.get(&(flow.to_string(), rule.name.clone())).copied().unwrap_or_default();
        let known = (known.0, known.1 || self.stopped.contains(&rule.origin));
        let what = if rule.share.is_some() { "epoch" } else { "row" };
        let does = match known {
            (true, _) => format!("no {what} of a test fails"),
            (false, true) => format!("no {what} of a test passes"),
            (false, false) => format!("no {what} of a test reaches"),
        };
        Point {
            kind: "rule",
            what: format!("{flow}.{}", rule.name),
            missing: format!("{does} the rule `{}` of `{flow}`", rule.name),
            origin: rule.origin,
            reached: known == (true, true),
        }
    }
}

fn inside(inner: Origin, outer: Origin) -> bool {
    inner.file == outer.file && inner.start >= outer.start && inner.end <= outer.end
}

fn text_at(sources: &SourceMap, origin: Origin) -> String {
    let text: Vec<&str> = sources.text(super::span(origin)).split_whitespace().collect();
    let text = text.join(" ");
    if text.chars().count() <= MOST_TEXT {
        return text;
    }
    text.chars().take(MOST_TEXT - 1).collect::<String>() + "…"
}

/// The branches of all expressions, each with the expression it is one of; those around others first.
fn branches(program: &Checked, sources: &SourceMap) -> BTreeMap<(Origin, Origin), &'static str> {
    let mut found = BTreeMap::new();
    let all = (0..program.flows.len()).map(|i| Observed::Rows(Input::Flow(i)));
    let all = all.chain((0..program.sinks.len()).map(Observed::Sink));
    program.walk(all, &mut |e: &Expr| {
        let (kind, arms): (_, Vec<Origin>) = match &e.kind {
            ExprKind::If { then, otherwise, .. } => {
                let is_match = sources.text(super::span(e.origin)).starts_with("match");
                let last = (!continues(e, otherwise)).then_some(otherwise.origin);
                (if is_match { "match" } else { "if" }, [then.origin].into_iter().chain(last).collect())
            }
            ExprKind::Coalesce(xs) => ("??", xs.iter().map(|x| x.origin).collect()),
            _ => return,
        };
        // What the compiler itself put there has no places of its own.
        if arms.iter().all(|arm| inside(*arm, e.origin) && *arm != e.origin) {
            found.extend(arms.into_iter().map(|arm| ((e.origin, arm), kind)));
        }
    });
    found
}

/// For people: how many of what, then each that was not reached.
pub fn text(points: &[Point], sources: &SourceMap) -> String {
    let count = |of: &dyn Fn(&Point) -> bool, one: &str, more: &str| {
        let all = points.iter().filter(|p| of(p)).count();
        let reached = points.iter().filter(|p| of(p) && p.reached).count();
        (all > 0).then(|| format!("{reached} of {all} {}", if all == 1 { one } else { more }))
    };
    let branch = |p: &Point| !matches!(p.kind, "flow" | "sink" | "rule");
    let parts = [
        count(&|p| p.kind == "flow", "flow", "flows"),
        count(&|p| p.kind == "sink", "sink", "sinks"),
        count(&|p| p.kind == "rule", "rule", "rules"),
        count(&branch, "branch", "branches"),
    ];
    let mut out = format!("coverage: {}\n", parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    for point in points.iter().filter(|p| !p.reached) {
        let (line, _) = sources.line_column(super::span(point.origin).file, point.origin.start);
        let file = &sources.file(super::span(point.origin).file).name;
        out.push_str(&format!("  {file}:{line}: {}\n", point.missing));
    }
    out
}

/// For programs.
pub fn document(points: &[Point], sources: &SourceMap) -> Vec<Value> {
    let one = |point: &Point| {
        let (line, column) = sources.line_column(super::span(point.origin).file, point.origin.start);
        json!({
            "kind": point.kind,
            "what": point.what,
            "file": sources.file(super::span(point.origin).file).name,
            "start": { "line": line, "column": column },
            "reached": point.reached,
        })
    };
    points.iter().map(one).collect()
}
