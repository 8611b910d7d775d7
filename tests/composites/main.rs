//! Everything in the standard library, from its own declarations: arguments are drawn with random sizes, 0 and 1 among them, with
//! shapes that stretch, and its gradients by inputs and by parameters are compared with finite differences, in f64 on the
//! interpreter, and with those of the CPU. What cannot be compared is listed with the reason.

mod compare;
mod declarations;
mod draw;
mod tables;
#[path = "../common/target.rs"]
mod target;

use std::collections::{BTreeMap, BTreeSet};

use compare::{Seen, Verdict};
use declarations::{Item, items, tensor_type};
use draw::{Case, Phase, Random};
use nnc::ops::DType;
use nnc::syntax::ast::{Param, TypeKind};

/// What became of an item in one phase.
#[derive(Default)]
struct Outcome {
    fine: usize,
    seen: BTreeMap<String, Seen>,
    wrong: Option<String>,
    /// Why the last sample without a comparison had none.
    reason: String,
}

/// The names of an item's inputs that are floats.
fn inputs(item: &Item) -> Vec<String> {
    let one = |p: &Param| -> Vec<String> {
        let name = &p.name.name;
        match p.ty.as_ref().map(|t| (t, &t.kind)) {
            Some((_, TypeKind::Tuple(parts))) => (0..parts.len()).map(|i| format!("in_{name}_{i}")).collect(),
            Some((ty, _)) if tensor_type(ty).is_some_and(|t| t.0 == DType::F64) => vec![format!("in_{name}")],
            _ => Vec::new(),
        }
    };
    item.params.iter().flat_map(one).collect()
}

/// A sample's verdict; of what panics the message.
fn verdict(case: &Case, both: bool, random: &mut Random) -> Verdict {
    let run = std::panic::AssertUnwindSafe(|| compare::verdict(case, both, random));
    std::panic::catch_unwind(run).unwrap_or_else(|fault| {
        Verdict::Wrong(fault.downcast_ref::<String>().map_or("it panics".to_string(), |s| format!("it panics: {s}")))
    })
}

/// The inputs and own parameters of an item that get a gradient.
fn wanted(item: &Item, phase: Phase) -> Vec<String> {
    let severed = |name: &String| tables::SEVERED.iter().any(|s| s.0 == item.name && format!("in_{}", s.1) == *name);
    let own = item.own.iter().filter(|_| phase == Phase::Training).map(|p| format!("body.{p}"));
    inputs(item).into_iter().filter(|n| !severed(n)).chain(own).collect()
}

