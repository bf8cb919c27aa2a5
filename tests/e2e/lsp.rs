//! The language server as an editor meets it: the built binary, spoken to on its standard streams.

use crate::support::{Project, flowc};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// An editor.
struct Editor {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    asked: i64,
    /// Notifications that came while something else was waited for.
    heard: Vec<Value>,
}

impl Editor {
    fn start(folder: &Path) -> Editor {
        let mut server = flowc()
            .arg("lsp")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (server.stdin.take().unwrap(), BufReader::new(server.stdout.take().unwrap()));
        let mut editor = Editor { server, input, output, asked: 0, heard: vec![] };
        let folders = json!([{ "uri": uri(folder), "name": "test" }]);
        let told = editor.ask("initialize", json!({ "capabilities": {}, "workspaceFolders": folders }));
        assert_eq!(told["capabilities"]["textDocumentSync"]["change"], 2, "{told}");
        editor.tell("initialized", json!({}));
        editor
    }

    fn send(&mut self, message: Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server ended");
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some(n) = line.strip_prefix("Content-Length: ") {
                length = n.parse().unwrap();
            }
        }
        let mut text = vec![0; length];
        self.output.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn answer(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            if message["id"] == id {
                return message;
            }
            self.heard.push(message);
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Waits until the diagnostics of a file are as wished for.
    fn diagnostics(&mut self, file: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        loop {
            let message = if self.heard.is_empty() { self.receive() } else { self.heard.remove(0) };
            let params = &message["params"];
            if message["method"] == "textDocument/publishDiagnostics" && params["uri"] == file {
                let found = params["diagnostics"].as_array().unwrap();
                if wanted(found) {
                    return found.clone();
                }
            }
        }
    }

    fn open(&mut self, file: &str, text: &str) {
        let document = json!({ "uri": file, "languageId": "flow", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
    }

    fn change(&mut self, file: &str, version: i32, range: [u32; 4], text: &str) {
        let range = json!({
            "start": { "line": range[0], "character": range[1] }, "end": { "line": range[2], "character": range[3] }
        });
        self.tell(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": file, "version": version }, "contentChanges": [{ "range": range, "text": text }] }),
        );
    }

    fn end(mut self) -> Option<i32> {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        drop(self.input);
        self.server.wait().unwrap().code()
    }
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn at(file: &str, line: u32, character: u32) -> Value {
    json!({ "textDocument": { "uri": file }, "position": { "line": line, "character": character } })
}

const PROGRAM: &str = "source readings = delta(\"sensor\")\n\n# ä😀\nflow warm = readings\n    |> where vlaue > 20.0\n\nsink out = warm -> console()\n";

fn project() -> (Project, String) {
    let project = Project::new();
    project.table("sensor", "id: long, value: double", &[r#"{"id": 1, "value": 21.5}"#]);
    let file = project.write("main.flow", PROGRAM);
    let file = uri(&file);
    (project, file)
}

#[test]
fn a_program_is_mended_with_an_editor() {
    let (project, file) = project();
    let mut editor = Editor::start(project.path());
    editor.open(&file, PROGRAM);
    let found = editor.diagnostics(&file, |d| !d.is_empty());
    assert_eq!(
        (&found[0]["code"], &found[0]["range"]["start"]),
        (&json!("E0202"), &json!({ "line": 4, "character": 13 }))
    );

    let actions = editor.ask(
        "textDocument/codeAction",
        json!({ "textDocument": { "uri": file }, "range": found[0]["range"], "context": { "diagnostics": [] } }),
    );
    assert_eq!(actions[0]["title"], "Write `value`");
    assert_eq!(actions[0]["edit"]["changes"][&file][0]["newText"], "value");

    editor.change(&file, 2, [4, 13, 4, 18], "value");
    assert_eq!(editor.diagnostics(&file, |d| d.is_empty()), Vec::<Value>::new());
    let hover = editor.ask("textDocument/hover", at(&file, 4, 15));
    assert!(hover["contents"]["value"].as_str().unwrap().contains("value: double"), "{hover}");

    let completion = editor.ask("textDocument/completion", at(&file, 4, 13));
    let labels: Vec<&str> = completion.as_array().unwrap().iter().filter_map(|c| c["label"].as_str()).collect();
    assert_eq!(labels[..2], ["id", "value"]);
    let definition = editor.ask("textDocument/definition", at(&file, 3, 14));
    assert_eq!(definition["range"]["start"], json!({ "line": 0, "character": 7 }));
    let renamed = editor.ask("textDocument/rename", {
        let mut params = at(&file, 3, 6);
        params["newName"] = json!("hot");
        params
    });
    assert_eq!(renamed["changes"][&file].as_array().unwrap().len(), 2);
    let tokens = editor.ask("textDocument/semanticTokens/full", json!({ "textDocument": { "uri": file } }));
    assert_eq!(tokens["data"].as_array().unwrap().len() % 5, 0);
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn the_rest_of_the_requests_are_answered() {
    let (project, file) = project();
    let mut editor = Editor::start(project.path());
    editor.open(&file, PROGRAM);
    let document = json!({ "textDocument": { "uri": file } });
    for method in ["textDocument/documentSymbol", "textDocument/foldingRange", "textDocument/codeLens"] {
        assert!(!editor.ask(method, document.clone()).as_array().unwrap().is_empty(), "{method}");
    }
    let range = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
    editor.ask("textDocument/inlayHint", json!({ "textDocument": { "uri": file }, "range": range }));
    editor.ask(
        "textDocument/formatting",
        json!({ "textDocument": { "uri": file }, "options": { "tabSize": 4, "insertSpaces": true } }),
    );
    let found = editor.ask("workspace/symbol", json!({ "query": "warm" }));
    assert_eq!(found[0]["name"], "warm");
    let explained =
        editor.ask("workspace/executeCommand", json!({ "command": "flowc.explainCode", "arguments": ["E0202"] }));
    assert!(explained["output"].as_str().unwrap().contains("E0202"), "{explained}");
    let graph = editor.ask("flowc/graph", document);
    assert_eq!((&graph["nodes"][1]["name"], &graph["edges"][0]["to"]), (&json!("warm"), &json!(1)), "{graph}");
    assert!(editor.ask("flowc/lineage", at(&file, 0, 0)).is_null());
    let unknown = editor.answer("textDocument/nothing", Value::Null);
    assert_eq!(unknown["error"]["code"], -32601);
    let wrong = editor.answer("textDocument/hover", json!({ "what": 1 }));
    assert_eq!(wrong["error"]["code"], -32602);
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn an_editor_that_leaves_ends_the_server() {
    let (project, file) = project();
    let mut editor = Editor::start(project.path());
    editor.open(&file, PROGRAM);
    drop(editor.input);
    assert_eq!(editor.server.wait().unwrap().code(), Some(1));
}
