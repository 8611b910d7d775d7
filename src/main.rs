use std::path::Path;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    match nnc::driver::check_file(Path::new(&path), &Default::default()) {
        Ok(c) => {
            print!("{}", nnc::diag::render(&c.diagnostics, &c.sources, nnc::diag::Format::Human, false));
            if std::env::args().nth(2).is_some() {
                for t in &c.program.tasks {
                    if let Some(t) = &t.train {
                        println!("{}", nnc::graph::print(&t.graph));
                    }
                    println!("{}", nnc::graph::print(&t.eval.graph));
                }
            }
        }
        Err(e) => println!("{e:?}"),
    }
}
