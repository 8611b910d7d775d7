//! Layouts, one beside the other: what is written, and what it becomes.

use super::format;

fn formatted(text: &str) -> String {
    let out = format(text).unwrap_or_else(|d| panic!("{}:\n{text}", d.headline)).text;
    assert_eq!(format(&out).unwrap().text, out, "not the same again");
    out
}

#[test]
fn neighbours_share_columns() {
    let text = "model M{\na=Linear(1)\nbcd =Linear( 2 )\nforward(x:f32[B,D])->f32[B,2]{bcd(a(x))}\n}";
    let wanted =
        "model M {\n  a   = Linear(1)\n  bcd = Linear(2)\n  forward(x: f32[B, D]) -> f32[B, 2] { bcd(a(x)) }\n}\n";
    assert_eq!(formatted(text), wanted);
}
