//! Answers while one writes: hover, completion, signatures, names, symbols, colours, hints, in the protocol's words. Must not know how they are found.

use crate::lsp::answers::Lines;
use crate::lsp::convert;
use crate::lsp::documents::Document;
use crate::lsp::files::Disk;
use crate::lsp::server::Server;
use flowc_ide::{CompletionKind, SemanticKind, Symbol, SymbolKind, TextRange};
use lsp_types as l;

/// The names of colours and their modifiers, in the order of their numbers.
pub fn legend() -> l::SemanticTokensLegend {
    let kind = |kind: &SemanticKind| match kind {
        SemanticKind::Comment => l::SemanticTokenType::COMMENT,
        SemanticKind::Keyword => l::SemanticTokenType::KEYWORD,
        SemanticKind::Type => l::SemanticTokenType::TYPE,
        SemanticKind::Function => l::SemanticTokenType::FUNCTION,
        SemanticKind::Column => l::SemanticTokenType::PROPERTY,
        SemanticKind::Relation => l::SemanticTokenType::CLASS,
        SemanticKind::Parameter => l::SemanticTokenType::PARAMETER,
        SemanticKind::Name => l::SemanticTokenType::VARIABLE,
        SemanticKind::Number => l::SemanticTokenType::NUMBER,
        SemanticKind::String => l::SemanticTokenType::STRING,
        SemanticKind::Operator => l::SemanticTokenType::OPERATOR,
    };
    l::SemanticTokensLegend {
        token_types: SemanticKind::ALL.iter().map(kind).collect(),
        token_modifiers: vec![l::SemanticTokenModifier::DECLARATION, l::SemanticTokenModifier::DEFAULT_LIBRARY],
    }
}

/// Where a question is asked: the file, its text, the byte.
pub(super) type Asked = (String, Document, usize);

impl Server {
    pub(super) fn place(&self, at: &l::TextDocumentPositionParams) -> Option<Asked> {
        let (path, document) = self.document(&at.text_document.uri)?;
        let offset = convert::offset(&document.text, &document.lines, at.position);
        Some((path, document, offset))
    }

    pub(super) fn hover(&mut self, params: l::HoverParams) -> Result<Option<l::Hover>, String> {
        let Some((path, document, offset)) = self.place(&params.text_document_position_params) else { return Ok(None) };
        Ok(self.workspace.hover(&path, offset).map(|hover| l::Hover {
            contents: l::HoverContents::Markup(markdown(hover.text)),
            range: Some(convert::range(&document.text, &document.lines, &hover.range)),
        }))
    }

    pub(super) fn completion(&mut self, params: l::CompletionParams) -> Result<Option<l::CompletionResponse>, String> {
        let Some((path, document, offset)) = self.place(&params.text_document_position) else { return Ok(None) };
        let found = self.workspace.complete(&path, offset, &Disk);
        let item = |(n, c): (usize, flowc_ide::Completion)| l::CompletionItem {
            label: c.label,
            kind: Some(completion_kind(c.kind)),
            detail: (!c.detail.is_empty()).then_some(c.detail),
            documentation: (!c.doc.is_empty()).then(|| l::Documentation::MarkupContent(markdown(c.doc))),
            // Columns stay before functions whatever their letters.
            sort_text: Some(format!("{n:04}")),
            insert_text_format: Some(l::InsertTextFormat::SNIPPET),
            text_edit: Some(l::CompletionTextEdit::Edit(l::TextEdit {
                range: convert::range(&document.text, &document.lines, &c.range),
                new_text: c.insert,
            })),
            ..l::CompletionItem::default()
        };
        Ok(Some(l::CompletionResponse::Array(found.into_iter().enumerate().map(item).collect())))
    }

    pub(super) fn signature_help(
        &mut self,
        params: l::SignatureHelpParams,
    ) -> Result<Option<l::SignatureHelp>, String> {
        let Some((path, _, offset)) = self.place(&params.text_document_position_params) else { return Ok(None) };
        Ok(self.workspace.signature_help(&path, offset).map(|help| {
            let signature = |label: String| l::SignatureInformation {
                parameters: Some(parameters(&label)),
                label,
                documentation: Some(l::Documentation::MarkupContent(markdown(help.doc.clone()))),
                active_parameter: Some(help.active as u32),
            };
            l::SignatureHelp {
                signatures: help.signatures.iter().cloned().map(signature).collect(),
                active_signature: Some(0),
                active_parameter: Some(help.active as u32),
            }
        }))
    }

