// The views beside a program: its graph, and rows after a step.

import { randomBytes } from "node:crypto";
import { basename, dirname } from "node:path";
import * as vscode from "vscode";
import type { Flowc } from "./flowc";
import { drawn, type Graph, graphOfPlan, graphOfServer, nodeAt } from "./graph-model";
import { escapeHtml, type Preview, previewParams, type RowsOf, tableOf } from "./rows-model";
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

  /** The plan's steps, of a program that has a plan on the disk; the server's declarations while it is being changed or has mistakes. */
  private async graphOf(document: vscode.TextDocument): Promise<Graph | string> {
    const uri = document.uri.toString();
    const served = async () => {
      const graph = graphOfServer(await this.server.ask("flowc/graph", { textDocument: { uri } }));
      return graph.nodes.length > 0 ? graph : undefined;
    };
    const early = document.isDirty ? await served() : undefined;
    if (early) return early;
    const words = ["explain", basename(document.uri.fsPath), ...this.flowc.params(document.uri)];
    const { json, error } = await this.flowc.json<Parameters<typeof graphOfPlan>[0]>(words, document.uri);
    if (json?.steps) return graphOfPlan(json, document.getText(), dirname(document.uri.fsPath));
    return (await served()) ?? error ?? "The program has errors: the graph comes when it has none.";
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

/** Rows on a sample, from the server: a table where it has rows as data, otherwise text. Nothing where it has none. */
export async function previewRows(root: vscode.Uri, server: Server, uri: vscode.Uri, of: RowsOf, position?: vscode.Position): Promise<string | undefined> {
  const limit = vscode.workspace.getConfiguration("flowc", uri).get<number>("preview.rows", 50);
  let refused = false;
  const asked = server.ask<Preview>("flowc/preview", previewParams(uri.toString(), of, position, limit), (why) => {
    refused = true;
    void vscode.window.showInformationMessage(`There are no rows of \`${of.name}\` to show: ${why}`);
  });
  const preview = await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: `Rows of ${of.name}` }, () => asked);
  if (refused) return undefined;
  if (!preview) return rowsAsText(server, uri, of);
  const where = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
  const title = `Rows: ${preview.title ?? of.name}`;
  const panel = rowsPanel(root, uri, title, where);
  panel.webview.html = page(panel.webview, root, undefined, tableOf(preview));
  return undefined;
}

/** The panels of rows that are open, by program and title: the same rows asked for again are shown where they were. */
const rowsPanels = new Map<string, vscode.WebviewPanel>();

function rowsPanel(root: vscode.Uri, uri: vscode.Uri, title: string, where: { viewColumn: vscode.ViewColumn; preserveFocus: boolean }): vscode.WebviewPanel {
  const key = `${uri.toString()} ${title}`;
  const open = rowsPanels.get(key);
  if (open) {
    open.reveal(undefined, true);
    return open;
  }
  const panel = vscode.window.createWebviewPanel("flowc.rows", title, where, { localResourceRoots: [vscode.Uri.joinPath(root, "media")] });
  rowsPanels.set(key, panel);
  panel.onDidDispose(() => rowsPanels.delete(key));
  return panel;
}

/** Rows as a server shows them that has none as data. */
async function rowsAsText(server: Server, uri: vscode.Uri, of: RowsOf): Promise<string | undefined> {
  const steps = of.steps === undefined ? [] : [of.steps];
  const asked = { command: "flowc.preview", arguments: [uri.toString(), of.name, ...steps] };
  const shown = await server.ask<{ output?: string }>("workspace/executeCommand", asked);
  if (!shown?.output) void vscode.window.showInformationMessage(`There are no rows of \`${of.name}\` to show: no language server has them.`);
  return shown?.output;
}

/** Texts that cannot be edited, beside the program: plans, rows, pages of codes. */
export class Pages implements vscode.TextDocumentContentProvider {
  static readonly scheme = "flowc-page";
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? "";
  }

  async show(title: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: Pages.scheme, path: title });
    this.texts.set(uri.toString(), text);
    this.changed.fire(uri);
    await vscode.window.showTextDocument(uri, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true, preview: true });
  }
}
