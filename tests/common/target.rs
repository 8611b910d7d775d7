//! The target that tests of whole programs look at: the processor, or what NNC_TEST_TARGET names, such as `cuda` where there is
//! a GPU or something that stands in for one (`tests/standin/run`).

use nnc::engine::Target;

/// The target under test.
pub fn tested() -> Target {
    let Ok(name) = std::env::var("NNC_TEST_TARGET") else { return Target::Cpu };
    Target::from_name(&name).unwrap_or_else(|| panic!("NNC_TEST_TARGET: there is no target `{name}`"))
}
