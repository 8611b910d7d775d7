//! Places for buffers. In: a schedule. Out: a plan in which every buffer has an offset, no two buffers that are alive at
//! the same time overlap, and the arena is about as small as it can be.

use super::lower::{Pending, can_merge, replace};
use super::{Buffer, BufferId, BufferKind, Plan, Repeat, Schedule, VarLayout, Work, keep, lanes};
use crate::codegen::loops::{Access, Kernel};
use crate::graph::TensorType;
use crate::ops::DType;
use std::collections::HashMap;

/// Offsets are multiples of this many bytes.
pub const ALIGN: usize = 64;

/// Bytes of scratch memory that a runtime kernel needs.
pub trait WorkspaceSizes {
    fn bytes(&self, work: &Work) -> usize;

    /// Bytes of a product's right operand or a convolution's weights if they are packed ahead; 0 if that is of no use.
    fn packed_bytes(&self, _: &Work) -> usize {
        0
    }

    /// Whether weights that no launch writes are packed once and kept, which takes as much memory again.
    fn keeps_weights(&self) -> bool {
        false
    }

    /// Whether rows of a recurrence that never meet go to threads of their own.
    fn in_lanes(&self) -> bool {
        true
    }

    /// The same kernels where each launch has one thread.
    fn of_lane(&self) -> Box<dyn WorkspaceSizes> {
        Box::new(NoWorkspace)
    }
}

/// For kernels that bring their own scratch memory.
pub struct NoWorkspace;

impl WorkspaceSizes for NoWorkspace {
    fn bytes(&self, _: &Work) -> usize {
        0
    }
}

fn aligned(bytes: usize) -> usize {
    let skew = if bytes >= 32768 { 9 * ALIGN } else { 0 };
    bytes.next_multiple_of(ALIGN) + skew
}

/// Places of the variables of a task, by number.
pub fn var_layout(types: &[TensorType<usize>]) -> VarLayout {
    let mut bytes = 0;
    let mut offsets = Vec::new();
    for ty in types {
        offsets.push(bytes);
        bytes += aligned(ty.bytes());
    }
    VarLayout { offsets, bytes }
}

/// Gives every buffer its place.
pub fn plan(schedule: Schedule, vars: &VarLayout, sizes: &dyn WorkspaceSizes) -> Plan {
    let mut schedule = schedule;
    plan_bodies(&mut schedule, sizes);
    reuse_in_place(&mut schedule);
    if sizes.keeps_weights() {
        keep::keep_weights(&mut schedule, sizes);
    }
    add_workspaces(&mut schedule, sizes);
    let lifetimes = lifetimes(&schedule);
    place_all(schedule, vars, lifetimes)
}

/// Plans the steps of a recurrence: what is the same for all of them is packed ahead, and where rows do not meet, each
/// run of rows has its own part of every buffer all the time, so that none waits for another.
fn plan_body(repeat: &mut Repeat, sizes: &dyn WorkspaceSizes) {
    let mut schedule = std::mem::take(&mut repeat.body.schedule);
    plan_bodies(&mut schedule, sizes);
    reuse_in_place(&mut schedule);
    repeat.lanes = lanes::lanes(&schedule).filter(|_| sizes.in_lanes());
    let lane = repeat.lanes.map(|_| sizes.of_lane());
    lanes::pack_ahead(&mut schedule, repeat, lane.as_deref().unwrap_or(sizes));
    let lifetimes = match (repeat.lanes, &lane) {
        (Some(lanes), Some(sizes)) => {
            lanes::add_workspace(&mut schedule, lanes, &**sizes);
            vec![(0, schedule.launches.len()); schedule.buffers.len()]
        }
        _ => {
            add_workspaces(&mut schedule, sizes);
            lifetimes(&schedule)
        }
    };
    repeat.body = place_all(schedule, &VarLayout::default(), lifetimes);
}

fn plan_bodies(schedule: &mut Schedule, sizes: &dyn WorkspaceSizes) {
    for launch in &mut schedule.launches {
        if let Work::Repeat(repeat) = &mut launch.work {
            plan_body(repeat, sizes);
        }
    }
}

