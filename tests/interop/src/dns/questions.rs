//! What is asked of a zone: its names and those near, below, above and beside them, in all manners.

use std::collections::BTreeSet;

use super::ask::{Edns, Manner, Query};
use super::chance::Chance;
use super::message::{A, ANY, AXFR, CNAME, IXFR, OPT, TYPES, flag};
use super::name::Name;
use super::zone::Content;

/// Questions of a zone at least.
pub(super) const QUESTIONS_MIN: usize = 200;
/// Questions of a zone at most: names of a large zone are much the same.
const QUESTIONS_MAX: usize = 600;

/// The manners in which questions are asked.
pub(super) fn manners() -> Vec<Manner> {
    let manner = |by_tcp, flags, edns| Manner {
        by_tcp,
        flags,
        class: 1,
        edns,
    };
    let dnssec = |len| Edns {
        flags: 0x8000,
        ..Edns::of_len(len)
    };
    let with = |options: &[u8]| Edns {
        options: options.to_vec(),
        ..Edns::of_len(1232)
    };
    // BIND limits by rate what it says of itself, by datagrams.
    let of_class = |class| Manner {
        class,
        ..manner(class == 3, flag::RD, None)
    };
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    vec![
        // As dig asks, but for its cookie.
        manner(false, flag::RD | flag::AD, Some(Edns::of_len(1232))),
        manner(false, 0, None),
        manner(false, flag::RD, None),
        manner(true, flag::RD, Some(Edns::of_len(1232))),
        manner(true, 0, None),
        manner(false, 0, Some(dnssec(512))),
        manner(false, flag::RD | flag::CD, Some(dnssec(4096))),
        manner(false, 0, Some(Edns::of_len(0))),
        manner(true, flag::CD, Some(dnssec(4096))),
        manner(false, flag::AD, Some(Edns::of_len(1410))),
        manner(
            false,
            flag::RD,
            Some(Edns {
                version: 1,
                ..Edns::of_len(1232)
            }),
        ),
        of_class(3),
        of_class(255),
        of_class(4),
        // NSID, a client's subnet, keepalive, padding, an unknown option, a cookie, a bad cookie.
        manner(false, 0, Some(with(&[0, 3, 0, 0]))),
        manner(false, 0, Some(with(&subnet))),
        manner(true, 0, Some(with(&[0, 11, 0, 0]))),
        manner(false, 0, Some(with(&[0, 12, 0, 2, 0, 0]))),
        manner(false, 0, Some(with(&[0xfd, 0xe9, 0, 1, 7]))),
        manner(false, flag::RD, Some(with(&cookie))),
        manner(false, flag::RD, Some(with(&[0, 10, 0, 3, 1, 2, 3]))),
        // Bits that mean nothing in a query.
        manner(false, flag::AA | flag::TC | flag::RA | 0x40, None),
        manner(false, 3, None),
    ]
}

