//! What machines are offered of an image's own menu.

use pxe_menu::{Command, ImageType};

use super::site::Site;
use crate::images::{Firmware, Offered, OwnEntry, Recognised, Shelves, Station};
use crate::menus::Language;

/// Who asks, one for each firmware: what these loaders take, iPXE takes as well.
const LOADERS: [(Firmware, Language); 2] = [
    (Firmware::Bios, Language::Syslinux),
    (Firmware::Uefi, Language::Grub),
];

/// An image's own menu as machines get it.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// What they can start.
    pub(super) lines: Vec<Line>,
    /// What they are not offered, and what will not come up; and why.
    pub(super) left_out: Vec<(Vec<Firmware>, String)>,
    /// What has nothing at all to start, and why.
    pub(super) nothing: Vec<(Firmware, String)>,
}

/// An entry.
#[derive(Debug)]
pub(super) struct Line {
    /// What people see, below the submenus that it is in.
    pub(super) title: String,
    /// Which machines have it.
    pub(super) firmware: Vec<Firmware>,
    /// What their loader is told.
    pub(super) starts: Vec<(&'static str, String)>,
    looks_for_cd: bool,
}

impl Own {
    /// That of an image; `None` if it does not boot by one.
    pub(super) fn of(
        site: &Site,
        name: &str,
        offered: &Offered,
        recognised: &Recognised<'_>,
    ) -> Option<Self> {
        let menus = recognised.own_menus()?;
        let shelves = site.shelves();
        let mut own = Self::default();
        for (firmware, language) in LOADERS {
            let station = Station {
                language,
                firmware: Some(firmware),
                processor: None,
            };
            match site.wait(offered.own_menu(name, menus, station, &shelves)) {
                Ok(menu) => {
                    own.add(&menu.entries, "", firmware, &shelves);
                    for text in menu.left_out {
                        let mut others = own.left_out.iter_mut();
                        match others.find(|(_, other)| *other == text) {
                            Some((machines, _)) => add(machines, firmware),
                            None => own.left_out.push((vec![firmware], text)),
                        }
                    }
                }
                Err(why) => own.nothing.push((firmware, why)),
            }
        }
        Some(own)
    }

    fn add(&mut self, entries: &[OwnEntry], above: &str, firmware: Firmware, shelves: &Shelves) {
        for entry in entries {
            match entry {
                OwnEntry::Submenu { title, entries } => {
                    self.add(entries, &format!("{above}{title}: "), firmware, shelves);
                }
                OwnEntry::Run {
                    title,
                    command,
                    looks_for_cd,
                } => {
                    let title = format!("{above}{title}");
                    let starts = starts(command, shelves);
                    let mut others = self.lines.iter_mut();
                    let same = others.find(|line| line.title == title && line.starts == starts);
                    match same {
                        Some(line) => add(&mut line.firmware, firmware),
                        None => self.lines.push(Line {
                            title,
                            firmware: vec![firmware],
                            starts,
                            looks_for_cd: *looks_for_cd,
                        }),
                    }
                }
            }
        }
    }

    /// Why no machine boots by it, if none does.
    pub(super) fn refusal(&self) -> Option<String> {
        const REMEDY: &str = "a profile of your own can say how it boots, if it can";
        if self.lines.iter().any(|line| !line.looks_for_cd) {
            return None;
        }
        if !self.lines.is_empty() {
            return Some(format!(
                "each entry of its own menu looks for a CD, which a machine that boots from the \
                 network has not; {REMEDY}"
            ));
        }
        let why = match self.nothing.as_slice() {
            [(_, why), others @ ..] if others.iter().all(|(_, other)| other == why) => why.clone(),
            all => {
                let all = all.iter().map(|(firmware, why)| {
                    let machines = machines(&[*firmware]);
                    format!("{machines}: {why}")
                });
                all.collect::<Vec<_>>().join("; ")
            }
        };
        Some(format!(
            "no entry of its own menu can be started from the network; {REMEDY} ({why})"
        ))
    }
}

fn add(machines: &mut Vec<Firmware>, firmware: Firmware) {
    if !machines.contains(&firmware) {
        machines.push(firmware);
    }
}

/// Machines by their firmware, for people.
pub(super) fn machines(firmware: &[Firmware]) -> String {
    let names = firmware.iter().map(|firmware| match firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    });
    names.collect::<Vec<_>>().join(" and ")
}

/// What a loader is told, with its files as they lie in the folder of images.
fn starts(command: &Command, shelves: &Shelves) -> Vec<(&'static str, String)> {
    let file = |file: &str| {
        let file = file.strip_prefix(&shelves.loads).unwrap_or(file);
        file.to_owned()
    };
    let image = file(&command.image.to_string());
    if command.image_type == ImageType::Efi {
        return vec![("program", image)];
    }
    let mut starts = vec![("kernel", image)];
    if let Some(initrds) = &command.initrd {
        let initrds = initrds.to_string();
        starts.extend(initrds.split(',').map(|initrd| ("initrd", file(initrd))));
    }
    starts.push(("arguments", command.append.to_string()));
    starts
}
