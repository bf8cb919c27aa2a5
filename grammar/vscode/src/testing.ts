// The editor's tests: the `test` blocks of programs, run by `flowc test`.

import { basename } from "node:path";
import * as vscode from "vscode";
import type { Flowc } from "./flowc";
import { failureText, outcomeOf, testsOf, type TestResult } from "./test-model";
import { placeOf } from "./words";

/** The tests of all programs of the workspace. */
export class Tests implements vscode.Disposable {
  private readonly controller = vscode.tests.createTestController("flowc", "flowc");
  private readonly subscriptions: vscode.Disposable[] = [this.controller];

  constructor(private readonly flowc: Flowc) {
    this.controller.resolveHandler = async (item) => {
      if (!item) await this.discover();
    };
    this.controller.refreshHandler = () => this.discover();
    const run = (request: vscode.TestRunRequest, token: vscode.CancellationToken) => this.run(request, token);
    this.controller.createRunProfile("Run", vscode.TestRunProfileKind.Run, run, true);
    const watcher = vscode.workspace.createFileSystemWatcher("**/*.flow");
    this.subscriptions.push(
      watcher,
      watcher.onDidCreate((uri) => this.read(uri)),
      watcher.onDidChange((uri) => this.read(uri)),
      watcher.onDidDelete((uri) => this.controller.items.delete(uri.toString())),
      vscode.workspace.onDidOpenTextDocument((d) => this.update(d.uri, d.languageId === "flow" ? d.getText() : undefined)),
      vscode.workspace.onDidChangeTextDocument(({ document: d }) => this.update(d.uri, d.languageId === "flow" ? d.getText() : undefined)),
    );
    for (const d of vscode.workspace.textDocuments) this.update(d.uri, d.languageId === "flow" ? d.getText() : undefined);
  }

  private async discover(): Promise<void> {
    const found = await vscode.workspace.findFiles("**/*.flow", "**/{node_modules,target,.git}/**");
    await Promise.all(found.map((uri) => this.read(uri)));
  }

  private async read(uri: vscode.Uri): Promise<void> {
    const open = vscode.workspace.textDocuments.find((d) => d.uri.toString() === uri.toString());
    const text = open?.getText() ?? Buffer.from(await vscode.workspace.fs.readFile(uri)).toString("utf8");
    this.update(uri, text);
  }

  private update(uri: vscode.Uri, text: string | undefined): void {
    if (text === undefined || uri.scheme !== "file") return;
    const id = uri.toString();
    const tests = testsOf(text);
    if (tests.length === 0) {
      this.controller.items.delete(id);
      return;
    }
    const file = this.controller.items.get(id) ?? this.controller.createTestItem(id, vscode.workspace.asRelativePath(uri), uri);
    const items = tests.map((test) => {
      const item = file.children.get(test.name) ?? this.controller.createTestItem(test.name, test.name, uri);
      item.range = new vscode.Range(test.line, 0, test.line, 0);
      return item;
    });
    file.children.replace(items);
    this.controller.items.add(file);
  }

  /** Runs the test of this name of a program; without a name, all of them. */
  async runNamed(uri: vscode.Uri, name: string | undefined): Promise<void> {
    await this.read(uri);
    const file = this.controller.items.get(uri.toString());
    const item = name === undefined ? file : file?.children.get(name);
    if (!item) {
      void vscode.window.showWarningMessage(name ? `There is no test "${name}".` : "This program has no tests.");
      return;
    }
    const source = new vscode.CancellationTokenSource();
    await this.run(new vscode.TestRunRequest([item]), source.token);
    await vscode.commands.executeCommand("testing.showMostRecentOutput");
  }

  private async run(request: vscode.TestRunRequest, token: vscode.CancellationToken): Promise<void> {
    const run = this.controller.createTestRun(request);
    const wanted: vscode.TestItem[] = [];
    (request.include ?? [...this.controller.items].map(([, item]) => item)).forEach((item) => wanted.push(item));
    const byFile = new Map<string, vscode.TestItem[]>();
    const excluded = new Set(request.exclude ?? []);
    for (const item of wanted) {
      const tests = item.children.size > 0 ? [...item.children].map(([, child]) => child) : [item];
      const kept = tests.filter((t) => !excluded.has(t) && t.uri);
      for (const t of kept) byFile.set(t.uri!.toString(), [...(byFile.get(t.uri!.toString()) ?? []), t]);
    }
    for (const tests of byFile.values()) {
      if (token.isCancellationRequested) break;
      await this.runFile(run, tests, token);
    }
    run.end();
  }

  private async runFile(run: vscode.TestRun, tests: vscode.TestItem[], token: vscode.CancellationToken): Promise<void> {
    const uri = tests[0].uri!;
    tests.forEach((t) => run.started(t));
    await saved(uri);
    // One name filters; several run the whole file once rather than it again for each.
    const filter = tests.length === 1 ? ["--filter", tests[0].id] : [];
    const words = ["test", basename(uri.fsPath), ...filter, ...this.flowc.params(uri)];
    const { json, error } = await this.flowc.json<unknown>(words, uri, token);
    const outcome = outcomeOf(json);
    for (const test of tests) {
      const result = outcome.tests.find((r) => r.name === test.id);
      if (result) this.report(run, test, result);
      else {
        const why = outcome.diagnostics.map((d) => `${d.code} ${d.message}`).join("\n");
        run.errored(test, new vscode.TestMessage(error ?? (why || "The test did not run.")));
      }
    }
  }

  private report(run: vscode.TestRun, test: vscode.TestItem, result: TestResult): void {
    run.appendOutput(`${result.status === "passed" ? "ok     " : "FAILED "} ${result.name}\r\n`, undefined, test);
    if (result.status === "passed") {
      run.passed(test, result.milliseconds);
      return;
    }
    const messages = result.failures.map((failure) => {
      const { message, expected, actual } = failureText(failure);
      const text = expected === undefined ? new vscode.TestMessage(message) : vscode.TestMessage.diff(message, expected, actual ?? "");
      text.location = new vscode.Location(test.uri!, new vscode.Range(...placeOf(failure.start, failure.end)));
      run.appendOutput(`${message.replaceAll("\n", "\r\n")}\r\n`, text.location, test);
      return text;
    });
    run.failed(test, messages, result.milliseconds);
  }

  dispose(): void {
    this.subscriptions.forEach((s) => s.dispose());
  }
}

/** flowc reads the file: what is not saved would not be tested. */
async function saved(uri: vscode.Uri): Promise<void> {
  const open = vscode.workspace.textDocuments.find((d) => d.uri.toString() === uri.toString());
  if (open?.isDirty) await open.save();
}
