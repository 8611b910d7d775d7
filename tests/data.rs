//! Data sources on real files. The built-in set is always tested; the others where a folder of data is found.

use nnc::data::{self, Arg, ArgValue, Loader, SourceArgs};
use nnc::source::{FileId, Span};
use std::path::{Path, PathBuf};

fn span() -> Span {
    Span::new(FileId(0), 0, 1)
}

fn args(list: &[(&str, ArgValue)]) -> SourceArgs {
    let arg = |(name, value): &(&str, ArgValue)| Arg {
        name: (!name.is_empty()).then(|| name.to_string()),
        value: value.clone(),
        span: span(),
    };
    SourceArgs { span: span(), args: list.iter().map(arg).collect() }
}

fn text(s: &str) -> ArgValue {
    ArgValue::Str(s.to_string())
}

/// The folder that holds data sets: `NNC_DATA`, or one beside the repository.
fn data_root() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let root = std::env::var_os("NNC_DATA").map(PathBuf::from).or(Some(beside)).filter(|p| p.is_dir());
    if root.is_none() {
        eprintln!("skipped: no data (set NNC_DATA to a folder with mnist, iris, …)");
    }
    root
}

fn f32s(dataset: &data::Dataset, field: &str, rows: &[u32]) -> Vec<f32> {
    let field = dataset.field(field).expect("the field exists");
    let mut out = vec![0; rows.len() * dataset.fields[field].bytes()];
    dataset.gather(field, rows, &mut out);
    out.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().expect("4 bytes"))).collect()
}

fn i32s(dataset: &data::Dataset, field: &str, rows: &[u32]) -> Vec<i32> {
    let field = dataset.field(field).expect("the field exists");
    let mut out = vec![0; rows.len() * dataset.fields[field].bytes()];
    dataset.gather(field, rows, &mut out);
    out.chunks_exact(4).map(|b| i32::from_ne_bytes(b.try_into().expect("4 bytes"))).collect()
}

#[test]
fn digits_are_the_published_scans() {
    let call = args(&[("validate", ArgValue::Float(0.2))]);
    let opened = data::open("digits", &call, Path::new("/nowhere")).expect("built in");
    let set = &opened.dataset;
    assert_eq!(set.count, 1797);
    assert_eq!(Some(opened.facts()), data::facts("digits", &call, Path::new("/")).ok());
    let first = f32s(set, "image", &[0]);
    let row = [0., 0., 5., 13., 9., 1., 0., 0., 0., 0., 13., 15., 10., 15., 5., 0.].map(|v| v / 16.0);
    assert_eq!(first[..16], row);
    let all: Vec<u32> = (0..1797).collect();
    // The sum of all pixels and the sizes of the classes, counted from the file that scikit-learn ships.
    assert_eq!(f32s(set, "image", &all).iter().map(|v| f64::from(*v) * 16.0).sum::<f64>(), 561_718.0);
    let mut sizes = [0; 10];
    i32s(set, "label", &all).iter().for_each(|&l| sizes[l as usize] += 1);
    assert_eq!(sizes, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);

    let split = opened.split(0);
    let held = split.validate.expect("a fifth is held out");
    assert_eq!((split.train.rows.len(), held.rows.len()), (1438, 359));
    let mut together = [split.train.rows.clone(), held.rows.clone()].concat();
    together.sort_unstable();
    assert_eq!(together, all);
    assert_eq!(held.rows, opened.split(0).validate.expect("again").rows);
    assert_ne!(held.rows, opened.split(1).validate.expect("another").rows);
    // Pinned (computed by a second implementation): another split or order would make every published figure another one.
    assert_eq!(held.rows[..6], [16, 19, 23, 25, 28, 30]);
    let mut loader = Loader::new(&split.train, 64, true);
    assert_eq!(loader.order(0, 0)[..6], [860, 1096, 1219, 894, 1465, 1082]);
    assert_eq!(loader.order(42, 3)[..6], [994, 1702, 550, 1479, 1517, 623]);
    assert_eq!((loader.batches(), loader.batch(22).len(), loader.batch(23).len()), (23, 30, 0));
}

#[test]
fn mnist_has_its_published_mean() {
    let Some(root) = data_root() else { return };
    let call = args(&[("", text("data/mnist"))]);
    let facts = data::facts("mnist", &call, &root).expect("headers");
    assert_eq!((facts.train, facts.validate, facts.classes()), (60_000, 10_000, Some(10)));
    let opened = data::open("mnist", &call, &root).expect("readable");
    assert_eq!(opened.facts(), facts);
    let split = opened.split(0);
    let test = split.validate.expect("the test files");
    assert_eq!(i32s(&opened.dataset, "label", &[0, 1, 2, 59_999]), [5, 0, 4, 8]);
    assert_eq!(i32s(&test.dataset, "label", &[0, 1, 2, 9_999]), [7, 2, 1, 6]);
    let pixels = f32s(&opened.dataset, "image", &split.train.rows);
    let mean = pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels.len() as f64;
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
    let held = args(&[("path", text("mnist")), ("validate", ArgValue::Int(500))]);
    let facts = data::facts("mnist", &held, &root).expect("headers");
    assert_eq!((facts.train, facts.validate), (59_500, 500));
}

#[test]
fn tables_of_the_real_world() {
    let Some(root) = data_root() else { return };
    let iris = args(&[("", text("data/iris/iris.csv")), ("label", text("target")), ("validate", ArgValue::Float(0.2))]);
    let opened = data::open("csv", &iris, &root).expect("iris");
    assert_eq!((opened.dataset.count, opened.facts().classes()), (150, Some(3)));
    assert_eq!(f32s(&opened.dataset, "features", &[0]), [5.1, 3.5, 1.4, 0.2]);
    let diabetes = args(&[("", text("diabetes/diabetes.csv")), ("label", text("target"))]);
    let opened = data::open("csv", &diabetes, &root).expect("diabetes");
    assert_eq!((opened.dataset.fields[0].shape[0], opened.facts().classes()), (10, None));

    let housing = |more: &[(&str, ArgValue)]| {
        let list =
            [("", text("california-housing/housing.csv.gz")), ("label", text("median_house_value"))].map(|a| a.clone());
        data::open("csv", &args(&[&list[..], more].concat()), &root)
    };
    let fault = housing(&[]).expect_err("cells are missing");
    assert_eq!(fault.headline, "housing.csv.gz: line 292: `total_bedrooms` is empty");
    assert!(fault.notes.iter().any(|n| n == "207 of 20640 rows have no value there"), "{fault:?}");
    let opened = housing(&[("missing", text("median"))]).expect("filled");
    let fields = &opened.dataset.fields;
    assert_eq!((fields[0].shape[0], fields[1].name.as_str(), fields[1].classes), (8, "ocean_proximity", Some(5)));
    assert_eq!(opened.dataset.class_names(1)[0], "<1H OCEAN");
    assert_eq!(f32s(&opened.dataset, "label", &[0, 1]), [452_600.0, 358_500.0]);
    assert_eq!(f32s(&opened.dataset, "features", &[290])[4], 435.0);
    assert_eq!(housing(&[("missing", text("drop"))]).expect("dropped").dataset.count, 20_433);
}
