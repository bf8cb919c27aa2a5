//! `flowc explain`: the page of a diagnostic, the plan of a program, or a stage on the way to it.

use crate::cli::{Explain, ExplainFlags, Format, Stage};
use crate::commands::checked;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::pages;
use crate::world::{self, Program};
use flowc_core::checked::{Checked, Rows};
use flowc_core::explain::{Actual, Analysis, Explanation, guarantees};
use flowc_core::pipeline::CheckOutcome;
use flowc_ir::Schema;
use flowc_ir::eval::KernelReport;
use flowc_ir::plan::{KernelSlot, Plan};
use flowc_ir::text::Origins;
use flowc_runtime::NodeWork;
use flowc_runtime::state;
use indexmap::IndexMap;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// A code's page, or a program.
pub fn explain(words: &Explain, console: &Console) -> Result<Exit, Failure> {
    if pages::looks_like_code(&words.what) && !Path::new(&words.what).exists() {
        return page(&words.what, words.flags.format, console);
    }
    let program = Program::open(Path::new(&words.what), &words.params.params)?;
    self::program(&program, &words.flags, console)
}

fn page(code: &str, format: Format, console: &Console) -> Result<Exit, Failure> {
    let Some((code, text)) = pages::page(code) else {
        let failure = Failure::usage(format!("there is no diagnostic `{code}`"));
        return Err(match pages::nearest(code) {
            Some(near) => failure.help(format!("did you mean `{near}`? docs/errors/index.md lists all")),
            None => failure.help("docs/errors/index.md lists all"),
        });
    };
    match format {
        Format::Text => console.out(&pages::render(text, console.color_out)),
        Format::Json => {
            let document = json!({ "code": code, "title": pages::title(code, text), "page": text });
            console.out_line(&format!("{document:#}"));
        }
    }
    Ok(Exit::Fine)
}

