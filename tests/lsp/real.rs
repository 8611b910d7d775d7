//! Clients that people use: Neovim's own, and VS Code's protocol library under node. Where they are absent the tests say so
//! and do nothing; `NNC_NODE_MODULES` is a folder with `vscode-languageserver-protocol` in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NET: &str = "model   Net(classes: int = 10) {
  hidden = Linear(64) // \u{1f600}
  output = Linear(classes)

  forward(image: f32[B, 1, H, W]) -> logits[B, classes] {
    flat = flatten(image)
    h = flat |> hidden |> relu
    missing(h)
    output(h)
  }
}
";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lsp/clients").join(name)
}

/// Runs a client on a file; gives what it prints.
fn run(name: &str, command: &mut Command) -> String {
    let folder = std::env::temp_dir().join(format!("nnc-lsp-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("net.nn");
    std::fs::write(&file, NET).unwrap();
    let out = command
        .env("NNC_TEST_FILE", &file)
        .env("NNC_TEST_SERVER", env!("CARGO_BIN_EXE_nnc"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let _ = Command::new("chmod").arg("-R").arg("u+w").arg(&folder).status();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(out.status.success(), "{name}: {text}\n{said}");
    text
}

fn is_there(program: &str) -> bool {
    let started = Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    started.is_ok_and(|s| s.success())
}

fn expect(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l.starts_with(line)), "no line {line:?} in\n{text}");
    }
}

#[test]
fn neovims_own_client() {
    if !is_there("nvim") {
        eprintln!("SKIPPED: no `nvim` here, so Neovim's client was not tried");
        return;
    }
    let lua = script("nvim.lua");
    let mut command = Command::new("nvim");
    command.args(["--headless", "-u", "NONE", "-i", "NONE", "-c"]).arg(format!("luafile {}", lua.display()));
    let text = run("nvim", &mut command);
    expect(&text, &["initialized: true", "diagnostic: 7 E0201", "hover: ```nn h: f32[B, 64]", "completion: true"]);
    expect(&text, &["renamed: renamed = flat |> hidden |> relu", "renamed: output(renamed)"]);
    expect(&text, &["formatted: model Net(classes: int = 10) {"]);
}

#[test]
fn vs_codes_library() {
    let modules = std::env::var_os("NNC_NODE_MODULES");
    let Some(modules) =
        modules.filter(|m| is_there("node") && Path::new(m).join("vscode-languageserver-protocol").exists())
    else {
        eprintln!(
            "SKIPPED: no `vscode-languageserver-protocol` (NNC_NODE_MODULES), so VS Code's library was not tried"
        );
        return;
    };
    let mut command = Command::new("node");
    command.arg(script("vscode.js")).env("NODE_PATH", modules);
    let text = run("vscode", &mut command);
    expect(&text, &["initialized: utf-16", "diagnostic: 7 E0201", "hover: ```nn h: f32[B, 64]", "completion: true"]);
    expect(&text, &["renamed: renamed = flat |> hidden |> relu", "renamed: output(renamed)"]);
    expect(&text, &["formatted: model Net(classes: int = 10) {"]);
}
