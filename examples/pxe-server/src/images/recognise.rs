//! Which profile an image has, why, and what can be booted of it.

use std::collections::BTreeMap;

use super::command_line::{IMAGE_NAMES, NFS_NAMES, Transport};
use super::contents::Contents;
use super::profile::{
    Architecture, Boot, Firmware, ImagePath, Method, Profile, Profiles, TextRule,
};
use super::template::Template;

/// The most of a captured value that is kept, in characters.
const VALUE_CHARS_MAX: usize = 100;

const MIB: u64 = 1024 * 1024;

/// An image and its profile.
#[derive(Debug, Clone)]
pub(crate) struct Recognised<'p> {
    /// The profile.
    pub(crate) profile: &'p Profile,
    /// What it is, for people: `Debian GNU/Linux 12.5.0 live`.
    pub(crate) label: String,
    /// Captured values, defaults, and the paths of the profile's files.
    pub(crate) values: BTreeMap<String, String>,
    /// What spoke for it, each a line for people.
    pub(crate) reasons: Vec<String>,
    /// What can be booted, the usual first. Empty if the image lacks what its profile names.
    pub(crate) entries: Vec<Entry<'p>>,
    /// What cannot be booted of it, and why.
    pub(crate) missing: Vec<String>,
    /// The other profiles that fit, and were passed over.
    pub(crate) passed_over: Vec<&'p str>,
    /// The lengths of the profile's files in bytes, and of the whole image by the empty name.
    lengths: BTreeMap<String, u64>,
}

impl Recognised<'_> {
    /// The image's own menus, the best first, if it boots by them.
    pub(crate) fn own_menus(&self) -> Option<&[ImagePath]> {
        self.entries.iter().find_map(|entry| match &entry.start {
            Start::Menu(menus) => Some(&menus[..]),
            _ => None,
        })
    }

    /// The memory that a machine needs to boot it, in MiB; `None` if the profile does not say.
    pub(crate) fn memory_mib(&self, transport: Transport) -> Option<u64> {
        let memory = self.profile.memory.as_ref()?;
        let copied = match transport {
            Transport::Nfs => &memory.nfs,
            Transport::Http => &memory.http,
        };
        let Some(copied) = copied else {
            return Some(memory.fixed_mib);
        };
        let file = copied.file.as_deref().unwrap_or_default();
        let bytes = u128::from(*self.lengths.get(file)?) * u128::from(copied.percent) / 100;
        let mib = u64::try_from(bytes.div_ceil(u128::from(MIB))).ok()?;
        memory.fixed_mib.checked_add(mib)
    }
}

/// A way to boot the image, with the files that are there.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'p> {
    /// What tells it from the others; empty for the usual one.
    pub(crate) name: &'p str,
    /// The processor, if it is known.
    pub(crate) architecture: Option<Architecture>,
    /// What it starts from.
    pub(crate) firmware: &'p [Firmware],
    /// How it is started.
    pub(crate) start: Start<'p>,
}

