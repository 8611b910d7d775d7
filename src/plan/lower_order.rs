//! The order of launches. In: steps with the buffers they read and write. Out: an order in which writers come before
//! readers, updates of variables as early as they can, and everything else as in the program.

use super::lower::Pending;
use super::{BufferId, EpilogueWork, Work};
use crate::codegen::loops::Access;
use std::collections::BTreeSet;

/// What the order depends on.
pub(super) struct Step {
    pub reads: Vec<BufferId>,
    pub writes: Vec<BufferId>,
    /// Steps that must come before for other reasons than reading what they write.
    pub after: Vec<usize>,
    /// The place in the program.
    pub key: u32,
}

impl Step {
    pub fn of(pending: &Pending, key: u32) -> Step {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        match pending {
            Pending::Loops(kernel, args) => {
                for (arg, decl) in args.iter().zip(&kernel.buffers) {
                    match decl.access {
                        Access::Read => reads.push(*arg),
                        _ => writes.push(*arg),
                    }
                }
            }
            Pending::Runtime(work, _) => {
                reads = work.reads();
                writes = work.writes();
            }
        }
        Step { reads, writes, after: Vec::new(), key }
    }
}

/// For each step, the steps that wait for it.
fn followers(steps: &[&Step]) -> Vec<Vec<usize>> {
    let mut out = vec![Vec::new(); steps.len()];
    let buffers = steps.iter().flat_map(|s| s.reads.iter().chain(&s.writes)).map(|b| b.0 as usize + 1).max();
    let mut writers = vec![Vec::new(); buffers.unwrap_or(0)];
    for (i, step) in steps.iter().enumerate() {
        step.writes.iter().for_each(|b| writers[b.0 as usize].push(i));
    }
    for (i, step) in steps.iter().enumerate() {
        for b in &step.reads {
            for &w in &writers[b.0 as usize] {
                // A reader of a variable's old value is listed in the writer's `after` instead.
                if w != i && !steps[w].after.contains(&i) {
                    out[w].push(i);
                }
            }
        }
        step.after.iter().filter(|&&a| a != i).for_each(|&a| out[a].push(i));
    }
    out
}

/// Who reads, writes and waits, kept up to date while steps change, so that a change costs no look at all steps.
#[derive(Default)]
pub(super) struct Uses {
    readers: Vec<Vec<usize>>,
    writers: Vec<Vec<usize>>,
    /// For each step, those that have it in their `after`.
    waiting: Vec<Vec<usize>>,
}

