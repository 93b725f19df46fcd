//! Names that mean something here only, or nothing anywhere: nobody else is asked for them.

use crate::{Name, NameRef, Rcode, Record, RecordType, Resolved};

/// For how many seconds what is said here may be kept (RFC 6303 section 3).
const TTL_SECONDS: u32 = 10_800;
/// Serial, refresh, retry, expire and minimum of the SOA records (RFC 6303 section 3).
const SOA_NUMBERS: [u32; 5] = [1, 3600, 1200, 604_800, TTL_SECONDS];

/// Answers for zones that each server has to have of its own.
///
/// They are the reverse zones of addresses that are not global (RFC 6303, RFC 7793), `home.arpa`
/// (RFC 8375), `resolver.arpa` (RFC 9462 section 6.4), `empty.as112.arpa` (RFC 7535), and the names
/// `test`, `invalid` (RFC 6761), `local` (RFC 6762 section 22.1) and `onion` (RFC 7686). They are
/// empty: their names do not exist. Others than these are left to the servers of the Internet.
///
/// In `localhost` each name has the loopback addresses, and they have the name `localhost`
/// (RFC 6761 section 6.3).
///
/// What is [elsewhere](Self::elsewhere), and what is in a zone of the caller's own, is not answered
/// here. Nor is the DS record of a zone's name, which its parent has (RFC 4035 section 3.1.4.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalZones {
    elsewhere: Vec<Name>,
}

impl LocalZones {
    /// All of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same without this name and those below it, which another server has: of a network with
    /// private addresses, the one that has its reverse zone.
    #[must_use]
    pub fn elsewhere(mut self, name: Name) -> Self {
        self.elsewhere.push(name);
        self
    }

    /// The answer, which is authoritative; nothing if others are to be asked.
    pub fn answer(&self, name: NameRef<'_>, kind: RecordType) -> Option<Resolved> {
        let origin = origin_of(name)?;
        if kind == RecordType::DS && name == origin {
            return None;
        }
        if self.elsewhere.iter().any(|n| name.is_within(n.as_ref())) {
            return None;
        }
        let records = records_of(name, origin);
        let exists = !records.is_empty() || is_on_the_way(name, origin);
        let rcode = match exists {
            true => Rcode::NOERROR,
            false => Rcode::NXDOMAIN,
        };
        let asked = |record: &Record| kind == RecordType::ANY || record.kind == kind;
        let answers = records.into_iter().filter(asked).collect();
        let mut answer = Resolved::new(rcode, answers);
        if answer.answers.is_empty() {
            answer.authorities.push(soa(origin));
        }
        Some(answer)
    }
}

