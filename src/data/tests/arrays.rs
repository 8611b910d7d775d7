//! NPY and NPZ files.

use super::*;

/// `numpy.savez(f, image=[[1.5, -2.25], [0.5, 4.0], [8.0, 0.125]] as >f4, label=[2, 0, 1] as <i8)` of NumPy 2.4.
const STORED: &str = "\
    504b03042d0000000000000021005c447da6ffffffffffffffff09001400696d6167652e6e7079010010009800000000000000980000\
    0000000000934e554d5059010076007b276465736372273a20273e6634272c2027666f727472616e5f6f72646572273a2046616c7365\
    2c20277368617065273a2028332c2032292c207d20202020202020202020202020202020202020202020202020202020202020202020\
    2020202020202020202020202020202020202020202020200a3fc00000c01000003f00000040800000410000003e000000504b03042d\
    0000000000000021008a1ace13ffffffffffffffff090014006c6162656c2e6e70790100100098000000000000009800000000000000\
    934e554d5059010076007b276465736372273a20273c6938272c2027666f727472616e5f6f72646572273a2046616c73652c20277368\
    617065273a2028332c292c207d2020202020202020202020202020202020202020202020202020202020202020202020202020202020\
    202020202020202020202020202020202020200a020000000000000000000000000000000100000000000000504b01022d032d000000\
    0000000021005c447da69800000098000000090000000000000000000000800100000000696d6167652e6e7079504b01022d032d0000\
    000000000021008a1ace1398000000980000000900000000000000000000008001d30000006c6162656c2e6e7079504b050600000000\
    020002006e000000a60100000000";

/// The same with `numpy.savez_compressed`.
const PACKED: &str = "\
    504b03042d0000000800000021005c447da6ffffffffffffffff09001400696d6167652e6e70790100100098000000000000005c0000\
    00000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9766a2aea3a09e965f54529498179f5f94920a12774bcc294e058a\
    17672416a402f91ac63a0a469a3a0ab50a64032efb030c0c07041818ec1918181c1a18181c81b41d100300504b03042d000000080000\
    0021008a1ace13ffffffffffffffff090014006c6162656c2e6e70790100100098000000000000004a000000000000009bec17ea1b10\
    c9c850c650ad9e925a9c5ca46ea5a06e9369a1aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91ac63a9a\
    3a0ab50a14002e260654c008a501504b01022d032d0000000800000021005c447da65c00000098000000090000000000000000000000\
    800100000000696d6167652e6e7079504b01022d032d0000000800000021008a1ace134a000000980000000900000000000000000000\
    008001970000006c6162656c2e6e7079504b050600000000020002006e0000001c0100000000";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|d| (d[0] * 16 + d[1]) as u8).collect()
}

fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(values);
    out
}

fn array(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    npy(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"), values)
}

fn bytes<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    values.into_iter().flatten().collect()
}

#[test]
fn reads_what_numpy_wrote() {
    let root = Folder::new();
    for file in [STORED, PACKED] {
        root.write("set.npz", bytes_of(file));
        let data = good("npz", &[("", text("set.npz"))], &root).dataset;
        assert_eq!(data.fields, [Field::new("image", DType::F32, &[2]), Field::label("label", 3)]);
        assert_eq!(values(&data, "image", &[2, 0]), [8.0, 0.125, 1.5, -2.25]);
        assert_eq!(values(&data, "label", &[0, 1, 2]), [2.0, 0.0, 1.0]);
    }
}

#[test]
fn reads_every_dtype_in_both_orders() {
    let root = Folder::new();
    let check = |descr: &str, raw: Vec<u8>, dtype: DType, wanted: &[f64]| {
        root.write("x.npy", array(descr, "(2, 1)", &raw));
        let data = good("npy", &[("", text("x.npy"))], &root).dataset;
        assert_eq!(data.fields, [Field::new("x", dtype, &[1])], "{descr}");
        assert_eq!(values(&data, "x", &[0, 1]), wanted, "{descr}");
    };
    check("<f4", bytes([1.5f32, -2.0].map(f32::to_le_bytes)), DType::F32, &[1.5, -2.0]);
    check(">f4", bytes([1.5f32, -2.0].map(f32::to_be_bytes)), DType::F32, &[1.5, -2.0]);
    check("<f8", bytes([1.5f64, -2.0].map(f64::to_le_bytes)), DType::F64, &[1.5, -2.0]);
    check(">f8", bytes([1.5f64, -2.0].map(f64::to_be_bytes)), DType::F64, &[1.5, -2.0]);
    check("<i4", bytes([7i32, -70_000].map(i32::to_le_bytes)), DType::I32, &[7.0, -70_000.0]);
    check(">i8", bytes([7i64, -(1 << 40)].map(i64::to_be_bytes)), DType::I64, &[7.0, -((1u64 << 40) as f64)]);
    check("|u1", vec![3, 255], DType::U8, &[3.0, 255.0]);
    check("|b1", vec![1, 0], DType::Bool, &[1.0, 0.0]);
}

#[test]
fn whole_numbers_of_one_axis_are_labels() {
    let root = Folder::new();
    root.write("y.npy", array(">i4", "(3,)", &bytes([4i32, 0, 2].map(i32::to_be_bytes))));
    root.write("x.npy", array("|u1", "(3, 2)", &[1, 2, 3, 4, 5, 6]));
    let call = [("pixels", text("x.npy")), ("label", text("y.npy")), ("validate", ArgValue::Int(1))];
    let opened = good("npy", &call, &root);
    assert_eq!(opened.dataset.fields, [Field::new("pixels", DType::U8, &[2]), Field::label("label", 5)]);
    assert_eq!((opened.facts().train, opened.facts().classes()), (2, Some(5)));
    root.write("y.npy", array("|i1", "(3,)", &[0xff, 0, 2]));
    assert_eq!(good("npy", &[("y", text("y.npy"))], &root).dataset.fields, [Field::new("y", DType::I32, &[])]);
    root.write("y.npy", array("<i8", "(1,)", &(1i64 << 33).to_le_bytes()));
    bad("npy", &[("", text("y.npy"))], &root, codes::DATA_VALUE, &["`y` of sample 0 is 8589934592, beyond i32"]);
}

