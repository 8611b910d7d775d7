//! Whether this machine has a CUDA driver: nothing comes in, out come the names of its devices. Never panics: no driver
//! function is called unless the driver's library was found.

use cudarc::driver::{result, sys};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuda {
    NoDriver,
    /// There is a driver, but it says this.
    Broken(String),
    /// The names of its devices.
    Devices(Vec<String>),
}

/// Looks for the driver and asks it for its devices.
pub fn probe() -> Cuda {
    // SAFETY: loads the driver's library by its well-known names, as every CUDA program does, and drops it again; its
    // initialisers are the vendor's.
    if !unsafe { sys::is_culib_present() } {
        return Cuda::NoDriver;
    }
    let ask = || {
        result::init()?;
        let count = result::device::get_count()?;
        (0..count).map(|i| result::device::get_name(result::device::get(i)?)).collect::<Result<Vec<_>, _>>()
    };
    match ask() {
        Ok(names) => Cuda::Devices(names),
        Err(e) => {
            Cuda::Broken(e.error_name().map_or_else(|_| "unknown".to_string(), |n| n.to_string_lossy().into_owned()))
        }
    }
}
