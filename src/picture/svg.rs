//! SVG: rows of boxes, groups as frames around theirs, lines from above to below.

use super::layout::{Cell, Rows, layout};
use super::{Kind, LETTER, Member, Picture, SMALL_LETTER, Unit, escaped, letters};
use std::collections::BTreeMap;
use std::fmt::Write;

const UNIT_HEIGHT: f64 = 30.0;
const LEAST_WIDTH: f64 = 84.0;
/// Between rows: room for the shape at a line.
const ROW_GAP: f64 = 34.0;
const CELL_GAP: f64 = 26.0;
const LANE: f64 = 10.0;
const FRAME: f64 = 16.0;
const HEADER: f64 = 22.0;
/// Below the last box of a group: room for its shape.
const FOOT: f64 = 22.0;
const MARGIN: f64 = 20.0;

/// A box's place.
#[derive(Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Place {
    fn middle(self) -> f64 {
        self.x + self.width / 2.0
    }
}

/// Where a line passes a row: its x, and from which y to which.
type Pass = (f64, f64, f64);

struct Drawing<'a> {
    picture: &'a Picture,
    rows: Vec<Rows>,
    places: BTreeMap<Member, Place>,
    /// Where lines pass rows: (group, line) to points from above to below.
    lanes: BTreeMap<(usize, usize), Vec<Pass>>,
}

pub fn write(picture: &Picture) -> String {
    let mut drawing = Drawing { picture, rows: layout(picture), places: BTreeMap::new(), lanes: BTreeMap::new() };
    let size = drawing.size(0);
    drawing.place(0, MARGIN, MARGIN, size.0);
    let (width, height) = (size.0 + 2.0 * MARGIN, size.1 + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"Helvetica, Arial, sans-serif\">\n<title>{}</title>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" \
         refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0.8 L7.5 4 L0 7.2 z\" fill=\"#6e7781\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(&picture.title)
    );
    drawing.frames(&mut out);
    drawing.lines(&mut out);
    drawing.boxes(&mut out);
    out + "</svg>\n"
}

fn unit_width(unit: &Unit) -> f64 {
    let name = if unit.name.is_empty() { 0.0 } else { letters(&unit.name, SMALL_LETTER) + 10.0 };
    (letters(&unit.label, LETTER) + name + 24.0).max(LEAST_WIDTH)
}

