//! The state of a session and its loop: what is open, what is known of it, what waits.

use super::convert;
use super::pages;
use super::requests;
use super::settings::Settings;
use super::text::{Encoding, Lines};
use super::worker::{self, Done, Job, Work};
use crate::ide::{Analysis, Costs, Edit, Facts, Shift, Syntax};
use crossbeam_channel::{Receiver, Sender};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, Position,
    TextDocumentContentChangeEvent,
};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After the last keystroke: when the items that name a changed one are checked again.
const BREATH: Duration = Duration::from_millis(60);

/// And when all of a text is, and its costs are worked out.
const SETTLED: Duration = Duration::from_millis(300);

/// An open file.
pub struct Document {
    pub uri: String,
    pub path: PathBuf,
    pub version: i32,
    pub encoding: Encoding,
    pub lines: Lines,
    pub syntax: Arc<Syntax>,
    pub facts: Arc<Facts>,
    /// The version that the facts are of; none before the first check.
    pub checked: Option<i32>,
    /// Whether all of it was looked at.
    pub whole: bool,
    pub costs: Option<Arc<Costs>>,
    /// The version that the costs are of.
    costs_of: Option<i32>,
    /// Somebody asked what it costs.
    wants_costs: Cell<bool>,
    /// What a pause was used for, until that is done.
    asked: Cell<Option<Work>>,
    /// Edits since the text of the facts, with the version that each led to.
    edits: Vec<(i32, Edit)>,
    /// When it last changed.
    touched: Instant,
}

impl Document {
    fn new(uri: String, version: i32, text: String, encoding: Encoding) -> Document {
        let lines = Lines::new(&text, encoding);
        Document {
            path: convert::path_of(&uri),
            uri,
            version,
            encoding,
            lines,
            syntax: Arc::new(Syntax::of(text)),
            facts: Arc::default(),
            checked: None,
            whole: false,
            costs: None,
            costs_of: None,
            wants_costs: Cell::new(false),
            asked: Cell::new(None),
            edits: Vec::new(),
            touched: Instant::now(),
        }
    }

    pub fn analysis(&self) -> Analysis {
        let mut shift = Shift::default();
        self.edits.iter().for_each(|(_, e)| shift.push(e.clone()));
        Analysis {
            syntax: self.syntax.clone(),
            facts: self.facts.clone(),
            shift: Arc::new(shift),
            costs: self.costs.clone(),
        }
    }

    /// Whether the facts are of the text at hand.
    pub fn is_fresh(&self) -> bool {
        self.checked == Some(self.version)
    }

    /// Whether a pause is to be used.
    fn is_unsettled(&self) -> bool {
        !self.whole || self.wants_costs.get()
    }

    pub fn offset(&self, at: Position) -> usize {
        self.lines.offset(&self.syntax.text, at)
    }

    fn change(&mut self, version: i32, changes: Vec<TextDocumentContentChangeEvent>) {
        let mut text = self.syntax.text.to_string();
        for change in changes {
            let (range, new) = match change {
                TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    (self.lines.bytes(&text, part.range), part.text)
                }
                TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                    (0..text.len(), whole.text)
                }
            };
            // A client that sends everything has changed little.
            let edit = match range == (0..text.len()) {
                true => Shift::between(&text, &new).edits().first().cloned(),
                false => Some(Edit { range: range.clone(), len: new.len() }),
            };
            self.edits.extend(edit.map(|e| (version, e)));
            text.replace_range(range, &new);
            self.lines = Lines::new(&text, self.encoding);
        }
        self.version = version;
        self.syntax = Arc::new(self.syntax.edited(text));
        self.touched = Instant::now();
    }

    fn learn(&mut self, version: i32, facts: Arc<Facts>, work: Work) {
        self.asked.set(None);
        // Of two answers the one about the later text is kept.
        if self.checked.is_some_and(|c| c > version) {
            return;
        }
        self.edits.retain(|(v, _)| *v > version);
        (self.facts, self.checked, self.whole) = (facts, Some(version), work == Work::Whole);
    }
}