fn place_all(schedule: Schedule, vars: &VarLayout, lifetimes: Vec<(usize, usize)>) -> Plan {
    let sizes: Vec<usize> = schedule.buffers.iter().map(|b| aligned(b.bytes())).collect();
    let placed: Vec<usize> = (0..sizes.len()).filter(|&i| schedule.buffers[i].kind.in_arena()).collect();
    let lower_bound = (0..=schedule.launches.len())
        .map(|t| placed.iter().filter(|&&i| lives(lifetimes[i], t)).map(|&i| sizes[i]).sum())
        .max()
        .unwrap_or(0);
    let (mut offsets, arena_bytes) = pack(&placed, &sizes, &lifetimes, lower_bound);
    let (mut constants, mut kept_bytes) = (0, 0);
    for (i, buffer) in schedule.buffers.iter().enumerate() {
        match buffer.kind {
            BufferKind::Var(v) => offsets[i] = vars.offsets.get(v.0 as usize).copied().unwrap_or(0),
            BufferKind::Constant(_) => {
                offsets[i] = constants;
                constants += sizes[i];
            }
            BufferKind::Kept(_) => {
                offsets[i] = kept_bytes;
                kept_bytes += sizes[i];
            }
            _ => {}
        }
    }
    Plan { schedule, offsets, lifetimes, arena_bytes, kept_bytes, lower_bound }
}

fn lives((first, last): (usize, usize), at: usize) -> bool {
    (first..=last).contains(&at)
}

fn add_workspaces(schedule: &mut Schedule, sizes: &dyn WorkspaceSizes) {
    for launch in &mut schedule.launches {
        let bytes = match &launch.work {
            Work::Repeat(repeat) => repeat.body.arena_bytes,
            work => sizes.bytes(work),
        };
        let slot = match &mut launch.work {
            Work::Loops { .. } => continue,
            Work::Matmul { workspace, .. } | Work::Conv { workspace, .. } => workspace,
            Work::Repeat(repeat) => &mut repeat.workspace,
        };
        if bytes > 0 && slot.is_none() {
            let (kind, dtype) = (BufferKind::Workspace, DType::U8);
            let buffer = Buffer { kind, dtype, len: bytes, shape: vec![bytes], origin: launch.origin };
            *slot = Some(BufferId(schedule.buffers.len() as u32));
            schedule.buffers.push(buffer);
        }
    }
}

/// First and last launch that use each buffer.
fn uses(schedule: &Schedule) -> Vec<Option<(usize, usize)>> {
    let mut uses: Vec<Option<(usize, usize)>> = vec![None; schedule.buffers.len()];
    for (t, launch) in schedule.launches.iter().enumerate() {
        for b in launch.work.buffers() {
            let slot = &mut uses[b.0 as usize];
            *slot = Some((slot.map_or(t, |s| s.0), t));
        }
    }
    uses
}

fn lifetimes(schedule: &Schedule) -> Vec<(usize, usize)> {
    let end = schedule.launches.len();
    let uses = uses(schedule);
    let life = |(b, used): (&Buffer, Option<(usize, usize)>)| match b.kind {
        BufferKind::Temporary | BufferKind::Workspace => used.unwrap_or((0, 0)),
        BufferKind::Value(_) => (used.map_or(0, |u| u.0), end),
        _ => (0, end),
    };
    schedule.buffers.iter().zip(uses).map(life).collect()
}

