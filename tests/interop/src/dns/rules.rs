//! Where our answers differ from BIND's, and why they should.

use super::comparison::{Aspect, Compared};
use super::message::{ANY, AXFR, CNAME, NS, Record, flag};
use super::pair::Exchange;

/// A difference that may be, and has to be: one that no longer occurs is taken off the list.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// For the reader; docs/dns-differences.md has the same.
    pub(super) why: &'static str,
    pub(super) aspects: &'static [Aspect],
    pub(super) when: fn(&Compared<'_>) -> bool,
    /// The same where one of the two said nothing.
    pub(super) heard: fn(&Exchange) -> bool,
}

const fn rule(
    name: &'static str,
    aspects: &'static [Aspect],
    when: fn(&Compared<'_>) -> bool,
    why: &'static str,
) -> Rule {
    Rule {
        name,
        why,
        aspects,
        when,
        heard: |_| false,
    }
}

const COOKIE: u16 = 10;
const NOTAUTH: u16 = 9;
const FORMERR: u16 = 1;
const REFUSED: u16 = 5;
const SERVFAIL: u16 = 2;

pub(super) const RULES: [Rule; 17] = [
    rule(
        "no-edns-options",
        &[Aspect::OptOptions],
        |it| {
            it.ours
                .opt
                .as_ref()
                .is_some_and(|opt| opt.options.is_empty())
        },
        "BIND sends cookies (RFC 7873), repeats a client's subnet (RFC 7871) and says how long \
         connections may last (RFC 7828). Ours has no options: all three are optional, and \
         nobody on a boot network asks for them but dig.",
    ),
    rule(
        "bad-cookie",
        &[
            Aspect::Rcode,
            Aspect::Authoritative,
            Aspect::Truncated,
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
        ],
        |it| asks_with_option(it, COOKIE) && it.named.rcode == FORMERR,
        "BIND reads cookies and calls one of a wrong length an error; who does not read them \
         ignores them as any unknown option (RFC 6891 section 6.1.2).",
    ),
    rule(
        "any-by-datagram",
        &[
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
            Aspect::Case,
            Aspect::Truncated,
        ],
        |it| is_any_by_datagram(it) && is_part(it),
        "To ANY by UDP ours answers one RRset of those that there are (RFC 8482 section 4.1), so \
         that a forged query makes no large answer; by TCP all of them, as BIND does.",
    ),
    rule(
        "case-of-owners",
        &[Aspect::Case],
        |_| true,
        "Where a zone file writes one name with different case, BIND keeps the case of each \
         RRset, ours that of the name. Names are the same whatever their case (RFC 4343).",
    ),
    rule(
        "aliases-into-other-zones",
        &[
            Aspect::Rcode,
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
            Aspect::Truncated,
        ],
        |it| leaves_for(it) && extends(it),
        "BIND that may not recurse stops where an alias leaves the zone. Ours goes on in another of \
         its zones (RFC 1034 section 4.3.2 step 3a), as BIND does where it may recurse: a stub \
         resolver would have to ask again, and many do not.",
    ),
    rule(
        "addresses-of-delegations",
        &[Aspect::Additional, Aspect::Truncated],
        |it| !it.named.has(flag::AA) && !it.ours.has(flag::AA) && has_additional_of(it),
        "BIND adds the addresses of a delegation's servers only if they lie below a cut. Ours adds \
         all that the zone knows (RFC 1034 section 4.3.2 step 3b), and saves the client a question.",
    ),
    rule(
        "what-is-cut-off",
        &[
            Aspect::Truncated,
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
        ],
        |it| it.named.has(flag::TC) && (it.ours.has(flag::TC) || it.ours.rcode == SERVFAIL),
        "Of an answer that does not fit BIND sends what fits, ours whole sets of records or none: \
         a client is to ask again by TCP either way (RFC 2181 section 9). With SERVFAIL, after \
         too many aliases, BIND sends none of them if not all fit.",
    ),
    rule(
        "any-by-connection",
        &[Aspect::Additional, Aspect::Case],
        |it| is_any(it) && it.named.additional.is_empty(),
        "To ANY by TCP ours adds the addresses that it would add to each of the types, BIND none.",
    ),
    rule(
        "axfr-by-datagram",
        &[Aspect::Rcode],
        |it| it.query.is_some_and(|query| query.kind == AXFR) && it.ours.rcode == FORMERR,
        "A whole zone is asked for by TCP (RFC 5936 section 4.2). By UDP ours says FORMERR whoever \
         asks, BIND first REFUSED or NOTAUTH to who may not have it.",
    ),
    rule(
        "no-notify",
        &[Aspect::Rcode, Aspect::Authoritative, Aspect::Question],
        |it| it.shown == "NOTIFY" && it.ours.rcode == REFUSED,
        "Ours is nobody's secondary, so it refuses NOTIFY (RFC 1996).",
    ),
    rule(
        "nothing-of-itself",
        &[
            Aspect::Rcode,
            Aspect::Authoritative,
            Aspect::Answer,
            Aspect::Authority,
        ],
        |it| is_of_class(it, 3) && it.ours.rcode == REFUSED,
        "BIND tells its version to those who ask version.bind in class CH.",
    ),
    rule(
        "headers-alone",
        &[Aspect::Question, Aspect::Opt],
        |it| it.ours.question.is_empty() && it.ours.rcode == it.named.rcode,
        "What is no query is answered by a header alone, or with an OPT record where that has the \
         code: BIND repeats the question if it could read one. Nobody who sends such things looks \
         for it, and rubbish with a forged address gets no more octets than it has.",
    ),
    rule(
        "any-class",
        &[Aspect::Rcode],
        |it| is_of_class(it, 255) && it.named.rcode == FORMERR && it.ours.rcode == REFUSED,
        "To a question for all classes BIND says FORMERR, ours REFUSED as for each class but the \
         Internet's.",
    ),
    rule(
        "records-in-queries",
        &[
            Aspect::Rcode,
            Aspect::Authoritative,
            Aspect::Question,
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
        ],
        |it| matches!(it.shown, "an answer" | "an authority") && it.ours.rcode == FORMERR,
        "BIND passes over records in the answer and authority sections of a query. No resolver has \
         any there but for IXFR, where ours reads them; else it says FORMERR.",
    ),
    rule(
        "options-unread",
        &[
            Aspect::Rcode,
            Aspect::Authoritative,
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
            Aspect::Opt,
        ],
        |it| it.shown == "an option cut off" && it.named.rcode == FORMERR,
        "BIND reads the options of EDNS and finds one that is cut off. Ours reads none.",
    ),
    rule(
        "truncated-for-authority",
        &[Aspect::Truncated, Aspect::Authority, Aspect::Additional],
        |it| is_nearly_full(it) && it.ours.answer.len() >= it.named.answer.len(),
        "Where the answer fits and the zone's servers do not, BIND says that it is truncated. Ours \
         leaves out what nobody asked for (RFC 2181 section 9). Where the addresses of a delegation \
         do not fit, ours says that it is truncated (RFC 9471 section 3.1), and BIND does not.",
    ),
    rule(
        "no-signatures-of-messages",
        &[
            Aspect::Rcode,
            Aspect::Authoritative,
            Aspect::Answer,
            Aspect::Authority,
            Aspect::Additional,
            Aspect::Opt,
        ],
        |it| it.shown.starts_with("a signature") && matches!(it.named.rcode, FORMERR | NOTAUTH),
        "BIND answers a signature (TSIG) with a key that it does not know by an error. Ours knows no \
         keys and answers as if nothing were signed.",
    ),
];

fn asks_with_option(it: &Compared<'_>, code: u16) -> bool {
    let edns = it.query.and_then(|query| query.manner.edns.as_ref());
    edns.is_some_and(|edns| edns.options.starts_with(&code.to_be_bytes()))
}

fn is_any_by_datagram(it: &Compared<'_>) -> bool {
    is_any(it) && it.query.is_some_and(|query| !query.manner.by_tcp)
}

fn is_any(it: &Compared<'_>) -> bool {
    it.query.is_some_and(|query| query.kind == ANY)
}

/// Whether what ours answers is part of what BIND answers.
fn is_part(it: &Compared<'_>) -> bool {
    let named: Vec<_> = it
        .named
        .answer
        .iter()
        .map(|record| record.folded())
        .collect();
    let ours = it.ours.answer.iter().map(|record| record.folded());
    !it.ours.answer.is_empty() && ours.into_iter().all(|record| named.contains(&record))
}

fn is_of_class(it: &Compared<'_>, class: u16) -> bool {
    it.query.is_some_and(|query| query.manner.class == class)
}

/// Whether the last alias that BIND knows of leads out of its owner's zone.
fn leaves_for(it: &Compared<'_>) -> bool {
    let last = it
        .named
        .answer
        .iter()
        .rev()
        .find(|record| record.kind == CNAME);
    let target = last.and_then(|record| record.data.names.first());
    let has = |target: &super::name::Name| {
        let target = target.folded();
        let owners = it.named.answer.iter().map(|record| record.owner.folded());
        !owners.into_iter().any(|owner| owner == target)
    };
    target.is_some_and(has)
}

/// Whether ours answers all that BIND answers.
fn extends(it: &Compared<'_>) -> bool {
    let ours: Vec<_> = it.ours.answer.iter().map(Record::folded).collect();
    let named = it.named.answer.iter().map(Record::folded);
    it.ours.has(flag::TC) || named.into_iter().all(|record| ours.contains(&record))
}

/// Whether ours has all additional records that BIND has, and more.
fn has_additional_of(it: &Compared<'_>) -> bool {
    let ours: Vec<_> = it.ours.additional.iter().map(Record::folded).collect();
    let named = it.named.additional.iter().map(Record::folded);
    let is_referral = it.ours.authority.iter().any(|record| record.kind == NS);
    is_referral && named.into_iter().all(|record| ours.contains(&record))
}

/// Whether one of the two answers has hardly room for one more address.
fn is_nearly_full(it: &Compared<'_>) -> bool {
    const ADDRESS_LEN: usize = 28;
    let edns = it.query.and_then(|query| query.manner.edns.as_ref());
    let room = edns.map_or(512, |edns| usize::from(edns.udp_len_max).clamp(512, 1232));
    let by_tcp = it.query.is_none_or(|query| query.manner.by_tcp);
    !by_tcp && it.named.len.max(it.ours.len) + ADDRESS_LEN > room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_documented() {
        let text = include_str!("../../../../docs/dns-differences.md");
        for rule in &RULES {
            let row = format!("| `{}` | {} |", rule.name, rule.why);
            assert!(
                text.contains(&row),
                "docs/dns-differences.md has no row\n{row}"
            );
        }
        assert_eq!(text.matches("\n| `").count(), RULES.len());
    }
}
