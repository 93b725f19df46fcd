//! `pxe-server image check`: what keeps images from being served or booted.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;

use super::print_json;
use super::site::Site;
use crate::cli::print;
use crate::fact::printable;
use crate::images::{
    CommandLine, ImageState, LibraryImage, NO_MEMDISK, NO_WIMBOOT, Recognised, Start, Transport,
};
use crate::menus::{MEMDISK, WIMBOOT};

/// Something that is wrong, or doubtful.
struct Finding {
    is_error: bool,
    /// The image; empty if it is about all of them.
    image: String,
    text: String,
}

pub(super) fn run(site: &Site, is_json: bool) -> ExitCode {
    let findings = all(site);
    let has_errors = findings.iter().any(|finding| finding.is_error);
    let printed = match is_json {
        true => {
            let findings = findings.iter().map(|finding| {
                json!({
                    "severity": severity(finding),
                    "image": finding.image,
                    "text": finding.text,
                })
            });
            print_json(&findings.collect())
        }
        false => {
            for finding in &findings {
                eprintln!("{}: {finding}", severity(finding));
            }
            let (all, served) = (site.shelf.images.len(), site.shelf.offered().count());
            let dir = site.dir.display();
            print(&format!("{dir}: {served} of {all} images served\n"))
        }
    };
    match has_errors {
        true => ExitCode::FAILURE,
        false => printed,
    }
}

/// The same as lines, and whether each is an error.
pub(super) fn findings(site: &Site) -> Vec<(bool, String)> {
    let findings = all(site);
    let lines = findings
        .iter()
        .map(|finding| (finding.is_error, finding.to_string()));
    lines.collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.image.is_empty() {
            write!(f, "{}: ", self.image)?;
        }
        f.write_str(&printable(&self.text))
    }
}

fn all(site: &Site) -> Vec<Finding> {
    let problems = site.shelf.problems.iter();
    let mut findings: Vec<Finding> = problems.map(|problem| error("", problem.clone())).collect();
    for image in &site.shelf.images {
        check(site, image, &mut findings);
    }
    findings
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.is_error {
        true => "error",
        false => "warning",
    }
}

fn error(image: &str, text: impl Into<String>) -> Finding {
    Finding {
        is_error: true,
        image: image.to_owned(),
        text: text.into(),
    }
}

fn warning(image: &str, text: impl Into<String>) -> Finding {
    Finding {
        is_error: false,
        ..error(image, text)
    }
}

fn check(site: &Site, image: &LibraryImage, findings: &mut Vec<Finding>) {
    let name = image.name.as_str();
    let offered = match &image.state {
        ImageState::Withheld(reason) => {
            findings.push(error(name, format!("not served: {reason}")));
            return;
        }
        ImageState::Offered(offered) => offered,
    };
    let Some(recognised) = offered.recognised() else {
        let text = "not recognised, so it is in no menu: `pxe-server image show` says why; a profile \
            of your own can say how it boots";
        findings.push(error(name, text));
        return;
    };
    for missing in &recognised.missing {
        findings.push(match recognised.entries.is_empty() {
            true => error(name, format!("cannot be booted: {missing}")),
            false => warning(name, missing.clone()),
        });
    }
    for entry in &recognised.entries {
        match &entry.start {
            Start::Refused(why) => findings.push(warning(name, format!("cannot be booted: {why}"))),
            Start::Memdisk(_) if !has(site, "memdisk", &MEMDISK) => {
                findings.push(error(name, NO_MEMDISK));
            }
            Start::Wimboot(_) if !has(site, "wimboot", &WIMBOOT) => {
                findings.push(error(name, NO_WIMBOOT));
            }
            Start::Linux { .. } => check_lines(site, name, &recognised, findings),
            _ => {}
        }
    }
}

/// Whether one of its command lines can be told to a machine.
fn check_lines(site: &Site, name: &str, recognised: &Recognised<'_>, findings: &mut Vec<Finding>) {
    let served = site.served(name);
    for entry in &recognised.entries {
        let Start::Linux { nfs, http, .. } = &entry.start else {
            continue;
        };
        let lines = [(Transport::Nfs, nfs), (Transport::Http, http)];
        let lines = lines.iter().filter(|(_, line)| line.is_some());
        let lines = lines.map(|(transport, _)| {
            CommandLine::of(recognised, entry, *transport, &served).map_err(|why| why.to_string())
        });
        let lines: Vec<Result<CommandLine, String>> = lines.collect();
        if let (true, Some(Err(why))) = (lines.iter().all(Result::is_err), lines.first())
            && !findings.iter().any(|finding| finding.text.ends_with(why))
        {
            findings.push(error(name, format!("cannot be booted: {why}")));
        }
    }
}

/// Whether the tree has a file in one of its usual places, or beside a loader.
fn has(site: &Site, name: &str, usual: &[&str]) -> bool {
    let Some(config) = &site.config else {
        // Without a configuration there is no tree to look at.
        return true;
    };
    let root = &config.tree.root;
    let loaders = config.boot.iter().flat_map(|boot| {
        let files = boot.files.values();
        files.chain(&boot.default_file).chain(&boot.ipxe)
    });
    let beside = loaders.filter_map(|file| {
        let (folder, _) = file.trim_start_matches('/').rsplit_once('/')?;
        Some(root.join(folder).join(name))
    });
    let usual = usual.iter().map(|path| root.join(path));
    usual.chain(beside).any(|path| path.is_file())
}
