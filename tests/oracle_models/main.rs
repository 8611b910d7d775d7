//! The models of `models/` against PyTorch: for every reference folder the weights are loaded by their names, then outputs,
//! losses, the gradient of every parameter and loss curves of 20 steps with four optimizers are compared, on both targets.
//! Without the reference folders (`models/` in the directory that NNC_ORACLE names, or in a folder beside this crate) the test
//! says so and passes. NNC_ORACLE_ONLY picks folders by the beginning of their names.

mod folder;
mod forms;
#[path = "../common/literal.rs"]
mod literal;
mod run;
#[path = "../common/target.rs"]
mod target;

use std::path::Path;
use std::time::Instant;

use nnc::driver::{self, Options};
use nnc::engine::{Entry, Target};

use folder::{Folder, Tensor, norm};
use forms::Form;
use run::{Run, STEPS, Scratch, Times};

/// Errors relative to the reference, forward and of what comes after it.
const FORWARD: f64 = 1e-5;
const BACKWARD: f64 = 1e-4;

/// The worst error of each kind.
#[derive(Default)]
struct Errors {
    outputs: f64,
    loss: f64,
    norms: f64,
    gradients: f64,
    /// SGD, with momentum, Adam, AdamW.
    curves: Vec<f64>,
    last: f64,
    faults: Vec<String>,
}

impl Errors {
    /// Notes an error and, if it is too large, a fault.
    fn see(faults: &mut Vec<String>, worst: &mut f64, what: &str, error: f64, limit: f64) {
        *worst = worst.max(error);
        if error.is_nan() || error > limit {
            *worst = if error.is_nan() { f64::INFINITY } else { *worst };
            faults.push(format!("{what}: an error of {error:.1e}"));
        }
    }
}

fn relative(found: f64, wanted: f64, least: f64) -> f64 {
    (found - wanted).abs() / wanted.abs().max(least)
}

/// The largest difference relative to the largest number of the reference.
fn error(found: &Tensor, wanted: &Tensor) -> Result<f64, String> {
    if found.shape != wanted.shape {
        return Err(format!("the shape is {:?}, not {:?}", found.shape, wanted.shape));
    }
    let size = wanted.values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let differences = found.values.iter().zip(&wanted.values).map(|(a, b)| (a - b).abs());
    Ok(differences.fold(0.0, |m: f64, d| if d.is_nan() { f64::NAN } else { m.max(d) }) / size)
}

fn compare(folder: &Folder, form: &Form, target: Target) -> Result<(Errors, Times, f64), String> {
    let scratch = Scratch::of(folder)?;
    let mut errors = Errors::default();

    let curves = folder.json["curves"].as_object().ok_or("no curves")?;
    let mut step_time = 0.0;
    let mut times = Times::default();
    for (i, (name, curve)) in curves.iter().enumerate() {
        let text = run::text(folder, form, &run::optimizer(name, &curve["params"])?)?;
        let explain = |why: String| format!("{why}\n{text}");
        if i == 0 {
            outputs(folder, form, &text, &scratch, target, &mut errors).map_err(explain)?;
        }
        let faults = &mut errors.faults;
        let mut run = Run::new(&text, &scratch, "train", target, i == 0).map_err(explain)?;
        if i == 0 {
            times = run.times;
            run.step(folder, Entry::Eval, 0)?;
            let error = relative(run.scalar(0), folder.number("loss_eval")?, 1e-6);
            Errors::see(faults, &mut errors.loss, "the loss in evaluation", error, FORWARD);
        }
        let wanted: Vec<f64> = curve["loss"].as_array().into_iter().flatten().filter_map(|v| v.as_f64()).collect();
        if wanted.len() as u64 != STEPS {
            return Err(format!("the curve {name} has {} steps", wanted.len()));
        }
        // Where PyTorch itself differs between f32 and f64, as it may at kinks, nothing closer can be asked for.
        let limit = BACKWARD.max(10.0 * curve["f32_dev"].as_f64().unwrap_or(0.0));
        let mut worst = 0.0;
        let started = Instant::now();
        for (step, wanted) in wanted.iter().enumerate() {
            run.step(folder, Entry::Train, step as u64)?;
            let found = run.scalar(0);
            let error = relative(found, *wanted, 1e-2 * folder.number("loss_eval")?.abs());
            Errors::see(
                faults,
                &mut worst,
                &format!("{name}, step {step}, {found} where PyTorch has {wanted}"),
                error,
                limit,
            );
            if step == 0 {
                let error = relative(found, folder.number("loss_train_first")?, 1e-6);
                Errors::see(faults, &mut errors.loss, "the loss in training", error, FORWARD);
            }
            if i == 0 && step == 0 {
                gradients(folder, &run, faults, &mut errors.norms, &mut errors.gradients)?;
            }
        }
        if i == curves.len() - 1 {
            step_time = started.elapsed().as_secs_f64() * 1e3 / STEPS as f64;
        }
        errors.curves.push(worst);
        let wanted = curve["final_norm"].as_f64().ok_or("no final norm")?;
        let error = relative(run.norm(), wanted, 1e-6);
        Errors::see(faults, &mut errors.last, &format!("{name}, the norm at the end"), error, BACKWARD);
    }
    Ok((errors, times, step_time))
}

