//! As much of TextMate's way to colour a text as the grammar here uses: patterns tried at each place of a line, the earliest match
//! wins, of equally early ones the first; captures; regions with a begin and an end.

use fancy_regex::Regex;
use serde_json::Value;
use std::ops::Range;

struct Rule {
    scope: Option<String>,
    begin: Regex,
    captures: Vec<(usize, String)>,
    region: Option<Region>,
}

struct Region {
    end: Regex,
    inner: Vec<Rule>,
}

pub struct Grammar {
    rules: Vec<Rule>,
}

impl Grammar {
    pub fn new(text: &str) -> Grammar {
        let json: Value = serde_json::from_str(text).unwrap();
        Grammar { rules: rules(&json["patterns"], &json["repository"]) }
    }

    /// The ranges that have a scope, in order, innermost last where they nest.
    pub fn scopes(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let mut out = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            colour(&self.rules, line, 0..line.len(), &mut |range, scope| {
                out.push((start + range.start..start + range.end, scope.to_string()));
            });
            start += line.len();
        }
        out
    }
}

fn regex(value: &Value) -> Regex {
    let text = value.as_str().unwrap();
    // `$` is the end of a line, also before its line end.
    Regex::new(&format!("(?m){text}")).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The rules of a list of patterns; keys that this engine does not know are refused.
fn rules(patterns: &Value, repository: &Value) -> Vec<Rule> {
    let mut out = Vec::new();
    for pattern in patterns.as_array().unwrap() {
        let pattern = match pattern["include"].as_str() {
            Some(name) => &repository[name.strip_prefix('#').unwrap()],
            None => pattern,
        };
        for key in pattern.as_object().expect("a pattern that is there").keys() {
            let known = ["name", "match", "begin", "end", "captures", "patterns", "comment"];
            assert!(known.contains(&key.as_str()), "`{key}` is not known to the engine of this test");
        }
        if pattern.get("match").is_none() && pattern.get("begin").is_none() {
            out.extend(rules(&pattern["patterns"], repository));
            continue;
        }
        let captures = pattern["captures"].as_object().into_iter().flatten();
        let captures = captures.map(|(n, c)| (n.parse().unwrap(), c["name"].as_str().unwrap().to_string())).collect();
        let begin = pattern.get("match").unwrap_or(&pattern["begin"]);
        let region = pattern.get("end").map(|end| {
            // A region that goes on in the next line would need a state between lines.
            assert!(end.as_str().unwrap().ends_with("|$"), "{end} does not end with its line");
            Region { end: regex(end), inner: rules(&pattern["patterns"], repository) }
        });
        out.push(Rule { scope: pattern["name"].as_str().map(String::from), begin: regex(begin), captures, region });
    }
    out
}

/// Colours a part of a line.
fn colour(rules: &[Rule], line: &str, within: Range<usize>, emit: &mut dyn FnMut(Range<usize>, &str)) {
    let mut at = within.start;
    while at < within.end {
        let mut first: Option<(usize, &Rule)> = None;
        for rule in rules {
            if let Some(found) = rule.begin.find_from_pos(line, at).unwrap()
                && found.start() < within.end
                && found.end() > found.start()
                && first.is_none_or(|(start, _)| found.start() < start)
            {
                first = Some((found.start(), rule));
            }
        }
        let Some((start, rule)) = first else { return };
        let groups = rule.begin.captures_from_pos(line, start).unwrap().expect("it matched before");
        let mut end = groups.get(0).unwrap().end();
        if let Some(region) = &rule.region {
            let inner = end;
            // What stands inside, such as an escaped quote, hides an end.
            let mut hidden = Vec::new();
            colour(&region.inner, line, inner..line.len(), &mut |range, scope| hidden.push((range, scope.to_string())));
            loop {
                let stop = region.end.find_from_pos(line, end).unwrap().expect("`$` matches");
                match hidden.iter().find(|(r, _)| r.start <= stop.start() && stop.start() < r.end) {
                    Some((range, _)) => end = range.end,
                    None => {
                        hidden.retain(|(r, _)| r.start < stop.start());
                        end = stop.end();
                        break;
                    }
                }
            }
            emit(start..end, rule.scope.as_deref().unwrap_or(""));
            hidden.iter().for_each(|(range, scope)| emit(range.clone(), scope));
        } else {
            emit(start..end, rule.scope.as_deref().unwrap_or(""));
        }
        for (number, scope) in &rule.captures {
            if let Some(group) = groups.get(*number) {
                emit(group.range(), scope);
            }
        }
        at = end.max(at + 1);
    }
}
