//! The rest of what the server offers, over its pipe.

use crate::client::{Client, at, position};
use serde_json::{Value, json};

const URI: &str = "file:///nowhere/more.nn";

const NET: &str = "// \u{1f600}
// two lines of a comment
layer Block(width: int) {
  first  = Linear(width)
  second = Linear(width)

  forward(x: f32[B, D]) -> f32[B, width] {
    h = x |> first |> relu
    h |> second
  }
}

model Net() {
  body = Block(32)
  head = Linear(10)

  forward(image: f32[B, 1, H, W]) -> logits[B, 10] {
    image |> flatten |> body |> head
  }
}

train {
  data      = digits(validate: 0.2)
  batch     = 64
  epochs    = 1
  net       = Net()
  optimizer = Adam(lr: 1e-3)

  step(image, label) {
    minimize cross_entropy(net(image), label)
  }
}
";

fn open(text: &str) -> Client {
    let (mut client, _) = Client::start(json!({}), Value::Null);
    client.open(URI, text);
    client.wait("textDocument/publishDiagnostics", |_| true);
    client
}

fn doc() -> Value {
    json!({ "uri": URI })
}

/// A text after edits of the protocol.
fn applied(text: &str, edits: &Value) -> String {
    let mut edits: Vec<(usize, usize, String)> = edits
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let offset = |p: &Value| {
                let line = p["line"].as_u64().unwrap() as usize;
                let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
                let mut units = p["character"].as_u64().unwrap() as usize;
                let rest = &text[start..];
                let inner = rest.char_indices().find(|(_, c)| {
                    let here = units == 0;
                    units = units.saturating_sub(c.len_utf16());
                    here
                });
                start + inner.map_or(rest.len(), |(i, _)| i)
            };
            let range = &e["range"];
            (offset(&range["start"]), offset(&range["end"]), e["newText"].as_str().unwrap().to_string())
        })
        .collect();
    edits.sort();
    let mut out = text.to_string();
    for (start, end, new) in edits.into_iter().rev() {
        out.replace_range(start..end, &new);
    }
    out
}

#[test]
fn a_rename_reaches_every_mention_and_warns_of_checkpoints() {
    let mut client = open(NET);
    let place = json!({ "textDocument": doc(), "position": position(NET, "first |>"), "newName": "inner" });
    let ready = client.request("textDocument/prepareRename", place.clone());
    assert_eq!(ready["placeholder"], json!("first"), "{ready}");
    let got = client.request("textDocument/rename", place);
    let after = applied(NET, &got["changes"][URI]);
    assert!(after.contains("  inner  = Linear(width)") && after.contains("x |> inner |> relu"), "{after}");
    let warned = client.wait("window/showMessage", |_| true);
    assert!(warned["message"].as_str().unwrap().contains("checkpoints"), "{warned}");
    // A local is in no checkpoint, and a parameter's arguments follow it.
    let place = json!({ "textDocument": doc(), "position": position(NET, "width: int"), "newName": "size" });
    let after = applied(NET, &client.request("textDocument/rename", place)["changes"][URI]);
    assert!(after.contains("layer Block(size: int)") && after.contains("-> f32[B, size]"), "{after}");
    for (of, name) in
        [("Linear(10)", "X"), ("first |>", "second"), ("first |>", "1x"), ("batch", "b"), ("label) {", "x")]
    {
        let place = json!({ "textDocument": doc(), "position": position(NET, of), "newName": name });
        let got = client.request("textDocument/rename", place);
        assert!(got.get("error").is_some(), "{of} to {name}: {got}");
    }
}

#[test]
fn a_client_with_annotations_is_asked() {
    let capabilities =
        json!({ "workspace": { "workspaceEdit": { "documentChanges": true, "changeAnnotationSupport": {} } } });
    let (mut client, _) = Client::start(capabilities, Value::Null);
    client.open(URI, NET);
    client.wait("textDocument/publishDiagnostics", |_| true);
    let place = json!({ "textDocument": doc(), "position": position(NET, "head = "), "newName": "out" });
    let got = client.request("textDocument/rename", place);
    assert_eq!(got["changeAnnotations"]["checkpoint"]["needsConfirmation"], json!(true), "{got}");
    assert_eq!(got["documentChanges"][0]["edits"].as_array().unwrap().len(), 2, "{got}");
}

