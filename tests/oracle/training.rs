//! Cases that are about training steps: optimizers, clipping, batch statistics; and schedules, which are about the clock.

use nnc::engine::{ClockValues, Entry};
use nnc::ops::DType;

use crate::case::{Case, Tensor};
use crate::literal::{written, written_tuple};
use crate::program::{Run, error};
use crate::{FORWARD, GRADIENT, targets};

fn clock(step: u64, steps: u64) -> ClockValues {
    ClockValues { step, epoch: step, steps, epoch_steps: 1 }
}

/// The case's verdict, if it is one of these.
pub fn run(case: &Case) -> Option<Result<(), String>> {
    if let Some(rule) = optimizer(case) {
        return Some(optimized(case, &rule));
    }
    if let Some(schedule) = schedule(case) {
        return Some(scheduled(case, &schedule));
    }
    match case.op.as_str() {
        "clip_grad_norm" => Some(clipped(case)),
        "sched_plateau" => Some(plateau(case)),
        "batch_norm" if case.flag("training") => Some(batch_norm(case)),
        _ => None,
    }
}

fn close(what: &str, found: &Tensor, wanted: &Tensor, limit: f64) -> Result<(), String> {
    match error(found, wanted) {
        Ok(worst) if worst <= limit => Ok(()),
        Ok(worst) => Err(format!("{what}: an error of {worst:.1e}")),
        Err(why) => Err(format!("{what}: {why}")),
    }
}

fn param(name: &str, tensor: &Tensor) -> String {
    let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
    format!("{name}: f32[{}] = 0", shape.join(", "))
}

// ---- optimizers ----

fn optimizer(case: &Case) -> Option<String> {
    let kind = case.op.strip_prefix("optim_")?;
    let name = match kind.split('_').next()? {
        "sgd" => "Sgd",
        "adam" => "Adam",
        "adamw" => "AdamW",
        "rmsprop" => "RmsProp",
        "adagrad" => "Adagrad",
        "adadelta" => "Adadelta",
        "lion" => "Lion",
        "nadam" => "NAdam",
        "radam" => "RAdam",
        "adamax" => "Adamax",
        "rprop" => "Rprop",
        _ => return None,
    };
    let mut args = Vec::new();
    for (theirs, value) in case.params.as_object()? {
        // What does not change the result.
        let how = ["torch_defaults", "steps", "foreach", "capturable", "differentiable", "fused"];
        if how.contains(&theirs.as_str()) {
            continue;
        }
        let value = match theirs.as_str() {
            "betas" | "etas" | "step_sizes" => written_tuple(value)?,
            _ => written(value)?,
        };
        let ours = if theirs == "initial_accumulator_value" { "initial" } else { theirs };
        args.push(format!("{ours}: {value}"));
    }
    Some(format!("{name}({})", args.join(", ")))
}

/// A model whose loss has given gradients: `sum(p * g)`.
fn given_gradients(case: &Case, params: &[String], gradient: impl Fn(&str) -> String, settings: &str) -> String {
    let mut text = String::from("model Case {\n");
    for name in params {
        let shape = &case.tensors[&gradient(name)];
        text += &format!("  param {}\n  state {}\n", param(name, shape), param(&format!("g_{name}"), shape));
    }
    let terms: Vec<String> = params.iter().map(|p| format!("sum({p} * g_{p})")).collect();
    text += &format!("  forward() {{ {} }}\n}}\n\n", terms.join(" + "));
    text + &format!("train {{\n  net = Case()\n  steps = 100\n  {settings}\n  step() {{ minimize net() }}\n}}\n")
}

fn optimized(case: &Case, rule: &str) -> Result<(), String> {
    let params: Vec<String> = (0..).map(|i| format!("p{i}")).take_while(|p| case.has(p)).collect();
    let steps = case.int("steps").unwrap_or(0) as u64;
    let gradient = |p: &str, t: u64| format!("in.g{}_{t}", &p[1..]);
    let text = given_gradients(case, &params, |p| gradient(p, 1), &format!("optimizer = {rule}"));
    let run = || -> Result<(), String> {
        for target in targets() {
            let mut run = Run::new(&text, "train", target)?;
            for p in &params {
                run.set(&format!("net.{p}"), &case.tensors[&format!("in.{p}")])?;
            }
            for t in 1..=steps {
                for p in &params {
                    run.set(&format!("net.g_{p}"), &case.tensors[&gradient(p, t)])?;
                }
                run.step(Entry::Train, clock(t - 1, 100))?;
                for p in &params {
                    let found = run.var(&format!("net.{p}")).ok_or("the parameter is gone")?;
                    let what = format!("{p} after step {t} on {target:?}");
                    close(&what, &found, &case.tensors[&format!("out.{p}_{t}")], FORWARD)?;
                }
            }
        }
        Ok(())
    };
    run().map_err(|why| format!("{why}\n{text}"))
}

