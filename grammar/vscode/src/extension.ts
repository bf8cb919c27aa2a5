// Puts the parts together: server, tests, views, commands.

import { basename, dirname } from "node:path";
import * as vscode from "vscode";
import { Flowc } from "./flowc";
import { Server } from "./server";
import { testsOf } from "./test-model";
import { Tests } from "./testing";
import { GraphView, previewRows } from "./views";

/** The program that a command is about: the one that a lens names, or the one that is being edited. */
async function program(uri?: unknown): Promise<vscode.TextDocument | undefined> {
  if (typeof uri === "string") return vscode.workspace.openTextDocument(vscode.Uri.parse(uri));
  if (uri instanceof vscode.Uri) return vscode.workspace.openTextDocument(uri);
  const document = vscode.window.activeTextEditor?.document;
  return document?.languageId === "flow" ? document : undefined;
}

/** The flow, source, table or sink around the cursor. */
function nameAtCursor(document: vscode.TextDocument): string | undefined {
  const line = vscode.window.activeTextEditor?.selection.active.line ?? 0;
  for (let at = line; at >= 0; at--) {
    const found = /^\s*(?:flow|source|table|sink)\s+(`[^`]+`|\w+)\s*=/.exec(document.lineAt(at).text);
    if (found) return found[1].replaceAll("`", "");
  }
  return undefined;
}

function testAtCursor(document: vscode.TextDocument): string | undefined {
  const line = vscode.window.activeTextEditor?.selection.active.line ?? 0;
  return testsOf(document.getText()).filter((t) => t.line <= line).at(-1)?.name;
}

async function run(flowc: Flowc, document: vscode.TextDocument): Promise<void> {
  await document.save();
  const words = ["run", basename(document.uri.fsPath), ...flowc.params(document.uri)];
  const process = new vscode.ProcessExecution(flowc.path(document.uri), words, { cwd: dirname(document.uri.fsPath) });
  const task = new vscode.Task({ type: "flowc" }, vscode.TaskScope.Workspace, `run ${words[1]}`, "flowc", process);
  await vscode.tasks.executeTask(task);
}

async function check(server: Server, flowc: Flowc, document: vscode.TextDocument): Promise<void> {
  await document.save();
  if (server.checks) {
    const count = await server.checks.check(document);
    if (count === 0) vscode.window.setStatusBarMessage("$(check) no mistakes", 5000);
    return;
  }
  const { status, err } = await flowc.run(["check", basename(document.uri.fsPath), ...flowc.params(document.uri)], document.uri);
  if (status === 0) vscode.window.setStatusBarMessage("$(check) no mistakes", 5000);
  else if (err) flowc.output.show(true);
}

/** Plans are shown as documents that cannot be edited. */
class Plans implements vscode.TextDocumentContentProvider {
  static readonly scheme = "flowc-plan";
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;

  constructor(private readonly flowc: Flowc) {}

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const file = vscode.Uri.file(uri.query);
    const { out, err } = await this.flowc.run(["explain", basename(file.fsPath), ...this.flowc.params(file)], file);
    return out || err;
  }

  async show(document: vscode.TextDocument): Promise<void> {
    const path = document.uri.fsPath;
    const uri = vscode.Uri.from({ scheme: Plans.scheme, path: `${basename(path)}.plan`, query: path });
    this.changed.fire(uri);
    await vscode.window.showTextDocument(uri, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true, preview: true });
  }
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("flowc", { log: true });
  const flowc = new Flowc(output);
  const server = new Server(flowc);
  const tests = new Tests(flowc);
  const graph = new GraphView(context.extensionUri, flowc, server);
  const plans = new Plans(flowc);
  const command = (name: string, act: (document: vscode.TextDocument, name: unknown) => Promise<void>) =>
    vscode.commands.registerCommand(`flowc.${name}`, async (uri?: unknown, argument?: unknown) => {
      const document = await program(uri);
      if (document) await act(document, argument);
    });
  context.subscriptions.push(
    output,
    server,
    tests,
    graph,
    vscode.workspace.registerTextDocumentContentProvider(Plans.scheme, plans),
    vscode.commands.registerCommand("flowc.restartServer", () => server.restart()),
    vscode.commands.registerCommand("flowc.showOutput", () => output.show(true)),
    command("check", (d) => check(server, flowc, d)),
    command("run", (d) => run(flowc, d)),
    command("showPlan", (d) => plans.show(d)),
    command("showGraph", (d) => graph.show(d)),
    command("runTest", (d, name) => tests.runNamed(d.uri, typeof name === "string" ? name : testAtCursor(d))),
    command("previewRows", async (d, argument) => {
      const name = typeof argument === "string" ? argument : nameAtCursor(d);
      const position = vscode.window.activeTextEditor?.selection.active ?? new vscode.Position(0, 0);
      if (name) await previewRows(context.extensionUri, server, d.uri, name, position);
    }),
    vscode.workspace.onDidChangeConfiguration(async (e) => {
      if (["flowc.path", "flowc.server", "flowc.trace"].some((s) => e.affectsConfiguration(s))) await server.restart();
    }),
  );
  await server.start();
}

export function deactivate(): void {
  // What was registered is disposed of by the editor.
}
