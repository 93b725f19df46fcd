//! The machine that a menu is shown for: `--for 52:54:00:12:34:56,x86-bios`.

use std::net::Ipv4Addr;
use std::str::FromStr;

use pxe_core::MacAddr;
use pxe_dhcp::wire::{MachineUuid, OptionCode};
use pxe_dhcp::{Boot, BootRequest, ClientArch, Stage};
use pxe_menu::{
    Client, Location, grub_search_paths, grub_signed_search_paths, pxelinux_search_paths,
};

use super::site::{Site, tftp};
use super::station::{Station, Stations, runs};
use crate::assemble::{self, Reasons};
use crate::menus::program::Program;

/// One thing that is known of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Mac(MacAddr),
    Uuid(MachineUuid),
    Ip(Ipv4Addr),
    Arch(ClientArch),
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        if let Ok(arch) = text.parse() {
            return Ok(Self::Arch(arch));
        }
        if let Ok(uuid) = text.parse() {
            return Ok(Self::Uuid(uuid));
        }
        text.parse().map(Self::Mac).map_err(|_| {
            "write a hardware address, a UUID, an IPv4 address or an architecture such as x86-bios \
             or uefi-x64"
                .to_owned()
        })
    }
}

/// What is known of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Machine {
    mac: Option<MacAddr>,
    uuid: Option<MachineUuid>,
    ip: Option<Ipv4Addr>,
    arch: Option<ClientArch>,
}

impl Machine {
    /// From all that is known; of two of a kind nobody could say which one counts.
    pub(super) fn new(known: &[Known]) -> Result<Self, String> {
        let mut machine = Self::default();
        let mut is_twice = false;
        for one in known {
            match *one {
                Known::Mac(mac) => is_twice |= machine.mac.replace(mac).is_some(),
                Known::Uuid(uuid) => is_twice |= machine.uuid.replace(uuid).is_some(),
                Known::Ip(ip) => is_twice |= machine.ip.replace(ip).is_some(),
                Known::Arch(arch) => is_twice |= machine.arch.replace(arch).is_some(),
            }
        }
        match is_twice {
            true => Err("--for names two of a kind: it is about one machine".to_owned()),
            false => Ok(machine),
        }
    }

    /// The same for the menus' own rules.
    pub(super) fn client(&self, site: &Site) -> Client {
        let mut client = Client::new();
        client.mac = self.mac.map(|mac| mac.octets());
        client.uuid = self.uuid.map(MachineUuid::to_wire);
        client.ip = self.ip;
        client.architecture = self.arch.map(|arch| arch.0);
        let config = site.config.as_ref();
        client.server = config.and_then(|config| config.boot.as_ref()?.next_server);
        client
    }

    /// The same for a menu that was looked for: without an architecture a loader for the BIOS was.
    pub(super) fn client_of_loader(&self, site: &Site) -> Client {
        let mut client = self.client(site);
        client.architecture = client.architecture.or(Some(ClientArch::X86_BIOS.0));
        client
    }

    /// The architecture of its firmware: without one it has a BIOS.
    pub(super) fn architecture(&self) -> Option<ClientArch> {
        self.arch.or(Some(ClientArch::X86_BIOS))
    }

    /// Its hardware address and its UUID.
    pub(super) fn identifiers(&self) -> (Option<MacAddr>, Option<MachineUuid>) {
        (self.mac, self.uuid)
    }

    /// The loader that it runs: as the configuration decides, else one that lies in the tree.
    pub(super) async fn station(
        &self,
        site: &Site,
        stations: &Stations,
    ) -> Result<Station, String> {
        let arch = self.arch.unwrap_or(ClientArch::X86_BIOS);
        if let Some(config) = site.config.as_ref().filter(|config| config.boot.is_some()) {
            let architectures = [arch];
            let server = Ipv4Addr::UNSPECIFIED;
            let mut request = BootRequest::new(server).with_architectures(&architectures);
            request.stage = Stage::Pxe;
            (request.mac, request.uuid) = (self.mac, self.uuid);
            request.client_ip = self.ip;
            let decision = assemble::policy(config, Reasons::Few).decide(&request);
            let text = |code| {
                let value = decision.option(code)?;
                let text = String::from_utf8_lossy(value);
                Some(text.trim_end_matches('\0').to_owned())
            };
            return match &decision.boot {
                Boot::File(file) => {
                    let path = file.as_bytes();
                    let program = Program::of(&site.files, path).await;
                    let program = program.or_else(|| Program::of_name(path));
                    let program = program.ok_or_else(|| {
                        format!("such a machine boots {file}, which reads no such menu")
                    })?;
                    let station = Station::new(program, path);
                    let config_file = text(OptionCode::CONFIG_FILE);
                    Ok(station.with_options(config_file, text(OptionCode::PATH_PREFIX)))
                }
                Boot::Denied => Err("such a machine may not boot".to_owned()),
                _ => Err("such a machine boots no file by TFTP: see pxe-server explain".to_owned()),
            };
        }
        let mut fitting = stations.stations.iter();
        let found = fitting.find(|station| runs(arch, station)).cloned();
        found.ok_or_else(|| {
            format!("no loader for {arch} was found in the tree: name the menu's FILE")
        })
    }

    /// What that loader asks for, in order.
    pub(super) fn asks(&self, site: &Site, station: &Station) -> Vec<Location> {
        let client = self.client(site);
        if let Program::Syslinux(_) = station.program {
            let file = station.config_file.as_deref();
            return pxelinux_search_paths(&client, &station.paths(), file);
        }
        let file = station.file.to_string();
        let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let platform = match station.paths().loader().is_efi() {
            true => "x86_64-efi",
            false => "i386-pc",
        };
        // Debian's network GRUB has the prefix /grub, wherever it came from; others have their own
        // directory, or one below.
        let below = format!("{beside}/grub");
        let mut asked: Vec<Location> = Vec::new();
        for prefix in ["grub", beside, "boot/grub", &below] {
            let signed = grub_signed_search_paths(prefix, platform);
            let paths = grub_search_paths(&client, prefix, true);
            for path in signed.iter().take(1).chain(&paths) {
                let location = tftp(path.trim_start_matches('/'));
                if !asked.contains(&location) {
                    asked.push(location);
                }
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_by_what_is_known_of_it() {
        let known = |text: &str| text.parse::<Known>();
        let all = [
            "52:54:00:12:34:56",
            "7e57ab1e-0000-4000-8000-525400123456",
            "192.168.150.7",
            "uefi-x64",
        ];
        let all: Vec<Known> = all.iter().map(|text| known(text).expect("known")).collect();
        let machine = Machine::new(&all).expect("one machine");
        assert_eq!(machine.ip, Some([192, 168, 150, 7].into()));
        assert_eq!(machine.arch, Some(ClientArch::UEFI_X64));
        assert!(machine.mac.is_some() && machine.uuid.is_some());
        assert!(Machine::new(&[all[0], all[0]]).is_err());
        for wrong in ["", "52:54", "bios", "192.168.150.300"] {
            assert!(known(wrong).is_err(), "{wrong}");
        }
    }
}