#[test]
fn symbols_folds_and_selections() {
    let mut client = open(NET);
    let outline = client.request("textDocument/documentSymbol", json!({ "textDocument": doc() }));
    let names: Vec<&str> = outline.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Block", "Net", "train"]);
    let inner: Vec<&str> =
        outline[0]["children"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(inner, ["first", "second", "forward"]);
    let found = client.request("workspace/symbol", json!({ "query": "blo" }));
    assert_eq!(found[0]["name"], json!("Block"), "{found}");
    let folds = client.request("textDocument/foldingRange", json!({ "textDocument": doc() }));
    let first = &folds[0];
    assert_eq!((&first["startLine"], &first["endLine"], &first["kind"]), (&json!(0), &json!(1), &json!("comment")));
    assert_eq!(folds.as_array().unwrap().len(), 7, "{folds}");
    let at = json!({ "textDocument": doc(), "positions": [position(NET, "relu")] });
    let mut range = client.request("textDocument/selectionRange", at)[0].clone();
    let mut depth = 0;
    while !range["parent"].is_null() {
        range = range["parent"].clone();
        depth += 1;
    }
    assert!(depth >= 5, "{depth}");
}

#[test]
fn every_name_has_its_colour() {
    let mut client = open(NET);
    let got = client.request("textDocument/semanticTokens/full", json!({ "textDocument": doc() }));
    let data: Vec<u64> = got["data"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert!(data.len().is_multiple_of(5) && data.len() > 200, "{}", data.len());
    let (mut line, mut column) = (0, 0);
    let mut words = Vec::new();
    for token in data.chunks(5) {
        column = if token[0] == 0 { column + token[1] } else { token[1] };
        line += token[0];
        let text = NET.lines().nth(line as usize).unwrap();
        words.push(text[column as usize..(column + token[2]) as usize].to_string());
    }
    assert!(words.iter().all(|w| w.chars().all(|c| c.is_alphanumeric() || c == '_')), "{words:?}");
    assert!(words.contains(&"Linear".to_string()) && words.contains(&"width".to_string()), "{words:?}");
}

fn actions(client: &mut Client, text: &str, of: &str) -> Vec<Value> {
    let start = text.find(of).unwrap();
    let range = json!({ "start": at(text, start), "end": at(text, start + of.len()) });
    let params = json!({ "textDocument": doc(), "range": range, "context": { "diagnostics": [] } });
    client.request("textDocument/codeAction", params).as_array().unwrap().clone()
}

fn titled<'a>(all: &'a [Value], start: &str) -> &'a Value {
    let found = all.iter().find(|a| a["title"].as_str().unwrap().starts_with(start));
    found.unwrap_or_else(|| panic!("no {start:?} in {all:?}"))
}

