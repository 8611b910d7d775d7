//! CSV and TSV files.

use super::*;

const IRIS: &str = "width,length,species\n1.5,2,setosa\n-3e1,4,virginica\n5,6.25,setosa\n";

fn call(more: &[(&'static str, ArgValue)]) -> Vec<(&'static str, ArgValue)> {
    [&[("", text("t.csv"))], more].concat()
}

#[test]
fn numbers_are_features_and_text_is_a_class() {
    let root = Folder::new();
    root.write("t.csv", IRIS);
    let label = call(&[("label", text("species"))]);
    let data = good("csv", &label, &root).dataset;
    assert_eq!(data.fields, [Field::new("features", DType::F32, &[2]), Field::label("label", 2)]);
    assert_eq!(values(&data, "features", &[1, 0]), [-30.0, 4.0, 1.5, 2.0]);
    assert_eq!(values(&data, "label", &[0, 1, 2]), [0.0, 1.0, 0.0]);
    assert_eq!(data.class_names(1), ["setosa", "virginica"]);
    // The same table packed, with a byte order mark, with Windows' line ends, without the last one.
    let crlf = format!("\u{feff}{}", IRIS.trim_end().replace('\n', "\r\n"));
    root.write("t.csv", gz(crlf.as_bytes()));
    assert_eq!(values(&good("csv", &label, &root).dataset, "features", &[2]), [5.0, 6.25]);
    // Without a label, text has its own name; with `columns`, every column has.
    assert_eq!(good("csv", &call(&[]), &root).dataset.fields[1], Field::label("species", 2));
    let columns = ArgValue::List(vec![text("length"), text("species")]);
    let data = good("csv", &call(&[("columns", columns)]), &root).dataset;
    assert_eq!(data.fields, [Field::new("length", DType::F32, &[]), Field::label("species", 2)]);
    root.write("t.tsv", "a b\tc\n\"x\t1\ny\t2\n");
    let data = good("tsv", &[("", text("t.tsv"))], &root).dataset;
    assert_eq!(data.fields[1].name, "a_b");
    assert_eq!(data.class_names(1), ["\"x", "y"]);
}

#[test]
fn a_numeric_label_is_a_class_if_it_has_few_whole_values() {
    let root = Folder::new();
    let label = |as_what: Option<&str>| {
        let as_what = as_what.map(|w| ("label_as", text(w)));
        let more: Vec<_> = [("label", text("y"))].into_iter().chain(as_what).collect();
        good("csv", &call(&more), &root).dataset
    };
    root.write("t.csv", "x,y\n0.5,7\n0.5,3\n0.5,10\n0.5,7\n");
    assert_eq!(label(None).fields[1], Field::label("label", 3));
    assert_eq!(values(&label(None), "label", &[0, 1, 2, 3]), [1.0, 0.0, 2.0, 1.0]);
    assert_eq!(label(None).class_names(1), ["3", "7", "10"]);
    assert_eq!(values(&label(Some("number")), "label", &[2]), [10.0]);
    root.write("t.csv", "x,y\n0.5,7.5\n0.5,3\n");
    assert_eq!(label(None).fields[1], Field::new("label", DType::F32, &[]));
    assert_eq!(label(Some("class")).fields[1], Field::label("label", 2));
    let many: String = (0..21).map(|i| format!("0,{i}\n")).collect();
    root.write("t.csv", format!("x,y\n{many}"));
    assert_eq!(label(None).fields[1].dtype, DType::F32);
}

#[test]
fn missing_cells_are_an_error_until_said_otherwise() {
    let root = Folder::new();
    root.write("t.csv", "x,kind\n1,a\n,b\n6,\n2,c\n");
    let treated = |how: &str| call(&[("missing", text(how))]);
    bad("csv", &call(&[]), &root, codes::DATA_VALUE, &["t.csv: line 3: `x` is empty", "1 of 4 rows", "drop"]);
    bad("csv", &treated("mean"), &root, codes::DATA_VALUE, &["line 4: `kind` is empty", "a text has no mean"]);
    let data = good("csv", &treated("drop"), &root).dataset;
    assert_eq!(
        (values(&data, "features", &[0, 1]), data.class_names(1)),
        (vec![1.0, 2.0], &["a".into(), "c".into()][..])
    );
    root.write("t.csv", "x\nNA\n1\nnan\n6\n2\n");
    bad("csv", &call(&[]), &root, codes::DATA_VALUE, &["line 2: `x` is \"NA\"", "2 of 5 rows"]);
    assert_eq!(values(&good("csv", &treated("mean"), &root).dataset, "features", &[0]), [3.0]);
    assert_eq!(values(&good("csv", &treated("median"), &root).dataset, "features", &[2]), [2.0]);
    root.write("t.csv", "x,y\n1,\n,2\n");
    bad("csv", &treated("drop"), &root, codes::DATA_VALUE, &["every row lacks a value"]);
    root.write("t.csv", "x,y\n1,\n2,\n");
    bad("csv", &call(&[]), &root, codes::DATA_VALUE, &["column `y` has no value in any row"]);
}

#[test]
fn bad_tables_are_told() {
    let root = Folder::new();
    let refused = |content: &[u8], code: &codes::Code, words: &[&str]| {
        root.write("t.csv", content);
        bad("csv", &call(&[]), &root, code, words)
    };
    let format = codes::DATA_FORMAT;
    refused(b"", format, &["t.csv: the file is empty"]);
    refused(b"a,b\n", format, &["no rows below the header"]);
    refused(b"1,2\n3,4\n", format, &["the first line holds numbers"]);
    refused(b"a,,c\n1,2,3\n", format, &["column 2 has no name"]);
    refused(b"a,b,a\n1,2,3\n", format, &["two columns are named `a`: 1 and 3"]);
    refused(b"a,b\n1,2\n\n3\n", format, &["line 4 has 1 cells, the header has 2", "`b`"]);
    refused(b"a,b\r\n1,2\r\n\r\n\r\n3\r\n", format, &["line 5 has 1 cells"]);
    refused(b"a,b\n\"1\n1\",2\n3\n", format, &["line 4 has 1 cells"]);
    refused(b"a,b\n1,2\n3,4,5\n", format, &["line 3 has 3 cells, the header has 2"]);
    refused(b"a,b\n1,2\n3,\xff\n", format, &["line 3 is not UTF-8"]);
    refused(b"a b,a-b\nx,y\n", format, &["two fields would be named `a_b`"]);
    refused(b"a,b\n1,2\n3,4x\n", codes::DATA_VALUE, &["line 3: `b` is \"4x\", not a number", "line 2"]);
    refused(b"a,b\n1,2\n3,inf\n", codes::DATA_VALUE, &["line 3: `b` is inf, not a finite f32"]);
    refused(b"a,b\n1,2\n3,1e39\n", codes::DATA_VALUE, &["line 3: `b` is 1e39, not a finite f32"]);
    root.write("t.csv", IRIS);
    let label = |name: &str| call(&[("label", text(name))]);
    let d = bad("csv", &label("specis"), &root, format, &["t.csv has no column `specis`", "did you mean `species`?"]);
    assert_eq!(d.span().expect("a place").start, 101);
    bad("csv", &label("target"), &root, format, &["its columns are `width`, `length`, `species`"]);
    let columns = call(&[("columns", ArgValue::List(vec![text("widht")]))]);
    bad("csv", &columns, &root, format, &["did you mean `width`?"]);
    let number = call(&[("label", text("species")), ("label_as", text("number"))]);
    bad("csv", &number, &root, codes::BAD_SETTING, &["`species` holds text"]);
}

#[test]
fn damage_never_panics() {
    let root = Folder::new();
    survives("csv", &call(&[("label", text("species"))]), &root, "t.csv", IRIS.as_bytes());
    survives("csv", &call(&[("missing", text("drop"))]), &root, "t.csv", IRIS.as_bytes());
    survives("csv", &call(&[]), &root, "t.csv", &gz(IRIS.as_bytes()));
}