/// The questions of a zone, the same in each run.
pub(super) fn questions(content: &Content) -> Vec<Query> {
    let mut chance = Chance::of_text(&content.origin.to_string());
    let names = names(content, &mut chance);
    let manners = manners();
    let mut queries = Vec::new();
    let mut turn = chance.below(manners.len());
    let mut ask = |name: &Name, kind: u16, queries: &mut Vec<Query>| {
        turn += 1;
        // Every other question comes as most clients ask.
        let manner = match turn % 2 {
            0 => turn / 2 % 5,
            _ => turn / 2 % manners.len(),
        };
        let manner = manners[manner].clone();
        queries.push(Query {
            name: name.clone(),
            kind,
            manner: manner_for(kind, manner),
        });
    };
    for name in &names {
        let folded = name.folded();
        let own = content
            .owners
            .iter()
            .find(|(owner, _)| owner.folded() == folded);
        let own = own.map(|(_, kinds)| kinds.clone()).unwrap_or_default();
        let mut kinds: BTreeSet<u16> = own;
        kinds.extend([A, CNAME, ANY, TYPES[chance.below(TYPES.len())].1]);
        for kind in kinds {
            ask(name, kind, &mut queries);
        }
    }
    // Each type of the zone's name and of one more, in each manner.
    for (_, kind) in TYPES {
        ask(&content.origin, kind, &mut queries);
        ask(chance.of(&names), kind, &mut queries);
    }
    for kind in [0, 3, 251, 253, 254, 256, 32_768, 65_535] {
        ask(&content.origin, kind, &mut queries);
    }
    while queries.len() < QUESTIONS_MIN {
        let kind = TYPES[chance.below(TYPES.len())].1;
        ask(chance.of(&names), kind, &mut queries);
    }
    while queries.len() > QUESTIONS_MAX {
        queries.swap_remove(chance.below(queries.len()));
    }
    for manner in &manners {
        queries.push(Query {
            manner: manner.clone(),
            ..Query::plain(content.origin.clone(), 6)
        });
    }
    queries
}

/// A transfer over TCP is no answer of one message: see `transfer`.
fn manner_for(kind: u16, manner: Manner) -> Manner {
    match kind {
        AXFR | IXFR | OPT => Manner {
            by_tcp: false,
            class: 1,
            ..manner
        },
        _ => manner,
    }
}

fn names(content: &Content, chance: &mut Chance) -> Vec<Name> {
    let origin = &content.origin;
    let mut names = vec![origin.clone()];
    let mut add = |name: Option<Name>| names.extend(name);
    for owner in content.owners.keys() {
        add(Some(owner.clone()));
        add(Some(owner.map(u8::to_ascii_uppercase)));
        add(Some(near(owner, 0)));
        add(Some(near(owner, chance.below(owner.labels().len()))));
        add(owner.child(b"below"));
        add(owner.child(b"*"));
        let deep = owner.child(b"c").and_then(|name| name.child(b"b"));
        add(deep.and_then(|name| name.child(b"a")));
        // Its parents up to the zone's name: some have no records of their own.
        let mut above = owner.parent();
        while let Some(name) = above.filter(|name| name.is_within(origin) && name != origin) {
            add(Some(name.clone()));
            add(name.child(b"beside"));
            above = name.parent();
        }
    }
    for target in &content.targets {
        add(Some(target.clone()));
    }
    let mut above = origin.parent();
    while let Some(name) = above {
        add(Some(name.clone()));
        add(name.child(b"sister"));
        above = name.parent();
    }
    for text in [
        ".",
        "www.example.net.",
        "localhost.",
        "version.bind.",
        "1.0.0.127.in-addr.arpa.",
        "1.0.0.10.in-addr.arpa.",
        "1.0.168.192.in-addr.arpa.",
        "a.root-servers.net.",
    ] {
        add(Name::of_text(text));
    }
    for label in [
        &b"*"[..],
        b"\0",
        b"a.b",
        b" ",
        b"\xff\xfe",
        b"_tcp",
        b"xn--bcher-kva",
        b"-",
        &[b'l'; 63],
    ] {
        add(origin.child(label));
    }
    add(longest(origin));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The name with an octet of one label changed.
fn near(name: &Name, which: usize) -> Name {
    let mut labels = name.labels().to_vec();
    if let Some(octet) = labels.get_mut(which).and_then(|label| label.last_mut()) {
        *octet = match octet.to_ascii_lowercase() {
            b'z' | b'9' => *octet - 1,
            _ => *octet + 1,
        };
    }
    Name::of_labels(labels).unwrap_or_else(|| name.clone())
}

/// A name below this one to which not one octet can be added.
fn longest(name: &Name) -> Option<Name> {
    let mut longest = name.clone();
    for len in (1..=63).rev() {
        while let Some(longer) = longest.child(&vec![b'x'; len]) {
            longest = longer;
        }
    }
    Some(longest)
}
