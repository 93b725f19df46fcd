//! Files from other editors and other times.

use crate::{HEAD, findings, read, read_body, records};

const A: &str = "a.matrix.lan. 3600 IN A 192.0.2.2";

#[test]
fn lines_end_as_windows_ends_them() {
    let text = format!("{HEAD}a\tA\t192.0.2.2 ; note\n").replace('\n', "\r\n");
    let file = read(&[("db", text.as_bytes())]);
    assert_eq!(records(&file), [A]);
    assert_eq!(findings(&file), Vec::<String>::new());
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = [b"\xef\xbb\xbf", HEAD.as_bytes(), b"a A 192.0.2.2\n"].concat();
    let file = read(&[("db", &text)]);
    assert_eq!(records(&file), [A]);
    let text = "db:1: note: the file begins with a byte order mark, which BIND does not take";
    assert_eq!(findings(&file), [text]);
}

#[test]
fn the_last_line_need_not_end() {
    for body in ["a A 192.0.2.2", "a A 192.0.2.2 ; note", "a A ( 192.0.2.2 )"] {
        let file = read_body(body);
        assert_eq!(records(&file), [A], "{body}");
        let text = "db: note: the last line does not end: was the file cut off?";
        assert_eq!(findings(&file), [text]);
    }
}

#[test]
fn octets_beyond_ascii_stay_as_they_are() {
    let file =
        read_body(b"; \xfcber\na A 192.0.2.2\nt TXT \"\xfc\" \xc3\xbc\nb\xc3\xbccher TXT x\n");
    let expected = [
        A,
        r#"b\195\188cher.matrix.lan. 3600 IN TXT "x""#,
        r#"t.matrix.lan. 3600 IN TXT "\252" "\195\188""#,
    ];
    assert_eq!(records(&file), expected);
}

#[test]
fn escapes_are_undone_where_they_are_read() {
    for (body, expected) in [
        (
            r#"a TXT a\;b "c\"d" \101f"#,
            r#"a.matrix.lan. 3600 IN TXT "a;b" "c\"d" "ef""#,
        ),
        (r"a\.b A 192.0.2.2", r"a\.b.matrix.lan. 3600 IN A 192.0.2.2"),
        (
            r"\$TTL A 192.0.2.2",
            r"\$TTL.matrix.lan. 3600 IN A 192.0.2.2",
        ),
        (r"\@ TXT x", r#"\@.matrix.lan. 3600 IN TXT "x""#),
        ("a TXT \"x\\\ny\"", r#"a.matrix.lan. 3600 IN TXT "x\010y""#),
        (r#"a TXT x"y"z"#, r#"a.matrix.lan. 3600 IN TXT "x" "y" "z""#),
        ("a TXT ;x\n", ""),
    ] {
        let file = read_body(format!("{body}\n"));
        match expected {
            "" => assert!(file.zone.is_none()),
            _ => assert_eq!(records(&file), [expected], "{body}"),
        }
    }
}

#[test]
fn what_a_terminal_would_obey_is_not_shown() {
    let file = read_body(b"a A \x1b[2J\n");
    assert_eq!(
        findings(&file),
        ["db:5: error: '\u{fffd}[2J' is not an IPv4 address"]
    );
    let file = read_body("a A x\0y\n");
    assert_eq!(findings(&file), ["db:5: error: a NUL character"]);
}
