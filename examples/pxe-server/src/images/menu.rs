//! The images as a menu: an entry or a submenu for each that this machine can start.

use std::collections::BTreeMap;

use pxe_menu::{Action, Command, Entry, ImageType, Menu, Parameter, ScreenId, Ui};

use super::offer::{Offer, Shelves, Station};
use super::own_menu::{OwnEntry, OwnMenu};
use super::profile::{Architecture, Firmware};
use super::recognise::{Entry as Boot, Recognised};
use crate::menus::Language;

/// The most characters of an image's name in a menu: menu.c32 draws 74 of 80 columns.
const LABEL_CHARS_MAX: usize = 72;
/// What labels of images begin with, so that they are none of the administrator's menu that includes
/// them: the first of a label counts, and whoever names images does not choose what a menu's DEFAULT
/// starts.
const LABELS: &str = "images/";
/// The columns that menu.c32 leaves free to each side, so that it shows the memory too.
const MARGIN: i32 = 2;

/// An image that is offered.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    /// Its name in paths.
    pub(crate) name: &'a str,
    /// What it is.
    pub(crate) recognised: Recognised<'a>,
    /// Its own menu, where its profile asks for that; or why it cannot be read.
    pub(crate) own: Option<Result<OwnMenu, String>>,
}

/// A menu of nothing but the images, for machines whose tree has no menu.
pub(crate) fn images_menu(
    images: &[Listed<'_>],
    station: Station,
    shelves: &Shelves,
) -> (Menu, Vec<String>) {
    let mut menu = Menu::titled("Images");
    if station.language == Language::Syslinux
        && let Some(top) = menu.screens.first_mut()
    {
        top.layout.insert(Parameter::Margin, MARGIN);
    }
    let left_out = add(&mut menu, ScreenId::TOP, images, station, shelves);
    let local = Command::new(ImageType::LocalBoot, "0", "");
    let local = Entry::new("local", "Boot from the local disk", Action::Run(local));
    menu.push(ScreenId::TOP, local);
    (menu, left_out)
}

/// The entries alone, for menus of pxelinux that include them.
pub(crate) fn images_entries(
    images: &[Listed<'_>],
    station: Station,
    shelves: &Shelves,
) -> (Menu, Vec<String>) {
    let mut menu = Menu::titled("");
    // The last UI of all files counts.
    (menu.ui, menu.ui_command) = (Ui::Prompt, None);
    let left_out = add(&mut menu, ScreenId::TOP, images, station, shelves);
    (menu, left_out)
}

/// The same as a submenu of a menu of the administrator's. Without anything to start there is none.
pub(crate) fn add_submenu(
    menu: &mut Menu,
    images: &[Listed<'_>],
    station: Station,
    shelves: &Shelves,
) -> Vec<String> {
    // NOESCAPE without a menu: nobody may start anything but the default.
    if menu.entries().any(|entry| entry.unreachable) {
        return vec!["Images: this menu lets nobody choose".to_owned()];
    }
    let mut with = menu.clone();
    let Some(below) = with.push_submenu(ScreenId::TOP, "Images") else {
        return Vec::new();
    };
    let left_out = add(&mut with, below, images, station, shelves);
    if with
        .screen(below)
        .is_some_and(|below| !below.entries.is_empty())
    {
        push_back(
            &mut with,
            below,
            &format!("{LABELS}."),
            ScreenId::TOP,
            station,
        );
        *menu = with;
    }
    left_out
}

/// Adds what this machine can start, and tells what it cannot.
fn add(
    menu: &mut Menu,
    at: ScreenId,
    images: &[Listed<'_>],
    station: Station,
    shelves: &Shelves,
) -> Vec<String> {
    let mut left_out = Vec::new();
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    for image in images {
        *labels.entry(plain(&image.recognised.label)).or_default() += 1;
    }
    for image in images {
        let mut label = plain(&image.recognised.label);
        // Two editions of one release are told apart by their files, and so are those of which
        // nothing is known but a volume's identifier: tools that write one call it CDROM or ISOIMAGE.
        if image.own.is_some() || labels.get(&label).is_some_and(|count| *count > 1) {
            label = format!("{label} [{}]", image.name);
        }
        let label = shortened(&label);
        if let Some(own) = &image.own {
            match own {
                Ok(own) => {
                    let told = own.left_out.iter();
                    left_out.extend(told.map(|why| format!("{}: {why}", image.name)));
                    let name = format!("{LABELS}{}", image.name);
                    add_own(menu, at, (&name, &label), own, station);
                }
                Err(why) => left_out.push(format!("{}: its own menu: {why}", image.name)),
            }
            continue;
        }
        let choices = choices(image, station, shelves, &mut left_out);
        if let [(title, offer)] = choices.as_slice() {
            let shown = match title.as_str() {
                "" => label,
                title => format!("{label}: {title}"),
            };
            menu.push(at, entry(&format!("{LABELS}{}", image.name), &shown, offer));
            continue;
        }
        let Some(below) = (!choices.is_empty())
            .then(|| menu.push_submenu(at, label))
            .flatten()
        else {
            continue;
        };
        for (number, (title, offer)) in choices.iter().enumerate() {
            let shown = match title.as_str() {
                "" => "Start",
                title => title,
            };
            let name = format!("{LABELS}{}/{}", image.name, number + 1);
            menu.push(below, entry(&name, shown, offer));
        }
        let name = format!("{LABELS}{}", image.name);
        push_back(menu, below, &name, at, station);
    }
    left_out
}

/// What can be started of an image, each with what tells it from the others.
fn choices(
    image: &Listed<'_>,
    station: Station,
    shelves: &Shelves,
    left_out: &mut Vec<String>,
) -> Vec<(String, Offer)> {
    let mut choices: Vec<(&Boot<'_>, Offer)> = Vec::new();
    let mut refused: Vec<(&str, String)> = Vec::new();
    for boot in &image.recognised.entries {
        if let Some(why) = station.refuses(boot) {
            refused.push((boot.name, why));
            continue;
        }
        match station.offer(image.name, &image.recognised, boot, shelves) {
            Ok(offer) => choices.push((boot, offer)),
            Err(why) => left_out.push(named(image.name, boot.name, &why)),
        }
    }
    for (at, (name, why)) in refused.iter().enumerate() {
        // What is for other machines is missed only where there is nothing for this one.
        let is_told = refused.iter().take(at).any(|(other, _)| other == name);
        let is_there = image
            .recognised
            .entries
            .iter()
            .any(|boot| boot.name == *name && station.refuses(boot).is_none());
        if !is_told && !is_there {
            left_out.push(named(image.name, name, why));
        }
    }
    if image.recognised.entries.is_empty() {
        let missing = image.recognised.missing.join("; ");
        left_out.push(format!("{}: {missing}", image.name));
    }
    let title = |(boot, offer): &(&Boot<'_>, Offer)| {
        let others = |differs: &dyn Fn(&Boot<'_>) -> bool| {
            let mut others = choices.iter().map(|(other, _)| *other);
            others.any(|other| other.name == boot.name && differs(other))
        };
        let mut words = Vec::new();
        if !boot.name.is_empty() {
            words.push(plain(boot.name));
        }
        if let Some(architecture) = boot.architecture
            && (others(&|other| other.architecture != boot.architecture)
                || station.processor.is_none() && architecture != Architecture::X86_64)
        {
            words.push(architecture.to_string());
        }
        if let ([firmware], None) = (boot.firmware, station.firmware) {
            words.push(match firmware {
                Firmware::Bios => "BIOS only".to_owned(),
                Firmware::Uefi => "UEFI only".to_owned(),
            });
        }
        (words.join(", "), offer.clone())
    };
    choices.iter().map(title).collect()
}

fn named(image: &str, entry: &str, why: &str) -> String {
    match entry {
        "" => format!("{image}: {why}"),
        entry => format!("{image}, {entry}: {why}"),
    }
}

fn entry(name: &str, shown: &str, offer: &Offer) -> Entry {
    let shown = match offer.memory_mib {
        Some(mib) => format!("{shown} (needs {} of memory)", memory(mib)),
        None => shown.to_owned(),
    };
    Entry::new(name, shown, Action::Run(offer.command.clone()))
}

/// The image's own entries: one, or a submenu of them.
fn add_own(
    menu: &mut Menu,
    at: ScreenId,
    (name, label): (&str, &str),
    own: &OwnMenu,
    station: Station,
) {
    if let [OwnEntry::Run { title, command, .. }] = own.entries.as_slice() {
        let shown = shortened(&format!("{label}: {}", plain(title)));
        let command = Action::Run(command.clone());
        menu.push(at, Entry::new(name, shown, command));
    } else if let Some(below) = menu.push_submenu(at, label) {
        add_own_entries(menu, below, name, &own.entries, station);
        push_back(menu, below, name, at, station);
    }
}

fn add_own_entries(
    menu: &mut Menu,
    at: ScreenId,
    name: &str,
    entries: &[OwnEntry],
    station: Station,
) {
    for (number, own) in entries.iter().enumerate() {
        let name = format!("{name}/{}", number + 1);
        match own {
            OwnEntry::Run { title, command, .. } => {
                let command = Action::Run(command.clone());
                menu.push(at, Entry::new(name, shortened(&plain(title)), command));
            }
            OwnEntry::Submenu { title, entries } => {
                if let Some(below) = menu.push_submenu(at, shortened(&plain(title))) {
                    add_own_entries(menu, below, &name, entries, station);
                    push_back(menu, below, &name, at, station);
                }
            }
        }
    }
}

/// A line that leads back. In GRUB a key does, and a line would make functions of all menus.
fn push_back(menu: &mut Menu, below: ScreenId, name: &str, to: ScreenId, station: Station) {
    if station.language != Language::Grub {
        let back = Entry::new(format!("{name}/back"), "Back", Action::Exit(to));
        menu.push(below, back);
    }
}

/// Text of an image, as every loader shows it: on one line, and of characters that all fonts have.
pub(super) fn plain(text: &str) -> String {
    let shown = |char: char| match char {
        ' '..='~' => char,
        _ if char.is_whitespace() || char.is_control() => ' ',
        _ => '?',
    };
    let text: String = text.chars().map(shown).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LABEL_CHARS_MAX) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(LABEL_CHARS_MAX - 2).collect();
            format!("{}..", kept.trim_end())
        }
    }
}

/// An amount of memory for people, rounded up.
pub(crate) fn memory(mib: u64) -> String {
    if mib < 1024 {
        return format!("{mib} MiB");
    }
    let tenths = u128::from(mib) * 10;
    let tenths = tenths.div_ceil(1024);
    match tenths % 10 {
        0 => format!("{} GiB", tenths / 10),
        tenth => format!("{}.{tenth} GiB", tenths / 10),
    }
}
