//! The server's loop: messages of the editor and answers of tables, one after another; diagnostics when nothing else is to do. Must not know what single
//! requests mean.

use crate::lsp::answers::Lines;
use crate::lsp::convert;
use crate::lsp::documents::Document;
use crate::lsp::files::{self, Disk};
use crate::lsp::held::Held;
use crate::lsp::preview;
use crate::lsp::tables::{Found, Readers};
use crossbeam_channel::{Receiver, Sender, after, never, select, tick};
use flowc_core::load::parent;
use flowc_ide::{Analysis, LineIndex, Question, Workspace};
use flowc_ir::catalog::Catalog;
use flowc_runtime::Cancel;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::Notification as _;
use lsp_types::{InitializeParams, notification};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often tables are looked at again while nobody saves anything.
const REREAD: Duration = Duration::from_secs(60);

/// How long nothing is typed before what is there is proved: it takes longer than judging, and would take the processor from it.
const PAUSE: Duration = Duration::from_millis(150);

/// What the server knows.
pub struct Server {
    pub(super) sender: Sender<Message>,
    pub(super) workspace: Workspace,
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) roots: Vec<String>,
    /// Where the pages of codes are on the web, if the editor says so.
    pub(super) pages: Option<String>,
    /// Rows of each source that a preview reads.
    pub(super) sample: usize,
    /// What is computed in the background and can be stopped, by the request.
    pub(super) running: BTreeMap<RequestId, Cancel>,
    /// Requests that wait for tables.
    pub(super) held: Held,
    /// Of a request that is asked again: how long it waits.
    pub(super) asked_again: Option<Instant>,
    /// Tells when the first of those requests has waited long enough.
    pub(super) patience: Receiver<Instant>,
    readers: Readers,
    /// The tables that are being read for the first time: who asks for one meanwhile does not have it read twice.
    asking: Vec<Question>,
    /// Messages that came and were not looked at yet.
    waiting: VecDeque<Message>,
    /// Whether the diagnostics that the editor has may be old.
    stale: bool,
    /// The diagnostics that the editor has, by file.
    published: BTreeMap<String, Vec<lsp_types::Diagnostic>>,
    /// Says that a program was proved.
    proved: (Sender<()>, Receiver<()>),
    /// Whether a program is being proved: one at a time, so that typing does not pile proofs up.
    proving: bool,
    /// Tells when nothing was typed for a while, so that what is there can be proved.
    pause: Receiver<Instant>,
    /// Takes programs that newer texts have replaced, and frees them.
    replaced: Sender<Vec<Arc<Analysis>>>,
    /// Answers of work in the background.
    done: (Sender<Response>, Receiver<Response>),
}

impl Server {
    /// A server for the folders that the editor has open.
    pub fn new(sender: Sender<Message>, params: &InitializeParams) -> Self {
        let folders = params.workspace_folders.iter().flatten().filter_map(|f| convert::path(&f.uri));
        let roots: Vec<String> = folders.collect();
        let option = |name: &str| Some(params.initialization_options.as_ref()?.get(name)?.as_str()?.to_string());
        let mut server = Server {
            sender,
            workspace: Workspace::new(Box::new(Disk)),
            documents: BTreeMap::new(),
            roots,
            pages: option("pages"),
            sample: preview::SAMPLE,
            running: BTreeMap::new(),
            held: Held::default(),
            asked_again: None,
            patience: never(),
            readers: Readers::start(),
            asking: vec![],
            waiting: VecDeque::new(),
            stale: false,
            published: BTreeMap::new(),
            proved: crossbeam_channel::unbounded(),
            proving: false,
            pause: never(),
            replaced: freeing(),
            done: crossbeam_channel::unbounded(),
        };
        let options = params.initialization_options.as_ref();
        let given = options.and_then(|o| o.get("params")).and_then(serde_json::Value::as_object);
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let given = given.into_iter().flatten().map(|(name, value)| (name.clone(), text(value)));
        server.workspace.set_params(given.collect());
        let sample = options.and_then(|o| o.get("preview")).and_then(|o| o.get("sample"));
        server.sample = sample.and_then(serde_json::Value::as_u64).map_or(preview::SAMPLE, |rows| rows.max(1) as usize);
        server.look_for_programs();
        server
    }

