//! Real menus: those below `pxelinux/` of PXE_CORPUS, where that is set. Nothing of them is in this
//! project. `PXE_CORPUS=.. cargo test -p pxe-menu --test corpus -- --nocapture` prints what is found.

mod sha256;
mod verdicts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pxe_menu::fuzzing::{check_document, reread};
use pxe_menu::{
    Code, Document, GrubOptions, IpxeOptions, Limits, Loader, Parser, Paths, render_grub,
    render_ipxe, render_json, render_syslinux, render_text, resolve,
};

/// The real menus, in order; `None`, and said loudly, if there are none here.
fn menus() -> Option<Vec<PathBuf>> {
    let Some(corpus) = std::env::var_os("PXE_CORPUS") else {
        eprintln!("NOT RUN: the real menus are not here (PXE_CORPUS is not set)");
        return None;
    };
    let mut paths = Vec::new();
    files_below(&Path::new(&corpus).join("pxelinux"), &mut paths);
    assert!(!paths.is_empty(), "the corpus has menus");
    Some(paths)
}

/// The files below a folder, in order.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Reads a menu with the files beside it, or alone.
fn read(path: &Path, alone: bool) -> Document {
    let mut parser = Parser::new("main", Limits::default());
    let folder = path.parent().expect("a folder");
    while let Some(need) = parser.poll_need() {
        let name = need.file.to_string();
        let content = match name.as_str() {
            "main" => Some(fs::read(path).expect("a menu")),
            _ if alone => None,
            name => fs::read(folder.join(name.trim_start_matches('/'))).ok(),
        };
        match content {
            Some(bytes) => parser.provide(need.id, bytes),
            None => parser.missing(need.id),
        }
    }
    parser.finish()
}

/// How often each thing was found: files, and findings in all.
#[derive(Default)]
struct Report {
    codes: BTreeMap<Code, (usize, usize)>,
    lost: BTreeMap<(&'static str, Code), usize>,
    unknown: BTreeMap<String, usize>,
    entries: usize,
}

impl Report {
    fn count(&mut self, codes: impl Iterator<Item = Code>) {
        let mut once: BTreeMap<Code, usize> = BTreeMap::new();
        for code in codes {
            *once.entry(code).or_default() += 1;
        }
        for (code, count) in once {
            let (files, findings) = self.codes.entry(code).or_default();
            *files += 1;
            *findings += count;
        }
    }

    fn print(&self, files: usize) {
        println!("{files} files, {} entries", self.entries);
        println!("files findings");
        for (code, (files, findings)) in &self.codes {
            println!("{files:5} {findings:8} {}", code.as_str());
        }
        for ((language, code), count) in &self.lost {
            println!("      {count:8} {} in {language}", code.as_str());
        }
        if std::env::var_os("PXE_CORPUS_VERBOSE").is_some() {
            for (message, count) in &self.unknown {
                println!("{count:6} {message}");
            }
        }
    }
}

/// All real menus are read without a panic and without losing a byte; they can be said in every
/// language; and what is rendered of them reads as the same menu.
#[test]
fn real_menus_are_read_and_come_back() {
    let Some(menus) = menus() else { return };
    let mut report = Report::default();
    let mut different = Vec::new();
    for path in &menus {
        for alone in [false, true] {
            let document = read(path, alone);
            check_document(&document, &Limits::default());
            let resolution = resolve(&document);
            let menu = resolution.menu;
            let rendered = render_syslinux(&menu).text;
            // As one file: what `UI menu.c32 FILE..` names is in it.
            let (merged, back) = (menu.merged(), reread(&rendered));
            if back != merged {
                different.push((path.clone(), merged, back, rendered));
            }
            if alone {
                continue;
            }
            report.entries += menu.entries().count();
            report.count(resolution.diagnostics.iter().map(|told| told.code));
            for told in &resolution.diagnostics {
                if told.code == Code::UnknownDirective {
                    *report.unknown.entry(told.to_string()).or_default() += 1;
                }
            }
            let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
            let script = render_ipxe(&menu, &IpxeOptions::new(paths.clone()));
            let config = render_grub(&menu, &GrubOptions::new(paths.clone(), "(tftp)"));
            for (language, rendered) in [("ipxe", script), ("grub", config)] {
                for told in rendered.diagnostics {
                    *report.lost.entry((language, told.code)).or_default() += 1;
                }
            }
            let _ = render_text(&menu);
            let _ = render_json(&menu, Loader::Lpxelinux, &pxe_menu::Client::new());
        }
    }
    report.print(menus.len());
    if let Some((path, menu, back, rendered)) = different.first() {
        println!("{}\n{menu:#?}\n{back:#?}\n{rendered}", path.display());
    }
    let names: Vec<_> = different.iter().map(|(path, ..)| path).collect();
    assert!(
        names.is_empty(),
        "{} menus do not come back: {names:#?}",
        names.len()
    );
}