/// Lets a result take the place of an operand that dies there, where each element is read before it is written.
fn reuse_in_place(schedule: &mut Schedule) {
    let mut shared: HashMap<String, usize> = HashMap::new();
    let key = |k: &Kernel| Kernel { name: String::new(), ..k.clone() }.to_string();
    for (i, kernel) in schedule.kernels.iter().enumerate() {
        shared.insert(key(kernel), i);
    }
    let mut life = uses(schedule);
    for t in 0..schedule.launches.len() {
        let Work::Loops { kernel, args } = &schedule.launches[t].work else { continue };
        let code = &schedule.kernels[*kernel];
        let temporary = |b: BufferId| schedule.buffers[b.0 as usize].kind == BufferKind::Temporary;
        let first = |b: BufferId| life[b.0 as usize].map(|l| l.0) == Some(t);
        let last = |b: BufferId| life[b.0 as usize].map(|l| l.1) == Some(t);
        let pair = args.iter().enumerate().find_map(|(i, &new)| {
            if code.buffers[i].access != Access::Write || !temporary(new) || !first(new) {
                return None;
            }
            let fits = |&&old: &&BufferId| temporary(old) && last(old) && can_merge(code, args, new, old);
            args.iter().find(fits).map(|&old| (new, old))
        });
        let Some((new, old)) = pair else { continue };
        let mut pending = Pending::Loops(code.clone(), args.clone());
        replace(&mut pending, new, old);
        if let Pending::Loops(merged, args) = pending {
            let kernels = &mut schedule.kernels;
            let kernel = *shared.entry(key(&merged)).or_insert_with(|| {
                kernels.push(Kernel { name: format!("{}.inplace", merged.name), ..merged });
                kernels.len() - 1
            });
            schedule.launches[t].work = Work::Loops { kernel, args };
        }
        if let (Some(old), Some(new)) = (life[old.0 as usize], &mut life[new.0 as usize]) {
            new.0 = old.0;
        }
        life[old.0 as usize] = life[new.0 as usize];
        for launch in &mut schedule.launches[t + 1..] {
            launch.work.map_buffers(&mut |b| {
                if *b == new {
                    *b = old;
                }
            });
        }
    }
    drop_unused(schedule);
}

/// Drops kernels and buffers that no launch uses any more.
fn drop_unused(schedule: &mut Schedule) {
    let mut kernels = vec![None; schedule.kernels.len()];
    let mut buffers: Vec<bool> = schedule.buffers.iter().map(|b| matches!(b.kind, BufferKind::Value(_))).collect();
    for launch in &mut schedule.launches {
        launch.work.buffers().iter().for_each(|b| buffers[b.0 as usize] = true);
        if let Work::Loops { kernel, .. } = launch.work {
            kernels[kernel] = Some(0);
        } else if let Some(epilogue) = launch.work.epilogue_mut() {
            kernels[epilogue.kernel] = Some(0);
        }
    }
    let mut kept = Vec::new();
    for (i, kernel) in std::mem::take(&mut schedule.kernels).into_iter().enumerate() {
        if kernels[i].is_some() {
            kernels[i] = Some(kept.len());
            kept.push(kernel);
        }
    }
    schedule.kernels = kept;
    let mut place = Vec::new();
    let mut count = 0;
    for used in &buffers {
        place.push(BufferId(count));
        count += u32::from(*used);
    }
    let mut used = buffers.iter();
    schedule.buffers.retain(|_| used.next().copied().unwrap_or(true));
    for launch in &mut schedule.launches {
        launch.work.map_buffers(&mut |b| *b = place[b.0 as usize]);
        if let Work::Loops { kernel, .. } = &mut launch.work {
            *kernel = kernels[*kernel].unwrap_or(0);
        } else if let Some(epilogue) = launch.work.epilogue_mut() {
            epilogue.kernel = kernels[epilogue.kernel].unwrap_or(0);
        }
    }
}

/// The best of several greedy packings, each with some exchanges tried in a fixed pseudo-random order.
fn pack(placed: &[usize], sizes: &[usize], lives: &[(usize, usize)], bound: usize) -> (Vec<usize>, usize) {
    let span = |i: usize| lives[i].1 - lives[i].0 + 1;
    let mut orders: Vec<Vec<usize>> = vec![placed.to_vec(); 4];
    orders[0].sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), std::cmp::Reverse(span(i)), i));
    orders[1].sort_by_key(|&i| (std::cmp::Reverse(span(i)), std::cmp::Reverse(sizes[i]), i));
    orders[2].sort_by_key(|&i| (std::cmp::Reverse(sizes[i] as u128 * span(i) as u128), i));
    orders[3].sort_by_key(|&i| (lives[i].0, std::cmp::Reverse(sizes[i]), i));
    let tries = orders.iter().map(|o| place(o, sizes, lives));
    let Some((which, mut best)) = tries.enumerate().min_by_key(|(_, p)| p.1) else { return (Vec::new(), 0) };
    let mut order = orders.swap_remove(which);
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut draw = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    // Effort is bounded: the packing of n buffers looks at n * n pairs.
    let rounds = (4_000_000 / (order.len() * order.len() + 1)).min(400);
    for _ in 0..rounds {
        if best.1 <= bound || order.len() < 2 {
            break;
        }
        // Whoever reaches the top goes earlier.
        let top: Vec<usize> = (0..order.len()).filter(|&k| best.0[order[k]] + sizes[order[k]] == best.1).collect();
        let from = top.get(draw(top.len().max(1))).copied().unwrap_or(0);
        let to = draw(order.len());
        let mut other = order.clone();
        let moved = other.remove(from);
        other.insert(to, moved);
        let tried = place(&other, sizes, lives);
        if tried.1 <= best.1 {
            (order, best) = (other, tried);
        }
    }
    best
}

