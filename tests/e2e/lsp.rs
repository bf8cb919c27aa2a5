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
        Editor::start_with(folder, json!({}))
    }

    fn start_with(folder: &Path, options: Value) -> Editor {
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
        let told = editor.ask(
            "initialize",
            json!({ "capabilities": {}, "workspaceFolders": folders, "initializationOptions": options }),
        );
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

const WINDOWS: &str = "source readings = delta(\"readings\") {\n    event_time timestamp\n    watermark 1m\n}\n\ntable device = delta(\"device\")\n\nflow sites = readings\n    |> where value > 0.0\n    |> left join device on device.id == id\n    |> extend x = 12 div (10 - n)\n    |> aggregate total = sum(value) by site = device.site, window tumble(1h)\n\nflow wrong = readings\n    |> where vlaue > 1.0\n\nsink out = sites -> delta(\"out\")\n";

fn windows() -> (Project, String) {
    let project = Project::new();
    let rows: Vec<String> = (0..9)
        .map(|n| format!(r#"{{"id": {}, "n": {n}, "value": {n}.5, "timestamp": "2026-11-22T10:0{n}:00Z"}}"#, n % 2))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    project.table("readings", "id: long, n: long, value: double?, timestamp: timestamp", &rows);
    project.table("device", "id: long, site: string", &[r#"{"id": 0, "site": "Bern"}"#, r#"{"id": 1, "site": "Ulm"}"#]);
    let file = uri(&project.write("main.flow", WINDOWS));
    (project, file)
}

#[test]
fn rows_of_a_step_are_those_of_a_run_on_a_sample() {
    let (project, file) = windows();
    let before = project.files();
    let mut editor = Editor::start(project.path());
    editor.open(&file, WINDOWS);
    editor.diagnostics(&file, |d| d.iter().any(|d| d["code"] == "E0202"));
    let document = json!({ "uri": file });
    let ask = |editor: &mut Editor, what: Value| {
        let mut params = json!({ "textDocument": document });
        params.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        editor.ask("flowc/preview", params)
    };
    // A window that is open when the sample ends is closed.
    let whole = ask(&mut editor, json!({ "name": "sites" }));
    assert_eq!(whole["error"], Value::Null, "{whole}");
    let mut totals: Vec<String> =
        whole["rows"].as_array().unwrap().iter().map(|r| format!("{} {}", r[0], r[3])).collect();
    totals.sort();
    assert_eq!(totals, ["\"Bern\" 22.5", "\"Ulm\" 18.0"], "{whole}");
    assert_eq!(whole["message"], "2 rows of `sites`");
    // The joined table's columns are there.
    let joined = ask(&mut editor, json!({ "name": "sites", "steps": 2, "limit": 1 }));
    let names: Vec<&str> = joined["columns"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["id", "n", "value", "timestamp", "device.id", "device.site"]);
    assert_eq!(
        (&joined["rows"], &joined["truncated"]),
        (&json!([[0, 0, 0.5, "2026-11-22 10:00:00", 0, "Bern"]]), &json!(true))
    );
    assert_eq!(joined["message"], "the first 1 of 9 rows of `sites |> left join`");
    // By the cursor, of a text that is not saved.
    editor.change(&file, 2, [8, 21, 8, 24], "7.0");
    let here = ask(&mut editor, json!({ "name": "sites", "position": { "line": 8, "character": 8 } }));
    assert_eq!((&here["title"], here["rows"].as_array().unwrap().len()), (&json!("sites |> where"), 2), "{here}");
    let table = ask(&mut editor, json!({ "name": "device" }));
    assert_eq!(table["rows"], json!([[0, "Bern"], [1, "Ulm"]]));
    // A row that fails, a mistake, and what has no rows.
    editor.change(&file, 3, [10, 26, 10, 28], "8");
    let failed = ask(&mut editor, json!({ "name": "sites", "steps": 3 }));
    assert_eq!((&failed["error"]["code"], &failed["rows"]), (&json!("R0102"), &json!([])), "{failed}");
    assert_eq!(failed["error"]["location"]["range"]["start"], json!({ "line": 10, "character": 18 }));
    for (name, why) in [("wrong", "line 15: "), ("out", "there is no flow, source or table `out` here")] {
        let answer = editor.answer("flowc/preview", json!({ "textDocument": document, "name": name }));
        assert!(answer["error"]["message"].as_str().unwrap().contains(why), "{answer}");
    }
    let text = json!({ "command": "flowc.preview", "arguments": [file, "sites", 1] });
    let shown = editor.ask("workspace/executeCommand", text);
    assert!(shown["output"].as_str().unwrap().ends_with("2 rows of `sites |> where`\n"), "{shown}");
    let actions = editor.ask(
        "textDocument/codeAction",
        json!({ "textDocument": document, "range": { "start": { "line": 9, "character": 8 }, "end": { "line": 9, "character": 8 } }, "context": { "diagnostics": [] } }),
    );
    let look = actions.as_array().unwrap().iter().find(|a| a["command"]["command"] == "flowc.preview").unwrap();
    assert_eq!(look["command"]["arguments"], json!([file, "sites", 2]));
    assert_eq!(editor.end(), Some(0));
    assert_eq!(project.files(), before, "nothing is written");
}

#[test]
fn a_preview_waits_for_its_tables() {
    let (project, file) = windows();
    let mut editor = Editor::start(project.path());
    editor.open(&file, WINDOWS);
    let params = json!({ "textDocument": { "uri": file }, "name": "sites", "steps": 1 });
    let rows = editor.ask("flowc/preview", params);
    assert_eq!(rows["rows"].as_array().map(Vec::len), Some(9), "{rows}");
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn a_preview_can_be_taken_back() {
    let project = Project::new();
    // So many rows that each meets each of the others takes more than anybody waits for.
    let mut editor = Editor::start_with(project.path(), json!({ "preview": { "sample": 1_000_000 } }));
    let many = "source a = generate()\n\nsource b = generate()\n\nflow f = a\n    |> join b on b.id >= id\n    |> where id < 0\n";
    let file = uri(&project.write("many.flow", many));
    editor.open(&file, many);
    editor.diagnostics(&file, |_| true);
    let params = json!({ "textDocument": { "uri": file }, "name": "f" });
    editor.send(json!({ "jsonrpc": "2.0", "id": "rows", "method": "flowc/preview", "params": params }));
    // The answer to this one says that the other is being computed.
    editor.ask("flowc/graph", json!({ "textDocument": { "uri": file } }));
    editor.tell("$/cancelRequest", json!({ "id": "rows" }));
    let answer = loop {
        let message = editor.receive();
        if message["id"] == "rows" {
            break message;
        }
    };
    assert_eq!(answer["error"]["code"], -32800, "{answer}");
    assert_eq!(editor.end(), Some(0));
}