fn outputs(
    folder: &Folder,
    form: &Form,
    text: &str,
    scratch: &Scratch,
    target: Target,
    errors: &mut Errors,
) -> Result<(), String> {
    let mut run = Run::new(text, scratch, "show", target, false)?;
    run.step(folder, Entry::Eval, 0)?;
    for (position, (name, _)) in form.outputs.iter().enumerate() {
        let error = error(&run.result(position), folder.tensor(&format!("out.{name}"))?)?;
        Errors::see(&mut errors.faults, &mut errors.outputs, name, error, FORWARD);
    }
    let missing =
        folder.tensors.keys().filter_map(|n| n.strip_prefix("out.")).find(|n| !form.outputs.iter().any(|o| o.0 == *n));
    if let Some(name) = missing {
        return Err(format!("nothing gives `{name}`"));
    }
    greedy(folder, &mut run)
}

/// What a language model says when it always takes the likeliest token.
fn greedy(folder: &Folder, run: &mut Run) -> Result<(), String> {
    let ids = |name: &str| -> Option<Vec<f64>> {
        folder.json["greedy"][name].as_array().map(|a| a.iter().filter_map(|v| v.as_f64()).collect())
    };
    let (Some(prompt), Some(wanted)) = (ids("prompt"), ids("tokens")) else { return Ok(()) };
    let mut batch = folder.tensor("in.ids")?.clone();
    let length = batch.shape[1];
    let mut said = prompt;
    while said.len() < wanted.len().min(length) {
        // What stands behind a token does not change what it says.
        batch.values.fill(0.0);
        batch.values[..said.len()].copy_from_slice(&said);
        run.show(batch.shape[0], batch.rows(0, batch.shape[0]))?;
        let scores = run.result(0);
        let vocab = scores.shape[2];
        let at = &scores.values[(said.len() - 1) * vocab..said.len() * vocab];
        let best = (0..vocab).max_by(|a, b| at[*a].total_cmp(&at[*b])).unwrap_or(0);
        said.push(best as f64);
    }
    match said == wanted[..said.len()] {
        true => Ok(()),
        false => Err(format!("it says {said:?} where PyTorch says {wanted:?}")),
    }
}

