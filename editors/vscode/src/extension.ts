// Starts `nnc lsp` for .nn files, and offers nnc's commands as tasks, commands and lenses.
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
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
  const options: LanguageClientOptions = {
    documentSelector: [{ language: "nn" }],
    initializationOptions: vscode.workspace.getConfiguration("nnc"),
    synchronize: { configurationSection: "nnc" },
  };
  client = new LanguageClient("nnc", "nnc", server, options);
  try {
    await client.start();
  } catch (fault) {
    client = undefined;
    const open = "Open settings";
    const said = `\`${path} ${args.join(" ")}\` does not start: ${fault}. Set nnc.path.`;
    if ((await vscode.window.showErrorMessage(said, open)) === open) {
      void vscode.commands.executeCommand("workbench.action.openSettings", "nnc.path");
    }
  }
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  await running?.stop();
}

// `nnc WORD FILE WORD…`, in the file's folder, where its data and runs are.
function task(words: string[], file: string, definition?: vscode.TaskDefinition): vscode.Task {
  const [command, ...rest] = words;
  const short = command === "check" ? ["--message-format", "short"] : [];
  const cwd = file.startsWith("${") ? "${fileDirname}" : dirname(file);
  const execution = new vscode.ProcessExecution(settings().path, [command, file, ...rest, ...short], { cwd });
  const name = file.startsWith("${") ? words.join(" ") : `${words.join(" ")} ${basename(file)}`;
  const made = new vscode.Task(definition ?? { type: "nnc", command }, vscode.TaskScope.Workspace, name, "nnc", execution, "$nnc");
  if (command === "check") made.group = vscode.TaskGroup.Build;
  return made;
}

const tasks: vscode.TaskProvider = {
  provideTasks() {
    return ["check", "run", "plan", "summary"].map((command) => task([command], "${file}"));
  },
  resolveTask(given) {
    const { command, file, arguments: more } = given.definition;
    return task([command, ...(more ?? [])], file ?? "${file}", given.definition);
  },
};

// The open program, saved: what runs reads the file.
async function program(): Promise<string | undefined> {
  const document = vscode.window.activeTextEditor?.document;
  if (document?.languageId !== "nn" || document.isUntitled) {
    void vscode.window.showInformationMessage("Open a .nn file first.");
    return undefined;
  }
  await document.save();
  return document.fileName;
}

// A lens asks for this with the file and the words of a command line; from the palette both are the open program's.
function runner(...standard: string[]) {
  return async (file?: string, words?: string[]): Promise<void> => {
    const target = typeof file === "string" ? file : await program();
    if (!target) return;
    await vscode.workspace.saveAll(false);
    await vscode.tasks.executeTask(task(Array.isArray(words) ? words : standard, target));
  };
}

// The picture is a page without anything from elsewhere, so it can be shown as it is.
async function graph(): Promise<void> {
  const file = await program();
  if (!file) return;
  const page = join(tmpdir(), `nnc-${process.pid}.html`);
  execFile(settings().path, ["graph", file, "-o", page, "--message-format", "short"], async (fault, _, said) => {
    if (fault) {
      void vscode.window.showErrorMessage(said || String(fault));
      return;
    }
    const panel = vscode.window.createWebviewPanel("nnc.graph", `graph ${basename(file)}`, vscode.ViewColumn.Beside, {
      enableScripts: true,
    });
    panel.webview.html = new TextDecoder().decode(await vscode.workspace.fs.readFile(vscode.Uri.file(page)));
  });
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const command = vscode.commands.registerCommand;
  context.subscriptions.push(
    vscode.tasks.registerTaskProvider("nnc", tasks),
    command("nnc.restart", async () => {
      await stop();
      await start();
    }),
    command("nnc.graph", graph),
    command("nnc.run", runner("run")),
    command("nnc.check", runner("check")),
    command("nnc.plan", runner("plan")),
    vscode.workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration("nnc.path") || change.affectsConfiguration("nnc.arguments")) {
        await stop();
        await start();
      }
    }),
  );
  await start();
}

export function deactivate(): Promise<void> {
  return stop();
}