impl Uses {
    pub fn of<'a>(steps: impl Iterator<Item = &'a Step>) -> Uses {
        let mut uses = Uses::default();
        steps.enumerate().for_each(|(i, step)| uses.add(i, step));
        uses
    }

    /// The steps that read a buffer, in order.
    pub fn readers(&self, buffer: BufferId) -> &[usize] {
        self.readers.get(buffer.0 as usize).map_or(&[], |list| list)
    }

    /// The steps that write a buffer, in order.
    pub fn writers(&self, buffer: BufferId) -> &[usize] {
        self.writers.get(buffer.0 as usize).map_or(&[], |list| list)
    }

    pub fn add(&mut self, number: usize, step: &Step) {
        let places = places(step);
        for (list, at) in places {
            let lists = self.lists(list);
            if lists.len() <= at {
                lists.resize(at + 1, Vec::new());
            }
            if let Err(place) = lists[at].binary_search(&number) {
                lists[at].insert(place, number);
            }
        }
    }

    /// Forgets what a step was before it changes.
    pub fn remove(&mut self, number: usize, step: &Step) {
        for (list, at) in places(step) {
            if let Some(users) = self.lists(list).get_mut(at)
                && let Ok(place) = users.binary_search(&number)
            {
                users.remove(place);
            }
        }
    }

    fn lists(&mut self, list: List) -> &mut Vec<Vec<usize>> {
        match list {
            List::Readers => &mut self.readers,
            List::Writers => &mut self.writers,
            List::Waiting => &mut self.waiting,
        }
    }

    /// Whether any of `to` comes after any of `from` for certain.
    pub fn reach<'a>(&self, step: impl Fn(usize) -> &'a Step, from: &[usize], to: &[usize]) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = from.to_vec();
        while let Some(at) = open.pop() {
            let waiting = self.waiting.get(at).into_iter().flatten();
            let reading = step(at).writes.iter().flat_map(|b| self.readers(*b));
            // A reader of a variable's old value is listed in the writer's `after` instead.
            let reading = reading.filter(|&&i| i != at && !step(at).after.contains(&i));
            for &next in waiting.chain(reading) {
                if to.contains(&next) {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    }
}

#[derive(Clone, Copy)]
enum List {
    Readers,
    Writers,
    Waiting,
}

/// Where a step is listed.
fn places(step: &Step) -> Vec<(List, usize)> {
    let reads = step.reads.iter().map(|b| (List::Readers, b.0 as usize));
    let writes = step.writes.iter().map(|b| (List::Writers, b.0 as usize));
    reads.chain(writes).chain(step.after.iter().map(|&a| (List::Waiting, a))).collect()
}

/// The order of execution.
pub(super) fn order(steps: &[&Step]) -> Vec<usize> {
    let followers = followers(steps);
    let mut missing = vec![0usize; steps.len()];
    followers.iter().flatten().for_each(|&f| missing[f] += 1);
    // A step that ends a value's life (all its results overwrite something that outlives the step) goes first.
    let rank = |i: usize| (!steps[i].after.is_empty() && steps[i].key != u32::MAX, steps[i].key);
    let entry = |i: usize| (!rank(i).0, rank(i).1, i);
    let mut ready: BTreeSet<(bool, u32, usize)> = (0..steps.len()).filter(|&i| missing[i] == 0).map(entry).collect();
    let mut out = Vec::new();
    while let Some((_, _, i)) = ready.pop_first() {
        out.push(i);
        for &f in &followers[i] {
            missing[f] -= 1;
            if missing[f] == 0 {
                ready.insert(entry(f));
            }
        }
    }
    out
}

impl Work {
    /// Buffers that a runtime kernel reads; empty for loops, whose kernel knows.
    pub fn reads(&self) -> Vec<BufferId> {
        match self {
            Work::Loops { .. } => Vec::new(),
            Work::Matmul { a, b, epilogue, c, packed, .. } => {
                let more = epilogue.iter().flat_map(|e| e.args.iter().copied()).filter(|x| x != c);
                [a.buffer, b.buffer].into_iter().chain(*packed).chain(more).collect()
            }
            Work::Conv { inputs, epilogue, output, packed, .. } => {
                let more = epilogue.iter().flat_map(|e| e.args.iter().copied()).filter(|x| x != output);
                inputs.iter().copied().chain(*packed).chain(more).collect()
            }
            Work::Repeat(repeat) => {
                let bound = repeat.bindings.iter().filter(|b| !b.written).map(|b| b.buffer);
                bound.chain(repeat.starts.iter().map(|s| s.0)).collect()
            }
        }
    }

    /// Buffers that a runtime kernel writes; empty for loops, whose kernel knows.
    pub fn writes(&self) -> Vec<BufferId> {
        match self {
            Work::Loops { .. } => Vec::new(),
            Work::Matmul { c: output, workspace, .. } | Work::Conv { output, workspace, .. } => {
                std::iter::once(*output).chain(*workspace).collect()
            }
            Work::Repeat(repeat) => {
                let bound = repeat.bindings.iter().filter(|b| b.written).map(|b| b.buffer);
                bound.chain(repeat.workspace).collect()
            }
        }
    }

    /// All buffers of the work.
    pub fn buffers(&self) -> Vec<BufferId> {
        match self {
            Work::Loops { args, .. } => args.clone(),
            _ => [self.writes(), self.reads()].concat(),
        }
    }

    pub fn epilogue_mut(&mut self) -> Option<&mut EpilogueWork> {
        self.epilogue_slot().and_then(Option::as_mut)
    }

    /// Where a runtime kernel's epilogue is or would be.
    pub(super) fn epilogue_slot(&mut self) -> Option<&mut Option<EpilogueWork>> {
        match self {
            Work::Loops { .. } | Work::Repeat(_) => None,
            Work::Matmul { epilogue, .. } | Work::Conv { epilogue, .. } => Some(epilogue),
        }
    }

    /// Replaces buffers.
    pub fn map_buffers(&mut self, f: &mut impl FnMut(&mut BufferId)) {
        match self {
            Work::Loops { args, .. } => args.iter_mut().for_each(f),
            Work::Matmul { a, b, c, epilogue, workspace, packed, .. } => {
                f(&mut a.buffer);
                f(&mut b.buffer);
                f(c);
                epilogue.iter_mut().flat_map(|e| &mut e.args).for_each(&mut *f);
                workspace.iter_mut().chain(packed).for_each(f);
            }
            Work::Conv { inputs, output, epilogue, workspace, packed, .. } => {
                inputs.iter_mut().for_each(&mut *f);
                f(output);
                epilogue.iter_mut().flat_map(|e| &mut e.args).for_each(&mut *f);
                workspace.iter_mut().chain(packed).for_each(f);
            }
            Work::Repeat(repeat) => {
                repeat.bindings.iter_mut().for_each(|b| f(&mut b.buffer));
                for (from, to) in &mut repeat.starts {
                    f(from);
                    f(to);
                }
                repeat.workspace.iter_mut().for_each(f);
            }
        }
    }
}
