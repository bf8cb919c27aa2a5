//! What the server can do, and which answer belongs to which request. Must not know how answers are found.

use crate::lsp::custom::{GraphRequest, LineageRequest};
use crate::lsp::editing;
use crate::lsp::preview;
use crate::lsp::server::Server;
use lsp_server::{ErrorCode, Request, Response};
use lsp_types::request::{self as r, Request as _};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeLensOptions, CompletionOptions, ExecuteCommandOptions,
    FoldingRangeProviderCapability, HoverProviderCapability, OneOf, PositionEncodingKind, RenameOptions, SaveOptions,
    SemanticTokensFullOptions, SemanticTokensOptions, ServerCapabilities, SignatureHelpOptions,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions, TextDocumentSyncSaveOptions,
    WorkspaceFoldersServerCapabilities, WorkspaceServerCapabilities,
};
use serde_json::Value;

/// What is told the editor at the beginning.
pub fn capabilities() -> ServerCapabilities {
    let synchronization = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::INCREMENTAL),
        save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
        ..TextDocumentSyncOptions::default()
    };
    let actions = CodeActionOptions {
        code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, CodeActionKind::REFACTOR_REWRITE]),
        ..CodeActionOptions::default()
    };
    let folders =
        WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(OneOf::Left(true)) };
    let words = |all: &[&str]| Some(all.iter().map(|w| w.to_string()).collect());
    ServerCapabilities {
        position_encoding: Some(PositionEncodingKind::UTF16),
        text_document_sync: Some(TextDocumentSyncCapability::Options(synchronization)),
        code_action_provider: Some(actions.into()),
        document_formatting_provider: Some(OneOf::Left(true)),
        document_range_formatting_provider: Some(OneOf::Left(true)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: words(&[".", ">", "\"", "/", "(", " "]),
            ..CompletionOptions::default()
        }),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: words(&["(", ","]),
            ..SignatureHelpOptions::default()
        }),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: Default::default(),
        })),
        document_symbol_provider: Some(OneOf::Left(true)),
        workspace_symbol_provider: Some(OneOf::Left(true)),
        folding_range_provider: Some(FoldingRangeProviderCapability::Simple(true)),
        inlay_hint_provider: Some(OneOf::Left(true)),
        semantic_tokens_provider: Some(
            SemanticTokensOptions {
                legend: editing::legend(),
                full: Some(SemanticTokensFullOptions::Bool(true)),
                ..SemanticTokensOptions::default()
            }
            .into(),
        ),
        code_lens_provider: Some(CodeLensOptions { resolve_provider: Some(false) }),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: words(crate::lsp::commands::NAMES).unwrap_or_default(),
            ..ExecuteCommandOptions::default()
        }),
        workspace: Some(WorkspaceServerCapabilities { workspace_folders: Some(folders), file_operations: None }),
        ..ServerCapabilities::default()
    }
}

/// An answer, or what is wrong with the question.
type Answered = Result<Value, (ErrorCode, String)>;

impl Server {
    /// The answer to a request; none: it comes later.
    pub fn answer(&mut self, request: Request) -> Option<Response> {
        let id = request.id.clone();
        let answered = match request.method.as_str() {
            r::CodeActionRequest::METHOD => self.asked::<r::CodeActionRequest>(request, Server::code_actions),
            r::Formatting::METHOD => self.asked::<r::Formatting>(request, Server::formatting),
            r::RangeFormatting::METHOD => self.asked::<r::RangeFormatting>(request, Server::range_formatting),
            r::HoverRequest::METHOD => self.asked::<r::HoverRequest>(request, Server::hover),
            r::Completion::METHOD => self.asked::<r::Completion>(request, Server::completion),
            r::SignatureHelpRequest::METHOD => self.asked::<r::SignatureHelpRequest>(request, Server::signature_help),
            r::GotoDefinition::METHOD => self.asked::<r::GotoDefinition>(request, Server::definition),
            r::References::METHOD => self.asked::<r::References>(request, Server::references),
            r::PrepareRenameRequest::METHOD => self.asked::<r::PrepareRenameRequest>(request, Server::prepare_rename),
            r::Rename::METHOD => self.asked::<r::Rename>(request, Server::rename),
            r::DocumentSymbolRequest::METHOD => self.asked::<r::DocumentSymbolRequest>(request, Server::symbols),
            r::WorkspaceSymbolRequest::METHOD => {
                self.asked::<r::WorkspaceSymbolRequest>(request, Server::workspace_symbols)
            }
            r::FoldingRangeRequest::METHOD => self.asked::<r::FoldingRangeRequest>(request, Server::folds),
            r::InlayHintRequest::METHOD => self.asked::<r::InlayHintRequest>(request, Server::hints),
            r::SemanticTokensFullRequest::METHOD => {
                self.asked::<r::SemanticTokensFullRequest>(request, Server::semantic_tokens)
            }
            r::CodeLensRequest::METHOD => self.asked::<r::CodeLensRequest>(request, Server::lenses),
            GraphRequest::METHOD => self.asked::<GraphRequest>(request, Server::graph),
            LineageRequest::METHOD => self.asked::<LineageRequest>(request, Server::lineage),
            preview::METHOD => return self.preview(request),
            r::ExecuteCommand::METHOD => return self.execute(request),
            other => Err((ErrorCode::MethodNotFound, format!("flowc does not answer `{other}`"))),
        };
        Some(match answered {
            Ok(value) => Response::new_ok(id, value),
            Err((code, text)) => Response::new_err(id, code as i32, text),
        })
    }

    fn asked<R: r::Request>(
        &mut self,
        request: Request,
        answer: impl FnOnce(&mut Server, R::Params) -> Result<R::Result, String>,
    ) -> Answered {
        let params = serde_json::from_value(request.params).map_err(|e| (ErrorCode::InvalidParams, e.to_string()))?;
        let result = answer(self, params).map_err(|why| (ErrorCode::RequestFailed, why))?;
        serde_json::to_value(result).map_err(|e| (ErrorCode::InternalError, e.to_string()))
    }
}
