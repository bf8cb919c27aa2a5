//! `flowc new`: a project that runs. Its tables are made on the spot, by a program of the project.

use crate::cli::New;
use crate::commands::run;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::world::{Program, describe};
use std::path::Path;

/// What a project consists of: path and text. `NAME` stands for the project's name.
const FILES: &[(&str, &str)] = &[
    ("NAME.flow", include_str!("../template/program.flow")),
    ("append.flow", include_str!("../template/append.flow")),
    ("incoming/sensor-1.csv", include_str!("../template/incoming/sensor-1.csv")),
    ("incoming/device-1.csv", include_str!("../template/incoming/device-1.csv")),
    ("README.md", include_str!("../template/README.md")),
    (".gitignore", include_str!("../template/gitignore")),
];

/// What the program that fills the tables makes.
const TABLES: &[&str] = &["warehouse/sensor", "warehouse/device"];

/// Makes the project; touches nothing that is there already.
pub fn new(words: &New, console: &Console) -> Result<Exit, Failure> {
    let name = project_name(&words.dir)?;
    let files: Vec<(String, String)> =
        FILES.iter().map(|(path, text)| (path.replace("NAME", &name), text.replace("NAME", &name))).collect();
    let made = files.iter().map(|(path, _)| path.as_str()).chain(TABLES.iter().copied());
    if let Some(there) = made.map(|path| words.dir.join(path)).find(|path| path.exists()) {
        return Err(Failure::usage(format!("`{}` is there already", there.display()))
            .help("name a directory that does not exist yet; nothing was changed"));
    }
    for (path, text) in &files {
        write(&words.dir.join(path), text)?;
    }
    let append = Program::open(&words.dir.join("append.flow"), &[])?;
    match run::quietly(&append, console)? {
        Exit::Fine => {}
        exit => return Ok(exit),
    }
    let program = words.dir.join(format!("{name}.flow"));
    console.out_line(&format!("made {}; run it with\n\n  flowc run {}", words.dir.display(), program.display()));
    Ok(Exit::Fine)
}

/// The last part of the directory's path; it names the program, so it must do as a name.
fn project_name(dir: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(dir).map_err(|e| Failure::usage(describe(&e)))?;
    let name = absolute.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let fits = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    if name.is_empty() || !fits || name == "append" {
        return Err(Failure::usage(format!("`{name}` cannot name a program"))
            .help("use letters, digits, `_` and `-`, for example flowc new weather"));
    }
    Ok(name)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|e| Failure::world(format!("cannot write `{}`: {}", path.display(), describe(&e))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_directory() {
        assert_eq!(project_name(Path::new("a/weather")).unwrap(), "weather");
        assert_eq!(project_name(Path::new("my project")).unwrap_err().exit, Exit::Usage);
        assert_eq!(project_name(Path::new("/")).unwrap_err().exit, Exit::Usage);
    }
}
