// Starts `nnc lsp` for .nn files, and offers nnc's commands as tasks.
import { execFile } from "node:child_process";
import * as vscode from "vscode";
import { LanguageClient, LanguageClientOptions, ServerOptions } from "vscode-languageclient/node";

let client: LanguageClient | undefined;

function settings() {
  const all = vscode.workspace.getConfiguration("nnc");
  return { path: all.get<string>("path", "nnc"), args: all.get<string[]>("arguments", ["lsp"]) };
}

async function start(): Promise<void> {
  const { path, args } = settings();
  const server: ServerOptions = { command: path, args };
  const options: LanguageClientOptions = { documentSelector: [{ language: "nn" }] };
  client = new LanguageClient("nnc", "nnc", server, options);
  try {
    await client.start();
  } catch (fault) {
    client = undefined;
    vscode.window.showErrorMessage(`\`${path} ${args.join(" ")}\` does not start: ${fault}. Set nnc.path.`);
  }
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  await running?.stop();
}

function task(command: string, file: string, definition?: vscode.TaskDefinition): vscode.Task {
  const args = command === "check" ? [command, file, "--message-format", "short"] : [command, file];
  const execution = new vscode.ProcessExecution(settings().path, args);
  const scope = vscode.TaskScope.Workspace;
  return new vscode.Task(definition ?? { type: "nnc", command }, scope, command, "nnc", execution, "$nnc");
}

const tasks: vscode.TaskProvider = {
  provideTasks() {
    return ["check", "run", "plan", "summary"].map((command) => task(command, "${file}"));
  },
  resolveTask(given) {
    const { command, file } = given.definition;
    return task(command, file ?? "${file}", given.definition);
  },
};

// The picture is a page without anything from elsewhere, so it can be shown as it is.
function graph(): void {
  const file = vscode.window.activeTextEditor?.document.fileName;
  if (!file?.endsWith(".nn")) {
    vscode.window.showInformationMessage("Open a .nn file first.");
    return;
  }
  const page = vscode.Uri.joinPath(vscode.Uri.file(require("node:os").tmpdir()), `nnc-${process.pid}.html`).fsPath;
  execFile(settings().path, ["graph", file, "-o", page, "--message-format", "short"], async (fault, _, said) => {
    if (fault) {
      vscode.window.showErrorMessage(said || String(fault));
      return;
    }
    const panel = vscode.window.createWebviewPanel("nnc.graph", "nnc graph", vscode.ViewColumn.Beside, { enableScripts: true });
    panel.webview.html = new TextDecoder().decode(await vscode.workspace.fs.readFile(vscode.Uri.file(page)));
  });
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  context.subscriptions.push(
    vscode.tasks.registerTaskProvider("nnc", tasks),
    vscode.commands.registerCommand("nnc.restart", async () => {
      await stop();
      await start();
    }),
    vscode.commands.registerCommand("nnc.graph", graph),
  );
  await start();
}

export function deactivate(): Promise<void> {
  return stop();
}
