//! `[boot]`: what machines are told to boot.

use std::collections::BTreeMap;

use pxe_dhcp::ClientArch;

use super::super::Boot;
use super::super::file;
use super::super::place::Problems;
use super::super::suggest::nearest;
use super::boot_rule::{boot_file, boot_rules};
use super::value::{number, server_address};

/// The longest boot file name: option 67 has one length octet, and we end it with a NUL.
const BOOT_FILE_BYTES_MAX: usize = 254;
/// What fits the `file` field of RFC 2131 with its NUL.
const FILE_FIELD_BYTES_MAX: usize = 127;

pub(super) fn boot(problems: &mut Problems<'_>, raw: &file::Boot) -> Boot {
    let next_server = (raw.next_server.as_deref())
        .and_then(|text| server_address(problems, "boot.next_server", text));
    let (files, default_file) = files(problems, &raw.files);
    if raw.files.is_empty() && raw.ipxe.is_none() && raw.rule.values.is_empty() {
        problems.error(
            "boot.files",
            "no boot file is named",
            "add files = { default = \"..\" }, or [[boot.rule]]",
        );
    }
    if let Some(text) = &raw.ipxe {
        boot_file(problems, "boot.ipxe", text);
    }
    for (path, text) in [
        ("boot.configfile", &raw.configfile),
        ("boot.path_prefix", &raw.path_prefix),
    ] {
        if let Some(text) = text {
            boot_text(problems, path, text);
        }
    }
    if let Some(prefix) = &raw.path_prefix
        && !prefix.ends_with(['/', ':'])
    {
        problems.warning(
            "boot.path_prefix",
            format!("{prefix:?} is put before names as it is"),
            format!("end it with a slash: {prefix}/"),
        );
    }
    let seconds = 0..=i64::from(u32::MAX);
    Boot {
        next_server,
        rules: boot_rules(problems, &raw.rule),
        files,
        default_file,
        ipxe: raw.ipxe.clone(),
        configfile: raw.configfile.clone(),
        path_prefix: raw.path_prefix.clone(),
        pxelinux_magic: raw.pxelinux_magic.unwrap_or(false),
        reboot_seconds: number(problems, "boot.reboot_seconds", raw.reboot_seconds, seconds),
    }
}

fn files(
    problems: &mut Problems<'_>,
    raw: &BTreeMap<String, String>,
) -> (BTreeMap<ClientArch, String>, Option<String>) {
    let mut files: BTreeMap<ClientArch, String> = BTreeMap::new();
    let mut default_file = None;
    for (name, value) in raw {
        let path = format!("boot.files.{name}");
        boot_file(problems, &path, value);
        if value.len() > FILE_FIELD_BYTES_MAX {
            problems.warning(
                &path,
                format!(
                    "{} bytes do not fit the field that old firmware reads",
                    value.len()
                ),
                format!("use at most {FILE_FIELD_BYTES_MAX}"),
            );
        }
        if name == "default" {
            default_file = Some(value.clone());
            continue;
        }
        let Ok(arch) = name.parse::<ClientArch>() else {
            problems.error(
                &path,
                format!("{name} is no architecture"),
                architecture_remedy(name),
            );
            continue;
        };
        if arch.is_http() && !value.contains("://") {
            problems.error(
                &path,
                format!("{value:?} is no URL, and such firmware boots by HTTP only"),
                format!("write http://{{server}}/{}", value.trim_start_matches('/')),
            );
        }
        let canonical = arch.canonical();
        if let Some(other) = files.insert(canonical, value.clone())
            && other != *value
        {
            problems.error(
                &path,
                format!("{name} is treated as {canonical}, which has {other:?}"),
                "remove one of the two",
            );
        }
    }
    (files, default_file)
}

pub(super) fn architecture_remedy(name: &str) -> String {
    // What people call the usual ones, where the spelling alone is no help.
    const CALLED: [(&str, &str); 11] = [
        ("bios", "x86-bios"),
        ("pc", "x86-bios"),
        ("i386", "x86-bios"),
        ("efi32", "uefi-x86"),
        ("efi64", "uefi-x64"),
        ("x64", "uefi-x64"),
        ("x86_64", "uefi-x64"),
        ("x86-64", "uefi-x64"),
        ("amd64", "uefi-x64"),
        ("arm64", "uefi-arm64"),
        ("aarch64", "uefi-arm64"),
    ];
    let names = || ClientArch::REGISTRY.iter().filter_map(|arch| arch.name());
    let lower = name.to_lowercase();
    let called = CALLED.iter().find(|(called, _)| *called == lower);
    let meant = called
        .map(|(_, meant)| *meant)
        .or_else(|| nearest(name, names().chain(["default"])));
    match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("valid: default, {}", names().collect::<Vec<_>>().join(", ")),
    }
}

pub(super) fn boot_text(problems: &mut Problems<'_>, path: &str, text: &str) {
    if text.is_empty() {
        problems.error(path, "is empty", "name a file, or remove the key");
    } else if text.len() > BOOT_FILE_BYTES_MAX {
        problems.error(
            path,
            format!("{} bytes do not fit a DHCP option", text.len()),
            format!("use at most {BOOT_FILE_BYTES_MAX}"),
        );
    } else if text.chars().any(char::is_control) {
        problems.error(
            path,
            format!("{text:?} contains a control character"),
            "remove it",
        );
    }
}
