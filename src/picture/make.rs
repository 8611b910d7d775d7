//! Finds the boxes of a picture: nodes of one layer, or of one expression, are one box.

use super::{Group, Kind, Member, Picture, Unit};
use crate::check::{LayerRow, Library};
use crate::dims::Dim;
use crate::graph::{Graph, NodeId, OutputKind};
use crate::ops::Op;
use crate::source::{Sources, Span};
use std::collections::{BTreeMap, BTreeSet};

/// What is drawn.
pub struct Drawn<'a> {
    pub title: String,
    pub graph: &'a Graph<Dim>,
    /// The layers that made it, in order of use.
    pub rows: &'a [LayerRow],
    /// The names of the graph's fields.
    pub fields: Vec<String>,
    /// Paths of the nets: only they and what leads to them are drawn. Empty: everything is.
    pub nets: Vec<String>,
    /// Names that the program declares: a layer of the library that is called so is not meant.
    pub own: BTreeSet<String>,
}

/// A label is at most so long.
const LONGEST: usize = 44;

/// Where a node belongs: the path of its layer, or of the layer that it stands in and its expression there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Input(u32),
    Layer(String),
    Expression(String, Span),
    Output,
}

struct Maker<'a> {
    drawn: &'a Drawn<'a>,
    sources: &'a Sources,
    rows: BTreeMap<&'a str, &'a LayerRow>,
    /// Layers of the library, which are drawn as one box.
    whole: BTreeSet<&'a str>,
    /// Paths of repeated layers, each with the one that is drawn for it.
    drawn_for: BTreeMap<String, String>,
    times: BTreeMap<String, usize>,
}

/// Makes the picture.
pub fn make(drawn: &Drawn, sources: &Sources) -> Picture {
    let library = Library::default();
    let rows: BTreeMap<&str, &LayerRow> = drawn.rows.iter().map(|r| (r.path.as_str(), r)).collect();
    let whole = rows
        .values()
        .filter(|r| library.module_of(&r.layer).is_some() && !drawn.own.contains(&r.layer))
        .map(|r| r.path.as_str())
        .collect();
    let mut maker = Maker { drawn, sources, rows, whole, drawn_for: BTreeMap::new(), times: BTreeMap::new() };
    maker.repeated();
    maker.picture()
}

