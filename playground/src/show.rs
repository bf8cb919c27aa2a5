//! The graph and the plan of a program. Must not know how either is made.

use crate::session::{PATH, Session};
use flowc_core::explain::{explain, guarantees};
use flowc_core::picture;
use flowc_core::pipeline;
use flowc_ir::interpret::Interpreter;
use flowc_ir::plan::Executable;
use indexmap::IndexMap;
use serde_json::{Value as Json, json};

/// A picture of the graph as SVG, and the plan as text; nothing of a program that does not run.
pub(crate) fn show(session: &mut Session) -> Json {
    session.settle();
    let analysis = session.workspace.program(PATH);
    // An analysis leaves proofs to whoever wants them.
    let mut outcome = analysis.outcome.clone();
    pipeline::prove(&mut outcome);
    let Some(checked) = &outcome.checked else { return json!({}) };
    let plan = checked.lower().optimize();
    let graph = picture::svg(&plan);
    match Executable::compile(plan, &Interpreter) {
        Ok(executable) => {
            let reports = executable.kernels.iter().map(|(slot, kernel)| (*slot, kernel.report())).collect();
            let known = guarantees(checked, &outcome.sources);
            let text = explain(&executable.plan, known, &reports, &IndexMap::new()).to_string();
            json!({ "graph": graph, "plan": text })
        }
        Err(why) => json!({ "graph": graph, "plan": format!("the compiler failed: {why}") }),
    }
}
