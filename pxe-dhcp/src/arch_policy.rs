//! The policy that most sites need: a boot file per architecture.

use std::collections::BTreeMap;

use core::net::Ipv4Addr;

use crate::wire::OptionCode;
use crate::{
    Boot, BootDecision, BootPolicy, BootRequest, ClientArch, DhcpOption, Explanation, Stage,
};

/// A table from architecture to boot file, with a default, and an answer of its own for iPXE.
///
/// - 7 and 9 are looked up alike, as are 0x10 and 0x11 ([`ClientArch::canonical`]).
/// - Firmware that boots by HTTP only gets a URL: from [`with_arch`](Self::with_arch) of an HTTP
///   architecture, and never the default.
/// - iPXE gets what [`with_ipxe`](Self::with_ipxe) says, so that a chain from firmware to iPXE to
///   a script ends; without that, it is treated as the firmware that it stands for.
/// - An operating system gets nothing.
///
/// `{server}` in a file or URL stands for our address towards the client.
///
/// ```
/// use pxe_dhcp::{ArchPolicy, ClientArch};
///
/// let policy = ArchPolicy::new()
///     .with_arch(ClientArch::UEFI_X64, "ipxe/snponly.efi")
///     .with_arch(ClientArch::UEFI_X64_HTTP, "http://{server}/ipxe/snponly.efi")
///     .with_default("ipxe/undionly.kpxe")
///     .with_ipxe("http://{server}/boot.ipxe");
/// # let _ = policy;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchPolicy {
    by_arch: BTreeMap<ClientArch, String>,
    default: Option<String>,
    ipxe: Option<String>,
    next_server: Option<Ipv4Addr>,
    server_name: Option<String>,
    options: Vec<DhcpOption>,
}

impl ArchPolicy {
    /// A table without entries: nothing boots.
    pub fn new() -> Self {
        Self::default()
    }

    /// The layout of a syslinux server: 6 boots `efi32/syslinux.efi`, 7 and 9 boot
    /// `efi64/syslinux.efi`, anything else `bios/lpxelinux.0`.
    pub fn syslinux() -> Self {
        Self::new()
            .with_arch(ClientArch::UEFI_X86, "efi32/syslinux.efi")
            .with_arch(ClientArch::UEFI_X64, "efi64/syslinux.efi")
            .with_default("bios/lpxelinux.0")
    }

    /// The same, with a file or URL for an architecture. A value with `://` in it is a URL.
    #[must_use]
    pub fn with_arch(mut self, arch: ClientArch, file: impl Into<String>) -> Self {
        self.by_arch.insert(arch.canonical(), file.into());
        self
    }

    /// The same, with a file or URL for firmware whose architecture has no entry.
    #[must_use]
    pub fn with_default(mut self, file: impl Into<String>) -> Self {
        self.default = Some(file.into());
        self
    }

    /// The same, with a file or URL for iPXE, whatever its architecture.
    #[must_use]
    pub fn with_ipxe(mut self, file: impl Into<String>) -> Self {
        self.ipxe = Some(file.into());
        self
    }

    /// The same, with another boot server than ourselves.
    #[must_use]
    pub const fn with_next_server(mut self, next_server: Ipv4Addr) -> Self {
        self.next_server = Some(next_server);
        self
    }

    /// The same, with the boot server's name for `sname` and option 66.
    #[must_use]
    pub fn with_server_name(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// The same, with a further option for every client that boots, asked for or not.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// The same, with PXELINUX's configuration file (option 209, RFC 5071 section 5).
    #[must_use]
    pub fn with_config_file(self, path: &str) -> Self {
        self.with_option(DhcpOption::new(OptionCode::CONFIG_FILE, path.as_bytes()))
    }

    /// The same, with PXELINUX's path prefix (option 210, RFC 5071 section 6), which should end
    /// with a slash.
    #[must_use]
    pub fn with_path_prefix(self, prefix: &str) -> Self {
        self.with_option(DhcpOption::new(OptionCode::PATH_PREFIX, prefix.as_bytes()))
    }

    /// The same, with PXELINUX's reboot time (option 211, RFC 5071 section 7).
    #[must_use]
    pub fn with_reboot_seconds(self, seconds: u32) -> Self {
        self.with_option(DhcpOption::new(
            OptionCode::REBOOT_TIME,
            seconds.to_be_bytes(),
        ))
    }

    /// The same, with the magic that PXELINUX before 3.55 wants to see before it believes the
    /// other three (option 208, RFC 5071 section 4).
    #[must_use]
    pub fn with_pxelinux_magic(self) -> Self {
        let magic = [0xf1, 0x00, 0x74, 0x7e];
        self.with_option(DhcpOption::new(OptionCode::PXELINUX_MAGIC, magic))
    }

    /// The entry for a client, and the rules on the way there.
    fn entry(&self, request: &BootRequest<'_>, explanation: &mut Explanation) -> Option<&str> {
        if request.stage == Stage::System {
            explanation.matched(
                "operating system",
                "neither an architecture (93) nor a vendor class PXEClient or HTTPClient (60)",
            );
            return None;
        }
        match (&self.ipxe, request.stage) {
            (Some(file), Stage::Ipxe) => {
                explanation.matched("ipxe", "user class iPXE (77) or option 175");
                return Some(file);
            }
            (Some(_), stage) => {
                explanation.failed("ipxe", format!("the client's stage is {stage}"));
            }
            (None, _) => {}
        }
        for (arch, file) in &self.by_arch {
            let found = request
                .architectures
                .iter()
                .find(|found| found.canonical() == *arch);
            let Some(found) = found else {
                let said = Listed(request.architectures);
                explanation.failed(format!("arch {arch}"), format!("the client says {said}"));
                continue;
            };
            // A client that names several gets the first that has an entry, so this one only wins
            // if none that the client prefers has one.
            let is_first = request
                .architectures
                .iter()
                .find(|preferred| self.by_arch.contains_key(&preferred.canonical()))
                == Some(found);
            if is_first {
                explanation.matched(format!("arch {arch}"), format!("the client says {found}"));
                return Some(file);
            }
            explanation.failed(format!("arch {arch}"), "the client prefers another one");
        }
        let default = self.default.as_deref()?;
        if request.stage == Stage::Http && !is_url(default) {
            explanation.failed("default", "firmware that boots by HTTP needs a URL");
            return None;
        }
        explanation.matched("default", "no other rule matched");
        Some(default)
    }
}

struct Listed<'a>(&'a [ClientArch]);

