//! One device: its context, a stream, memory. Nothing here panics: every call's failure becomes a sentence.

use super::ffi::DriverLibrary;
use super::find;
use super::products::Products;
use crate::plan::report::size;
use cudarc::driver::sys::{CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUresult, CUstream};
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;

/// The oldest driver interface that has everything: CUDA 12.0.
const OLDEST: i32 = 12000;
/// The oldest devices that kernels are compiled for: 7.5.
const OLDEST_ARCH: i32 = 75;

/// A device that can be used.
pub struct Device {
    pub driver: DriverLibrary,
    handle: CUdevice,
    context: CUcontext,
    pub stream: CUstream,
    pub name: String,
    /// `90` for sm_90.
    pub arch: i32,
    /// Bytes.
    pub memory: usize,
    /// The library of large products, where it is there.
    pub products: Option<Products>,
}

// SAFETY: the driver's functions may be called from any thread; the context is made current before each use.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// What is there, for people: the driver's version and its devices.
pub struct Survey {
    pub place: String,
    /// `12080` for 12.8.
    pub version: i32,
    /// Name, architecture, bytes of memory.
    pub devices: Vec<(String, i32, usize)>,
}

fn started() -> Result<(DriverLibrary, String, i32), String> {
    let found = find::driver()?;
    let driver = found.library;
    // SAFETY: the first call of all, without a condition.
    let result = unsafe { (driver.cuInit)(0) };
    match result {
        CUresult::CUDA_SUCCESS => {}
        CUresult::CUDA_ERROR_NO_DEVICE => return Err("the NVIDIA driver is there, but no GPU".to_string()),
        other => return Err(format!("the NVIDIA driver does not start: {}", describe(&driver, other))),
    }
    let mut version = 0;
    // SAFETY: the place for the answer is valid.
    check(&driver, unsafe { (driver.cuDriverGetVersion)(&mut version) }, "ask for the version")?;
    Ok((driver, found.place, version))
}

/// Looks at the machine.
///
/// # Errors
/// What is missing.
pub fn survey() -> Result<Survey, String> {
    let (driver, place, version) = started()?;
    let mut count = 0;
    // SAFETY: the place for the answer is valid.
    check(&driver, unsafe { (driver.cuDeviceGetCount)(&mut count) }, "count devices")?;
    let devices = (0..count).map(|i| about(&driver, i).map(|(_, name, arch, memory)| (name, arch, memory)));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    Ok(Survey { place, version, devices })
}

fn about(driver: &DriverLibrary, number: i32) -> Result<(CUdevice, String, i32, usize), String> {
    let mut handle = 0;
    let mut name = [0 as c_char; 256];
    let (mut major, mut minor, mut memory) = (0, 0, 0);
    use CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    // SAFETY: the driver has started, and the places for the answers are as large as they are said to be.
    unsafe {
        check(driver, (driver.cuDeviceGet)(&mut handle, number), "find the device")?;
        check(driver, (driver.cuDeviceGetName)(name.as_mut_ptr(), 255, handle), "ask for the device's name")?;
        check(driver, (driver.cuDeviceGetAttribute)(&mut major, MAJOR, handle), "ask for the architecture")?;
        check(driver, (driver.cuDeviceGetAttribute)(&mut minor, MINOR, handle), "ask for the architecture")?;
        check(driver, (driver.cuDeviceTotalMem_v2)(&mut memory, handle), "ask for the memory")?;
        Ok((handle, CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned(), 10 * major + minor, memory))
    }
}

fn describe(driver: &DriverLibrary, result: CUresult) -> String {
    let mut text: *const c_char = std::ptr::null();
    // SAFETY: the place for the answer is valid; the driver's texts live for ever.
    unsafe {
        let found = (driver.cuGetErrorString)(result, &mut text) == CUresult::CUDA_SUCCESS && !text.is_null();
        if found { CStr::from_ptr(text).to_string_lossy().into_owned() } else { format!("error {}", result as u32) }
    }
}

fn check(driver: &DriverLibrary, result: CUresult, what: &str) -> Result<(), String> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        other => Err(format!("the GPU could not {what}: {}", describe(driver, other))),
    }
}

