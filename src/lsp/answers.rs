//! Answers of the library in the protocol's words: diagnostics and the changes that mend them, and whole texts. Must not know how they come about.

use crate::lsp::commands::preview_command;
use crate::lsp::convert;
use crate::lsp::documents::Document;
use crate::lsp::server::Server;
use flowc_ide::{Edit, LineIndex, Problem, QuickFix, Severity};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, CodeActionResponse, CodeDescription, Command,
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, DocumentFormattingParams,
    DocumentRangeFormattingParams, Location, NumberOrString, TextEdit, Uri, WorkspaceEdit,
};
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

/// Texts and lines of files, each looked up once.
#[derive(Default)]
pub struct Lines {
    known: BTreeMap<String, Option<(Arc<str>, LineIndex)>>,
}

impl Lines {
    /// A stretch of a file as a place of the protocol; none: there is no such file.
    pub fn location(&mut self, server: &Server, path: &str, range: &flowc_ide::TextRange) -> Option<Location> {
        let known = self.known.entry(path.to_string()).or_insert_with(|| server.lines_of(path));
        let (text, lines) = known.as_ref()?;
        Some(Location { uri: convert::uri(path)?, range: convert::range(text, lines, range) })
    }

    /// Edits of files as a change of the workspace; none: a file is gone.
    pub fn workspace_edit(&mut self, server: &Server, edits: &[Edit]) -> Option<WorkspaceEdit> {
        // The protocol's type has a hash map; each file's edits stay in their order.
        #[allow(clippy::mutable_key_type)]
        let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
        for edit in edits {
            let at = self.location(server, &edit.path, &edit.range)?;
            changes.entry(at.uri).or_default().push(TextEdit { range: at.range, new_text: edit.text.clone() });
        }
        Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() })
    }
}

impl Server {
    /// A mistake as the editor shows it.
    pub(super) fn diagnostic(&self, document: &Document, problem: &Problem, lines: &mut Lines) -> Diagnostic {
        let related = problem.related.iter().filter_map(|r| {
            let location = lines.location(self, &r.path, &r.range)?;
            Some(DiagnosticRelatedInformation { location, message: r.message.clone() })
        });
        let related: Vec<_> = related.collect();
        let page = self.pages.as_ref().and_then(|pages| Uri::from_str(&format!("{pages}{}", problem.code)).ok());
        Diagnostic {
            range: convert::range(&document.text, &document.lines, &problem.range),
            severity: Some(match problem.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(problem.code.to_string())),
            code_description: page.map(|href| CodeDescription { href }),
            source: Some("flowc".into()),
            message: problem.message.clone(),
            related_information: (!related.is_empty()).then_some(related),
            tags: problem.unnecessary.then(|| vec![DiagnosticTag::UNNECESSARY]),
            data: None,
        }
    }

    /// The changes that mend what is wrong at a place.
    pub(super) fn code_actions(&mut self, params: CodeActionParams) -> Result<Option<CodeActionResponse>, String> {
        let Some((path, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let at = |p| convert::offset(&document.text, &document.lines, p);
        let (start, end) = (at(params.range.start), at(params.range.end));
        let problems = self.workspace.problems(&path);
        let here = problems.iter().filter(|p| p.range.start <= end && start <= p.range.end);
        let mut actions = vec![];
        let mut lines = Lines::default();
        for problem in here {
            let diagnostic = self.diagnostic(&document, problem, &mut lines);
            for (n, fix) in problem.fixes.iter().enumerate() {
                actions.extend(self.action(fix, Some(&diagnostic), n == 0));
            }
        }
        let offered = self.workspace.assists(&path, start);
        actions.extend(offered.iter().filter_map(|fix| self.action(fix, None, false)));
        actions.extend(self.look_at_rows(&path, params.text_document.uri.as_str(), start));
        Ok(Some(actions.into_iter().map(CodeActionOrCommand::CodeAction).collect()))
    }

    fn action(&self, fix: &QuickFix, diagnostic: Option<&Diagnostic>, preferred: bool) -> Option<CodeAction> {
        let kind = if diagnostic.is_some() { CodeActionKind::QUICKFIX } else { CodeActionKind::REFACTOR_REWRITE };
        Some(CodeAction {
            title: fix.title.clone(),
            kind: Some(kind),
            diagnostics: diagnostic.map(|d| vec![d.clone()]),
            edit: Some(Lines::default().workspace_edit(self, &fix.edits)?),
            is_preferred: preferred.then_some(true),
            ..CodeAction::default()
        })
    }

    /// A look at the rows behind the step at a byte.
    fn look_at_rows(&mut self, path: &str, uri: &str, offset: usize) -> Option<CodeAction> {
        let of = self.workspace.rows_at(path, offset).filter(|of| of.steps.is_some())?;
        let title = match of.steps {
            Some(0) => format!("Preview rows that `{}` reads", of.name),
            _ => "Preview rows after this step".to_string(),
        };
        let (command, arguments) = preview_command(uri, &of);
        let command = Command { title: title.clone(), command: command.into(), arguments: Some(arguments) };
        Some(CodeAction { title, kind: Some(CodeActionKind::EMPTY), command: Some(command), ..CodeAction::default() })
    }

    /// The whole text in canonical form; a broken program stays as it is.
    pub(super) fn formatting(&mut self, params: DocumentFormattingParams) -> Result<Option<Vec<TextEdit>>, String> {
        let Some((_, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let Some(edit) = flowc_ide::format(&document.text) else { return Ok(None) };
        let range = convert::range(&document.text, &document.lines, &edit.0);
        Ok(Some(vec![TextEdit { range, new_text: edit.1 }]))
    }

    /// The declarations that a stretch of the text touches, in canonical form.
    pub(super) fn range_formatting(
        &mut self,
        params: DocumentRangeFormattingParams,
    ) -> Result<Option<Vec<TextEdit>>, String> {
        let Some((_, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let at = |p| convert::offset(&document.text, &document.lines, p);
        let edits = flowc_ide::format_within(&document.text, &(at(params.range.start)..at(params.range.end)));
        let edit =
            |(range, new_text)| TextEdit { range: convert::range(&document.text, &document.lines, &range), new_text };
        Ok(Some(edits.into_iter().map(edit).collect()))
    }

    /// The path and the text of a file that is open.
    pub(super) fn document(&self, uri: &Uri) -> Option<(String, Document)> {
        let path = convert::path(uri)?;
        let document = self.documents.get(&path)?.clone();
        Some((path, document))
    }
}
