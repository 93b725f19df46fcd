//! The table of profiles, read: TOML, checked as a whole, each mistake with its place and remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::bytes::RegexBuilder;

use super::command_line::{IMAGE_NAMES, NFS_NAMES};
use super::profile::{
    Architecture, Boot, Copied, Firmware, ImagePath, Location, Memory, Method, Profile, Profiles,
    Recognise, Source, TextRule,
};
use super::template::{Template, is_name};
use super::written::{
    WrittenBoot, WrittenCopied, WrittenFile, WrittenFirmware, WrittenMethod, WrittenProfile,
    WrittenText,
};
use crate::config::{ConfigError, Places, Problems, nearest, toml_problem};

/// The shipped table, with its description in its first lines.
const SHIPPED: &str = include_str!("profiles.toml");

/// The longest pattern, in bytes; the administrator's own, so it bounds slips, not attacks.
const PATTERN_BYTES_MAX: usize = 1000;

impl Profiles {
    /// The shipped profiles.
    pub(crate) fn shipped() -> Self {
        let profiles = read(SHIPPED, &Self::default());
        Self {
            profiles: profiles.expect("the shipped profiles.toml is read by a test"),
        }
    }

    /// These and those of `text`, the content of `file`, which are tried first. One with the id of
    /// a profile that is there replaces it.
    pub(crate) fn with(&self, file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut profiles = read(text, self).map_err(|problems| ConfigError {
            file: PathBuf::from(file),
            problems,
        })?;
        let new: BTreeSet<String> = profiles.iter().map(|new| new.id.clone()).collect();
        let old = self.profiles.iter().filter(|old| !new.contains(&old.id));
        profiles.extend(old.cloned());
        Ok(Self { profiles })
    }
}

/// The profiles of `text`, which may name `others`.
fn read(text: &str, others: &Profiles) -> Result<Vec<Profile>, Vec<crate::config::Problem>> {
    let written: WrittenFile =
        toml::from_str(text).map_err(|error| vec![toml_problem(text, &error)])?;
    let places = Places::of(text);
    let mut problems = Problems::new(&places);
    let mut ids = BTreeSet::new();
    for (index, profile) in written.profiles.iter().enumerate() {
        if !ids.insert(profile.id.as_str()) {
            problems.error(
                &format!("profile[{index}].id"),
                format!("there is another profile {}", profile.id),
                "give each its own id",
            );
        }
    }
    ids.extend(others.iter().map(|other| other.id.as_str()));
    let mut profiles = Vec::new();
    for (index, profile) in written.profiles.iter().enumerate() {
        let reader = Reader {
            path: format!("profile[{index}]"),
            profile,
            problems: &mut problems,
        };
        profiles.extend(reader.read(&ids));
    }
    if problems.errors.is_empty() {
        Ok(profiles)
    } else {
        let mut errors = problems.errors;
        errors.sort_by_key(|problem| problem.place);
        Err(errors)
    }
}

/// Checks one profile, and tells all that is wrong with it.
struct Reader<'a, 'p> {
    /// Its path in the file.
    path: String,
    profile: &'a WrittenProfile,
    problems: &'a mut Problems<'p>,
}

impl Reader<'_, '_> {
    fn read(mut self, ids: &BTreeSet<&str>) -> Option<Profile> {
        let profile = self.profile;
        self.id(ids);
        let recognise = self.recognise();
        let files: BTreeMap<String, Vec<ImagePath>> = profile
            .files
            .iter()
            .map(|(name, paths)| {
                let at = format!("files.{name}");
                self.name(&at, name);
                (name.clone(), self.alternatives(&at, paths))
            })
            .collect();
        for name in profile.defaults.keys() {
            self.name(&format!("defaults.{name}"), name);
        }
        let known = self.known(&recognise);
        let label = self.template("label", &profile.label, &known);
        let memory = self.memory();
        if profile.boot.is_empty() {
            self.error(
                "boot",
                "is empty",
                "say how it boots, or method = \"refused\" and why",
            );
        }
        let boots: Vec<Option<Boot>> = profile
            .boot
            .iter()
            .enumerate()
            .map(|(index, boot)| self.boot(&format!("boot[{index}]"), boot, &known))
            .collect();
        if profile.source.is_empty() {
            self.error(
                "source",
                "is empty",
                "say where the command lines were checked",
            );
        }
        let sources = profile.source.iter().map(|source| Source {
            at: source.at.clone(),
            evidence: source.evidence,
        });
        Some(Profile {
            id: profile.id.clone(),
            label: label?,
            recognise,
            over: profile.over.clone(),
            fallback: profile.fallback,
            defaults: profile.defaults.clone(),
            files,
            memory,
            boots: boots.into_iter().collect::<Option<_>>()?,
            quirks: profile.quirks.clone(),
            sources: sources.collect(),
            booted: profile.booted,
        })
    }

