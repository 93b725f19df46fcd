//! The rules once more, written for nothing but to be read: each look-up goes through all records.

use proptest::prelude::*;

use super::tests::{answer, name, query, zones};
use super::*;
use crate::wire::flag;
use crate::{Rcode, Transport};

const ORIGIN: &str = "z.";

/// What is expected of a response to one who desires recursion.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    rcode: Rcode,
    is_authoritative: bool,
    answers: Vec<(Name, RecordType, Vec<u8>)>,
    /// The owner of the SOA or NS records in the authority section.
    authority: Option<(Name, RecordType)>,
}

struct Model<'r> {
    records: &'r [Record],
}

impl Model<'_> {
    fn of<'m>(&'m self, owner: &'m Name, kind: RecordType) -> impl Iterator<Item = &'m Record> {
        let records = self.records.iter();
        records.filter(move |record| record.owner == *owner && record.kind == kind)
    }

    fn has(&self, owner: &Name, kind: RecordType) -> bool {
        self.of(owner, kind).next().is_some()
    }

    fn has_any(&self, owner: &Name) -> bool {
        self.records.iter().any(|record| record.owner == *owner)
    }

    /// Whether the name, or one below it, has records.
    fn exists(&self, wanted: &Name) -> bool {
        let mut owners = self.records.iter().map(|record| record.owner.as_ref());
        owners.any(|owner| owner.is_within(wanted.as_ref()))
    }

    fn answer(&self, wanted: &Name, kind: RecordType) -> Expected {
        let mut expected = Expected {
            rcode: Rcode::NOERROR,
            is_authoritative: true,
            answers: Vec::new(),
            authority: None,
        };
        let mut wanted = wanted.clone();
        let mut seen = Vec::new();
        let origin = name(ORIGIN);
        for round in 0.. {
            if seen.contains(&wanted) || round == 12 {
                expected.rcode = Rcode::SERVFAIL;
                return expected;
            }
            seen.push(wanted.clone());
            if !wanted.as_ref().is_within(origin.as_ref()) {
                return expected;
            }
            // From the apex down (RFC 1034 section 4.3.2, step 3).
            let mut path: Vec<Name> = std::iter::successors(Some(wanted.as_ref()), |n| n.parent())
                .take_while(|n| n.is_within(origin.as_ref()))
                .map(NameRef::to_name)
                .collect();
            path.reverse();
            let mut renamed = None;
            for above in &path {
                let is_parents = *above == wanted && kind == RecordType::DS;
                if *above != origin && self.has(above, RecordType::NS) && !is_parents {
                    expected.authority = Some((above.clone(), RecordType::NS));
                    expected.is_authoritative = round > 0;
                    return expected;
                }
                if *above != wanted
                    && let Some(dname) = self.of(above, RecordType::DNAME).next()
                {
                    renamed = Some(dname);
                    break;
                }
            }
            if let Some(dname) = renamed {
                let kept = wanted.as_ref().wire().len() - dname.owner.as_ref().wire().len();
                let to = [&wanted.as_ref().wire()[..kept], &dname.data].concat();
                let to = NameRef::from_wire(&to).expect("a short name").to_name();
                let dname = (dname.owner.clone(), dname.kind, dname.data.to_vec());
                if !expected.answers.contains(&dname) {
                    expected.answers.push(dname);
                }
                let cname = (wanted, RecordType::CNAME, to.as_ref().wire().to_vec());
                expected.answers.push(cname);
                if kind == RecordType::CNAME {
                    return expected;
                }
                wanted = to;
                continue;
            }
            let mut found = wanted.clone();
            if !self.exists(&wanted) {
                let closest = path.iter().rev().find(|above| self.exists(above));
                let closest = closest.expect("the apex exists").as_ref();
                found = Name::with_label(closest, b"*").expect("a short name");
            }
            if self.has(&found, kind) {
                let records = self.of(&found, kind);
                for record in records {
                    let answer = (wanted.clone(), kind, record.data.to_vec());
                    if !expected.answers.contains(&answer) {
                        expected.answers.push(answer);
                    }
                }
                return expected;
            }
            if let Some(cname) = self.of(&found, RecordType::CNAME).next() {
                let data = cname.data.to_vec();
                expected.answers.push((wanted, RecordType::CNAME, data));
                let to = NameRef::from_wire(&cname.data).expect("a name");
                wanted = to.to_name();
                continue;
            }
            if !self.has_any(&found) && !self.exists(&found) {
                expected.rcode = Rcode::NXDOMAIN;
            }
            expected.authority = Some((origin, RecordType::SOA));
            return expected;
        }
        expected
    }
}

