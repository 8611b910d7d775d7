//! One model's folder: its description, and the tensors that go in and should come out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::literal::written_tuple;
use nnc::ops::DType;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The models' folders in the directory that the variable NNC_ORACLE names, or in a folder beside this crate.
pub fn folders() -> Option<Vec<PathBuf>> {
    let given = std::env::var_os("NNC_ORACLE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle");
    let root = given.into_iter().chain([beside]).map(|p| p.join("models")).find(|p| p.is_dir())?;
    let entries = std::fs::read_dir(root).ok()?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.join("model.json").is_file()).collect();
    folders.sort();
    Some(folders)
}

#[derive(Clone, Debug)]
pub struct Tensor {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Tensor {
    /// Its rows from one to before another, as a field takes them.
    pub fn rows(&self, from: usize, to: usize) -> Vec<u8> {
        let row: usize = self.shape[1..].iter().product();
        nnc::engine::bytes::from_f64(self.dtype, self.values[from * row..to * row].iter().copied())
    }

    /// As NumPy's file format.
    pub fn npy(&self) -> Vec<u8> {
        let kind = if self.dtype == DType::F32 { "<f4" } else { "<i4" };
        let shape: String = self.shape.iter().map(|n| format!("{n},")).collect();
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
        while (header.len() + 11) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend(self.rows(0, self.shape[0]));
        file
    }
}

pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

pub struct Folder {
    pub path: PathBuf,
    pub name: String,
    /// `model.json`
    pub json: Value,
    /// The configuration there, and what else Hugging Face's own says.
    pub config: Value,
    /// `in.*`, `out.*`, `train.*`, `grad.*`
    pub tensors: BTreeMap<String, Tensor>,
}

impl Folder {
    pub fn read(path: &Path) -> Result<Folder, String> {
        let text = |name: &str| std::fs::read_to_string(path.join(name)).map_err(|e| format!("{name}: {e}"));
        let parsed = |text: String| serde_json::from_str::<Value>(&text).map_err(|e| e.to_string());
        let json = parsed(text("model.json")?)?;
        let mut config = if path.join("config.json").is_file() { parsed(text("config.json")?)? } else { Value::Null };
        match (&mut config, &json["config"]) {
            (Value::Object(all), Value::Object(own)) => all.extend(own.clone()),
            (config, own) => *config = own.clone(),
        }
        let bytes = std::fs::read(path.join("io.safetensors")).map_err(|e| e.to_string())?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let data = view.data();
            let (dtype, values) = match view.dtype() {
                Dtype::F32 => (
                    DType::F32,
                    data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect::<Vec<f64>>(),
                ),
                Dtype::I64 => {
                    (DType::I32, data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect())
                }
                other => return Err(format!("{name}: a tensor of {other:?}")),
            };
            tensors.insert(name, Tensor { dtype, shape: view.shape().to_vec(), values });
        }
        let name = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
        Ok(Folder { path: path.to_path_buf(), name, json, config, tensors })
    }

    pub fn tensor(&self, name: &str) -> Result<&Tensor, String> {
        self.tensors.get(name).ok_or_else(|| format!("io.safetensors has no `{name}`"))
    }

    /// The names of what goes in.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().filter_map(|n| n.strip_prefix("train."))
    }

    pub fn number(&self, name: &str) -> Result<f64, String> {
        self.json[name].as_f64().ok_or_else(|| format!("model.json has no number `{name}`"))
    }

    /// A whole number of the configuration.
    pub fn int(&self, name: &str) -> Result<u64, String> {
        self.config[name].as_u64().ok_or_else(|| format!("the configuration has no number `{name}`"))
    }

    /// `name: value` for each of these that the configuration has; ours, theirs.
    pub fn args(&self, names: &[(&str, &str)]) -> String {
        let given =
            names.iter().filter_map(|(ours, theirs)| Some(format!("{ours}: {}", written_tuple(&self.config[theirs])?)));
        given.collect::<Vec<_>>().join(", ")
    }
}
