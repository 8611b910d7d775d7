//! Targets: where a task runs.

/// What executes the graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Target {
    /// Machine code for this processor.
    #[default]
    Cpu,
    /// Kernels on an NVIDIA GPU.
    Cuda,
    /// The graph, operation by operation, in double precision: slow, and the reference for everything else.
    Interpreter,
}

impl Target {
    pub const ALL: &[Target] = &[Target::Cpu, Target::Cuda, Target::Interpreter];

    pub fn name(self) -> &'static str {
        match self {
            Target::Cpu => "cpu",
            Target::Cuda => "cuda",
            Target::Interpreter => "interpreter",
        }
    }

    pub fn from_name(name: &str) -> Option<Target> {
        Target::ALL.iter().copied().find(|t| t.name() == name)
    }
}