    fn error(&mut self, at: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let path = format!("{}.{at}", self.path);
        self.problems.error(&path, message, remedy);
    }

    fn id(&mut self, ids: &BTreeSet<&str>) {
        let id = &self.profile.id;
        let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        if id.is_empty() || !id.chars().all(plain) {
            self.error(
                "id",
                format!("`{id}` is no name of a profile"),
                "use lower case, digits and dashes",
            );
        }
        for (index, over) in self.profile.over.iter().enumerate() {
            let at = format!("over[{index}]");
            if over == id {
                self.error(&at, "is this profile itself", "remove it");
            } else if !ids.contains(over.as_str()) {
                let remedy = match nearest(over, ids.iter().copied()) {
                    Some(name) => format!("did you mean {name}?"),
                    None => "remove it".to_owned(),
                };
                self.error(&at, format!("there is no profile {over}"), remedy);
            }
        }
    }

    fn name(&mut self, at: &str, name: &str) {
        if !is_name(name) {
            self.error(
                at,
                format!("`{name}` is no name of a value"),
                "use lower case, digits and underscores, a letter first",
            );
        } else if IMAGE_NAMES.contains(&name) || NFS_NAMES.contains(&name) {
            self.error(
                at,
                format!("`{name}` is what the server knows"),
                "use another name",
            );
        }
    }

    fn recognise(&mut self) -> Recognise {
        let written = &self.profile.recognise;
        let texts = written.texts.iter().enumerate();
        let texts: Vec<TextRule> = texts
            .filter_map(|(index, text)| self.text(&format!("recognise.text[{index}]"), text))
            .collect();
        let no_text = written.texts.iter().all(|text| text.optional);
        if written.all.is_empty() && written.any.is_empty() && no_text {
            self.error(
                "recognise",
                "every image fits this",
                "name a file that it has, or a text that is not optional",
            );
        }
        let beside = "recognises an image by a file beside it";
        let mut paths = |at: &str, paths: &[String]| {
            let paths = self.alternatives(at, paths);
            if paths.iter().any(|path| path.location == Location::Beside) {
                self.error(
                    at,
                    beside,
                    "name files of the image; `needs` of a boot is for others",
                );
            }
            paths
        };
        Recognise {
            all: paths("recognise.all", &written.all),
            any: paths("recognise.any", &written.any),
            none: paths("recognise.none", &written.none),
            texts,
        }
    }

    fn text(&mut self, at: &str, text: &WrittenText) -> Option<TextRule> {
        // Without tables of Unicode: the texts of images are ASCII, and a byte serves for others.
        let pattern = RegexBuilder::new(&text.pattern).unicode(false).build();
        let pattern = match pattern {
            _ if text.pattern.len() > PATTERN_BYTES_MAX => Err(format!(
                "has {} bytes, at most {PATTERN_BYTES_MAX} are read",
                text.pattern.len()
            )),
            Ok(pattern) => Ok(pattern),
            // A library's message has several lines, of which the last says what is wrong.
            Err(error) => Err(error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned()),
        };
        let pattern = match pattern {
            Ok(pattern) => pattern,
            Err(message) => {
                let remedy = "write a regular expression as Rust's regex has it";
                self.error(&format!("{at}.pattern"), message, remedy);
                return None;
            }
        };
        for name in pattern.capture_names().flatten() {
            self.name(&format!("{at}.pattern"), name);
        }
        if text.file.is_some() == text.volume_id {
            self.error(
                at,
                "says not what it reads",
                "give it either file or volume_id = true",
            );
        }
        if let Some(Err(message)) = text.file.as_deref().map(ImagePath::parse) {
            self.error(
                &format!("{at}.file"),
                message,
                "write a path such as .disk/info",
            );
        }
        Some(TextRule {
            file: text.file.clone(),
            pattern,
            optional: text.optional,
        })
    }

