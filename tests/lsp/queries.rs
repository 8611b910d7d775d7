//! Fixtures with a cursor, `$0`, and what each query says there; and that no text, however short it is cut, breaks a query.

use nnc::check::Seen;
use nnc::data_facts::OpenFacts;
use nnc::diag::Diagnostic;
use nnc::ide::*;
use nnc::uses::Files;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A disk without files.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn with<T>(text: &str, run: impl FnOnce(Input, Syntax) -> T) -> T {
    let data = OpenFacts::new(PathBuf::new());
    let folder = Path::new("");
    let input = Input { name: "t.nn", text: text.into(), folder, files: &NoFiles, data: &data, cancelled: None };
    run(input, Syntax::of(text))
}

fn facts(text: &str) -> Facts {
    with(text, |input, syntax| check(&input, &syntax))
}

fn facts_again(text: &str, before: &Facts) -> Facts {
    with(text, |input, syntax| check_again(&input, &syntax, before, Reach::Users))
}

fn analysis(text: &str) -> Analysis {
    with(text, |input, _| Analysis::new(&input))
}

/// A text whose cursor is written `$0`.
fn at_cursor(fixture: &str) -> (Analysis, usize) {
    let offset = fixture.find("$0").expect("the fixture has a cursor");
    (analysis(&fixture.replacen("$0", "", 1)), offset)
}

const NET: &str = "layer Block(width: int) {
  fc = Linear(width)

  forward(x: f32[B, D]) -> f32[B, width] {
    h = fc(x)
    relu(h)
  }
}

model Net() {
  body = Block(32)
  forward(image: f32[B, 1, H, W]) -> f32[B, 32] { image |> flatten |> body }
}
";

fn hover_text(from: &str, to: &str) -> String {
    let (a, offset) = at_cursor(&NET.replacen(from, to, 1));
    hover(&a, offset).map_or(String::new(), |h| h.text)
}

#[test]
fn hovers() {
    let h = hover_text("h = fc", "$0h = fc");
    assert!(h.starts_with("```nn\nh: f32[B, width]\n```\n") && h.contains("local of `Block`"), "{h}");
    let fc = hover_text("= fc(x)", "= f$0c(x)");
    assert!(fc.contains("fc = Linear") && fc.contains("member of `Block`") && fc.contains("std.layers"), "{fc}");
    let width = hover_text("Linear(width)", "Linear(wid$0th)");
    assert!(width.contains("hyper-parameter of `Block`"), "{width}");
    let dim = hover_text("[B, D]", "[B, $0D]");
    assert!(dim.contains("first named in line 4"), "{dim}");
    assert_eq!(hover_text("  h = fc", " $0 h = fc"), "");
    let named = at_cursor("fn f(x: f32[B, 4]) { sum(x, a$0xis: 1) }");
    assert!(hover(&named.0, named.1).unwrap().text.contains("of `sum`"));
    let pipe = hover_text("image |> flatten", "image |$0> flatten");
    assert!(pipe.contains("f32[B, H * W]"), "{pipe}");
}

fn definition_of(from: &str, to: &str) -> Option<String> {
    let (a, offset) = at_cursor(&NET.replacen(from, to, 1));
    Some(match definition(&a, offset)? {
        Place::Here(range) => {
            let line = a.text()[..range.start].matches('\n').count() + 1;
            format!("{line}: {}", &a.text()[range])
        }
        Place::Std(module, range) => format!("{module}: {}", &Library::module(module)?[range]),
        Place::File(path, _) => path,
    })
}

#[test]
fn definitions() {
    assert_eq!(definition_of("relu(h)", "relu($0h)").as_deref(), Some("5: h"));
    assert_eq!(definition_of("Block(32)", "Blo$0ck(32)").as_deref(), Some("1: Block"));
    assert_eq!(definition_of("Linear(width)", "$0Linear(width)").as_deref(), Some("layers: Linear"));
    assert_eq!(definition_of("Linear(width)", "Linear($0out: width)").as_deref(), Some("layers: out"));
    assert_eq!(definition_of("Block(32)", "Block($0width: 32)").as_deref(), Some("1: width"));
    assert_eq!(definition_of("-> f32[B, width]", "-> f32[$0B, width]").as_deref(), Some("4: B"));
    assert_eq!(definition_of("flatten |> body", "flatten |> bo$0dy").as_deref(), Some("11: body"));
    assert_eq!(definition_of("|> flatten", "|> flat$0ten"), None);
}

fn labels(from: &str, to: &str) -> Vec<String> {
    let (a, offset) = at_cursor(&NET.replacen(from, to, 1));
    complete(&a, offset, &|_| Vec::new()).into_iter().map(|c| c.label).collect()
}