impl core::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no architecture");
        }
        for (index, arch) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{arch}")?;
        }
        Ok(())
    }
}

fn is_url(file: &str) -> bool {
    file.contains("://")
}

impl BootPolicy for ArchPolicy {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        let mut explanation = Explanation::new();
        let Some(file) = self.entry(request, &mut explanation) else {
            if explanation.tried().iter().all(|tried| !tried.matched) {
                explanation.matched("nothing", "no rule matched and there is no default for it");
            }
            return BootDecision::new(Boot::Nothing).with_explanation(explanation);
        };
        let file = file.replace("{server}", &request.server_ip.to_string());
        let boot = if is_url(&file) {
            Boot::Url(file)
        } else {
            Boot::File(file)
        };
        BootDecision {
            boot,
            next_server: self.next_server,
            server_name: self.server_name.clone(),
            options: self.options.clone(),
            explanation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 1);

    fn boot(policy: &ArchPolicy, archs: &[u16], classes: &[&[u8]], vendor: &[u8]) -> Boot {
        let architectures: Vec<_> = archs.iter().copied().map(ClientArch).collect();
        let mut request = BootRequest::new(SERVER)
            .with_architectures(&architectures)
            .with_user_classes(classes);
        if !vendor.is_empty() {
            request = request.with_vendor_class(vendor);
        }
        let decision = policy.decide(&request);
        assert_eq!(
            decision
                .explanation
                .tried()
                .iter()
                .filter(|tried| tried.matched)
                .count(),
            1,
            "{}",
            decision.explanation
        );
        decision.boot
    }

    #[test]
    fn the_table_of_the_tutorial() {
        let policy = ArchPolicy::syslinux();
        let file = |arch| match boot(&policy, &[arch], &[], b"PXEClient") {
            Boot::File(file) => file,
            other => panic!("{other:?}"),
        };
        assert_eq!(file(6), "efi32/syslinux.efi");
        assert_eq!(file(7), "efi64/syslinux.efi");
        assert_eq!(file(9), "efi64/syslinux.efi");
        assert_eq!(file(0), "bios/lpxelinux.0");
        assert_eq!(file(0x16), "bios/lpxelinux.0", "else");
    }

    #[test]
    fn an_operating_system_gets_no_boot_file() {
        let policy = ArchPolicy::syslinux().with_ipxe("boot.ipxe");
        assert_eq!(boot(&policy, &[], &[], b""), Boot::Nothing);
        assert_eq!(boot(&policy, &[], &[], b"udhcp 1.35.0"), Boot::Nothing);
    }

    #[test]
    fn ipxe_chain_ends() {
        let policy = ArchPolicy::syslinux().with_ipxe("http://{server}/boot.ipxe");
        let script = Boot::Url("http://192.168.150.1/boot.ipxe".into());
        assert_eq!(
            boot(&policy, &[7], &[b"iPXE"], b"PXEClient:Arch:00007"),
            script
        );
        assert_eq!(
            boot(&policy, &[0], &[b"gPXE"], b"PXEClient:Arch:00000"),
            script
        );
        let firmware = Boot::File("efi64/syslinux.efi".into());
        assert_eq!(boot(&policy, &[7], &[], b"PXEClient:Arch:00007"), firmware);
    }

    #[test]
    fn http_firmware_gets_a_url_or_nothing() {
        let policy = ArchPolicy::syslinux();
        assert_eq!(
            boot(&policy, &[16], &[], b"HTTPClient:Arch:00016"),
            Boot::Nothing
        );
        let policy = policy.with_arch(ClientArch::UEFI_X64_HTTP, "http://{server}/a.efi");
        let url = Boot::Url("http://192.168.150.1/a.efi".into());
        assert_eq!(boot(&policy, &[16], &[], b"HTTPClient:Arch:00016"), url);
        assert_eq!(boot(&policy, &[0x11], &[], b"HTTPClient:Arch:00017"), url);
    }

    #[test]
    fn of_several_architectures_the_first_with_an_entry_wins() {
        let policy = ArchPolicy::syslinux();
        let ia32 = Boot::File("efi32/syslinux.efi".into());
        let x64 = Boot::File("efi64/syslinux.efi".into());
        assert_eq!(boot(&policy, &[11, 6, 7], &[], b"PXEClient"), ia32);
        assert_eq!(boot(&policy, &[11, 7, 6], &[], b"PXEClient"), x64);
    }

    #[test]
    fn explanation_is_one_rule_a_line() {
        let architectures = [ClientArch::UEFI_X64];
        let request = BootRequest::new(SERVER).with_architectures(&architectures);
        let decision = ArchPolicy::syslinux().decide(&request);
        assert_eq!(
            decision.explanation.to_string(),
            "- arch uefi-x86: the client says uefi-x64\n\
             + arch uefi-x64: the client says uefi-x64"
        );
    }
}
