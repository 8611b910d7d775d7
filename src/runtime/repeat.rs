//! A scan's launches as tasks. In: the repeated body of a plan and where the buffers around it lie. Out: a task that packs
//! what is the same for all steps, then runs them, with lanes of rows on threads of their own where rows do not meet.

use super::executable::{Place, Region};
use super::launch::{Lane, Maker, Spot, Task};
use super::work::internal;
use crate::diag::Diagnostic;
use crate::plan::{BufferId, BufferKind, Lanes, Launch, Repeat};

impl<'a> Maker<'a> {
    /// The tasks of a body, whose buffers lie in the workspace or move over those around.
    pub(super) fn repeat(&mut self, repeat: &'a Repeat) -> Result<Task, Box<Diagnostic>> {
        let spot = |id: BufferId| {
            let spot = self.places.get(id.0 as usize).cloned();
            spot.ok_or_else(|| internal(format!("there is no buffer {}", id.0)))
        };
        let mut starts = Vec::new();
        for &(from, to) in &repeat.starts {
            let buffers = &self.plan.schedule.buffers;
            let (a, b) = (buffers.get(from.0 as usize), buffers.get(to.0 as usize));
            match (a, b) {
                (Some(a), Some(b)) if a.bytes() == b.bytes() => starts.push((spot(from)?, spot(to)?, a.bytes())),
                _ => return Err(internal(format!("buffers {} and {} differ", from.0, to.0))),
            }
        }
        let workspace = repeat.workspace.map(spot).transpose()?;
        let body = &repeat.body;
        let mut places = Vec::new();
        for (i, buffer) in body.schedule.buffers.iter().enumerate() {
            places.push(match &buffer.kind {
                BufferKind::Outer(n) => {
                    let binding = repeat.bindings.get(*n as usize);
                    let binding = binding.ok_or_else(|| internal(format!("there is no binding {n}")))?;
                    let mut spot = spot(binding.buffer)?;
                    if binding.stride > 0 {
                        spot.moves.push((self.depth, binding.stride * buffer.dtype.bytes()));
                    }
                    spot
                }
                BufferKind::Constant(bytes) => Spot { place: self.constants.add(bytes), moves: Vec::new() },
                kind if kind.in_arena() => {
                    let offset = body.offsets.get(i).copied().filter(|o| o + buffer.bytes() <= body.arena_bytes);
                    let (Some(offset), Some(workspace)) = (offset, &workspace) else {
                        // What has no bytes needs no place.
                        let none = Place { region: Region::Scratch, offset: 0 };
                        if buffer.bytes() == 0 {
                            places.push(Spot { place: none, moves: Vec::new() });
                            continue;
                        }
                        return Err(internal(format!("buffer {i} of a body has no place")));
                    };
                    let mut spot = workspace.clone();
                    spot.place.offset += offset;
                    spot
                }
                kind => return Err(internal(format!("a body with a buffer of kind {kind:?}"))),
            });
        }
        let starts = starts.into_iter().map(|(from, to, bytes)| (self.slot(&from), self.slot(&to), bytes)).collect();
        let around = (self.plan, std::mem::replace(&mut self.places, places), self.base);
        (self.plan, self.base) = (body, self.next);
        self.next += body.schedule.kernels.len();
        self.depth += 1;
        // Without a step there are no slices that the body's kernels could point at.
        let launches = if repeat.count == 0 { &[][..] } else { &body.schedule.launches[..] };
        let packs = std::mem::take(&mut self.packs);
        let around_lane = self.lane;
        let made = match repeat.lanes {
            None => self.lane(launches, None).map(|lane| vec![lane]),
            Some(lanes) => (0..lanes.count).map(|i| self.lane(launches, Some((lanes, i)))).collect(),
        };
        self.lane = around_lane;
        let packs = std::mem::replace(&mut self.packs, packs);
        self.depth -= 1;
        (self.plan, self.places, self.base) = around;
        Ok(Task::Repeat { count: repeat.count, reverse: repeat.reverse, starts, packs, lanes: made? })
    }

    /// The tasks of a lane, with the pointers that move with the steps of the scan that is being made.
    fn lane(&mut self, launches: &'a [Launch], lane: Option<(Lanes, usize)>) -> Result<Lane, Box<Diagnostic>> {
        self.lane = lane;
        let tasks: Result<Vec<Task>, _> = launches.iter().map(|launch| self.task(launch)).collect();
        let own = self.depth - 1;
        let moving = self.moving.iter().filter(|m| m.0 == own).map(|&(_, slot, by)| (slot, by)).collect();
        self.moving.retain(|m| m.0 != own);
        Ok(Lane { tasks: tasks?, moving })
    }
}
