//! The data of records, compared with hickory-proto where that reads them too.

use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::BinEncodable;
use proptest::prelude::*;
use pxe_dns::{Name, Record, RecordType};

use crate::{findings, read_body, records};

const SHA1: &str = "123456789ABCDEF67890123456789ABCDEF67890";
const SHA256: &str = "0E2FD4F4B5C1CD4F4E5EA7EB0E6B7A0D4C9ED5E0F4A4C9A9A9F5B7A6C2FB1D0E";

/// Data as it is written, and as it is written back. The names are whole, so that hickory-proto,
/// which is given no origin, can read them too.
fn samples() -> Vec<(&'static str, String, String)> {
    let same = |kind: &'static str, data: &str| (kind, data.to_owned(), data.to_owned());
    let other =
        |kind: &'static str, data: &str, shown: &str| (kind, data.to_owned(), shown.to_owned());
    vec![
        same("A", "192.0.2.1"),
        same("AAAA", "2001:db8::1"),
        other("AAAA", "::FFFF:192.0.2.1", "::ffff:192.0.2.1"),
        same("NS", "ns.matrix.lan."),
        same("CNAME", "ns.matrix.lan."),
        same("PTR", r"a\.b.c."),
        same("DNAME", "other.lan."),
        same("MX", "10 ns.matrix.lan."),
        same("MX", "0 ."),
        same("SRV", "0 5 80 ns.matrix.lan."),
        same("TXT", r#""a" "b c" "d\"e\\f;""#),
        other("TXT", "a b", r#""a" "b""#),
        same("TXT", r#""""#),
        same("SPF", r#""v=spf1 -all""#),
        same("HINFO", r#""PC" "Linux""#),
        same("RP", "root.matrix.lan. info.matrix.lan."),
        same("AFSDB", "1 ns.matrix.lan."),
        same("KX", "10 ns.matrix.lan."),
        same("NAPTR", r#"100 10 "u" "E2U+sip" "!^.*$!sip:a@b.c!" ."#),
        same("CAA", r#"0 issue "letsencrypt.org""#),
        same("URI", r#"10 1 "http://pxe.matrix.lan/""#),
        same("SSHFP", &format!("1 1 {SHA1}")),
        other(
            "SSHFP",
            &format!("4 2 {}", SHA256.to_lowercase()),
            &format!("4 2 {SHA256}"),
        ),
        same("TLSA", &format!("3 1 1 {SHA256}")),
        other("TLSA", "3 1 1 ab CD", "3 1 1 ABCD"),
        same("SMIMEA", "3 1 1 ABCD"),
        same("DS", &format!("12345 8 2 {SHA256}")),
        other(
            "DS",
            &format!("12345 RSASHA256 SHA-1 {SHA1}"),
            &format!("12345 8 1 {SHA1}"),
        ),
        same("CDS", "0 0 0 00"),
        same("DNSKEY", "257 3 8 AwEAAag="),
        other(
            "CDNSKEY",
            "257 DNSSEC ECDSAP256SHA256 AwEA Aag=",
            "257 3 13 AwEAAag=",
        ),
        same("KEY", "49152 3 8"),
        other(
            "RRSIG",
            "A 8 2 3600 20030322173103 20030220173103 2642 x.lan. AwEAAag=",
            "A 8 2 3600 1048354263 1045762263 2642 x.lan. AwEAAag=",
        ),
        same("NSEC", "ns.matrix.lan. A NS TYPE1234"),
        same("NSEC3PARAM", "1 0 5 AABB"),
        same("NSEC3PARAM", "1 0 0 -"),
        same("CSYNC", "66 3 A NS AAAA"),
        other("CERT", "PKIX 0 RSASHA1 AwEAAag=", "1 0 5 AwEAAag="),
        same("DHCID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
        same("CERT", "1 0 5 AwEAAag="),
        other("HTTPS", "1 . alpn=h2 port=1", r#"1 . alpn="h2" port="1""#),
        same("OPENPGPKEY", "AwEAAag="),
        other(
            "LOC",
            "42 21 54 N 71 06 18 W -24m 30m",
            "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
        ),
        same("APL", "1:192.0.2.0/24 !2:2001:db8::/32"),
        other("APL", "", r"\# 0"),
        same("SVCB", "0 ns.matrix.lan."),
        other(
            "SVCB",
            r#"1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2"#,
            r#"1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1,192.0.2.2""#,
        ),
        other(
            "HTTPS",
            "1 . ipv6hint=2001:db8::1 alpn=h2",
            r#"1 . alpn="h2" ipv6hint="2001:db8::1""#,
        ),
        other(
            "SVCB",
            "16 a.b. mandatory=alpn,port alpn=h2 port=1",
            r#"16 a.b. mandatory="key1,key3" alpn="h2" port="1""#,
        ),
        other(
            "SVCB",
            "1 . no-default-alpn alpn=h2",
            r#"1 . alpn="h2" no-default-alpn"#,
        ),
        same("SVCB", r#"1 . key667="hello""#),
        same("TYPE65280", r"\# 2 ABCD"),
        same("TYPE65280", r"\# 0"),
        other("A", r"\# 4 c000 0201", "192.0.2.1"),
    ]
}

fn kind_of(text: &str) -> RecordType {
    text.parse().expect(text)
}

/// One record of `r.matrix.lan.`, read from a file.
fn record(kind: &str, data: &str) -> Record {
    let file = read_body(format!("r {kind} {data}\n"));
    let zone = file.zone.as_ref();
    let zone = zone.unwrap_or_else(|| panic!("{kind} {data}: {:?}", findings(&file)));
    let owner: Name = "r.matrix.lan".parse().expect("a name");
    zone.records()
        .find(|record| record.owner == owner)
        .expect("the record")
}

#[test]
fn data_of_all_types_is_read_and_written() {
    for (kind, data, shown) in samples() {
        let read = record(kind, &data);
        assert_eq!(
            read.to_string(),
            format!("r.matrix.lan. 3600 IN {kind} {shown}")
        );
        assert_eq!(record(kind, &shown), read, "{kind} {shown}");
        // In the form of RFC 3597, which knows all types.
        let hex: String = read
            .data
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        assert_eq!(
            record(kind, &format!(r"\# {} {hex}", read.data.len())),
            read
        );
    }
}

/// RFC 9460 sections 2.2 and 8: keys are in order. hickory-proto leaves them as they are written.
#[test]
fn parameters_are_put_in_order() {
    let sorted = record("SVCB", "1 . mandatory=alpn,port alpn=h2 port=1");
    assert_eq!(
        record("SVCB", "1 . port=1 alpn=h2 mandatory=port,alpn"),
        sorted
    );
}

#[test]
fn hickory_proto_reads_the_same() {
    let mut compared = Vec::new();
    for (kind, data, _) in samples() {
        let code = hickory_proto::rr::RecordType::from(kind_of(kind).0);
        let Ok(theirs) = RData::try_from_str(code, &data) else {
            continue;
        };
        // It does not put parameters in order.
        let Ok(theirs) = theirs.to_bytes() else {
            continue;
        };
        assert_eq!(record(kind, &data).data, theirs, "{kind} {data}");
        compared.push(kind);
    }
    compared.dedup();
    let both = [
        "A",
        "AAAA",
        "NS",
        "CNAME",
        "PTR",
        "MX",
        "SRV",
        "TXT",
        "HINFO",
        "NAPTR",
        "CAA",
        "SSHFP",
        "TLSA",
        "SMIMEA",
        "CSYNC",
        "CERT",
        "OPENPGPKEY",
        "SVCB",
        "HTTPS",
    ];
    for kind in both {
        assert!(compared.contains(&kind), "{kind} is compared: {compared:?}");
    }
}

#[test]
fn what_is_no_data_is_told() {
    for (line, expected) in [
        ("A 192.0.2.256", "'192.0.2.256' is not an IPv4 address"),
        ("A 192.0.2.01", "'192.0.2.01' is not an IPv4 address"),
        ("A", "the line ends where an IPv4 address is needed"),
        (
            "A \"192.0.2.1\"",
            "an IPv4 address is written without quotes",
        ),
        ("AAAA 192.0.2.1", "'192.0.2.1' is not an IPv6 address"),
        ("MX ns", "'ns' is not a preference: it must be 0 to 65535"),
        (
            "MX 10",
            "the line ends where the name of a mail exchange is needed",
        ),
        (
            "MX +1 ns",
            "'+1' is not a preference: it must be 0 to 65535",
        ),
        (
            "CNAME a..b",
            "'a..b' is not the canonical name: an empty label",
        ),
        (
            r"TXT \256",
            r"'\256' is not a text: a backslash escapes nothing",
        ),
        (
            "CAA 256 issue x",
            "'256' is not the flags: it must be 0 to 255",
        ),
        (
            "DS 1 8 2 ABCD",
            "a digest of type 2 has 64 hexadecimal digits, and here are 4",
        ),
        (
            "DNSKEY 257 3 8 AwEAAag",
            "'AwEAAag' is not a key in base 64",
        ),
        (
            "LOC 91 N 1 W 0",
            "'91' is not degrees, minutes and seconds, and N or S",
        ),
        ("SVCB 1 . bla=x", "'bla' is not the key of a parameter"),
        ("SVCB 1 . port=1 port=2", "'port' is there twice"),
        (
            "SVCB 1 . mandatory=alpn",
            "a mandatory parameter is not there",
        ),
        ("SVCB 1 . key1=x", "'x' cannot be the value of 'key1'"),
        ("NSEC ns BLA", "'BLA' is not the type of a record"),
        (r"A \# 3 C00002", "these octets are no data of A"),
        (r"A \# 4 C00002", "4 octets were announced and 3 follow"),
        (r"A \# 4 C000020", "no even number of hexadecimal digits"),
        (
            "TYPE65280 x",
            r"the data of TYPE65280 can only be written as \# and a length and hexadecimal digits (RFC 3597)",
        ),
    ] {
        let file = read_body(format!("r {line}\n"));
        assert_eq!(
            findings(&file),
            [format!("db:5: error: {expected}")],
            "{line}"
        );
    }
    let long = "x".repeat(256);
    let file = read_body(format!("r TXT {long}\n"));
    assert!(findings(&file)[0].ends_with("it is longer than 255 octets; write several"));
    let file = read_body(format!("r TXT {}\n", "\"aaaaaaaaaa\" ".repeat(6000)));
    assert_eq!(
        findings(&file),
        ["db:5: error: the data is longer than 64900 octets, for which no message has room"]
    );
    let file = read_body(format!("r TYPE65280 \\# 64901 {}\n", "00".repeat(64_901)));
    assert_eq!(
        findings(&file),
        ["db:5: error: the data is longer than 64900 octets, for which no message has room"]
    );
}

/// `\#` that no number follows is a text of one character, as in BIND.
#[test]
fn a_text_may_begin_with_an_escaped_hash() {
    assert_eq!(
        records(&read_body(r"r TXT \# a")),
        [r##"r.matrix.lan. 3600 IN TXT "#" "a""##]
    );
    assert_eq!(
        records(&read_body(r"r TXT \# 1 00")),
        [r#"r.matrix.lan. 3600 IN TXT """#]
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever octets a record has, what is written of it is read as the same octets, or not at
    /// all if they are not what the type wants.
    #[test]
    fn any_octets_are_written_and_read(
        code in prop_oneof![0_u16..70, 256_u16..259, Just(65280)],
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(0_u8..5, 0..40),
        ],
    ) {
        // NSEC3 records have hashed names, NS and DS records are others', an SOA the zone's.
        let is_special = [2, 5, 6, 39, 43, 50].contains(&code);
        prop_assume!(!is_special && !RecordType(code).is_meta());
        let name: Name = "r.matrix.lan".parse().expect("a name");
        let record = Record::new(name.clone(), RecordType(code), 3600, octets);
        let file = read_body(format!("{record}\n"));
        let text = record.to_string();
        match &file.zone {
            Some(zone) => {
                let read = zone.records().find(|record| record.owner == name).expect("the record");
                prop_assert_eq!(read, record, "{}", text);
            }
            None => {
                let told = &findings(&file)[0];
                let refused = format!("these octets are no data of {}", RecordType(code));
                let is_cut_off = told.contains(": a digest of type ");
                prop_assert!(told.ends_with(&refused) || is_cut_off, "{} {}", text, told);
            }
        }
    }
}