/// The plan of a program, or a stage.
pub fn program(program: &Program, flags: &ExplainFlags, console: &Console) -> Result<Exit, Failure> {
    let (stage, format) = (flags.stage, flags.format);
    let outcome = match checked(program, format, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    match stage {
        None => plan_of(program, &outcome, flags, console),
        Some(stage) => show_stage(stage, &outcome, format, console),
    }
}

/// The plan of a program, with what the last epoch did if that is asked for.
fn plan_of(
    program: &Program,
    outcome: &CheckOutcome,
    flags: &ExplainFlags,
    console: &Console,
) -> Result<Exit, Failure> {
    let mut explanation = explanation(outcome)?;
    if flags.analyze {
        let plan = world::plan(outcome)?;
        let root = flags.state.clone().unwrap_or_else(|| program.state());
        let analysis = match last_epoch(&root, &program.name, &plan) {
            Ok(analysis) => Some(analysis),
            Err(why) => {
                console.err(&format!("{}: {why}\n", program.name));
                None
            }
        };
        explanation.analyze(&plan, analysis);
    }
    match flags.format {
        Format::Text => console.out(&explanation.to_string()),
        Format::Json => {
            let document = serde_json::to_value(explanation).unwrap_or(Value::Null);
            console.out_line(&format!("{document:#}"));
        }
    }
    Ok(Exit::Fine)
}

/// Why there is no epoch to be shown, or the last one.
fn last_epoch(root: &Path, pipeline: &str, plan: &Plan) -> Result<Analysis, String> {
    let seen = state::look(root, pipeline).map_err(|error| error.to_string())?;
    let records = seen.iter().flat_map(|seen| seen.epochs.iter().rev());
    let Some((record, report)) = records.filter_map(|record| Some((record, record.report.as_ref()?))).next() else {
        return Err("no epoch has run yet, so only what is expected is shown".into());
    };
    let labels = plan.graph.nodes.iter().map(|node| &node.label);
    if !record.work.iter().map(|work| &work.label).eq(labels) {
        let why = "was run by another form of the program, or counted nothing: run it, then ask again";
        return Err(format!("epoch {} {why}", record.epoch));
    }
    let actual =
        |work: &NodeWork| Actual { rows_in: work.rows_in, rows_out: work.rows_out, microseconds: work.microseconds };
    let nodes = record.work.iter().map(actual).collect();
    Ok(Analysis { epoch: record.epoch, started: record.started, duration: report.duration, nodes })
}

fn show_stage(stage: Stage, outcome: &CheckOutcome, format: Format, console: &Console) -> Result<Exit, Failure> {
    match (stage, format) {
        (Stage::Plan, Format::Json) => {
            let document = serde_json::to_value(world::plan(outcome)?).unwrap_or(Value::Null);
            console.out_line(&format!("{document:#}"));
        }
        (stage, Format::Text) => console.out(&stage_text(stage, outcome)?),
        (stage, Format::Json) => {
            let name = format!("{stage:?}").to_lowercase();
            console.out_line(&format!("{:#}", json!({ "stage": name, "text": stage_text(stage, outcome)? })));
        }
    }
    Ok(Exit::Fine)
}

/// The plan as a person reads it, with what the world and the code generator say of it.
fn explanation(outcome: &CheckOutcome) -> Result<Explanation, Failure> {
    let executable = world::executable(world::plan(outcome)?)?;
    let reports: IndexMap<KernelSlot, KernelReport> =
        executable.kernels.iter().map(|(slot, kernel)| (*slot, kernel.report())).collect();
    let guarantees = outcome.checked.iter().flat_map(|checked| guarantees(checked, &outcome.sources)).collect();
    Ok(flowc_core::explain::explain(&executable.plan, guarantees, &reports, &world::reads(outcome, &executable.plan)?))
}

fn stage_text(stage: Stage, outcome: &CheckOutcome) -> Result<String, Failure> {
    Ok(match stage {
        Stage::Ast => syntax_trees(outcome),
        Stage::Types => outcome.checked.as_ref().map(types).unwrap_or_default(),
        Stage::Graph => flowc_ir::text::print_graph(&world::plan(outcome)?.graph, Origins::Omitted),
        Stage::Plan => flowc_ir::text::print_plan(&world::plan(outcome)?, Origins::Omitted),
        Stage::Clif => kernels(outcome, flowc_codegen::clif)?,
        Stage::Asm => kernels(outcome, flowc_codegen::asm)?,
    })
}

fn syntax_trees(outcome: &CheckOutcome) -> String {
    let tree = |(id, file): (_, &flowc_syntax::SourceFile)| {
        let (ast, _) = flowc_syntax::parse(id, &file.text);
        format!("; {}\n{}\n", file.name, flowc_syntax::print(&ast))
    };
    outcome.sources.files().map(tree).collect()
}

/// The columns after every step.
fn types(program: &Checked) -> String {
    let mut text = String::new();
    for source in &program.sources {
        let _ = writeln!(text, "source {}\n{}", source.spec.name, columns(&source.schema));
    }
    for table in &program.tables {
        let _ = writeln!(text, "table {}\n{}", table.spec.name, columns(&table.spec.schema));
    }
    for flow in &program.flows {
        let _ = writeln!(text, "flow {}", flow.name);
        for step in &flow.steps {
            let _ = writeln!(text, "  |> {}  {}\n{}", step.keyword, properties(&step.rows), columns(&step.rows.schema));
        }
        if flow.steps.is_empty() {
            text.push_str(&columns(&flow.rows.schema));
            text.push('\n');
        }
    }
    for sink in &program.sinks {
        let _ = writeln!(text, "sink {}\n{}", sink.name, columns(&sink.program.output_schema()));
    }
    text
}

fn properties(rows: &Rows) -> String {
    let kind = match &rows.kind {
        flowc_ir::graph::Kind::Append => "append".to_string(),
        flowc_ir::graph::Kind::Changing { key } => format!("changing by {}", key.join(", ")),
    };
    format!("({kind}{})", if rows.bounded { ", bounded" } else { "" })
}

fn columns(schema: &Schema) -> String {
    schema.fields.iter().map(|field| format!("    {field}\n")).collect()
}

fn kernels(outcome: &CheckOutcome, text: fn(&flowc_ir::Program) -> Result<String, String>) -> Result<String, Failure> {
    let plan = world::plan(outcome)?;
    let mut out = String::new();
    for (slot, program) in plan.programs() {
        let code = text(program).map_err(|why| Failure::world(format!("the code generator failed: {why}")))?;
        let _ = writeln!(out, "; {}\n{code}", slot_name(&plan, slot));
    }
    Ok(out)
}

/// What the user calls the node of a kernel.
fn slot_name(plan: &Plan, slot: KernelSlot) -> String {
    let (node, what) = match slot {
        KernelSlot::Transform(node) => (node, ""),
        KernelSlot::Prepare(node) => (node, " (the table's rows)"),
        KernelSlot::Residual(node) => (node, " (further conditions)"),
    };
    format!("{}{what}", plan.graph.node(node).label)
}