fn tried(number: usize, item: &Item, phase: Phase) -> Outcome {
    // So many that could be compared are enough, if each input and parameter had its part.
    let enough: usize = std::env::var("NNC_SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut outcome = Outcome::default();
    let wanted = wanted(item, phase);
    for sample in 0..13 * enough as u64 {
        let moved = |name: &String| outcome.seen.get(name).is_some_and(|s| s.moved);
        if outcome.fine >= enough && outcome.seen.values().all(|s| s.moved) && wanted.iter().all(moved) {
            break;
        }
        let mut random = Random(100_000 * number as u64 + 2 * sample + u64::from(phase == Phase::Training));
        match draw::case(item, phase, None, &mut random) {
            Err(why) => outcome.reason = why,
            Ok(case) => match verdict(&case, outcome.fine == 0, &mut random) {
                Verdict::Empty(why) => outcome.reason = why,
                Verdict::Wrong(why) => {
                    outcome.wrong = Some(format!("{} ({phase:?}): {why}\n{}", item.name, case.text));
                    return outcome;
                }
                Verdict::Fine(seen) => {
                    if seen.values().any(|s| s.elements > 0) {
                        outcome.fine += 1;
                    } else {
                        outcome.reason = "nothing to take a gradient by".into();
                    }
                    for (name, one) in seen {
                        let all = outcome.seen.entry(name).or_default();
                        all.elements += one.elements;
                        all.moved |= one.moved;
                    }
                }
            },
        }
    }
    outcome
}

/// Whether this run leaves an item out.
fn left_out(item: &Item) -> bool {
    std::env::var("NNC_ONLY").is_ok_and(|o| o != item.name) || tables::TOO_LARGE.iter().any(|t| t.0 == item.name)
}

#[test]
fn gradients_of_the_library_agree_with_differences() {
    let listed = |name: &str| tables::NOT_COMPARED.iter().any(|(_, names)| names.contains(&name));
    let (mut wrong, mut faults, mut fine) = (Vec::new(), Vec::new(), 0);
    for (number, item) in items().iter().enumerate().filter(|(_, item)| !left_out(item)) {
        let name = &item.name;
        let mut compared = false;
        for phase in [Phase::Evaluation, Phase::Training] {
            if (phase == Phase::Training && !item.trains)
                || (phase == Phase::Evaluation && item.trains && inputs(item).is_empty())
            {
                continue;
            }
            let outcome = tried(number, item, phase);
            let place = format!("{name} ({phase:?})");
            fine += outcome.fine;
            if outcome.wrong.is_some() {
                wrong.extend(outcome.wrong);
                continue;
            }
            if listed(&place) && outcome.fine > 0 {
                faults.push(format!("{place} can be compared: it need not be listed"));
            }
            if outcome.fine == 0 {
                if !listed(name) && !listed(&place) {
                    faults.push(format!("no sample of {place} could be compared: {}", outcome.reason));
                }
                continue;
            }
            compared = true;
            for input in wanted(item, phase).iter().filter(|i| !outcome.seen.get(*i).is_some_and(|s| s.moved)) {
                faults.push(format!("no sample of {place} has a gradient by `{input}`"));
            }
            for (input, _) in outcome.seen.iter().filter(|(_, s)| !s.moved) {
                faults.push(format!("the gradient of {place} by `{input}` is always 0"));
            }
        }
        if compared && listed(name) {
            faults.push(format!("{name} can be compared: it need not be listed"));
        }
    }
    eprintln!("{fine} samples agree");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What the tables name exists, and inputs that are said to get no gradient get none.
#[test]
fn lists_are_needed() {
    let items = items();
    let names: BTreeSet<&str> = items.iter().map(|i| i.name.as_str()).collect();
    let mut named: Vec<&str> = tables::NOT_COMPARED.iter().flat_map(|(_, names)| *names).copied().collect();
    named.extend(tables::TOO_LARGE.iter().map(|t| t.0).chain(tables::FEWEST.iter().map(|t| t.0)));
    named.extend(tables::GIVEN.iter().map(|t| t.0).filter(|n| n.contains('.')));
    named.extend(tables::STRETCHED.iter().map(|t| t.0).chain(tables::SIZES.iter().map(|t| t.0)));
    named.extend(tables::DOMAINS.iter().map(|t| t.0).chain(tables::ONLY.iter().map(|t| t.0)));
    let named = named.into_iter().filter_map(|n| n.split(['.', ' ']).next());
    let gone: Vec<&str> = named.filter(|n| !names.contains(n)).collect();
    assert!(gone.is_empty(), "the library does not have {gone:?}");
    for (name, input, why) in tables::SEVERED {
        let item = items.iter().find(|i| i.name == *name).expect("an item of the library");
        let mut said = String::new();
        for sample in 0..20 {
            let mut random = Random(sample);
            let Ok(case) = draw::case(item, Phase::Evaluation, Some(input), &mut random) else { continue };
            match verdict(&case, false, &mut random) {
                Verdict::Fine(seen) => {
                    assert!(!seen.values().any(|s| s.moved), "`{input}` of {name} moves it, not so that {why}")
                }
                Verdict::Empty(why) | Verdict::Wrong(why) => said = why,
            }
        }
        assert!(!said.is_empty(), "no sample of {name}");
    }
}
