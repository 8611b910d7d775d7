//! Pictures of a small net by hand.

use super::layout::{Cell, layout};
use super::{Group, Kind, Member, Picture, Unit};

/// input → a → b → output, and a line from the input past both; `a` and `b` stand in a group.
fn picture() -> Picture {
    let unit = |label: &str, kind, group| Unit {
        label: label.into(),
        name: String::new(),
        kind,
        output: format!("f32[{label} & more]"),
        group,
    };
    let root = Group { label: "net".into(), times: 1, parent: None, members: vec![] };
    let inner =
        Group { label: "body".into(), times: 3, parent: Some(0), members: vec![Member::Unit(1), Member::Unit(2)] };
    let members = vec![Member::Unit(0), Member::Group(1), Member::Unit(3)];
    Picture {
        title: "net <1>".into(),
        units: vec![
            unit("x", Kind::Input, 0),
            unit("a", Kind::Layer, 1),
            unit("b", Kind::Function, 1),
            unit("y", Kind::Output, 0),
        ],
        groups: vec![Group { members, ..root }, inner],
        edges: vec![(0, 1), (0, 3), (1, 2), (2, 3)],
    }
}

#[test]
fn lines_lead_down_and_pass_rows_in_lanes() {
    let rows = layout(&picture());
    assert_eq!(rows[0].len(), 3);
    assert_eq!(rows[0][0], [Cell::Member(Member::Unit(0))]);
    assert_eq!(rows[0][1].len(), 2);
    assert!(rows[0][1].contains(&Cell::Lane(1)));
    assert_eq!(rows[1], [[Cell::Member(Member::Unit(1))], [Cell::Member(Member::Unit(2))]]);
}

#[test]
fn every_form_names_boxes_shapes_and_repetitions() {
    let picture = picture();
    let (svg, html, dot) = (picture.svg(), picture.html(), picture.dot());
    assert!(svg.contains("net &lt;1&gt;") && svg.contains("f32[a &amp; more]") && svg.contains("body  × 3"), "{svg}");
    assert_eq!(svg.matches("marker-end").count(), 4);
    assert!(html.contains("id=\"u2\"") && html.contains("[0,3,1]") && html.contains("× 3"), "{html}");
    assert!(!html.contains("http"), "nothing from elsewhere");
    assert!(dot.contains("u0 -> u3 [label = \"f32[x & more]\"]") && dot.contains("subgraph cluster_1"), "{dot}");
}
