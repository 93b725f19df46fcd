//! The names that all servers have, and what is asked for.
//!
//! `host00000.bench.example` and so on have an address each, and each address its name.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::random::SplitMix;

/// The zone of the names.
pub(crate) const FORWARD: &str = "bench.example";
/// The zone of the addresses.
pub(crate) const REVERSE: &str = "64.10.in-addr.arpa";
/// Of every record.
pub(crate) const TTL_SECONDS: u32 = 3600;
/// RFC 1035 section 3.2.2.
pub(crate) const TYPE_A: u16 = 1;
/// RFC 1035 section 3.2.2.
pub(crate) const TYPE_PTR: u16 = 12;

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Without the dot at its end.
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) answer: Answer,
}

/// What there is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Address(Ipv4Addr),
    /// Without the dot at its end.
    Name(String),
    /// There is no such name (NXDOMAIN).
    Nothing,
}

fn host(number: u16) -> String {
    format!("host{number:05}.{FORWARD}")
}

fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 64, high, low)
}

fn reverse(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("{low}.{high}.{REVERSE}")
}

/// Writes both zones as BIND's files, and the same as a hosts file: `forward.zone`, `reverse.zone`,
/// `hosts`.
///
/// # Errors
/// A text that names the file.
pub(crate) fn write_files(directory: &Path, names: u16) -> Result<(), String> {
    let head = format!(
        "$TTL {TTL_SECONDS}\n@ IN SOA ns.{FORWARD}. admin.{FORWARD}. 1 3600 900 604800 3600\n\
         @ IN NS ns.{FORWARD}.\n"
    );
    let mut forward = format!("$ORIGIN {FORWARD}.\n{head}ns IN A 10.65.0.1\n");
    let mut backward = format!("$ORIGIN {REVERSE}.\n{head}");
    let mut hosts = String::new();
    for number in 0..names {
        let (host, address, reverse) = (host(number), address(number), reverse(number));
        // Writing to a String cannot fail.
        let _ = writeln!(forward, "{host}. IN A {address}");
        let _ = writeln!(backward, "{reverse}. IN PTR {host}.");
        let _ = writeln!(hosts, "{address} {host}");
    }
    for (name, text) in [
        ("forward.zone", forward),
        ("reverse.zone", backward),
        ("hosts", hosts),
    ] {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Each name and each address once, in order.
pub(crate) fn all(names: u16) -> impl Iterator<Item = Question> {
    (0..names).flat_map(|number| [forward_question(number), reverse_question(number)])
}

/// Which of the two zones is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Forward,
    Reverse,
}

/// Questions drawn at random, the same for the same seed: one in twenty for a name that there is
/// not.
pub(crate) fn drawn(zone: Zone, names: u16, count: usize, seed: u64) -> Vec<Question> {
    let mut random = SplitMix(seed);
    let mut draw = || {
        // Of no weight here: the smallest numbers are drawn a little more often.
        let number = (random.next() % u64::from(names.max(1))) as u16;
        let is_absent = random.next().is_multiple_of(20);
        match (zone, is_absent) {
            (Zone::Forward, false) => forward_question(number),
            (Zone::Reverse, false) => reverse_question(number),
            (Zone::Forward, true) => Question {
                name: format!("none{number:05}.{FORWARD}"),
                kind: TYPE_A,
                answer: Answer::Nothing,
            },
            (Zone::Reverse, true) => Question {
                name: reverse(u16::MAX - number),
                kind: TYPE_PTR,
                answer: Answer::Nothing,
            },
        }
    };
    (0..count).map(|_| draw()).collect()
}

fn forward_question(number: u16) -> Question {
    Question {
        name: host(number),
        kind: TYPE_A,
        answer: Answer::Address(address(number)),
    }
}

fn reverse_question(number: u16) -> Question {
    Question {
        name: reverse(number),
        kind: TYPE_PTR,
        answer: Answer::Name(host(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_in_the_zones_but_for_one_in_twenty() {
        let names: Vec<Question> = all(1000).collect();
        let is_absent = |question: &&Question| question.answer == Answer::Nothing;
        for zone in [Zone::Forward, Zone::Reverse] {
            let drawn = drawn(zone, 1000, 20_000, 1);
            let absent = drawn.iter().filter(is_absent).count();
            assert!((800..1200).contains(&absent), "{absent}");
            for question in &drawn {
                let is_name = names.iter().any(|known| known.name == question.name);
                assert_eq!(is_name, !is_absent(&question), "{question:?}");
            }
        }
    }
}
