//! GRUB's own parser against ours: `grub-script-check` accepts what [`GrubParser`] reads without a syntax
//! error, and nothing else.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use pxe_menu::{Code, GrubParser, Limits};

use crate::LoneTest;

pub(crate) const TESTS: &[LoneTest] =
    &[("grub_script_check_agrees_on_what_is_a_syntax_error", agrees)];

const FIXTURES: [&str; 5] = [
    include_str!("../../../pxe-menu/tests/grub_cfg/debian.cfg"),
    include_str!("../../../pxe-menu/tests/grub_cfg/fedora.cfg"),
    include_str!("../../../pxe-menu/tests/grub_cfg/opensuse.cfg"),
    include_str!("../../../pxe-menu/tests/grub_cfg/site.cfg"),
    include_str!("../../../pxe-menu/tests/grub_cfg/ubuntu.cfg"),
];

/// Pieces that mean something to the parser.
const PIECES: [&str; 38] = [
    "'",
    "\"",
    "\\",
    "\\\n",
    "\n",
    ";",
    ";;",
    "{",
    "}",
    "$",
    "${",
    "$x",
    "${x}",
    "$\"",
    "#",
    " ",
    "&&",
    "||",
    "<",
    ">",
    "[[",
    "]]",
    "if ",
    "then ",
    "else\n",
    "elif ",
    "fi",
    "for ",
    "in ",
    "do ",
    "done",
    "while ",
    "function ",
    "a",
    "a=b",
    "menuentry x { true }\n",
    "true",
    "!",
];

/// How many changed configurations are compared.
const CHANGED: usize = 3000;

fn agrees(_server: &Path) -> Result<(), String> {
    for fixture in FIXTURES {
        if !agree_on(fixture.as_bytes())? {
            return Err("GRUB refuses a configuration of the tests".to_owned());
        }
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..CHANGED {
        let fixture = FIXTURES[random.below(FIXTURES.len())];
        accepted += usize::from(agree_on(&random.changed(fixture))?);
    }
    let share = accepted * 100 / CHANGED;
    println!("        grub-script-check: {share} % of {CHANGED} are accepted");
    if !(5..95).contains(&share) {
        return Err("the changes make no difference, or leave nothing whole".to_owned());
    }
    Ok(())
}

/// Whether both accept a configuration; an error if only one does.
fn agree_on(text: &[u8]) -> Result<bool, String> {
    let (ours, theirs) = (accepts(text), grub_accepts(text)?);
    if ours == theirs {
        return Ok(ours);
    }
    let text = String::from_utf8_lossy(text);
    Err(format!(
        "GRUB accepts it: {theirs}; the crate does: {ours}\n{text}"
    ))
}

fn accepts(text: &[u8]) -> bool {
    let mut parser = GrubParser::new("grub.cfg", Limits::default());
    if let Some(need) = parser.poll_need() {
        parser.provide(need.id, text);
    }
    let resolution = parser.finish();
    let mut told = resolution.diagnostics.iter();
    !told.any(|told| told.code == Code::SyntaxError)
}

fn grub_accepts(text: &[u8]) -> Result<bool, String> {
    let mut child = Command::new("grub-script-check")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run grub-script-check: {error}"))?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    // It reads no further than to the first error.
    drop(input.write_all(text));
    drop(input);
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    Ok(output.status.success() || !errors.contains("yntax error"))
}

/// xorshift64*: the same changes in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or_default() % bound
    }

    /// One to three changes: a piece put in, a few bytes taken out, or a line put elsewhere.
    fn changed(&mut self, text: &str) -> Vec<u8> {
        // Half of a text is quicker to read, and what is cut through is a change as well.
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 | 1 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.bytes());
                }
                2 => {
                    let end = (at + 1 + self.below(4)).min(bytes.len());
                    bytes.drain(at..end);
                }
                _ => {
                    let mut lines: Vec<Vec<u8>> = bytes
                        .split_inclusive(|byte| *byte == b'\n')
                        .map(<[u8]>::to_vec)
                        .collect();
                    let (from, to) = (self.below(lines.len()), self.below(lines.len()));
                    let line = lines.remove(from);
                    lines.insert(to.min(lines.len()), line);
                    bytes = lines.concat();
                }
            }
        }
        // GRUB itself never sees a line that begins with `#` (`read_config_file_getline`), not even within
        // quotes; grub-script-check does.
        let line_ends = [&b"\n"[..], &bytes].concat();
        let text = String::from_utf8_lossy(&line_ends).replace("\n#", "\n #");
        text.into_bytes()
    }
}