/// Each buffer in turn at the lowest gap that fits.
fn place(order: &[usize], sizes: &[usize], lives: &[(usize, usize)]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; sizes.len()];
    let mut done: Vec<usize> = Vec::new();
    let mut top = 0;
    for &i in order {
        // `done` is sorted by offset.
        let mut at = 0;
        for &j in &done {
            if lives[j].0 <= lives[i].1 && lives[i].0 <= lives[j].1 {
                if offsets[j] >= at + sizes[i] {
                    break;
                }
                at = at.max(offsets[j] + sizes[j]);
            }
        }
        offsets[i] = at;
        top = top.max(at + sizes[i]);
        let place = done.partition_point(|&j| offsets[j] <= at);
        done.insert(place, i);
    }
    (offsets, top)
}

/// Checks a body's plan, and that the buffers that it is bound to are as large as its steps need.
fn verify_repeat(repeat: &Repeat, around: &Schedule) -> Result<(), String> {
    verify(&repeat.body)?;
    let workspace = repeat.workspace.map_or(0, |w| around.buffers[w.0 as usize].bytes());
    if workspace < repeat.body.arena_bytes {
        return Err(format!("the body's {} bytes do not fit in {workspace}", repeat.body.arena_bytes));
    }
    for buffer in &repeat.body.schedule.buffers {
        if let BufferKind::Outer(n) = buffer.kind {
            let bound = repeat.bindings.get(n as usize).map(|b| (b, &around.buffers[b.buffer.0 as usize]));
            let fits = bound.is_some_and(|(b, outer)| {
                let last = if b.stride == 0 { 0 } else { repeat.count.saturating_sub(1) * b.stride };
                outer.dtype == buffer.dtype && (repeat.count == 0 || last + buffer.len <= outer.len)
            });
            if !fits {
                return Err(format!("binding {n} does not fit {}[{}]", buffer.dtype, buffer.len));
            }
        }
    }
    Ok(())
}

/// Checks that buffers lie inside the arena, aligned, and that no two that are alive together overlap.
pub fn verify(plan: &Plan) -> Result<(), String> {
    let s = &plan.schedule;
    if plan.offsets.len() != s.buffers.len() || plan.lifetimes.len() != s.buffers.len() {
        return Err("a buffer has no place".to_string());
    }
    let arena: Vec<usize> = (0..s.buffers.len()).filter(|&i| s.buffers[i].kind.in_arena()).collect();
    for (t, launch) in s.launches.iter().enumerate() {
        if let Work::Repeat(repeat) = &launch.work {
            verify_repeat(repeat, s).map_err(|why| format!("launch {t}: {why}"))?;
        }
        for b in launch.work.buffers() {
            if !lives(plan.lifetimes[b.0 as usize], t) {
                return Err(format!("launch {t} uses buffer {} outside its life", b.0));
            }
        }
    }
    for (k, &i) in arena.iter().enumerate() {
        let (start, end) = (plan.offsets[i], plan.offsets[i] + s.buffers[i].bytes());
        if start % ALIGN != 0 || end > plan.arena_bytes {
            return Err(format!("buffer {i} at {start}..{end} does not lie well in {} bytes", plan.arena_bytes));
        }
        for &j in &arena[..k] {
            let (a, b) = (plan.lifetimes[i], plan.lifetimes[j]);
            let other = plan.offsets[j]..plan.offsets[j] + s.buffers[j].bytes();
            if a.0 <= b.1 && b.0 <= a.1 && start < other.end && other.start < end {
                return Err(format!("buffers {j} and {i} overlap"));
            }
        }
    }
    Ok(())
}
