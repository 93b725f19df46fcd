//! Zone files: what is read, what is found, what is written.

mod checks;
mod corpus;
mod data;
mod directives;
mod odd_octets;

use pxe_dns::{Name, ZoneFile, ZoneFileLimits};

/// What most tests begin with: four lines.
const HEAD: &str = "$TTL 1h\n@ SOA ns root 7 3h 1h 1w 1h\n@ NS ns\nns A 192.0.2.1\n";

/// Reads a zone from files in memory: the first is its own.
fn read_with(files: &[(&str, &[u8])], limits: &ZoneFileLimits) -> ZoneFile {
    let read = |path: &str, _: usize| {
        let file = files.iter().find(|(name, _)| *name == path);
        file.map(|(_, octets)| octets.to_vec())
            .ok_or_else(|| "no such file".to_owned())
    };
    let origin: Name = "matrix.lan".parse().expect("a name");
    ZoneFile::read(&origin, files[0].0, &read, limits)
}

fn read(files: &[(&str, &[u8])]) -> ZoneFile {
    read_with(files, &ZoneFileLimits::default())
}

/// Reads a zone that begins with [`HEAD`], so that these lines begin with the fifth.
fn read_body(body: impl AsRef<[u8]>) -> ZoneFile {
    read(&[("db", &[HEAD.as_bytes(), body.as_ref()].concat())])
}

/// All that was found, a line each.
fn findings(file: &ZoneFile) -> Vec<String> {
    file.findings.iter().map(ToString::to_string).collect()
}

/// The records of a zone without those of [`HEAD`], in a zone file's form.
fn records(file: &ZoneFile) -> Vec<String> {
    let zone = file.zone.as_ref();
    let zone = zone.unwrap_or_else(|| panic!("a zone, but {:?}", findings(file)));
    let head = [
        "matrix.lan. 3600 IN SOA ns.matrix.lan. root.matrix.lan. 7 10800 3600 604800 3600",
        "matrix.lan. 3600 IN NS ns.matrix.lan.",
        "ns.matrix.lan. 3600 IN A 192.0.2.1",
    ];
    let records = zone.records().map(|record| record.to_string());
    records
        .filter(|record| !head.contains(&record.as_str()))
        .collect()
}
