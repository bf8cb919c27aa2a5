// A fresh editor in a browser: code-server with nothing but the extension, a project that `flowc new` makes, and what a user does.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(join(process.env.E2E_MODULES ?? import.meta.dirname, "package.json"));
const { chromium } = require("playwright-core");

/** The flowc binary, the packed extension, the browser, and where pictures go. */
const { FLOWC, VSIX, CHROMIUM = "/usr/bin/chromium", SCREENSHOTS } = process.env;
/** What needs time here waits for what it waits for, not for a time; this is when it gives up. */
const PATIENCE = Number(process.env.PATIENCE ?? 60_000);

/** Whether this flowc has a language server. */
export const hasServer = !execFileSync(FLOWC, ["lsp", "--help"], { encoding: "utf8" }).includes("not supported yet");

/** An editor with one project open. */
export class Editor {
  /** With `stub`, a flowc whose language server is the stub, and all else its own. */
  static async start({ stub = false } = {}) {
    const editor = new Editor();
    editor.home = mkdtempSync(join(tmpdir(), "flowc-e2e-"));
    editor.folder = join(editor.home, "weather");
    execFileSync(FLOWC, ["new", editor.folder]);
    const user = join(editor.home, "user", "User");
    mkdirSync(user, { recursive: true });
    const settings = {
      "editor.minimap.enabled": false,
      "editor.hover.delay": 100,
      "extensions.ignoreRecommendations": true,
      "files.autoSave": "off",
      "security.workspace.trust.enabled": false,
      "telemetry.telemetryLevel": "off",
      "window.restoreWindows": "none",
      "workbench.secondarySideBar.defaultVisibility": "hidden",
      "workbench.startupEditor": "none",
      "workbench.tips.enabled": false,
      "workbench.colorTheme": "Default Dark Modern",
      "chat.disableAIFeatures": true,
      "testing.automaticallyOpenTestResults": "neverOpen",
    };
    writeFileSync(join(user, "settings.json"), JSON.stringify(settings));
    // Which binary runs is a setting of the machine, not of whoever looks at it from a browser.
    const machine = join(editor.home, "user", "Machine");
    mkdirSync(machine, { recursive: true });
    writeFileSync(join(machine, "settings.json"), JSON.stringify({ "flowc.path": stub ? withStub(editor.home) : FLOWC }));
    const program = join(dirname(require.resolve("code-server/package.json")), "out/node/entry.js");
    const common = [program, "--user-data-dir", join(editor.home, "user"), "--extensions-dir", join(editor.home, "extensions")];
    const env = { ...process.env, HOME: editor.home };
    execFileSync(process.execPath, [...common, "--install-extension", VSIX], { env, stdio: "inherit" });
    const words = [...common, "--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry", "--disable-update-check"];
    editor.server = spawn(process.execPath, words, { env, stdio: ["ignore", "pipe", "inherit"] });
    const address = await listening(editor.server);
    editor.browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    editor.page = await editor.browser.newPage({ viewport: { width: 1440, height: 900 } });
    editor.page.setDefaultTimeout(PATIENCE);
    await editor.page.goto(`${address}/?folder=${encodeURIComponent(editor.folder)}`);
    await editor.page.locator(".monaco-workbench .statusbar").waitFor();
    return editor;
  }

  /** The text of a file, as it is on the disk. */
  read(file) {
    return readFileSync(join(this.folder, file), "utf8");
  }

  /** Opens the box that this key opens, and writes into it. */
  async quickInput(key, text) {
    const input = this.page.locator(".quick-input-widget input").first();
    await this.until(input, async () => {
      await this.page.keyboard.press(key);
      await input.fill(text, { timeout: PATIENCE / 12 });
    });
  }

  /** Opens a file by its name. */
  async open(file) {
    await this.quickInput("Control+P", file);
    await this.page.locator(".quick-input-list .monaco-list-row", { hasText: file }).first().waitFor();
    await this.page.keyboard.press("Enter");
    await this.page.locator(".tab.active", { hasText: file }).waitFor();
    await this.page.locator(".editor-instance .view-line").first().waitFor();
  }

  /** A command by its title. */
  async command(title) {
    await this.quickInput("F1", `>${title}`);
    await this.page.locator(".quick-input-list .monaco-list-row", { hasText: title }).first().waitFor();
    await this.page.keyboard.press("Enter");
    await this.page.locator(".quick-input-widget").waitFor({ state: "hidden" });
  }

  /** The cursor to a line and column, both from 1. */
  async goTo(line, column = 1) {
    await this.quickInput("Control+G", `:${line}:${column}`);
    await this.page.keyboard.press("Enter");
    await this.page.locator(".quick-input-widget").waitFor({ state: "hidden" });
    await this.page.waitForFunction(([l, c]) => document.querySelector(".statusbar")?.textContent.includes(`Ln ${l}, Col ${c}`), [line, column]);
  }

