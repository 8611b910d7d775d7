//! What a client may choose: from `initializationOptions`, or the section `nnc` of its configuration.

use crate::ide::HintMode;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Settings {
    pub hints: HintMode,
    /// Whether lenses stand over models and tasks.
    pub lenses: bool,
    /// Where pages of codes are found, `{code}` standing for the code; files of this binary's own if empty.
    pub error_pages: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { hints: HintMode::Names, lenses: true, error_pages: String::new() }
    }
}

impl Settings {
    /// Takes over what a client says; what it does not say stays.
    pub fn update(&mut self, value: &Value) {
        let value = value.get("nnc").unwrap_or(value);
        if let Some(mode) = value.pointer("/inlayHints/shapes").and_then(Value::as_str) {
            self.hints = match mode {
                "off" => HintMode::Off,
                "values" => HintMode::Values,
                "both" => HintMode::Both,
                _ => HintMode::Names,
            };
        }
        if let Some(on) = value.pointer("/codeLens/enable").and_then(Value::as_bool) {
            self.lenses = on;
        }
        if let Some(pages) = value.pointer("/errorPages").and_then(Value::as_str) {
            self.error_pages = pages.to_string();
        }
    }
}
