//! `flowc build`: one executable with the runtime and the program, its plan, and a picture of its graph.

use crate::cli::{Build, Format};
use crate::commands::{checked, later};
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::payload::{Payload, write_atomically};
use crate::world::{self, Program, describe};
use flowc_core::pipeline::CheckOutcome;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Checks, compiles and writes.
pub fn build(words: &Build, console: &Console) -> Result<Exit, Failure> {
    match words.target.as_str() {
        "native" => {}
        "flink" => return Err(later("`--target flink`")),
        other => return Err(Failure::usage(format!("`{other}` is no target")).help("the target is `native`")),
    }
    let mut program = Program::open(&words.file, &words.params.params)?;
    if let Some(base) = &words.base {
        program.base = std::path::absolute(base).map_err(|e| cannot(base, &e))?;
    }
    let outcome = match checked(&program, Format::Text, console) {
        Ok(outcome) => outcome,
        Err(exit) => return Ok(exit),
    };
    let plan = world::plan(&outcome)?;
    let picture = flowc_core::picture::svg(&plan);
    let document = serde_json::to_vec_pretty(&plan).map_err(|e| Failure::world(e.to_string()))?;
    // Whatever the code generator cannot do is to be known now, not where the executable runs.
    world::executable(plan)?;
    std::fs::create_dir_all(&words.out).map_err(|e| cannot(&words.out, &e))?;
    let target = words.out.join(executable_name(&program.name));
    let own = std::env::current_exe().map_err(|e| Failure::world(format!("cannot find flowc itself: {e}")))?;
    payload(&program, &outcome).write(&own, &target).map_err(|e| cannot(&target, &e))?;
    let (json, svg) = (words.out.join("plan.json"), words.out.join("graph.svg"));
    write_atomically(&json, |file| file.write_all(&document)).map_err(|e| cannot(&json, &e))?;
    write_atomically(&svg, |file| file.write_all(picture.as_bytes())).map_err(|e| cannot(&svg, &e))?;
    for made in [&target, &json, &svg] {
        console.out_line(&made.display().to_string());
    }
    Ok(Exit::Fine)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::world(format!("cannot write `{}`: {}", path.display(), describe(error)))
}

fn executable_name(name: &str) -> PathBuf {
    PathBuf::from(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The program with the texts of all its files.
fn payload(program: &Program, outcome: &CheckOutcome) -> Payload {
    Payload {
        flowc: env!("CARGO_PKG_VERSION").to_string(),
        name: program.name.clone(),
        main: program.path.clone(),
        base: program.base.to_string_lossy().into_owned(),
        files: outcome.sources.files().map(|(_, file)| (file.name.clone(), file.text.to_string())).collect(),
        params: program.params.clone(),
        lock: lock::inside(program, outcome),
    }
}
