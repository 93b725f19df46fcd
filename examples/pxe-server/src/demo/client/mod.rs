//! A machine that exists in this process only: firmware, loader and menu, as far as the network
//! sees them.
//!
//! It is written with plain blocking sockets and decoders of its own. None of the servers' code is
//! used, so that an error of theirs is not undone by the same error here.

mod dhcp;
mod http;
mod menu;
mod tftp;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use bytes::Bytes;

use self::dhcp::{Lease, Rom};
use self::menu::Menu;
use super::files::Files;

/// The step of a boot that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {problem}")]
pub(super) struct Failure {
    step: String,
    problem: String,
    not_found: bool,
}

impl Failure {
    fn new(step: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            step: step.into(),
            problem: problem.to_string(),
            not_found: false,
        }
    }

    /// A file that the server says it does not have.
    fn not_found(protocol: &str, name: &str) -> Self {
        Self {
            not_found: true,
            ..Self::new(format!("{protocol} {name}"), "is not on the server")
        }
    }

    /// Whether it failed because the server does not have a file.
    pub(super) fn is_not_found(&self) -> bool {
        self.not_found
    }
}

/// A kind of firmware and the loader that it starts.
#[derive(Debug)]
pub(super) struct Firmware {
    /// For people.
    pub(super) name: &'static str,
    rom: Rom,
    /// Whether it asks for a file's size in a request of its own first.
    probes: bool,
    /// What the firmware asks of TFTP.
    options: tftp::Options,
    /// The module that the loader wants beside itself.
    core_module: &'static str,
}

/// What lpxelinux.0 and syslinux.efi ask of TFTP.
const SYSLINUX_OPTIONS: tftp::Options = &[("tsize", "0"), ("blksize", "1408")];

/// The PXE ROM of a network card in a BIOS machine (UNDI 2.1), that is not iPXE.
pub(super) const BIOS: Firmware = Firmware {
    name: "BIOS",
    rom: Rom {
        arch: 0,
        interface: [1, 2, 1],
        vendor_class: "PXEClient:Arch:00000:UNDI:002001",
        message_len_max: 1260,
        parameters: &[
            1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128, 129, 130, 131, 132,
            133, 134, 135,
        ],
        broadcast: false,
        order: &[53, 57, 93, 94, 60, 55, 97],
    },
    probes: false,
    options: &[("blksize", "1432"), ("tsize", "0")],
    core_module: "ldlinux.c32",
};

/// EDK2's PXE stack for x64, as in OVMF and most machines since 2015.
pub(super) const UEFI_X64: Firmware = Firmware {
    name: "UEFI x64",
    rom: Rom {
        arch: 7,
        interface: [1, 3, 0],
        vendor_class: "PXEClient:Arch:00007:UNDI:003000",
        message_len_max: 1472,
        parameters: &[
            1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59,
            60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
        ],
        broadcast: true,
        order: &[53, 57, 55, 97, 94, 93, 60],
    },
    probes: true,
    options: &[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")],
    core_module: "ldlinux.e64",
};

/// EDK2's second request, after its probe: without `tsize`.
const EDK2_TRANSFER_OPTIONS: tftp::Options = &[("blksize", "1468"), ("windowsize", "4")];

/// A virtual machine, switched off.
#[derive(Debug)]
pub(super) struct VirtualMachine<'a> {
    pub(super) firmware: &'a Firmware,
    pub(super) mac: [u8; 6],
    /// The entry that someone chooses in the menu; `None` lets the menu's time run out.
    pub(super) choice: Option<&'a str>,
}

/// Where the servers are, and what they ought to serve.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) dhcp: SocketAddrV4,
    pub(super) relay: &'a UdpSocket,
    pub(super) giaddr: Ipv4Addr,
    /// The demo's port for what has port 69 everywhere else.
    pub(super) tftp_port: u16,
    pub(super) expected: &'a Files,
}

/// What a boot came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Booted {
    pub(super) files: u32,
    /// Bytes of content; each was compared.
    pub(super) bytes: u64,
}

