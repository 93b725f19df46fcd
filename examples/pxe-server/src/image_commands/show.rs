//! `pxe-server image show`: what an image was recognised by, and how it boots.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::list::{self, size};
use super::own::{Own, machines};
use super::print_json;
use super::site::Site;
use crate::cli::print;
use crate::fact::printable;
use crate::images::{
    CommandLine, Entry, Evidence, Firmware, ImagePath, ImageState, LibraryImage, Location, Offered,
    Recognised, Served, Start, Transport, memory, why_not,
};

const TRANSPORTS: [(&str, Transport); 2] = [("nfs", Transport::Nfs), ("http", Transport::Http)];

pub(super) fn run(site: &Site, image: &str, is_json: bool) -> Result<ExitCode, String> {
    for problem in &site.shelf.problems {
        eprintln!("warning: {problem}");
    }
    let named = |found: &&LibraryImage| found.name == image || found.file_name.to_string() == image;
    let mut images = site.shelf.images.iter().map(|image| &**image);
    let found = images.find(named).ok_or_else(|| {
        let dir = site.dir.display();
        format!("{dir} has no image {image}; `pxe-server image list` shows them")
    })?;
    Ok(match is_json {
        true => print_json(&object(site, found)),
        false => print(&text(site, found)),
    })
}

/// All that is known of an image, a thing a line.
fn text(site: &Site, image: &LibraryImage) -> String {
    let mut text = String::new();
    let name = &image.name;
    let _ = writeln!(text, "{name}: {}", list::what(image));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {key:11} {}", printable_line(value));
    };
    line("file", &format!("{}, {}", image.file_name, size(image.len)));
    let ImageState::Offered(offered) = &image.state else {
        return text;
    };
    let volume = &offered.contents.volume_id;
    line(
        "format",
        &format!("{}, volume `{volume}`", offered.tree.format_name()),
    );
    let Some(recognised) = offered.recognised() else {
        for profile in offered.profiles.iter() {
            if let Some(why) = why_not(profile, &offered.contents) {
                line("no profile", &format!("{}: {why}", profile.id));
            }
        }
        return text;
    };
    let profile = recognised.profile;
    let booted = match profile.booted {
        true => "",
        false => " (no such image was booted by this project's tests)",
    };
    line("profile", &format!("{}{booted}", profile.id));
    for reason in &recognised.reasons {
        line("because", reason);
    }
    for other in &recognised.passed_over {
        line(
            "not taken",
            &format!("{other}: {} goes before it", profile.id),
        );
    }
    for (word, transport) in TRANSPORTS {
        let boots = |entry: &Entry<'_>| has_line(entry, transport);
        if recognised.entries.iter().any(boots)
            && let Some(mib) = recognised.memory_mib(transport)
        {
            line(
                "memory",
                &format!("{} by {}", memory(mib), word.to_uppercase()),
            );
        }
    }
    let served = site.served(name);
    for entry in &recognised.entries {
        line("entry", &title(entry));
        for (key, value) in starts(&recognised, entry, name, &served) {
            line(&format!("  {key}"), &value);
        }
    }
    let own = Own::of(site, name, offered, &recognised).unwrap_or_default();
    for entry in &own.lines {
        let machines = machines(&entry.firmware);
        line("own entry", &format!("{}, {machines}", entry.title));
        for (key, value) in &entry.starts {
            line(&format!("  {key}"), value);
        }
    }
    for (firmware, text) in left_out(&own) {
        line("left out", &format!("{}: {text}", machines(&firmware)));
    }
    for missing in &recognised.missing {
        line("missing", missing);
    }
    for quirk in &profile.quirks {
        line("quirk", quirk);
    }
    for source in &profile.sources {
        line(
            "source",
            &format!("{} ({})", source.at, evidence(source.evidence)),
        );
    }
    text
}

/// Without the bound of [`printable`]: a command line is to be seen whole.
fn printable_line(text: &str) -> String {
    let words = text.split(' ').map(printable);
    words.collect::<Vec<_>>().join(" ")
}

fn title(entry: &Entry<'_>) -> String {
    let name = match entry.name {
        "" => "the usual one",
        name => name,
    };
    let mut title = format!("{name}, {}", machines(entry.firmware));
    if let Some(architecture) = entry.architecture {
        let _ = write!(title, ", {architecture}");
    }
    title
}

/// What of its own menu is not offered, and where nothing of it is.
fn left_out(own: &Own) -> Vec<(Vec<Firmware>, String)> {
    let nothing = own.nothing.iter();
    let nothing = nothing.map(|(firmware, why)| (vec![*firmware], why.clone()));
    nothing.chain(own.left_out.iter().cloned()).collect()
}