    /// Serves until the end; whether the editor said goodbye before it left.
    pub fn run(mut self, connection: &Connection) -> bool {
        let clock = tick(REREAD);
        let (answers, done, proved) = (self.readers.answers.clone(), self.done.1.clone(), self.proved.1.clone());
        let mut shutdown = false;
        loop {
            let replaced = self.workspace.take_replaced();
            if !replaced.is_empty() {
                // Where the thread is gone it is freed here.
                let _ = self.replaced.send(replaced);
            }
            while let Ok(message) = connection.receiver.try_recv() {
                self.waiting.push_back(message);
            }
            let mut read = false;
            while let Ok(found) = answers.try_recv() {
                self.table(found);
                read = true;
            }
            if read {
                self.ask_held();
            }
            if let Some(message) = self.waiting.pop_front() {
                match message {
                    Message::Request(request) if request.method == "shutdown" => {
                        shutdown = true;
                        self.send(Response::new_ok(request.id, ()).into());
                    }
                    Message::Notification(n) if n.method == notification::Exit::METHOD => return shutdown,
                    message => self.message(message, shutdown),
                }
                continue;
            }
            if std::mem::take(&mut self.stale) {
                self.guarded("diagnostics", Server::publish);
                continue;
            }
            let (pause, patience) = (self.pause.clone(), self.patience.clone());
            select! {
                recv(connection.receiver) -> message => match message {
                    Ok(message) => self.waiting.push_back(message),
                    Err(_) => return shutdown,
                },
                recv(answers) -> found => {
                    found.into_iter().for_each(|f| self.table(f));
                    self.ask_held();
                }
                recv(patience) -> _ => self.ask_held(),
                recv(done) -> response => { response.into_iter().for_each(|r| self.finished(r)); }
                recv(proved) -> _ => (self.proving, self.stale) = (false, true),
                recv(pause) -> _ => {
                    self.pause = never();
                    self.prove();
                }
                recv(clock) -> _ => self.reread(|_| true),
            }
        }
    }

    /// Sends a message to the editor; one that left hears nothing.
    pub(super) fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    /// Does something whose panic is one mistake, not the server's end: it is reported, and everything is judged anew.
    fn guarded<T>(&mut self, what: &str, work: impl FnOnce(&mut Server) -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        if result.is_err() {
            let text = format!("flowc failed at {what}; this is a mistake in flowc, not in the program");
            let params = lsp_types::LogMessageParams { typ: lsp_types::MessageType::ERROR, message: text };
            self.send(Notification::new(notification::LogMessage::METHOD.into(), params).into());
            self.workspace.disk_changed();
        }
        result.ok()
    }

    fn message(&mut self, message: Message, shutdown: bool) {
        match message {
            Message::Request(request) if shutdown => {
                let text = "the server is shutting down".to_string();
                self.send(Response::new_err(request.id, ErrorCode::InvalidRequest as i32, text).into());
            }
            Message::Request(request) => self.request(request),
            Message::Notification(n) => {
                let what = n.method.clone();
                self.guarded(&what, |server| server.notification(n));
            }
            Message::Response(_) => {}
        }
    }

    pub(super) fn request(&mut self, request: Request) {
        let id = request.id.clone();
        if self.is_cancelled(&id) {
            let text = "cancelled by the editor".to_string();
            self.send(Response::new_err(id, ErrorCode::RequestCanceled as i32, text).into());
            return;
        }
        let what = request.method.clone();
        match self.guarded(&what, |server| server.answer(request)) {
            Some(Some(response)) => self.send(response.into()),
            // The answer comes from the background.
            Some(None) => {}
            None => {
                let text = format!("{what} failed");
                self.send(Response::new_err(id, ErrorCode::InternalError as i32, text).into());
            }
        }
        self.ask_tables();
    }

    /// Whether the editor took a request back that it sent before.
    fn is_cancelled(&self, id: &RequestId) -> bool {
        let id = serde_json::to_value(id).unwrap_or_default();
        self.waiting.iter().any(|message| match message {
            Message::Notification(n) if n.method == notification::Cancel::METHOD => n.params.get("id") == Some(&id),
            _ => false,
        })
    }