fn gradients(
    folder: &Folder,
    run: &Run,
    faults: &mut Vec<String>,
    norms: &mut f64,
    small: &mut f64,
) -> Result<(), String> {
    let found = run.gradients();
    let wanted = folder.json["grad_norms"].as_object().ok_or("no norms of gradients")?;
    if let Some(name) = wanted.keys().find(|n| !found.contains_key(*n)) {
        return Err(format!("no parameter has the gradient of `{name}`: {:?}", found.keys()));
    }
    if let Some(name) = found.keys().find(|n| !wanted.contains_key(*n)) {
        return Err(format!("PyTorch has no gradient of `{name}`"));
    }
    let all: Vec<f64> = wanted.values().filter_map(|v| v.as_f64()).collect();
    // What is 0 but for rounding is compared with the rest.
    let least = 1e-4 * norm(&all);
    for (name, wanted) in wanted {
        let wanted = wanted.as_f64().ok_or("a norm that is no number")?;
        let error = relative(norm(&found[name].values), wanted, least);
        Errors::see(faults, norms, &format!("the gradient's norm of {name}"), error, BACKWARD);
    }
    for (name, wanted) in folder.tensors.iter().filter_map(|(n, t)| Some((n.strip_prefix("grad.")?, t))) {
        let error = error(&found[name], wanted)?;
        Errors::see(faults, small, &format!("the gradient of {name}"), error, BACKWARD);
    }
    Ok(())
}

/// Without reference folders, too.
#[test]
fn models_have_no_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let entries = std::fs::read_dir(&folder).expect("the folder can be read");
    let files: Vec<_> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "nn")).collect();
    assert!(files.len() > 10, "{files:?}");
    let list = std::fs::read_to_string(folder.join("README.md")).expect("the list can be read");
    for file in files {
        let checked = driver::check_file(&file, &Options::default()).expect("the file can be read");
        let found: Vec<_> = checked.diagnostics.iter().map(|d| (&d.headline, d.primary.as_ref())).collect();
        assert!(found.is_empty(), "{}: {found:?}", file.display());
        assert!(!checked.program.models.is_empty(), "{} has no model", file.display());
        let name = file.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
        assert!(list.contains(&format!("[`{name}`]({name})")), "models/README.md does not list {name}");
    }
}

#[test]
fn models_agree_with_pytorch() {
    let Some(folders) = folder::folders() else {
        eprintln!("SKIPPED: no reference models; set NNC_ORACLE to a directory with a folder `models`");
        return;
    };
    let only = std::env::var("NNC_ORACLE_ONLY").unwrap_or_default();
    let mut faults = Vec::new();
    let mut table = format!(
        "{:22} {:11} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}  {:>6} {:>8} {:>7}\n",
        "model",
        "target",
        "outputs",
        "loss",
        "norms",
        "grads",
        "sgd",
        "moment",
        "adam",
        "adamw",
        "end",
        "check",
        "compile",
        "step"
    );
    for path in &folders {
        let folder = Folder::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if !folder.name.starts_with(&only) {
            continue;
        }
        let form = match forms::of(&folder) {
            Ok(form) => form,
            Err(why) => {
                faults.push(format!("{}: {why}", folder.name));
                continue;
            }
        };
        for target in [target::tested(), Target::Interpreter] {
            let name = format!("{:22} {:11}", folder.name, format!("{target:?}").to_lowercase());
            match compare(&folder, &form, target) {
                Err(why) => {
                    table += &format!("{name} FAILS\n");
                    faults.push(format!("{name}: {why}"));
                }
                Ok((errors, times, step)) => {
                    let mut cells = vec![errors.outputs, errors.loss, errors.norms, errors.gradients];
                    cells.extend(&errors.curves);
                    cells.push(errors.last);
                    let cells: String = cells.iter().map(|e| format!(" {e:7.1e}")).collect();
                    table += &format!("{name}{cells}  {:6.1} {:8.1} {step:7.2}\n", times.check, times.compile);
                    faults.extend(errors.faults.iter().map(|f| format!("{name}: {f}")));
                }
            }
        }
    }
    assert!(table.lines().count() > 1, "nothing was compared");
    eprintln!("worst relative errors; milliseconds of a check, a compilation and a step\n{table}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
