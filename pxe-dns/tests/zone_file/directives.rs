//! `$TTL`, `$ORIGIN`, `$INCLUDE`, `$GENERATE`, and what stands before a record's data.

use crate::{HEAD, findings, read, read_body, read_with, records};
use pxe_dns::{ZoneFile, ZoneFileLimits};

fn ttls(file: &ZoneFile) -> Vec<u32> {
    let records = file.zone.iter().flat_map(|zone| zone.records());
    records.map(|record| record.ttl_seconds).collect()
}

#[test]
fn a_zone_as_people_write_it_is_read() {
    let text = "
; The boot network.
$TTL\t1D
$ORIGIN lan.
matrix\tIN SOA\tns.matrix.lan. root.matrix ( 2026112101 ; serial
\t\t3H ; refresh
\t\t1h ; retry
\t\t1W ; expire
\t\t1h ) ; minimum
\tIN\tNS\tns.matrix
$ORIGIN matrix.lan.
ns\t\tA\t192.168.150.1
pxe 300 in cname ns
t  IN 5m TXT ( \"one\"
        two ) ; of two lines
@ MX 10 ns
";
    let file = read(&[("db.matrix.lan", text.as_bytes())]);
    assert_eq!(findings(&file), Vec::<String>::new());
    let shown: Vec<String> = file
        .zone
        .iter()
        .flat_map(|zone| zone.records())
        .map(|record| record.to_string())
        .collect();
    let expected = [
        "matrix.lan. 86400 IN SOA ns.matrix.lan. root.matrix.lan. 2026112101 10800 3600 604800 3600",
        "matrix.lan. 86400 IN NS ns.matrix.lan.",
        "matrix.lan. 86400 IN MX 10 ns.matrix.lan.",
        "ns.matrix.lan. 86400 IN A 192.168.150.1",
        "pxe.matrix.lan. 300 IN CNAME ns.matrix.lan.",
        "t.matrix.lan. 300 IN TXT \"one\" \"two\"",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn ttl_class_and_type_come_in_several_orders() {
    for (line, expected) in [
        ("a A 192.0.2.2", "a.matrix.lan. 3600 IN A 192.0.2.2"),
        ("a 5 A 192.0.2.2", "a.matrix.lan. 5 IN A 192.0.2.2"),
        ("a IN 5 A 192.0.2.2", "a.matrix.lan. 5 IN A 192.0.2.2"),
        (
            "a 1H30m in a 192.0.2.2",
            "a.matrix.lan. 5400 IN A 192.0.2.2",
        ),
        (
            "a CLASS1 TYPE1 192.0.2.2",
            "a.matrix.lan. 3600 IN A 192.0.2.2",
        ),
        (
            r"a TYPE1 \# 4 C000 0202",
            "a.matrix.lan. 3600 IN A 192.0.2.2",
        ),
        // A name may be called like a type, and an owner like a class.
        ("in A 192.0.2.2", "in.matrix.lan. 3600 IN A 192.0.2.2"),
        (
            "a.b. A 192.0.2.2\na A 192.0.2.2",
            "a.matrix.lan. 3600 IN A 192.0.2.2",
        ),
    ] {
        assert_eq!(records(&read_body(line)), [expected], "{line}");
    }
}

#[test]
fn what_stands_before_the_data_is_told_if_it_is_wrong() {
    for (line, expected) in [
        (
            "a",
            "db:5: error: the line ends where a record's type is needed",
        ),
        ("a BLA x", "db:5: error: 'BLA' is not the type of a record"),
        (
            "a AXFR x",
            "db:5: error: AXFR is a type of questions, not of records",
        ),
        (
            "a CH A 192.0.2.2",
            "db:5: error: the class is not IN, which is the only one that is served",
        ),
        (
            "a..b A 192.0.2.2",
            "db:5: error: 'a..b' is not a name: an empty label",
        ),
        (
            "a 1h 1h A 192.0.2.2",
            "db:5: error: '1h' is not the type of a record",
        ),
        (
            "\n\na A ( 192.0.2.2",
            "db:7: error: this parenthesis is never closed",
        ),
        (
            "a A 192.0.2.2 )",
            "db:5: error: a parenthesis is closed that was not opened",
        ),
        (
            "a TXT \"b\n",
            "db:5: error: this quote is not closed on its line",
        ),
        (
            "a A 192.0.2.2 x\n",
            "db:5: error: there is more on the line than belongs to it: 'x'",
        ),
        (
            "$BLA 1",
            "db:5: error: unknown directive '$BLA': there are $TTL, $ORIGIN, $INCLUDE and $GENERATE",
        ),
        (
            "$TTL soon",
            "db:5: error: 'soon' is not a TTL: write seconds, or a time like 1d12h",
        ),
        (
            "s SOA ns root 1 2 3 4 5",
            "db:5: error: an SOA record of s.matrix.lan.: it belongs to matrix.lan.",
        ),
    ] {
        let file = read_body(format!("{line}\n"));
        assert!(file.zone.is_none(), "{line}");
        assert_eq!(findings(&file), [expected], "{line}");
    }
    let file = read(&[("db", b" A 192.0.2.1\n")]);
    let text = "db:1: error: the line begins with a blank, and there is no owner before it";
    assert_eq!(findings(&file), [text]);
}

/// All errors are told at once, as `named-checkzone` does it.
#[test]
fn an_error_does_not_hide_the_next() {
    let file = read_body("a A x\nb A ( \"y )\nc A 192.0.2.2 z\nd A w\n");
    let lines: Vec<_> = file.findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [Some(5), Some(6), Some(7), Some(8)]);
}

#[test]
fn without_ttl_that_of_the_soa_record_is_taken_as_in_bind() {
    let text = b"@ SOA ns root 1 3h 1h 1w 10m\n@ NS ns\nns A 192.0.2.1\n";
    let file = read(&[("db", text)]);
    assert_eq!(ttls(&file), [600; 3]);
    let text = "db:1: warning: there is no TTL: the SOA's last number, 600, is taken; write $TTL";
    assert_eq!(findings(&file), [text]);
}

/// RFC 1035 section 5.1: omitted TTLs are those of the record before.
#[test]
fn without_ttl_that_of_the_record_before_is_taken() {
    let text = b"@ 5 SOA ns root 1 3h 1h 1w 10m\n@ NS ns\nns 7 A 192.0.2.1\nz A 192.0.2.1\n";
    let file = read(&[("db", text)]);
    assert_eq!(ttls(&file), [5, 5, 7, 7]);
    assert_eq!(file.findings.len(), 1, "said once");
    let file = read(&[("db", b"@ NS ns\n")]);
    let text = "db:1: error: there is no TTL: write $TTL 1d before the first record";
    assert_eq!(findings(&file), [text]);
}

#[test]
fn a_ttl_beyond_31_bits_is_none() {
    let file = read_body("a 2147483648 A 192.0.2.2\n");
    assert_eq!(records(&file), ["a.matrix.lan. 0 IN A 192.0.2.2"]);
    assert_eq!(file.findings.len(), 1);
    let file = read_body("a 2147483647 A 192.0.2.2\n");
    assert_eq!(records(&file), ["a.matrix.lan. 2147483647 IN A 192.0.2.2"]);
}

#[test]
fn an_included_file_has_an_origin_of_its_own() {
    let body =
        "$ORIGIN sub\n$INCLUDE hosts below\nc A 192.0.2.5\n$INCLUDE \"hosts\"\nd A 192.0.2.9\n";
    let main = [HEAD, body].concat();
    let hosts = b"a A 192.0.2.3\n$ORIGIN further\nb A 192.0.2.4";
    let file = read(&[("db", main.as_bytes()), ("hosts", hosts)]);
    let expected = [
        "a.sub.matrix.lan. 3600 IN A 192.0.2.3",
        "a.below.sub.matrix.lan. 3600 IN A 192.0.2.3",
        "b.further.below.sub.matrix.lan. 3600 IN A 192.0.2.4",
        "c.sub.matrix.lan. 3600 IN A 192.0.2.5",
        "d.sub.matrix.lan. 3600 IN A 192.0.2.9",
        "b.further.sub.matrix.lan. 3600 IN A 192.0.2.4",
    ];
    let mut found = records(&file);
    found.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(file.files, ["db", "hosts"], "each once");
}

/// As in BIND, which copies the current name to the new context (`pushfile`) and keeps `$TTL`.
#[test]
fn owner_and_ttl_go_into_an_included_file() {
    let main = [HEAD, "a A 192.0.2.2\n$INCLUDE more\nb A 192.0.2.2\n"].concat();
    let file = read(&[
        ("db", main.as_bytes()),
        ("more", b" TXT x\nc TXT y\n$TTL 5\n"),
    ]);
    let expected = [
        "a.matrix.lan. 3600 IN A 192.0.2.2",
        "a.matrix.lan. 3600 IN TXT \"x\"",
        "b.matrix.lan. 5 IN A 192.0.2.2",
        "c.matrix.lan. 3600 IN TXT \"y\"",
    ];
    assert_eq!(records(&file), expected);
}

#[test]
fn faults_of_included_files_have_their_lines() {
    let main = [HEAD, "$INCLUDE more\n$INCLUDE none\n"].concat();
    let file = read(&[("db", main.as_bytes()), ("more", b"\na A x\n")]);
    let expected = [
        "db:6: error: cannot include 'none': no such file",
        "more:2: error: 'x' is not an IPv4 address",
    ];
    assert_eq!(findings(&file), expected);
    assert_eq!(file.files, ["db", "more", "none"], "also what may yet come");
    let file = read(&[
        ("db", b"$INCLUDE a\n"),
        ("a", b"$INCLUDE b\n"),
        ("b", b"\n$INCLUDE a\n"),
    ]);
    let text = "b:2: error: cannot include 'a': files include each other: db includes a includes b includes a";
    assert_eq!(findings(&file)[0], text);
}

#[test]
fn what_files_make_of_themselves_is_bounded() {
    let mut limits = ZoneFileLimits::default();
    limits.depth_max = 2;
    let deep: &[(&str, &[u8])] = &[("db", b"$INCLUDE a\n"), ("a", b"$INCLUDE b\n"), ("b", b"")];
    assert!(findings(&read_with(deep, &limits))[0].contains("more than 2 deep"));
    // Each file includes the next twice.
    let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let contents: Vec<String> = names
        .iter()
        .skip(1)
        .map(|name| format!("$INCLUDE {name}\n").repeat(2))
        .collect();
    let mut files: Vec<(&str, &[u8])> = names
        .iter()
        .zip(&contents)
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    files.push(("9", b"; nothing\n"));
    limits.depth_max = 20;
    limits.files_max = 50;
    let file = read_with(&files, &limits);
    assert!(
        findings(&file)
            .iter()
            .any(|text| text.contains("more than 50 files"))
    );
    limits.files_max = 1000;
    limits.octets_max = 200;
    let file = read_with(&files, &limits);
    assert!(
        findings(&file)
            .iter()
            .any(|text| text.contains("more than 200 octets"))
    );

    limits = ZoneFileLimits::default();
    limits.records_max = 4;
    let body = [HEAD, "a A 192.0.2.1\nb A 192.0.2.1\nc A 192.0.2.1\n"].concat();
    let file = read_with(&[("db", body.as_bytes())], &limits);
    assert_eq!(
        findings(&file),
        ["db:6: error: the zone has more than 4 records"]
    );

    limits = ZoneFileLimits::default();
    limits.generated_max = 9;
    let body = [
        HEAD,
        "$GENERATE 1-9 a$ A 192.0.2.1\n$GENERATE 1-1 b A 192.0.2.1\n",
    ]
    .concat();
    let file = read_with(&[("db", body.as_bytes())], &limits);
    assert_eq!(
        findings(&file),
        ["db:6: error: $GENERATE makes more than 9 records"]
    );

    limits = ZoneFileLimits::default();
    limits.octets_max = 10_000;
    let body = format!("{HEAD}$GENERATE 1-9 a$ TXT \"{}\"\n", "x ".repeat(1000));
    let file = read_with(&[("db", body.as_bytes())], &limits);
    let text = "db:5: error: all files together have more than 10000 octets";
    assert_eq!(findings(&file), [text]);

    limits = ZoneFileLimits::default();
    limits.findings_max = 3;
    let file = read_with(&[("db", "a A x\n".repeat(9).as_bytes())], &limits);
    assert_eq!((file.findings.len(), file.zone.is_none()), (3, true));
}

#[test]
fn one_line_generates_many_records() {
    let file = read_body("$GENERATE 1-3/2 h${0,3} 5 A 192.0.2.$\n$GENERATE 0-1 m$ MX \"1$ ns\"\n");
    let expected = [
        "h001.matrix.lan. 5 IN A 192.0.2.1",
        "h003.matrix.lan. 5 IN A 192.0.2.3",
        "m0.matrix.lan. 3600 IN MX 10 ns.matrix.lan.",
        "m1.matrix.lan. 3600 IN MX 11 ns.matrix.lan.",
    ];
    assert_eq!(records(&file), expected);
    let file = read_body("$GENERATE 30-31 ${0,7,n} IN PTR h${-30}.$$\n");
    let expected = [
        r"e.1.0.0.matrix.lan. 3600 IN PTR h0.\$.matrix.lan.",
        r"f.1.0.0.matrix.lan. 3600 IN PTR h1.\$.matrix.lan.",
    ];
    assert_eq!(records(&file), expected);
}

/// As `named-checkzone` of BIND 9.18 reads them.
#[test]
fn generated_text_may_have_quotes_of_its_own() {
    let lines = [
        r#"$GENERATE 1-1 a TXT "\"rack $; left\" row""#,
        r#"$GENERATE 1-1 b TXT "\"\"""#,
        r#"$GENERATE 1-1 c TXT "a\\$""#,
    ];
    let expected = [
        r#"a.matrix.lan. 3600 IN TXT "rack 1; left" "row""#,
        r#"b.matrix.lan. 3600 IN TXT """#,
        r#"c.matrix.lan. 3600 IN TXT "a\\1""#,
    ];
    assert_eq!(records(&read_body(lines.join("\n") + "\n")), expected);
}

#[test]
fn what_generates_nothing_is_told() {
    for (line, expected) in [
        (
            "1-300 h$ A 192.0.2.$",
            "for the value 256: '192.0.2.256' is not an IPv4 address",
        ),
        (
            "3-1 h$ A 192.0.2.1",
            "'3-1' is no range: write 1-9, or 0-254/2",
        ),
        (
            "1-3 h$ MX 10 ns",
            "write the data of $GENERATE between quotes",
        ),
        (
            "1-3 h${0,3,q} A 192.0.2.1",
            "${0,3,q}: write ${offset,width,base}, the base of d o x X n N",
        ),
        (
            "1-3 h$..x A 192.0.2.1",
            "'h1..x' is not a name: an empty label",
        ),
        ("1-3 h$", "the line ends where a record's type is needed"),
    ] {
        let file = read_body(format!("$GENERATE {line}\n"));
        assert_eq!(
            findings(&file),
            [format!("db:5: error: {expected}")],
            "{line}"
        );
    }
}