    pub(super) fn definition(
        &mut self,
        params: l::GotoDefinitionParams,
    ) -> Result<Option<l::GotoDefinitionResponse>, String> {
        let Some((path, _, offset)) = self.place(&params.text_document_position_params) else { return Ok(None) };
        let place = self.workspace.definition(&path, offset);
        let location = place.and_then(|p| Lines::default().location(self, &p.path, &p.range()));
        Ok(location.map(l::GotoDefinitionResponse::Scalar))
    }

    pub(super) fn references(&mut self, params: l::ReferenceParams) -> Result<Option<Vec<l::Location>>, String> {
        let Some((path, _, offset)) = self.place(&params.text_document_position) else { return Ok(None) };
        let found = self.workspace.references(&path, offset, params.context.include_declaration);
        let mut lines = Lines::default();
        Ok(Some(found.iter().filter_map(|p| lines.location(self, &p.path, &p.range())).collect()))
    }

    pub(super) fn prepare_rename(
        &mut self,
        params: l::TextDocumentPositionParams,
    ) -> Result<Option<l::PrepareRenameResponse>, String> {
        let Some((path, document, offset)) = self.place(&params) else { return Ok(None) };
        let (range, placeholder) = self.workspace.prepare_rename(&path, offset)?;
        let range = convert::range(&document.text, &document.lines, &range);
        Ok(Some(l::PrepareRenameResponse::RangeWithPlaceholder { range, placeholder }))
    }

    pub(super) fn rename(&mut self, params: l::RenameParams) -> Result<Option<l::WorkspaceEdit>, String> {
        let Some((path, _, offset)) = self.place(&params.text_document_position) else { return Ok(None) };
        let edits = self.workspace.rename(&path, offset, &params.new_name)?;
        Ok(Lines::default().workspace_edit(self, &edits))
    }

