//! What programs read of messages: JSON lines against the schema in `docs`, SARIF, and annotations of GitHub workflows.

use nnc::diag::{Diagnostic, Format, codes, render};
use nnc::driver::{Checked, Options, check_text};
use nnc::source::{FileId, Sources, Span};
use serde_json::Value;
use std::path::Path;

const PROGRAMS: [&str; 4] = ["six_mistakes", "six_in_one_model", "six_in_a_perceptron", "names/kinds"];

fn checked() -> Vec<Checked> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let check = |name: &&str| {
        let path = folder.join(format!("{name}.nn"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        check_text(&format!("{name}.nn"), text, &folder, &Options::default())
    };
    PROGRAMS.iter().map(check).collect()
}

/// Why a value is not what a schema says; of JSON Schema it knows what the schema in `docs` uses, and refuses the rest.
fn fault(value: &Value, schema: &Value, root: &Value, at: &str) -> Option<String> {
    for (word, rule) in schema.as_object()? {
        let wrong = match word.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" => None,
            "$ref" => {
                let path = rule.as_str()?.strip_prefix('#')?;
                let target = root.pointer(path).unwrap_or_else(|| panic!("{path} is not in the schema"));
                fault(value, target, root, at)
            }
            "type" => {
                let fits = match rule.as_str()? {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                (!fits).then(|| format!("{at} is no {rule}: {value}"))
            }
            "enum" => (!rule.as_array()?.contains(value)).then(|| format!("{at} is none of {rule}: {value}")),
            "minimum" => (value.as_i64()? < rule.as_i64()?).then(|| format!("{at} is less than {rule}: {value}")),
            "pattern" => {
                assert_eq!(rule, "^[EW][0-9]{4}$");
                let (letter, number) = value.as_str()?.split_at(1);
                let fits = matches!(letter, "E" | "W") && number.len() == 4 && number.parse::<u16>().is_ok();
                (!fits).then(|| format!("{at} does not match {rule}: {value}"))
            }
            "anyOf" => {
                let none = rule.as_array()?.iter().all(|s| fault(value, s, root, at).is_some());
                none.then(|| format!("{at} is nothing of {rule}: {value}"))
            }
            "items" => {
                value.as_array()?.iter().enumerate().find_map(|(i, v)| fault(v, rule, root, &format!("{at}[{i}]")))
            }
            "required" => {
                let mut absent = rule.as_array()?.iter().filter(|k| value.get(k.as_str().unwrap_or("")).is_none());
                absent.next().map(|k| format!("{at} has no {k}"))
            }
            "properties" => rule
                .as_object()?
                .iter()
                .find_map(|(key, schema)| value.get(key).and_then(|v| fault(v, schema, root, &format!("{at}.{key}")))),
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false));
                let known = schema["properties"].as_object()?;
                value.as_object()?.keys().find(|k| !known.contains_key(*k)).map(|k| format!("{at} has a field {k}"))
            }
            other => panic!("the schema says {other}, which this test does not know"),
        };
        if wrong.is_some() {
            return wrong;
        }
    }
    None
}

#[test]
fn json_lines_are_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostic.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let placeless = Diagnostic::placeless(codes::USAGE, "no place").help("none");
    let mut lines = render(&[placeless], &Sources::default(), Format::Json, false);
    for checked in checked() {
        lines += &render(&checked.diagnostics, &checked.sources, Format::Json, false);
    }
    assert!(lines.lines().count() > 15, "{lines}");
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(fault(&value, &schema, &schema, "diagnostic"), None);
        // The schema is no empty promise.
        let mut spoilt = value.clone();
        spoilt["severity"] = "fatal".into();
        assert!(fault(&spoilt, &schema, &schema, "diagnostic").is_some());
        spoilt = value;
        spoilt.as_object_mut().unwrap().remove("fixes");
        assert!(fault(&spoilt, &schema, &schema, "diagnostic").is_some());
    }
}

#[test]
fn sarif_has_a_rule_for_each_result() {
    for checked in checked() {
        let text = render(&checked.diagnostics, &checked.sources, Format::Sarif, false);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["version"], "2.1.0");
        let run = &document["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), codes::ALL.len());
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), checked.diagnostics.len());
        for (result, diagnostic) in results.iter().zip(&checked.diagnostics) {
            let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!((&rule["id"], &result["ruleId"]), (&diagnostic.code.id.into(), &diagnostic.code.id.into()));
            assert!(result["message"]["text"].as_str().unwrap().starts_with(&diagnostic.headline));
            let place = &result["locations"][0]["physicalLocation"];
            let (line, column) = (place["region"]["startLine"].as_u64(), place["region"]["startColumn"].as_u64());
            let span = diagnostic.span().unwrap();
            let at = checked.sources.file(span.file).line_col(span.start as usize);
            assert_eq!((line, column), (Some(at.0 as u64), Some(at.1 as u64)));
            assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with(".nn"));
            let safe = diagnostic.fixes.iter().filter(|f| f.certain).count();
            assert_eq!(result["fixes"].as_array().map_or(0, Vec::len), safe);
        }
    }
}

#[test]
fn annotations_escape_what_github_reads() {
    let mut sources = Sources::default();
    let file = sources.add("a,b:c.nn", "first\nsecond\n");
    let span = Span::new(FileId(file.0), 6, 12);
    let list = [Diagnostic::error(codes::SYNTAX, span, "100 % wrong").help("two\nlines")];
    let text = render(&list, &sources, Format::Github, false);
    let wanted =
        "::error file=a%2Cb%3Ac.nn,line=2,endLine=2,col=1,endColumn=7,title=E0101::100 %25 wrong%0Ahelp: two%0Alines\n";
    assert_eq!(text, wanted);
}
