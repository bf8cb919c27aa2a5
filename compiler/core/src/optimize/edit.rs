//! Changing graphs and programs in place. It must not know of why.

use flowc_ir::graph::{Graph, NodeId, Operator};
use flowc_ir::plan::Plan;
use flowc_ir::{Expr, ExprKind, LocalId, Program, ProgramStep};
use std::collections::BTreeMap;

/// For every node, the nodes that read it, once for each time.
pub(super) fn readers(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut readers = vec![vec![]; graph.nodes.len()];
    for (id, node) in graph.iter() {
        for input in &node.inputs {
            readers[input.0 as usize].push(id);
        }
    }
    readers
}

/// The program of a node that is a `Transform`.
pub(super) fn transform(graph: &Graph, node: NodeId) -> Option<&Program> {
    match &graph.node(node).operator {
        Operator::Transform(program) => Some(program),
        _ => None,
    }
}

/// Brings nodes into topological order again and drops those that lead to no sink.
pub(super) fn renumber(plan: &mut Plan) {
    fn visit(graph: &Graph, node: NodeId, order: &mut Vec<NodeId>, place: &mut BTreeMap<NodeId, NodeId>) {
        // Graphs are as deep as a program has steps: an explicit stack, not recursion.
        let mut stack = vec![(node, 0)];
        while let Some((node, next)) = stack.pop() {
            if place.contains_key(&node) {
                continue;
            }
            match graph.node(node).inputs.get(next) {
                Some(input) => {
                    stack.push((node, next + 1));
                    if !place.contains_key(input) {
                        stack.push((*input, 0));
                    }
                }
                None => {
                    place.insert(node, NodeId(order.len() as u32));
                    order.push(node);
                }
            }
        }
    }
    let mut sinks: Vec<(u32, NodeId)> = vec![];
    for (id, node) in plan.graph.iter() {
        if let Operator::Sink(sink) = node.operator {
            sinks.push((sink.0, id));
        }
    }
    sinks.sort();
    let (mut order, mut place) = (vec![], BTreeMap::new());
    for (_, sink) in sinks {
        visit(&plan.graph, sink, &mut order, &mut place);
    }
    let nodes = order.iter().map(|id| {
        let mut node = plan.graph.node(*id).clone();
        node.inputs.iter_mut().for_each(|input| *input = place[input]);
        node
    });
    plan.graph = Graph { nodes: nodes.collect() };
    for node in plan.graph.nodes.clone() {
        if let Operator::Sink(sink) = node.operator {
            plan.sinks[sink.0 as usize].input = node.inputs[0];
        }
    }
}

/// All programs of the graph.
pub(super) fn programs_mut(graph: &mut Graph) -> Vec<&mut Program> {
    let mut programs = vec![];
    for node in &mut graph.nodes {
        match &mut node.operator {
            Operator::Transform(program) => programs.push(program),
            Operator::Lookup(lookup) => {
                programs.push(&mut lookup.prepare);
                programs.extend(lookup.residual.as_mut());
            }
            Operator::Join(join) => programs.extend(join.residual.as_mut()),
            _ => {}
        }
    }
    programs
}

/// The expressions of a program in the order of evaluation.
pub(super) fn expressions(program: &Program) -> impl Iterator<Item = &Expr> {
    program.steps.iter().map(step_expression).chain(program.outputs.iter().map(|o| &o.value))
}

/// As [`expressions`], to change them.
pub(super) fn expressions_mut(program: &mut Program) -> impl Iterator<Item = &mut Expr> {
    let steps = program.steps.iter_mut().map(|step| match step {
        ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => e,
    });
    steps.chain(program.outputs.iter_mut().map(|o| &mut o.value))
}

/// The expression of a step.
pub(super) fn step_expression(step: &ProgramStep) -> &Expr {
    match step {
        ProgramStep::Let(e) | ProgramStep::Filter(e) | ProgramStep::Assert { condition: e, .. } => e,
    }
}

/// Replaces columns as the map says; columns that are not in it stay.
pub(super) fn move_columns(expr: &mut Expr, place: &BTreeMap<usize, usize>) {
    expr.walk_mut(&mut |e| {
        if let ExprKind::Column(slot) = &mut e.kind
            && let Some(new) = place.get(slot)
        {
            *slot = *new;
        }
    });
}

/// Puts an expression in the place of every read of a column slot. Variables inside are renamed where they would meet others.
pub(super) fn substitute(into: &mut Expr, slot: usize, value: &Expr) {
    let mut next = next_local(into).max(next_local(value));
    into.walk_mut(&mut |e| {
        if e.kind == ExprKind::Column(slot) {
            let mut fresh = value.clone();
            rename_locals(&mut fresh, &mut next);
            let ty = e.ty.clone();
            *e = fresh;
            // The read may have been of a narrower or wider type.
            if matches!(e.kind, ExprKind::Column(_)) || may_be(&e.ty, &ty) {
                e.ty = ty;
            }
        }
    });
}

/// Whether some read of the slot knows more than the value's type: that it is not null. Then only a column can take its place.
pub(super) fn is_narrowed(expr: &Expr, slot: usize, value: &Expr) -> bool {
    let mut narrowed = false;
    expr.walk(&mut |e| narrowed |= e.kind == ExprKind::Column(slot) && !may_be(&value.ty, &e.ty));
    narrowed && !matches!(value.kind, ExprKind::Column(_))
}

/// Whether an expression of the one type may be declared to have the other: only wider in nullability.
fn may_be(from: &flowc_ir::Type, to: &flowc_ir::Type) -> bool {
    from.data == to.data && (to.nullable || !from.nullable)
}

/// A variable that is not in the tree, nor any above it.
pub(super) fn next_local(expr: &Expr) -> u32 {
    let mut next = 0;
    expr.walk(&mut |e| {
        if let ExprKind::Let { local, .. } = &e.kind {
            next = next.max(local.0 + 1);
        }
    });
    next
}

fn rename_locals(expr: &mut Expr, next: &mut u32) {
    let mut names = BTreeMap::new();
    expr.walk(&mut |e| {
        if let ExprKind::Let { local, .. } = &e.kind {
            names.insert(*local, LocalId(*next));
            *next += 1;
        }
    });
    expr.walk_mut(&mut |e| match &mut e.kind {
        ExprKind::Let { local, .. } | ExprKind::Local(local) => {
            if let Some(new) = names.get(local) {
                *local = *new;
            }
        }
        _ => {}
    });
}

/// How deep a tree is.
pub(super) fn depth(expr: &Expr) -> usize {
    1 + expr.children().into_iter().map(depth).max().unwrap_or(0)
}
