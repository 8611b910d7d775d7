//! Several turns of a loop at once, instruction by instruction.
//!
//! Elementary functions are long chains in which each instruction waits for the one before. The processor finds work in
//! the next turns of a loop only as far as its queues reach, which is about one turn of such a chain. So turns are written
//! next to each other: the first instruction of each, then the second of each. Order within a turn and of sums that a loop
//! carries stays as it is, and so do all bits.

use super::code::{Code, Inst, Lanes, Memory, Register, Source, Two, V};
use super::nest::Nest;
use super::registers::VECTORS;
use super::select::LANES;
use std::collections::BTreeMap;

/// Instructions that compute, from which on the processor does not reach the next turn by itself.
const LONG: usize = 10;
/// The most turns at once.
const MOST: usize = 4;

/// Registers that hold the constants of an instruction.
const OF_CONSTANTS: i64 = 2;

impl Nest {
    /// Makes one turn of the innermost loop do the work of several, at most `most`: how many.
    pub fn unroll(&mut self, most: usize) -> usize {
        let depth = self.depth();
        let level = &self.levels[depth];
        let Some(carried) = carried(&level.insts).filter(|_| level.loops.is_empty()) else { return 1 };
        let advance: BTreeMap<_, _> = level
            .multiples
            .iter()
            .map(|&(factor, g)| (g, factor * LANES))
            .chain(level.counter.map(|g| (g, LANES)))
            .collect();
        if level.insts.iter().filter(|i| computes(i)).count() < LONG {
            return 1;
        }
        let turns = (room(&level.insts) as usize).min(most).min(MOST);
        // Such that none are left over, if their number is known.
        let even = (2..=turns).rev().find(|t| most != usize::MAX && most.is_multiple_of(*t));
        let turns = even.unwrap_or(turns);
        if turns < 2 {
            return 1;
        }
        let before = std::mem::take(&mut self.levels[depth].insts);
        let mut insts = before.clone();
        // A constant is read once for all turns: as an operand in memory it would be once for each.
        let constants: Vec<Vec<Inst>> = insts.iter_mut().map(|i| constants(i, &mut self.code)).collect();
        let mut copies: Vec<Vec<Vec<Inst>>> = vec![insts.iter().map(|i| vec![i.clone()]).collect()];
        for turn in 1..turns {
            let mut names = BTreeMap::new();
            let copy =
                insts.iter().map(|i| again(i, turn as i64, &advance, &carried, &mut names, &mut self.code)).collect();
            let Some(copy) = copy else {
                self.levels[depth].insts = before;
                return 1;
            };
            copies.push(copy);
        }
        let mut merged = Vec::new();
        for (i, constants) in constants.into_iter().enumerate() {
            merged.extend(constants);
            for copy in &mut copies {
                merged.append(&mut copy[i]);
            }
        }
        self.levels[depth].insts = merged;
        self.levels[depth].step *= turns as i64;
        turns
    }
}

fn computes(inst: &Inst) -> bool {
    use Inst::{Compare, Extremum, MulAdd, One, Select, Two};
    matches!(inst, Two { .. } | One { .. } | MulAdd { .. } | Compare { .. } | Select { .. } | Extremum { .. })
}

/// Puts the constants that an instruction works on in registers.
fn constants(inst: &mut Inst, code: &mut Code) -> Vec<Inst> {
    let sources: Vec<&mut Source> = match inst {
        Inst::Two { a, b, .. }
        | Inst::Compare { a, b, .. }
        | Inst::Select { a, b, .. }
        | Inst::Extremum { a, b, .. } => {
            vec![a, b]
        }
        Inst::MulAdd { a, b, c, .. } => vec![a, b, c],
        _ => Vec::new(),
    };
    let mut splats = Vec::new();
    for source in sources {
        if let Source::Splat(_) = source {
            code.vectors += 1;
            let to = V(code.vectors - 1);
            splats.push(Inst::Splat { to, from: *source });
            *source = Source::Value(to);
        }
    }
    splats
}

/// Registers that a turn takes over from the one before; nothing if turns cannot be next to each other.
fn carried(insts: &[Inst]) -> Option<Vec<V>> {
    let mut written: Vec<V> = Vec::new();
    let mut carried: Vec<V> = Vec::new();
    for inst in insts {
        let mut reads = Vec::new();
        let mut writes = Vec::new();
        let mut general = false;
        inst.registers(
            |r| {
                if let Register::Vector(v) = r {
                    reads.push(v);
                }
            },
            |r| match r {
                Register::Vector(v) => writes.push(v),
                Register::General(_) => general = true,
            },
        );
        // One instruction that adds to a sum is all that may touch it.
        if general || reads.iter().chain(&writes).any(|v| carried.contains(v)) {
            return None;
        }
        for v in writes {
            if written.contains(&v) {
                return None;
            }
            if reads.contains(&v) {
                carried.push(v);
            }
            written.push(v);
        }
    }
    // A register from before that is written later on would be read too late by the next turn.
    let mut seen: Vec<V> = Vec::new();
    for inst in insts {
        let mut early = false;
        inst.registers(
            |r| {
                if let Register::Vector(v) = r {
                    early |= written.contains(&v) && !seen.contains(&v) && !carried.contains(&v);
                }
            },
            |_| (),
        );
        if early {
            return None;
        }
        inst.registers(
            |_| (),
            |r| {
                if let Register::Vector(v) = r {
                    seen.push(v);
                }
            },
        );
    }
    Some(carried)
}

