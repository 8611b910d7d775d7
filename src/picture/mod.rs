//! A picture of a model, as a person would draw it: layers as boxes, shapes at the lines between them.
//!
//! In: a checked graph with the layers that made it. Out: a [`Picture`], and from it SVG, HTML (layers fold) or DOT. `choose` says of what, `make`
//! finds the boxes, `layout` puts them into rows, the others write.

pub mod choose;
mod dot;
mod html;
mod layout;
mod make;
mod svg;

pub use make::{Drawn, make};

/// What a box does: boxes of a kind look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Input,
    Output,
    /// With parameters.
    Layer,
    /// That keeps values in their range, or drops some.
    Norm,
    Attention,
    /// Without parameters.
    Function,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::Output => "output",
            Kind::Layer => "layer",
            Kind::Norm => "norm",
            Kind::Attention => "attention",
            Kind::Function => "function",
        }
    }

    /// Fill and border.
    fn colors(self) -> (&'static str, &'static str) {
        match self {
            Kind::Input | Kind::Output => ("#ffffff", "#57606a"),
            Kind::Layer => ("#dbe9fb", "#3b6fb6"),
            Kind::Norm => ("#def3e2", "#3d8a55"),
            Kind::Attention => ("#ece3fa", "#7a53b8"),
            Kind::Function => ("#fdf0d5", "#b98522"),
        }
    }

    /// The same on a dark page.
    fn dark_colors(self) -> (&'static str, &'static str) {
        match self {
            Kind::Input | Kind::Output => ("#1c2230", "#8f9bb0"),
            Kind::Layer => ("#1d2f4d", "#6b9be0"),
            Kind::Norm => ("#18352a", "#5fb37c"),
            Kind::Attention => ("#322650", "#a689e0"),
            Kind::Function => ("#3a2f16", "#d3a24a"),
        }
    }

    const ALL: [Kind; 6] = [Kind::Input, Kind::Output, Kind::Layer, Kind::Norm, Kind::Attention, Kind::Function];
}

/// Pixels of an average letter of a box, of its name, and of a shape.
const LETTER: f64 = 6.9;
const SMALL_LETTER: f64 = 5.9;
const SHAPE_LETTER: f64 = 5.4;

fn letters(text: &str, each: f64) -> f64 {
    text.chars().count() as f64 * each
}

/// A box.
#[derive(Clone, Debug)]
pub struct Unit {
    /// `Conv2d(32, kernel: 3)`
    pub label: String,
    /// The name that it has in its layer; empty if it has none.
    pub name: String,
    pub kind: Kind,
    /// The type of what it makes.
    pub output: String,
    /// The group that it stands in.
    pub group: usize,
}

/// A layer of the program with what is in it; the first is the whole picture.
#[derive(Clone, Debug)]
pub struct Group {
    /// `blocks.0: Block`
    pub label: String,
    /// So many of its kind stand behind each other; one is drawn.
    pub times: usize,
    pub parent: Option<usize>,
    pub members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    Unit(usize),
    Group(usize),
}

/// Boxes, groups of boxes, and what flows between boxes.
#[derive(Clone, Debug)]
pub struct Picture {
    pub title: String,
    pub units: Vec<Unit>,
    pub groups: Vec<Group>,
    /// Pairs of units, sorted, none twice.
    pub edges: Vec<(usize, usize)>,
}

impl Picture {
    /// A drawing that any program shows.
    pub fn svg(&self) -> String {
        svg::write(self)
    }

    /// A page that folds; it needs nothing from elsewhere.
    pub fn html(&self) -> String {
        html::write(self)
    }

    /// For Graphviz.
    pub fn dot(&self) -> String {
        dot::write(self)
    }

    /// What stands above a group.
    fn heading(&self, group: usize) -> String {
        let group = &self.groups[group];
        if group.times > 1 { format!("{}  × {}", group.label, group.times) } else { group.label.clone() }
    }

    /// The least width between the ends of a group: its heading stands left of the line that comes in from above.
    fn heading_width(&self, group: usize) -> f64 {
        2.0 * (letters(&self.heading(group), SMALL_LETTER) + 18.0)
    }

    /// The width of a unit with room on each side for the shape at the line below it.
    fn room(&self, unit: usize) -> f64 {
        match self.edges.iter().any(|e| e.0 == unit) {
            true => 2.0 * (letters(&self.units[unit].output, SHAPE_LETTER) + 8.0),
            false => 0.0,
        }
    }

    /// The groups around a unit, the innermost first, the whole last.
    fn around(&self, unit: usize) -> Vec<usize> {
        let mut groups = vec![self.units[unit].group];
        while let Some(parent) = self.groups[groups[groups.len() - 1]].parent {
            groups.push(parent);
        }
        groups
    }

    /// The member of `group` that holds a unit, if one does.
    fn member(&self, group: usize, unit: usize) -> Option<Member> {
        let around = self.around(unit);
        let at = around.iter().position(|g| *g == group)?;
        Some(if at == 0 { Member::Unit(unit) } else { Member::Group(around[at - 1]) })
    }
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
