//! Rows: in each group its members stand in rows, so that every line leads down (Sugiyama, Tagawa and Toda, 1981).
//!
//! In: a picture. Out: for each group its rows. Lines that pass a row have a lane in it, so they lead around boxes; the order in a
//! row follows the rows beside it (barycentres), which keeps lines from crossing.

use super::{Member, Picture};
use std::collections::BTreeMap;

/// What stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    Member(Member),
    /// A place for the line with this number.
    Lane(usize),
}

/// The rows of a group, from above.
pub type Rows = Vec<Vec<Cell>>;

/// How often the order of the rows is looked at again.
const SWEEPS: usize = 8;

/// The rows of every group.
pub fn layout(picture: &Picture) -> Vec<Rows> {
    (0..picture.groups.len()).map(|g| rows(picture, g)).collect()
}

/// An end of a line as a group sees it.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Inside(Member),
    Outside,
}

fn rows(picture: &Picture, group: usize) -> Rows {
    let members = &picture.groups[group].members;
    // Where each line runs in this group; one that only passes through does not exist.
    let end = |unit| picture.member(group, unit).map_or(End::Outside, End::Inside);
    let lines: Vec<(usize, End, End)> =
        picture.edges.iter().enumerate().map(|(i, &(a, b))| (i, end(a), end(b))).filter(|(_, a, b)| a != b).collect();
    let mut rank: BTreeMap<Member, usize> = members.iter().map(|m| (*m, 0)).collect();
    // Longest paths; a line never leads back, so so many rounds suffice.
    for _ in 0..members.len() {
        let mut moved = false;
        for (_, a, b) in &lines {
            if let (End::Inside(a), End::Inside(b)) = (a, b)
                && rank[b] <= rank[a]
                && rank[a] + 1 < members.len()
            {
                rank.insert(*b, rank[a] + 1);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    sink(&mut rank, &lines);
    let count = rank.values().max().map_or(0, |r| r + 1);
    let mut rows: Rows = vec![Vec::new(); count];
    for member in members {
        rows[rank[member]].push(Cell::Member(*member));
    }
    let mut chains: Vec<Vec<(usize, Cell)>> = Vec::new();
    for &(line, a, b) in &lines {
        let (from, to) = match (a, b) {
            (End::Inside(a), End::Inside(b)) => (rank[&a] + 1, rank[&b]),
            (End::Inside(a), End::Outside) => (rank[&a] + 1, count),
            (End::Outside, End::Inside(b)) => (0, rank[&b]),
            (End::Outside, End::Outside) => continue,
        };
        let mut chain = Vec::new();
        if let End::Inside(a) = a {
            chain.push((rank[&a], Cell::Member(a)));
        }
        for (row, cells) in rows.iter_mut().enumerate().take(to).skip(from) {
            cells.push(Cell::Lane(line));
            chain.push((row, Cell::Lane(line)));
        }
        if let End::Inside(b) = b {
            chain.push((rank[&b], Cell::Member(b)));
        }
        chains.push(chain);
    }
    order(&mut rows, &chains);
    rows
}

/// Moves what nothing holds up down to the row above its first user: constants and positions stand beside what they join.
fn sink(rank: &mut BTreeMap<Member, usize>, lines: &[(usize, End, End)]) {
    let held = |m: Member| lines.iter().any(|(_, _, b)| *b == End::Inside(m));
    let free: Vec<Member> = rank.keys().copied().filter(|m| !held(*m)).collect();
    for member in free {
        let users = lines.iter().filter(|(_, a, _)| *a == End::Inside(member));
        let first =
            users.filter_map(|(_, _, b)| if let End::Inside(b) = b { rank.get(b).copied() } else { None }).min();
        if let Some(first) = first.filter(|f| *f > 0) {
            rank.insert(member, first - 1);
        }
    }
}

/// Sorts every row by the places of its neighbours, down and up in turn.
fn order(rows: &mut Rows, chains: &[Vec<(usize, Cell)>]) {
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let numbers: Vec<usize> =
            if down { (1..rows.len()).collect() } else { (0..rows.len().saturating_sub(1)).rev().collect() };
        for row in numbers {
            let beside = if down { row - 1 } else { row + 1 };
            let width = rows[beside].len().max(1) as f64;
            let place: BTreeMap<Cell, f64> =
                rows[beside].iter().enumerate().map(|(i, c)| (*c, (i as f64 + 0.5) / width)).collect();
            let mut sums: BTreeMap<Cell, (f64, usize)> = BTreeMap::new();
            for pair in chains.iter().flat_map(|c| c.windows(2)) {
                let (near, far) = if down { (pair[1], pair[0]) } else { (pair[0], pair[1]) };
                if near.0 == row
                    && far.0 == beside
                    && let Some(at) = place.get(&far.1)
                {
                    let sum = sums.entry(near.1).or_default();
                    *sum = (sum.0 + at, sum.1 + 1);
                }
            }
            let own = rows[row].len().max(1) as f64;
            let mut cells: Vec<(f64, Cell)> = rows[row]
                .iter()
                .enumerate()
                .map(|(i, c)| (sums.get(c).map_or((i as f64 + 0.5) / own, |(sum, n)| sum / *n as f64), *c))
                .collect();
            cells.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[row] = cells.into_iter().map(|c| c.1).collect();
        }
    }
}
