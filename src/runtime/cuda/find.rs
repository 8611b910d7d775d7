//! Where the CUDA libraries are. In: the environment. Out: the driver and the run-time compiler, loaded, with the places that they
//! came from, or one sentence that says what is missing and how to get it.

use super::ffi::{CompilerLibrary, DriverLibrary, ProductLibrary};
use libloading::Library;
use std::path::{Path, PathBuf};

/// The environment variable that names a folder with the libraries, before all other places.
pub const FOLDER: &str = "NNC_CUDA_DIR";

const DRIVER: &[&str] = if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1", "libcuda.so"] };
const COMPILER: &[&str] = if cfg!(windows) {
    &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
} else {
    &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
};

const PRODUCTS: &[&str] = if cfg!(windows) {
    &["cublasLt64_13.dll", "cublasLt64_12.dll"]
} else {
    &["libcublasLt.so.13", "libcublasLt.so.12"]
};

/// A library and where it is.
pub struct Found<T> {
    pub library: T,
    pub place: String,
}

fn open(path: &Path) -> Option<Library> {
    // SAFETY: the vendor's library, by its well-known name; its initialisers are the vendor's.
    unsafe { Library::new(path) }.ok()
}

/// The driver.
///
/// # Errors
/// What is missing.
pub fn driver() -> Result<Found<DriverLibrary>, String> {
    let mut places: Vec<PathBuf> = Vec::new();
    if let Some(folder) = std::env::var_os(FOLDER) {
        places.extend(DRIVER.iter().map(|n| Path::new(&folder).join(n)));
    }
    places.extend(DRIVER.iter().map(PathBuf::from));
    for place in places {
        let Some(library) = open(&place) else { continue };
        let place = place.display().to_string();
        let old = |symbol| format!("the NVIDIA driver is too old: it has no {symbol}; a driver from 525 on is needed");
        return DriverLibrary::new(library).map(|library| Found { library, place }).map_err(old);
    }
    Err("no NVIDIA driver was found on this machine".to_string())
}

/// The run-time compiler.
///
/// # Errors
/// What is missing, and how to get it.
pub fn compiler() -> Result<Found<CompilerLibrary>, String> {
    for place in places(COMPILER) {
        // The compiler loads a helper by its bare name, which is found if it is there already.
        if let Some(folder) = place.parent().filter(|f| !f.as_os_str().is_empty()) {
            helpers(folder).iter().filter_map(|p| open(p)).for_each(std::mem::forget);
        }
        let Some(library) = open(&place) else { continue };
        let place = place.display().to_string();
        let lacks = |symbol| format!("{place} is too old: it has no {symbol}");
        return CompilerLibrary::new(library).map_err(lacks).map(|library| Found { library, place: place.clone() });
    }
    Err("NVIDIA's run-time compiler (NVRTC) was not found; `pip install nvidia-cuda-nvrtc-cu12` or the CUDA toolkit has it"
        .to_string())
}

/// The library of matrix products; there need not be one.
pub fn products() -> Option<Found<ProductLibrary>> {
    places(PRODUCTS).into_iter().find_map(|place| {
        let library = ProductLibrary::new(open(&place)?).ok()?;
        Some(Found { library, place: place.display().to_string() })
    })
}

/// Libraries in a folder that the compiler needs.
fn helpers(folder: &Path) -> Vec<PathBuf> {
    let name = |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found: Vec<PathBuf> = list(folder)
        .into_iter()
        .filter(|p| name(p).starts_with("libnvrtc-builtins.so") || name(p).starts_with("nvrtc-builtins"))
        .collect();
    found.sort();
    found
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect();
    found.sort();
    found
}

/// Where a library may be, by its names.
fn places(names: &[&str]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(std::env::var_os(FOLDER).map(PathBuf::from));
    let mut places: Vec<PathBuf> = folders.iter().flat_map(|f| names.iter().map(move |n| f.join(n))).collect();
    places.extend(names.iter().map(PathBuf::from));
    let mut folders: Vec<PathBuf> = Vec::new();
    for root in ["CUDA_PATH", "CUDA_HOME"] {
        folders.extend(std::env::var_os(root).map(|r| Path::new(&r).join("lib64")));
    }
    folders.push(PathBuf::from("/usr/local/cuda/lib64"));
    folders.extend(python_folders());
    places.extend(folders.iter().flat_map(|f| names.iter().map(move |n| f.join(n))));
    places
}

/// `site-packages/nvidia/*/lib` of the active environment and of the `python3` on the path.
fn python_folders() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        roots.extend(std::env::var_os(variable).map(PathBuf::from));
    }
    if let Some(path) = std::env::var_os("PATH") {
        let python = std::env::split_paths(&path).map(|p| p.join("python3")).find(|p| p.exists());
        // As it is called, and as it is: an environment's python is a link.
        for python in [python.clone(), python.and_then(|p| p.canonicalize().ok())].into_iter().flatten() {
            roots.extend(python.parent().and_then(Path::parent).map(Path::to_path_buf));
        }
    }
    roots.dedup();
    let mut folders = Vec::new();
    for root in roots {
        for version in list(&root.join("lib")) {
            for packages in ["site-packages", "dist-packages"] {
                folders.extend(list(&version.join(packages).join("nvidia")).into_iter().map(|p| p.join("lib")));
            }
        }
    }
    folders
}
