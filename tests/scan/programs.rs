//! Programs with `scan`, run on a chosen target with values for their fields.

use nnc::check::{self, DataFacts, DataValue, Facts, FieldFacts, Program};
use nnc::diag::Diagnostic;
use nnc::engine::{ClockValues, CpuEngine, CudaEngine, Engine, Entry, InterpreterEngine, StepInputs, Target, bytes};
use nnc::ops::DType;
use nnc::source::Sources;
use nnc::syntax;

/// A field of the source `given`.
#[derive(Clone)]
pub struct Field {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

struct Given<'f>(&'f [Field]);

impl DataFacts for Given<'_> {
    fn is_source(&self, name: &str) -> bool {
        name == "given"
    }

    fn names(&self) -> Vec<String> {
        vec!["given".into()]
    }

    fn facts(&self, _: &DataValue) -> Result<Facts, Box<Diagnostic>> {
        let field = |f: &Field| FieldFacts {
            name: f.name.clone(),
            dtype: f.dtype,
            shape: f.shape.iter().map(|n| Some(*n)).collect(),
            sizes: Vec::new(),
            varying: false,
            classes: None,
        };
        Ok(Facts { fields: self.0.iter().map(field).collect(), count: Some(1), ..Facts::default() })
    }
}

/// Checks a text.
pub fn check(text: &str, fields: &[Field]) -> (Program, Vec<Diagnostic>, Sources) {
    let mut sources = Sources::default();
    let file = sources.add("test.nn", text);
    let (tree, mut found) = syntax::parse(text, file);
    let (program, more) = check::check(&mut sources, tree, &Given(fields));
    found.extend(more);
    (program, found, sources)
}

/// Checks a text without faults.
pub fn sound(text: &str, fields: &[Field]) -> Program {
    let (program, found, sources) = check(text, fields);
    let messages: Vec<String> = found
        .iter()
        .map(|d| format!("{} {:?}", d.headline, d.primary.as_ref().map(|p| sources.place(p.span))))
        .collect();
    assert!(messages.is_empty(), "{messages:#?}\n{text}");
    program
}

pub fn engine(program: &Program, task: &str, target: Target, threads: usize) -> Box<dyn Engine> {
    let task = program.task(task).expect("the task");
    let made: Result<Box<dyn Engine>, _> = match target {
        Target::Interpreter => InterpreterEngine::new(program, task).map(|e| Box::new(e) as Box<dyn Engine>),
        Target::Cpu => CpuEngine::new(program, task, threads).map(|e| Box::new(e) as Box<dyn Engine>),
        Target::Cuda => CudaEngine::new(program, task).map(|e| Box::new(e) as Box<dyn Engine>),
    };
    let mut engine = made.unwrap_or_else(|fault| panic!("{fault:?}"));
    engine.initialise(7).unwrap_or_else(|fault| panic!("{fault:?}"));
    engine
}

pub fn field_bytes(program: &Program, task: &str, fields: &[Field]) -> Vec<Vec<u8>> {
    let used = &program.task(task).expect("the task").fields;
    let of = |name: &str| fields.iter().find(|f| f.name == name).expect("the field");
    used.iter().map(|f| bytes::from_f64(f.dtype, of(&f.name).values.iter().copied())).collect()
}

/// The values of the task `predict`, each with its bytes.
pub fn predict(text: &str, fields: &[Field], target: Target, threads: usize) -> Vec<(Vec<f64>, Vec<u8>)> {
    let program = sound(text, fields);
    let mut engine = engine(&program, "predict", target, threads);
    let given = field_bytes(&program, "predict", fields);
    let inputs = StepInputs { fields: &given, clock: ClockValues::default(), seed: 3, lengths: &[] };
    engine.run(Entry::Eval, 1, &inputs).unwrap_or_else(|fault| panic!("{fault:?}"));
    let count = program.task("predict").map_or(0, |t| t.eval.reports.len());
    (0..count)
        .map(|i| {
            let value = engine.value(i);
            (bytes::to_f64(value.dtype, &value.bytes), value.bytes)
        })
        .collect()
}

/// A field of numbers between -1 and 1.
pub fn field(name: &str, shape: &[usize]) -> Field {
    let count: usize = shape.iter().product();
    let seed = name.bytes().map(usize::from).sum::<usize>();
    let values = (0..count).map(|i| f64::from(((i * 31 + seed * 7) % 41) as f32 / 20.5 - 1.0)).collect();
    Field { name: name.into(), dtype: DType::F32, shape: shape.to_vec(), values }
}
