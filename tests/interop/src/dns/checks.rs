//! `named-checkzone` and `pxe-server dns check` take and refuse the same files, and read the same out
//! of them.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::zone::{Verdict, ZoneFile, check};
use super::{corpus, generated};
use crate::client::ensure;

/// What stands before each text below.
const BEGINNING: &str = "$TTL 1h\n@ IN SOA ns root 1 3h 1h 1w 1h\n@ NS ns\nns A 10.0.0.1\n";

/// Lines of zone `lab.lan`, each with something that is right or wrong.
const LINES: [&str; 66] = [
    "",
    "a A 10.0.0.300",
    "a A 10.0.0",
    "a A 10.0.0.1 10.0.0.2",
    "a A",
    "a AAAA 10.0.0.1",
    "a AAAA ::ffff:10.0.0.1",
    "a AAAA 2001:db8::g",
    "a CNAME b",
    "a CNAME b\na A 10.0.0.1",
    "a A 10.0.0.1\na CNAME b",
    "a CNAME b\na CNAME c",
    "a CNAME b\na CNAME b",
    "@ CNAME b",
    "a NS ns",
    "a NS ns.a",
    "a NS ns.a\nns.a A 10.0.0.2",
    "a NS b\nb CNAME ns",
    "@ NS other",
    "@ NS other\nother CNAME ns",
    "@ NS 10.0.0.1",
    "@ MX 10",
    "@ MX ten mail",
    "@ MX 65536 ns",
    "@ MX 10 nowhere",
    "@ MX 10 alias\nalias CNAME ns",
    "@ MX 10 10.0.0.1",
    "@ SRV 0 0 80 ns",
    "@ SRV 0 0 65536 ns",
    "@ SRV 0 0 ns",
    "*.w A 10.0.0.1",
    "*.w NS ns",
    "*.w DNAME ns",
    "a.*.b A 10.0.0.1",
    "d DNAME e\nd CNAME f",
    "d DNAME e\nd DNAME f",
    "d DNAME e\nx.d A 10.0.0.1",
    "a.example.net. A 10.0.0.1",
    "@ SOA ns root 2 3h 1h 1w 1h",
    "a SOA ns root 2 3h 1h 1w 1h",
    "a 1x A 10.0.0.1",
    "a 2147483648 A 10.0.0.1",
    "a 4294967296 A 10.0.0.1",
    "a 1d1h IN A 10.0.0.1",
    "a IN 1d A 10.0.0.1",
    "a CH A 10.0.0.1",
    "a IN IN A 10.0.0.1",
    "a FOO 10.0.0.1",
    "a TYPE65280 \\# 4 0a000001",
    "a TYPE65280 \\# 5 0a000001",
    "a TYPE1 \\# 4 0a000001",
    "a TYPE1 \\# 3 0a0000",
    "a TXT \"not closed",
    "a TXT ( \"one\"\n\"two\" )",
    "a TXT ( \"not closed\"",
    "a TXT \"one\" )",
    "a_b A 10.0.0.1",
    "a..b A 10.0.0.1",
    ".a A 10.0.0.1",
    "$GENERATE 1-3 h$ A 10.0.0.$",
    "$GENERATE 3-1 h$ A 10.0.0.$",
    "$GENERATE 0-10/5 h${0,3,x} A 10.0.1.$",
    "$INCLUDE /nonexistent",
    "$FOO bar",
    "$TTL never",
    "$ORIGIN sub\na A 10.0.0.1\n$ORIGIN other.lab.lan.\na A 10.0.0.2",
];

/// What ours says of a file, and the zone as it writes it.
fn ours(server: &Path, zone: &ZoneFile) -> Result<(Verdict, Vec<u8>), String> {
    let output = Command::new(server)
        .args(["dns", "check", "--print", "--zone", &zone.origin])
        .arg(&zone.file)
        .output()
        .map_err(|error| format!("cannot run pxe-server: {error}"))?;
    let verdict = Verdict {
        is_accepted: output.status.success(),
        text: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let mut text = output.stdout;
    // The last line is no record.
    let end = text
        .trim_ascii_end()
        .iter()
        .rposition(|octet| *octet == b'\n');
    text.truncate(end.map_or(0, |end| end + 1));
    Ok((verdict, text))
}

/// BIND's canonical form of a zone file, in lower case: names are the same whatever their case.
fn canonical(zone: &ZoneFile, scratch: &Path) -> Result<String, String> {
    let to = scratch.join("canonical");
    let mut command = Command::new("named-checkzone");
    command.args(["-q", "-D", "-i", "none", "-k", "ignore", "-o"]);
    command.arg(&to).arg(&zone.origin).arg(&zone.file);
    pxe_test_lab::run(&mut command)?;
    let text = std::fs::read_to_string(&to).map_err(|error| error.to_string())?;
    let mut lines: Vec<String> = text.lines().map(str::to_ascii_lowercase).collect();
    lines.sort();
    Ok(lines.join("\n"))
}

/// Real files, invented ones, and mistakes.
pub(super) fn verdicts_agree(server: &Path) -> Result<(), String> {
    let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
    let scratch = directory.path();
    let mut zones = generated::zones(scratch)?;
    match corpus::directory() {
        Some(corpus) => zones.extend(corpus::files(&corpus)?),
        None => println!("corpus not run: PXE_CORPUS is not set"),
    }
    for (number, lines) in LINES.iter().enumerate() {
        let file = scratch.join(format!("lines-{number}"));
        let text = format!("{BEGINNING}{lines}\n");
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let origin = "lab.lan".to_owned();
        zones.push(ZoneFile { origin, file });
    }
    let mut differences = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for zone in &zones {
        let (named, (ours, text)) = (check(zone)?, ours(server, zone)?);
        let shown = || match zone.file.strip_prefix(scratch) {
            Ok(_) => std::fs::read_to_string(&zone.file).unwrap_or_default(),
            Err(_) => zone.file.display().to_string(),
        };
        if named.is_accepted != ours.is_accepted {
            let (named, ours) = (named.text, ours.text);
            differences.push(format!("{}\nnamed: {named}\nours: {ours}", shown()));
            continue;
        }
        if !named.is_accepted {
            refused += 1;
            continue;
        }
        accepted += 1;
        let written = scratch.join("written");
        std::fs::write(&written, text).map_err(|error| error.to_string())?;
        let written = ZoneFile {
            origin: zone.origin.clone(),
            file: written,
        };
        let (theirs, own) = (canonical(zone, scratch)?, canonical(&written, scratch)?);
        if theirs != own {
            differences.push(format!("{}\nnamed reads\n{theirs}\nours\n{own}", shown()));
        }
    }
    println!("{accepted} zone files accepted by both, {refused} refused by both");
    ensure(accepted > 0 && refused > 0, || "nothing to compare".into())?;
    ensure(differences.is_empty(), || {
        let count = differences.len();
        format!("{count} zone files differ:\n{}", differences.join("\n\n"))
    })
}
