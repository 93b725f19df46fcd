//! What a policy names as a boot file, made into what one client is told.

use core::fmt;
use std::borrow::Cow;

use crate::{Boot, BootItem, BootMenu, BootRequest, ClientArch, Stage};

/// What may stand in a boot file or URL, with what it stands for.
///
/// None of the values needs an escape in a URL, and all are fit for file names everywhere: the
/// hardware address has hyphens, as PXELINUX has it.
pub const PLACEHOLDERS: [(&str, &str); 5] = [
    ("{server}", "the server's address towards the client"),
    ("{mac}", "the hardware address, 52-54-00-12-34-56"),
    (
        "{uuid}",
        "the machine's UUID, 7e57ab1e-0000-4000-8000-525400150001",
    ),
    (
        "{arch}",
        "the architecture, uefi-x64; that too if the firmware says 9",
    ),
    ("{ip}", "the client's address"),
];

/// Whether an iPXE client may be told to load iPXE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    Never,
    /// The rule matches for a feature that the client lacks, so not what is loaded, if that has it.
    Upgrade,
}

/// What the client is told, if it can do something with it; if not, why.
pub(crate) fn told(
    boot: &Boot,
    request: &BootRequest<'_>,
    reload: Reload,
) -> Result<Boot, Cow<'static, str>> {
    match boot {
        Boot::Nothing | Boot::Denied => Ok(boot.clone()),
        Boot::File(file) | Boot::Url(file) => file_told(file, request, reload),
        Boot::Menu(menu) => menu_told(menu, request, reload).map(Boot::Menu),
    }
}

/// The same for a file, or for a URL, which has `://` in it.
pub(crate) fn file_told(
    file: &str,
    request: &BootRequest<'_>,
    reload: Reload,
) -> Result<Boot, Cow<'static, str>> {
    let file = expanded(file, request)?;
    match request.stage {
        Stage::Http if !is_url(&file) => {
            Err(format!("firmware that boots by HTTP needs a URL, not {file:?}").into())
        }
        Stage::Pxe if is_foreign(&file, request.architectures) => {
            Err(format!("firmware that boots by TFTP cannot load {file:?}").into())
        }
        Stage::Ipxe if reload == Reload::Never && is_ipxe(&file) => {
            Err(format!("iPXE is never told to load iPXE again: {file:?}").into())
        }
        _ if is_url(&file) => Ok(Boot::Url(file)),
        _ => Ok(Boot::File(file)),
    }
}

fn menu_told(
    menu: &BootMenu,
    request: &BootRequest<'_>,
    reload: Reload,
) -> Result<BootMenu, Cow<'static, str>> {
    // Firmware that boots by HTTP shows no menu, and gets the first item.
    let shown = if request.stage == Stage::Http {
        1
    } else {
        menu.items().len()
    };
    let mut items = Vec::new();
    for item in menu.items().iter().take(shown) {
        let Some(file) = item.boot() else {
            items.push(item.clone());
            continue;
        };
        let (Boot::File(file) | Boot::Url(file)) = file_told(file, request, reload)? else {
            continue;
        };
        let told = BootItem::new(item.item_type(), item.label(), file);
        items.push(match item.next_server() {
            Some(next_server) => told.with_next_server(next_server),
            None => told,
        });
    }
    BootMenu::new(menu.prompt(), menu.timeout_seconds(), items)
        .map_err(|error| error.to_string().into())
}

pub(crate) fn is_url(file: &str) -> bool {
    file.contains("://")
}

