//! Which inputs get rows of a replay, and which have had them as rejected rows. What gets none is cut off: the rest of a union goes on without it.

use crate::checked::{Checked, CheckedLate, CheckedRejects, CheckedStep, Input, Operation};
use std::collections::BTreeSet;

/// What a replay reaches.
#[derive(Debug, Default)]
pub(super) struct Reach {
    gets: BTreeSet<Input>,
    has: BTreeSet<Input>,
}

impl Reach {
    /// Whether an input is computed from rejected rows of any flow.
    pub(super) fn reads_rejected(checked: &Checked, input: Input) -> bool {
        match input {
            Input::Rejected(_) => true,
            Input::Flow(index) | Input::Late(index) => {
                let mut read = vec![checked.flows[index].input];
                for step in &checked.flows[index].steps {
                    read.extend(step.operation.streams());
                }
                read.into_iter().any(|input| Reach::reads_rejected(checked, input))
            }
            Input::Source(_) | Input::Malformed(_) | Input::Table(_) => false,
        }
    }

    /// Cuts off what is not reached from the target, whose own steps are already those of the replay. Flows stand after those that they read.
    pub(super) fn cut(program: &mut Checked, target: usize) -> Reach {
        let mut reach = Reach::default();
        // The rejected rows are the last source; later entries of the target are flows of their own.
        let rows = Input::Source(program.sources.len().saturating_sub(1));
        reach.gets.extend([rows, Input::Flow(target)]);
        reach.has.insert(Input::Rejected(target));
        for index in target + 1..program.flows.len() {
            reach.flow(program, index);
        }
        reach
    }

    fn flow(&mut self, program: &mut Checked, index: usize) {
        let flow = &mut program.flows[index];
        let (mut gets, mut has) = (self.gets(flow.input), self.has(flow.input));
        let mut kept: Vec<CheckedStep> = vec![];
        let mut places = vec![];
        for step in &flow.steps {
            let mut step = step.clone();
            if let Operation::Union { align, others } = &step.operation {
                has |= others.iter().any(|(other, _)| self.has(*other));
                let mut parts: Vec<_> = others.iter().filter(|(other, _)| self.gets(*other)).cloned().collect();
                let mut align = align.clone();
                if !gets && !parts.is_empty() {
                    // The rows so far are none: the first of the others takes their place.
                    (flow.input, align) = parts.remove(0);
                    gets = true;
                }
                step.operation = match parts.is_empty() {
                    true => Operation::Transform(align),
                    false => Operation::Union { align, others: parts },
                };
            }
            if let Operation::Join(join) = &step.operation {
                // With rows on the other side it is part of the replay, which is then refused.
                gets |= self.gets(join.right);
                has |= self.has(join.right);
            }
            places.push(gets.then_some(kept.len()));
            kept.extend(gets.then_some(step));
        }
        let rejects = |r: &CheckedRejects| {
            Some(CheckedRejects { first: places[r.first]?, step: places[r.step]?, program: r.program.clone() })
        };
        flow.rejected = flow.rejected.iter().filter_map(rejects).collect();
        let late = flow.late.take();
        flow.late = late.and_then(|late| Some(CheckedLate { step: places[late.step]?, ..late }));
        flow.steps = kept;
        if gets {
            self.gets.insert(Input::Flow(index));
        }
        if gets && !flow.rejected.is_empty() {
            self.gets.insert(Input::Rejected(index));
        }
        if gets && flow.late.is_some() {
            self.gets.insert(Input::Late(index));
        }
        if has {
            self.has.extend([Input::Flow(index), Input::Rejected(index), Input::Late(index)]);
        }
    }

    /// Rules that judge epochs are not asked.
    pub(super) fn leave_out_epochs(&self, program: &mut Checked) {
        for step in program.flows.iter_mut().flat_map(|flow| &mut flow.steps) {
            if let Operation::Expect(expect) = &mut step.operation {
                expect.rules.retain(|rule| rule.share.is_none());
            }
        }
    }

    /// Whether the rows that pass get there.
    pub(super) fn gets(&self, input: Input) -> bool {
        self.gets.contains(&input)
    }

    /// Whether the rows got there when they were rejected.
    pub(super) fn has(&self, input: Input) -> bool {
        self.has.contains(&input)
    }
}
