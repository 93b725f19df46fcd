//! Real menus: those of PXE_CORPUS, where that is set. Nothing of them is in this project.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pxe_menu::fuzzing::{check_document, reread};
use pxe_menu::{
    Code, GrubOptions, IpxeOptions, Limits, Loader, Parser, Paths, render_grub, render_ipxe,
    render_syslinux, resolve,
};

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

/// All real menus are read without a panic and without losing a byte, and what is rendered of them
/// reads as the same menu.
#[test]
fn real_menus_are_read_and_come_back() {
    let Some(corpus) = std::env::var_os("PXE_CORPUS") else {
        println!("corpus not run");
        return;
    };
    let mut paths = Vec::new();
    files_below(&Path::new(&corpus).join("pxelinux"), &mut paths);
    assert!(!paths.is_empty(), "the corpus has menus");
    let limits = Limits::default();
    let mut codes: BTreeMap<Code, usize> = BTreeMap::new();
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    let mut lost: BTreeMap<(&str, Code), usize> = BTreeMap::new();
    let mut different = Vec::new();
    let mut entries = 0;
    for path in &paths {
        let mut parser = Parser::new("main", limits.clone());
        while let Some(need) = parser.poll_need() {
            let name = need.file.to_string();
            let base = path.parent().expect("a folder");
            let at = if name == "main" {
                path.clone()
            } else {
                base.join(name.trim_start_matches('/'))
            };
            match fs::read(at) {
                Ok(bytes) => parser.provide(need.id, bytes),
                Err(_) => parser.missing(need.id),
            }
        }
        let document = parser.finish();
        check_document(&document, &limits);
        let resolution = resolve(&document);
        entries += resolution.menu.entries().count();
        for diagnostic in &resolution.diagnostics {
            *codes.entry(diagnostic.code).or_default() += 1;
            if diagnostic.code == Code::UnknownDirective {
                *unknown.entry(diagnostic.to_string()).or_default() += 1;
            }
        }
        let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
        let script = render_ipxe(&resolution.menu, &IpxeOptions::new(paths.clone()));
        let config = render_grub(&resolution.menu, &GrubOptions::new(paths, "(tftp)"));
        for told in script.diagnostics {
            *lost.entry(("ipxe", told.code)).or_default() += 1;
        }
        for told in config.diagnostics {
            *lost.entry(("grub", told.code)).or_default() += 1;
        }
        let rendered = render_syslinux(&resolution.menu);
        let back = reread(&rendered);
        let merged = resolution.menu.merged();
        if back != merged {
            different.push((path.clone(), merged, back, rendered));
        }
    }
    println!("{} files, {entries} entries", paths.len());
    for (code, count) in &codes {
        println!("{count:6} {}", code.as_str());
    }
    for ((language, code), count) in &lost {
        println!("{count:6} {} in {language}", code.as_str());
    }
    if std::env::var_os("PXE_CORPUS_VERBOSE").is_some() {
        for (message, count) in &unknown {
            println!("{count:6} {message}");
        }
    }
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
