// The language server, where the binary has one: starts it, says how it is, and starts it again.

import * as vscode from "vscode";
import {
  type DynamicFeature,
  ErrorCodes,
  ExecuteCommandRequest,
  LanguageClient,
  type LanguageClientOptions,
  ResponseError,
  type ServerOptions,
  State,
  type StaticFeature,
  Trace,
} from "vscode-languageclient/node";
import { Checker } from "./check";
import type { Flowc } from "./flowc";

/** A client that leaves commands to the extension: the server's have the same names, and a name can be registered once. */
class Client extends LanguageClient {
  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    const commands = "registrationType" in feature && feature.registrationType.method === ExecuteCommandRequest.method;
    if (!commands) super.registerFeature(feature);
  }
}

/** The server, or the checks that stand in for it. */
export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private checker: Checker | undefined;
  private readonly status = vscode.window.createStatusBarItem("flowc.server", vscode.StatusBarAlignment.Left, 0);

  constructor(private readonly flowc: Flowc) {
    this.status.name = "flowc";
    this.status.command = "flowc.showOutput";
  }

  /** Whether requests of flowc's own can be asked. */
  get running(): boolean {
    return this.client?.state === State.Running;
  }

  /** What checks programs where no server runs. */
  get checks(): Checker | undefined {
    return this.checker;
  }

  /** Asks the server; nothing where there is none, or where it does not know the request. `refused` hears why a request that it knows has no answer. */
  async ask<T>(method: string, params: unknown, refused?: (why: string) => void): Promise<T | undefined> {
    if (!this.client || !this.running) return undefined;
    try {
      return await this.client.sendRequest<T>(method, params);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.flowc.output.warn(`${method}: ${why}`);
      const unknown = error instanceof ResponseError && error.code === ErrorCodes.MethodNotFound;
      if (!unknown) refused?.(why);
      return undefined;
    }
  }

  async start(): Promise<void> {
    this.status.show();
    const version = await this.flowc.version();
    if (!version) {
      this.say("$(error) flowc", `There is no flowc binary at \`${this.flowc.path()}\`: the setting \`flowc.path\` names it.`, "error");
      return;
    }
    const wanted = vscode.workspace.getConfiguration("flowc").get<boolean>("server.enabled", true);
    if (!wanted || !(await this.offered())) {
      this.checker = new Checker(this.flowc);
      this.say(`$(check) ${version}`, "No language server: programs are checked when they are saved.");
      return;
    }
    await this.connect(version);
  }

  /** Whether this binary speaks the protocol: one that does not says so in its help. */
  private async offered(): Promise<boolean> {
    const { status, out } = await this.flowc.run(["lsp", "--help"]);
    return status === 0 && !out.includes("not supported yet");
  }

  private async connect(version: string): Promise<void> {
    const server: ServerOptions = { command: this.flowc.path(), args: ["lsp"] };
    const options: LanguageClientOptions = {
      documentSelector: [{ language: "flow", scheme: "file" }],
      outputChannel: this.flowc.output,
      initializationOptions: this.settings(),
      synchronize: { configurationSection: "flowc" },
    };
    const client = new Client("flowc", "flowc", server, options);
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) this.say(`$(check) ${version}`, "The language server is running.");
      if (newState === State.Starting) this.say(`$(sync~spin) ${version}`, "The language server is starting.");
      if (newState === State.Stopped) this.say(`$(error) ${version}`, "The language server has stopped.", "error");
    });
    this.client = client;
    try {
      await client.start();
      const trace = vscode.workspace.getConfiguration("flowc").get<string>("trace.server", "off");
      await client.setTrace(Trace.fromString(trace));
    } catch (error) {
      this.say(`$(error) ${version}`, `The language server did not start: ${String(error)}`, "error");
      this.client = undefined;
      this.checker = new Checker(this.flowc);
    }
  }

  private settings(): unknown {
    const settings = vscode.workspace.getConfiguration("flowc");
    return { params: settings.get("params"), preview: { rows: settings.get("preview.rows"), sample: settings.get("preview.sample") } };
  }

  private say(text: string, tooltip: string, kind?: "error"): void {
    this.status.text = text;
    this.status.tooltip = new vscode.MarkdownString(tooltip);
    this.status.backgroundColor = kind ? new vscode.ThemeColor("statusBarItem.errorBackground") : undefined;
  }

  async stop(): Promise<void> {
    this.checker?.dispose();
    this.checker = undefined;
    const client = this.client;
    this.client = undefined;
    await client?.dispose();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  dispose(): void {
    void this.stop();
    this.status.dispose();
  }
}
