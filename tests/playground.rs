//! The playground: what its WebAssembly module answers is what the command line says; the page itself where its tools are there.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../editors/playground/wasm/src/api.rs"]
mod api;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Programs that need no data, and what they show.
const PROGRAMS: [&str; 4] = ["examples/digits.nn", "examples/optimizers.nn", "models/unet.nn", "examples/lstm.nn"];

fn nnc(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_nnc")).args(args).current_dir(root()).output().expect("nnc runs");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn call(name: &str, request: &Value) -> Value {
    let answer = api::Session::default().call_text(name, request.to_string().as_bytes());
    serde_json::from_str(&answer).expect("JSON")
}

#[test]
fn pictures_are_those_of_the_command_line() {
    for path in PROGRAMS {
        let picture = call("picture", &json!({ "text": text(path) }));
        assert_eq!(picture["svg"].as_str(), Some(&*nnc(&["graph", path])), "{path}");
        // A parameter by itself takes no input: nothing flows.
        let flows = !path.contains("optimizers");
        assert_eq!(picture["svg"].as_str().map(|s| s.contains("marker-end")), Some(flows), "{path}");
    }
}

#[test]
fn memory_is_that_of_the_command_line() {
    for path in PROGRAMS.iter().filter(|p| p.starts_with("examples/")) {
        let task = if path.contains("optimizers") { "descent" } else { "train" };
        let plan = call("plan", &json!({ "text": text(path), "task": task, "threads": 2 }));
        let told: Value = serde_json::from_str(&nnc(&["plan", path, task, "--threads", "2", "--json"])).expect("JSON");
        for field in ["arena_bytes", "lower_bound", "launches"] {
            assert_eq!(plan[field], told[field], "{path}: {field}");
        }
        let buffers = |v: &Value| -> Vec<(Value, Value, Value)> {
            let rows = v["buffers"].as_array().expect("rows");
            rows.iter().map(|b| (b["what"].clone(), b["bytes"].clone(), b["offset"].clone())).collect()
        };
        assert_eq!(buffers(&plan), buffers(&told), "{path}");
        let table = nnc(&["plan", path, task, "--threads", "2"]);
        let total = nnc::ide::grouped(plan["total"].as_u64().expect("a number"));
        assert!(table.contains(&format!("{total} bytes")), "{path}: {total}\n{table}");
    }
}

#[test]
fn layers_and_formatting_are_those_of_the_command_line() {
    for path in PROGRAMS {
        let text = text(path);
        assert_eq!(call("format", &json!({ "text": text }))["text"].as_str(), Some(&*text), "{path} is formatted");
        let table = nnc(&["summary", path]);
        for summary in call("summary", &json!({ "text": text })).as_array().expect("tables") {
            for row in summary["rows"].as_array().expect("rows") {
                let row: Vec<&str> = ["path", "layer"].iter().filter_map(|f| row[f].as_str()).collect();
                assert!(table.lines().any(|l| row.iter().all(|cell| l.contains(cell))), "{path}: {row:?}\n{table}");
            }
        }
    }
}

#[test]
fn mistakes_come_with_places_cures_and_pages() {
    let text = text("examples/wrong_flatten.nn");
    let found = call("look", &json!({ "text": text }));
    let [fault] = found["diagnostics"].as_array().expect("a list").as_slice() else { panic!("{found}") };
    let at = text.find("128 * 7 * 7)").expect("the place");
    assert_eq!(fault["primary"]["range"], json!([at, at + 11]));
    assert_eq!(fault["fixes"][0]["edits"][0]["text"], "128 * 8 * 8");
    let page = call("explain", &json!({ "code": fault["code"] }));
    assert_eq!(page["page"].as_str(), Some(&*nnc(&["explain", "E0301"])));
}

#[test]
fn places_count_utf16() {
    let text = "// größer 🎈\nfn f(x: f32[B, 4]) -> f32[B, 4] {\n  y = relu(x)\n  y\n}\n";
    let wide = |what: &str| text[..text.find(what).expect(what)].encode_utf16().count();
    let hints = call("look", &json!({ "text": text }));
    assert_eq!(hints["hints"], json!([{ "at": wide("y =") + 1, "label": ": f32[B, 4]", "insert": ": f32[B, 4]" }]));
    let hover = call("hover", &json!({ "text": text, "at": wide("relu") + 1 }));
    assert_eq!(hover["range"], json!([wide("relu"), wide("relu") + 4]));
    assert!(hover["markdown"].as_str().is_some_and(|m| m.contains("relu")), "{hover}");
}

#[test]
fn one_session_serves_text_after_text() {
    let mut session = api::Session::default();
    let mut ask = |name: &str, request: Value| session.call(name, &request);
    let good = "fn f(x: f32[B, 4]) -> f32[B, 4] { relu(x) }\n";
    let half = "fn f(x: f32[B, 4]) -> f32[B, 4] { rel }\n";
    let count = |v: &Value| v["diagnostics"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&ask("look", json!({ "text": good })).expect("an answer")), 0);
    let offered = ask("complete", json!({ "text": half, "at": half.find(" }").unwrap() })).expect("an answer");
    assert!(offered.as_array().is_some_and(|all| all.iter().any(|c| c["label"] == "relu")), "{offered}");
    assert!(count(&ask("look", json!({ "text": half })).expect("an answer")) > 0);
    assert!(ask("plan", json!({ "text": half })).is_err_and(|e| e.contains("mistake")));
    assert_eq!(count(&ask("look", json!({ "text": good })).expect("an answer")), 0);
    assert!(ask("look", json!({})).is_err_and(|e| e.contains("`text`")));
    assert!(ask("train", json!({})).is_err_and(|e| e.contains("no function `train`")));
}

/// The page in a browser, where somebody has built it: `npm ci && npm run build` in editors/playground.
#[test]
fn the_page_works_in_a_browser() {
    let folder = root().join("editors/playground");
    let built = folder.join("dist/index.html").exists() && folder.join("node_modules/puppeteer-core").exists();
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let chromium = std::env::var("CHROMIUM").is_ok() || chromium.iter().any(|p| Path::new(p).exists());
    let node = Command::new("node").arg("--version").output().is_ok_and(|o| o.status.success());
    if !(built && chromium && node) {
        eprintln!(
            "SKIPPED: the page of the playground is not tested: built {built}, Chromium {chromium}, node {node} \
             (npm ci && npm run build in editors/playground)"
        );
        return;
    }
    let out = Command::new("node").args(["--test", "test/"]).current_dir(&folder).output().expect("node runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}
