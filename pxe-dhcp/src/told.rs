//! What of a decision a client can be told.

use crate::{Boot, BootDecision, BootRequest, ClientArch, DhcpOption, Stage};
use crate::{boot_file, raspberry_pi};

impl BootDecision {
    /// What the client that asks can make of the decision; the explanation says what was changed.
    /// The engine does this to every decision.
    ///
    /// - A menu becomes its first item, for a client that cannot show one. BIOS ROMs and UEFI can,
    ///   and so can iPXE's BIOS builds (`PXE_MENU` in its `config/general.h`).
    /// - Firmware that boots by HTTP can use a URL only.
    /// - A Raspberry Pi's boot ROM gets the options without which it boots nothing, unless there
    ///   are such.
    #[must_use]
    pub fn told_to(mut self, request: &BootRequest<'_>) -> Self {
        if !shows_menus(request) {
            self.drop_menu("the client cannot show a menu: it gets the first item");
        }
        if request.stage == Stage::Http && matches!(self.boot, Boot::File(_)) {
            self.explanation
                .failed("http", "firmware that boots by HTTP needs a URL");
            self.boot = Boot::Nothing;
        }
        let boots = matches!(self.boot, Boot::File(_) | Boot::Url(_));
        if boots && raspberry_pi::wants_menu(request.stage, request.architectures) {
            for (code, data) in raspberry_pi::OPTIONS {
                if self.option(code).is_none() {
                    self.options.push(DhcpOption::new(code, data));
                }
            }
        }
        self
    }

    /// Puts the first item of a menu in the menu's place, for this reason; whether there was one.
    pub(crate) fn drop_menu(&mut self, reason: &'static str) -> bool {
        let Boot::Menu(menu) = &self.boot else {
            return false;
        };
        let first = menu.first().cloned();
        self.boot = match first.as_ref().and_then(|item| item.file(0)) {
            Some(file) if boot_file::is_url(&file) => Boot::Url(file.into_owned()),
            Some(file) => Boot::File(file.into_owned()),
            None => Boot::Nothing,
        };
        if let Some(next_server) = first.and_then(|item| item.next_server()) {
            self.next_server = Some(next_server);
            self.server_name = None;
        }
        self.explanation.failed("menu", reason);
        true
    }
}

/// Whether firmware shows a menu of option 43.
fn shows_menus(request: &BootRequest<'_>) -> bool {
    let arch = request.architectures.first().copied();
    match (request.stage, arch) {
        (Stage::Pxe, Some(arch)) => arch.is_uefi() || is_bios(arch),
        (Stage::Ipxe, arch) => arch == Some(ClientArch::X86_BIOS),
        _ => false,
    }
}

/// Whether this is a BIOS, whose PXE ROM is one of Intel's making or after it.
pub(crate) const fn is_bios(arch: ClientArch) -> bool {
    matches!(
        arch,
        ClientArch::X86_BIOS
            | ClientArch::NEC_PC98
            | ClientArch::ARC_X86
            | ClientArch::INTEL_LEAN_CLIENT
    )
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::{BootItem, BootMenu};

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn told(items: &[BootItem], arch: ClientArch, classes: &[&[u8]], vendor: &[u8]) -> Boot {
        let menu = BootMenu::new("Press F8", 5, items.to_vec()).expect("a good menu");
        let architectures = [arch];
        let request = BootRequest::new(SERVER)
            .with_architectures(&architectures)
            .with_user_classes(classes)
            .with_vendor_class(vendor);
        let decision = BootDecision::new(Boot::Menu(menu)).told_to(&request);
        let is_menu = matches!(decision.boot, Boot::Menu(_));
        assert_eq!(decision.explanation.tried().is_empty(), is_menu);
        assert_eq!(decision.next_server, (!is_menu).then_some(OTHER));
        decision.boot
    }

    #[test]
    fn who_cannot_show_a_menu_gets_its_first_item() {
        let first = |file: &str| BootItem::new(1, "First", file).with_next_server(OTHER);
        let items = [first("a.0"), BootItem::local("Disk")];
        let pxe = |arch| told(&items, arch, &[], b"PXEClient");
        for arch in [
            ClientArch::X86_BIOS,
            ClientArch::UEFI_X64,
            ClientArch::UEFI_ARM64,
        ] {
            assert!(matches!(pxe(arch), Boot::Menu(_)), "{arch}");
        }
        let file = Boot::File("a.0".into());
        assert_eq!(pxe(ClientArch::UBOOT_ARM64), file);
        let ipxe = |arch| told(&items, arch, &[b"iPXE"], b"PXEClient");
        assert!(matches!(ipxe(ClientArch::X86_BIOS), Boot::Menu(_)));
        assert_eq!(ipxe(ClientArch::UEFI_X64), file);
        let http = ClientArch::UEFI_X64_HTTP;
        assert_eq!(told(&items, http, &[], b"HTTPClient"), Boot::Nothing);
        let url = [first("http://10.0.0.1/a.efi")];
        assert_eq!(
            told(&url, http, &[], b"HTTPClient"),
            Boot::Url("http://10.0.0.1/a.efi".into())
        );
    }

    #[test]
    fn a_menu_that_begins_with_the_disk_boots_nothing_else() {
        let items = [BootItem::local("Disk"), BootItem::new(1, "A", "a.0")];
        let menu = BootMenu::new("Press F8", 5, items).expect("a good menu");
        let request = BootRequest::new(SERVER).with_user_classes(&[b"iPXE"]);
        let decision = BootDecision::new(Boot::Menu(menu)).told_to(&request);
        assert_eq!(decision.boot, Boot::Nothing);
    }
}