#[test]
fn code_actions_mend_and_rewrite() {
    let wrong = NET.replace("|> relu", "|> ReLU");
    let mut client = open(&wrong);
    let all = actions(&mut client, &wrong, "ReLU");
    let fix = titled(&all, "write `relu`");
    assert_eq!(fix["kind"], json!("quickfix"));
    assert!(applied(&wrong, &fix["edit"]["changes"][URI]).contains("|> relu\n"));
    assert_eq!(titled(&all, "apply every safe fix")["kind"], json!("source.fixAll"));

    let mut client = open(NET);
    let all = actions(&mut client, NET, "h = x");
    let after = applied(NET, &titled(&all, "say its type")["edit"]["changes"][URI]);
    assert!(after.contains("h: f32[B, width] = x |> first"), "{after}");
    let all = actions(&mut client, NET, "32)");
    let after = applied(NET, &titled(&all, "name this size")["edit"]["changes"][URI]);
    assert!(after.contains("const width2 = 32\n\nmodel Net()") && after.contains("Block(width2)"), "{after}");

    let plain = "model Net() {\n  a = Linear(4)\n  b = Linear(8)\n  head = Linear(10)\n\n  forward(x: f32[B, 3]) -> f32[B, 10] {\n    x |> a |> relu |> b |> relu |> head\n  }\n}\n";
    let mut client = open(plain);
    let all = actions(&mut client, plain, "x |> a |> relu |> b");
    let after = applied(plain, &titled(&all, "extract layer")["edit"]["changes"][URI]);
    assert!(after.starts_with("layer Part() {\n  a = Linear(4)\n  b = Linear(8)\n"), "{after}");
    assert!(after.contains("  part = Part()\n  head") && after.contains("x |> part |> relu |> head"), "{after}");
    let mut client = open(&after);
    let said = client.request("textDocument/diagnostic", json!({ "textDocument": doc() }));
    assert_eq!(said["items"], json!([]), "{after}");
}

#[test]
fn expect_is_offered_where_sizes_are_not_decided() {
    let text = "fn f(a: f32[B, N], b: f32[B, M]) -> f32[B, N] {\n  c: f32[B, N] = b\n  a + c\n}\n";
    let mut client = open(text);
    let all = actions(&mut client, text, "c: f32");
    let after = applied(text, &titled(&all, "insert `expect` around")["edit"]["changes"][URI]);
    assert!(after.contains("= expect(b)"), "{after}");
}

#[test]
fn lenses_tell_what_a_model_costs() {
    let (mut client, _) =
        Client::start(json!({ "workspace": { "codeLens": { "refreshSupport": true } } }), Value::Null);
    client.open(URI, NET);
    // The costs come behind the check: the client is told to ask again.
    for _ in 0..20 {
        client.wait("workspace/codeLens/refresh", |_| true);
        let all = client.request("textDocument/codeLens", json!({ "textDocument": doc() }));
        let titles: Vec<&str> =
            all.as_array().unwrap().iter().map(|l| l["command"]["title"].as_str().unwrap()).collect();
        assert!(titles.contains(&"\u{25b6} train"), "{titles:?}");
        let run = all.as_array().unwrap().iter().find(|l| l["command"]["command"] == json!("nnc.run")).unwrap();
        assert_eq!(run["command"]["arguments"][1], json!(["run", "train"]));
        if titles.iter().any(|t| t.contains("params") && t.contains("FLOP") && t.contains("peak")) {
            return;
        }
    }
    panic!("no lens tells the costs");
}

#[test]
fn signatures_follow_the_arguments() {
    let text = NET.replace("Block(32)", "Block(32, )").replace("x |> first", "conv2d(x, kernel: ");
    let mut client = open(&text);
    let help = |client: &mut Client, of: &str| {
        let offset = text.find(of).unwrap() + of.len();
        client.request("textDocument/signatureHelp", json!({ "textDocument": doc(), "position": at(&text, offset) }))
    };
    let linear = help(&mut client, "Linear(");
    assert!(linear["signatures"][0]["label"].as_str().unwrap().starts_with("Linear(out: int"), "{linear}");
    assert_eq!(linear["activeParameter"], json!(0));
    let net = help(&mut client, "cross_entropy(net(image), ");
    assert_eq!(net["activeParameter"], json!(1), "{net}");
}