#[test]
fn a_large_array_is_mapped() {
    let root = Folder::new();
    let raw = bytes((0..400_000u32).map(|i| (i as f32).to_le_bytes()));
    root.write("x.npy", array("<f4", "(4000, 100)", &raw));
    let data = good("npy", &[("", text("x.npy"))], &root).dataset;
    assert_eq!(values(&data, "x", &[3999])[99], 399_999.0);
}

#[test]
fn bad_arrays_are_told() {
    let root = Folder::new();
    let refused = |content: &[u8], code: &codes::Code, words: &[&str]| {
        root.write("x.npy", content);
        bad("npy", &[("", text("x.npy"))], &root, code, words)
    };
    let format = codes::DATA_FORMAT;
    let two = bytes([1f32, 2.0].map(f32::to_le_bytes));
    let whole = array("<f4", "(2, 1)", &two);
    bad("npy", &[("", text("x.npy"))], &root, codes::DATA_MISSING, &["there is no file \"x.npy\""]);
    refused(b"", format, &["`x` is empty"]);
    refused(b"hello world", format, &["`x` is not a .npy array", "numpy.save"]);
    refused(b"PK\x03\x04", format, &["read it with `npz`"]);
    refused(&whole[..7], format, &["ends inside its header"]);
    refused(&whole[..40], format, &["ends inside its header"]);
    refused(&whole[..whole.len() - 1], format, &["`x` is truncated", "<f4 of shape [2, 1]"]);
    refused(&[&whole[..], &[0]].concat(), format, &["goes on past its values"]);
    refused(b"\x93NUMPY\x07\x00\x00\x00", format, &["of format 7"]);
    refused(&npy("{'descr': '<f4'}", &two), format, &["the header of `x` cannot be read"]);
    let fortran = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1)}", &two);
    refused(&fortran, format, &["Fortran order", "ascontiguousarray"]);
    refused(&array("<c8", "(2, 1)", &[0; 16]), format, &["a type that cannot be read: <c8", "astype"]);
    refused(
        &npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", &two),
        format,
        &["type that cannot be read"],
    );
    refused(&array("<f4", "()", &two[..4]), format, &["a single number"]);
    refused(&array("<f4", "(0, 3)", &[]), format, &["holds no values"]);
    refused(&array("<f4", "(2, -1)", &two), format, &["the header of `x` cannot be read"]);
    refused(&array("<f8", "(9999999999, 9999999999)", &two), format, &["is truncated"]);
    let value = codes::DATA_VALUE;
    let odd = |x: f32| array(">f4", "(2, 2)", &bytes([1.0, 2.0, 3.0, x].map(f32::to_be_bytes)));
    refused(&odd(f32::NAN), value, &["`x` holds nan in sample 1", "element 1 of that sample"]);
    refused(&odd(f32::NEG_INFINITY), value, &["`x` holds an infinite value in sample 1"]);
    refused(&array("|b1", "(2, 1)", &[1, 2]), value, &["`x` holds the byte 2 in sample 1"]);
    root.write("x.npy", &whole).write("y.npy", array("<f4", "(1, 2)", &two));
    bad("npy", &[("", text("x.npy")), ("", text("y.npy"))], &root, format, &["`y` has 1 samples, `x` has 2"]);
    bad("npy", &[("", text("x.npy")), ("x", text("y.npy"))], &root, format, &["already a field `x`"]);
}

#[test]
fn bad_archives_are_told() {
    let root = Folder::new();
    let refused = |content: &[u8], words: &[&str]| {
        root.write("set.npz", content);
        bad("npz", &[("", text("set.npz"))], &root, codes::DATA_FORMAT, words)
    };
    refused(b"", &["set.npz: the file is empty"]);
    refused(b"\x93NUMPY\x01\x00", &["read it with `npy`"]);
    refused(b"rubbish", &["not a .npz file"]);
    let (stored, packed) = (bytes_of(STORED), bytes_of(PACKED));
    refused(&stored[..stored.len() - 30], &["its directory is missing"]);
    let at = stored.windows(4).position(|w| w == 1.5f32.to_be_bytes()).expect("the value");
    let mut damaged = stored.clone();
    damaged[at] ^= 1;
    refused(&damaged, &["`image.npy` in it is damaged", "checksum"]);
    let mut damaged = packed.clone();
    damaged[80] ^= 0x55;
    refused(&damaged, &["`image.npy` in it is damaged"]);
    refused(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", &["no arrays"]);
}

#[test]
fn damage_never_panics() {
    let root = Folder::new();
    for file in [STORED, PACKED] {
        survives("npz", &[("", text("set.npz"))], &root, "set.npz", &bytes_of(file));
    }
    let whole = array("<f4", "(2, 1)", &bytes([1f32, 2.0].map(f32::to_le_bytes)));
    survives("npy", &[("", text("x.npy"))], &root, "x.npy", &whole);
    let label = array("<i8", "(2,)", &bytes([1i64, 0].map(i64::to_le_bytes)));
    survives("npy", &[("", text("x.npy"))], &root, "x.npy", &label);
}
