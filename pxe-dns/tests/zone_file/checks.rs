//! What `named-checkzone` finds, and what it does not.
//!
//! Each verdict is that of `named-checkzone -i local` of BIND 9.18.

use crate::{findings, read, read_body};

/// A zone is refused for what stands on this line.
fn refused(body: &str, line: u32, text: &str) {
    let file = read_body(body);
    assert!(file.zone.is_none(), "{body}");
    assert_eq!(
        findings(&file),
        [format!("db:{line}: error: {text}")],
        "{body}"
    );
}

/// A zone is served, but something is told of this line.
fn warned(body: &str, line: u32, text: &str) {
    let file = read_body(body);
    assert!(file.zone.is_some(), "{body}: {:?}", findings(&file));
    assert_eq!(
        findings(&file),
        [format!("db:{line}: warning: {text}")],
        "{body}"
    );
}

/// A zone is served, and there is nothing to tell.
fn fine(body: &str) {
    let file = read_body(body);
    assert_eq!(findings(&file), Vec::<String>::new(), "{body}");
    assert!(file.zone.is_some());
}

#[test]
fn a_zone_has_one_soa_record_and_a_server() {
    let file = read(&[("db", b"$TTL 1h\n@ NS ns\nns A 192.0.2.1\n")]);
    let text = "db: error: there is no SOA record of matrix.lan.: the file begins with one, or is of another zone";
    assert_eq!(findings(&file), [text]);
    let file = read(&[(
        "db",
        b"$TTL 1h\n@ SOA ns root 1 3h 1h 1w 1h\nns A 192.0.2.1\n",
    )]);
    let text = "db:2: error: matrix.lan. has no NS record: name the server of this zone";
    assert_eq!(findings(&file), [text]);
    refused(
        "@ SOA ns root 8 3h 1h 1w 1h\n",
        5,
        "matrix.lan. has another SOA record (db:2): keep one",
    );
    refused(
        "@ NS other\n",
        5,
        "other.matrix.lan. has no address record (A or AAAA)",
    );
    refused(
        "@ NS other\nother CNAME ns\n",
        5,
        "other.matrix.lan. is an alias (db:6), which a NS record may not name",
    );
    fine("@ NS other\nother AAAA 2001:db8::1\n");
    fine("@ NS ns.elsewhere.\n");
    fine("@ NS a.b\n*.b A 192.0.2.1\n");
    fine("@ NS a.b\nb NS a.b\na.b A 192.0.2.1\n");
}

#[test]
fn an_alias_has_nothing_else() {
    let text = "a.matrix.lan. has a CNAME record and a A record";
    refused(
        "a CNAME ns\na A 192.0.2.2\n",
        6,
        &format!("{text} (db:5): an alias has nothing else"),
    );
    refused(
        "a A 192.0.2.2\na CNAME ns\n",
        6,
        &format!("{text} (db:5): an alias has nothing else"),
    );
    refused(
        "a CNAME ns\na CNAME b\nb A 192.0.2.2\n",
        6,
        "a.matrix.lan. has another CNAME record (db:5): keep one",
    );
    fine("a CNAME ns\na NSEC b CNAME\na KEY 256 3 8 AwEAAag=\n");
    let file = read_body("a CNAME ns\nA CNAME NS\n");
    assert_eq!(findings(&file), ["db:6: note: the same record as db:5"]);
    assert!(file.zone.is_some());
    warned("a CNAME b\n", 5, "there is no b.matrix.lan.");
    warned(
        "a CNAME b.c\n",
        5,
        "there is no b.c.matrix.lan.; is the dot at its end missing?",
    );
    let file = read_body("a CNAME b\nb CNAME a\n");
    assert_eq!(file.findings.len(), 2);
    assert!(findings(&file)[0].ends_with("go round or are too many"));
    fine("a CNAME b\nb CNAME elsewhere.\nc CNAME d.sub\nsub NS ns\nd.sub A 192.0.2.1\n");
}

#[test]
fn servers_of_services_have_addresses() {
    warned(
        "@ MX 10 mail\n",
        5,
        "mail.matrix.lan. has no address record (A or AAAA)",
    );
    warned(
        "@ MX 10 mail.other.org\n",
        5,
        "mail.other.org.matrix.lan. has no address record (A or AAAA); is the dot at its end missing?",
    );
    warned(
        "@ MX 10 mail\nmail CNAME ns\n",
        5,
        "mail.matrix.lan. is an alias (db:6), which a MX record may not name",
    );
    warned(
        "_http._tcp SRV 0 0 80 w\n",
        5,
        "w.matrix.lan. has no address record (A or AAAA)",
    );
    warned(
        "d DNAME other.\n@ MX 10 mail.d\n",
        6,
        "mail.d.matrix.lan. is below a DNAME record (db:5)",
    );
    fine("@ MX 0 .\n_http._tcp SRV 0 0 0 .\n");
    fine("@ MX 10 mail\n* A 192.0.2.7\n");
}

