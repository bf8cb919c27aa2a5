// What the server does for a program, as far as the command line can do it: diagnostics when a file is saved, and formatting.

import { basename } from "node:path";
import * as vscode from "vscode";
import type { Flowc } from "./flowc";
import { type FlowcDiagnostic, placeOf } from "./words";

/** A diagnostic of flowc as one of the editor. */
export function diagnosticOf(found: FlowcDiagnostic, uri: vscode.Uri): vscode.Diagnostic {
  const range = new vscode.Range(...placeOf(found.start, found.end));
  const severity = found.severity === "warning" ? vscode.DiagnosticSeverity.Warning : vscode.DiagnosticSeverity.Error;
  const diagnostic = new vscode.Diagnostic(range, found.help ? `${found.message}\n${found.help}` : found.message, severity);
  diagnostic.source = "flowc";
  diagnostic.code = found.code;
  diagnostic.relatedInformation = (found.labels ?? [])
    .filter((label) => !label.file || basename(label.file) === basename(uri.fsPath))
    .map((label) => new vscode.DiagnosticRelatedInformation(new vscode.Location(uri, new vscode.Range(...placeOf(label.start, label.end))), label.message));
  return diagnostic;
}

/** Checks programs when they are opened and saved. */
export class Checker implements vscode.Disposable {
  private readonly found = vscode.languages.createDiagnosticCollection("flowc");
  private readonly subscriptions: vscode.Disposable[] = [this.found];

  constructor(private readonly flowc: Flowc) {
    this.subscriptions.push(
      vscode.workspace.onDidSaveTextDocument((d) => this.check(d)),
      vscode.workspace.onDidOpenTextDocument((d) => this.check(d)),
      vscode.workspace.onDidCloseTextDocument((d) => this.found.delete(d.uri)),
      vscode.languages.registerDocumentFormattingEditProvider({ language: "flow", scheme: "file" }, { provideDocumentFormattingEdits: (d) => this.format(d) }),
    );
    vscode.workspace.textDocuments.forEach((d) => this.check(d));
  }

  /** Checks a program as it is on the disk; its diagnostics come into the editor. */
  async check(document: vscode.TextDocument): Promise<number | undefined> {
    if (document.languageId !== "flow" || document.uri.scheme !== "file") return undefined;
    const name = basename(document.uri.fsPath);
    const words = ["check", name, ...this.flowc.params(document.uri)];
    const { json, error } = await this.flowc.json<{ diagnostics: FlowcDiagnostic[] }>(words, document.uri);
    if (!json) {
      this.flowc.output.warn(error ?? "");
      return undefined;
    }
    const own = json.diagnostics.filter((d) => !d.file || basename(d.file) === name);
    this.found.set(document.uri, own.map((d) => diagnosticOf(d, document.uri)));
    return json.diagnostics.length;
  }

  private async format(document: vscode.TextDocument): Promise<vscode.TextEdit[]> {
    const text = await this.flowc.formatted(document.getText(), document.uri);
    if (text === undefined || text === document.getText()) return [];
    const whole = new vscode.Range(document.positionAt(0), document.positionAt(document.getText().length));
    return [vscode.TextEdit.replace(whole, text)];
  }

  dispose(): void {
    this.subscriptions.forEach((s) => s.dispose());
  }
}
