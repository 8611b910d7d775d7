//! Open loops while a kernel is selected: where code goes, and what is known where.
//!
//! Each open loop has its own list of instructions. What does not change in a loop, such as the part of an address that
//! comes from outer counters, goes to the end of an outer list, which at that time is just before the loop. What has been
//! computed in a list is remembered for it.

use super::code::{Code, G, Inst, Limit, Mark, Memory, Source, V};
use crate::codegen::cpu::emit::Refusal;
use crate::codegen::loops::LoopVar;
use std::collections::HashMap;

/// Something computed from registers, so as not to compute it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    Argument(u8),
    Base(u32),
    Sum(Option<G>, G),
    Scaled(G, i64),
    Shifted(G, i64),
    Constant(i64),
    General(V),
}

pub struct Level {
    pub insts: Vec<Inst>,
    pub loops: Vec<(usize, usize)>,
    pub var: Option<LoopVar>,
    /// The counter, and how it changes.
    pub counter: Option<G>,
    pub step: i64,
    begin: Begin,
    known: HashMap<Known, G>,
    /// Multiples of the counter that go along with it.
    pub multiples: Vec<(i64, G)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// Not a loop.
    Never,
    Zero,
    At(G),
}

pub struct Nest {
    pub code: Code,
    pub levels: Vec<Level>,
    /// Those that are in registers, from before all loops.
    pub constants: HashMap<Source, V>,
}

impl Nest {
    pub fn new() -> Nest {
        let mut nest = Nest { code: Code::default(), levels: Vec::new(), constants: HashMap::new() };
        nest.open(None, None, 0, Begin::Never);
        nest
    }

    pub fn depth(&self) -> usize {
        self.levels.len() - 1
    }

    pub fn open(&mut self, var: Option<LoopVar>, counter: Option<G>, step: i64, begin: Begin) {
        self.levels.push(Level {
            insts: Vec::new(),
            loops: Vec::new(),
            var,
            counter,
            step,
            begin,
            known: HashMap::new(),
            multiples: Vec::new(),
        });
    }

    pub fn vector(&mut self) -> V {
        self.code.vectors += 1;
        V(self.code.vectors - 1)
    }

    pub fn general(&mut self) -> G {
        self.code.generals += 1;
        G(self.code.generals - 1)
    }

    pub fn mark(&mut self) -> Mark {
        self.code.marks += 1;
        Mark(self.code.marks - 1)
    }

    pub fn push(&mut self, inst: Inst) {
        let depth = self.depth();
        self.push_at(depth, inst);
    }

    pub fn push_at(&mut self, level: usize, inst: Inst) {
        self.levels[level].insts.push(inst);
    }

    /// Makes the last instruction write to another register, if it writes to this one.
    pub fn retarget(&mut self, from: V, into: V) -> bool {
        let depth = self.depth();
        match self.levels[depth].insts.last_mut() {
            Some(
                Inst::Two { to, .. }
                | Inst::One { to, .. }
                | Inst::Select { to, .. }
                | Inst::Extremum { to, .. }
                | Inst::MulAdd { to, .. },
            ) if *to == from => {
                *to = into;
                true
            }
            _ => false,
        }
    }

    /// Puts the list of the innermost level behind that of the one around it.
    fn splice(&mut self) -> Option<Level> {
        let inner = self.levels.pop()?;
        let outer = self.levels.last_mut()?;
        let at = outer.insts.len();
        outer.loops.extend(inner.loops.iter().map(|(a, b)| (a + at, b + at)));
        outer.insts.extend_from_slice(&inner.insts);
        Some(inner)
    }