impl Maker<'_> {
    /// Finds layers that stand behind each other and are alike: `blocks.0`, `blocks.1`, …
    fn repeated(&mut self) {
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for path in self.rows.keys().filter(|p| !self.whole.contains(*p)) {
            if let Some((above, number)) = path.rsplit_once('.')
                && let Ok(number) = number.parse()
            {
                places.entry(above).or_default().push(number);
            }
        }
        for (above, mut numbers) in places {
            numbers.sort_unstable();
            let mut first: Option<(usize, Vec<String>)> = None;
            for number in numbers {
                let path = format!("{above}.{number}");
                let form = self.form(&path);
                match &first {
                    Some((drawn, like)) if *like == form => {
                        let drawn = format!("{above}.{drawn}");
                        *self.times.entry(drawn.clone()).or_insert(1) += 1;
                        self.drawn_for.insert(path, drawn);
                    }
                    _ => first = Some((number, form)),
                }
            }
        }
    }

    /// What is in a layer, and what it makes.
    fn form(&self, path: &str) -> Vec<String> {
        let below = self.rows.iter().filter(|(p, _)| is_below(path, p));
        below.map(|(p, r)| format!("{} {} {}", &p[path.len()..], r.layer, types(r))).collect()
    }

    /// The path under which something is drawn.
    fn path(&self, path: &str) -> String {
        let mut out = String::new();
        for part in path.split('.') {
            if !out.is_empty() {
                out.push('.');
            }
            out += part;
            if let Some(drawn) = self.drawn_for.get(&out) {
                out = drawn.clone();
            }
        }
        out
    }

    /// The box of a node; none if it is no part of what flows.
    fn key(&self, id: NodeId, flows: bool) -> Option<Key> {
        let node = self.drawn.graph.node(id);
        if let Op::Field(index) = node.op {
            return Some(Key::Input(index));
        }
        let scope = self.drawn.graph.scopes.get(node.origin.scope as usize).map_or("", |s| s);
        let ends = scope.match_indices('.').map(|(i, _)| i).chain([scope.len()]);
        if let Some(end) = ends.into_iter().find(|e| self.whole.contains(&scope[..*e])) {
            return Some(Key::Layer(self.path(&scope[..end]))).filter(|_| !matches!(node.op, Op::Read(_)));
        }
        let inner = Key::Expression(self.path(scope), node.origin.span);
        flows.then_some(inner)
    }

    fn picture(&self) -> Picture {
        let graph = self.drawn.graph;
        // What depends on an input, or on a draw.
        let mut flows = vec![false; graph.nodes.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            let random = matches!(node.op, Op::Uniform { .. });
            flows[i] = matches!(node.op, Op::Field(_)) || random || node.inputs.iter().any(|n| flows[n.index()]);
        }
        let mut keys: Vec<Option<Key>> = graph.ids().map(|id| self.key(id, flows[id.index()])).collect();
        // Constants of an expression are no box; what goes through them is not lost, as they have no inputs that flow.
        for id in graph.ids() {
            let node = graph.node(id);
            let layer = matches!(keys[id.index()], Some(Key::Layer(_)));
            // A type that is written down is checked by what computes nothing.
            let checks = matches!(node.op, Op::Cast) && node.inputs.iter().all(|i| graph.ty(*i) == &node.ty);
            if !layer && (checks || node.inputs.is_empty() && !matches!(node.op, Op::Field(_))) {
                keys[id.index()] = None;
            }
        }
        // Where a value comes from that is itself no box.
        let mut behind: Vec<BTreeSet<NodeId>> = Vec::with_capacity(graph.nodes.len());
        for id in graph.ids() {
            behind.push(match keys[id.index()] {
                Some(_) => BTreeSet::from([id]),
                None => graph.node(id).inputs.iter().flat_map(|i| behind[i.index()].iter().copied()).collect(),
            });
        }
        let mut edges: BTreeSet<(Key, Key)> = BTreeSet::new();
        let mut outputs: BTreeMap<Key, String> = BTreeMap::new();
        let mut order: Vec<Key> = Vec::new();
        for id in graph.ids() {
            let Some(key) = keys[id.index()].clone() else { continue };
            if !order.contains(&key) {
                order.push(key.clone());
            }
            for input in graph.node(id).inputs.iter().flat_map(|i| &behind[i.index()]) {
                if let Some(from) = keys[input.index()].clone().filter(|f| *f != key) {
                    outputs.entry(from.clone()).or_insert_with(|| graph.ty(*input).to_string());
                    edges.insert((from, key.clone()));
                }
            }
        }
        let values = graph.outputs.iter().filter(|o| matches!(o.kind, OutputKind::Value(_)));
        let mut ends: Vec<NodeId> = values.map(|o| o.node).collect();
        if graph.outputs.is_empty() {
            // A model by itself gives what comes last.
            ends.extend(graph.ids().rfind(|id| keys[id.index()].is_some()));
        }
        for end in ends.into_iter().filter(|_| self.drawn.nets.is_empty()) {
            for node in &behind[end.index()] {
                if let Some(from) = keys[node.index()].clone() {
                    outputs.entry(from.clone()).or_insert_with(|| graph.ty(*node).to_string());
                    edges.insert((from, Key::Output));
                }
            }
        }
        self.only_nets(&mut order, &mut edges);
        if edges.iter().any(|e| e.1 == Key::Output) {
            order.push(Key::Output);
        }
        let place: BTreeMap<&Key, usize> = order.iter().enumerate().map(|(i, k)| (k, i)).collect();
        let mut picture = Picture {
            title: self.drawn.title.clone(),
            units: Vec::new(),
            groups: vec![Group { label: self.drawn.title.clone(), times: 1, parent: None, members: Vec::new() }],
            edges: Vec::new(),
        };
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for key in &order {
            let group = match key {
                Key::Layer(path) => self.group(path.rsplit_once('.').map_or("", |p| p.0), &mut groups, &mut picture),
                Key::Expression(path, _) => self.group(path, &mut groups, &mut picture),
                _ => 0,
            };
            let unit = picture.units.len();
            picture.units.push(self.unit(key, group, outputs.get(key)));
            picture.groups[group].members.push(Member::Unit(unit));
        }
        // What leads back comes from layers that are drawn once for many.
        let forward = edges.iter().filter_map(|(a, b)| Some((*place.get(a)?, *place.get(b)?))).filter(|(a, b)| a < b);
        picture.edges = forward.collect();
        picture
    }

    /// Leaves the nets, what leads to them, and an end for what leaves them.
    fn only_nets(&self, order: &mut Vec<Key>, edges: &mut BTreeSet<(Key, Key)>) {
        if self.drawn.nets.is_empty() {
            return;
        }
        let path = |k: &Key| match k {
            Key::Layer(path) | Key::Expression(path, _) => path.clone(),
            _ => String::new(),
        };
        let inside = |k: &Key| self.drawn.nets.iter().any(|net| is_below(net, &path(k)));
        let mut kept: BTreeSet<Key> = order.iter().filter(|k| inside(k)).cloned().collect();
        let leaving: BTreeSet<Key> =
            edges.iter().filter(|(a, b)| inside(a) && !inside(b)).map(|(a, _)| a.clone()).collect();
        for key in order.iter().rev() {
            if edges.iter().any(|(a, b)| a == key && kept.contains(b)) {
                kept.insert(key.clone());
            }
        }
        order.retain(|k| kept.contains(k));
        edges.retain(|(a, b)| kept.contains(a) && kept.contains(b));
        // What another part of the picture takes up is no end.
        let ends = leaving.into_iter().filter(|k| !edges.iter().any(|(a, b)| a == k && !inside(b)));
        let ends: Vec<Key> = ends.collect();
        edges.extend(ends.into_iter().map(|k| (k, Key::Output)));
    }

    /// The group of a path, made if it is not there.
    fn group(&self, path: &str, groups: &mut BTreeMap<String, usize>, picture: &mut Picture) -> usize {
        if path.is_empty() {
            return 0;
        }
        if let Some(group) = groups.get(path) {
            return *group;
        }
        let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = self.group(above, groups, picture);
        let group = picture.groups.len();
        let label = match self.rows.get(path) {
            // A number is a place in a chain and says nothing.
            Some(row) if name.parse::<usize>().is_ok() => row.layer.clone(),
            Some(row) if row.layer != name => format!("{name}: {}", row.layer),
            _ => name.to_string(),
        };
        let times = self.times.get(path).copied().unwrap_or(1);
        picture.groups.push(Group { label, times, parent: Some(parent), members: Vec::new() });
        picture.groups[parent].members.push(Member::Group(group));
        groups.insert(path.to_string(), group);
        group
    }

    fn unit(&self, key: &Key, group: usize, output: Option<&String>) -> Unit {
        let output = output.cloned().unwrap_or_default();
        match key {
            Key::Input(index) => {
                let label = self.drawn.fields.get(*index as usize).cloned().unwrap_or_else(|| "input".into());
                Unit { label, name: String::new(), kind: Kind::Input, output, group }
            }
            Key::Output => Unit { label: "output".into(), name: String::new(), kind: Kind::Output, output, group },
            Key::Layer(path) => {
                let row = self.rows[path.as_str()];
                let name = path.rsplit('.').next().unwrap_or("");
                let written = self.written(row.span);
                let label = if written.starts_with(&row.layer) { written } else { row.layer.clone() };
                // A number is a place in a chain and says nothing.
                let name = if name.parse::<usize>().is_ok() || name == row.layer { "" } else { name };
                Unit { label, name: name.into(), kind: kind_of(&row.layer), output, group }
            }
            Key::Expression(_, span) => {
                let label = self.written(*span);
                let word: String = label.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let kind = if word.contains("attention") { Kind::Attention } else { Kind::Function };
                Unit { label, name: String::new(), kind, output, group }
            }
        }
    }

    /// What the program says there, on one line.
    fn written(&self, span: Span) -> String {
        let text = self.sources.text(span).split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().count() <= LONGEST {
            return text;
        }
        if let Some((_, last)) = text.rsplit_once("|> ") {
            return format!("… |> {}", last.split('(').next().unwrap_or(""));
        }
        let head = text.split('(').next().unwrap_or("").to_string();
        let is_call = !head.is_empty() && head.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        if is_call { format!("{head}(…)") } else { text.chars().take(LONGEST - 1).collect::<String>() + "…" }
    }
}

fn types(row: &LayerRow) -> String {
    row.output.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether a path is an instance or something in it.
fn is_below(instance: &str, path: &str) -> bool {
    path.strip_prefix(instance).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn kind_of(layer: &str) -> Kind {
    if layer.contains("Norm") || layer.contains("Dropout") {
        Kind::Norm
    } else if layer.contains("Attention") {
        Kind::Attention
    } else if layer.contains("Pool") {
        Kind::Function
    } else {
        Kind::Layer
    }
}
