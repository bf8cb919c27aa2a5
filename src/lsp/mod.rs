//! `flowc lsp`: the language server. A thin layer: it speaks JSON-RPC on standard input and output, turns lines and UTF-16 columns into bytes and back, and
//! reads tables in the background. What the answers are is the matter of [`flowc_ide`].

mod answers;
mod commands;
mod convert;
mod custom;
mod documents;
mod editing;
mod files;
mod held;
mod preview;
mod requests;
mod server;
mod tables;

use crate::exit::{Exit, Failure};
use lsp_server::Connection;
use lsp_types::InitializeParams;

/// Serves until the editor says goodbye, or its end of the streams is closed.
pub fn serve() -> Result<Exit, Failure> {
    let (connection, threads) = Connection::stdio();
    let failed = |e: &dyn std::fmt::Display| Failure::world(format!("the editor's connection failed: {e}"));
    let (id, params) = match connection.initialize_start() {
        Ok(started) => started,
        // The editor went away before it said anything.
        Err(e) if e.channel_is_disconnected() => return Ok(Exit::Fine),
        Err(e) => return Err(failed(&e)),
    };
    let params: InitializeParams =
        serde_json::from_value(params).map_err(|e| Failure::world(format!("the editor's first message: {e}")))?;
    let answer = serde_json::json!({
        "capabilities": requests::capabilities(),
        "serverInfo": { "name": "flowc", "version": env!("CARGO_PKG_VERSION") },
    });
    connection.initialize_finish(id, answer).map_err(|e| failed(&e))?;
    let orderly = server::Server::new(connection.sender.clone(), &params).run(&connection);
    drop(connection);
    threads.join().map_err(|e| failed(&e))?;
    Ok(if orderly { Exit::Fine } else { Exit::Wrong })
}