/// A step of size 1 from 0 shows the clipped gradients.
fn clipped(case: &Case) -> Result<(), String> {
    let params: Vec<String> = (0..).map(|i| format!("g{i}")).take_while(|p| case.has(p)).collect();
    let most = case.text("max_norm").ok_or("no `max_norm`")?;
    let settings = format!("optimizer = Sgd(lr: 1.0)\n  clip_norm = {most}");
    let text = given_gradients(case, &params, |p| format!("in.{p}"), &settings);
    let run = || -> Result<(), String> {
        for target in targets() {
            let mut run = Run::new(&text, "train", target)?;
            for p in &params {
                run.set(&format!("net.g_{p}"), &case.tensors[&format!("in.{p}")])?;
            }
            run.step(Entry::Train, clock(0, 100))?;
            for p in &params {
                let mut found = run.var(&format!("net.{p}")).ok_or("the parameter is gone")?;
                found.values.iter_mut().for_each(|v| *v = -*v);
                close(p, &found, &case.tensors[&format!("out.y{}", &p[1..])], FORWARD)?;
            }
        }
        Ok(())
    };
    run().map_err(|why| format!("{why}\n{text}"))
}

// ---- batch statistics ----

fn batch_norm(case: &Case) -> Result<(), String> {
    let rank = case.rank("x");
    let layer = ["BatchNorm1d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"].get(rank - 2).ok_or("too many axes")?;
    let args = case.args(&[("momentum", "momentum"), ("eps", "eps")]);
    let x = &case.tensors["in.x"];
    let channels = &case.tensors["in.running_mean"];
    let weights: Vec<&str> = ["weight", "bias"].into_iter().filter(|n| case.has(n)).collect();
    let mut text = format!("model Case {{\n  body = {layer}(affine: {}{args})\n", case.has("weight"));
    for name in ["x", "ct", "y", "grad_x"] {
        text += &format!("  state {}\n", param(name, x));
    }
    for name in &weights {
        text += &format!("  state {}\n", param(&format!("grad_{name}"), channels));
    }
    // A step needs something to move.
    text += "  param dummy: f32[1] = 0\n  forward() {\n    made = body(x)\n    total = sum(made * ct)\n    y = made\n    \
             grad_x = grad(total, by: x)\n";
    for name in &weights {
        text += &format!("    grad_{name} = grad(total, by: body.{name})\n");
    }
    text += "    total + sum(dummy)\n  }\n}\n\n\
             train {\n  net = Case()\n  steps = 1\n  optimizer = Sgd(lr: 0.0)\n  step() { minimize net() }\n}\n";
    let run = || -> Result<(), String> {
        for target in targets() {
            let mut run = Run::new(&text, "train", target)?;
            run.set("net.x", x)?;
            run.set("net.ct", &case.tensors["ct.y"])?;
            for name in ["running_mean", "running_var"].iter().chain(&weights) {
                run.set(&format!("net.body.{name}"), &case.tensors[&format!("in.{name}")])?;
            }
            run.step(Entry::Train, clock(0, 1))?;
            let wanted = [
                ("net.y", "out.y", FORWARD),
                ("net.body.running_mean", "out.new_running_mean", FORWARD),
                ("net.body.running_var", "out.new_running_var", FORWARD),
                ("net.grad_x", "grad.x", GRADIENT),
                ("net.grad_weight", "grad.weight", GRADIENT),
                ("net.grad_bias", "grad.bias", GRADIENT),
            ];
            for (path, name, limit) in wanted {
                if let Some(wanted) = case.tensors.get(name) {
                    let found = run.var(path).ok_or_else(|| format!("no `{path}`"))?;
                    close(&format!("{name} on {target:?}"), &found, wanted, limit)?;
                }
            }
        }
        Ok(())
    };
    run().map_err(|why| format!("{why}\n{text}"))
}

// ---- schedules ----

