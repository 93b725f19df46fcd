//! 100 real menus that a person judged by reading them: what the crate says of them is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use pxe_menu::{Client, Code, Files, Loader, Menu, Paths, Resolution, Text, Ui, lint, resolve};

use crate::sha256::sha256;

/// The verdicts, without a word of the files: its head says what stands in it.
const VERDICTS: &str = include_str!("verdicts.tsv");

/// By this the 100 were chosen, before one was read.
const SEED: &[u8] = b"pxe-menu 2026";

/// How many may be judged otherwise than by the person.
const WRONG_MAX: usize = 2;

/// What there is to say of a file: the columns of `verdicts.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    ui: String,
    screens: String,
    default: Option<u32>,
    timeout_tenths: Option<u32>,
    findings: BTreeSet<(String, Option<u32>)>,
}

fn number(column: &str) -> Option<u32> {
    (column != "-").then(|| column.parse().expect("a number or -"))
}

/// `1,4..12/4`
fn lines(list: &str) -> Vec<u32> {
    let mut lines = Vec::new();
    for part in list.split(',') {
        match part.split_once("..") {
            None => lines.push(part.parse().expect("a line")),
            Some((first, rest)) => {
                let (last, step) = rest.split_once('/').expect("a..b/s");
                let (first, last): (u32, u32) = (
                    first.parse().expect("a line"),
                    last.parse().expect("a line"),
                );
                lines.extend((first..=last).step_by(step.parse().expect("a step")));
            }
        }
    }
    lines
}

fn verdicts() -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    for line in VERDICTS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [hash, ui, screens, default, timeout, findings] = columns[..] else {
            panic!("six columns: {line}");
        };
        let mut found = BTreeSet::new();
        for finding in findings.split(' ').filter(|finding| *finding != "-") {
            match finding.split_once(':') {
                None => {
                    found.insert((finding.to_owned(), None));
                }
                Some((code, list)) => {
                    found.extend(
                        lines(list)
                            .into_iter()
                            .map(|at| (code.to_owned(), Some(at))),
                    );
                }
            }
        }
        let verdict = Verdict {
            ui: ui.to_owned(),
            screens: screens.to_owned(),
            default: number(default),
            timeout_tenths: number(timeout),
            findings: found,
        };
        let before = verdicts.insert(hash.to_owned(), verdict);
        assert!(before.is_none(), "{hash} is there twice");
    }
    verdicts
}

/// A server on which every file is.
struct Everything;

impl Files for Everything {
    fn is_file(&self, _: &[u8]) -> bool {
        true
    }

    fn names(&self, _: &[u8]) -> Vec<Text> {
        Vec::new()
    }

    fn head(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The line of the entry that Enter, or the end of TIMEOUT without ONTIMEOUT, is about.
fn default_line(resolution: &Resolution) -> Option<u32> {
    let menu: &Menu = &resolution.menu;
    let line = |screen: usize, entry: usize| Some(resolution.places.get(screen)?.get(entry)?.line);
    if menu.ui.is_menu() {
        let start = menu.start.map_or(0, pxe_menu::ScreenId::index);
        // The cursor moves down to an entry that can be chosen, or up from the end (`run_menu`).
        let entries = &menu.screens[start].entries;
        let below = (menu.screens[start].default..entries.len())
            .find(|index| entries[*index].can_be_chosen());
        let at = below.or_else(|| entries.iter().rposition(pxe_menu::Entry::can_be_chosen));
        return line(start, at?);
    }
    let wanted = menu.find_label(menu.default_command()?.first_word())?;
    menu.screens.iter().enumerate().find_map(|(screen, shown)| {
        let is_it = |entry: &pxe_menu::Entry| std::ptr::eq(entry, wanted);
        line(screen, shown.entries.iter().position(is_it)?)
    })
}

/// What the crate says of a file.
fn told(resolution: &Resolution) -> Verdict {
    let menu = &resolution.menu;
    let counts: Vec<String> = menu
        .screens
        .iter()
        .map(|screen| {
            let chosen = screen.entries.iter().filter(|entry| entry.can_be_chosen());
            chosen.count().to_string()
        })
        .collect();
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let linted = lint(resolution, &paths, &Client::new(), &Everything);
    let findings = resolution.diagnostics.iter().chain(&linted);
    let start = menu.start.map_or(0, pxe_menu::ScreenId::index);
    Verdict {
        ui: match menu.ui {
            Ui::Prompt => "prompt",
            Ui::Text(_) => "text",
            Ui::Graphic(_) => "graphic",
            _ => "other",
        }
        .to_owned(),
        screens: counts.join(","),
        default: default_line(resolution),
        timeout_tenths: menu.screens[start].timeout_tenths,
        findings: findings
            .map(|told| {
                let line = told.place.map(|place| place.line);
                (told.code.as_str().to_owned(), line)
            })
            .collect(),
    }
}

/// The verdicts are of 100 files, and speak of findings that the crate knows.
#[test]
fn the_verdicts_can_be_read() {
    let verdicts = verdicts();
    assert_eq!(verdicts.len(), 100);
    for (hash, verdict) in &verdicts {
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        for (code, _) in &verdict.findings {
            let known = Code::ALL.iter().any(|known| known.as_str() == code);
            assert!(known, "{code} is no finding");
        }
    }
}

/// The 100 files are those that the seed chooses, and at most two are judged otherwise than by the person.
#[test]
fn real_menus_are_judged_as_a_person_does() {
    let Some(menus) = crate::menus() else { return };
    let verdicts = verdicts();
    let mut chosen: Vec<(String, String, _)> = Vec::new();
    for path in menus {
        let content = fs::read(&path).expect("a menu");
        let order = sha256(&[SEED, &content].concat());
        chosen.push((order, sha256(&content), path));
    }
    chosen.sort();
    chosen.dedup_by(|one, other| one.0 == other.0);
    chosen.truncate(100);
    let mut wrong = 0;
    for (_, hash, path) in &chosen {
        let verdict = &verdicts[hash];
        let told = told(&resolve(&crate::read(path, true)));
        if told == *verdict {
            continue;
        }
        wrong += 1;
        let rest = |verdict: &Verdict| Verdict {
            findings: BTreeSet::new(),
            ..verdict.clone()
        };
        println!("{}", path.display());
        if rest(&told) != rest(verdict) {
            println!("  person: {:?}", rest(verdict));
            println!("  crate:  {:?}", rest(&told));
        }
        for (code, line) in verdict.findings.difference(&told.findings) {
            println!("  only the person found {code} at {line:?}");
        }
        for (code, line) in told.findings.difference(&verdict.findings) {
            println!("  only the crate found {code} at {line:?}");
        }
    }
    println!("{wrong} of {} are judged otherwise", chosen.len());
    assert!(wrong <= WRONG_MAX, "{wrong} are judged otherwise");
}