#[test]
fn completion_knows_where_it_is() {
    let base = "train {\n  data = digits()\n  net = Net()\n  CURSOR\n  step(image) { net(image) }\n}\n\nmodel Net() {\n  fc = Linear(10)\n  forward(x: f32[B, 1, 8, 8]) { x |> flatten |> fc }\n}\n";
    let labels = |insert: &str| {
        let text = base.replace("CURSOR", insert);
        let mut client = open(&text);
        let offset = text.find(insert).unwrap() + insert.len();
        let place = json!({ "textDocument": doc(), "position": at(&text, offset) });
        let got = client.request("textDocument/completion", place);
        got["items"].as_array().unwrap().iter().map(|i| i["label"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let settings = labels("b");
    assert_eq!(settings[0], "batch", "{settings:?}");
    let optimizers = labels("optimizer = Ada");
    assert!(optimizers.contains(&"AdamW".to_string()) && !optimizers.contains(&"Linear".to_string()), "{optimizers:?}");
    let arguments = labels("optimizer = AdamW(");
    assert!(arguments.contains(&"lr:".to_string()), "{arguments:?}");
    let fields = labels("extra = net.");
    assert_eq!(fields, ["fc"]);
}

#[test]
fn data_files_are_proposed_in_strings() {
    let folder = std::env::temp_dir().join(format!("nnc-lsp-files-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("sets")).unwrap();
    std::fs::write(folder.join("sets/iris.csv"), "a,b\n").unwrap();
    let text = "train {\n  data = csv(\"sets/\")\n}\n";
    let uri = format!("file://{}", folder.join("t.nn").display());
    let (mut client, _) = Client::start(json!({}), Value::Null);
    client.open(&uri, text);
    let offset = text.find("sets/").unwrap() + 5;
    let place = json!({ "textDocument": { "uri": uri }, "position": at(text, offset) });
    let got = client.request("textDocument/completion", place);
    assert_eq!(got["items"][0]["label"], json!("iris.csv"), "{got}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn other_files_come_from_the_editor_first() {
    let folder = std::env::temp_dir().join(format!("nnc-lsp-uses-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("parts.nn"), "fn double(x: f32[B]) -> f32[B] { 2 * x }\n").unwrap();
    let (main, parts) = (folder.join("main.nn"), folder.join("parts.nn"));
    let uri = |p: &std::path::Path| format!("file://{}", p.display());
    let text = "use parts.triple\n\nfn f(x: f32[B]) -> f32[B] { triple(x) }\n";
    let (mut client, _) = Client::start(json!({}), Value::Null);
    client.open(&uri(&main), text);
    let said = client.wait("textDocument/publishDiagnostics", |p| p["uri"] == json!(uri(&main)));
    assert_eq!(said["diagnostics"][0]["code"], json!("E0201"), "{said}");
    client.open(&uri(&parts), "fn triple(x: f32[B]) -> f32[B] { 3 * x }\n");
    client.wait("textDocument/publishDiagnostics", |p| p["uri"] == json!(uri(&main)) && p["diagnostics"] == json!([]));
    let place = json!({ "textDocument": { "uri": uri(&main) }, "position": position(text, "triple(x)") });
    let to = client.request("textDocument/definition", place);
    assert!(to["uri"].as_str().unwrap().ends_with("parts.nn"), "{to}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn files_that_a_text_names_are_links() {
    let folder = std::env::temp_dir().join(format!("nnc-lsp-links-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("nets")).unwrap();
    std::fs::write(folder.join("nets/eye.nn"), "const wide = 3\n").unwrap();
    std::fs::write(folder.join("rows.csv"), "a,b\n1,2\n").unwrap();
    let text =
        "use nets.eye.wide\nuse std.layers.Linear\nuse nets.none.far\ndata rows = csv(\"rows.csv\", label: \"b\")\n";
    let (mut client, _) = Client::start(json!({}), Value::Null);
    let uri = format!("file://{}/main.nn", folder.display());
    client.open(&uri, text);
    let links = client.request("textDocument/documentLink", json!({ "textDocument": { "uri": uri } }));
    let links = links.as_array().unwrap();
    let ends: Vec<&str> = links.iter().map(|l| l["target"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(ends, ["eye.nn", "layers.nn", "rows.csv"]);
    assert_eq!(links[0]["range"]["start"], position(text, "nets.eye"));
    assert_eq!(links[2]["range"]["start"], position(text, "rows.csv"));
    std::fs::remove_dir_all(folder).unwrap();
    assert!(client.end());
}