#[test]
fn completions() {
    let stage = labels("    relu(h)", "    h |> $0");
    assert_eq!(stage[0], "fc");
    assert!(stage.iter().any(|l| l == "softmax") && !stage.iter().any(|l| l == "max_pool2d"), "{stage:?}");
    let member = labels("  fc = Linear(width)", "  fc = Lin$0");
    assert_eq!(member[0], "Linear");
    assert!(!member.iter().any(|l| l == "relu"));
    let arguments = labels("Linear(width)", "Linear(width, $0)");
    assert!(arguments.contains(&"bias:".to_string()) && !arguments.contains(&"out:".to_string()), "{arguments:?}");
    let types = labels("x: f32[B, D]", "x: $0");
    assert!(types.contains(&"f32".to_string()) && types.contains(&"logits".to_string()));
    assert_eq!(labels("h = fc(x)", "h = fc(x) // $0"), Vec::<String>::new());
    let items = labels("model Net", "$0model Net");
    assert!(items.contains(&"train".to_string()));
}

#[test]
fn hints_stand_behind_what_does_not_say_its_shape() {
    let a = analysis(NET);
    let shown = |mode| hints(&a, 0..a.text().len(), mode).into_iter().map(|h| h.label).collect::<Vec<_>>();
    assert_eq!(shown(HintMode::Names), [": f32[B, width]"]);
    assert_eq!(shown(HintMode::Off), Vec::<String>::new());
}

#[test]
fn facts_follow_an_edit_that_is_not_checked_yet() {
    let before = facts(NET);
    let text = format!("// a line above\n{}", NET.replace("relu(h)", "relu(h) |> "));
    let a = Analysis {
        syntax: Arc::new(Syntax::of(text.clone())),
        shift: Arc::new({
            let mut shift = Shift::default();
            shift.push(Edit { range: 0..0, len: 16 });
            shift
        }),
        facts: Arc::new(before),
        costs: None,
    };
    let offset = text.find("h = fc").unwrap();
    assert!(hover(&a, offset).unwrap().text.contains("h: f32[B, width]"));
}

/// Every query at an offset.
fn ask_everything(a: &Analysis, offset: usize) {
    hover(a, offset);
    complete(a, offset, &|_| vec![("a.csv".into(), false)]);
    signature(a, offset);
    definition(a, offset);
    references(a, offset, true);
    highlights(a, offset);
    let _ = rename(a, offset, "other");
    selections(&a.syntax, offset);
    actions(a, offset.saturating_sub(5)..offset);
}

#[test]
fn no_prefix_of_any_file_breaks_a_query() {
    let all = std::env::var("NNC_LSP_EDITS").is_ok();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["models", "examples"] {
        files.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()));
    }
    files.sort();
    for path in files.into_iter().filter(|p| p.extension().is_some_and(|e| e == "nn")) {
        let text = std::fs::read_to_string(path).unwrap();
        let whole = Arc::new(facts(&text));
        let step = if all { 1 } else { text.len() / 9 + 1 };
        for end in (0..=text.len()).step_by(step).filter(|e| text.is_char_boundary(*e)) {
            let prefix = &text[..end];
            let a = Analysis {
                syntax: Arc::new(Syntax::of(prefix)),
                facts: whole.clone(),
                shift: Arc::new(Shift::between(&text, prefix)),
                costs: None,
            };
            ask_everything(&a, end);
            outline(&a);
            folds(&a.syntax);
            tokens(&a, 0..end);
            lenses(&a);
            hints(&a, 0..end, HintMode::Both);
        }
    }
}

const SEVERAL: &str = "layer A(n: int = 4) {
  fc = Linear(n)
  forward(x: f32[B, 3]) -> f32[B, n] { h = fc(x); relu(h) }
}

layer C() {
  a = A()
  forward(x: f32[B, 3]) { y = a(x); 2 * y }
}

fn other(x: f32[N]) { y = x + 1; exp(y) }

fn faulty(x: f32[N, 2], y: f32[N, 3]) { x + y }

train {
  data      = digits()
  batch     = 8
  epochs    = 1
  net       = Linear(10)
  optimizer = Sgd(lr: 0.1)
  step(image, label) { minimize cross_entropy(net(flatten(image)), label) }
}
";

#[test]
fn checking_again_says_the_same_as_checking_anew() {
    let mut before = facts(SEVERAL);
    let edits = [
        ("relu(h)", "tanh(h)"),
        ("int = 4", "int = 5"),
        ("exp(y)", "exp(yy)"),
        ("yy)", "y)"),
        ("y: f32[N, 3]", "y: f32[N, 2]"),
        ("2 * y", "3 * y"),
        ("Linear(10)", "Linear(11)"),
        ("fn other", "// a comment\nfn other"),
    ];
    let mut text = SEVERAL.to_string();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
        let (again, anew) = (facts_again(&text, &before), facts(&text));
        let said = |d: &[Diagnostic]| d.iter().map(|d| (d.span(), d.headline.clone())).collect::<Vec<_>>();
        assert_eq!(said(&again.diagnostics), said(&anew.diagnostics), "{from}");
        let shapes = |f: &Facts| {
            let mut all = Vec::new();
            for (span, sights) in &f.sights.values {
                for sight in sights {
                    if let Seen::Tensor { ty, .. } = &*sight.seen {
                        all.push((*span, sight.task, ty.to_string()));
                    }
                }
            }
            all
        };
        assert_eq!(shapes(&again), shapes(&anew), "{from}");
        before = again;
    }
}