    pub(super) fn symbols(
        &mut self,
        params: l::DocumentSymbolParams,
    ) -> Result<Option<l::DocumentSymbolResponse>, String> {
        let Some((path, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let found = self.workspace.symbols(&path);
        Ok(Some(l::DocumentSymbolResponse::Nested(found.into_iter().map(|s| symbol(&document, s)).collect())))
    }

    pub(super) fn workspace_symbols(
        &mut self,
        params: l::WorkspaceSymbolParams,
    ) -> Result<Option<l::WorkspaceSymbolResponse>, String> {
        let found = self.workspace.workspace_symbols(&params.query);
        let mut lines = Lines::default();
        let information = found.into_iter().filter_map(|(symbol, place)| {
            let location = lines.location(self, &place.path, &place.range())?;
            #[allow(deprecated)]
            Some(l::SymbolInformation {
                name: symbol.name,
                kind: symbol_kind(symbol.kind),
                tags: None,
                deprecated: None,
                location,
                container_name: None,
            })
        });
        Ok(Some(l::WorkspaceSymbolResponse::Flat(information.collect())))
    }

    pub(super) fn folds(&mut self, params: l::FoldingRangeParams) -> Result<Option<Vec<l::FoldingRange>>, String> {
        let Some((path, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let fold = |(range, comment): (TextRange, bool)| {
            let range = convert::range(&document.text, &document.lines, &range);
            l::FoldingRange {
                start_line: range.start.line,
                end_line: range.end.line,
                kind: comment.then_some(l::FoldingRangeKind::Comment),
                ..l::FoldingRange::default()
            }
        };
        Ok(Some(self.workspace.folds(&path).into_iter().map(fold).collect()))
    }

    pub(super) fn hints(&mut self, params: l::InlayHintParams) -> Result<Option<Vec<l::InlayHint>>, String> {
        let Some((path, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let at = |p| convert::offset(&document.text, &document.lines, p);
        let found = self.workspace.hints(&path, at(params.range.start)..at(params.range.end));
        let hint = |hint: flowc_ide::Hint| l::InlayHint {
            position: convert::position(&document.text, &document.lines, hint.offset),
            label: l::InlayHintLabel::String(hint.text),
            kind: Some(l::InlayHintKind::TYPE),
            text_edits: None,
            tooltip: (!hint.tooltip.is_empty()).then_some(l::InlayHintTooltip::String(hint.tooltip)),
            padding_left: None,
            padding_right: None,
            data: None,
        };
        Ok(Some(found.into_iter().map(hint).collect()))
    }

    pub(super) fn semantic_tokens(
        &mut self,
        params: l::SemanticTokensParams,
    ) -> Result<Option<l::SemanticTokensResult>, String> {
        let Some((path, document)) = self.document(&params.text_document.uri) else { return Ok(None) };
        let mut before = l::Position::new(0, 0);
        let mut data = vec![];
        for token in self.workspace.semantic_tokens(&path) {
            let range = convert::range(&document.text, &document.lines, &token.range);
            // The protocol has no tokens of several lines.
            if range.start.line != range.end.line {
                continue;
            }
            let same = range.start.line == before.line;
            data.push(l::SemanticToken {
                delta_line: range.start.line - before.line,
                delta_start: range.start.character - if same { before.character } else { 0 },
                length: range.end.character - range.start.character,
                token_type: SemanticKind::ALL.iter().position(|k| *k == token.kind).unwrap_or(0) as u32,
                token_modifiers_bitset: u32::from(token.declaration) | u32::from(token.built_in) << 1,
            });
            before = range.start;
        }
        Ok(Some(l::SemanticTokens { result_id: None, data }.into()))
    }
}

fn markdown(value: String) -> l::MarkupContent {
    l::MarkupContent { kind: l::MarkupKind::Markdown, value }
}

/// Where the parameters stand in a signature; it is ASCII, so that bytes and UTF-16 units are the same.
fn parameters(signature: &str) -> Vec<l::ParameterInformation> {
    let Some(open) = signature.find('(') else { return vec![] };
    let close = signature.rfind(") ->").unwrap_or(signature.len());
    let mut at = open + 1;
    let inside = signature.get(at..close).unwrap_or_default();
    let mut found = vec![];
    for name in inside.split(", ").filter(|p| !p.is_empty()) {
        let label = l::ParameterLabel::LabelOffsets([at as u32, (at + name.len()) as u32]);
        found.push(l::ParameterInformation { label, documentation: None });
        at += name.len() + 2;
    }
    found
}

fn symbol(document: &Document, symbol: Symbol) -> l::DocumentSymbol {
    let range = |r: &TextRange| convert::range(&document.text, &document.lines, r);
    #[allow(deprecated)]
    l::DocumentSymbol {
        range: range(&symbol.range),
        selection_range: range(&symbol.name_range),
        kind: symbol_kind(symbol.kind),
        name: symbol.name,
        detail: (!symbol.detail.is_empty()).then_some(symbol.detail),
        tags: None,
        deprecated: None,
        children: Some(symbol.children.into_iter().map(|s| self::symbol(document, s)).collect()),
    }
}

fn symbol_kind(kind: SymbolKind) -> l::SymbolKind {
    match kind {
        SymbolKind::Use => l::SymbolKind::FILE,
        SymbolKind::Param => l::SymbolKind::CONSTANT,
        SymbolKind::Source => l::SymbolKind::INTERFACE,
        SymbolKind::Table => l::SymbolKind::STRUCT,
        SymbolKind::Function => l::SymbolKind::FUNCTION,
        SymbolKind::Flow => l::SymbolKind::CLASS,
        SymbolKind::Step => l::SymbolKind::METHOD,
        SymbolKind::Sink => l::SymbolKind::EVENT,
        SymbolKind::Test => l::SymbolKind::METHOD,
    }
}

fn completion_kind(kind: CompletionKind) -> l::CompletionItemKind {
    match kind {
        CompletionKind::Column => l::CompletionItemKind::FIELD,
        CompletionKind::Field => l::CompletionItemKind::PROPERTY,
        CompletionKind::Relation => l::CompletionItemKind::CLASS,
        CompletionKind::Sink => l::CompletionItemKind::EVENT,
        CompletionKind::Param => l::CompletionItemKind::VARIABLE,
        CompletionKind::Function => l::CompletionItemKind::FUNCTION,
        CompletionKind::Type => l::CompletionItemKind::TYPE_PARAMETER,
        CompletionKind::Keyword => l::CompletionItemKind::KEYWORD,
        CompletionKind::Connector => l::CompletionItemKind::MODULE,
        CompletionKind::File => l::CompletionItemKind::FILE,
        CompletionKind::Folder => l::CompletionItemKind::FOLDER,
    }
}
