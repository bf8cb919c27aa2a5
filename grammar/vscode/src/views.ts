// The views beside a program: its graph, and rows after a step.

import { randomBytes } from "node:crypto";
import { basename, dirname } from "node:path";
import * as vscode from "vscode";
import type { Flowc } from "./flowc";
import { drawn, type Graph, graphOfPlan, graphOfServer, nodeAt } from "./graph-model";
import { escapeHtml, type Preview, tableOf } from "./rows-model";
import type { Server } from "./server";

/** A page that loads nothing but the extension's own script and style. */
function page(webview: vscode.Webview, root: vscode.Uri, script: string | undefined, body: string): string {
  const nonce = randomBytes(16).toString("hex");
  const at = (file: string) => webview.asWebviewUri(vscode.Uri.joinPath(root, "media", file)).toString();
  const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
  const code = script ? `<script nonce="${nonce}" src="${at(script)}"></script>` : "";
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><link rel="stylesheet" href="${at("view.css")}"></head><body>${body}${code}</body></html>`;
}

/** The graph of the program that is being edited; it follows the cursor. */
export class GraphView implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private shown: { uri: vscode.Uri; graph: Graph } | undefined;
  private readonly subscriptions: vscode.Disposable[] = [];

  constructor(
    private readonly root: vscode.Uri,
    private readonly flowc: Flowc,
    private readonly server: Server,
  ) {
    this.subscriptions.push(
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => this.follow(textEditor)),
      vscode.workspace.onDidSaveTextDocument((d) => this.refresh(d)),
      vscode.window.onDidChangeActiveTextEditor((e) => this.panel && e?.document.languageId === "flow" && this.refresh(e.document, true)),
    );
  }

  async show(document: vscode.TextDocument): Promise<void> {
    this.panel ??= this.open();
    this.panel.reveal(vscode.ViewColumn.Beside, true);
    await this.refresh(document, true);
  }

  private open(): vscode.WebviewPanel {
    const where = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
    const options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(this.root, "media")] };
    const panel = vscode.window.createWebviewPanel("flowc.graph", "Dataflow", where, options);
    panel.iconPath = vscode.Uri.joinPath(this.root, "media", "icon.png");
    panel.onDidDispose(() => {
      this.panel = undefined;
      this.shown = undefined;
    });
    panel.webview.onDidReceiveMessage((message: { line?: number }) => this.goTo(message.line));
    return panel;
  }

  private async refresh(document: vscode.TextDocument, change = false): Promise<void> {
    if (!this.panel || document.languageId !== "flow") return;
    if (!change && this.shown && this.shown.uri.toString() !== document.uri.toString()) return;
    const answer = await this.graphOf(document);
    if (!this.panel) return;
    this.panel.title = `Dataflow: ${basename(document.uri.fsPath)}`;
    if (typeof answer === "string") {
      this.panel.webview.html = page(this.panel.webview, this.root, undefined, `<p class="note">${escapeHtml(answer)}</p>`);
      return;
    }
    this.shown = { uri: document.uri, graph: answer };
    this.panel.webview.html = page(this.panel.webview, this.root, "graph.js", `<main>${drawn(answer)}</main>`);
    const editor = vscode.window.visibleTextEditors.find((e) => e.document === document);
    if (editor) this.follow(editor);
  }

  private async graphOf(document: vscode.TextDocument): Promise<Graph | string> {
    const answer = await this.server.ask("flowc/graph", { textDocument: { uri: document.uri.toString() }, uri: document.uri.toString() });
    const served = answer ? graphOfServer(answer) : undefined;
    if (served && served.nodes.length > 0) return served;
    const words = ["explain", basename(document.uri.fsPath), ...this.flowc.params(document.uri)];
    const { json, error } = await this.flowc.json<Parameters<typeof graphOfPlan>[0] & { diagnostics?: unknown[] }>(words, document.uri);
    if (!json) return error ?? "There is no plan.";
    if (!json.steps) return "The program has errors: the graph comes when it is checked.";
    return graphOfPlan(json, document.getText(), dirname(document.uri.fsPath));
  }

  private follow(editor: vscode.TextEditor): void {
    if (!this.panel || this.shown?.uri.toString() !== editor.document.uri.toString()) return;
    void this.panel.webview.postMessage({ current: nodeAt(this.shown.graph, editor.selection.active.line) ?? null });
  }

  private async goTo(line: number | undefined): Promise<void> {
    if (line === undefined || !this.shown) return;
    const column = vscode.window.visibleTextEditors.find((e) => e.document.uri.toString() === this.shown?.uri.toString())?.viewColumn;
    const editor = await vscode.window.showTextDocument(this.shown.uri, { viewColumn: column ?? vscode.ViewColumn.One });
    const start = new vscode.Position(line, editor.document.lineAt(line).firstNonWhitespaceCharacterIndex);
    editor.selection = new vscode.Selection(start, start);
    editor.revealRange(new vscode.Range(start, start), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }

  dispose(): void {
    this.panel?.dispose();
    this.subscriptions.forEach((s) => s.dispose());
  }
}

/** Rows after a step, on a sample, from the server. */
export async function previewRows(root: vscode.Uri, server: Server, uri: vscode.Uri, name: string, position: vscode.Position): Promise<void> {
  const limit = vscode.workspace.getConfiguration("flowc", uri).get<number>("preview.rows", 50);
  const asked = { textDocument: { uri: uri.toString() }, uri: uri.toString(), name, position, limit };
  const preview = await server.ask<Preview>("flowc/preview", asked);
  if (!preview) {
    void vscode.window.showInformationMessage("Rows are previewed by the language server, which this flowc does not have or which has no rows here.");
    return;
  }
  const where = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
  const panel = vscode.window.createWebviewPanel("flowc.rows", `Rows: ${name}`, where, { localResourceRoots: [vscode.Uri.joinPath(root, "media")] });
  panel.webview.html = page(panel.webview, root, undefined, tableOf(preview));
}
