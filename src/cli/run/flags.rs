//! A task's own parameters as flags: in go the arguments of the command line, out come those that nnc knows and, beside
//! them, `--count 64` for the parameter `count` of the task that runs.

use super::super::{Fault, usage};
use nnc::check::Program;
use nnc::diag::suggest;
use std::ffi::OsString;

/// Takes the flags that are not nnc's own out of the arguments of `nnc run`. Both `--name value` and `--name=value` are
/// flags; a bare `--name` is `true`.
pub fn take(args: Vec<OsString>, known: &[String]) -> (Vec<OsString>, Vec<(String, String)>) {
    if args.get(1).is_none_or(|a| a != "run") {
        return (args, Vec::new());
    }
    let (mut rest, mut flags) = (Vec::new(), Vec::new());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let name = arg.to_str().and_then(|a| a.strip_prefix("--")).filter(|a| !a.is_empty());
        let Some(name) = name else {
            rest.push(arg);
            continue;
        };
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (name.to_string(), None),
        };
        if known.contains(&name) || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            rest.push(arg);
            continue;
        }
        let is_value = |a: &OsString| a.to_str().is_some_and(|a| !a.starts_with("--"));
        let value = given.or_else(|| args.next_if(is_value).and_then(|a| a.into_string().ok()));
        flags.push((name, value.unwrap_or_else(|| "true".to_string())));
    }
    (rest, flags)
}

/// The flags as `--set`s of a task; `params` are its parameters.
///
/// # Errors
/// A flag that is neither nnc's nor a parameter of the task.
pub fn as_sets(
    flags: &[(String, String)],
    known: &[String],
    task: &str,
    params: &[String],
) -> Result<Vec<String>, Fault> {
    let mut sets = Vec::new();
    for (name, value) in flags {
        if !params.contains(name) {
            let what = format!("`--{name}` is neither an option of `nnc run` nor a parameter of `{task}`");
            let all = known.iter().chain(params).map(String::as_str);
            return Err(match suggest::nearest(name, all) {
                Some(meant) => usage(what, format!("did you mean `--{meant}`?")),
                None if params.is_empty() => usage(what, format!("`{task}` has no parameters; see `nnc run --help`")),
                None => usage(what, format!("the parameters of `{task}` are {}", params.join(", "))),
            });
        }
        sets.push(format!("{task}.{name}={value}"));
    }
    Ok(sets)
}

/// The parameters of a task.
pub fn params(program: &Program, task: &str) -> Vec<String> {
    program.task(task).map_or(Vec::new(), |t| t.params.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_flags_are_taken_and_the_others_left() {
        let args = ["nnc", "run", "a.nn", "dream", "--count", "64", "--quiet", "--shift=-1", "--all", "--seed", "3"];
        let known = ["quiet", "seed"].map(String::from);
        let (rest, flags) = take(args.iter().map(OsString::from).collect(), &known);
        assert_eq!(rest, ["nnc", "run", "a.nn", "dream", "--quiet", "--seed", "3"]);
        let flag = |n: &str, v: &str| (n.to_string(), v.to_string());
        assert_eq!(flags, [flag("count", "64"), flag("shift", "-1"), flag("all", "true")]);
        let other: Vec<OsString> = ["nnc", "check", "--count"].iter().map(OsString::from).collect();
        assert_eq!(take(other.clone(), &known), (other, Vec::new()));
        let params = ["count".to_string()];
        assert!(as_sets(&flags[..1], &known, "dream", &params).is_ok_and(|s| s == ["dream.count=64"]));
        assert!(as_sets(&flags[1..], &known, "dream", &params).is_err());
    }
}