impl VirtualMachine<'_> {
    /// From power-on to the kernel with its initrd.
    pub(super) fn boot(&self, network: &Network<'_>) -> Result<Booted, Failure> {
        let firmware = self.firmware;
        let client = dhcp::Client {
            rom: &firmware.rom,
            mac: self.mac,
            relay: network.relay,
            giaddr: network.giaddr,
            server: network.dhcp,
        };
        let lease = client.acquire()?;
        let mut boot = Boot {
            tftp: SocketAddrV4::new(lease.next_server, network.tftp_port),
            local: lease.address,
            mac: self.mac,
            expected: network.expected,
            booted: Booted::default(),
        };
        boot.firmware(firmware, &lease.file)?;
        let menu = boot.loader(firmware, &lease)?;
        let label = match self.choice.or(menu.on_timeout.as_deref()) {
            Some(label) => label,
            None => {
                return Err(Failure::new(
                    "menu",
                    "says no ONTIMEOUT, and nobody is here to choose",
                ));
            }
        };
        let entry = menu
            .entry(label)
            .ok_or_else(|| Failure::new("menu", format!("has no entry {label:?} with a kernel")))?;
        let folder = folder_of(&lease.file);
        boot.load(folder, &entry.kernel)?;
        if let Some(initrd) = &entry.initrd {
            boot.load(folder, initrd)?;
        }
        Ok(boot.booted)
    }
}

/// A boot after the machine got its address.
struct Boot<'a> {
    tftp: SocketAddrV4,
    local: Ipv4Addr,
    mac: [u8; 6],
    expected: &'a Files,
    booted: Booted,
}

impl Boot<'_> {
    /// The firmware fetches the loader.
    fn firmware(&mut self, firmware: &Firmware, file: &str) -> Result<(), Failure> {
        if !firmware.probes {
            return self.tftp(file, firmware.options).map(drop);
        }
        let announced = tftp::probe(self.local, self.tftp, file, firmware.options)?;
        let content = self.tftp(file, EDK2_TRANSFER_OPTIONS)?;
        if announced == content.len() as u64 {
            return Ok(());
        }
        let problem = format!("its probe says {announced} bytes, {} came", content.len());
        Err(Failure::new(format!("tftp {file}"), problem))
    }

    /// The loader fetches its modules and its menu, all beside itself.
    fn loader(&mut self, firmware: &Firmware, lease: &Lease) -> Result<Menu, Failure> {
        let folder = folder_of(&lease.file);
        self.tftp(
            &format!("{folder}{}", firmware.core_module),
            SYSLINUX_OPTIONS,
        )?;
        let prefix = lease.path_prefix.as_deref().unwrap_or(folder);
        let names = match &lease.config_file {
            Some(name) => vec![name.clone()],
            None => config_names(self.mac, self.local),
        };
        let text = names
            .iter()
            .find_map(|name| {
                let path = format!("{prefix}{name}");
                match tftp::get(self.local, self.tftp, &path, SYSLINUX_OPTIONS) {
                    Ok(tftp::Got::File(content)) => Some(self.verify("tftp", &path, content)),
                    Ok(tftp::Got::NotFound) => None,
                    Err(failure) => Some(Err(failure)),
                }
            })
            .unwrap_or_else(|| {
                Err(Failure::new(
                    "tftp pxelinux.cfg",
                    "none of the names is there",
                ))
            })?;
        let menu = Menu::read(&String::from_utf8_lossy(&text));
        if let Some(module) = &menu.default
            && module.ends_with(".c32")
        {
            self.tftp(&format!("{folder}{module}"), SYSLINUX_OPTIONS)?;
        }
        Ok(menu)
    }

    /// A kernel or an initrd, by its URL or by its path beside the loader.
    fn load(&mut self, folder: &str, name: &str) -> Result<(), Failure> {
        if !name.contains("://") {
            return self
                .tftp(&format!("{folder}{name}"), SYSLINUX_OPTIONS)
                .map(drop);
        }
        match http::get(self.local, self.mac, name)? {
            http::Got::File(content) => {
                let path = http::parse_url(name).map_or("", |(_, path)| path);
                self.verify("http", path, content).map(drop)
            }
            http::Got::NotFound => Err(Failure::not_found("http", name)),
        }
    }

    fn tftp(&mut self, path: &str, options: tftp::Options) -> Result<Bytes, Failure> {
        match tftp::get(self.local, self.tftp, path, options)? {
            tftp::Got::File(content) => self.verify("tftp", path, content),
            tftp::Got::NotFound => Err(Failure::not_found("tftp", path)),
        }
    }

    /// Compares each byte with what the tree has.
    fn verify(&mut self, protocol: &str, path: &str, content: Vec<u8>) -> Result<Bytes, Failure> {
        let wrong = |problem: String| Err(Failure::new(format!("{protocol} {path}"), problem));
        let Some(expected) = self.expected.expected(path) else {
            return wrong(format!(
                "{} bytes came of a file that is not in the tree",
                content.len()
            ));
        };
        if content != *expected {
            let differing = content
                .iter()
                .zip(expected)
                .position(|(got, due)| got != due);
            return wrong(match differing {
                Some(position) => format!(
                    "byte {position} of {} is not what was served",
                    expected.len()
                ),
                None => format!(
                    "{} bytes came, the file has {}",
                    content.len(),
                    expected.len()
                ),
            });
        }
        self.booted.files += 1;
        self.booted.bytes += content.len() as u64;
        Ok(Bytes::from(content))
    }
}

