//! Live systems of Debian and Ubuntu: what casper and live-boot need to find their files.

use super::arguments::{Arguments, argument_place};
use super::{At, Lint, simplified};
use crate::diagnostic::quoted;
use crate::{Code, Command, Diagnostic, LinuxBoot, Location, Severity, Text};

/// Folders of the Debian installer's kernels, on its images and in its netboot tree.
const INSTALLERS: [&str; 5] = [
    "install.amd",
    "install.386",
    "install.a64",
    "debian-installer",
    "netinst",
];

impl Lint<'_> {
    pub(super) fn live_system(
        &mut self,
        arguments: &Arguments<'_>,
        linux: &LinuxBoot,
        command: &Command,
        at: At,
    ) {
        let place = |start: &str| {
            let word = arguments.word(start).unwrap_or(start);
            argument_place(command, at, word.as_bytes())
        };
        let Some(boot @ ("casper" | "live")) = arguments.value("boot") else {
            return;
        };
        let kernel = linux.kernel.to_string();
        let mut folders = kernel.split(['/', '\\', ':']);
        if let Some(folder) = folders.find(|folder| INSTALLERS.contains(folder)) {
            let message = format!(
                "boot={boot} for a kernel in {}: the Debian installer is no live system",
                quoted(folder.as_bytes())
            );
            let remedy = "take boot=, netboot= and nfsroot= out: the installer asks for its mirror, or reads preseed/url=";
            self.tell(Code::LiveArguments, place("boot="), message, Some(remedy));
        }
        if let Some(fetch) = arguments.value("fetch")
            && boot == "live"
            && !fetch.contains("://")
        {
            let message = format!("{} is no URL", quoted(format!("fetch={fetch}").as_bytes()));
            let remedy = "write fetch=http://server/path/filesystem.squashfs";
            self.tell(Code::LiveArguments, place("fetch="), message, Some(remedy));
        }
        if boot == "casper" {
            self.casper(arguments, linux, command, at);
        }
    }

    fn casper(&mut self, arguments: &Arguments<'_>, linux: &LinuxBoot, command: &Command, at: At) {
        let place = |start: &str| {
            let word = arguments.word(start).unwrap_or(start);
            argument_place(command, at, word.as_bytes())
        };
        let netboot = arguments.value("netboot");
        let image = self.casper_folder(arguments, linux);
        // An image has these names in the templates of netboot.xyz; an export that one, as in NFS roots.
        let image_url = ["url=", "iso-url="].into_iter().find(|name| {
            let url = arguments.value(name.trim_end_matches('='));
            url.is_some_and(|url| url.contains("://") && url.ends_with(".iso"))
        });
        let wants_network = match image_url {
            Some(name) => Some(name),
            None if netboot.is_some() => Some("netboot="),
            None => arguments.value("nfsroot").map(|_| "nfsroot="),
        };
        if let Some(name) = wants_network
            && arguments.value("ip").is_none()
            && command.sysappend & 1 == 0
        {
            let release = image.as_ref().and_then(|folder| self.release(folder));
            if release.is_none_or(|release| release >= (20, 4)) {
                let message =
                    "casper without ip=: since Ubuntu 20.04 it configures no network by itself";
                let mut diagnostic = Diagnostic::new(Code::CasperNetwork, place(name), message)
                    .with_remedy("add ip=dhcp");
                if release.is_none() {
                    // Releases that take an image's URL are hardly older.
                    diagnostic.severity = match image_url {
                        Some(_) => Severity::Warning,
                        None => Severity::Note,
                    };
                }
                self.push(diagnostic);
            }
        }
        if netboot == Some("nfs") && arguments.value("nfsroot").is_none() {
            let message = "netboot=nfs without nfsroot=: it has to come by DHCP, as the root path (option 17)";
            let diagnostic = Diagnostic::new(Code::LiveArguments, place("netboot="), message);
            self.push(diagnostic.with_remedy("add nfsroot=server:/path").as_note());
        }
        // Its UUID, which the folder has, is what casper knows an image by, unless it is told not to.
        if let Some(folder) = image
            && !arguments.has("ignore_uuid")
            && !self
                .files
                .names(&folder)
                .iter()
                .any(|name| *name == ".disk")
        {
            let folder = Text::new(folder);
            let message = format!(
                "{} has no `.disk`: casper takes it for no live system",
                quoted(&folder)
            );
            let diagnostic = Diagnostic::new(Code::MissingDisk, place("boot="), message)
                .with_note("it would say: Unable to find a live file system on the network")
                .with_remedy(format!(
                    "copy the hidden folder .disk of the image to {folder}/.disk"
                ));
            self.tell_once(diagnostic);
        }
    }

    /// The folder in the tree that is the live system: what `nfsroot=` names, or where its kernel lies. The
    /// server's own path of an export ends in a path of the tree.
    fn casper_folder(&self, arguments: &Arguments<'_>, linux: &LinuxBoot) -> Option<Vec<u8>> {
        let has_casper = |folder: &[u8]| {
            self.files
                .names(folder)
                .iter()
                .any(|name| *name == "casper")
        };
        if let Some(root) = arguments.value("nfsroot")
            && !root.contains("://")
        {
            let path = root.split_once(':').map_or(root, |(_, path)| path);
            let path = path.split(',').next().unwrap_or_default();
            let simple = simplified(path.as_bytes());
            let mut rest = &simple[..];
            while !rest.is_empty() {
                if has_casper(rest) {
                    return Some(rest.to_vec());
                }
                let slash = rest.iter().position(|byte| *byte == b'/')?;
                rest = rest.get(slash + 1..)?;
            }
            return None;
        }
        let Location::Tftp { host: None, path } = self.paths.locate(&linux.kernel) else {
            return None;
        };
        let simple = simplified(&path);
        let folder = simple.rsplitn(3, |byte| *byte == b'/').nth(2)?;
        has_casper(folder).then(|| folder.to_vec())
    }

    /// Year and month of the release, as `.disk/info` has it: `Ubuntu-MATE 18.04.4 LTS "Bionic ..`.
    fn release(&self, folder: &[u8]) -> Option<(u8, u8)> {
        let head = self.files.head(&[folder, b"/.disk/info"].concat())?;
        let text = crate::text::decode(&head);
        let word = text
            .split_ascii_whitespace()
            .find(|word| word.contains('.'))?;
        let mut numbers = word.split('.');
        let year = numbers.next()?.parse().ok()?;
        let month = numbers.next()?.parse().ok()?;
        text.contains("buntu").then_some((year, month))
    }
}