/// How an entry is started, with the files that are there.
#[derive(Debug, Clone)]
pub(crate) enum Start<'p> {
    /// A Linux kernel.
    Linux {
        /// The kernel.
        kernel: ImagePath,
        /// Its initrds, in their order.
        initrds: Vec<ImagePath>,
        /// What follows it for NFS.
        nfs: Option<&'p Template>,
        /// What follows it for HTTP.
        http: Option<&'p Template>,
        /// Whether it reads `BOOTIF=`.
        bootif: bool,
    },
    /// A program of UEFI.
    Program(ImagePath),
    /// A disk for memdisk; `None` is the whole image.
    Memdisk(Option<ImagePath>),
    /// Files for wimboot, by the names that it knows them by.
    Wimboot(BTreeMap<&'p str, ImagePath>),
    /// The image's own menus, the best first.
    Menu(Vec<ImagePath>),
    /// Not from the network; why, and what to do instead.
    Refused(&'p str),
}

/// The profile that fits, or `None`: the first of those that no other is preferred to.
pub(crate) fn recognise<'p>(profiles: &'p Profiles, contents: &Contents) -> Option<Recognised<'p>> {
    let fitting: Vec<Fit<'p>> = profiles
        .iter()
        .filter_map(|profile| fit(profile, contents).ok())
        .collect();
    let passed_over = |candidate: &Profile| {
        fitting.iter().any(|fit| {
            let better_kind = candidate.fallback && !fit.profile.fallback;
            better_kind || fit.profile.over.contains(&candidate.id)
        })
    };
    // If profiles are preferred to each other in a circle, the first of the file is as good.
    let best = fitting
        .iter()
        .position(|fit| !passed_over(fit.profile))
        .or((!fitting.is_empty()).then_some(0))?;
    let others = fitting.iter().enumerate();
    let passed_over = others
        .filter(|(index, _)| *index != best)
        .map(|(_, fit)| fit.profile.id.as_str())
        .collect();
    let best = fitting.into_iter().nth(best)?;
    Some(best.into_recognised(contents, passed_over))
}

/// Why `profile` does not fit, or `None` if it does: for those who wonder.
pub(crate) fn why_not(profile: &Profile, contents: &Contents) -> Option<String> {
    fit(profile, contents).err()
}

/// A profile whose conditions hold.
struct Fit<'p> {
    profile: &'p Profile,
    captured: BTreeMap<String, String>,
    reasons: Vec<String>,
}

/// Whether the conditions hold, or the first that does not.
fn fit<'p>(profile: &'p Profile, contents: &Contents) -> Result<Fit<'p>, String> {
    let rules = &profile.recognise;
    let mut reasons = Vec::new();
    for path in &rules.all {
        let (found, _) = contents
            .find(path)
            .ok_or_else(|| format!("{path} is not there"))?;
        reasons.push(format!("{found} is there"));
    }
    if !rules.any.is_empty() {
        let (found, _) = contents
            .first(&rules.any)
            .ok_or_else(|| format!("none of {} is there", list(&rules.any)))?;
        reasons.push(format!("{found} is there"));
    }
    if let Some((found, _)) = contents.first(&rules.none) {
        return Err(format!("{found} is there"));
    }
    let mut captured = BTreeMap::new();
    for rule in &rules.texts {
        let (name, text) = match &rule.file {
            Some(file) => (file.as_str(), contents.texts.get(file).map(String::as_str)),
            None => ("the volume identifier", Some(contents.volume_id.as_str())),
        };
        match text.and_then(|text| captures(rule, text)) {
            Some((fitting, values)) => {
                reasons.push(format!("{name} says `{fitting}`"));
                // The first rule that captures a name has the better source.
                for (key, value) in values {
                    captured.entry(key).or_insert(value);
                }
            }
            None if rule.optional => {}
            None if text.is_none() => return Err(format!("{name} is not there")),
            None => return Err(format!("{name} does not fit {}", rule.pattern)),
        }
    }
    Ok(Fit {
        profile,
        captured,
        reasons,
    })
}

/// What fits, and the named groups in it.
fn captures(rule: &TextRule, text: &str) -> Option<(String, Vec<(String, String)>)> {
    let captures = rule.pattern.captures(text.as_bytes())?;
    let names = rule.pattern.capture_names().flatten();
    let values = names.filter_map(|name| {
        let value = shown(captures.name(name)?.as_bytes());
        (!value.is_empty()).then(|| (name.to_owned(), value))
    });
    let fitting = shown(captures.get(0)?.as_bytes());
    Some((fitting, values.collect()))
}

/// An image's text on one line of bounded length.
fn shown(text: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(text)
        .trim()
        .chars()
        .take(VALUE_CHARS_MAX)
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    text.trim_end().to_owned()
}

