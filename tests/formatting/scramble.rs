//! Other layouts of a program: blanks more or less, line ends in brackets, comments at line ends and between lines.

/// What every inserted comment begins with.
pub const COMMENT: &str = "// put in";

struct Random(u64);

impl Random {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }
}

/// The program in a random layout.
pub fn scramble(text: &str, seed: u64) -> String {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut out = String::new();
    // Open round and square brackets of each open brace: in them line ends mean nothing.
    let mut depth = vec![0i32];
    let mut comments = 0;
    let mut comment = |out: &mut String| {
        comments += 1;
        *out += &format!("{COMMENT} {comments}");
    };
    for line in text.lines() {
        if random.draw(20) == 0 {
            comment(&mut out);
            out.push('\n');
        }
        if random.draw(30) == 0 {
            out.push_str("\n\n");
        }
        let (mut quoted, mut escaped, mut commented) = (false, false, false);
        let mut chars = line.chars().peekable();
        let mut before = ' ';
        while let Some(c) = chars.next() {
            // A type stands on the line of its colon: what is bound below would be read as a new statement.
            let typed = std::mem::replace(&mut before, c) == ':';
            out.push(c);
            if quoted {
                (quoted, escaped) = (escaped || c != '"', c == '\\' && !escaped);
                continue;
            }
            commented |= c == '/' && chars.peek() == Some(&'/');
            if commented {
                continue;
            }
            match c {
                '"' => quoted = true,
                '{' => depth.push(0),
                '}' if depth.len() > 1 => drop(depth.pop()),
                '(' | '[' => *depth.last_mut().unwrap() += 1,
                ')' | ']' => *depth.last_mut().unwrap() -= 1,
                ' ' | ',' => match random.draw(12) {
                    0 => out.push_str("   "),
                    1 if depth.last().is_some_and(|d| *d > 0) && !typed => {
                        if random.draw(2) == 0 {
                            out.push(' ');
                            comment(&mut out);
                        }
                        out.push('\n');
                        if random.draw(4) == 0 {
                            comment(&mut out);
                            out.push('\n');
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        if !commented && random.draw(10) == 0 {
            out.push(' ');
            comment(&mut out);
        }
        out.push('\n');
    }
    out
}
