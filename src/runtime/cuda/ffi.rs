//! The functions of the CUDA driver, of its run-time compiler and of cuBLASLt that are called, looked up when the library is loaded: what is
//! missing is told then, and no call can fail for it later. Types are those of `cudarc`.
#![allow(non_snake_case)]

use super::products::{Algorithm, Proposal};
use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction, CUfunction_attribute, CUgraph,
    CUgraphExec, CUmodule, CUresult, CUstream, CUstreamCaptureMode,
};
use libloading::Library;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// A library with its functions.
macro_rules! library {
    ($(#[$doc:meta])* $name:ident { $($symbol:ident($($argument:ty),*) -> $result:ty;)* }) => {
        $(#[$doc])*
        pub struct $name {
            $(pub $symbol: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// Never unloaded: the vendor's libraries do not bear it.
            _library: std::mem::ManuallyDrop<Library>,
        }

        impl $name {
            /// The first function that the library lacks, if there is one.
            pub fn new(library: Library) -> Result<$name, &'static str> {
                $(
                    // SAFETY: the symbol is the library's function of this name, whose signature its headers give.
                    let $symbol = *unsafe {
                        library.get::<unsafe extern "C" fn($($argument),*) -> $result>(stringify!($symbol).as_bytes())
                    }
                    .map_err(|_| stringify!($symbol))?;
                )*
                Ok($name { $($symbol,)* _library: std::mem::ManuallyDrop::new(library) })
            }
        }
    };
}

library! {
    /// The driver.
    #[allow(missing_docs)]
    DriverLibrary {
        cuInit(c_uint) -> CUresult;
        cuDriverGetVersion(*mut c_int) -> CUresult;
        cuDeviceGetCount(*mut c_int) -> CUresult;
        cuDeviceGet(*mut CUdevice, c_int) -> CUresult;
        cuDeviceGetName(*mut c_char, c_int, CUdevice) -> CUresult;
        cuDeviceGetAttribute(*mut c_int, CUdevice_attribute, CUdevice) -> CUresult;
        cuDeviceTotalMem_v2(*mut usize, CUdevice) -> CUresult;
        cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice) -> CUresult;
        cuDevicePrimaryCtxRelease_v2(CUdevice) -> CUresult;
        cuCtxSetCurrent(CUcontext) -> CUresult;
        cuMemGetInfo_v2(*mut usize, *mut usize) -> CUresult;
        cuMemAlloc_v2(*mut CUdeviceptr, usize) -> CUresult;
        cuMemFree_v2(CUdeviceptr) -> CUresult;
        cuMemHostAlloc(*mut *mut c_void, usize, c_uint) -> CUresult;
        cuMemFreeHost(*mut c_void) -> CUresult;
        cuMemsetD8Async(CUdeviceptr, u8, usize, CUstream) -> CUresult;
        cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream) -> CUresult;
        cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream) -> CUresult;
        cuMemcpyDtoDAsync_v2(CUdeviceptr, CUdeviceptr, usize, CUstream) -> CUresult;
        cuStreamCreate(*mut CUstream, c_uint) -> CUresult;
        cuStreamDestroy_v2(CUstream) -> CUresult;
        cuStreamSynchronize(CUstream) -> CUresult;
        cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode) -> CUresult;
        cuStreamEndCapture(CUstream, *mut CUgraph) -> CUresult;
        cuGraphInstantiateWithFlags(*mut CUgraphExec, CUgraph, u64) -> CUresult;
        cuGraphLaunch(CUgraphExec, CUstream) -> CUresult;
        cuGraphDestroy(CUgraph) -> CUresult;
        cuGraphExecDestroy(CUgraphExec) -> CUresult;
        cuModuleLoadData(*mut CUmodule, *const c_void) -> CUresult;
        cuModuleUnload(CUmodule) -> CUresult;
        cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char) -> CUresult;
        cuFuncGetAttribute(*mut c_int, CUfunction_attribute, CUfunction) -> CUresult;
        cuLaunchKernel(
            CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void
        ) -> CUresult;
        cuEventCreate(*mut CUevent, c_uint) -> CUresult;
        cuEventRecord(CUevent, CUstream) -> CUresult;
        cuEventSynchronize(CUevent) -> CUresult;
        cuEventElapsedTime(*mut f32, CUevent, CUevent) -> CUresult;
        cuEventDestroy_v2(CUevent) -> CUresult;
        cuGetErrorName(CUresult, *mut *const c_char) -> CUresult;
        cuGetErrorString(CUresult, *mut *const c_char) -> CUresult;
    }
}

library! {
    /// The run-time compiler; a program is an opaque pointer, 0 means success.
    #[allow(missing_docs)]
    CompilerLibrary {
        nvrtcVersion(*mut c_int, *mut c_int) -> c_int;
        nvrtcCreateProgram(
            *mut *mut c_void, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
        ) -> c_int;
        nvrtcCompileProgram(*mut c_void, c_int, *const *const c_char) -> c_int;
        nvrtcGetCUBINSize(*mut c_void, *mut usize) -> c_int;
        nvrtcGetCUBIN(*mut c_void, *mut c_char) -> c_int;
        nvrtcGetPTXSize(*mut c_void, *mut usize) -> c_int;
        nvrtcGetPTX(*mut c_void, *mut c_char) -> c_int;
        nvrtcGetNumSupportedArchs(*mut c_int) -> c_int;
        nvrtcGetSupportedArchs(*mut c_int) -> c_int;
        nvrtcGetProgramLogSize(*mut c_void, *mut usize) -> c_int;
        nvrtcGetProgramLog(*mut c_void, *mut c_char) -> c_int;
        nvrtcDestroyProgram(*mut *mut c_void) -> c_int;
    }
}

library! {
    /// Matrix products; descriptions are opaque pointers, 0 means success.
    #[allow(missing_docs)]
    ProductLibrary {
        cublasLtGetVersion() -> usize;
        cublasLtCreate(*mut *mut c_void) -> c_int;
        cublasLtDestroy(*mut c_void) -> c_int;
        cublasLtMatmulDescCreate(*mut *mut c_void, c_int, c_int) -> c_int;
        cublasLtMatmulDescSetAttribute(*mut c_void, c_int, *const c_void, usize) -> c_int;
        cublasLtMatmulDescDestroy(*mut c_void) -> c_int;
        cublasLtMatrixLayoutCreate(*mut *mut c_void, c_int, u64, u64, i64) -> c_int;
        cublasLtMatrixLayoutSetAttribute(*mut c_void, c_int, *const c_void, usize) -> c_int;
        cublasLtMatrixLayoutDestroy(*mut c_void) -> c_int;
        cublasLtMatmulPreferenceCreate(*mut *mut c_void) -> c_int;
        cublasLtMatmulPreferenceSetAttribute(*mut c_void, c_int, *const c_void, usize) -> c_int;
        cublasLtMatmulPreferenceDestroy(*mut c_void) -> c_int;
        cublasLtMatmulAlgoGetHeuristic(
            *mut c_void, *mut c_void, *mut c_void, *mut c_void, *mut c_void, *mut c_void, *mut c_void, c_int, *mut Proposal,
            *mut c_int
        ) -> c_int;
        cublasLtMatmul(
            *mut c_void, *mut c_void, *const c_void, *const c_void, *mut c_void, *const c_void, *mut c_void, *const c_void,
            *const c_void, *mut c_void, *mut c_void, *mut c_void, *const Algorithm, *mut c_void, usize, *mut c_void
        ) -> c_int;
    }
}