/// What the client said that it can.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub pulls: bool,
    pub snippets: bool,
    /// Edits may say what they change, and ask.
    pub annotations: bool,
    pub refreshes_lenses: bool,
    pub refreshes_hints: bool,
    pub refreshes_tokens: bool,
    pub refreshes_diagnostics: bool,
}

pub struct Server<'c> {
    connection: &'c Connection,
    pub settings: Settings,
    pub client: Client,
    pub encoding: Encoding,
    pub roots: Vec<PathBuf>,
    pub documents: BTreeMap<String, Document>,
    jobs: Sender<Job>,
    /// Edits of the session, which whoever checks looks at.
    edits: Arc<AtomicU64>,
    answers: Receiver<Done>,
    /// Requests that wait until a text is checked.
    waiting: Vec<Request>,
    next_id: i32,
}

impl<'c> Server<'c> {
    /// Shakes hands.
    ///
    /// # Errors
    /// The client's first message is not what it has to be.
    pub fn start(connection: &'c Connection) -> Result<Server<'c>, String> {
        let (id, params) = connection.initialize_start().map_err(|e| e.to_string())?;
        let offered = |path: &str| params.pointer(path).and_then(Value::as_bool).unwrap_or(false);
        let encodings: Vec<String> = params
            .pointer("/capabilities/general/positionEncodings")
            .and_then(|v| serde_json::from_value(v.clone()).ok())
            .unwrap_or_default();
        let encoding = Encoding::negotiate(&encodings);
        let client = Client {
            pulls: params.pointer("/capabilities/textDocument/diagnostic").is_some(),
            snippets: offered("/capabilities/textDocument/completion/completionItem/snippetSupport"),
            annotations: params.pointer("/capabilities/workspace/workspaceEdit/changeAnnotationSupport").is_some(),
            refreshes_lenses: offered("/capabilities/workspace/codeLens/refreshSupport"),
            refreshes_hints: offered("/capabilities/workspace/inlayHint/refreshSupport"),
            refreshes_tokens: offered("/capabilities/workspace/semanticTokens/refreshSupport"),
            refreshes_diagnostics: offered("/capabilities/workspace/diagnostics/refreshSupport"),
        };
        let mut settings = Settings::default();
        if let Some(options) = params.get("initializationOptions") {
            settings.update(options);
        }
        let folders = params.get("workspaceFolders").and_then(Value::as_array).into_iter().flatten();
        let mut roots: Vec<PathBuf> = folders.filter_map(|f| f.get("uri")?.as_str()).map(convert::path_of).collect();
        if roots.is_empty() {
            roots.extend(params.get("rootUri").and_then(Value::as_str).map(convert::path_of));
        }
        let answer = json!({
            "capabilities": requests::capabilities(encoding),
            "serverInfo": { "name": "nnc", "version": env!("CARGO_PKG_VERSION") },
        });
        connection.initialize_finish(id, answer).map_err(|e| e.to_string())?;
        let edits = Arc::new(AtomicU64::new(0));
        let (jobs, answers) = worker::start(edits.clone()).map_err(|e| e.to_string())?;
        Ok(Server {
            connection,
            settings,
            client,
            encoding,
            roots,
            documents: BTreeMap::new(),
            jobs,
            edits,
            answers,
            waiting: Vec::new(),
            next_id: 0,
        })
    }

    /// Serves until the client says `exit` or goes away.
    ///
    /// # Errors
    /// The client does not keep to the protocol.
    pub fn run(mut self) -> Result<(), String> {
        loop {
            let pause = match self.documents.values().any(Document::is_unsettled) {
                true => Duration::from_millis(20),
                false => Duration::from_secs(3600),
            };
            crossbeam_channel::select! {
                recv(self.connection.receiver) -> message => {
                    let Ok(message) = message else { return Ok(()) };
                    match message {
                        Message::Request(request) => {
                            if self.connection.handle_shutdown(&request).map_err(|e| e.to_string())? {
                                return Ok(());
                            }
                            self.request(request);
                        }
                        Message::Notification(note) if note.method == "exit" => return Ok(()),
                        Message::Notification(note) => self.notification(note),
                        Message::Response(_) => {}
                    }
                }
                recv(self.answers) -> done => {
                    let Ok(done) = done else { return Err("the checking thread is gone".into()) };
                    self.done(done);
                }
                default(pause) => {}
            }
            self.settle();
        }
    }

    fn send(&self, message: Message) {
        // A client that went away is noticed when it is read from.
        let _ = self.connection.sender.send(message);
    }

    /// Tells the client something.
    pub fn notify(&self, method: &str, params: Value) {
        self.send(Message::Notification(Notification::new(method.into(), params)));
    }

    /// Asks the client for something whose answer does not matter.
    fn ask(&mut self, method: &str, params: Value) {
        self.next_id += 1;
        let id = format!("nnc-{}", self.next_id).into();
        self.send(Message::Request(Request::new(id, method.into(), params)));
    }

    fn request(&mut self, request: Request) {
        let uri = request.params.pointer("/textDocument/uri").and_then(Value::as_str);
        let stale = uri.and_then(|u| self.documents.get(u)).is_some_and(|d| !d.is_fresh());
        if stale && requests::waits(&request.method) {
            self.waiting.push(request);
            return;
        }
        let handled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| requests::answer(self, &request)));
        let response = match handled {
            Ok(Ok(result)) => Response::new_ok(request.id, result),
            Ok(Err((code, message))) => Response::new_err(request.id, code as i32, message),
            Err(_) => {
                let what = format!("`{}` ended in a bug of nnc", request.method);
                Response::new_err(request.id, ErrorCode::InternalError as i32, what)
            }
        };
        self.send(Message::Response(response));
    }

    fn notification(&mut self, note: Notification) {
        let Notification { method, params } = note;
        match method.as_str() {
            "textDocument/didOpen" => {
                let Ok(params) = serde_json::from_value::<DidOpenTextDocumentParams>(params) else { return };
                let item = params.text_document;
                let doc = Document::new(item.uri.0.clone(), item.version, item.text, self.encoding);
                self.documents.insert(item.uri.0.clone(), doc);
                self.check(&item.uri.0, Work::Whole);
                self.check_others(&item.uri.0);
            }
            "textDocument/didChange" => {
                let Ok(params) = serde_json::from_value::<DidChangeTextDocumentParams>(params) else { return };
                let uri = params.text_document.text_document_identifier.uri.0;
                let version = params.text_document.version;
                if let Some(doc) = self.documents.get_mut(&uri) {
                    // What takes long gives way before the text is read.
                    self.edits.fetch_add(1, Ordering::Relaxed);
                    doc.change(version, params.content_changes);
                    self.check(&uri, Work::Changed);
                }
            }
            "textDocument/didClose" => {
                let Ok(params) = serde_json::from_value::<DidCloseTextDocumentParams>(params) else { return };
                let uri = params.text_document.uri.0;
                self.documents.remove(&uri);
                self.notify("textDocument/publishDiagnostics", json!({ "uri": uri, "diagnostics": [] }));
            }
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => {
                // Files that others use, or data, may be new.
                let all: Vec<String> = self.documents.keys().cloned().collect();
                all.iter().for_each(|u| self.check(u, Work::Whole));
            }
            "workspace/didChangeConfiguration" => {
                if let Some(settings) = params.get("settings").filter(|s| s.is_object()) {
                    self.settings.update(settings);
                    self.refresh();
                }
            }
            "$/cancelRequest" => {
                let id = params.get("id").cloned().unwrap_or_default();
                let Some(at) = self.waiting.iter().position(|r| json!(r.id) == id) else { return };
                let request = self.waiting.remove(at);
                let cancelled = ErrorCode::RequestCanceled as i32;
                self.send(Message::Response(Response::new_err(request.id, cancelled, "cancelled".into())));
            }
            _ => {}
        }
    }

    fn job(&self, doc: &Document, work: Work) -> Job {
        let open = self.documents.values().map(|d| (d.path.clone(), d.syntax.text.clone())).collect();
        // Somebody waits for what changed, and for the first answer of all.
        let waited_for = work == Work::Changed || doc.checked.is_none();
        Job {
            work,
            uri: doc.uri.clone(),
            path: doc.path.clone(),
            version: doc.version,
            syntax: doc.syntax.clone(),
            open: Arc::new(open),
            before: doc.checked.is_some().then(|| doc.facts.clone()),
            edits: (!waited_for).then(|| self.edits.load(Ordering::Relaxed)),
        }
    }

    fn check(&mut self, uri: &str, work: Work) {
        let Some(doc) = self.documents.get(uri) else { return };
        let _ = self.jobs.send(self.job(doc, work));
    }

    /// Files that may use one that was opened or changed.
    fn check_others(&mut self, uri: &str) {
        let others: Vec<String> = self.documents.keys().filter(|u| *u != uri).cloned().collect();
        others.iter().for_each(|u| self.check(u, Work::Whole));
    }

    /// What a pause in typing is for: what names the changed items is looked at again, then everything, and costs are worked
    /// out.
    fn settle(&mut self) {
        let now = Instant::now();
        for doc in self.documents.values().filter(|d| d.is_unsettled() && d.is_fresh() && d.asked.get().is_none()) {
            let pause = now.duration_since(doc.touched);
            let work = match doc.whole {
                false if doc.facts.is_behind() && pause > BREATH => Work::Users,
                false if !doc.facts.is_behind() && pause > SETTLED => Work::Whole,
                // Nobody sees what a task costs but who asks for lenses, or looks at one.
                true if pause > SETTLED => Work::Costs,
                _ => continue,
            };
            if work == Work::Costs {
                doc.wants_costs.set(false);
            }
            doc.asked.set(Some(work));
            let _ = self.jobs.send(self.job(doc, work));
        }
    }

    /// Notes that somebody looks at what the tasks of a document cost.
    pub fn want_costs(&self, doc: &Document) {
        doc.wants_costs.set(self.settings.lenses && doc.costs_of != Some(doc.version));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Cancelled { uri } => {
                // It is asked for again at the next pause.
                if let Some(doc) = self.documents.get_mut(&uri) {
                    doc.asked.set(None);
                }
            }
            Done::Checked { uri, version, facts, work } => {
                let Some(doc) = self.documents.get_mut(&uri) else { return };
                let whole = work == Work::Whole;
                doc.learn(version, facts, work);
                if doc.is_fresh() {
                    match self.client.pulls {
                        // What it pulled may have been of a check that looked at less.
                        true if whole && self.client.refreshes_diagnostics => {
                            self.ask("workspace/diagnostic/refresh", Value::Null);
                        }
                        true => {}
                        false => self.publish(&uri),
                    }
                    let waiting = std::mem::take(&mut self.waiting);
                    waiting.into_iter().for_each(|r| self.request(r));
                    if whole {
                        self.refresh();
                    }
                }
            }
            Done::Costs { uri, version, costs } => {
                let Some(doc) = self.documents.get_mut(&uri) else { return };
                doc.asked.set(None);
                if doc.version == version {
                    (doc.costs, doc.costs_of) = (Some(costs), Some(version));
                    if self.client.refreshes_lenses {
                        self.ask("workspace/codeLens/refresh", Value::Null);
                    }
                }
            }
        }
    }

    /// Clients that can are told to ask anew.
    fn refresh(&mut self) {
        if self.client.refreshes_hints {
            self.ask("workspace/inlayHint/refresh", Value::Null);
        }
        if self.client.refreshes_lenses {
            self.ask("workspace/codeLens/refresh", Value::Null);
        }
        if self.client.refreshes_tokens {
            self.ask("workspace/semanticTokens/refresh", Value::Null);
        }
    }

    fn publish(&self, uri: &str) {
        let Some(doc) = self.documents.get(uri) else { return };
        let diagnostics = self.diagnostics(doc);
        let params = json!({ "uri": uri, "version": doc.version, "diagnostics": diagnostics });
        self.notify("textDocument/publishDiagnostics", params);
    }

    /// What is wrong with a document.
    pub fn diagnostics(&self, doc: &Document) -> Vec<Value> {
        if pages::is_ours(&doc.path) {
            return Vec::new();
        }
        let analysis = doc.analysis();
        let own = analysis.facts.diagnostics.iter();
        let own = own.filter_map(|d| convert::diagnostic(doc, &analysis, d, &self.settings));
        own.chain(convert::elsewhere(doc, &analysis)).collect()
    }
}