fn names(labels_max: usize) -> impl Strategy<Value = Name> {
    let label = prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("*"), 1 => Just("C")];
    prop::collection::vec(label, 0..labels_max)
        .prop_map(|labels| name(&[&labels[..], &[ORIGIN]].concat().join(".")))
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let targets = || prop_oneof![5 => names(4), 1 => Just(name("outside."))];
    let of_target = |kind| {
        (names(4), targets()).prop_map(move |(owner, target)| {
            Record::new(owner, kind, 60, target.as_ref().wire().to_vec())
        })
    };
    let address = (names(4), any::<u8>())
        .prop_map(|(owner, last)| Record::new(owner, RecordType::A, 60, vec![192, 0, 2, last]));
    let text = names(4).prop_map(|owner| Record::new(owner, RecordType::TXT, 60, vec![1, b'x']));
    let ds = names(4).prop_map(|owner| Record::new(owner, RecordType::DS, 60, vec![0, 1, 8, 2, 1]));
    let record = prop_oneof![
        4 => address,
        2 => text,
        1 => ds,
        1 => of_target(RecordType::NS),
        3 => of_target(RecordType::CNAME),
        1 => of_target(RecordType::DNAME),
    ];
    prop::collection::vec(record, 0..12).prop_map(|mut records| {
        // An alias has nothing else and is one; a name has one DNAME: else it is no zone.
        let all = records.clone();
        let mut kept: Vec<Record> = Vec::new();
        records.retain(|record| {
            let is_alias = |other: &Record| other.kind == RecordType::CNAME;
            let mut same_owner = all.iter().filter(|other| other.owner == record.owner);
            let is_lonely = match record.kind {
                RecordType::CNAME => record.owner != name(ORIGIN) && same_owner.count() == 1,
                _ => !same_owner.any(is_alias),
            };
            let is_double = kept.iter().any(|other| {
                other.owner == record.owner
                    && other.kind == record.kind
                    && (record.kind == RecordType::DNAME || other.data == record.data)
            });
            let is_kept = is_lonely && !is_double && !is_unclear(record);
            if is_kept {
                kept.push(record.clone());
            }
            is_kept
        });
        records
    })
}

/// RFC 4592 sections 4.2 and 4.4 leave open what these would mean.
fn is_unclear(record: &Record) -> bool {
    let is_cut = matches!(record.kind, RecordType::NS | RecordType::DNAME);
    is_cut && record.owner.as_ref().is_wildcard()
}

fn kinds() -> impl Strategy<Value = RecordType> {
    prop::sample::select(vec![
        RecordType::A,
        RecordType::TXT,
        RecordType::NS,
        RecordType::CNAME,
        RecordType::DNAME,
        RecordType::DS,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn zones_answer_as_the_rules_say(
        records in records(),
        questions in prop::collection::vec((names(5), kinds()), 1..8),
    ) {
        let soa = tests::zone(ORIGIN, "@ NS ns.example.com.\n");
        let mut all: Vec<Record> = soa.records().collect();
        all.extend(records);
        let zone = Zone::new(name(ORIGIN), all.clone()).expect("a zone");
        let (model, zones) = (Model { records: &all }, zones([zone]));
        for (wanted, kind) in questions {
            let message = query(&wanted, kind, true, Some((4096, false)));
            let (_, message) = answer(&zones, Transport::Udp, &message);
            let answers = message.answers.iter();
            let authorities = message.authorities.iter();
            let mut authorities = authorities.map(|record| (record.owner.clone(), record.kind));
            let ours = Expected {
                rcode: message.rcode,
                is_authoritative: message.flags & flag::AA != 0,
                answers: answers
                    .map(|record| (record.owner.clone(), record.kind, record.data.to_vec()))
                    .collect(),
                authority: authorities.next(),
            };
            prop_assert!(authorities.all(|other| Some(&other) == ours.authority.as_ref()));
            prop_assert_eq!(&ours, &model.answer(&wanted, kind), "{} {}", wanted, kind);
        }
    }
}
