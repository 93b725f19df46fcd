//! The serial console: kept in a file, searched for what has to be there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

/// What the console printed at one time, since the Unix epoch.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) at: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// The clock of the capture and of the console.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Copies the console to a file and hands it on, with the time at which it came. The channel closes when the machine is gone.
pub(crate) fn follow(mut console: ChildStdout, log: &Path) -> Result<Receiver<Chunk>, String> {
    let mut log =
        File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = console.read(&mut buffer) {
            let bytes = buffer.get(..len).unwrap_or_default().to_vec();
            // The log is for people; the verdict needs the chunk, and the machine must not wait for either.
            let _ = log.write_all(&bytes);
            if sender.send(Chunk { at: now(), bytes }).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// The end of the console's text, without the escape sequences that move and colour it.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    text: String,
    escape: Escape,
}

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// In a control sequence (ECMA-48 section 5.4), which ends with a byte from `@` to `~`.
    Sequence,
    /// Before the one character that designates a character set.
    CharacterSet,
}

impl Screen {
    /// As much as is searched: more than any marker with what comes between two looks.
    const KEPT_BYTES: usize = 16 * 1024;

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.escape = match (&self.escape, byte) {
                (Escape::None, 0x1b) => Escape::Begun,
                (Escape::None, _) => {
                    match byte {
                        b'\r' | 0 => {}
                        // iPXE rubs out its prompt.
                        0x08 if !self.text.ends_with('\n') => {
                            self.text.pop();
                        }
                        0x08 => {}
                        b'\n' | b' '..=b'~' => self.text.push(byte.into()),
                        _ => self.text.push('?'),
                    }
                    Escape::None
                }
                (Escape::Begun, b'[') => Escape::Sequence,
                (Escape::Begun, b'(' | b')') => Escape::CharacterSet,
                (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
                (Escape::Begun | Escape::Sequence | Escape::CharacterSet, _) => Escape::None,
            };
        }
        // All of it is ASCII, so any byte is a boundary.
        if self.text.len() > 2 * Self::KEPT_BYTES {
            self.text.drain(..self.text.len() - Self::KEPT_BYTES);
        }
    }

    /// Forgets what was shown so far.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The last lines that are not empty.
    pub(crate) fn last_lines(&self, count: usize) -> Vec<&str> {
        let lines = self
            .text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty());
        let mut last: Vec<&str> = lines.rev().take(count).collect();
        last.reverse();
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_through_colours_and_chunks() {
        let mut screen = Screen::default();
        for chunk in [
            "\x1b[0m\x1b[",
            "37mDebian \x1b(0ins",
            "taller\x1b[1;40",
            "m main menu\r\n",
        ] {
            screen.add(chunk.as_bytes());
        }
        assert!(screen.shows("Debian installer main menu"));
        assert_eq!(screen.last_lines(3), ["Debian installer main menu"]);
        assert!(!screen.shows("Debian 13"));
    }

    #[test]
    fn ipxe_rubs_out_its_prompt() {
        let mut screen = Screen::default();
        screen.add(b"one\nabc\x08 \x08\x08 \x08\x08 \x08\x08net0: open");
        assert_eq!(screen.last_lines(2), ["one", "net0: open"]);
    }

    #[test]
    fn the_text_is_bounded_and_its_end_is_kept() {
        let mut screen = Screen::default();
        for line in 0..100_000 {
            screen.add(format!("line {line} \u{e9}\n").as_bytes());
        }
        assert!(screen.text.len() <= 2 * Screen::KEPT_BYTES);
        assert_eq!(screen.last_lines(2), ["line 99998 ??", "line 99999 ??"]);
    }
}