/// Replaces the [`PLACEHOLDERS`]; what is none of them stays as it is.
fn expanded(file: &str, request: &BootRequest<'_>) -> Result<String, Cow<'static, str>> {
    let mut text = file.to_owned();
    for (name, _) in PLACEHOLDERS {
        if !text.contains(name) {
            continue;
        }
        let value = match name {
            "{server}" => Some(request.server_ip.to_string()),
            "{mac}" => request.mac.map(|mac| {
                let with_type = mac.pxelinux().to_string();
                with_type.trim_start_matches("01-").to_owned()
            }),
            "{uuid}" => request.uuid.map(|uuid| uuid.to_string()),
            "{arch}" => {
                let first = request.architectures.first();
                first.map(|arch| arch.canonical().to_string())
            }
            _ => request.client_ip.map(|address| address.to_string()),
        };
        let Some(value) = value else {
            return Err(format!("{file:?} needs {name}, which the client does not say").into());
        };
        text = text.replace(name, &value);
    }
    Ok(text)
}

/// Whether this is a URL, which BIOS and UEFI firmware cannot load when it boots by TFTP: it takes
/// all of it for a file's name, `tftp://` too (EDK2, `PxeBcDhcp4BootInfo`). Open Firmware's heirs
/// (petitboot) and U-Boot can.
fn is_foreign(file: &str, architectures: &[ClientArch]) -> bool {
    // Of one that is not in the registry nothing is known: then the next tells.
    let mut known = architectures.iter().filter(|arch| arch.name().is_some());
    let Some(arch) = known.next() else {
        return false;
    };
    let is_plain = *arch == ClientArch::X86_BIOS || (arch.is_uefi() && !arch.is_http());
    is_plain && is_url(file)
}

/// Whether a file is an iPXE or gPXE, to be loaded by firmware, as its name tells: `undionly.kpxe`,
/// `snponly.efi`, `ipxe-arm64.efi`, `ipxe.lkrn`.
///
/// Not `boot.ipxe`, which is a script, and not netboot.xyz, whose script is inside: it does not
/// ask DHCP for another file, so there is no loop.
pub(crate) fn is_ipxe(file: &str) -> bool {
    let path = file.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    if stem.starts_with("netboot.xyz") {
        return false;
    }
    // Distributions put the architecture behind: `ipxe64.efi`, `snponly_x64.efi`.
    let names = ["ipxe", "gpxe", "undionly", "snponly"];
    match extension {
        // Nothing else is built under these names (iPXE's `Makefile.housekeeping`).
        "kpxe" | "kkpxe" | "kkkpxe" => true,
        "efi" | "pxe" | "lkrn" | "0" => stem
            .split(['-', '_', '.'])
            .any(|word| word == "snp" || names.iter().any(|name| word.starts_with(name))),
        _ => false,
    }
}

/// The condition's reason, and what is then in the way.
pub(crate) struct But<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl fmt::Display for But<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, but {}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    use pxe_core::MacAddr;

    use crate::wire::MachineUuid;

    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 1);

    #[test]
    fn ipxe_is_known_by_its_name() {
        for file in [
            "undionly.kpxe",
            "ipxe/undionly.kkpxe",
            "snponly.efi",
            "EFI\\SNP.EFI",
            "ipxe.efi",
            "http://192.168.150.1/ipxe/ipxe-arm64.efi?x=1",
            "ipxe.lkrn",
            "ipxe.pxe",
            "undionly.0",
            "x86_64-sb/snponly.efi",
            "shimx64-ipxe.efi",
            "gpxe.pxe",
            "8086100e.kpxe",
            "ipxe64.efi",
            "ipxe/IPXEX64.EFI",
            "ipxe.efi?x",
            "http://192.168.150.1/snponly64.efi#x",
        ] {
            assert!(is_ipxe(file), "{file}");
        }
        for file in [
            "boot.ipxe",
            "ipxe/boot.php",
            "ipxe/menu",
            "lpxelinux.0",
            "efi64/syslinux.efi",
            "ipxe/grubx64.efi",
            "netboot.xyz.kpxe",
            "netboot.xyz-snp.efi",
            "",
            "ipxe",
            "http://192.168.150.1/boot?file=ipxe.efi",
            "snippet.efi",
            "ipxe/boot.ipxe",
            "ipxe64/grubx64.efi",
            "ipxe.efi/boot.php",
            "autoexec.ipxe",
        ] {
            assert!(!is_ipxe(file), "{file}");
        }
    }

    #[test]
    fn placeholders_stand_for_what_is_known() {
        let bare = BootRequest::new(SERVER).with_architectures(&[ClientArch::UEFI_X64]);
        let mut full = bare.with_mac(MacAddr::new([0x52, 0x54, 0, 0x15, 0, 1]));
        full = full.with_uuid(MachineUuid::from_wire([0x11; 16]));
        full.client_ip = Some(Ipv4Addr::new(192, 168, 150, 30));
        let file = "{server}/{mac}/{uuid}/{arch}/{ip}/{other}";
        assert_eq!(
            expanded(file, &full).as_deref(),
            Ok(
                "192.168.150.1/52-54-00-15-00-01/11111111-1111-1111-1111-111111111111/\
                uefi-x64/192.168.150.30/{other}"
            )
        );
        assert_eq!(
            expanded("a/{mac}", &bare),
            Err("\"a/{mac}\" needs {mac}, which the client does not say".into())
        );
    }

    #[test]
    fn firmware_that_says_9_finds_the_files_of_x64() {
        for (said, name) in [(9, "uefi-x64"), (7, "uefi-x64"), (0x11, "uefi-x64-http")] {
            let architectures = [ClientArch(said)];
            let request = BootRequest::new(SERVER).with_architectures(&architectures);
            assert_eq!(expanded("{arch}", &request).as_deref(), Ok(name));
        }
    }

    #[test]
    fn each_stage_is_told_what_it_can_load() {
        let told = |arch, class: &'static [u8], file| {
            let architectures = [arch];
            let request = BootRequest::new(SERVER)
                .with_architectures(&architectures)
                .with_vendor_class(class);
            file_told(file, &request, Reload::Never).is_ok()
        };
        let url = "http://{server}/a.efi";
        assert!(told(ClientArch::UEFI_X64_HTTP, b"HTTPClient", url));
        assert!(!told(ClientArch::UEFI_X64_HTTP, b"HTTPClient", "a.efi"));
        assert!(told(ClientArch::UEFI_X64, b"PXEClient", "a.efi"));
        let by_tftp = "tftp://{server}/a.efi";
        assert!(!told(ClientArch::UEFI_X64, b"PXEClient", by_tftp));
        assert!(!told(ClientArch::UEFI_X64, b"PXEClient", url));
        assert!(!told(ClientArch::X86_BIOS, b"PXEClient", url));
        let architectures = [ClientArch(4711), ClientArch::UEFI_X64];
        assert!(is_foreign(url, &architectures), "the first is unknown");
        assert!(told(ClientArch::POWER_OPAL, b"PXEClient", url), "petitboot");
        assert!(told(ClientArch::UBOOT_ARM64, b"PXEClient", url));
    }
}