    /// Does work on a thread of its own, whose result is the answer to this request.
    pub(super) fn in_background(&self, id: RequestId, work: impl FnOnce() -> Response + Send + 'static) {
        let done = self.done.0.clone();
        std::thread::spawn(move || {
            let response = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
                let text = "flowc failed; this is a mistake in flowc, not in the program".to_string();
                Response::new_err(id, ErrorCode::InternalError as i32, text)
            });
            // A server that ended needs no answer.
            let _ = done.send(response);
        });
    }

    /// Work in the background came to its end.
    fn finished(&mut self, response: Response) {
        self.running.remove(&response.id);
        self.send(response.into());
    }

    /// Stops what is computed for a request that the editor takes back.
    fn cancel(&mut self, params: &serde_json::Value) {
        let Some(id) = params.get("id").cloned().and_then(|id| serde_json::from_value::<RequestId>(id).ok()) else {
            return;
        };
        if !self.let_go(&id)
            && let Some(cancel) = self.running.get(&id)
        {
            cancel.cancel();
        }
    }

    fn notification(&mut self, n: Notification) {
        match n.method.as_str() {
            notification::Cancel::METHOD => self.cancel(&n.params),
            notification::DidOpenTextDocument::METHOD => {
                let Some(params) = params::<notification::DidOpenTextDocument>(n) else { return };
                let Some(path) = convert::path(&params.text_document.uri) else { return };
                let document = Document::new(params.text_document.version, params.text_document.text);
                self.set_document(path, document);
            }
            notification::DidChangeTextDocument::METHOD => {
                let Some(params) = params::<notification::DidChangeTextDocument>(n) else { return };
                let Some(path) = convert::path(&params.text_document.uri) else { return };
                let Some(mut document) = self.documents.remove(&path) else { return };
                document.change(params.text_document.version, params.content_changes);
                self.set_document(path, document);
            }
            notification::DidCloseTextDocument::METHOD => {
                let Some(params) = params::<notification::DidCloseTextDocument>(n) else { return };
                let Some(path) = convert::path(&params.text_document.uri) else { return };
                self.documents.remove(&path);
                self.workspace.close(&path);
                self.forget_tables();
                self.stale = true;
            }
            notification::DidSaveTextDocument::METHOD => {
                self.look_for_programs();
                self.reread(|_| true);
            }
            notification::DidChangeWatchedFiles::METHOD => {
                self.workspace.disk_changed();
                self.look_for_programs();
                self.reread(|_| true);
                self.stale = true;
            }
            notification::DidChangeWorkspaceFolders::METHOD => {
                let Some(params) = params::<notification::DidChangeWorkspaceFolders>(n) else { return };
                let removed: Vec<String> = params.event.removed.iter().filter_map(|f| convert::path(&f.uri)).collect();
                self.roots.retain(|root| !removed.contains(root));
                self.roots.extend(params.event.added.iter().filter_map(|f| convert::path(&f.uri)));
                self.look_for_programs();
            }
            _ => {}
        }
    }

    fn set_document(&mut self, path: String, document: Document) {
        self.workspace.set_text(&path, document.text.clone());
        self.documents.insert(path, document);
        self.stale = true;
    }

    fn look_for_programs(&mut self) {
        let found: Vec<String> = self.roots.iter().flat_map(|root| files::programs(Path::new(root))).collect();
        self.workspace.set_known_programs(found);
    }

    /// A table was read.
    fn table(&mut self, found: Found) {
        self.asking.retain(|question| *question != found.question);
        self.stale |= self.workspace.tables.answer(&found.question, found.found, found.neighbours);
    }

    /// Looks at tables again that were read before.
    fn reread(&self, which: impl Fn(&Question) -> bool) {
        self.workspace.tables.answered().into_iter().filter(which).for_each(|question| self.readers.ask(question));
    }

    /// Tables that no open program reads are not looked at any more.
    fn forget_tables(&mut self) {
        let mut asked = vec![];
        for file in self.workspace.open_files() {
            for program in self.workspace.programs_of(&file) {
                asked.extend(
                    self.workspace
                        .program(&program)
                        .outcome
                        .answers
                        .iter()
                        .map(|a| Question { connector: a.connector.clone(), version: a.version }),
                );
            }
        }
        self.workspace.tables.retain(|q| asked.contains(q));
    }

    /// Has the tables read that were asked for. Until then what a program's lock says of them stands in, so that one works without them.
    fn ask_tables(&mut self) {
        let open = self.workspace.tables.take_open();
        if open.is_empty() {
            return;
        }
        let folders: std::collections::BTreeSet<String> =
            self.documents.keys().map(|path| parent(path).to_string()).collect();
        for question in open.into_iter().filter(|question| !self.asking.contains(question)).collect::<Vec<_>>() {
            for folder in &folders {
                let place = crate::lock::Place::Beside(Path::new(folder).join(crate::lock::NAME));
                if let Ok(crate::lock::Kept::Lock(lock, _)) = crate::lock::read(&place)
                    && let Ok(info) = lock.catalog(folder).table(&question.connector, question.version)
                {
                    self.stale |= self.workspace.tables.answer(&question, Ok(info), vec![]);
                    break;
                }
            }
            self.asking.push(question.clone());
            self.readers.ask(question);
        }
    }

    /// Sends the diagnostics that changed.
    fn publish(&mut self) {
        let (mut now, mut lines) = (BTreeMap::new(), Lines::default());
        for path in self.workspace.open_files() {
            // Whoever types goes on typing: what is asked next is of a newer text.
            let problems = self.workspace.problems(&path);
            let Some(document) = self.documents.get(&path) else { continue };
            let diagnostics = problems.iter().map(|p| self.diagnostic(document, p, &mut lines)).collect::<Vec<_>>();
            now.insert(path, diagnostics);
        }
        let gone: Vec<String> = self.published.keys().filter(|path| !now.contains_key(*path)).cloned().collect();
        for path in gone {
            self.send_diagnostics(&path, vec![], None);
            self.published.remove(&path);
        }
        for (path, diagnostics) in now {
            if self.published.get(&path) != Some(&diagnostics) {
                let version = self.documents.get(&path).map(|d| d.version);
                self.send_diagnostics(&path, diagnostics.clone(), version);
                self.published.insert(path, diagnostics);
            }
        }
        self.ask_tables();
        self.pause = after(PAUSE);
    }

    /// Has a program proved on a thread of its own. Whoever types meanwhile is not kept waiting; what was proved of a text that is gone is not shown.
    fn prove(&mut self) {
        if self.proving {
            return;
        }
        for file in self.workspace.open_files() {
            for program in self.workspace.programs_of(&file) {
                let program = self.workspace.program(&program);
                if !program.is_proved() {
                    let proved = self.proved.0.clone();
                    self.proving = true;
                    std::thread::spawn(move || {
                        if catch_unwind(AssertUnwindSafe(|| program.prove())).is_err() {
                            program.leave_unproved();
                        }
                        proved.send(())
                    });
                    return;
                }
            }
        }
    }

    fn send_diagnostics(&self, path: &str, diagnostics: Vec<lsp_types::Diagnostic>, version: Option<i32>) {
        if let Some(uri) = convert::uri(path) {
            let params = lsp_types::PublishDiagnosticsParams { uri, diagnostics, version };
            self.send(Notification::new(notification::PublishDiagnostics::METHOD.into(), params).into());
        }
    }

    /// The text and the lines of any file, open or not.
    pub(super) fn lines_of(&self, path: &str) -> Option<(std::sync::Arc<str>, LineIndex)> {
        if let Some(document) = self.documents.get(path) {
            return Some((document.text.clone(), document.lines.clone()));
        }
        let text = std::fs::read_to_string(path).ok()?;
        let lines = LineIndex::new(&text);
        Some((text.into(), lines))
    }
}

/// A thread that frees programs, so that nobody who types waits for it.
fn freeing() -> Sender<Vec<Arc<Analysis>>> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    std::thread::spawn(move || receiver.into_iter().for_each(drop));
    sender
}

/// The parameters of a notification; none: they are not what they should be.
fn params<N: notification::Notification>(n: Notification) -> Option<N::Params> {
    serde_json::from_value(n.params).ok()
}
