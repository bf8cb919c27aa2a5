//! Requests whose tables are still being read: they are asked again when one was, and answered in any case before long. Must not know what they ask.

use crate::lsp::server::Server;
use crossbeam_channel::{after, never};
use lsp_server::{ErrorCode, Request, RequestId, Response};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a request waits for tables. Storage that does not answer in this time may never.
const PATIENCE: Duration = Duration::from_secs(10);

/// The requests, each with the time when it no longer waits.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<RequestId, (Instant, Request)>);

impl Server {
    /// Keeps a request until its tables are read, or for so long; `why` is its answer then.
    pub(super) fn hold(&mut self, request: Request, why: String) -> Option<Response> {
        let now = Instant::now();
        let until = self.asked_again.unwrap_or(now + PATIENCE);
        if until <= now {
            return Some(Response::new_err(request.id, ErrorCode::RequestFailed as i32, why));
        }
        self.held.0.insert(request.id.clone(), (until, request));
        self.watch_held();
        None
    }

    /// Asks what is held again: a table was read, or a request has waited long enough.
    pub(super) fn ask_held(&mut self) {
        for (until, request) in std::mem::take(&mut self.held.0).into_values() {
            self.asked_again = Some(until);
            self.request(request);
        }
        self.asked_again = None;
        self.watch_held();
    }

    /// Forgets a request that the editor takes back; whether there was one.
    pub(super) fn let_go(&mut self, id: &RequestId) -> bool {
        let found = self.held.0.remove(id).is_some();
        if found {
            let text = "cancelled by the editor".to_string();
            self.send(Response::new_err(id.clone(), ErrorCode::RequestCanceled as i32, text).into());
        }
        found
    }

    fn watch_held(&mut self) {
        let first = self.held.0.values().map(|(until, _)| *until).min();
        self.patience = first.map_or_else(never, |until| after(until.saturating_duration_since(Instant::now())));
    }
}