impl<'p> Fit<'p> {
    fn into_recognised(self, contents: &Contents, passed_over: Vec<&'p str>) -> Recognised<'p> {
        let profile = self.profile;
        let mut values = profile.defaults.clone();
        values.extend(self.captured);
        let mut lengths = BTreeMap::from([(String::new(), contents.image_bytes)]);
        for (name, alternatives) in &profile.files {
            if let Some((path, len)) = contents.first(alternatives) {
                values.insert(name.clone(), path.path);
                lengths.insert(name.clone(), len);
            }
        }
        let label = profile
            .label
            .fill(&values)
            .unwrap_or_else(|_| profile.id.clone());
        let mut entries: Vec<Entry<'p>> = Vec::new();
        let mut missing = Vec::new();
        for boot in &profile.boots {
            match entry(boot, &values, contents) {
                Ok(entry) => entries.push(entry),
                Err(reason) if boot.name.is_empty() => missing.push(reason),
                Err(reason) => missing.push(format!("{}: {reason}", boot.name)),
            }
        }
        // What cannot be booted as it is may be with what the administrator laid beside it.
        let refused = |entry: &Entry<'_>| matches!(entry.start, Start::Refused(_));
        if !entries.iter().all(refused) {
            entries.retain(|entry| !refused(entry));
        }
        Recognised {
            profile,
            label: label.split_whitespace().collect::<Vec<_>>().join(" "),
            values,
            reasons: self.reasons,
            entries,
            missing,
            passed_over,
            lengths,
        }
    }
}

/// The boot with its files, or what it lacks.
fn entry<'p>(
    boot: &'p Boot,
    values: &BTreeMap<String, String>,
    contents: &Contents,
) -> Result<Entry<'p>, String> {
    for need in &boot.needs {
        if contents.find(need).is_none() {
            return Err(format!("{need} is not there"));
        }
    }
    let found = |what: &str, alternatives: &[ImagePath]| match contents.first(alternatives) {
        Some((path, _)) => Ok(path),
        None => Err(format!("no {what}: {} is not there", list(alternatives))),
    };
    let start = match &boot.method {
        Method::Linux {
            kernel,
            initrds,
            nfs,
            http,
            bootif,
        } => {
            let kernel = found("kernel", kernel)?;
            let initrds = initrds.iter().map(|initrd| found("initrd", initrd));
            let initrds = initrds.collect::<Result<_, _>>()?;
            let nfs = nfs.as_ref().filter(|line| is_full(line, values));
            let http = http.as_ref().filter(|line| is_full(line, values));
            if nfs.is_none() && http.is_none() {
                return Err("a file that its command line names is not there".to_owned());
            }
            Start::Linux {
                kernel,
                initrds,
                nfs,
                http,
                bootif: *bootif,
            }
        }
        Method::Program { program } => Start::Program(found("program", program)?),
        Method::Memdisk { disk } if disk.is_empty() => Start::Memdisk(None),
        Method::Memdisk { disk } => Start::Memdisk(Some(found("disk", disk)?)),
        Method::Wimboot { files } => {
            let files = files.iter();
            let files = files.map(|(name, paths)| Ok((name.as_str(), found(name, paths)?)));
            Start::Wimboot(files.collect::<Result<_, String>>()?)
        }
        Method::Menu { menus } => {
            found("menu", menus)?;
            let menus = menus.iter().filter_map(|menu| contents.find(menu));
            Start::Menu(menus.map(|(menu, _)| menu).collect())
        }
        Method::Refused { reason } => Start::Refused(reason),
    };
    let architecture = boot.architecture.as_ref();
    let architecture = architecture.and_then(|name| name.fill(values).ok());
    Ok(Entry {
        name: &boot.name,
        architecture: architecture.and_then(|name| Architecture::named(&name)),
        firmware: &boot.firmware,
        start,
    })
}

/// Whether all names in it have values, but for those that the server knows.
fn is_full(line: &Template, values: &BTreeMap<String, String>) -> bool {
    line.names().all(|name| {
        values.contains_key(name) || IMAGE_NAMES.contains(&name) || NFS_NAMES.contains(&name)
    })
}

fn list(paths: &[ImagePath]) -> String {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    paths.join(", ")
}
