//! Parameters of reference cases, as programs write them.

use serde_json::Value;

/// A JSON value as our language writes it; none for null and for objects.
pub fn written(value: &Value) -> Option<String> {
    match value {
        Value::Number(n) if n.is_f64() => {
            // A literal needs digits on both sides of the point.
            let text = format!("{:?}", n.as_f64()?);
            Some(if text.contains('.') || !text.contains('e') { text } else { text.replacen('e', ".0e", 1) })
        }
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        Value::String(word) => Some(word.clone()),
        Value::Array(list) => {
            let items: Option<Vec<String>> = list.iter().map(written).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        _ => None,
    }
}

/// The same, with lists as tuples.
pub fn written_tuple(value: &Value) -> Option<String> {
    Some(written(value)?.replace('[', "(").replace(']', ")"))
}
