//! IDX files and MNIST's folder.

use super::*;

/// An IDX file of bytes.
fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|s| out.extend(s.to_be_bytes()));
    out.extend(values);
    out
}

fn images() -> Vec<u8> {
    idx(&[3, 2, 2], &[0, 51, 102, 255, 1, 2, 3, 4, 5, 6, 7, 8])
}

fn labels() -> Vec<u8> {
    idx(&[3], &[2, 0, 1])
}

fn call() -> [(&'static str, ArgValue); 2] {
    [("", text("i")), ("", text("l"))]
}

#[test]
fn reads_pairs_plain_and_packed() {
    let root = Folder::new();
    root.write("i", images()).write("l", gz(&labels()));
    let data = good("idx", &call(), &root).dataset;
    assert_eq!(data.fields[0].shape, [1, 2, 2]);
    assert_eq!(data.fields[1].classes, Some(3));
    let wanted = [0.0, 51.0, 102.0, 255.0].map(|v: f32| f64::from(v / 255.0));
    assert_eq!(values(&data, "image", &[0]), wanted);
    assert_eq!(values(&data, "label", &[2, 0, 0]), [1.0, 2.0, 2.0]);
    root.write("i", idx(&[3, 3, 1, 2], &[9; 18]));
    assert_eq!(good("idx", &call(), &root).dataset.fields[0].shape, [3, 1, 2]);
}

#[test]
fn bad_files_are_told() {
    let root = Folder::new();
    let format = codes::DATA_FORMAT;
    root.write("l", labels());
    bad("idx", &call(), &root, codes::DATA_MISSING, &["there is no file \"i\"", "looked for", "--data DIR"]);
    root.write("i.gz", gz(&images()));
    bad("idx", &call(), &root, codes::DATA_MISSING, &["there is \"i.gz\""]);
    let refused = |bytes: &[u8], words: &[&str]| {
        root.write("i", bytes);
        bad("idx", &call(), &root, format, words)
    };
    refused(b"", &["i: the file is empty"]);
    refused(&images()[..3], &["ends inside its header, after 3 bytes"]);
    refused(&images()[..10], &["ends inside its header, after 10 bytes"]);
    refused(&images()[..21], &["ends at byte 21, in sample 1 of 3"]);
    refused(&[&images()[..], &[0]].concat(), &["goes on after byte 28"]);
    refused(b"\x89PNG\r\n", &["not an IDX file of pictures", "[89, 50, 4e, 47]"]);
    refused(&labels(), &["this is a file of labels"]);
    refused(&[0, 0, 13, 3, 0, 0, 0, 0], &["only files of unsigned bytes"]);
    refused(&idx(&[3, 0, 2], &[]), &["its size along axis 1 is 0"]);
    refused(&idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), &["more than a machine can hold"]);
    refused(&gz(&images())[..30], &["the packed file ends too early"]);
    let mut damaged = gz(&images());
    damaged[10] = 0xff;
    refused(&damaged, &["the packed file is damaged"]);
    root.write("x.gz", images());
    bad("idx", &[("", text("x.gz")), ("", text("l"))], &root, format, &["not a gzip file", "[00, 00]"]);
    root.write("i", images()).write("l", idx(&[2], &[0, 1]));
    bad("idx", &call(), &root, format, &["l: 2 labels for 3 pictures"]);
    root.write("l", idx(&[3], &[0, 1]));
    bad("idx", &call(), &root, format, &["l: ends at byte 10, in sample 2 of 3"]);
    root.write("l", images());
    bad("idx", &call(), &root, format, &["not an IDX file of labels", "file of pictures"]);
    root.write("l", labels());
    let [i, l] = call();
    let few = [i, l, ("classes", ArgValue::Int(2))];
    bad("idx", &few, &root, codes::DATA_VALUE, &["label 2 of sample 0 is not below 2", "byte 8"]);
    std::fs::create_dir(root.0.join("folder")).expect("a folder");
    bad("idx", &[("", text("folder")), ("", text("l"))], &root, codes::DATA_MISSING, &["is a folder"]);
}

#[test]
fn mnist_folders_have_many_names() {
    let root = Folder::new();
    let call = [("", text("data/m"))];
    bad("mnist", &call, &root, codes::DATA_MISSING, &["there is no folder \"data/m\"", "train-images-idx3-ubyte.gz"]);
    std::fs::create_dir(root.0.join("m")).expect("a folder");
    bad("mnist", &call, &root, codes::DATA_MISSING, &["\"train-images-idx3-ubyte\"", "train-images.idx3-ubyte.gz"]);
    let pixels: Vec<u8> = (0..2 * 784).map(|i| (i % 256) as u8).collect();
    root.write("m/train-images.idx3-ubyte", idx(&[2, 28, 28], &pixels));
    root.write("m/train-labels-idx1-ubyte.gz", gz(&idx(&[2], &[9, 3])));
    bad("mnist", &call, &root, codes::DATA_MISSING, &["\"t10k-images-idx3-ubyte\"", "`validate: 0.1`"]);
    let held = [("", text("m")), ("validate", ArgValue::Int(1))];
    assert_eq!(good("mnist", &held, &root).facts().train, 1);
    root.write("m/t10k-images-idx3-ubyte", idx(&[1, 28, 28], &pixels[..784]));
    root.write("m/t10k-labels.idx1-ubyte", idx(&[1], &[4]));
    let opened = good("mnist", &call, &root);
    assert_eq!(values(&opened.split(0).validate.expect("the test part").dataset, "label", &[0]), [4.0]);
    let opened = good("mnist", &[("", text("m")), ("size", ArgValue::Int(14))], &root);
    assert_eq!(opened.dataset.fields[0].shape, [1, 14, 14]);
    root.write("m/t10k-labels.idx1-ubyte", idx(&[1], &[10]));
    bad("mnist", &call, &root, codes::DATA_VALUE, &["label 10 of sample 0 is not below 10"]);
    root.write("m/train-images.idx3-ubyte", idx(&[2, 32, 32], &[0; 2048]));
    bad("mnist", &call, &root, codes::DATA_FORMAT, &["its pictures are [32, 32], not 28 x 28"]);
}

#[test]
fn a_large_plain_file_is_mapped() {
    let root = Folder::new();
    let pixels: Vec<u8> = (0..2000 * 784u32).map(|i| (i % 251) as u8).collect();
    root.write("i", idx(&[2000, 28, 28], &pixels)).write("l", idx(&[2000], &[0; 2000]));
    let data = good("idx", &call(), &root).dataset;
    assert_eq!(values(&data, "image", &[1999])[783], f64::from(f32::from(pixels[2000 * 784 - 1]) / 255.0));
}

#[test]
fn damage_never_panics() {
    let root = Folder::new();
    root.write("l", labels());
    survives("idx", &call(), &root, "i", &images());
    survives("idx", &call(), &root, "i", &gz(&images()));
    root.write("i", images());
    survives("idx", &call(), &root, "l", &labels());
}
