//! Reference cases: their tensors and parameters, read from the directory of vectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::literal::written;
use nnc::ops::DType;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The directory that the variable NNC_ORACLE names, or a folder beside this crate.
pub fn directory() -> Option<PathBuf> {
    let given = std::env::var_os("NNC_ORACLE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle");
    given.into_iter().chain([beside]).find(|path| path.join("index.json").is_file())
}

#[derive(Clone)]
pub struct Tensor {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

pub struct Case {
    pub id: String,
    pub op: String,
    pub params: Value,
    pub grads: Vec<String>,
    pub tensors: BTreeMap<String, Tensor>,
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_string)).collect()
}

pub fn load(directory: &Path, entry: &Value) -> Option<Case> {
    let text = |name: &str| entry[name].as_str().map(str::to_string);
    let bools = names(&entry["bool"]);
    let bytes = std::fs::read(directory.join(text("file")?)).ok()?;
    let file = SafeTensors::deserialize(&bytes).ok()?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let (dtype, values): (DType, Vec<f64>) = match view.dtype() {
            Dtype::F32 => {
                (DType::F32, data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect())
            }
            Dtype::I64 => (DType::I32, data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect()),
            Dtype::U8 if bools.contains(&name) => (DType::Bool, data.iter().map(|b| f64::from(*b)).collect()),
            Dtype::U8 => (DType::I32, data.iter().map(|b| f64::from(*b)).collect()),
            other => panic!("{name}: a tensor of {other:?}"),
        };
        tensors.insert(name, Tensor { dtype, shape: view.shape().to_vec(), values });
    }
    let params = entry["params"].clone();
    Some(Case { id: text("id")?, op: text("op")?, params, grads: names(&entry["grads"]), tensors })
}

impl Case {
    pub fn input(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(&format!("in.{name}"))
    }

    pub fn has(&self, name: &str) -> bool {
        self.input(name).is_some()
    }

    pub fn shape(&self, name: &str) -> &[usize] {
        self.input(name).map_or(&[], |t| &t.shape)
    }

    pub fn rank(&self, name: &str) -> usize {
        self.shape(name).len()
    }

    pub fn inputs(&self) -> Vec<&str> {
        self.tensors.keys().filter_map(|name| name.strip_prefix("in.")).collect()
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.params[name].as_i64()
    }

    pub fn flag(&self, name: &str) -> bool {
        self.params[name] == Value::Bool(true)
    }

    pub fn word(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or("")
    }

    /// A number or a list of numbers as our language writes it.
    pub fn text(&self, name: &str) -> Option<String> {
        written(&self.params[name])
    }

    /// `, ours: value` for every parameter of these that is given, theirs and ours.
    pub fn args(&self, names: &[(&str, &str)]) -> String {
        let given = names.iter().filter_map(|(theirs, ours)| Some(format!(", {ours}: {}", self.text(theirs)?)));
        given.collect()
    }
}
