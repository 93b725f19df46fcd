//! What an entry does, in commands of iPXE.

use super::super::module::Module;
use super::super::opening::{Target, target, timeout};
use super::words::arguments;
use super::{Script, milliseconds};
use crate::{
    Action, Boot, Command, Entry, Invocation, LinuxBoot, Loader, LocalBoot, Location, ScreenId,
    Text,
};

/// Why an entry is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// iPXE has no words for it.
    Unsaid(String),
    /// iPXE cannot protect it.
    Protected(String),
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self::Unsaid(why.to_owned())
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Unsaid(why)
    }
}

/// A remark about an entry.
const BIOS_ONLY: &str =
    "the next entry is for the BIOS: under UEFI it only says that it did not work";

/// A remark about an entry.
const EFI_ONLY: &str =
    "the next entry is for UEFI: under the BIOS it only says that it did not work";

type Body = Result<Vec<u8>, Refusal>;

impl Script<'_> {
    /// What an entry does, each line with its newline. An error goes to the label `failed`; what is lost of
    /// the entry is added to `lost`.
    pub(super) fn body(
        &mut self,
        at: ScreenId,
        entry: &Entry,
        failed: &str,
        lost: &mut Vec<String>,
    ) -> Body {
        match &entry.action {
            Action::Submenu(id) if self.guards.is_closed(*id) => {
                Err(Refusal::Protected("its menu has a password".to_owned()))
            }
            Action::Submenu(id) => Ok(self.go(*id)),
            Action::Goto(id) | Action::Exit(id) => {
                if self.guards.may_go(at, *id) {
                    Ok(self.go(*id))
                } else {
                    let why = "it leads to a menu with a password";
                    Err(Refusal::Protected(why.to_owned()))
                }
            }
            Action::Run(command) => self.run(command, failed, lost),
            Action::Quit => Err("MENU QUIT: iPXE has no prompt of this kind".into()),
            Action::Help(_) => Err("MENU HELP: iPXE shows no files".into()),
            Action::Separator | Action::Disabled(_) | Action::Nowhere(_) => {
                Err("it cannot be chosen".into())
            }
        }
    }

    /// To a screen. A linked one is a menu of its own, of which the timeout begins when it is opened.
    fn go(&self, id: ScreenId) -> Vec<u8> {
        let wait = match self.linked_timeout(id) {
            Some(tenths) => format!("set wait {}\n", milliseconds(Some(tenths))),
            None => String::new(),
        };
        format!("{wait}goto screen{}\n", id.index()).into_bytes()
    }

    /// The timeout of a linked screen that starts its default entry: iPXE selects what it starts.
    pub(super) fn linked_timeout(&self, id: ScreenId) -> Option<u32> {
        let screen = self.menu.screen(id).filter(|screen| screen.linked)?;
        timeout(screen).filter(|_| self.means_default(id))
    }

    /// Whether the timeout of a screen starts its default entry.
    pub(super) fn means_default(&self, id: ScreenId) -> bool {
        let screen = self.menu.screen(id);
        screen.is_some_and(|screen| {
            let default = Target::Entry(id, screen.default);
            let line = screen.on_timeout.as_ref();
            line.is_none_or(|line| target(self.menu, line) == default)
        })
    }

    pub(super) fn run(&mut self, command: &Command, failed: &str, lost: &mut Vec<String>) -> Body {
        if let Some(link) = command.link() {
            return match self.options.links.get(&link) {
                Some(at) => Ok(format!("chain {at} || goto {failed}\n").into_bytes()),
                None => Err("it leads to another configuration, which was not converted".into()),
            };
        }
        let mut plain = command.clone();
        plain.sysappend = 0;
        let client = &self.options.client;
        let lines = match plain.boot(Loader::Lpxelinux, client) {
            Boot::Linux(linux) => {
                return self.linux(&linux, true, command.sysappend, failed, lost);
            }
            Boot::Memdisk(disk) => {
                lost.push(BIOS_ONLY.to_owned());
                let mut body = only_on("pcbios", failed);
                body.extend(self.linux(&disk, false, command.sysappend, failed, lost)?);
                return Ok(body);
            }
            Boot::Multiboot(modules) => {
                lost.push(BIOS_ONLY.to_owned());
                return self.multiboot(&modules, failed);
            }
            Boot::Module(module) => match Module::of(&module) {
                Some(Module::Pxe(program)) => {
                    lost.push(BIOS_ONLY.to_owned());
                    return self.chain("pcbios", &program, b"", failed);
                }
                Some(Module::Disk(number)) => {
                    lost.push(BIOS_ONLY.to_owned());
                    return Ok(disk(0x80 + number, failed));
                }
                Some(Module::Reboot) => format!("reboot || goto {failed}\n"),
                Some(Module::PowerOff) => format!("poweroff || goto {failed}\n"),
                None => return Err("a module of syslinux: iPXE cannot run it".into()),
            },
            Boot::Pxe(program) => {
                lost.push(BIOS_ONLY.to_owned());
                return self.chain("pcbios", &program.file, b"", failed);
            }
            Boot::Efi(program) => {
                lost.push(EFI_ONLY.to_owned());
                return self.chain("efi", &program.file, &program.arguments, failed);
            }
            Boot::Wimboot { program, files } => return self.wimboot(&program, &files, failed),
            Boot::BootCfg { .. } => return Err("only ESXi's own mboot starts it".into()),
            Boot::Local(LocalBoot::Other(number @ 0x80..=0xff)) => {
                self.uses_local = true;
                return Ok(format!(
                    "iseq ${{platform}} pcbios || goto local\n\
                     sanboot --no-describe --drive {number:#x} || goto {failed}\n"
                )
                .into_bytes());
            }
            Boot::Local(kind) => {
                if matches!(kind, LocalBoot::KeepUndi | LocalBoot::KeepPxe) {
                    lost.push(
                        "LOCALBOOT 4 or 5: iPXE does not keep its network for what follows"
                            .to_owned(),
                    );
                }
                self.uses_local = true;
                "goto local\n".to_owned()
            }
            Boot::Menu(_) => "goto screen0\n".to_owned(),
            Boot::BootSector(_) => {
                return Err("a boot sector: iPXE cannot start it by itself".into());
            }
            Boot::Config { .. } => return Err("it leads to another configuration".into()),
            Boot::Nothing(_) => return Err("the loader itself cannot start it".into()),
        };
        Ok(lines.into_bytes())
    }

    fn linux(
        &self,
        boot: &LinuxBoot,
        names_initrds: bool,
        sysappend: u32,
        failed: &str,
        lost: &mut Vec<String>,
    ) -> Body {
        // What an entry that failed has loaded would be handed to the next kernel.
        let mut body = b"imgfree\n".to_vec();
        let mut line = format!("kernel {}", self.uri(&boot.kernel)?).into_bytes();
        // UEFI kernels find their initial RAM disks by these names; BIOS ones need none.
        for index in 0..boot.initrds.len() {
            if !names_initrds {
                break;
            }
            line.extend_from_slice(format!(" initrd=initrd{index}").as_bytes());
        }
        for word in arguments(&boot.arguments_without_initrd())? {
            line.push(b' ');
            line.extend_from_slice(&word);
        }
        for option in self.sysappend(sysappend, lost) {
            line.push(b' ');
            line.extend_from_slice(&option);
        }
        body.extend(line);
        body.extend_from_slice(format!(" || goto {failed}\n").as_bytes());
        for (index, initrd) in boot.initrds.iter().enumerate() {
            let uri = self.uri(initrd)?;
            let line = format!("initrd --name initrd{index} {uri} || goto {failed}\n");
            body.extend_from_slice(line.as_bytes());
        }
        body.extend_from_slice(format!("boot || goto {failed}\n").as_bytes());
        Ok(body)
    }

    /// wimboot finds its files by the names of images under UEFI, and under the BIOS by what follows a URL, which
    /// is a name in an archive (<https://ipxe.org/wimboot>).
    fn wimboot(&self, program: &[u8], files: &[(Text, Text)], failed: &str) -> Body {
        let kernel = self.uri(program)?;
        let mut body = format!("imgfree\nkernel {kernel} || goto {failed}\n");
        for (name, file) in files {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
            if name.is_empty() || !name.iter().all(is_plain) {
                return Err(format!("wimboot knows no file {name}").into());
            }
            let uri = self.uri(file)?;
            body += &format!("initrd --name {name} {uri} {name} || goto {failed}\n");
        }
        body += &format!("boot || goto {failed}\n");
        Ok(body.into_bytes())
    }

    fn multiboot(&self, modules: &[Invocation], failed: &str) -> Body {
        let mut body = only_on("pcbios", failed);
        body.extend_from_slice(b"imgfree\n");
        for (index, module) in modules.iter().enumerate() {
            let verb = if index == 0 { "kernel" } else { "module" };
            body.extend_from_slice(format!("{verb} {}", self.uri(&module.file)?).as_bytes());
            for word in arguments(&module.arguments)? {
                body.push(b' ');
                body.extend_from_slice(&word);
            }
            body.extend_from_slice(format!(" || goto {failed}\n").as_bytes());
        }
        body.extend_from_slice(format!("boot || goto {failed}\n").as_bytes());
        Ok(body)
    }

    fn chain(&self, platform: &str, file: &[u8], given: &[u8], failed: &str) -> Body {
        let mut body = only_on(platform, failed);
        body.extend_from_slice(format!("imgfree\nchain {}", self.uri(file)?).as_bytes());
        for word in arguments(given)? {
            body.push(b' ');
            body.extend_from_slice(&word);
        }
        body.extend_from_slice(format!(" || goto {failed}\n").as_bytes());
        Ok(body)
    }

    /// SYSAPPEND's options: what is known of the client, else iPXE's own variables.
    fn sysappend(&self, mask: u32, lost: &mut Vec<String>) -> Vec<Vec<u8>> {
        let mut options = Vec::new();
        for bit in (0..32).filter(|bit| mask & (1 << bit) != 0) {
            let known = self.options.client.sysappend(1 << bit);
            let known = known.strip_prefix(b" ").unwrap_or(&known);
            let variable = match bit {
                _ if !known.is_empty() => {
                    match arguments(known) {
                        Ok(words) => options.extend(words),
                        Err(why) => lost.push(format!("SYSAPPEND {:#x}: {why}", 1_u32 << bit)),
                    }
                    continue;
                }
                0 => "ip=${ip}:${next-server}:${gateway}:${netmask}",
                1 => "BOOTIF=01-${mac:hexhyp}",
                2 => "SYSUUID=${uuid}",
                4 => "SYSVENDOR=${manufacturer}",
                5 => "SYSPRODUCT=${product}",
                7 => "SYSSERIAL=${serial}",
                _ => {
                    let bit = 1_u32 << bit;
                    lost.push(format!("SYSAPPEND {bit:#x}: its value is not known"));
                    continue;
                }
            };
            if matches!(bit, 4 | 5 | 7) {
                lost.push(format!(
                    "SYSAPPEND {:#x}: iPXE keeps the blanks of its value, which end the argument",
                    1_u32 << bit
                ));
            }
            options.push(variable.as_bytes().to_vec());
        }
        options
    }

    fn uri(&self, name: &[u8]) -> Result<String, Refusal> {
        let location = self.options.paths.locate(name);
        let unknown = || format!("{location}: no URL for iPXE can be made of it");
        match &location {
            // Servers take doubled and leading slashes as one.
            Location::Tftp { host: None, path } => {
                let path = path.strip_prefix(b"/").unwrap_or(path);
                let (base, path) = super::super::elsewhere(&self.options.folders, path)
                    .unwrap_or((&self.options.base, path));
                Ok(format!("{base}{}", super::super::escape_path(path)))
            }
            Location::Tftp {
                host: Some(host),
                path,
            } => {
                let host = super::super::host(host).ok_or_else(unknown)?;
                let path = path.strip_prefix(b"/").unwrap_or(path);
                Ok(format!("tftp://{host}/{}", super::super::escape_path(path)))
            }
            Location::Url(url) => match super::super::split_url(url) {
                Some((b"http://", host, rest)) => {
                    let host = super::super::host(host).ok_or_else(unknown)?;
                    Ok(format!("http://{host}{}", super::super::escape_url(rest)))
                }
                _ => Err(format!("{url}: most builds of iPXE have no such protocol").into()),
            },
            Location::NoProtocol(url) => {
                Err(format!("{url}: its loader has no such protocol").into())
            }
        }
    }
}

/// A command that only one firmware can start.
fn only_on(platform: &str, failed: &str) -> Vec<u8> {
    format!("iseq ${{platform}} {platform} || goto {failed}\n").into_bytes()
}

/// The boot sector of a disk.
fn disk(number: u8, failed: &str) -> Vec<u8> {
    let mut body = only_on("pcbios", failed);
    let line = format!("sanboot --no-describe --drive {number:#x} || goto {failed}\n");
    body.extend_from_slice(line.as_bytes());
    body
}