/// The schedule as a call, and the steps of its run.
fn schedule(case: &Case) -> Option<(String, u64)> {
    let kind = case.op.strip_prefix("sched_")?;
    let get = |name: &str| case.text(name);
    let rate = get("base_lr")?;
    let steps = case.int("steps")? as u64;
    let whole = |name: &str| case.int(name).map(|n| n as u64);
    Some(match kind {
        "step" => {
            (format!("step_decay(clock, {rate}, every: {}, factor: {})", get("step_size")?, get("gamma")?), steps)
        }
        "multistep" => {
            (format!("multi_step(clock, {rate}, at: {}, factor: {})", get("milestones")?, get("gamma")?), steps)
        }
        "exponential" => (format!("exponential(clock, {rate}, factor: {})", get("gamma")?), steps),
        "cosine" => {
            let (to, period) = (get("eta_min").unwrap_or("0".into()), get("T_max")?);
            match whole("T_max")? >= steps {
                true => (format!("cosine(clock, {rate}, to: {to})"), whole("T_max")?),
                // There it comes up again after the end.
                false => (
                    format!("{to} + ({rate} - {to}) * 0.5 * (1 + cos(3.141592653589793 * clock.step / {period}))"),
                    steps,
                ),
            }
        }
        "cosine_restarts" => {
            let to = get("eta_min").unwrap_or("0".into());
            let grow = get("T_mult").unwrap_or("1".into());
            (format!("cosine_restarts(clock, {rate}, period: {}, to: {to}, grow: {grow})", get("T_0")?), steps)
        }
        "onecycle" => {
            let args = [("pct_start", "rise"), ("div_factor", "divide"), ("final_div_factor", "final")];
            let anneal = if case.word("anneal") == "linear" { "linear" } else { "cosine" };
            let rest = format!("anneal: {anneal}{}", case.args(&[("three_phase", "three_phase")]));
            (format!("one_cycle(clock, {}{}, {rest})", get("max_lr")?, case.args(&args)), whole("total_steps")?)
        }
        "linear_warmup_decay" => (format!("linear_decay(clock, {rate}, warmup: {})", get("warmup")?), whole("total")?),
        "warmup_cosine" => (format!("cosine(clock, {rate}, warmup: {})", get("warmup")?), whole("total")?),
        "linear" => {
            let args = case.args(&[("start_factor", "first"), ("end_factor", "last")]);
            (format!("linear_ramp(clock, {rate}, over: {}{args})", get("total_iters")?), steps)
        }
        "polynomial" => {
            (format!("polynomial(clock, {rate}, over: {}, power: {})", get("total_iters")?, get("power")?), steps)
        }
        "noam" => (format!("{rate} * noam(clock, width: {}, warmup: {})", get("d_model")?, get("warmup")?), steps),
        _ => return None,
    })
}

fn scheduled(case: &Case, (call, steps): &(String, u64)) -> Result<(), String> {
    let text = format!("predict {{\n  step() {{ f32({call}) }}\n}}\n");
    let run = || -> Result<(), String> {
        for target in targets() {
            let mut run = Run::new(&text, "predict", target)?;
            let wanted = &case.tensors["out.lr"];
            let mut found = Tensor { values: Vec::new(), ..wanted.clone() };
            for step in 0..wanted.values.len() as u64 {
                run.step(Entry::Eval, clock(step, *steps))?;
                found.values.extend(run.result(0).values);
            }
            close(&format!("the rates on {target:?}"), &found, wanted, FORWARD)?;
        }
        Ok(())
    };
    run().map_err(|why| format!("{why}\n{text}"))
}

/// A step of a parameter from 0 with the gradient 1 shows the rate; validations come between steps.
fn plateau(case: &Case) -> Result<(), String> {
    let names = ["factor", "patience", "mode", "threshold", "threshold_mode", "cooldown", "min_lr", "eps"];
    let args = case.args(&names.map(|n| (n, n)));
    let rate = case.text("base_lr").ok_or("no `base_lr`")?;
    let text = format!(
        "model Case {{\n  param p: f64[1] = 0\n  forward() {{ sum(p) }}\n}}\n\ntrain {{\n  net = Case()\n  steps = 100\n  \
         optimizer = Sgd(lr: ReduceLROnPlateau({rate}{args}))\n  step() {{ minimize net() }}\n}}\n"
    );
    let number = |shape: &[usize], value: f64| Tensor { dtype: DType::F64, shape: shape.to_vec(), values: vec![value] };
    let run = || -> Result<(), String> {
        for target in targets() {
            let mut run = Run::new(&text, "train", target)?;
            let wanted = &case.tensors["out.lr"];
            let mut found = Tensor { values: Vec::new(), ..wanted.clone() };
            for (step, metric) in case.tensors["in.metric"].values.iter().enumerate() {
                run.set("net.p", &number(&[1], 0.0))?;
                run.step(Entry::Train, clock(step as u64, 100))?;
                found.values.push(-run.var("net.p").ok_or("the parameter is gone")?.values[0]);
                run.set("clock.validated", &number(&[], step as f64 + 1.0))?;
                run.set("clock.figure", &number(&[], *metric))?;
            }
            close(&format!("the rates on {target:?}"), &found, wanted, FORWARD)?;
        }
        Ok(())
    };
    run().map_err(|why| format!("{why}\n{text}"))
}
