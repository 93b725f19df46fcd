//! Real zone files: those below `dns/` of PXE_CORPUS, where that is set. Nothing of them is in this
//! project.

use std::fs;
use std::path::{Path, PathBuf};

use pxe_dns::{Name, Record, ZoneFile, ZoneFileLimits};

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the corpus") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn real_zone_files_are_read_and_written() {
    let Some(corpus) = std::env::var_os("PXE_CORPUS") else {
        eprintln!("NOT RUN: the real zone files are not here (PXE_CORPUS is not set)");
        return;
    };
    let mut paths = Vec::new();
    files_below(&Path::new(&corpus).join("dns"), &mut paths);
    let mut zones = 0;
    for path in &paths {
        let octets = fs::read(path).expect("a file of the corpus");
        let read = |octets: &[u8]| {
            let files = |_: &str, _: usize| Ok(octets.to_vec());
            // Those of most are called otherwise; then they are refused for want of an SOA record.
            let origin: Name = "matrix.lan".parse().expect("a name");
            ZoneFile::read(&origin, "db", &files, &ZoneFileLimits::default())
        };
        if let Some(zone) = read(&octets).zone {
            zones += 1;
            let again = read(zone.to_string().as_bytes())
                .zone
                .expect("the same zone");
            let records: Vec<Record> = again.records().collect();
            assert!(records.into_iter().eq(zone.records()), "{}", path.display());
        }
    }
    assert!(zones > 10, "{zones} of {}", paths.len());
}
