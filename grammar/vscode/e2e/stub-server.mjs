// A language server that knows one program: shows that the extension speaks with a server, whatever flowc's own can do. It answers what the
// extension asks (README.md), and says so in its answers, so that a test can tell.

/** Answers to requests, by method. */
const answers = {
  initialize: () => ({
    capabilities: { textDocumentSync: 1, hoverProvider: true, codeLensProvider: {}, completionProvider: {}, codeActionProvider: true,
      executeCommandProvider: { commands: ["flowc.runTest", "flowc.showPlan", "flowc.preview", "flowc.explainCode"] } },
  }),
  shutdown: () => null,
  "textDocument/hover": () => ({ contents: { kind: "markdown", value: "a `double?` of the stub" } }),
  "textDocument/completion": () => [{ label: "timestamp_of_the_stub", kind: 5 }],
  "textDocument/codeAction": ({ textDocument: { uri }, context }) =>
    context.diagnostics.map((d) => ({
      title: "Change to `value`",
      kind: "quickfix",
      diagnostics: [d],
      isPreferred: true,
      edit: { changes: { [uri]: [{ range: d.range, newText: "value" }] } },
    })),
  "textDocument/codeLens": ({ textDocument: { uri } }) => {
    const lens = (line, title, command, name) => ({ range: range(line, 0, 4), command: { title, command, arguments: [uri, name] } });
    return lines(uri).flatMap((text, line) => {
      const test = /^test "(.*)"/.exec(text);
      const flow = /^flow (\w+)/.exec(text);
      const table = /^table (\w+)/.exec(text);
      if (table) return [lens(line, "Preview rows of the table", "flowc.preview", table[1])];
      if (test) return [lens(line, "Run test", "flowc.runTest", test[1])];
      return flow ? [lens(line, "Preview rows", "flowc.previewRows", flow[1])] : [];
    });
  },
  "flowc/graph": ({ textDocument: { uri } }) => ({
    nodes: [
      { name: "from the stub", kind: "source", location: { uri, range: range(4, 0, 1) }, columns: [{ name: "id", type: "long" }] },
      { name: "to the stub", kind: "sink", location: { uri, range: range(20, 0, 1) }, columns: [] },
    ],
    edges: [{ from: 0, to: 1, output: null }],
  }),
  // Of a table, flowc's own words; of a flow, rows.
  "workspace/executeCommand": ({ command, arguments: [, name] }) => ({ output: `${command}: rows of ${name} in words\n`, exit: 0 }),
  "flowc/preview": ({ name, limit }) => name !== "device" && ({
    columns: [{ name: "id", type: "integer" }, { name: "site", type: "string?" }],
    rows: [[1, `${name} of the stub`], [limit, null]],
  }),
};

const texts = new Map();
const lines = (uri) => (texts.get(uri) ?? "").split("\n");
const range = (line, from, to) => ({ start: { line, character: from }, end: { line, character: to } });

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
}

/** A text came: what it has of the misspelt column is a mistake. */
function opened(uri, text) {
  texts.set(uri, text);
  const diagnostics = lines(uri).flatMap((line, number) => {
    const at = line.indexOf("valeu");
    return at < 0 ? [] : [{ range: range(number, at, at + 5), severity: 1, code: "E0202", source: "flowc", message: "no `valeu` for the stub" }];
  });
  send({ method: "textDocument/publishDiagnostics", params: { uri, diagnostics } });
}

function received({ id, method, params }) {
  if (method === "exit") process.exit(0);
  if (method === "textDocument/didOpen") opened(params.textDocument.uri, params.textDocument.text);
  if (method === "textDocument/didChange") opened(params.textDocument.uri, params.contentChanges.at(-1).text);
  if (id === undefined || method === undefined) return;
  const answer = answers[method];
  const result = answer?.(params);
  if (answer && result !== false) send({ id, result });
  else send({ id, error: { code: -32601, message: `the stub does not know ${method}` } });
}

let buffer = Buffer.alloc(0);
process.stdin.on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    const length = end < 0 ? undefined : Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())?.[1]);
    if (length === undefined || buffer.length < end + 4 + length) return;
    const body = buffer.subarray(end + 4, end + 4 + length).toString();
    buffer = buffer.subarray(end + 4 + length);
    received(JSON.parse(body));
  }
});
