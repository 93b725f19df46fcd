//! What differs between two answers, and where it may.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::ask::{Heard, Query};
use super::message::{Record, Response, flag};
use super::pair::Exchange;
use super::rules::{RULES, Rule};

/// Something in which answers can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Aspect {
    /// Whether there is an answer.
    Heard,
    Rcode,
    Opcode,
    Authoritative,
    Truncated,
    RecursionDesired,
    RecursionAvailable,
    AuthenticData,
    CheckingDisabled,
    /// The bit that has to be zero.
    Zero,
    Question,
    Answer,
    Authority,
    Additional,
    /// Names differ in case alone.
    Case,
    /// Whether there is an OPT record.
    Opt,
    /// The datagrams that the server takes.
    OptLen,
    /// Its version and flags.
    OptFlags,
    OptOptions,
}

/// How many exchanges each rule explained, and those that none did.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) hits: BTreeMap<&'static str, usize>,
    pub(super) unexplained: Vec<Unexplained>,
    pub(super) exchanges: usize,
}

/// A difference without a rule.
#[derive(Debug)]
pub(super) struct Unexplained {
    zone: String,
    aspects: BTreeSet<Aspect>,
    exchange: Exchange,
}

impl Findings {
    /// Looks at what both servers said.
    pub(super) fn judge(&mut self, zone: &str, exchange: Exchange) {
        self.exchanges += 1;
        let mut aspects = aspects(&exchange);
        for rule in &RULES {
            let explained: Vec<Aspect> = rule
                .aspects
                .iter()
                .filter(|aspect| aspects.contains(aspect))
                .copied()
                .collect();
            if !explained.is_empty() && rule.applies(&exchange) {
                *self.hits.entry(rule.name).or_default() += 1;
                for aspect in explained {
                    aspects.remove(&aspect);
                }
            }
        }
        if !aspects.is_empty() {
            self.unexplained.push(Unexplained {
                zone: zone.to_owned(),
                aspects,
                exchange,
            });
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.unexplained.extend(other.unexplained);
        for (name, count) in other.hits {
            *self.hits.entry(name).or_default() += count;
        }
    }

    /// Fails if there is a difference without a rule, or a rule without a difference.
    pub(super) fn verdict(&self) -> Result<(), String> {
        if !self.unexplained.is_empty() {
            return Err(self.to_string());
        }
        let is_hit = |rule: &&Rule| self.hits.contains_key(rule.name);
        let idle: Vec<String> = RULES
            .iter()
            .filter(|rule| !is_hit(rule))
            .map(|rule| format!("{} ({})", rule.name, rule.why))
            .collect();
        match idle.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "these differences no longer occur: {}",
                idle.join(", ")
            )),
        }
    }
}

/// Examples of each kind of difference.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EXAMPLES_MAX: usize = 2;
        let mut kinds: BTreeMap<String, Vec<&Unexplained>> = BTreeMap::new();
        for found in &self.unexplained {
            let code = |heard: &Heard| match heard {
                Heard::Response(response) => response.rcode.to_string(),
                _ => "-".to_owned(),
            };
            let (named, ours) = (&found.exchange.named, &found.exchange.ours);
            let aspects = &found.aspects;
            let kind = format!("{aspects:?} rcode {} and {}", code(named), code(ours));
            kinds.entry(kind).or_default().push(found);
        }
        writeln!(
            f,
            "{} of {} answers differ without reason",
            self.unexplained.len(),
            self.exchanges
        )?;
        for (kind, found) in kinds {
            writeln!(f, "\n{kind}: {} times", found.len())?;
            for found in found.iter().take(EXAMPLES_MAX) {
                let Exchange {
                    shown, named, ours, ..
                } = &found.exchange;
                writeln!(f, "  zone {}: {shown}", found.zone)?;
                writeln!(f, "    named: {named}\n    ours:  {ours}")?;
            }
        }
        Ok(())
    }
}

/// In what the two answers differ.
fn aspects(exchange: &Exchange) -> BTreeSet<Aspect> {
    let (named, ours) = match (&exchange.named, &exchange.ours) {
        (Heard::Response(named), Heard::Response(ours)) => (named, ours),
        (named, ours) if named == ours => return BTreeSet::new(),
        _ => return BTreeSet::from([Aspect::Heard]),
    };
    let mut found = BTreeSet::new();
    let mut differs = |aspect, is_different: bool| {
        if is_different {
            found.insert(aspect);
        }
    };
    differs(Aspect::Rcode, named.rcode != ours.rcode);
    for (aspect, bits) in [
        (Aspect::Opcode, 0x7800),
        (Aspect::Authoritative, flag::AA),
        (Aspect::Truncated, flag::TC),
        (Aspect::RecursionDesired, flag::RD),
        (Aspect::RecursionAvailable, flag::RA),
        (Aspect::Zero, 0x40),
        (Aspect::AuthenticData, flag::AD),
        (Aspect::CheckingDisabled, flag::CD),
    ] {
        differs(aspect, (named.flags ^ ours.flags) & bits != 0);
    }
    differs(Aspect::Question, named.question != ours.question);
    let mut same_but_for_case = false;
    for (aspect, section) in SECTIONS {
        let (named, ours) = (section(named), section(ours));
        let is_same = folded(named) == folded(ours);
        differs(aspect, !is_same);
        same_but_for_case |= is_same && sorted(named) != sorted(ours);
    }
    differs(Aspect::Case, same_but_for_case);
    match (&named.opt, &ours.opt) {
        (Some(named), Some(ours)) => {
            differs(Aspect::OptLen, named.udp_len_max != ours.udp_len_max);
            let flags = |opt: &super::message::Opt| (opt.version, opt.flags);
            differs(Aspect::OptFlags, flags(named) != flags(ours));
            differs(Aspect::OptOptions, named.options != ours.options);
        }
        (None, None) => {}
        _ => differs(Aspect::Opt, true),
    }
    found
}

type Section = fn(&Response) -> &Vec<Record>;

const SECTIONS: [(Aspect, Section); 3] = [
    (Aspect::Answer, |response| &response.answer),
    (Aspect::Authority, |response| &response.authority),
    (Aspect::Additional, |response| &response.additional),
];

/// Records as a set, but one that is there twice is not there once.
pub(super) fn folded(records: &[Record]) -> Vec<Record> {
    let folded: Vec<Record> = records.iter().map(Record::folded).collect();
    sorted(&folded)
}

fn sorted(records: &[Record]) -> Vec<Record> {
    let mut sorted = records.to_vec();
    sorted.sort();
    sorted
}

impl Rule {
    fn applies(&self, exchange: &Exchange) -> bool {
        let (Heard::Response(named), Heard::Response(ours)) = (&exchange.named, &exchange.ours)
        else {
            return (self.heard)(exchange);
        };
        (self.when)(&Compared {
            query: exchange.query.as_ref(),
            shown: &exchange.shown,
            named,
            ours,
        })
    }
}

/// Two responses to one message.
#[derive(Debug)]
pub(super) struct Compared<'a> {
    /// `None`: the message was no query.
    pub(super) query: Option<&'a Query>,
    pub(super) shown: &'a str,
    pub(super) named: &'a Response,
    pub(super) ours: &'a Response,
}