impl Drawing<'_> {
    fn cell(&self, cell: Cell) -> (f64, f64) {
        match cell {
            Cell::Lane(_) => (LANE, 0.0),
            Cell::Member(Member::Unit(unit)) => {
                (unit_width(&self.picture.units[unit]).max(self.picture.room(unit)), UNIT_HEIGHT)
            }
            Cell::Member(Member::Group(group)) => {
                let (width, height) = self.size(group);
                (width + 2.0 * FRAME, height + HEADER + FOOT)
            }
        }
    }

    fn row(&self, row: &[Cell]) -> (f64, f64) {
        let sizes: Vec<_> = row.iter().map(|c| self.cell(*c)).collect();
        let width = sizes.iter().map(|s| s.0).sum::<f64>() + CELL_GAP * sizes.len().saturating_sub(1) as f64;
        (width, sizes.iter().map(|s| s.1).fold(0.0, f64::max))
    }

    /// The room of a group's rows, without its frame.
    fn size(&self, group: usize) -> (f64, f64) {
        let rows: Vec<_> = self.rows[group].iter().map(|r| self.row(r)).collect();
        let width = rows.iter().map(|r| r.0).fold(0.0, f64::max);
        let title = if group == 0 { 0.0 } else { self.picture.heading_width(group) - 2.0 * FRAME };
        let gaps = ROW_GAP * rows.len().saturating_sub(1) as f64;
        (width.max(title), rows.iter().map(|r| r.1).sum::<f64>() + gaps)
    }

    fn place(&mut self, group: usize, x: f64, y: f64, width: f64) {
        let mut top = y;
        for row in self.rows[group].clone() {
            let (row_width, height) = self.row(&row);
            let mut left = x + (width - row_width) / 2.0;
            for cell in row {
                let (cell_width, cell_height) = self.cell(cell);
                match cell {
                    Cell::Lane(line) => {
                        let point = (left + cell_width / 2.0, top, top + height);
                        self.lanes.entry((group, line)).or_default().push(point);
                    }
                    Cell::Member(member) => {
                        let above = top + (height - cell_height) / 2.0;
                        let width = match member {
                            Member::Unit(unit) => unit_width(&self.picture.units[unit]),
                            Member::Group(_) => cell_width,
                        };
                        let x = left + (cell_width - width) / 2.0;
                        let place = Place { x, y: above, width, height: cell_height };
                        self.places.insert(member, place);
                        if let Member::Group(inner) = member {
                            self.place(inner, left + FRAME, above + HEADER, cell_width - 2.0 * FRAME);
                        }
                    }
                }
                left += cell_width + CELL_GAP;
            }
            top += height + ROW_GAP;
        }
    }

    fn frames(&self, out: &mut String) {
        for group in 1..self.picture.groups.len() {
            let Some(p) = self.places.get(&Member::Group(group)) else { continue };
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"8\" fill=\"#8c959f\" fill-opacity=\"0.07\" \
                 stroke=\"#8c959f\" stroke-dasharray=\"4 3\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"#57606a\">{}</text>",
                p.x,
                p.y,
                p.width,
                p.height,
                p.x + 9.0,
                p.y + 15.0,
                escaped(&self.picture.heading(group))
            );
        }
    }

    fn boxes(&self, out: &mut String) {
        for (number, unit) in self.picture.units.iter().enumerate() {
            let Some(p) = self.places.get(&Member::Unit(number)) else { continue };
            let (fill, border) = unit.kind.colors();
            let round = if matches!(unit.kind, Kind::Input | Kind::Output) { UNIT_HEIGHT / 2.0 } else { 6.0 };
            let close = if unit.name.is_empty() { "" } else { "</tspan>" };
            let name = if unit.name.is_empty() {
                String::new()
            } else {
                format!("<tspan font-size=\"10.5\" fill=\"#57606a\">{}</tspan><tspan dx=\"7\">", escaped(&unit.name))
            };
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{border}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12.5\" text-anchor=\"middle\" fill=\"#1f2328\">{name}{}{close}</text>",
                p.x,
                p.y,
                p.width,
                p.height,
                p.middle(),
                p.y + p.height / 2.0 + 4.5,
                escaped(&unit.label)
            );
            if self.picture.edges.iter().any(|e| e.0 == number) {
                // On the side that no line turns to.
                let (x, anchor) = match self.turns_right(number) {
                    true => (p.middle() - 6.0, "end"),
                    false => (p.middle() + 6.0, "start"),
                };
                let _ = writeln!(
                    out,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"10\" text-anchor=\"{anchor}\" fill=\"#0a5c36\" stroke=\"#ffffff\" \
                     stroke-width=\"3\" paint-order=\"stroke\">{}</text>",
                    p.y + p.height + 13.0,
                    escaped(&unit.output)
                );
            }
        }
    }

    /// The points where a line passes rows, from above to below: from the inner groups out to the common one, then in again.
    fn passes(&self, line: usize) -> Vec<Pass> {
        let (from, to) = self.picture.edges[line];
        let down = self.picture.around(from);
        let up: Vec<usize> = self.picture.around(to).into_iter().rev().filter(|g| !down.contains(g)).collect();
        let common = down.iter().position(|g| self.picture.member(*g, to).is_some()).unwrap_or(0);
        let groups = down[..=common].iter().chain(&up);
        groups.flat_map(|group| self.lanes.get(&(*group, line)).into_iter().flatten()).copied().collect()
    }

    /// Whether a line leaves a unit to the right.
    fn turns_right(&self, unit: usize) -> bool {
        let Some(place) = self.places.get(&Member::Unit(unit)) else { return false };
        let lines = (0..).zip(&self.picture.edges).filter(|(_, e)| e.0 == unit);
        let mut next = lines.filter_map(|(line, &(_, to))| match self.passes(line).first() {
            Some(pass) => Some(pass.0),
            None => self.places.get(&Member::Unit(to)).map(|b| b.middle()),
        });
        next.any(|x| x > place.middle() + 4.0)
    }

    fn lines(&self, out: &mut String) {
        for (line, &(from, to)) in self.picture.edges.iter().enumerate() {
            let (Some(a), Some(b)) = (self.places.get(&Member::Unit(from)), self.places.get(&Member::Unit(to))) else {
                continue;
            };
            let mut path = format!("M{:.1} {:.1}", a.middle(), a.y + a.height);
            let mut at = (a.middle(), a.y + a.height);
            for (x, top, bottom) in self.passes(line) {
                path += &curve(at, (x, top));
                let _ = write!(path, " L{x:.1} {bottom:.1}");
                at = (x, bottom);
            }
            path += &curve(at, (b.middle(), b.y));
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"#6e7781\" stroke-width=\"1.3\" marker-end=\"url(#tip)\"/>"
            );
        }
    }
}

fn curve(from: (f64, f64), to: (f64, f64)) -> String {
    let half = (to.1 - from.1) / 2.0;
    format!(" C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", from.0, from.1 + half, to.0, to.1 - half, to.0, to.1)
}
