//! Whole programs on the stand-in device give what they give on the processor.

use std::path::Path;
use std::process::Command;

/// Settings of the device.
type Settings<'a> = &'a [(&'a str, &'a str)];

/// The first losses of each entry, as `nnc bench` prints them.
fn values(command: &mut Command) -> Vec<f64> {
    let output = command.output().expect("nnc starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    let of = |l: &str| l.split("first value ").nth(1).and_then(|v| v.trim().parse().ok());
    text.lines().filter_map(of).collect()
}

fn bench(name: &str, target: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nnc"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.nn"));
    command.arg("bench").arg(file).args(["--target", target, "--steps", "2"]);
    command
}

/// With threads in another order; with every load and store checked; as the device's own order has it.
#[test]
fn examples_agree_with_the_processor() {
    let Some(device) = super::standin::standin() else { return };
    let checked: Settings = &[("CHECK", "1"), ("SEED", "5")];
    let all: [(&str, &[Settings]); 5] = [
        ("digits", &[&[], checked]),
        ("lstm", &[checked]),
        ("gan", &[&[("SEED", "3")]]),
        ("gcn", &[checked]),
        ("speech_ctc", &[checked]),
    ];
    for (name, settings) in all {
        let wanted = values(&mut bench(name, "cpu"));
        assert!(!wanted.is_empty(), "{name}");
        for settings in settings {
            let mut command = bench(name, "cuda");
            device.give(&mut command, settings);
            let found = values(&mut command);
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 2e-3 * b.abs().max(1e-2);
            assert!(
                found.len() == wanted.len() && found.iter().zip(&wanted).all(close),
                "{name} {settings:?}: {found:?}, on the processor {wanted:?}"
            );
        }
    }
}

/// A net that attends to what stands before, so that a text can grow by one place at a time.
const LETTERS: &str = r#"
model Small(vocab: int, context: int = 8) {
  wte  = Embedding(vocab, 16)
  wpe  = Embedding(context, 16)
  norm = LayerNorm()
  qkv  = Linear(48)
  head = Linear(vocab)
  forward(token: i32[B, T]) -> logits[B, T, vocab] where T <= context {
    x = wte(token) + wpe(range(T))
    (q, k, v) = split(qkv(norm(x)), 3)
    x + attention(q, k, v, causal: true) |> head
  }
}
data letters = text("letters.txt", tokenizer: characters(), window: 8)
train {
  data      = letters
  batch     = 16
  steps     = 60
  net       = Small(data.vocab)
  optimizer = Adam(lr: 1e-2)
  step(token, next) { minimize cross_entropy(net(token), next) }
}
generate write {
  data        = letters
  net         = train.net
  max_tokens  = 20
  temperature = 0
  step(token) { net(token) }
}
"#;

/// Trained on the device, written by it and by the processor, token by token: the same text, also beyond the net's context.
#[test]
fn a_net_writes_the_same_text() {
    let Some(device) = super::standin::standin() else { return };
    let folder = std::env::temp_dir().join(format!("nnc-cuda-letters-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("letters.nn"), LETTERS).expect("a file");
    std::fs::write(folder.join("letters.txt"), "abcdefg\n".repeat(40)).expect("a file");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nnc"));
        command.current_dir(&folder).args(args);
        device.give(&mut command, &[("TRACE", "1")]);
        let output = command.output().expect("nnc starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{args:?}\n{out}{said}");
        (out, said.matches("cuGraphLaunch").count())
    };
    run(&["run", "letters.nn", "train", "--target", "cuda", "-q"]);
    let (text, graphs) = run(&["run", "letters.nn", "write", "--prompt", "cde", "--target", "cuda"]);
    assert_eq!(text, "cdefg\nabcdefg\nabcdefg\na\n");
    // One for the prompt, and one for each token more; and the values that the net begins with.
    assert!((10..30).contains(&graphs), "{graphs} steps");
    assert_eq!(run(&["run", "letters.nn", "write", "--prompt", "cde"]).0, text);
    // The time of a token is told only where a text grows.
    let (out, _) = run(&["bench", "letters.nn", "write", "--target", "cuda", "--steps", "2"]);
    assert!(out.contains("write.token:"), "{out}");
    let _ = std::fs::remove_dir_all(&folder);
}
