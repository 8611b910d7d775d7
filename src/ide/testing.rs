//! For tests of this folder: texts checked without a disk, and a cursor in them.

use super::{Analysis, Facts, Input, Syntax, check, check_again};
use crate::data_facts::OpenFacts;
use crate::uses::Files;
use std::path::{Path, PathBuf};

/// A disk without files.
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn with<T>(text: &str, run: impl FnOnce(Input, Syntax) -> T) -> T {
    let data = OpenFacts::new(PathBuf::new());
    let input =
        Input { name: "t.nn", text: text.into(), folder: Path::new(""), files: &NoFiles, data: &data, only: None };
    run(input, Syntax::of(text))
}

pub fn facts(text: &str) -> Facts {
    with(text, |input, syntax| check(&input, &syntax))
}

pub fn facts_again(text: &str, before: &Facts) -> Facts {
    with(text, |input, syntax| check_again(input, &syntax, before))
}

pub fn analysis(text: &str) -> Analysis {
    with(text, |input, _| Analysis::new(&input))
}

/// A text whose cursor is written `$0`.
pub fn at_cursor(fixture: &str) -> (Analysis, usize) {
    let offset = fixture.find("$0").expect("the fixture has a cursor");
    (analysis(&fixture.replacen("$0", "", 1)), offset)
}