#[test]
fn servers_of_other_zones_have_glue() {
    warned(
        "sub NS ns.sub\n",
        5,
        "ns.sub.matrix.lan. is in another zone (db:5): add its address record here too (glue)",
    );
    warned(
        "sub NS ns.other\nother NS ns\n",
        5,
        "ns.other.matrix.lan. is in another zone (db:6): add its address record here too (glue)",
    );
    warned(
        "sub NS nobody\n",
        5,
        "nobody.matrix.lan. has no address record (A or AAAA)",
    );
    fine("sub NS ns.sub\nns.sub A 192.0.2.2\nsub NS ns\nsub NS elsewhere.\n");
    warned(
        "sub NS ns\na.sub TXT x\n",
        6,
        "never answered: the NS record of db:5 gives a.sub.matrix.lan. to others",
    );
    warned(
        "d DNAME other.\na.d A 192.0.2.2\n",
        6,
        "never answered: the DNAME record of db:5 gives a.d.matrix.lan. to others",
    );
    refused(
        "@ DS 1 8 1 123456789ABCDEF67890123456789ABCDEF67890\n",
        5,
        "a DS record of matrix.lan. belongs to the zone above it",
    );
}

#[test]
fn records_of_other_zones_are_ignored() {
    warned(
        "a.other. A 192.0.2.2\n A 192.0.2.3\n",
        5,
        "ignored: a.other. is not in the zone matrix.lan.",
    );
    let file = read_body("$ORIGIN other.\na A 192.0.2.2\n");
    let text = "db:6: warning: ignored: a.other. is not in the zone matrix.lan.; look at the $ORIGIN before it";
    assert_eq!(findings(&file), [text]);
    // Its data is looked at even so.
    assert!(read_body("a.other. A x\n").zone.is_none());
    warned(
        "$GENERATE 1-3 a$.other. A 192.0.2.$\n",
        5,
        "ignored: a1.other. is not in the zone matrix.lan.",
    );
}

/// RFC 2181 section 5.2. Of records that follow each other BIND takes the first one's TTL, of others
/// the last one's.
#[test]
fn records_of_a_set_have_one_ttl() {
    let ttls = |body: &str| -> Vec<u32> {
        let file = read_body(body);
        let zone = file.zone.expect("a zone");
        let texts = zone
            .records()
            .filter(|record| record.owner.to_string().starts_with("a."));
        texts.map(|record| record.ttl_seconds).collect()
    };
    assert_eq!(ttls("a 5 A 192.0.2.2\na 7 A 192.0.2.3\n"), [5, 5]);
    assert_eq!(ttls("a 5 A 192.0.2.2\nb TXT x\na 7 A 192.0.2.3\n"), [7, 7]);
    warned(
        "a 5 A 192.0.2.2\na 7 A 192.0.2.3\n",
        6,
        "the TTL 7 differs from that of the A record before, 5, which is taken (RFC 2181 section 5.2)",
    );
    warned(
        "a 5 A 192.0.2.2\nb TXT x\na 7 A 192.0.2.3\n",
        7,
        "the A records of a.matrix.lan. have different TTLs (RFC 2181 section 5.2), 5 and 7: 7 is taken for all",
    );
    fine("a 5 A 192.0.2.2\na 7 TXT x\n");
}

#[test]
fn a_record_is_there_once() {
    let file = read_body("a TXT x\na TXT x\na TXT X\n");
    assert_eq!(findings(&file), ["db:6: note: the same record as db:5"]);
    assert_eq!(crate::records(&file).len(), 2);
}

/// Of a name in data case does not matter; 0x41 and 0x61 in a number are no letters.
#[test]
fn numbers_in_data_are_not_letters() {
    let file = read_body("a MX 65 ns\na MX 97 ns\na SRV 0 0 8001 ns\na SRV 0 0 8033 ns\n");
    assert_eq!(crate::records(&file).len(), 4);
    let file = read_body("a MX 65 ns\na MX 65 NS\na SRV 0 0 8001 ns\na SRV 0 0 8001 NS\n");
    assert_eq!(crate::records(&file).len(), 2);
}

