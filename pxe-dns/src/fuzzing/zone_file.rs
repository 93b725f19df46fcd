//! Zone files, as hostile as can be.

use crate::{Name, Record, Severity, Zone, ZoneFile, ZoneFileLimits};

/// Whatever files say, reading them ends within its bounds, tells lines that there are, and makes
/// a zone if nothing is an error; the zone written as a file is read as the same zone.
///
/// The input is the zone's own file, called `0`, and after each 0xff another, called `1`, `2` and
/// so on.
///
/// # Panics
/// If that is not so.
pub fn zone_file(data: &[u8]) {
    let files: Vec<&[u8]> = data.split(|octet| *octet == 0xff).collect();
    let read = |path: &str, octets_max: usize| {
        let index: usize = path.parse().map_err(|_| "no such file".to_owned())?;
        let file = files.get(index).ok_or("no such file")?;
        // As a reader of real files would.
        Ok(file
            .iter()
            .copied()
            .take(octets_max.saturating_add(1))
            .collect())
    };
    let origin = Name::from_text(b"matrix.lan.", None).expect("a name");
    let limits = ZoneFileLimits {
        octets_max: 1 << 16,
        records_max: 1_000,
        files_max: 20,
        depth_max: 4,
        generated_max: 300,
        findings_max: 50,
    };
    let file = ZoneFile::read(&origin, "0", &read, &limits);
    check_findings(&file, &files, &limits);
    let Some(zone) = &file.zone else {
        return;
    };
    let records: Vec<Record> = zone.records().collect();
    assert!(records.len() <= limits.records_max);
    for record in &records {
        assert!(record.owner.as_ref().is_within(origin.as_ref()));
        assert!(record.ttl_seconds <= 0x7fff_ffff);
    }
    let again = reread(&origin, zone);
    let reread: Vec<Record> = again.records().collect();
    assert_eq!(reread, records, "{zone}");
    assert_eq!(again.to_string(), zone.to_string());
}

fn check_findings(file: &ZoneFile, files: &[&[u8]], limits: &ZoneFileLimits) {
    assert!(file.findings.len() <= limits.findings_max);
    assert!(!file.files.is_empty() && file.files.len() <= limits.files_max);
    assert_eq!(file.files[0], "0");
    for finding in &file.findings {
        let is_known = file.files.iter().any(|path| **path == *finding.file);
        assert!(is_known, "{finding}");
        if let Some(line) = finding.line {
            let octets: &[u8] = finding
                .file
                .parse()
                .ok()
                .and_then(|index: usize| files.get(index).copied())
                .expect("a file that was read");
            let lines = 1 + octets.iter().filter(|octet| **octet == b'\n').count();
            assert!(line > 0 && line as usize <= lines, "{finding}");
        }
        // One line each, whatever was in the file.
        assert!(!finding.text.contains('\n'), "{finding}");
        assert!(finding.text.len() < 3_000, "{finding}");
    }
    let is_error = |severity: Severity| severity == Severity::Error;
    if file
        .findings
        .iter()
        .any(|finding| is_error(finding.severity))
    {
        assert!(file.zone.is_none());
    } else if file.findings.len() < limits.findings_max {
        assert!(file.zone.is_some());
    }
}

fn reread(origin: &Name, zone: &Zone) -> Zone {
    let text = zone.to_string();
    let read = |_: &str, _: usize| Ok(text.clone().into_bytes());
    let file = ZoneFile::read(origin, "zone", &read, &ZoneFileLimits::default());
    let error = file
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Error);
    assert_eq!(error, None, "{text}");
    file.zone.expect("a zone without errors")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A word, a blank or a line's end that means something in zone files, mostly.
    fn word() -> impl Strategy<Value = &'static [u8]> {
        let words: &[&[u8]] = &[
            b"\n",
            b"\n",
            b"\n",
            b"\n ",
            b" ",
            b" ",
            b" ",
            b"\t",
            b"(",
            b")",
            b"; note\n",
            b"\r\n",
            b"\"",
            b"\\",
            b"\\\"",
            b"\xff",
            b"@",
            b"*",
            b".",
            b"$",
            b"_",
            b"\xe4",
            b"\\200",
            b"\0",
            b"pxe ",
            b"a.b ",
            b"c.d. ",
            b"matrix.lan. ",
            b"x.matrix.lan. ",
            b"* ",
            b"\n@ ",
            b"\nns A 192.0.2.1\n",
            b"\n@ SOA ns root 1 2 3 4 5\n",
            b"\n@ NS ns\n",
            b"$TTL 1h\n",
            b"$TTL ",
            b"$ORIGIN ",
            b"$ORIGIN sub\n",
            b"\n$INCLUDE 1\n",
            b"\n$INCLUDE 2 sub\n",
            b"\n$INCLUDE 0\n",
            b"\n$GENERATE 1-3 h$ A 192.0.2.$\n",
            b"\n$GENERATE 0-999/3 ",
            b"${0,3,n} ",
            b"h$ ",
            b"IN ",
            b"CH ",
            b"1w2d ",
            b"300 ",
            b"65536 ",
            b"0 ",
            b"A ",
            b"192.0.2.1 ",
            b"AAAA ",
            b"2001:db8::1 ",
            b"CNAME ",
            b"DNAME ",
            b"NS ",
            b"MX 10 ",
            b"TXT ",
            b"\"a b\" ",
            b"TYPE65280 ",
            b"\\# ",
            b"\\# 2 abcd ",
            b"\\# 0\n",
            b"SOA ",
            b"SRV 0 0 80 ",
            b"PTR ",
            b"LOC 1 N 2 W 3m\n",
            b"APL 1:192.0.2.0/24\n",
            b"LOC ",
            b"CAA 0 issue \"x\"\n",
            b"HTTPS 1 . alpn=h2 port=1\n",
            b"SVCB 1 . ",
            b"key7=a ",
            b"mandatory=port ",
            b"DS 1 8 2 ",
            b"NSEC a A NS TYPE300\n",
            b"NAPTR 1 2 a b c d\n",
            b"NSEC3 1 0 0 - 00 A\n",
            b"TLSA 3 1 1 abcd\n",
            b"URI 1 2 \"x\"\n",
            b"HINFO a b\n",
            b"RRSIG A 8 2 3 20260101000000 0 1 x AAAA\n",
            b"CERT PKIX 0 0 AAAA\n",
            b"SPF x\n",
        ];
        prop::sample::select(words)
    }

    fn the_same_cases(cases: u32) -> ProptestConfig {
        ProptestConfig {
            cases,
            rng_seed: proptest::test_runner::RngSeed::Fixed(0),
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    proptest! {
        #![proptest_config(the_same_cases(2000))]

        #[test]
        fn files_of_words_are_read_within_bounds(
            words in prop::collection::vec(word(), 0..60),
            is_whole in any::<bool>(),
        ) {
            let head: &[u8] = b"$TTL 1h\n@ SOA ns root 1 3h 1h 1w 1h\n@ NS ns\nns A 192.0.2.1\n";
            let head = if is_whole { head } else { b"" };
            zone_file(&[head, &words.concat()].concat());
        }

        #[test]
        fn files_of_octets_are_read_within_bounds(
            octets in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            zone_file(&octets);
        }
    }
}
