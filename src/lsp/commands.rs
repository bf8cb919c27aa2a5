//! What an editor can have done: run a test, show the plan, look at rows, the page of a code. All but the rows are flowc's own commands, each in a process of
//! its own, so that it cannot hold up or end the server. Must not know what the commands do.

use crate::lsp::convert;
use crate::lsp::server::Server;
use lsp_server::{ErrorCode, Request, Response};
use lsp_types as l;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// The commands, as the protocol calls them.
pub const NAMES: &[&str] = &["flowc.runTest", "flowc.showPlan", "flowc.preview", "flowc.explainCode"];

impl Server {
    /// The lenses of a file, each with its command.
    pub(super) fn lenses(&mut self, params: l::CodeLensParams) -> Result<Option<Vec<l::CodeLens>>, String> {
        let Some((path, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let uri = params.text_document.uri.as_str();
        let lens = |lens: flowc_ide::Lens| {
            let (command, arguments) = match lens.action {
                flowc_ide::LensAction::RunTest(name) => ("flowc.runTest", vec![json!(uri), json!(name)]),
                flowc_ide::LensAction::ShowPlan => ("flowc.showPlan", vec![json!(uri)]),
                flowc_ide::LensAction::Preview(of) => preview_command(uri, &of),
            };
            l::CodeLens {
                range: convert::range(&document.text, &document.lines, &lens.range),
                command: Some(l::Command {
                    title: lens.title.into(),
                    command: command.into(),
                    arguments: Some(arguments),
                }),
                data: None,
            }
        };
        let all = self.workspace.lenses(&path).into_iter().map(lens);
        Ok(Some(all.collect()))
    }

    /// Does what a command says, in the background; the answer is `{output, exit}`.
    pub(super) fn execute(&mut self, request: Request) -> Option<Response> {
        let id = request.id.clone();
        let invalid = |text: String| Some(Response::new_err(id.clone(), ErrorCode::InvalidParams as i32, text));
        let params: l::ExecuteCommandParams = match serde_json::from_value(request.params.clone()) {
            Ok(params) => params,
            Err(e) => return invalid(e.to_string()),
        };
        let text = |n: usize| params.arguments.get(n).and_then(Value::as_str).unwrap_or_default().to_string();
        let file = || {
            let url = url::Url::parse(&text(0)).ok()?;
            Some(url.to_file_path().ok()?.to_string_lossy().into_owned())
        };
        let words: Option<Vec<String>> = match params.command.as_str() {
            "flowc.runTest" => file().map(|file| vec!["test".into(), file, "--filter".into(), text(1)]),
            "flowc.showPlan" => file().map(|file| vec!["explain".into(), file]),
            "flowc.preview" => {
                let Some(file) = file() else { return invalid("the first argument is a file's URI".into()) };
                let steps = params.arguments.get(2).and_then(Value::as_u64).map(|n| n as usize);
                return self.preview_text(request, &file, &flowc_ide::RowsOf { name: text(1), steps });
            }
            "flowc.explainCode" => Some(vec!["explain".into(), text(0)]),
            other => return invalid(format!("there is no command `{other}`")),
        };
        let Some(words) = words else {
            return invalid(format!("`{}` cannot be done with these arguments", params.command));
        };
        self.in_background(id.clone(), move || match run(&words) {
            Ok(value) => Response::new_ok(id, value),
            Err(why) => Response::new_err(id, ErrorCode::RequestFailed as i32, why),
        });
        None
    }
}

/// The command that shows rows, and its arguments.
pub(super) fn preview_command(uri: &str, of: &flowc_ide::RowsOf) -> (&'static str, Vec<Value>) {
    let mut arguments = vec![json!(uri), json!(of.name)];
    arguments.extend(of.steps.map(|steps| json!(steps)));
    ("flowc.preview", arguments)
}

/// Runs flowc with these words.
fn run(words: &[String]) -> Result<Value, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    // The streams of the server are the protocol's.
    let done = Command::new(own).args(words).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let output = [done.stdout, done.stderr].concat();
    Ok(json!({ "output": String::from_utf8_lossy(&output), "exit": done.status.code() }))
}