  /** Selects the first word of these lines, counted from 1, and writes another one over it. */
  async replace(file, word, other) {
    const lines = this.read(file).split("\n");
    const line = lines.findIndex((l) => l.includes(word));
    const column = lines[line].indexOf(word);
    await this.goTo(line + 1, column + 1);
    for (let i = 0; i < word.length; i++) await this.page.keyboard.press("Shift+ArrowRight");
    await this.page.keyboard.insertText(other);
  }

  /** The file as it was at first, whatever the editor has of it. */
  async restore(file, text) {
    writeFileSync(join(this.folder, file), text);
    await this.command("File: Revert File");
    await this.page.locator(".tab.active.dirty").waitFor({ state: "detached" });
  }

  /** Saves what was changed, and waits until the disk has it. */
  async save() {
    await this.page.locator(".tab.active.dirty").waitFor();
    await this.page.keyboard.press("Control+S");
    await this.page.locator(".tab.active.dirty").waitFor({ state: "detached" });
  }

  /** A token of the program in the editor. */
  token(text) {
    return this.page.locator(".editor-instance .view-line span span").filter({ hasText: new RegExp(`^\\s*${text.replaceAll(" ", "\\s")}\\s*$`) }).first();
  }

  /**
   * The colours that tokens have, by kind, once each has another than `plain`. Lines are drawn anew while colours come, and what is not in the page any more
   * has none.
   */
  async colours(tokens) {
    const patterns = Object.entries(tokens).map(([kind, text]) => [kind, `^\\s*${text.replaceAll(" ", "\\s")}\\s*$`]);
    const found = await this.page.waitForFunction((patterns) => {
      const tokens = [...document.querySelectorAll(".editor-instance .view-line span span")];
      const colour = ([kind, pattern]) => {
        const token = tokens.find((e) => new RegExp(pattern).test(e.textContent));
        return [kind, token && getComputedStyle(token).color];
      };
      const { plain, ...others } = Object.fromEntries(patterns.map(colour));
      return plain && Object.values(others).every((c) => c && c !== plain) && { plain, ...others };
    }, patterns);
    return found.jsonValue();
  }

  /**
   * Does something until what should come of it is there. The editor draws lenses, marks and lists anew while it works, and what is done
   * to one that is just being replaced is lost: a user does it again, and so does this. What is done must be harmless when done twice.
   */
  async until(seen, gesture) {
    for (let turn = 0; turn < 12; turn++) {
      try {
        await gesture();
        return await seen.waitFor({ timeout: PATIENCE / 12 });
      } catch (error) {
        if (error.name !== "TimeoutError") throw error;
      }
    }
    await seen.waitFor();
  }

  /** Points at a token until what is shown of it has this text: the first time may come before whoever answers is there. */
  async hover(text, shown) {
    await this.until(this.page.locator(".monaco-hover", { hasText: shown }).first(), async () => {
      await this.page.mouse.move(0, 0);
      await this.token(text).hover();
    });
  }

  /** Clicks a lens until what should come of it is there. */
  async lens(text, seen) {
    await this.until(seen, () => this.page.locator(".codelens-decoration a", { hasText: text }).first().click());
  }

  /** Asks for fixes at a line and column until one has this text, and takes it. */
  async quickFix(line, column, text, picture) {
    await this.until(this.page.locator(".action-widget", { hasText: text }), async () => {
      await this.page.keyboard.press("Escape");
      await this.goTo(line, column);
      await this.page.keyboard.press("Control+.");
    });
    await this.picture(picture);
    await this.page.keyboard.press("Enter");
  }

  /** Asks for completions at the cursor until one has this text. */
  async complete(text) {
    await this.until(this.page.locator(".suggest-widget .monaco-list-row", { hasText: text }).first(), async () => {
      await this.page.keyboard.press("Escape");
      await this.page.keyboard.press("Control+Space");
    });
  }

  /** A picture for whoever looks at the run. */
  async picture(name) {
    if (!SCREENSHOTS) return;
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }

  async stop() {
    await this.browser?.close();
    this.server?.kill("SIGTERM");
    const logs = join(this.home, "user", "logs");
    if (SCREENSHOTS) cpSync(logs, join(SCREENSHOTS, "logs"), { recursive: true, force: true, errorOnExist: false });
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A script that is flowc, but for its language server. */
function withStub(home) {
  const script = join(home, "flowc");
  const server = join(import.meta.dirname, "stub-server.mjs");
  const lines = [
    "#!/bin/sh",
    'if [ "$1 $2" = "lsp --help" ]; then echo "the stub"; exit; fi',
    `if [ "$1" = lsp ]; then exec "${process.execPath}" "${server}"; fi`,
    `exec "${FLOWC}" "$@"`,
  ];
  writeFileSync(script, `${lines.join("\n")}\n`, { mode: 0o755 });
  return script;
}

/** The address that the editor says it listens at. */
function listening(server) {
  return new Promise((resolve, reject) => {
    let said = "";
    server.stdout.on("data", (data) => {
      said += data;
      const found = /HTTP server listening on (http:\/\/[\d.:]+)/.exec(said);
      if (found) resolve(found[1]);
    });
    server.on("exit", (code) => reject(new Error(`code-server ended with ${code}\n${said}`)));
  });
}
