//! What a run tells: a block per boot, a table of all, and the artifacts of those that failed.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cell::Outcome;
use crate::phases::Phase;
use crate::serial;
use crate::tree;

/// The lines about one boot.
pub(crate) fn block(outcome: &Outcome) -> String {
    let verdict = if outcome.failure.is_none() {
        "passed"
    } else {
        "FAILED"
    };
    let mut text = format!("== {}: {verdict}\n{}", outcome.cell, outcome.phases);
    if let Some(failure) = &outcome.failure {
        let _ = write!(text, "\n  cause: {failure}");
        for (title, lines) in [
            ("requests on the wire", &outcome.last_requests),
            ("lines on the console", &outcome.last_lines),
            ("lines of the server", &outcome.last_logs),
        ] {
            let _ = write!(text, "\n  last {title}:");
            for line in lines {
                let _ = write!(text, "\n    {line}");
            }
        }
    }
    if let Some(artifacts) = &outcome.artifacts {
        let _ = write!(text, "\n  artifacts: {}", artifacts.display());
    }
    text
}

/// The phase times of all boots: seconds since power-on; for DHCP the seconds from DISCOVER to ACK.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    const COLUMNS: [Phase; 6] = [
        Phase::FirstByte,
        Phase::Menu,
        Phase::Kernel,
        Phase::Initrd,
        Phase::KernelSpeaks,
        Phase::Installer,
    ];
    let widest = outcomes
        .iter()
        .map(|outcome| outcome.cell.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut text = format!("{:<widest$} {:>8}", "cell", "dhcp");
    for phase in COLUMNS {
        let _ = write!(text, " {:>10}", phase.name());
    }
    for outcome in outcomes {
        let at = |phase| outcome.phases.at(phase);
        let dhcp = at(Phase::Ack)
            .zip(at(Phase::Discover))
            .map(|(ack, discover)| ack.saturating_sub(discover));
        let _ = write!(text, "\n{:<widest$} {:>8}", outcome.cell, seconds(dhcp));
        for phase in COLUMNS {
            let _ = write!(text, " {:>10}", seconds(at(phase)));
        }
        if outcome.failure.is_some() {
            text.push_str("  FAILED");
        }
    }
    text
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| format!("{:.2}", time.as_secs_f64()),
    )
}

/// Keeps the files of a boot in a directory named after the cell and the time, and says which.
pub(crate) fn save(parent: &Path, work: &Path, outcome: &Outcome) -> Result<PathBuf, String> {
    let directory = keep(parent, &outcome.cell, work)?;
    tree::write(
        &directory.join("report.txt"),
        (block(outcome) + "\n").as_bytes(),
    )?;
    Ok(directory)
}

/// Keeps the files of a work directory in one of this name and the time.
pub(crate) fn keep(parent: &Path, name: &str, work: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    let stem = format!("{name}-{}", utc(serial::now().as_secs()));
    // Two boots of one cell may end in one second.
    let mut directory = parent.join(&stem);
    let mut number = 1;
    while directory.exists() {
        number += 1;
        directory = parent.join(format!("{stem}-{number}"));
    }
    tree::make_directory(&directory)?;
    // The work directory may be missing when nothing was begun.
    if let Ok(entries) = fs::read_dir(work) {
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let keep = path.extension().is_some_and(|extension| extension != "fd");
            if path.is_file()
                && keep
                && let Some(name) = path.file_name()
            {
                let _ = fs::copy(&path, directory.join(name));
            }
        }
    }
    Ok(directory)
}

/// `20261121T000730Z` (ISO 8601, basic format) of seconds since the Unix epoch.
fn utc(seconds: u64) -> String {
    let days = seconds / 86_400;
    // Days since 0000-03-01, in eras of 400 years (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::Phases;

    fn failed() -> Outcome {
        Outcome {
            cell: "ovmf-grub".to_owned(),
            failure: Some("the console shows \"PXE-E18\"".to_owned()),
            phases: Phases::default(),
            last_requests: vec!["tftp x.efi: no answer".to_owned()],
            last_lines: vec![">>Start PXE over IPv4.".to_owned()],
            last_logs: vec!["pxe-server: started".to_owned()],
            artifacts: None,
        }
    }

    #[test]
    fn times_are_written() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_399), "20000228T235959Z");
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(1_795_219_650), "20261121T000730Z");
    }

    #[test]
    fn a_failure_is_told_with_its_circumstances() {
        let text = block(&failed());
        for part in [
            "ovmf-grub: FAILED",
            "PXE-E18",
            "x.efi: no answer",
            ">>Start PXE",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let table = table(&[failed()]);
        assert!(
            table.lines().nth(1).unwrap().ends_with("-  FAILED"),
            "{table}"
        );
    }

    #[test]
    fn artifacts_of_one_second_do_not_overwrite_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let work = directory.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join("serial.log"), "hello").unwrap();
        fs::write(work.join("variables.fd"), "large").unwrap();
        let parent = directory.path().join("artifacts");
        let one = save(&parent, &work, &failed()).unwrap();
        let two = save(&parent, &work, &failed()).unwrap();
        assert_ne!(one, two);
        assert_eq!(fs::read_to_string(two.join("serial.log")).unwrap(), "hello");
        assert!(
            fs::read_to_string(one.join("report.txt"))
                .unwrap()
                .contains("PXE-E18")
        );
        assert!(!one.join("variables.fd").exists());
    }
}
