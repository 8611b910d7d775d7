//! The arguments of a call, before any file is looked at.

use super::*;

#[test]
fn the_registry_is_sorted_and_documented() {
    let names: Vec<_> = sources().iter().map(|s| s.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for source in sources() {
        assert!(source.example.starts_with(&format!("{}(", source.name)), "{}", source.name);
        assert!(!source.doc.is_empty() && !source.fields.is_empty());
        assert!(source.parameters.iter().all(|p| !p.doc.is_empty() && !p.kind.name().is_empty()));
        assert!(source.parameters.iter().any(|p| p.name == "validate"));
    }
}

#[test]
fn wrong_arguments_are_told_at_their_place() {
    let root = Folder::new();
    bad("mnits", &[], &root, codes::UNKNOWN_NAME, &["did you mean `mnist`?"]);
    bad("parquet", &[], &root, codes::UNKNOWN_NAME, &["`csv`, `digits`"]);
    bad("mnist", &[], &root, codes::MISSING_ARGUMENT, &["`mnist` needs `path`"]);
    bad("npy", &[], &root, codes::MISSING_ARGUMENT, &["`npy` needs a file"]);
    let d = bad(
        "digits",
        &[("valdate", ArgValue::Float(0.2))],
        &root,
        codes::UNKNOWN_ARGUMENT,
        &["`digits` has no argument `valdate`", "did you mean `validate`?"],
    );
    assert_eq!(d.span().expect("a place").start, 100);
    bad("npy", &[("valdate", ArgValue::Float(0.2))], &root, codes::UNKNOWN_ARGUMENT, &["did you mean `validate`?"]);
    bad("npy", &[("", ArgValue::Int(3))], &root, codes::WRONG_KIND, &["`npy` takes file names, not the number 3"]);
    bad("digits", &[("validate", text("0.2"))], &root, codes::WRONG_KIND, &["takes float | int"]);
    bad("mnist", &[("", ArgValue::Bool(true))], &root, codes::WRONG_KIND, &["`path` of `mnist` takes string"]);
    let twice = [("", ArgValue::Float(0.2)), ("validate", ArgValue::Float(0.1))];
    bad("digits", &twice, &root, codes::DUPLICATE_NAME, &["is given twice"]);
    let many = [("", ArgValue::Float(0.2)), ("", ArgValue::Int(1))];
    bad("digits", &many, &root, codes::UNKNOWN_ARGUMENT, &["takes at most 1 argument"]);
    let columns = ("columns", ArgValue::List(vec![ArgValue::Int(1)]));
    bad("csv", &[("", text("a.csv")), columns], &root, codes::WRONG_KIND, &["takes [string]"]);
}

#[test]
fn wrong_values_are_refused() {
    let root = Folder::new();
    for value in [ArgValue::Float(1.0), ArgValue::Float(-0.1), ArgValue::Float(f64::NAN), ArgValue::Int(-1)] {
        bad("digits", &[("validate", value)], &root, codes::BAD_SETTING, &["`validate` of `digits` cannot be"]);
    }
    bad("digits", &[("validate", ArgValue::Int(1797))], &root, codes::BAD_SETTING, &["leaves none to train on"]);
    bad("digits", &[("validate", ArgValue::Float(0.9999))], &root, codes::BAD_SETTING, &["1797 of 1797"]);
    let missing = [("", text("a.csv")), ("missing", text("medain"))];
    bad("csv", &missing, &root, codes::BAD_SETTING, &["did you mean \"median\"?"]);
    let size = [("", text("m")), ("size", ArgValue::Int(0))];
    bad("mnist", &size, &root, codes::BAD_SETTING, &["`size` of `mnist` cannot be 0"]);
}

#[test]
fn declares_what_needs_no_file() {
    let known = |name: &str, list: &[(&str, ArgValue)]| declared(name, &args(list));
    let fields = known("mnist", &[("", text("m")), ("size", ArgValue::Int(32))]).expect("known");
    assert_eq!(fields[0].shape, Some(vec![Some(1), Some(32), Some(32)]));
    assert_eq!((fields[1].dtype, fields[1].classes), (Some(DType::I32), Some(10)));
    let fields = known("idx", &[("", text("a")), ("", text("b"))]).expect("known");
    assert_eq!(fields[0].shape, Some(vec![None, None, None]));
    let fields = known("npy", &[("", text("d/x 1.npy")), ("label", text("y.npy"))]).expect("known");
    assert_eq!(fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["x_1", "label"]);
    assert_eq!(known("csv", &[("", text("a.csv"))]), None);
    assert_eq!(known("nothing", &[]), None);
}

#[test]
fn a_count_holds_out_as_many() {
    let opened = good("digits", &[("validate", ArgValue::Int(100))], &Folder::new());
    assert_eq!(opened.split(5).validate.expect("held out").rows.len(), 100);
    let opened = good("digits", &[("validate", ArgValue::Float(0.0))], &Folder::new());
    assert!(opened.split(5).validate.is_none());
    assert_eq!((opened.facts().count(), opened.facts().classes()), (1797, Some(10)));
}
