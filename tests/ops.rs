//! The op table holds what it promises: for every record and each of its samples.

use nnc::graph::{Graph, NodeId, Origin, Output, OutputKind, parse, print_with_origins, verify};
use nnc::ops::{self, Binary, Compare, GradientRule, Op, OpDef, Reduce, Sample, TABLE, Unary};

/// A graph of one operation over fields.
fn graph_of(sample: &Sample) -> Graph<usize> {
    let mut graph = Graph::default();
    let fields: Vec<NodeId> = (0..)
        .zip(&sample.inputs)
        .map(|(i, ty)| graph.push(Op::Field(i), vec![], ty.clone(), Origin::NOWHERE))
        .collect();
    let node = match graph.try_add(sample.op.clone(), &fields, Origin::NOWHERE) {
        Ok(node) => node,
        // Declared types: any will do.
        Err(_) if matches!(sample.op, Op::Read(_) | Op::Field(_)) => {
            let ty = nnc::graph::TensorType::new(nnc::ops::DType::F32, vec![2, 3]);
            graph.push(sample.op.clone(), fields, ty, Origin::NOWHERE)
        }
        Err(fault) => panic!("{:?} of {:?}: {fault:?}", sample.op, sample.inputs),
    };
    graph.outputs.push(Output { kind: OutputKind::Value(0), node });
    graph
}

fn all_samples() -> impl Iterator<Item = (&'static OpDef, Sample)> {
    TABLE.iter().flat_map(|def| (def.samples)().into_iter().map(|sample| (*def, sample)))
}

#[test]
fn every_record_is_complete() {
    let mut names = Vec::new();
    let mut surfaces = Vec::new();
    for def in TABLE.iter() {
        assert!(!names.contains(&def.name), "two records `{}`", def.name);
        names.push(def.name);
        assert!(def.doc.len() > 4 && def.doc.contains(['.', ';']), "{}: no documentation", def.name);
        assert!(!def.doc.contains("  "), "{}: a line break went into the text", def.name);
        match def.gradient {
            GradientRule::Rule(_) => {}
            GradientRule::None(why) | GradientRule::Missing(why) => assert!(!why.is_empty(), "{}", def.name),
        }
        let samples = (def.samples)();
        assert!(!samples.is_empty(), "{}: no samples", def.name);
        for sample in samples {
            assert_eq!(ops::def_of(&sample.op).name, def.name);
            assert_eq!(sample.inputs.len(), sample.domains.len(), "{}", def.name);
        }
        for surface in def.surfaces {
            assert!(!surfaces.contains(&surface.name), "two surfaces `{}`", surface.name);
            surfaces.push(surface.name);
            assert_eq!(ops::surface(surface.name).map(|(d, _)| d.name), Some(def.name));
        }
    }
}

#[test]
fn families_stand_in_order() {
    let family = |op: Op<usize>, name: &str| assert_eq!(ops::def_of(&op).name, name);
    Unary::ALL.iter().for_each(|u| family(Op::Unary(*u), u.name()));
    Compare::ALL.iter().for_each(|c| family(Op::Compare(*c), c.name()));
    Reduce::ALL.iter().for_each(|r| family(Op::Reduce { op: *r, axes: vec![] }, r.name()));
    for b in Binary::ALL {
        // The reductions have the short names.
        let name = match b {
            Binary::Max => "maximum",
            Binary::Min => "minimum",
            other => other.name(),
        };
        family(Op::Binary(*b), name);
    }
}

#[test]
fn samples_make_sound_graphs_and_survive_text() {
    for (def, sample) in all_samples() {
        let graph = graph_of(&sample);
        assert_eq!(verify(&graph), Ok(()), "{}", def.name);
        let text = print_with_origins(&graph);
        match parse(&text) {
            Ok(again) => assert_eq!(again, graph, "{text}"),
            Err(error) => panic!("{error}\n{text}"),
        }
    }
}
