// Runs the flowc binary. What it says on standard output is given back; what it says on standard error goes to the output.

import { execFile } from "node:child_process";
import { homedir } from "node:os";
import { dirname } from "node:path";
import * as vscode from "vscode";
import { expandPath, paramWords } from "./words";

/** What a call of flowc came to. */
export interface Outcome {
  status: number;
  out: string;
  err: string;
}

/** Calls of flowc, with the binary and the parameters of the settings. */
export class Flowc {
  constructor(readonly output: vscode.LogOutputChannel) {}

  /** The binary's path. */
  path(scope?: vscode.Uri): string {
    const folder = (scope && vscode.workspace.getWorkspaceFolder(scope)) ?? vscode.workspace.workspaceFolders?.[0];
    const path = vscode.workspace.getConfiguration("flowc", scope).get<string>("path", "flowc");
    return expandPath(path, folder?.uri.fsPath, homedir());
  }

  /** `--param` words for a program. */
  params(uri: vscode.Uri): string[] {
    return paramWords(vscode.workspace.getConfiguration("flowc", uri).get("params"));
  }

  /** Runs it in the directory of the program. A binary that is not there has status -1. */
  run(words: string[], uri?: vscode.Uri, token?: vscode.CancellationToken): Promise<Outcome> {
    const path = this.path(uri);
    const cwd = uri ? dirname(uri.fsPath) : vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    this.output.debug(`${path} ${words.join(" ")}`);
    return new Promise((resolve) => {
      const child = execFile(path, words, { cwd, maxBuffer: 64 << 20, env: { ...process.env, NO_COLOR: "1" } }, (error, out, err) => {
        if (err) this.output.info(err.trimEnd());
        const status = error ? (typeof error.code === "number" ? error.code : -1) : 0;
        resolve({ status, out, err: status === -1 && !err ? (error?.message ?? "") : err });
      });
      token?.onCancellationRequested(() => child.kill("SIGINT"));
    });
  }

  /** The document that a call prints, or what was wrong. */
  async json<T>(words: string[], uri: vscode.Uri, token?: vscode.CancellationToken): Promise<{ json?: T; error?: string }> {
    const outcome = await this.run([...words, "--format", "json"], uri, token);
    try {
      return { json: JSON.parse(outcome.out) as T };
    } catch {
      return { error: outcome.err.trim() || `flowc ended with status ${outcome.status}` };
    }
  }

  /** A text in its canonical form, or nothing where it has mistakes. */
  formatted(text: string, uri: vscode.Uri): Promise<string | undefined> {
    return new Promise((resolve) => {
      const child = execFile(this.path(uri), ["fmt", "-"], { maxBuffer: 64 << 20 }, (error, out) => resolve(error ? undefined : out));
      child.stdin?.on("error", () => resolve(undefined));
      child.stdin?.end(text);
    });
  }

  /** The version, or nothing where there is no binary. */
  async version(): Promise<string | undefined> {
    const { status, out } = await this.run(["--version"]);
    return status === 0 ? out.trim() : undefined;
  }
}
