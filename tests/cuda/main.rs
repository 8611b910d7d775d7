//! CUDA without a GPU: the stand-in device itself, and what it must catch.

mod messages;
mod programs;
#[path = "../common/standin.rs"]
mod standin;

use standin::standin;

const PLAIN: &[(&str, &str)] = &[];
const CHECK: &[(&str, &str)] = &[("CHECK", "1")];

/// Right programs give right values, in every order of threads and with every access checked.
#[test]
fn right_programs_are_right() {
    let Some(device) = standin() else { return };
    for name in ["add", "sums", "lanes", "graph", "library", "tile"] {
        for settings in [PLAIN, CHECK, &[("SEED", "7")], &[("SEED", "8"), ("CHECK", "1")], &[("EAGER", "1")]] {
            let (said, log) = device.trial(name, settings);
            assert_eq!((said.trim(), log.as_str()), ("right", ""), "{name} {settings:?}");
        }
    }
}

/// A planted fault, the settings under which it is looked for, the driver's answer and what the device says of it.
type Planted = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const FAULTS: &[Planted] = &[
    ("with_barrier", CHECK, "CUDA_SUCCESS", ""),
    ("warp_meets", CHECK, "CUDA_SUCCESS", ""),
    ("warp_does_not_meet", CHECK, "CUDA_ERROR_LAUNCH_FAILED", "race on global memory"),
    ("no_barrier", CHECK, "CUDA_ERROR_ILLEGAL_ADDRESS", "read of shared memory that this block never wrote"),
    ("no_barrier", &[("CHECK", "1"), ("SEED", "5")], "CUDA_ERROR_", "thread ("),
    ("no_barrier_values", &[("SEED", "1")], "element ", ""),
    ("race_between_blocks", CHECK, "CUDA_ERROR_LAUNCH_FAILED", "race on global memory"),
    (
        "behind",
        PLAIN,
        "CUDA_ERROR_ILLEGAL_ADDRESS",
        "kernel k: a red zone was written 0 bytes behind the end of a buffer of 252",
    ),
    ("behind", CHECK, "CUDA_ERROR_ILLEGAL_ADDRESS", "thread (62,0,0) of block (0,0,0): write of 4 bytes"),
    ("before", PLAIN, "CUDA_ERROR_ILLEGAL_ADDRESS", "4 bytes before a buffer of 256"),
    ("far", PLAIN, "CUDA_ERROR_ILLEGAL_ADDRESS", "thread (1,0,0) of block (0,0,0): access to"),
    ("read_behind", CHECK, "CUDA_ERROR_ILLEGAL_ADDRESS", "0 bytes behind a buffer of 4"),
    ("never_written", CHECK, "CUDA_ERROR_ILLEGAL_ADDRESS", "read of memory that was never written"),
    (
        "shared_index",
        PLAIN,
        "CUDA_ERROR_ILLEGAL_ADDRESS",
        "thread (32,0,0) of block (0,0,0): index 32 is outside the array",
    ),
    ("misaligned", PLAIN, "CUDA_ERROR_MISALIGNED_ADDRESS", "which needs a multiple of 16"),
    ("division", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "thread (7,0,0) of block (0,0,0): integer division by zero"),
    ("divergent", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "divergent barrier: thread (0,0,0)"),
    ("two_barriers", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "divergent barrier: thread (0,0,0)"),
    ("mask_without", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "which does not name it"),
    ("mask_absent", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "wrong mask: thread (0,0,0)"),
    ("mask_source", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "reads lane 16, which the mask does not name"),
    ("part_of_a_warp", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "but the warp has 16 threads"),
    ("deadlock", PLAIN, "CUDA_ERROR_LAUNCH_FAILED", "divergent barrier: thread (0,0,0)"),
    ("too_many", PLAIN, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "__launch_bounds__ promised at most 32"),
    ("syntax", PLAIN, "does not compile: kernels.cu", ""),
    ("include", PLAIN, "does not compile: kernels.cu: catastrophic error", ""),
    ("much_shared", PLAIN, "cuModuleLoadData(&module, image.data()): CUDA_ERROR_INVALID_IMAGE", "more than 49152"),
    ("pinned_too_early", PLAIN, "2", ""),
    ("pinned_too_early", &[("EAGER", "1")], "1", ""),
    ("read_too_early", PLAIN, "5", ""),
    ("tile_too_early", PLAIN, "element ", ""),
    ("tile_too_early", CHECK, "launch(", "read of shared memory that this block never wrote"),
    ("no_instruction", PLAIN, "does not compile: kernels.cu", ""),
    ("wait_in_capture", PLAIN, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", ""),
    ("not_joined", PLAIN, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", ""),
    ("copy_too_long", PLAIN, "CUDA_ERROR_INVALID_VALUE", "leaves its buffer of 32"),
    ("memory", PLAIN, "CUDA_ERROR_OUT_OF_MEMORY", ""),
];

#[test]
fn planted_faults_are_caught() {
    let Some(device) = standin() else { return };
    for (name, settings, answer, said) in FAULTS {
        let (out, log) = device.trial(name, settings);
        assert!(out.starts_with(answer), "{name} {settings:?}: {out}{log}");
        assert!(log.contains(said) && log.is_empty() == said.is_empty(), "{name} {settings:?}: {log}");
    }
}

/// `tests/standin/run` asks for it.
#[test]
fn where_it_lies() {
    let Some(device) = standin() else { return };
    println!("stand-in device: {}", device.folder.display());
}