/// The zone of a name, if it is one of these.
fn origin_of(name: NameRef<'_>) -> Option<NameRef<'_>> {
    let mut labels: Vec<Vec<u8>> = name.labels().map(<[u8]>::to_ascii_lowercase).collect();
    labels.reverse();
    let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
    let depth = match labels.as_slice() {
        [
            b"localhost" | b"test" | b"invalid" | b"local" | b"onion",
            ..,
        ] => 1,
        [b"arpa", b"home" | b"resolver", ..] => 2,
        [b"arpa", b"as112", b"empty", ..] => 3,
        [b"arpa", b"in-addr", octets @ ..] => 2 + ipv4_depth(octets)?,
        [b"arpa", b"ip6", nibbles @ ..] => 2 + ipv6_depth(nibbles)?,
        _ => return None,
    };
    let mut origin = name;
    for _ in depth..labels.len() {
        origin = origin.parent()?;
    }
    Some(origin)
}

/// How many octets of an address name its zone (RFC 6303 sections 4.1 and 4.2, RFC 7793).
fn ipv4_depth(labels: &[&[u8]]) -> Option<usize> {
    let mut octets = Vec::with_capacity(4);
    for label in labels.iter().take(4) {
        let text = std::str::from_utf8(label).ok();
        let octet = text.and_then(|text| text.parse::<u8>().ok());
        // "010" and "+10" are read as numbers, but are other names.
        match octet.filter(|octet| octet.to_string().as_bytes() == *label) {
            Some(octet) => octets.push(octet),
            None => break,
        }
    }
    match octets.as_slice() {
        [0 | 10 | 127, ..] => Some(1),
        [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(2),
        [192, 0, 2, ..] | [198, 51, 100, ..] | [203, 0, 113, ..] => Some(3),
        [255, 255, 255, 255] => Some(4),
        _ => None,
    }
}

/// How many nibbles of an address name its zone (RFC 6303 sections 4.3 to 4.6).
fn ipv6_depth(nibbles: &[&[u8]]) -> Option<usize> {
    let zeros = nibbles.iter().take_while(|label| **label == b"0").count();
    match nibbles {
        [b"f", b"d", ..] => Some(2),
        [b"f", b"e", b"8" | b"9" | b"a" | b"b", ..] => Some(3),
        [b"2", b"0", b"0", b"1", b"0", b"d", b"b", b"8", ..] => Some(8),
        _ if zeros >= 32 => Some(32),
        _ if zeros == 31 && nibbles.get(31) == Some(&&b"1"[..]) => Some(32),
        _ => None,
    }
}

/// What there is of a name.
fn records_of(name: NameRef<'_>, origin: NameRef<'_>) -> Vec<Record> {
    let record = |kind, data: &[u8]| Record::new(name.to_name(), kind, TTL_SECONDS, data.to_vec());
    let mut records = Vec::new();
    if name == origin {
        records.push(soa(origin));
        records.push(record(RecordType::NS, origin.wire()));
    }
    if is(origin, b"\x09localhost\0") {
        records.push(record(RecordType::A, &[127, 0, 0, 1]));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        records.push(record(RecordType::AAAA, &loopback));
    }
    if is_loopback(name) {
        records.push(record(RecordType::PTR, b"\x09localhost\0"));
    }
    records
}

/// Whether this is 1.0.0.127.in-addr.arpa, or the same of ::1.
fn is_loopback(name: NameRef<'_>) -> bool {
    is(name, b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0")
        || is(
            name,
            &[&b"\x011"[..], &b"\x010".repeat(31), b"\x03ip6\x04arpa\0"].concat(),
        )
}

/// Whether a name without records has one below it: those between 127.in-addr.arpa and 127.0.0.1's.
fn is_on_the_way(name: NameRef<'_>, origin: NameRef<'_>) -> bool {
    is(origin, b"\x03127\x07in-addr\x04arpa\0")
        && (is(name, b"\x010\x03127\x07in-addr\x04arpa\0")
            || is(name, b"\x010\x010\x03127\x07in-addr\x04arpa\0"))
}

fn is(name: NameRef<'_>, wire: &[u8]) -> bool {
    name.wire().eq_ignore_ascii_case(wire)
}

/// The SOA record that RFC 6303 section 3 has for empty zones.
fn soa(origin: NameRef<'_>) -> Record {
    let mut data = origin.wire().to_vec();
    data.extend_from_slice(b"\x06nobody\x07invalid\0");
    data.extend(SOA_NUMBERS.iter().flat_map(|number| number.to_be_bytes()));
    Record::new(origin.to_name(), RecordType::SOA, TTL_SECONDS, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect(text)
    }

    fn answer(text: &str, kind: RecordType) -> Option<Resolved> {
        LocalZones::new().answer(name(text).as_ref(), kind)
    }

    /// RFC 6303 section 4 and its registry, RFC 7793, RFC 6761, 6762, 7686, 8375.
    #[test]
    fn names_of_local_meaning_are_not_forwarded() {
        let loopback = format!("1.{}ip6.arpa", "0.".repeat(31));
        let unspecified = format!("{}ip6.arpa", "0.".repeat(32));
        for (asked, origin) in [
            ("4.3.2.10.in-addr.arpa", "10.in-addr.arpa"),
            ("1.0.16.172.in-addr.arpa", "16.172.in-addr.arpa"),
            ("1.0.31.172.IN-ADDR.ARPA", "31.172.IN-ADDR.ARPA"),
            ("1.150.168.192.in-addr.arpa", "168.192.in-addr.arpa"),
            ("1.1.254.169.in-addr.arpa", "254.169.in-addr.arpa"),
            ("1.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa"),
            ("1.100.51.198.in-addr.arpa", "100.51.198.in-addr.arpa"),
            ("1.113.0.203.in-addr.arpa", "113.0.203.in-addr.arpa"),
            ("1.0.64.100.in-addr.arpa", "64.100.in-addr.arpa"),
            ("1.0.127.100.in-addr.arpa", "127.100.in-addr.arpa"),
            ("2.0.0.127.in-addr.arpa", "127.in-addr.arpa"),
            ("1.0.0.0.in-addr.arpa", "0.in-addr.arpa"),
            ("x.10.in-addr.arpa", "10.in-addr.arpa"),
            ("1.0.0.d.f.ip6.arpa", "d.f.ip6.arpa"),
            ("1.a.e.f.ip6.arpa", "a.e.f.ip6.arpa"),
            ("1.8.b.d.0.1.0.0.2.ip6.arpa", "8.b.d.0.1.0.0.2.ip6.arpa"),
            ("x.home.arpa", "home.arpa"),
            ("x.empty.as112.arpa", "empty.as112.arpa"),
            ("_dns.resolver.arpa", "resolver.arpa"),
            ("www.test", "test"),
            ("www.invalid", "invalid"),
            ("printer.local", "local"),
            ("x.onion", "onion"),
            (&format!("x.{loopback}"), &loopback),
            (&format!("x.{unspecified}"), &unspecified),
        ] {
            let nothing = answer(asked, RecordType::PTR).expect(asked);
            assert_eq!(nothing.rcode, Rcode::NXDOMAIN, "{asked}");
            assert_eq!(nothing.answers, []);
            assert_eq!(nothing.authorities, [soa(name(origin).as_ref())], "{asked}");
        }
    }

    #[test]
    fn names_of_the_internet_are_not_local() {
        for asked in [
            ".",
            "arpa",
            "in-addr.arpa",
            "172.in-addr.arpa",
            "1.0.15.172.in-addr.arpa",
            "1.0.32.172.in-addr.arpa",
            "1.0.63.100.in-addr.arpa",
            "1.0.128.100.in-addr.arpa",
            "1.1.169.192.in-addr.arpa",
            "010.in-addr.arpa",
            "254.255.255.255.in-addr.arpa",
            "c.e.f.ip6.arpa",
            "c.f.ip6.arpa",
            "0.0.ip6.arpa",
            "1.0.0.2.ip6.arpa",
            "www.test.example",
            "notlocalhost",
            "internal",
        ] {
            assert_eq!(answer(asked, RecordType::PTR), None, "{asked}");
        }
    }

    #[test]
    fn the_origin_of_an_empty_zone_exists() {
        let nothing = answer("10.in-addr.arpa", RecordType::PTR).expect("local");
        assert_eq!(nothing.rcode, Rcode::NOERROR);
        assert_eq!(nothing.authorities.len(), 1);
        for (kind, count) in [
            (RecordType::SOA, 1),
            (RecordType::NS, 1),
            (RecordType::ANY, 2),
        ] {
            let found = answer("10.in-addr.arpa", kind).expect("local");
            assert_eq!(found.answers.len(), count, "{kind}");
            assert_eq!(found.authorities, []);
        }
        // RFC 8375 section 4: whether there is a DS record, the root's servers know.
        assert_eq!(answer("home.arpa", RecordType::DS), None);
        assert!(answer("x.home.arpa", RecordType::DS).is_some());
    }

    /// RFC 6761 section 6.3.
    #[test]
    fn localhost_has_the_loopback_addresses() {
        for asked in ["localhost", "x.LocalHost"] {
            for (kind, len) in [(RecordType::A, 4), (RecordType::AAAA, 16)] {
                let found = answer(asked, kind).expect("local");
                let data: Vec<usize> = found.answers.iter().map(|r| r.data.len()).collect();
                assert_eq!((found.rcode, data), (Rcode::NOERROR, vec![len]));
            }
            let nothing = answer(asked, RecordType::TXT).expect("local");
            assert_eq!((nothing.rcode, nothing.answers), (Rcode::NOERROR, vec![]));
        }
        let of_ipv6 = format!("1.{}ip6.arpa", "0.".repeat(31));
        for asked in ["1.0.0.127.in-addr.arpa", &of_ipv6] {
            let found = answer(asked, RecordType::PTR).expect("local");
            let data: Vec<&[u8]> = found.answers.iter().map(|r| &r.data[..]).collect();
            assert_eq!(data, [b"\x09localhost\0"]);
        }
        for asked in ["0.127.in-addr.arpa", "0.0.127.in-addr.arpa"] {
            let between = answer(asked, RecordType::PTR).expect("local");
            assert_eq!(between.rcode, Rcode::NOERROR, "{asked}");
        }
    }

    #[test]
    fn what_another_server_has_is_forwarded() {
        let zones = LocalZones::new()
            .elsewhere(name("10.in-addr.arpa"))
            .elsewhere(name("corp.local"));
        let is_local = |text: &str| zones.answer(name(text).as_ref(), RecordType::PTR).is_some();
        assert!(!is_local("1.2.3.10.in-addr.arpa"));
        assert!(!is_local("www.corp.local"));
        assert!(is_local("printer.local"));
        assert!(is_local("1.1.168.192.in-addr.arpa"));
    }
}