impl Device {
    /// The first device.
    ///
    /// # Errors
    /// One sentence: no driver, an old driver, no GPU, a GPU that is too old.
    pub fn open() -> Result<Arc<Device>, String> {
        let (driver, _, version) = started()?;
        if version < OLDEST {
            let (major, minor) = (version / 1000, version % 1000 / 10);
            return Err(format!(
                "the NVIDIA driver is too old: it speaks CUDA {major}.{minor}, and 12.0 (driver 525) is needed"
            ));
        }
        let mut count = 0;
        // SAFETY: the place for the answer is valid.
        check(&driver, unsafe { (driver.cuDeviceGetCount)(&mut count) }, "count devices")?;
        if count == 0 {
            return Err("the NVIDIA driver is there, but no GPU".to_string());
        }
        let (handle, name, arch, memory) = about(&driver, 0)?;
        if arch < OLDEST_ARCH {
            let (major, minor) = (arch / 10, arch % 10);
            return Err(format!("{name} is too old: its architecture is {major}.{minor}, and 7.5 is needed"));
        }
        let (mut context, mut stream): (CUcontext, CUstream) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the device exists, and the places for the answers are valid. 1: no waiting for the default stream.
        unsafe {
            check(&driver, (driver.cuDevicePrimaryCtxRetain)(&mut context, handle), "start")?;
            check(&driver, (driver.cuCtxSetCurrent)(context), "start")?;
            check(&driver, (driver.cuStreamCreate)(&mut stream, 1), "make a stream")?;
        }
        // Whatever lacks, products can be computed without it.
        let products = Products::open();
        Ok(Arc::new(Device { driver, handle, context, stream, name, arch, memory, products }))
    }

    /// A call's result as a sentence.
    pub fn check(&self, result: CUresult, what: &str) -> Result<(), String> {
        check(&self.driver, result, what)
    }

    /// Makes the device this thread's.
    pub fn enter(&self) -> Result<(), String> {
        // SAFETY: the context lives as long as `self`.
        self.check(unsafe { (self.driver.cuCtxSetCurrent)(self.context) }, "be taken up")
    }

    /// Waits for everything that was begun.
    pub fn wait(&self) -> Result<(), String> {
        // SAFETY: the stream lives as long as `self`.
        self.check(unsafe { (self.driver.cuStreamSynchronize)(self.stream) }, "finish a step")
    }

    /// Free bytes of its memory.
    pub fn free(&self) -> usize {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the places for the answers are valid.
        let result = unsafe { (self.driver.cuMemGetInfo_v2)(&mut free, &mut total) };
        if result == CUresult::CUDA_SUCCESS { free } else { 0 }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: made in `open`; whatever uses them holds an `Arc` of this.
        unsafe {
            (self.driver.cuCtxSetCurrent)(self.context);
            self.products.iter_mut().for_each(Products::close);
            (self.driver.cuStreamDestroy_v2)(self.stream);
            (self.driver.cuDevicePrimaryCtxRelease_v2)(self.handle);
        }
    }
}

/// Memory of the device, zero at first.
pub struct Memory {
    device: Arc<Device>,
    pub at: CUdeviceptr,
    len: usize,
}

