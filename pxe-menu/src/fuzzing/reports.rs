//! What is told of a menu.

use crate::{
    Client, Files, Loader, Paint, Paths, ReportFile, Resolution, SourceFile, Text, lint,
    report_github, report_json, report_text,
};

/// A server on which every second file is, as a module of the BIOS or of UEFI, or as neither.
struct HalfOfAll;

impl HalfOfAll {
    fn sum(path: &[u8]) -> u8 {
        path.iter().fold(0, |sum, byte| sum ^ byte)
    }
}

impl Files for HalfOfAll {
    fn is_file(&self, path: &[u8]) -> bool {
        Self::sum(path).is_multiple_of(2)
    }

    fn names(&self, folder: &[u8]) -> Vec<Text> {
        let longer = [folder, b"x"].concat();
        [&b"vmlinuz"[..], b"menu.c32", folder, &longer]
            .map(Text::from)
            .to_vec()
    }

    fn head(&self, path: &[u8]) -> Option<Vec<u8>> {
        let heads = [&b"\x7fELF\x01"[..], b"\x7fELF\x02", b"MZ", b""];
        let head = heads.get(usize::from(Self::sum(path) / 64))?;
        self.is_file(path).then(|| head.to_vec())
    }
}

/// Findings are of lines that exist, and nothing of a menu reaches a terminal that it would obey.
pub fn check_reports(files: &[SourceFile], resolution: &Resolution, client: &Client) {
    let mut found = resolution.diagnostics.clone();
    for loader in [Loader::Pxelinux, Loader::SyslinuxEfi] {
        let paths = Paths::new(loader, "bios/pxelinux.0");
        found.extend(lint(resolution, &paths, client, &HalfOfAll));
    }
    for diagnostic in &found {
        assert!(!diagnostic.to_string().contains(char::is_control));
        let Some(place) = diagnostic.place else {
            continue;
        };
        let bytes = files
            .get(place.file.index())
            .and_then(|file| file.bytes.as_deref())
            .unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n').count();
        assert!(
            usize::try_from(place.line).is_ok_and(|line| (1..=lines).contains(&line)),
            "{diagnostic}"
        );
        assert!(place.column >= 1);
    }
    let files = ReportFile::all(files);
    let is_harmless = |text: &str| !text.contains(|c: char| c.is_control() && c != '\n');
    assert!(is_harmless(&report_text(&files, &found, Paint::Plain)));
    assert!(is_harmless(&report_json(&files, &found)));
    let annotations = report_github(&files, &found);
    assert!(is_harmless(&annotations));
    assert!(annotations.lines().all(|line| line.starts_with("::")));
}
