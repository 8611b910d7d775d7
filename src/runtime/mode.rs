//! How steps go to a device.

/// How steps are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Launch by launch instead of as a graph.
    pub no_graph: bool,
    /// Wait after each launch, so that a failure is told with its place in the program.
    pub checked: bool,
    /// All products are our own kernels, even if the vendor's library is there.
    pub own_products: bool,
}

impl Mode {
    /// As the environment variable `NNC_CUDA` says: `no-graph`, `checked`, `own-products`; what is run by other programs takes it so.
    pub fn from_environment() -> Mode {
        let text = std::env::var("NNC_CUDA").unwrap_or_default();
        let has = |word: &str| text.split(',').any(|w| w.trim() == word);
        Mode { no_graph: has("no-graph") || has("checked"), checked: has("checked"), own_products: has("own-products") }
    }
}