    /// The names that always have a value once an image is recognised.
    fn known(&self, recognise: &Recognise) -> BTreeSet<String> {
        let captured = recognise.texts.iter().filter(|text| !text.optional);
        let captured = captured.flat_map(|text| text.pattern.capture_names().flatten());
        let defaults = self.profile.defaults.keys();
        captured
            .map(str::to_owned)
            .chain(defaults.cloned())
            .collect()
    }

    fn template(&mut self, at: &str, text: &str, known: &BTreeSet<String>) -> Option<Template> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(message) => {
                self.error(at, message, "write {name} for a value, and no other braces");
                return None;
            }
        };
        let unknown = template.names().find(|name| !known.contains(*name));
        if let Some(unknown) = unknown {
            let remedy = match nearest(unknown, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean {{{name}}}?"),
                None => "capture it in a text, or give it a value in defaults".to_owned(),
            };
            self.error(at, format!("{{{unknown}}} may have no value here"), remedy);
            return None;
        }
        Some(template)
    }

    /// A command line, which may have what the server knows, and the files.
    fn command_line(
        &mut self,
        at: &str,
        text: Option<&String>,
        known: &BTreeSet<String>,
    ) -> Option<Template> {
        let mut known = known.clone();
        known.extend(self.profile.files.keys().cloned());
        known.extend(IMAGE_NAMES.map(str::to_owned));
        if at.ends_with(".nfs") {
            known.extend(NFS_NAMES.map(str::to_owned));
        }
        text.and_then(|text| self.template(at, text, &known))
    }

    fn alternatives(&mut self, at: &str, paths: &[String]) -> Vec<ImagePath> {
        let mut read = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            match ImagePath::parse(path) {
                Ok(path) => read.push(path),
                Err(message) => {
                    let remedy = "write it without slashes at its ends, as live/vmlinuz";
                    self.error(&format!("{at}[{index}]"), message, remedy);
                }
            }
        }
        read
    }

    fn memory(&mut self) -> Option<Memory> {
        let memory = self.profile.memory.as_ref()?;
        let mut copied = |at: &str, copied: Option<&WrittenCopied>| {
            let copied = copied?;
            let file = (copied.of != "image").then(|| copied.of.clone());
            if let Some(file) = &file
                && !self.profile.files.contains_key(file)
            {
                self.error(
                    &format!("memory.{at}.of"),
                    format!("there is no file {file} in this profile"),
                    "name it in files, or write \"image\" for the whole image",
                );
            }
            let percent = copied.percent;
            Some(Copied { file, percent })
        };
        Some(Memory {
            fixed_mib: memory.fixed_mib,
            nfs: copied("nfs", memory.nfs.as_ref()),
            http: copied("http", memory.http.as_ref()),
        })
    }

    fn boot(&mut self, at: &str, boot: &WrittenBoot, known: &BTreeSet<String>) -> Option<Boot> {
        let mut firmware = Vec::new();
        for written in &boot.firmware {
            firmware.push(match written {
                WrittenFirmware::Bios => Firmware::Bios,
                WrittenFirmware::Uefi => Firmware::Uefi,
            });
        }
        if firmware.is_empty() {
            let at = format!("{at}.firmware");
            self.error(&at, "is empty", "write \"bios\", \"uefi\" or both");
        }
        let architecture = boot.architecture.as_ref().and_then(|architecture| {
            let at = format!("{at}.architecture");
            let template = self.template(&at, architecture, known)?;
            if template.names().next().is_none() && Architecture::named(architecture).is_none() {
                self.error(
                    &at,
                    format!("`{architecture}` is no architecture"),
                    "write x86, x86-64, arm64, riscv64, ppc64le, or a captured value",
                );
            }
            Some(template)
        });
        self.strangers(at, boot);
        let method = self.method(at, boot, known)?;
        self.limits(at, &firmware, &method);
        Some(Boot {
            name: boot.name.clone(),
            architecture,
            firmware,
            needs: self.alternatives(&format!("{at}.needs"), &boot.needs),
            method,
        })
    }

    /// Keys that another method has.
    fn strangers(&mut self, at: &str, boot: &WrittenBoot) {
        use WrittenMethod::{Linux, Memdisk, Menu, Program, Refused, Wimboot};
        let keys = [
            ("kernel", Linux, boot.kernel.is_some()),
            ("initrd", Linux, boot.initrd.is_some()),
            ("nfs", Linux, boot.nfs.is_some()),
            ("http", Linux, boot.http.is_some()),
            ("bootif", Linux, boot.bootif.is_some()),
            ("program", Program, boot.program.is_some()),
            ("disk", Memdisk, boot.disk.is_some()),
            ("wim", Wimboot, boot.wim.is_some()),
            ("menus", Menu, boot.menus.is_some()),
            ("reason", Refused, boot.reason.is_some()),
        ];
        for (key, method, written) in keys {
            if written && method != boot.method {
                let method = format!("{method:?}").to_lowercase();
                self.error(
                    &format!("{at}.{key}"),
                    format!("only method {method} has {key}"),
                    "remove it, or use that method",
                );
            }
        }
    }

    fn method(&mut self, at: &str, boot: &WrittenBoot, known: &BTreeSet<String>) -> Option<Method> {
        let method = match boot.method {
            WrittenMethod::Linux => {
                let initrds = boot.initrd.iter().flatten().enumerate();
                let initrds = initrds
                    .map(|(index, paths)| {
                        self.alternatives(&format!("{at}.initrd[{index}]"), paths)
                    })
                    .collect();
                let kernel = self.required(&format!("{at}.kernel"), boot.kernel.as_ref())?;
                let nfs = self.command_line(&format!("{at}.nfs"), boot.nfs.as_ref(), known);
                let http = self.command_line(&format!("{at}.http"), boot.http.as_ref(), known);
                if boot.nfs.is_none() && boot.http.is_none() {
                    let remedy = "write nfs or http, which may be empty text";
                    self.error(at, "has no command line", remedy);
                }
                Method::Linux {
                    kernel,
                    initrds,
                    nfs,
                    http,
                    bootif: boot.bootif.unwrap_or_default(),
                }
            }
            WrittenMethod::Program => Method::Program {
                program: self.required(&format!("{at}.program"), boot.program.as_ref())?,
            },
            WrittenMethod::Memdisk => Method::Memdisk {
                disk: self.alternatives(
                    &format!("{at}.disk"),
                    boot.disk.as_deref().unwrap_or_default(),
                ),
            },
            WrittenMethod::Wimboot => {
                let wim = boot.wim.iter().flatten();
                let files: BTreeMap<_, _> = wim
                    .map(|(name, paths)| {
                        let paths = self.alternatives(&format!("{at}.wim"), paths);
                        (name.clone(), paths)
                    })
                    .collect();
                if files.is_empty() {
                    let remedy = "name at least boot.wim and where it lies";
                    self.error(at, "has no files for wimboot", remedy);
                }
                Method::Wimboot { files }
            }
            WrittenMethod::Menu => Method::Menu {
                menus: self.required(&format!("{at}.menus"), boot.menus.as_ref())?,
            },
            WrittenMethod::Refused => match &boot.reason {
                Some(reason) => Method::Refused {
                    reason: reason.clone(),
                },
                None => {
                    self.error(at, "says not why it is refused", "add reason = \"..\"");
                    return None;
                }
            },
        };
        Some(method)
    }

    fn required(&mut self, at: &str, paths: Option<&Vec<String>>) -> Option<Vec<ImagePath>> {
        let paths = paths.map(Vec::as_slice).unwrap_or_default();
        if paths.is_empty() {
            self.error(
                at,
                "is missing",
                "name the paths where it may lie, the usual one first",
            );
            return None;
        }
        Some(self.alternatives(at, paths))
    }

    /// What no profile can promise.
    fn limits(&mut self, at: &str, firmware: &[Firmware], method: &Method) {
        let at = format!("{at}.firmware");
        match method {
            Method::Memdisk { .. } if firmware.contains(&Firmware::Uefi) => {
                let remedy = "write firmware = [\"bios\"]";
                self.error(&at, "memdisk works on BIOS alone", remedy);
            }
            Method::Program { .. } if firmware.contains(&Firmware::Bios) => {
                let remedy = "write firmware = [\"uefi\"]";
                self.error(&at, "a program of UEFI does not run on BIOS", remedy);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[profile]]
id = "mine"
label = "Mine {version}"
recognise = { all = ["mine/vmlinuz"] }
defaults = { version = "1" }
files = { squashfs = ["mine/root"] }
memory = { fixed_mib = 512, http = { of = "squashfs", percent = 100 } }
source = [{ at = "tried", evidence = "used by others" }]
[[profile.boot]]
firmware = ["bios", "uefi"]
method = "linux"
kernel = ["mine/vmlinuz"]
http = "root={http}/{squashfs}"
"#;

    fn problems(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "{from}");
        let error = Profiles::shipped()
            .with(Path::new("my.toml"), &GOOD.replacen(from, to, 1))
            .expect_err("wrong");
        error.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn own_profiles_come_first_and_replace_shipped_ones() {
        let shipped = Profiles::shipped();
        let more = shipped.with(Path::new("my.toml"), GOOD).expect("valid");
        assert_eq!(more.profiles.len(), shipped.profiles.len() + 1);
        assert_eq!(more.profiles[0].id, "mine");
        let text = GOOD.replace("id = \"mine\"", "id = \"debian-live\"");
        let replaced = shipped.with(Path::new("my.toml"), &text).expect("valid");
        assert_eq!(replaced.profiles.len(), shipped.profiles.len());
        let label = &replaced.get("debian-live").expect("there").label;
        assert_eq!(label.names().collect::<Vec<_>>(), ["version"]);
    }

    #[test]
    fn mistakes_are_told_with_their_places_and_remedies() {
        let cases = [
            (
                "Mine {version}",
                "Mine {versoin}",
                "my.toml:4:9: profile.label: {versoin} may have no value here; did you mean \
                 {version}?",
            ),
            (
                "label =",
                "lable =",
                "my.toml:4:1: profile.lable: unknown key lable; did you mean label?",
            ),
            (
                "{http}/{squashfs}",
                "{nfs_path}/{squashfs}",
                "my.toml:14:8: profile.boot.http: {nfs_path} may have no value here; capture it in \
                 a text, or give it a value in defaults",
            ),
            (
                "all = [\"mine/vmlinuz\"]",
                "",
                "my.toml:5:1: profile.recognise: every image fits this; name a file that it has, \
                 or a text that is not optional",
            ),
            (
                "[\"mine/vmlinuz\"]\nhttp",
                "[\"/mine/vmlinuz\"]\nhttp",
                "my.toml:13:11: profile.boot.kernel: `/mine/vmlinuz` is no path inside of an \
                 image; write it without slashes at its ends, as live/vmlinuz",
            ),
            (
                "of = \"squashfs\"",
                "of = \"iso\"",
                "my.toml:8:43: profile.memory.http.of: there is no file iso in this profile; name \
                 it in files, or write \"image\" for the whole image",
            ),
            (
                "kernel = [\"mine/vmlinuz\"]",
                "kernel = [\"mine/vmlinuz\"]\nreason = \"x\"",
                "my.toml:14:10: profile.boot.reason: only method refused has reason; remove it, or \
                 use that method",
            ),
            (
                "source",
                "over = [\"debian-liv\"]\nsource",
                "my.toml:9:9: profile.over: there is no profile debian-liv; did you mean \
                 debian-live?",
            ),
            (
                "recognise = { ",
                "recognise = { text = [{ file = \"a\", pattern = \"(\" }], ",
                "my.toml:5:47: profile.recognise.text.pattern: error: unclosed group; write a \
                 regular expression as Rust's regex has it",
            ),
        ];
        for (from, to, expected) in cases {
            assert_eq!(problems(from, to), [expected]);
        }
    }

    #[test]
    fn memdisk_is_for_bios_alone() {
        let linux =
            "method = \"linux\"\nkernel = [\"mine/vmlinuz\"]\nhttp = \"root={http}/{squashfs}\"";
        assert_eq!(
            problems(linux, "method = \"memdisk\""),
            [
                "my.toml:11:1: profile.boot.firmware: memdisk works on BIOS alone; write firmware \
                 = [\"bios\"]"
            ]
        );
    }

    #[test]
    fn two_profiles_of_one_name_are_refused() {
        let twice = format!("{GOOD}{GOOD}");
        let error = Profiles::default().with(Path::new("my.toml"), &twice);
        assert_eq!(
            error.expect_err("twice").to_string(),
            "my.toml:17:6: profile.id: there is another profile mine; give each its own id"
        );
    }
}
