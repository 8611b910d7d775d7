//! One session each: what a client sends, and what it has to get.

use crate::client::{Client, position};
use serde_json::{Value, json};

const NET: &str = "/// Two layers. \u{1f600}
model Net(classes: int = 10) {
  hidden = Linear(64)
  output = Linear(classes)

  forward(image: f32[B, 1, H, W]) -> logits[B, classes] {
    flat = flatten(image) // \u{1f600}
    h = flat |> hidden |> relu
    output(h)
  }
}

train {
  data      = digits(validate: 0.2)
  batch     = 64
  epochs    = 1
  net       = Net()
  optimizer = Adam(lr: 1e-3)

  step(image, label) {
    scores = net(image)
    minimize cross_entropy(scores, label)
    report   accuracy(scores, label)
  }
}
";

const URI: &str = "file:///nowhere/net.nn";

fn open(capabilities: Value, text: &str) -> Client {
    let (mut client, _) = Client::start(capabilities, Value::Null);
    client.open(URI, text);
    client
}

fn place(of: &str) -> Value {
    json!({ "textDocument": { "uri": URI }, "position": position(NET, of) })
}

#[test]
fn mistakes_are_pushed_and_go_away() {
    let mut client = open(json!({}), &NET.replace("output(h)", "output(hh)"));
    let said = client.wait("textDocument/publishDiagnostics", |p| p["version"] == json!(1));
    let first = &said["diagnostics"][0];
    assert_eq!(first["code"], json!("E0201"), "{said}");
    assert!(first["message"].as_str().unwrap().contains("`hh` is not known here"), "{said}");
    assert!(first["codeDescription"]["href"].as_str().unwrap().ends_with("E0201.md"), "{said}");
    let start = position(&NET.replace("output(h)", "output(hh)"), "hh)");
    assert_eq!(first["range"]["start"], start);
    // A keystroke mends it.
    let end = json!({ "line": start["line"], "character": start["character"].as_i64().unwrap() + 2 });
    let change = json!({ "range": { "start": start, "end": end }, "text": "h" });
    let doc = json!({ "uri": URI, "version": 2 });
    client.notify("textDocument/didChange", json!({ "textDocument": doc, "contentChanges": [change] }));
    let said = client.wait("textDocument/publishDiagnostics", |p| p["version"] == json!(2));
    assert_eq!(said["diagnostics"], json!([]));
    assert!(client.end());
}

#[test]
fn mistakes_are_pulled_with_their_reasons() {
    let text = "fn add(a: f32[B, 3], b: f32[B, 4]) { a + b }\n";
    let mut client = open(json!({ "textDocument": { "diagnostic": {} } }), text);
    let said = client.request("textDocument/diagnostic", json!({ "textDocument": { "uri": URI } }));
    let first = &said["items"][0];
    assert_eq!((&said["kind"], &first["code"]), (&json!("full"), &json!("E0301")), "{said}");
    let related = first["relatedInformation"].as_array().unwrap();
    assert!(related.iter().any(|r| r["location"]["uri"] == json!(URI)), "{said}");
}

#[test]
fn hover_knows_shapes_and_documentation() {
    let mut client = open(json!({}), NET);
    client.wait("textDocument/publishDiagnostics", |_| true);
    let text = |v: &Value| v["contents"]["value"].as_str().unwrap_or("").to_string();
    let h = text(&client.request("textDocument/hover", place("h = flat")));
    assert!(h.contains("h: f32[B, 64]"), "{h}");
    let image = text(&client.request("textDocument/hover", place("image)")));
    assert!(image.contains("f32[B, 1, H, W]") && image.contains("in `train`: `f32[B, 1, 8, 8]`"), "{image}");
    let relu = text(&client.request("textDocument/hover", place("relu")));
    assert!(relu.contains("std.activations") && relu.contains("here: `f32[B, 64]`"), "{relu}");
    let net = text(&client.request("textDocument/hover", place("Net()")));
    assert!(net.contains("4,810 parameters") && net.contains("Two layers"), "{net}");
    let size = text(&client.request("textDocument/hover", place("H, W")));
    assert!(size.contains("size known by name") && size.contains("in `train`: `8`"), "{size}");
    let setting = text(&client.request("textDocument/hover", place("batch ")));
    assert!(setting.contains("Samples of one step"), "{setting}");
}

