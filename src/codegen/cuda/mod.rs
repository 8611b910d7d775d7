//! CUDA C from kernels. In: loop kernels, matrix products, convolutions. Out: text that a run-time compiler takes, and how each
//! kernel is launched.
//!
//! Every text begins with the prelude ([`PRELUDE`]), which says what of the language is used; there are no includes. Kernels are
//! `extern "C"`, take one pointer a buffer, sizes are numbers in the text, blocks have one dimension and grids up to two; shared
//! memory has a fixed size below 48 KB.
//!
//! # What the runtime calls
//!
//! A device (or something that stands in for one) needs these functions and no others:
//!
//! - driver: `cuInit`, `cuDriverGetVersion`, `cuDeviceGetCount`, `cuDeviceGet`, `cuDeviceGetName`, `cuDeviceGetAttribute`,
//!   `cuDeviceTotalMem_v2`, `cuDevicePrimaryCtxRetain`, `cuDevicePrimaryCtxRelease_v2`, `cuCtxSetCurrent`, `cuMemGetInfo_v2`, `cuMemAlloc_v2`,
//!   `cuMemFree_v2`, `cuMemHostAlloc`, `cuMemFreeHost`, `cuMemsetD8Async`, `cuMemcpyHtoDAsync_v2`, `cuMemcpyDtoHAsync_v2`,
//!   `cuMemcpyDtoDAsync_v2`, `cuStreamCreate`, `cuStreamDestroy_v2`, `cuStreamSynchronize`, `cuStreamBeginCapture_v2`,
//!   `cuStreamEndCapture`, `cuGraphInstantiateWithFlags`, `cuGraphLaunch`, `cuGraphDestroy`, `cuGraphExecDestroy`, `cuModuleLoadData`,
//!   `cuModuleUnload`, `cuModuleGetFunction`, `cuFuncGetAttribute`, `cuLaunchKernel`, `cuEventCreate`, `cuEventRecord`,
//!   `cuEventSynchronize`, `cuEventElapsedTime`, `cuEventDestroy_v2`, `cuGetErrorName`, `cuGetErrorString`;
//!   copies in both directions and between device buffers, memsets and launches may be inside a capture;
//! - NVRTC: `nvrtcVersion`, `nvrtcCreateProgram`, `nvrtcCompileProgram` (with `--gpu-architecture=sm_NN`, `--fmad=false`,
//!   `--std=c++17`), `nvrtcGetCUBINSize`, `nvrtcGetCUBIN`, `nvrtcGetPTXSize`, `nvrtcGetPTX`,
//!   `nvrtcGetNumSupportedArchs`, `nvrtcGetSupportedArchs`, `nvrtcGetProgramLogSize`, `nvrtcGetProgramLog`, `nvrtcDestroyProgram`;
//! - cuBLASLt, where it is there: `cublasLtCreate`, `cublasLtDestroy`, `cublasLtMatmulDescCreate`, `cublasLtMatmulDescSetAttribute`,
//!   `cublasLtMatmulDescDestroy`, `cublasLtMatrixLayoutCreate`, `cublasLtMatrixLayoutSetAttribute`, `cublasLtMatrixLayoutDestroy`,
//!   `cublasLtMatmulPreferenceCreate`, `cublasLtMatmulPreferenceSetAttribute`, `cublasLtMatmulPreferenceDestroy`,
//!   `cublasLtMatmulAlgoGetHeuristic`, `cublasLtMatmul`.
//!
//! The libraries are looked for in the folder that the environment variable `NNC_CUDA_DIR` names, before all other places, by
//! the names `libcuda.so.1`, `libnvrtc.so.13` or `.12`, `libcublasLt.so.13` or `.12`.

/// What stands before every kernel.
pub const PRELUDE: &str = include_str!("prelude.cu");

/// A kernel as the generator writes it, for whoever builds a device to run such text on.
pub const SAMPLE: &str = include_str!("sample.cu");

mod digits;
pub mod emit;
pub mod mapping;
pub mod scalar;
mod scatter;
mod vectors;

pub use emit::kernel;

/// How many blocks of how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub blocks: usize,
    pub threads: usize,
}

/// A function of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    text: String,
    pub grid: Grid,
}

impl Source {
    /// A function called `NAME`, without the prelude.
    pub fn new(text: String, grid: Grid) -> Source {
        Source { text, grid }
    }

    /// The text of the function under this name.
    pub fn named(&self, name: &str) -> String {
        self.text.replacen("NAME(", &format!("{name}("), 1)
    }

    /// The text without a name, the same for functions that do the same.
    pub fn text(&self) -> &str {
        &self.text
    }
}
