//! Adjacent `Transform`s become one program.
//!
//! Law: a program is a function of the row, so running one behind the other is running their composition. What the first yields becomes a `Let`, computed
//! once where it was computed before, ahead of the second's steps. Only a node with a single reader is fused: one that several read runs once.

use super::edit::{move_columns, readers, renumber, transform};
use flowc_ir::graph::{NodeId, Operator};
use flowc_ir::plan::Plan;
use flowc_ir::{ExprKind, Output, Program, ProgramStep};
use std::collections::BTreeMap;

/// Fuses wherever it can.
pub(super) fn run(plan: &mut Plan) {
    let readers = readers(&plan.graph);
    for index in 0..plan.graph.nodes.len() {
        let id = NodeId(index as u32);
        let Some(second) = transform(&plan.graph, id) else { continue };
        let before = plan.graph.node(id).inputs[0];
        let Some(first) = transform(&plan.graph, before).filter(|_| readers[before.0 as usize].len() == 1) else {
            continue;
        };
        let program = compose(first, second);
        let (inputs, label) = {
            let before = plan.graph.node(before);
            (before.inputs.clone(), join_labels(&before.label, &plan.graph.node(id).label))
        };
        let node = &mut plan.graph.nodes[index];
        (node.operator, node.inputs, node.label) = (Operator::Transform(program), inputs, label);
    }
    renumber(plan);
}

/// What both are called, nothing twice.
fn join_labels(first: &str, second: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in first.split(" + ").chain(second.split(" + ")) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(" + ")
}

/// The program that runs `first`, then `second`.
pub(super) fn compose(first: &Program, second: &Program) -> Program {
    let mut steps = first.steps.clone();
    let lets = |steps: &[ProgramStep]| steps.iter().filter(|s| matches!(s, ProgramStep::Let(_))).count();
    let mut next = first.input.len() + lets(&steps);
    let mut place = BTreeMap::new();
    for (i, output) in first.outputs.iter().enumerate() {
        let slot = match output.value.kind {
            ExprKind::Column(slot) => slot,
            _ => {
                steps.push(ProgramStep::Let(output.value.clone()));
                next += 1;
                next - 1
            }
        };
        place.insert(i, slot);
    }
    let mut own = second.input.len();
    for step in &second.steps {
        let mut step = step.clone();
        match &mut step {
            ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => {
                move_columns(e, &place);
            }
        }
        if matches!(step, ProgramStep::Let(_)) {
            place.insert(own, next);
            (own, next) = (own + 1, next + 1);
        }
        steps.push(step);
    }
    let mut outputs: Vec<Output> = second.outputs.clone();
    outputs.iter_mut().for_each(|o| move_columns(&mut o.value, &place));
    Program { input: first.input.clone(), steps, outputs }
}

/// `Transform`s that pass all columns on as they are give way to what they read.
pub(super) fn leave_out_identities(plan: &mut Plan) {
    for index in 0..plan.graph.nodes.len() {
        let id = NodeId(index as u32);
        let Some(program) = transform(&plan.graph, id).filter(|p| is_identity(p)) else { continue };
        debug_assert_eq!(program.outputs.len(), program.input.len());
        let before = plan.graph.node(id).inputs[0];
        for node in &mut plan.graph.nodes {
            for input in node.inputs.iter_mut().filter(|input| **input == id) {
                *input = before;
            }
        }
    }
    renumber(plan);
}

fn is_identity(program: &Program) -> bool {
    let same = |(i, output): (usize, &Output)| {
        let input = &program.input.fields[i];
        output.value.kind == ExprKind::Column(i) && output.field.name == input.name && output.field.ty == input.ty
    };
    program.steps.is_empty()
        && program.outputs.len() == program.input.len()
        && program.outputs.iter().enumerate().all(same)
}
