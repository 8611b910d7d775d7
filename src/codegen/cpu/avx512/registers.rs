//! Which machine register, or place on the stack, each register of the code is.
//!
//! Linear scan (Poletto and Sarkar, 1999) over live ranges: from the first writing to the last reading, and to the end of
//! each loop that a register lives into from before. When registers run out, the one that is used least, weighted by loop
//! depth, goes to the stack for its whole life; instructions then work on memory or through two registers kept free.

use super::code::{Code, Register};
use std::collections::BTreeMap;

/// Vector registers that values may be in; two more are kept for instructions.
pub const VECTORS: usize = 30;
/// Numbers of the general registers that values may be in. The stack and frame pointers and two more are kept.
pub const GENERALS: [u8; 12] = [0, 1, 2, 6, 7, 8, 9, 3, 12, 13, 14, 15];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A number of a vector register, or a place in [`GENERALS`].
    Register(usize),
    /// A place of its kind on the stack.
    Slot(usize),
}

#[derive(Default)]
pub struct Allocation {
    places: BTreeMap<Register, Location>,
    pub vector_slots: usize,
    pub general_slots: usize,
    /// General registers that are used, by place in [`GENERALS`].
    pub used: Vec<usize>,
}

impl Allocation {
    pub fn of(&self, register: Register) -> Location {
        // Everything that occurs in the code has a place.
        self.places.get(&register).copied().unwrap_or(Location::Register(0))
    }

    /// All of them, in order.
    pub fn places(&self) -> impl Iterator<Item = (Register, Location)> {
        self.places.iter().map(|(r, l)| (*r, *l))
    }
}

#[derive(Clone, Copy)]
struct Range {
    register: Register,
    start: usize,
    end: usize,
    weight: f64,
}

/// An instruction reads at twice its number and writes one later, so that a result may take the place of an operand.
fn ranges(code: &Code) -> Vec<Range> {
    let mut depth = vec![0u32; code.insts.len()];
    for &(first, last) in &code.loops {
        depth[first..=last].iter_mut().for_each(|d| *d += 1);
    }
    let mut found: BTreeMap<Register, Range> = BTreeMap::new();
    for (i, inst) in code.insts.iter().enumerate() {
        let weight = 8f64.powi(depth[i].min(12) as i32);
        let mut touched = Vec::new();
        inst.registers(|r| touched.push((r, 2 * i)), |_| ());
        inst.registers(|_| (), |r| touched.push((r, 2 * i + 1)));
        for (register, at) in touched {
            let range = found.entry(register).or_insert(Range { register, start: at, end: at, weight: 0.0 });
            range.end = range.end.max(at);
            range.weight += weight;
            // Loops that were entered after the start and end here or later.
            for &(first, last) in &code.loops {
                if range.start < 2 * first && 2 * first <= at && at <= 2 * last + 1 {
                    range.end = range.end.max(2 * last + 1);
                }
            }
        }
    }
    let mut ranges: Vec<Range> = found.into_values().collect();
    ranges.sort_by_key(|r| (r.start, r.register));
    ranges
}

pub fn allocate(code: &Code) -> Allocation {
    let mut result = Allocation::default();
    let ranges = ranges(code);
    for vectors in [true, false] {
        let own: Vec<Range> =
            ranges.iter().filter(|r| matches!(r.register, Register::Vector(_)) == vectors).copied().collect();
        scan(code, &own, if vectors { VECTORS } else { GENERALS.len() }, vectors, &mut result);
    }
    result.used.sort_unstable();
    result.used.dedup();
    result
}

fn scan(code: &Code, ranges: &[Range], count: usize, vectors: bool, result: &mut Allocation) {
    let mut owner: Vec<Option<Range>> = vec![None; count];
    let mut slots = 0;
    for range in ranges {
        let mut ended = Vec::new();
        for (place, slot) in owner.iter_mut().enumerate() {
            if let Some(o) = slot.filter(|o| o.end < range.start) {
                ended.push((o, place));
                *slot = None;
            }
        }
        // An operand's register, if it is read here for the last time, saves a move.
        let inst = &code.insts[range.start / 2];
        let mut wanted = None;
        inst.registers(
            |r| wanted = ended.iter().find(|(o, _)| o.register == r).map(|(_, place)| *place).or(wanted),
            |_| (),
        );
        let place = wanted.or_else(|| owner.iter().position(Option::is_none));
        if let Some(place) = place {
            owner[place] = Some(*range);
            result.places.insert(range.register, Location::Register(place));
            if !vectors {
                result.used.push(place);
            }
            continue;
        }
        let least = owner.iter().enumerate().filter_map(|(place, o)| Some((place, (*o)?)));
        let least = least.min_by(|(_, a), (_, b)| a.weight.total_cmp(&b.weight).then(b.end.cmp(&a.end)));
        let slot = Location::Slot(slots);
        slots += 1;
        match least {
            Some((place, other)) if other.weight < range.weight => {
                result.places.insert(other.register, slot);
                owner[place] = Some(*range);
                result.places.insert(range.register, Location::Register(place));
            }
            _ => {
                result.places.insert(range.register, slot);
            }
        }
    }
    match vectors {
        true => result.vector_slots = slots,
        false => result.general_slots = slots,
    }
}