impl Memory {
    /// # Errors
    /// Too little memory.
    pub fn new(device: &Arc<Device>, len: usize, what: &str) -> Result<Memory, String> {
        device.enter()?;
        let mut at = 0;
        let bytes = len.max(256);
        // SAFETY: the place for the answer is valid.
        let result = unsafe { (device.driver.cuMemAlloc_v2)(&mut at, bytes) };
        if result == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            return Err(format!(
                "{} has too little memory: {what} needs {}, {} of {} are free",
                device.name,
                size(bytes),
                size(device.free()),
                size(device.memory)
            ));
        }
        device.check(result, "give memory")?;
        let memory = Memory { device: device.clone(), at, len };
        // SAFETY: just allocated with at least so many bytes.
        device.check(unsafe { (device.driver.cuMemsetD8Async)(at, 0, bytes, device.stream) }, "clear memory")?;
        Ok(memory)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes from the device, after everything that was begun.
    ///
    /// # Errors
    /// A range outside, or a failure of the device.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), String> {
        self.inside(offset, into.len())?;
        let d = &self.device;
        d.enter()?;
        if into.is_empty() {
            return Ok(());
        }
        let from = self.at + offset as u64;
        // SAFETY: both ranges are valid, and the wait comes before anybody looks.
        d.check(
            unsafe { (d.driver.cuMemcpyDtoHAsync_v2)(into.as_mut_ptr().cast::<c_void>(), from, into.len(), d.stream) },
            "be read",
        )?;
        d.wait()
    }

    /// Bytes to the device, after everything that was begun.
    ///
    /// # Errors
    /// A range outside, or a failure of the device.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), String> {
        self.inside(offset, bytes.len())?;
        let d = &self.device;
        d.enter()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let to = self.at + offset as u64;
        // SAFETY: both ranges are valid, and the wait comes before `bytes` can go.
        d.check(
            unsafe { (d.driver.cuMemcpyHtoDAsync_v2)(to, bytes.as_ptr().cast::<c_void>(), bytes.len(), d.stream) },
            "be written",
        )?;
        d.wait()
    }

    /// Takes over what the beginning of another memory holds, as much as there is room for.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn copy_from(&self, other: &Memory) -> Result<(), String> {
        let (d, bytes) = (&self.device, self.len.min(other.len));
        d.enter()?;
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both ranges are valid, and the wait comes before either can go.
        d.check(unsafe { (d.driver.cuMemcpyDtoDAsync_v2)(self.at, other.at, bytes, d.stream) }, "copy memory")?;
        d.wait()
    }

    fn inside(&self, offset: usize, len: usize) -> Result<(), String> {
        if offset.checked_add(len).is_some_and(|end| end <= self.len) {
            return Ok(());
        }
        Err(format!("bytes {offset} to {} of {}", offset + len, self.len))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`; what is still running is waited for first.
        unsafe {
            let _ = self.device.enter();
            (self.device.driver.cuStreamSynchronize)(self.device.stream);
            (self.device.driver.cuMemFree_v2)(self.at);
        }
    }
}

/// Memory of the host that the device reads by itself, with an event that says when it has.
pub struct Pinned {
    device: Arc<Device>,
    at: *mut u8,
    len: usize,
    read: CUevent,
}

// SAFETY: it owns its memory, like a `Vec<u8>`.
unsafe impl Send for Pinned {}

impl Pinned {
    /// # Errors
    /// Too little memory.
    pub fn new(device: &Arc<Device>, len: usize) -> Result<Pinned, String> {
        device.enter()?;
        let (mut at, mut read): (*mut c_void, CUevent) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the places for the answers are valid. 2: no timing.
        unsafe {
            device.check((device.driver.cuMemHostAlloc)(&mut at, len.max(64), 0), "give memory of the host")?;
            device.check((device.driver.cuEventCreate)(&mut read, 2), "make an event")?;
        }
        // SAFETY: just allocated.
        unsafe { at.cast::<u8>().write_bytes(0, len.max(64)) };
        Ok(Pinned { device: device.clone(), at: at.cast(), len, read })
    }

    /// The bytes, once the device has read what was there.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8], String> {
        // SAFETY: the event lives as long as `self`; one that was never recorded counts as over.
        self.device.check(unsafe { (self.device.driver.cuEventSynchronize)(self.read) }, "take a step's inputs")?;
        // SAFETY: the allocation has `len` bytes, all initialised; the borrow is unique.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.at, self.len) })
    }

    /// Begins to copy everything to the device.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn send(&self, to: &Memory) -> Result<(), String> {
        let d = &self.device;
        to.inside(0, self.len)?;
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: both ranges are valid; `bytes_mut` waits for the event, and so does `drop`.
        unsafe {
            d.check(
                (d.driver.cuMemcpyHtoDAsync_v2)(to.at, self.at.cast(), self.len, d.stream),
                "take a step's inputs",
            )?;
            d.check((d.driver.cuEventRecord)(self.read, d.stream), "take a step's inputs")
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`; nobody reads it any more after the wait.
        unsafe {
            let _ = self.device.enter();
            (self.device.driver.cuEventSynchronize)(self.read);
            (self.device.driver.cuEventDestroy_v2)(self.read);
            (self.device.driver.cuMemFreeHost)(self.at.cast());
        }
    }
}