fn has_line(entry: &Entry<'_>, transport: Transport) -> bool {
    match (&entry.start, transport) {
        (Start::Linux { nfs, .. }, Transport::Nfs) => nfs.is_some(),
        (Start::Linux { http, .. }, Transport::Http) => http.is_some(),
        _ => false,
    }
}

/// What a loader is told, by the names that people know it by.
fn starts(
    recognised: &Recognised<'_>,
    entry: &Entry<'_>,
    name: &str,
    served: &Served,
) -> Vec<(&'static str, String)> {
    let file = |path: &ImagePath| match path.location {
        Location::Image => format!("{name}/{}", path.path),
        Location::Beside => format!("{name}.beside/{}", path.path),
    };
    match &entry.start {
        Start::Linux {
            kernel, initrds, ..
        } => {
            let mut starts = vec![("kernel", file(kernel))];
            starts.extend(initrds.iter().map(|initrd| ("initrd", file(initrd))));
            for (word, transport) in TRANSPORTS {
                if has_line(entry, transport) {
                    let line = CommandLine::of(recognised, entry, transport, served);
                    starts.push((
                        word,
                        line.map_or_else(|why| format!("none: {why}"), |l| l.0),
                    ));
                }
            }
            starts
        }
        Start::Program(program) => vec![("program", file(program))],
        Start::Memdisk(None) => vec![("memdisk", format!("{name}.iso"))],
        Start::Memdisk(Some(disk)) => vec![("memdisk", file(disk))],
        Start::Wimboot(files) => {
            let files = files.iter();
            let files = files.map(|(known, path)| ("wimboot", format!("{known} = {}", file(path))));
            files.collect()
        }
        Start::Menu(menus) => menus.iter().map(|menu| ("own menu", file(menu))).collect(),
        Start::Refused(why) => vec![("not at all", (*why).to_owned())],
    }
}

const fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Unread => "unread",
        Evidence::UsedByOthers => "used by others",
        Evidence::Documentation => "documentation",
        Evidence::SourceRead => "source read",
    }
}

fn object(site: &Site, image: &LibraryImage) -> Value {
    let mut object = list::object(image);
    let more = match image.offered() {
        Some(offered) => offered_object(site, &image.name, offered),
        None => json!({}),
    };
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn offered_object(site: &Site, name: &str, offered: &Offered) -> Value {
    let Some(recognised) = offered.recognised() else {
        let why = offered.profiles.iter().filter_map(|profile| {
            let why = why_not(profile, &offered.contents)?;
            Some((profile.id.clone(), Value::from(why)))
        });
        let why: serde_json::Map<String, Value> = why.collect();
        return json!({ "not_because": why });
    };
    let served = site.served(name);
    let entries = recognised.entries.iter().map(|entry| {
        json!({
            "name": entry.name,
            "title": title(entry),
            "start": start_objects(&starts(&recognised, entry, name, &served)),
        })
    });
    let own = Own::of(site, name, offered, &recognised);
    let profile = recognised.profile;
    let sources = profile
        .sources
        .iter()
        .map(|source| json!({ "at": source.at, "evidence": evidence(source.evidence) }));
    json!({
        "because": recognised.reasons,
        "passed_over": recognised.passed_over,
        "memory_mib": {
            "nfs": recognised.memory_mib(Transport::Nfs),
            "http": recognised.memory_mib(Transport::Http),
        },
        "entries": entries.collect::<Vec<_>>(),
        "own_menu": own.as_ref().map(own_object),
        "missing": recognised.missing,
        "quirks": profile.quirks,
        "sources": sources.collect::<Vec<_>>(),
        "booted_in_tests": profile.booted,
    })
}

fn start_objects(starts: &[(&str, String)]) -> Vec<Value> {
    let starts = starts.iter();
    let starts = starts.map(|(key, value)| json!({ "what": key, "value": value }));
    starts.collect()
}

fn own_object(own: &Own) -> Value {
    let words = |firmware: &[Firmware]| {
        let words = firmware.iter().map(|firmware| match firmware {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
        });
        words.collect::<Vec<_>>()
    };
    let entries = own.lines.iter().map(|entry| {
        json!({
            "title": entry.title,
            "firmware": words(&entry.firmware),
            "start": start_objects(&entry.starts),
        })
    });
    let left_out = left_out(own);
    let left_out = left_out
        .iter()
        .map(|(firmware, text)| json!({ "firmware": words(firmware), "text": text }));
    json!({
        "entries": entries.collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
    })
}
