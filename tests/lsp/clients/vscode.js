// VS Code's own protocol library against `nnc lsp`, under node. Prints one line a result.
const { spawn } = require("child_process");
const fs = require("fs");
const { pathToFileURL } = require("url");
const p = require("vscode-languageserver-protocol/node");

const file = process.env.NNC_TEST_FILE;
const text = fs.readFileSync(file, "utf8");
const uri = pathToFileURL(file).href;
const say = (what, value) => console.log(`${what}: ${value}`);

function position(of, offset = 0) {
  const before = text.slice(0, text.indexOf(of) + offset);
  const lines = before.split("\n");
  return { line: lines.length - 1, character: lines[lines.length - 1].length };
}

function applied(edits) {
  const offset = (at) => text.split("\n").slice(0, at.line).reduce((n, l) => n + l.length + 1, 0) + at.character;
  const sorted = [...edits].sort((a, b) => offset(b.range.start) - offset(a.range.start));
  return sorted.reduce((t, e) => t.slice(0, offset(e.range.start)) + e.newText + t.slice(offset(e.range.end)), text);
}

async function main() {
  const server = spawn(process.env.NNC_TEST_SERVER, ["lsp", "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  const connection = p.createProtocolConnection(
    new p.StreamMessageReader(server.stdout),
    new p.StreamMessageWriter(server.stdin),
  );
  const diagnosed = new Promise((resolve) =>
    connection.onNotification(p.PublishDiagnosticsNotification.type, (params) => {
      if (params.uri === uri && params.diagnostics.length > 0) resolve(params.diagnostics);
    }),
  );
  connection.onRequest(p.InlayHintRefreshRequest.type, () => undefined);
  connection.listen();
  const capabilities = {
    general: { positionEncodings: ["utf-16"] },
    textDocument: {
      completion: { completionItem: { snippetSupport: true } },
      publishDiagnostics: { relatedInformation: true },
    },
  };
  const result = await connection.sendRequest(p.InitializeRequest.type, {
    processId: process.pid,
    rootUri: null,
    capabilities,
  });
  say("initialized", result.capabilities.positionEncoding);
  await connection.sendNotification(p.InitializedNotification.type, {});
  const textDocument = { uri };
  await connection.sendNotification(p.DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: "nn", version: 1, text },
  });
  for (const d of await diagnosed) say("diagnostic", `${d.range.start.line} ${d.code} ${d.message.split("\n")[0]}`);
  const hover = await connection.sendRequest(p.HoverRequest.type, { textDocument, position: position("h = flat") });
  say("hover", hover ? hover.contents.value.replace(/\n/g, " ") : "none");
  const list = await connection.sendRequest(p.CompletionRequest.type, {
    textDocument,
    position: position("|> relu", 5),
  });
  say("completion", list.items.some((i) => i.label === "relu"));
  const renamed = await connection.sendRequest(p.RenameRequest.type, {
    textDocument,
    position: position("h = flat"),
    newName: "renamed",
  });
  for (const line of applied(renamed.changes[uri]).split("\n")) {
    if (line.includes("renamed")) say("renamed", line.trim());
  }
  if (result.capabilities.documentFormattingProvider) {
    const edits = await connection.sendRequest(p.DocumentFormattingRequest.type, {
      textDocument,
      options: { tabSize: 2, insertSpaces: true },
    });
    say("formatted", applied(edits || []).split("\n")[0]);
  }
  await connection.sendRequest(p.ShutdownRequest.type);
  await connection.sendNotification(p.ExitNotification.type);
  server.on("exit", (code) => process.exit(code ?? 1));
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