/// The folder of a path, with its slash; PXELINUX takes all names as relative to it.
fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

/// The names that PXELINUX asks for one after the other without option 209 (syslinux,
/// doc/pxelinux.txt): by hardware address, by each prefix of the address, and the default.
fn config_names(mac: [u8; 6], address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d, e, f] = mac;
    let by_mac = format!("01-{a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{f:02x}");
    let hex = format!("{:08X}", address.to_bits());
    let by_address = (1..=hex.len()).rev().map(|len| hex[..len].to_owned());
    std::iter::once(by_mac)
        .chain(by_address)
        .chain(["default".to_owned()])
        .map(|name| format!("pxelinux.cfg/{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pxelinux_names_go_from_the_machine_to_the_default() {
        let names = config_names(
            [0x52, 0x54, 0, 0x15, 0, 1],
            Ipv4Addr::new(192, 168, 150, 39),
        );
        assert_eq!(names.len(), 10);
        assert_eq!(names[0], "pxelinux.cfg/01-52-54-00-15-00-01");
        assert_eq!(names[1], "pxelinux.cfg/C0A89627");
        assert_eq!(names[8..], ["pxelinux.cfg/C", "pxelinux.cfg/default"]);
    }

    #[test]
    fn names_are_relative_to_the_boot_files_folder() {
        assert_eq!(folder_of("bios/lpxelinux.0"), "bios/");
        assert_eq!(folder_of("pxelinux.0"), "");
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let files = Files::new("127.0.0.1:80");
        let mut boot = Boot {
            tftp: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 69),
            local: Ipv4Addr::LOCALHOST,
            mac: [0; 6],
            expected: &files,
            booted: Booted::default(),
        };
        let path = "bios/lpxelinux.0";
        let right = files.expected(path).expect("there").to_vec();
        let mut wrong = right.clone();
        wrong[4711] ^= 1;
        let short = right[..right.len() - 1].to_vec();
        let error = boot
            .verify("tftp", path, wrong)
            .expect_err("wrong")
            .to_string();
        assert_eq!(
            error,
            "tftp bios/lpxelinux.0: byte 4711 of 75072 is not what was served"
        );
        let error = boot
            .verify("tftp", path, short)
            .expect_err("short")
            .to_string();
        assert_eq!(
            error,
            "tftp bios/lpxelinux.0: 75071 bytes came, the file has 75072"
        );
        assert_eq!(boot.booted, Booted::default());
        boot.verify("tftp", path, right).expect("right");
        assert_eq!(boot.booted.bytes, 75_072);
    }
}
