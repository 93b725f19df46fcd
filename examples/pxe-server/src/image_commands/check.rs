//! `pxe-server image check`: what keeps images from being served or booted, and entries of their own
//! menus from being offered.

use std::fmt;
use std::process::ExitCode;

use serde_json::json;

use super::own::{Own, machines};
use super::print_json;
use super::site::Site;
use crate::cli::print;
use crate::fact::printable;
use crate::images::{
    CommandLine, Entry, ImageState, LibraryImage, NO_MEMDISK, NO_WIMBOOT, Recognised, Start,
    Transport,
};
use crate::menus::{Language, MEMDISK, WIMBOOT, loaders};

/// Something that is wrong.
struct Finding {
    severity: Severity,
    /// The image; empty if it is about all of them.
    image: String,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// An image cannot be had.
    Error,
    /// Something of an image that boots cannot.
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

pub(super) fn run(site: &Site, is_json: bool) -> ExitCode {
    let findings = all(site);
    let printed = match is_json {
        true => {
            let findings = findings.iter().map(|finding| {
                json!({
                    "severity": finding.severity.as_str(),
                    "image": finding.image,
                    "text": finding.text,
                })
            });
            print_json(&findings.collect())
        }
        false => {
            for finding in &findings {
                eprintln!("{}: {finding}", finding.severity.as_str());
            }
            let (all, served) = (site.shelf.images.len(), site.shelf.offered().count());
            let dir = site.dir.display();
            print(&format!("{dir}: {served} of {all} images served\n"))
        }
    };
    match findings.iter().any(Finding::is_error) {
        true => ExitCode::FAILURE,
        false => printed,
    }
}

/// The errors as lines.
pub(super) fn errors(site: &Site) -> Vec<String> {
    let findings = all(site).into_iter().filter(Finding::is_error);
    findings.map(|finding| finding.to_string()).collect()
}

impl Finding {
    fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
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
    check_menu(site, &mut findings);
    for image in &site.shelf.images {
        check(site, image, &mut findings);
    }
    findings
}

/// Whether each pxelinux that has no menu of its own, and so gets one of images, can draw it.
fn check_menu(site: &Site, findings: &mut Vec<Finding>) {
    let Some(config) = &site.config else {
        return;
    };
    if !config.images.as_ref().is_some_and(|images| images.menu) {
        return;
    }
    for (_, file) in loaders(config, Language::Syslinux) {
        let loader = config.tree.root.join(file.trim_start_matches('/'));
        let Some(folder) = loader.parent() else {
            continue;
        };
        let has_own = folder.join("pxelinux.cfg/default").is_file();
        let menu = folder.join("menu.c32");
        if loader.is_file() && !has_own && !menu.is_file() {
            let text = format!(
                "{} is not there, by which {file} shows the menu of images: copy it, and the \
                 libutil.c32 that it needs, from where the loader is from",
                menu.display()
            );
            findings.push(error("", text));
        }
    }
}

fn error(image: &str, text: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Error,
        image: image.to_owned(),
        text: text.into(),
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
    if let Some(own) = Own::of(site, name, offered, &recognised) {
        check_own(name, &own, findings);
        return;
    }
    let wants: Vec<Option<String>> = recognised
        .entries
        .iter()
        .map(|entry| wanting(site, entry))
        .collect();
    // What else could be booted of an image that boots, `image show` says.
    if wants.iter().all(Option::is_some) {
        let missing = recognised.missing.iter();
        let missing = missing.map(|missing| format!("cannot be booted: {missing}"));
        for text in wants.into_iter().flatten().chain(missing) {
            findings.push(error(name, text));
        }
    }
    check_lines(site, name, &recognised, findings);
}

/// Whether something of an image's own menu boots, and what does not.
fn check_own(name: &str, own: &Own, findings: &mut Vec<Finding>) {
    let warning = |text: String| Finding {
        severity: Severity::Warning,
        image: name.to_owned(),
        text,
    };
    match own.refusal() {
        Some(why) => findings.push(error(name, format!("cannot be booted: {why}"))),
        None => findings.extend(own.nothing.iter().map(|(firmware, why)| {
            let machines = machines(&[*firmware]);
            warning(format!(
                "cannot be booted by machines with {machines}: {why}"
            ))
        })),
    }
    findings.extend(own.left_out.iter().map(|(firmware, text)| {
        let machines = machines(firmware);
        warning(format!("its own menu, {machines}: {text}"))
    }));
}

/// What this entry lacks here, if it cannot be booted for that.
fn wanting(site: &Site, entry: &Entry<'_>) -> Option<String> {
    match &entry.start {
        Start::Refused(why) => Some(format!("cannot be booted: {why}")),
        Start::Memdisk(_) if !has(site, "memdisk", &MEMDISK) => Some(NO_MEMDISK.to_owned()),
        Start::Wimboot(_) if !has(site, "wimboot", &WIMBOOT) => Some(NO_WIMBOOT.to_owned()),
        _ => None,
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
