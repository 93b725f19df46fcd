//! What an entry does, in commands of GRUB.

use super::super::module::Module;
use super::super::out::name;
use super::{Config, quote};
use crate::{
    Boot, Command, Entry, Invocation, LinuxBoot, Loader, LocalBoot, Location, NotBootable,
};

/// The lines of an entry, and where GRUB can do it.
pub(super) struct Body {
    pub(super) lines: Vec<Vec<u8>>,
    /// The value of `$grub_platform` that it needs.
    pub(super) platform: Option<&'static str>,
}

impl Body {
    fn anywhere(lines: Vec<Vec<u8>>) -> Self {
        Self {
            lines,
            platform: None,
        }
    }

    fn on(platform: &'static str, lines: Vec<Vec<u8>>) -> Self {
        Self {
            lines,
            platform: Some(platform),
        }
    }

    fn line(line: &str) -> Self {
        Self::anywhere(vec![line.as_bytes().to_vec()])
    }
}

/// The port or the word of a remark about a URL with a port.
const PORT: &str = "a port in a URL: GRUB before 2.12 knows none";

impl Config<'_> {
    /// What a command does; why not, if GRUB cannot. What is lost of it is added to `lost`.
    pub(super) fn run(
        &self,
        entry: Option<&Entry>,
        command: &Command,
        lost: &mut Vec<String>,
    ) -> Result<Body, String> {
        if let Some(link) = command.link() {
            let at = self.options.links.get(&link);
            let at = at.ok_or("it leads to another configuration, which was not converted")?;
            let line = [b"configfile ", &quote::quoted(at.as_bytes())[..]].concat();
            return Ok(Body::anywhere(vec![line]));
        }
        let why = match command.boot(Loader::Lpxelinux, &self.options.client) {
            Boot::Linux(linux) => {
                self.unknown(command.sysappend, lost);
                let lines = self.linux(["linux", "initrd"], entry, &linux, lost)?;
                return Ok(Body::anywhere(lines));
            }
            Boot::Memdisk(disk) => {
                self.unknown(command.sysappend, lost);
                let lines = self.linux(["linux16", "initrd16"], entry, &disk, lost)?;
                return Ok(Body::on("pc", lines));
            }
            Boot::Multiboot(modules) => {
                return Ok(Body::anywhere(self.multiboot(entry, &modules, lost)?));
            }
            Boot::Module(module) => match Module::of(&module) {
                Some(Module::Disk(number)) => {
                    let line = format!("chainloader (hd{number})+1");
                    return Ok(Body::on("pc", vec![line.into_bytes()]));
                }
                Some(Module::Reboot) => return Ok(Body::line("reboot")),
                Some(Module::PowerOff) => return Ok(Body::line("halt")),
                Some(Module::Pxe(_)) => "GRUB starts no network bootstrap program",
                None => "a module of syslinux: GRUB cannot run it",
            },
            Boot::Local(LocalBoot::Other(number @ 0x80..=0xff)) => {
                return Ok(local_disk(number - 0x80));
            }
            // A firmware of UEFI goes on with its next boot option only after an error; where GRUB's
            // exit takes no status it ignores one.
            Boot::Local(kind) => {
                if matches!(kind, LocalBoot::KeepUndi | LocalBoot::KeepPxe) {
                    let what = "LOCALBOOT 4 or 5: GRUB does not keep its network for what follows";
                    lost.push(what.to_owned());
                }
                return Ok(Body::line("exit 1"));
            }
            Boot::Menu(_) => "it shows this same menu again",
            Boot::Efi(program) => {
                let mut line = b"chainloader ".to_vec();
                line.extend(self.path(&program.file, lost)?);
                line.extend(arguments(entry, &program.arguments, lost));
                return Ok(Body::on("efi", vec![line]));
            }
            Boot::Wimboot { .. } => "only iPXE gives wimboot its files by their names",
            Boot::BootCfg { .. } => "only ESXi's own mboot starts it",
            Boot::Pxe(_) => "GRUB starts no network bootstrap program",
            Boot::BootSector(_) => "GRUB starts no boot sector that came by network",
            Boot::Config { .. } => "it leads to another configuration",
            Boot::Nothing(NotBootable::BiosOnly) => "a program for the BIOS",
            Boot::Nothing(_) => "the loader itself cannot start it",
        };
        Err(why.to_owned())
    }

    /// Tells of SYSAPPEND's options that are not known of the client: GRUB has no variables like them.
    fn unknown(&self, mask: u32, lost: &mut Vec<String>) {
        for bit in (0..32).map(|bit| 1 << bit).filter(|bit| mask & bit != 0) {
            if self.options.client.sysappend(bit).is_empty() {
                lost.push(format!("SYSAPPEND {bit:#x}: its value is not known"));
            }
        }
    }

    fn linux(
        &self,
        [kernel, initrd]: [&str; 2],
        entry: Option<&Entry>,
        boot: &LinuxBoot,
        lost: &mut Vec<String>,
    ) -> Result<Vec<Vec<u8>>, String> {
        let mut line = format!("{kernel} ").into_bytes();
        line.extend(self.path(&boot.kernel, lost)?);
        line.extend(arguments(entry, &boot.arguments_without_initrd(), lost));
        let mut lines = vec![line];
        if !boot.initrds.is_empty() {
            let mut line = initrd.as_bytes().to_vec();
            for initrd in &boot.initrds {
                line.push(b' ');
                line.extend(self.path(initrd, lost)?);
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn multiboot(
        &self,
        entry: Option<&Entry>,
        modules: &[Invocation],
        lost: &mut Vec<String>,
    ) -> Result<Vec<Vec<u8>>, String> {
        let mut lines = Vec::new();
        for (index, module) in modules.iter().enumerate() {
            let verb = if index == 0 { "multiboot" } else { "module" };
            let mut line = format!("{verb} ").into_bytes();
            line.extend(self.path(&module.file, lost)?);
            line.extend(arguments(entry, &module.arguments, lost));
            lines.push(line);
        }
        Ok(lines)
    }

    fn path(&self, name: &[u8], lost: &mut Vec<String>) -> Result<Vec<u8>, String> {
        let location = self.options.paths.locate(name);
        let unknown = || format!("{location}: no path for GRUB can be made of it");
        match &location {
            Location::Tftp { host: None, path } => {
                let (device, path) = super::super::elsewhere(&self.options.folders, path)
                    .unwrap_or((&self.options.device, path));
                // GRUB puts the path into its request as it is (net/http.c).
                if device.starts_with("(http") {
                    return Ok(quote::file(
                        device,
                        super::super::escape_path(path).as_bytes(),
                    ));
                }
                Ok(quote::file(device, path))
            }
            Location::Tftp {
                host: Some(host),
                path,
            } => {
                let host = super::super::host(host).ok_or_else(unknown)?;
                Ok(quote::file(&format!("(tftp,{host})"), path))
            }
            Location::Url(url) => match super::super::split_url(url) {
                Some((b"http://", host, rest)) => {
                    let host = super::super::host(host).ok_or_else(unknown)?;
                    if host.contains(':') && !lost.iter().any(|what| what == PORT) {
                        lost.push(PORT.to_owned());
                    }
                    let path = super::super::escape_url(rest);
                    Ok(quote::file(&format!("(http,{host})"), path.as_bytes()))
                }
                _ => Err(format!("{url}: GRUB has no such protocol")),
            },
            Location::NoProtocol(url) => Err(format!("{url}: its loader has no such protocol")),
        }
    }
}

fn arguments(entry: Option<&Entry>, text: &[u8], lost: &mut Vec<String>) -> Vec<u8> {
    let (line, is_exact) = quote::arguments(text);
    if !is_exact {
        let name = entry.map_or_else(|| "a command".to_owned(), name);
        lost.push(format!(
            "quotes and backslashes in the arguments of {name}: GRUB hands them on in its own way"
        ));
    }
    line
}

/// LOCALBOOT 0x80: a disk under the BIOS, the firmware's next option under UEFI.
fn local_disk(number: i16) -> Body {
    let lines = [
        "if [ \"$grub_platform\" = \"pc\" ]; then".to_owned(),
        format!("  chainloader (hd{number})+1"),
        "else".to_owned(),
        "  exit 1".to_owned(),
        "fi".to_owned(),
    ];
    Body::anywhere(lines.map(String::into_bytes).to_vec())
}
