//! Programs without mistakes: the columns and types after each step, and the laws that the typed middle keeps.

use crate::support::{case, cases, check_text, rendered, run};
use flowc_core::checked::{Checked, CheckedFlow, EventTime, Operation, Rows};
use flowc_ir::verify::verify_program;
use flowc_ir::{Program, Schema};
use std::fmt::Write;

fn rows(out: &mut String, indent: &str, rows: &Rows) {
    let mut notes = vec![format!("{:?}", rows.kind)];
    notes.extend(rows.bounded.then(|| "bounded".to_string()));
    notes.extend(rows.event_time.as_ref().map(|time| match time {
        EventTime::Column(name) => format!("event time {name}"),
        EventTime::WindowEnd(name) => format!("event time before {name}"),
    }));
    notes.extend(rows.window.as_ref().map(|(start, end)| format!("window {start} to {end}")));
    writeln!(out, "{indent}({})  [{}]", rows.schema, notes.join(", ")).expect("a string takes text");
}

fn flow(out: &mut String, f: &CheckedFlow) {
    writeln!(out, "flow {} = {:?}", f.name, f.input).expect("a string takes text");
    for step in &f.steps {
        writeln!(out, "  |> {}", step.keyword).expect("a string takes text");
        if let Operation::Transform(program) = &step.operation {
            assert_eq!(program.output_schema(), step.rows.schema, "the rows behind a step are its program's");
        }
        rows(out, "     ", &step.rows);
    }
}

fn shown(checked: &Checked) -> String {
    let mut out = String::new();
    for source in &checked.sources {
        writeln!(out, "source {} ({})", source.spec.name, source.schema).expect("a string takes text");
    }
    for table in &checked.tables {
        writeln!(out, "table {} ({})", table.spec.name, table.spec.schema).expect("a string takes text");
    }
    for f in &checked.flows {
        flow(&mut out, f);
    }
    for sink in &checked.sinks {
        writeln!(out, "sink {} {:?} {:?}\n     ({})", sink.name, sink.input, sink.mode, sink.program.output_schema())
            .expect("a string takes text");
        for (what, items) in
            [("generated", &sink.generated), ("constraint", &sink.constraints), ("enforced", &sink.enforced)]
        {
            for (name, text) in items {
                writeln!(out, "     {what} {name}: {text}").expect("a string takes text");
            }
        }
        if !sink.partition_by.is_empty() {
            writeln!(out, "     partitioned by {}", sink.partition_by.join(", ")).expect("a string takes text");
        }
        for step in &sink.program.steps {
            if let flowc_ir::ProgramStep::Assert { what, .. } = step {
                writeln!(out, "     asserts {what}").expect("a string takes text");
            }
        }
    }
    out
}

fn lawful(name: &str, program: &Program) {
    if let Err(violations) = verify_program(program) {
        panic!("{name}: {violations:?}");
    }
}

/// Checks every program of a checked program against the laws, and that each fits the rows before it.
pub fn verify(name: &str, checked: &Checked) {
    let input = |i: flowc_core::checked::Input| -> Schema {
        use flowc_core::checked::Input::*;
        match i {
            Source(i) => checked.sources[i].schema.clone(),
            Malformed(_) => flowc_ir::graph::malformed_schema(),
            Table(i) => checked.tables[i].spec.schema.clone(),
            Flow(i) => checked.flows[i].rows.schema.clone(),
            Rejected(i) => checked.flows[i].rejected[0].program.output_schema(),
            Late(i) => checked.flows[i].late.as_ref().expect("a step").program.output_schema(),
        }
    };
    for source in &checked.sources {
        source.derive.iter().for_each(|p| lawful(name, p));
    }
    for f in &checked.flows {
        let mut before = input(f.input);
        for step in &f.steps {
            match &step.operation {
                Operation::Transform(program) => {
                    lawful(name, program);
                    assert_eq!(program.input, before, "{name}: `{}` of {}", step.keyword, f.name);
                }
                Operation::Union { align, others } => {
                    lawful(name, align);
                    assert_eq!(align.input, before);
                    for (from, program) in others {
                        lawful(name, program);
                        assert_eq!(program.input, input(*from));
                    }
                }
                Operation::Join(join) => {
                    lawful(name, &join.columns);
                    assert_eq!(join.columns.input, input(join.right));
                }
                _ => {}
            }
            if let Some(late) = f.late.as_ref().filter(|late| f.steps[late.step] == *step) {
                lawful(name, &late.program);
                assert_eq!(late.program.input, before, "{name}: late rows are what comes to the step");
            }
            before = step.rows.schema.clone();
        }
        assert_eq!(before, f.rows.schema, "{name}: the rows of a flow are those of its last step");
    }
    for sink in &checked.sinks {
        lawful(name, &sink.program);
        assert_eq!(sink.program.input, input(sink.input), "{name}: sink {}", sink.name);
    }
    // Lowering verifies its graph itself.
    checked.lower().optimize();
    for (index, f) in checked.flows.iter().enumerate() {
        use flowc_core::checked::{Input, Observed};
        let side = [(f.late.is_some(), Input::Late(index)), (!f.rejected.is_empty(), Input::Rejected(index))];
        let side = side.into_iter().filter(|(there, _)| *there).map(|(_, input)| input);
        for input in side.chain([Input::Flow(index)]) {
            checked.lower_for_test(&[Observed::Rows(input)]).optimize();
        }
    }
}

#[test]
fn steps_have_the_types_that_are_kept() {
    for (name, text) in cases("types") {
        let outcome = run(&case(&text));
        let checked = outcome.checked.as_ref().unwrap_or_else(|| panic!("{name}:\n{}", rendered(&outcome)));
        verify(&name, checked);
        let shown = format!("{}{}", shown(checked), rendered(&outcome));
        insta::with_settings!({ snapshot_path => "types", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn what_late_rows_can_change_is_known() {
    use flowc_core::checked::{Input, Observed};
    let outcome = check_text(
        "source s = delta(\"sensor\") { event_time at = timestamp_millis(timestamp)\n watermark 5s }\n\
         source u = delta(\"sensor_history\") { event_time at = timestamp_millis(timestamp) }\n\
         flow windows = s |> aggregate n = count() by id, window tumble(1m)\n\
         flow behind = windows |> where n > 1\n\
         flow once = s |> dedup by id within 1m\n\
         flow joined = u |> join once on once.id == id within 1m |> select id\n\
         flow whole = u |> aggregate n = count() by window tumble(1m)\n\
         flow plain = s |> where id > 0\n\
         sink a = behind -> console()\nsink b = joined -> delta(\"b\") { mode overwrite }\nsink c = plain -> console()\n\
         sink d = whole -> delta(\"d\") { mode overwrite }\n\
         sink e = windows.late -> console()\n",
    );
    let checked = outcome.checked.as_ref().unwrap_or_else(|| panic!("{}", rendered(&outcome)));
    let forgets = |name: &str, input: fn(usize) -> Input| {
        let index = checked.flows.iter().position(|f| f.name == name).expect("a flow");
        checked.forgets(&[Observed::Rows(input(index))])
    };
    let flow = Input::Flow;
    assert!(forgets("windows", flow) && forgets("behind", flow) && forgets("once", flow) && forgets("joined", flow));
    assert!(forgets("windows", Input::Late));
    assert!(!forgets("whole", flow) && !forgets("plain", flow));
}