/// For how many turns there are registers.
fn room(insts: &[Inst]) -> i64 {
    let mut first: BTreeMap<V, usize> = BTreeMap::new();
    let mut last: BTreeMap<V, usize> = BTreeMap::new();
    for (i, inst) in insts.iter().enumerate() {
        inst.registers(
            |r| {
                if let Register::Vector(v) = r {
                    last.insert(v, i);
                }
            },
            |_| (),
        );
        inst.registers(
            |_| (),
            |r| {
                if let Register::Vector(v) = r {
                    first.entry(v).or_insert(i);
                }
            },
        );
    }
    let outside = last.keys().filter(|v| !first.contains_key(v)).count() as i64;
    let live = |i: usize| first.iter().filter(|(v, f)| **f <= i && last.get(v).is_some_and(|l| i < *l)).count() as i64;
    let most = (0..insts.len()).map(live).max().unwrap_or(1).max(1);
    (VECTORS as i64 - OF_CONSTANTS - outside) / most
}

/// The instruction as it is some turns later; nothing if that cannot be said.
fn again(
    inst: &Inst,
    turn: i64,
    advance: &BTreeMap<super::code::G, i64>,
    carried: &[V],
    names: &mut BTreeMap<V, V>,
    code: &mut Code,
) -> Option<Vec<Inst>> {
    let mut copy = inst.clone();
    let old = |names: &BTreeMap<V, V>, v: V| names.get(&v).copied().unwrap_or(v);
    let source = |names: &BTreeMap<V, V>, s: Source| match s {
        Source::Value(v) => Source::Value(old(names, v)),
        other => other,
    };
    let mut new = |names: &mut BTreeMap<V, V>, v: V| {
        if carried.contains(&v) {
            return v;
        }
        code.vectors += 1;
        names.insert(v, V(code.vectors - 1));
        V(code.vectors - 1)
    };
    let place = |at: Memory| {
        let by = |g| advance.get(&g).copied().unwrap_or(0);
        let shift = by(at.base) + at.index.map_or(0, |(g, scale)| by(g) * i64::from(scale));
        let offset = i32::try_from(i64::from(at.offset) + turn * shift).ok()?;
        Some(Memory { offset, ..at })
    };
    match &mut copy {
        Inst::Splat { to, from } => {
            *from = source(names, *from);
            *to = new(names, *to);
        }
        Inst::Two { to, a, b, .. } | Inst::Compare { to, a, b, .. } | Inst::Extremum { to, a, b, .. } => {
            (*a, *b) = (source(names, *a), source(names, *b));
            *to = new(names, *to);
        }
        Inst::One { to, a, .. } => {
            *a = source(names, *a);
            *to = new(names, *to);
        }
        Inst::MulAdd { to, a, b, c } => {
            (*a, *b, *c) = (source(names, *a), source(names, *b), source(names, *c));
            *to = new(names, *to);
        }
        Inst::Select { to, mask, a, b } => {
            (*mask, *a, *b) = (old(names, *mask), source(names, *a), source(names, *b));
            *to = new(names, *to);
        }
        Inst::FromGeneral { to, from } => {
            let shift = turn * advance.get(from).copied().unwrap_or(0);
            let first = new(names, *to);
            let then = new(names, *to);
            let first_of = Inst::FromGeneral { to: first, from: *from };
            let add = Two::IntAdd;
            return Some(vec![
                first_of,
                Inst::Two { op: add, to: then, a: Source::Value(first), b: Source::Splat(shift as u32) },
            ]);
        }
        Inst::Load { to, at, lanes: Lanes::All, keep: false, .. } | Inst::LoadSplat { to, at, .. } => {
            *at = place(*at)?;
            *to = new(names, *to);
        }
        Inst::LoadPairs { to, at, index, lanes: Lanes::All } => {
            *at = place(*at)?;
            *index = old(names, *index);
            *to = new(names, *to);
        }
        Inst::Store { from, at, lanes: Lanes::All, .. } => {
            *at = place(*at)?;
            *from = old(names, *from);
        }
        _ => return None,
    }
    Some(vec![copy])
}