#[test]
fn hints_show_the_shapes_of_bindings() {
    let hints = |options: Value| {
        let (mut client, _) = Client::start(json!({}), options);
        client.open(URI, NET);
        let all = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
        let got = client.request("textDocument/inlayHint", json!({ "textDocument": { "uri": URI }, "range": all }));
        got.as_array().unwrap().iter().map(|h| h["label"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let names = hints(Value::Null);
    assert!(names.contains(&": f32[B, H * W]".to_string()) && names.contains(&": f32[B, 64]".to_string()), "{names:?}");
    let values = hints(json!({ "inlayHints": { "shapes": "values" } }));
    assert!(values.contains(&": f32[B, 64]".to_string()) && !values.iter().any(|l| l.contains("H * W")), "{values:?}");
    assert_eq!(hints(json!({ "inlayHints": { "shapes": "off" } })), Vec::<String>::new());
}

#[test]
fn positions_are_in_what_was_agreed_on() {
    let capabilities = json!({ "general": { "positionEncodings": ["utf-8", "utf-16"] } });
    let (mut client, can) = Client::start(capabilities, Value::Null);
    assert_eq!(can["positionEncoding"], json!("utf-8"));
    let text = "fn f(x: f32[B]) { /* */ y = \"\u{e9}\u{1f600}\"; zz }\n".replace("/* */ ", "");
    client.open(URI, &text);
    let said = client.wait("textDocument/publishDiagnostics", |_| true);
    let all = said["diagnostics"].as_array().unwrap();
    let unknown = all.iter().find(|d| d["code"] == json!("E0201")).unwrap();
    assert_eq!(unknown["range"]["start"]["character"], json!(text.find("zz").unwrap()));
    let (_, can) = Client::start(json!({}), Value::Null);
    assert_eq!(can["positionEncoding"], json!("utf-16"));
}

#[test]
fn definitions_lead_into_the_librarys_own_source() {
    let mut client = open(json!({}), NET);
    client.wait("textDocument/publishDiagnostics", |_| true);
    let to = client.request("textDocument/definition", place("Linear(64)"));
    let uri = to["uri"].as_str().unwrap();
    assert!(uri.ends_with("/std/layers.nn"), "{to}");
    let file = std::fs::read_to_string(uri.strip_prefix("file://").unwrap()).unwrap();
    let line = file.lines().nth(to["range"]["start"]["line"].as_u64().unwrap() as usize).unwrap();
    assert!(line.starts_with("layer Linear"), "{line}");
    let own = client.request("textDocument/definition", place("hidden |>"));
    assert_eq!(own["range"]["start"], position(NET, "hidden = "));
    let uses = client.request(
        "textDocument/references",
        json!({ "textDocument": { "uri": URI }, "position": position(NET, "scores = "), "context": { "includeDeclaration": true } }),
    );
    assert_eq!(uses.as_array().unwrap().len(), 3, "{uses}");
}

#[test]
fn completion_knows_what_fits() {
    let text = NET.replace("    output(h)", "    h |> ");
    let mut client = open(json!({}), &text);
    client.wait("textDocument/publishDiagnostics", |_| true);
    let at = json!({ "textDocument": { "uri": URI }, "position": crate::client::at(&text, text.find("h |> \n").unwrap() + 5) });
    let got = client.request("textDocument/completion", at);
    let labels: Vec<&str> = got["items"].as_array().unwrap().iter().map(|i| i["label"].as_str().unwrap()).collect();
    let place = |l: &str| labels.iter().position(|x| *x == l);
    assert!(place("output").unwrap() < 3, "{labels:?}");
    assert!(place("relu").is_some() && place("max_pool2d").is_none(), "{labels:?}");
}