    /// Ends the innermost loop, which runs while its counter is below the limit; tested before the first turn if it may
    /// not run at all.
    pub fn close_loop(&mut self, limit: Limit, may_be_empty: bool) {
        let (top, exit) = (self.mark(), self.mark());
        let depth = self.depth();
        let Some(counter) = self.levels[depth].counter else { return };
        let (step, multiples) = (self.levels[depth].step, std::mem::take(&mut self.levels[depth].multiples));
        for (factor, g) in multiples {
            self.push(Inst::AddConstant { to: g, from: g, value: factor * step });
        }
        self.push(Inst::AddConstant { to: counter, from: counter, value: step });
        self.push(Inst::JumpIfLess { a: counter, b: limit, to: top });
        if may_be_empty {
            self.push_at(depth - 1, Inst::JumpUnlessLess { a: counter, b: limit, to: exit });
        }
        let first = self.levels[depth - 1].insts.len();
        self.push_at(depth - 1, Inst::Place(top));
        self.splice();
        let last = self.levels[depth - 1].insts.len() - 1;
        self.levels[depth - 1].loops.push((first, last));
        self.push(Inst::Place(exit));
    }

    /// Ends a list that is no loop: it runs if the counter is below the limit, or always.
    pub fn close_block(&mut self, condition: Option<(G, Limit)>) {
        let depth = self.depth();
        match condition {
            Some((a, b)) => {
                let after = self.mark();
                self.push_at(depth - 1, Inst::JumpUnlessLess { a, b, to: after });
                self.splice();
                self.push(Inst::Place(after));
            }
            None => {
                self.splice();
            }
        }
    }

    pub fn finish(mut self) -> Code {
        if let Some(level) = self.levels.pop() {
            self.code.insts = level.insts;
            self.code.loops = level.loops;
        }
        self.code
    }

    /// What is known at the level, or the instruction that makes it.
    fn once(&mut self, level: usize, key: Known, make: impl FnOnce(G) -> Inst) -> G {
        if let Some(&g) = self.levels[level].known.get(&key) {
            return g;
        }
        let to = self.general();
        self.push_at(level, make(to));
        self.levels[level].known.insert(key, to);
        to
    }

    pub fn argument(&mut self, number: u8) -> G {
        self.once(0, Known::Argument(number), |to| Inst::Argument { to, number })
    }

    /// The address of a buffer.
    pub fn base(&mut self, buffer: u32) -> G {
        let list = self.argument(0);
        let at = Memory { base: list, index: None, offset: 8 * buffer as i32 };
        self.once(0, Known::Base(buffer), |to| Inst::Word { to, at })
    }

    pub fn sum(&mut self, level: usize, a: G, b: G) -> G {
        self.once(level, Known::Sum(Some(a), b), |to| Inst::Add { to, a, b })
    }

    pub fn constant(&mut self, value: i64) -> G {
        self.once(0, Known::Constant(value), |to| Inst::Constant { to, value })
    }

    pub fn shifted(&mut self, level: usize, from: G, value: i64) -> G {
        if value == 0 {
            return from;
        }
        self.once(level, Known::Shifted(from, value), |to| Inst::AddConstant { to, from, value })
    }

    pub fn scaled(&mut self, level: usize, from: G, by: i64) -> Result<G, Refusal> {
        if by == 1 {
            return Ok(from);
        }
        if i32::try_from(by).is_err() {
            return Err("a stride of more than 2^31 bytes".into());
        }
        Ok(self.once(level, Known::Scaled(from, by), |to| Inst::Scale { to, from, by }))
    }

    /// A multiple of a loop's counter, as it runs.
    pub fn multiple(&mut self, level: usize, factor: i64) -> Result<G, Refusal> {
        let counter = self.levels[level].counter.ok_or("a level without a counter")?;
        if factor == 1 {
            return Ok(counter);
        }
        if let Some((_, g)) = self.levels[level].multiples.iter().find(|m| m.0 == factor) {
            return Ok(*g);
        }
        if i32::try_from(factor).is_err() {
            return Err("a stride of more than 2^31 bytes".into());
        }
        match self.levels[level].begin {
            Begin::Never => self.scaled(level, counter, factor),
            begin => {
                let g = self.general();
                let first = match begin {
                    Begin::At(from) => Inst::Scale { to: g, from, by: factor },
                    _ => Inst::Constant { to: g, value: 0 },
                };
                self.push_at(level - 1, first);
                self.levels[level].multiples.push((factor, g));
                Ok(g)
            }
        }
    }

    /// The first lane of a vector that is the same in all lanes.
    pub fn first_lane(&mut self, level: usize, from: V) -> G {
        self.once(level, Known::General(from), |to| Inst::ToGeneral { to, from })
    }
}
