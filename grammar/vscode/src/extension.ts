// Puts the parts together: server, tests, views, commands.

import { basename, dirname } from "node:path";
import * as vscode from "vscode";
import { Flowc } from "./flowc";
import { LineageView } from "./lineage";
import { Server } from "./server";
import { testsOf } from "./test-model";
import { Tests } from "./testing";
import { GraphView, Pages, previewRows } from "./views";

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

/** flowc reads files as they are on the disk. */
async function saved(document: vscode.TextDocument): Promise<void> {
  if (document.isDirty) await document.save();
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

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("flowc", { log: true });
  const flowc = new Flowc(output);
  const server = new Server(flowc);
  const tests = new Tests(flowc);
  const graph = new GraphView(context.extensionUri, flowc, server);
  const pages = new Pages();
  const lineage = new LineageView(server);
  const command = (name: string, act: (document: vscode.TextDocument, name: unknown, steps: unknown) => Promise<void>) =>
    vscode.commands.registerCommand(`flowc.${name}`, async (uri?: unknown, argument?: unknown, steps?: unknown) => {
      const document = await program(uri);
      if (document) await act(document, argument, steps);
    });
  context.subscriptions.push(
    output,
    server,
    tests,
    graph,
    lineage,
    vscode.workspace.registerTextDocumentContentProvider(Pages.scheme, pages),
    vscode.commands.registerCommand("flowc.restartServer", () => server.restart()),
    vscode.commands.registerCommand("flowc.showOutput", () => output.show(true)),
    command("check", (d) => check(server, flowc, d)),
    command("run", (d) => run(flowc, d)),
    command("showPlan", async (d) => {
      await saved(d);
      const { out, err } = await flowc.run(["explain", basename(d.uri.fsPath), ...flowc.params(d.uri)], d.uri);
      await pages.show(`${basename(d.uri.fsPath)}.plan`, out || err);
    }),
    vscode.commands.registerCommand("flowc.explainCode", async (code: unknown) => {
      const { out, err } = await flowc.run(["explain", String(code)]);
      await pages.show(String(code), out || err);
    }),
    command("showGraph", (d) => graph.show(d)),
    command("runTest", (d, name) => tests.runNamed(d.uri, typeof name === "string" ? name : testAtCursor(d))),
    // The server's lenses say `preview`.
    ...["previewRows", "preview"].map((name) =>
      command(name, async (d, argument, steps) => {
        const named = typeof argument === "string";
        const of = named ? argument : nameAtCursor(d);
        if (!of) return;
        // A lens or an action says itself which rows.
        const position = named ? undefined : vscode.window.activeTextEditor?.selection.active;
        const rows = { name: of, steps: typeof steps === "number" ? steps : undefined };
        const text = await previewRows(context.extensionUri, server, d.uri, rows, position);
        if (text) await pages.show(`${of}.rows`, text);
      }),
    ),
    command("showLineage", async (d) => {
      const position = vscode.window.activeTextEditor?.selection.active;
      if (position) await lineage.show(d, position);
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