#[test]
fn hosts_have_names_of_hosts() {
    let text = "is no name of a host (letters, digits and hyphens), but has a A record";
    warned(
        "my_pc A 192.0.2.2\n",
        5,
        &format!("my_pc.matrix.lan. {text}"),
    );
    let text = "is no name of a host: letters, digits and hyphens";
    warned("@ NS my_pc.other.\n", 5, &format!("my_pc.other. {text}"));
    let text = "a MX record has a name, not an address: 192.0.2.1.";
    warned("@ MX 10 192.0.2.1.\n", 5, text);
    fine("_x TXT y\ngc._msdcs A 192.0.2.1\n* A 192.0.2.1\n");
}

#[test]
fn wildcards_own_no_delegation() {
    refused(
        "* NS ns\n",
        5,
        "*.matrix.lan. is a wildcard, which has no NS record (RFC 4592)",
    );
    warned(
        "a.*.b TXT x\n",
        5,
        "a.*.b.matrix.lan. has a * within it, which stands for itself alone",
    );
}

#[test]
fn a_missing_dot_is_guessed() {
    warned(
        "pxe.matrix.lan A 192.0.2.2\n",
        5,
        "pxe.matrix.lan.matrix.lan.: is the dot at its end missing, after pxe.matrix.lan.?",
    );
    let text = b"$TTL 1h\n$ORIGIN 2.0.192.in-addr.arpa.\n1 PTR ns.matrix.lan\n";
    let origin: pxe_dns::Name = "2.0.192.in-addr.arpa".parse().expect("a name");
    let head = "@ SOA ns.matrix.lan. root.matrix.lan. 1 3h 1h 1w 1h\n@ NS ns.matrix.lan.\n";
    let text = [&text[..], head.as_bytes()].concat();
    let read = |_: &str, _: usize| Ok(text.clone());
    let file = pxe_dns::ZoneFile::read(&origin, "db", &read, &pxe_dns::ZoneFileLimits::default());
    let text = "db:3: warning: ns.matrix.lan.2.0.192.in-addr.arpa. is in the reverse zone: is the dot at its end missing?";
    assert_eq!(findings(&file), [text]);
}

#[test]
fn the_numbers_of_the_soa_record_make_sense() {
    for (soa, expected) in [
        (
            "ns root 0 3h 1h 1w 1h",
            "warning: the serial is 0: begin with 1, or with a date like 2026112101",
        ),
        (
            "ns root 4000000000 3h 1h 1w 1h",
            "note: the serial 4000000000 is beyond all dates like 2026112101; going back to one needs two steps (RFC 1982)",
        ),
        (
            "ns root 20261121001 3h 1h 1w 1h",
            "error: '20261121001' is not the serial: it must be 0 to 4294967295",
        ),
        (
            "ns root 1 3h 1h 1h 1h",
            "warning: the expire time 3600 is less than refresh and retry time together: servers that copy the zone give it up before they asked twice (RFC 1912 section 2.2)",
        ),
        (
            "ns root@matrix.lan. 1 3h 1h 1w 1h",
            "warning: the mailbox root\\@matrix.lan.: write a dot in place of the @",
        ),
    ] {
        let text = format!("$TTL 1h\n@ SOA {soa}\n@ NS ns\nns A 192.0.2.1\n");
        let file = read(&[("db", text.as_bytes())]);
        assert_eq!(findings(&file), [format!("db:2: {expected}")]);
    }
}

#[test]
fn text_for_mail_servers_is_where_they_look() {
    warned(
        "@ SPF \"v=spf1 -all\"\n",
        5,
        "mail servers look for a TXT record of matrix.lan., no longer for SPF (RFC 7208 section 3.1)",
    );
    fine("@ SPF \"v=spf1 -all\"\n@ TXT \"v=spf1 -all\"\n");
}

/// A set of records is answered as a whole or not at all (RFC 2181 section 5).
#[test]
fn a_set_of_records_fits_into_a_message() {
    let addresses = |count: usize| -> String {
        let lines = (0..count).map(|n| format!("many A 10.0.{}.{}\n", n >> 8, n & 0xff));
        lines.collect()
    };
    fine(&addresses(4_000));
    let text = "the A records of many.matrix.lan. are more than a message can hold (RFC 1035 section 4.2.2)";
    refused(&addresses(20_000), 5, text);
    let file = read_body("one A 192.0.2.2\n".repeat(6_000));
    assert_eq!(crate::records(&file).len(), 1);
}

/// One finding for a name, and one look for it: 20,000 times 20,000 would take minutes.
#[test]
fn many_records_of_a_name_are_looked_at_once() {
    let file = read_body("$GENERATE 1-20000 a SPF $\n");
    let about_mail = |line: &&String| line.contains("RFC 7208");
    assert_eq!(findings(&file).iter().filter(about_mail).count(), 1);
}
