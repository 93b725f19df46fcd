//! The policy that most sites need: a boot file per architecture.

use std::collections::BTreeMap;

use core::net::Ipv4Addr;

use crate::boot_file::{self, But, Reload};
use crate::condition::Listed;
use crate::raspberry_pi;
use crate::wire::OptionCode;
use crate::{
    Boot, BootDecision, BootPolicy, BootRequest, ClientArch, DhcpOption, Explanation, Stage,
};

/// A table from architecture to boot file, with a default, and an answer of its own for iPXE.
///
/// - 7 and 9 are looked up alike, as are 0x10 and 0x11 ([`ClientArch::canonical`]).
/// - Firmware that boots by HTTP only gets a URL, and firmware that boots by TFTP only a file.
/// - iPXE gets what [`with_ipxe`](Self::with_ipxe) says, so that a chain from firmware to iPXE to
///   a script ends; without that, it is treated as the firmware that it stands for, but it is
///   never told to load iPXE again.
/// - A Raspberry Pi's boot ROM is `arm-rpiboot`, though it says that it is an x86 BIOS, and needs
///   no entry.
/// - An operating system gets nothing.
///
/// `{server}` in a file or URL stands for our address towards the client; so do the other
/// [`PLACEHOLDERS`](crate::PLACEHOLDERS) for theirs. A client that does not say what one of them
/// stands for does not match.
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

    /// iPXE under the names of Debian's packages, for each architecture that it is built for, by
    /// TFTP and by HTTP; then this script.
    pub fn ipxe(script: impl Into<String>) -> Self {
        const FILES: [(ClientArch, Option<ClientArch>, &str); 7] = [
            (ClientArch::X86_BIOS, None, "undionly.kpxe"),
            (
                ClientArch::UEFI_X86,
                Some(ClientArch::UEFI_X86_HTTP),
                "ipxe-i386.efi",
            ),
            (
                ClientArch::UEFI_X64,
                Some(ClientArch::UEFI_X64_HTTP),
                "snponly.efi",
            ),
            (
                ClientArch::UEFI_ARM32,
                Some(ClientArch::UEFI_ARM32_HTTP),
                "ipxe-arm32.efi",
            ),
            (
                ClientArch::UEFI_ARM64,
                Some(ClientArch::UEFI_ARM64_HTTP),
                "ipxe-arm64.efi",
            ),
            (
                ClientArch::UEFI_RISCV64,
                Some(ClientArch::UEFI_RISCV64_HTTP),
                "ipxe-riscv64.efi",
            ),
            (
                ClientArch::UEFI_LOONGARCH64,
                Some(ClientArch::UEFI_LOONGARCH64_HTTP),
                "ipxe-loong64.efi",
            ),
        ];
        let mut policy = Self::new().with_ipxe(script);
        for (arch, by_http, file) in FILES {
            policy = policy.with_arch(arch, format!("ipxe/{file}"));
            if let Some(arch) = by_http {
                policy = policy.with_arch(arch, format!("http://{{server}}/ipxe/{file}"));
            }
        }
        policy
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

    /// What a client boots, and the rules on the way there.
    fn entry(&self, request: &BootRequest<'_>, explanation: &mut Explanation) -> Option<Boot> {
        if request.stage == Stage::System {
            explanation.matched(
                "operating system",
                "neither an architecture (93) nor a vendor class PXEClient or HTTPClient (60)",
            );
            return None;
        }
        let mut attempt = Attempt {
            request,
            explanation,
        };
        match (&self.ipxe, request.stage) {
            (Some(file), Stage::Ipxe) => {
                let reason = "user class iPXE (77) or option 175".to_owned();
                if let Some(boot) = attempt.of("ipxe".to_owned(), file, reason) {
                    return Some(boot);
                }
            }
            (Some(_), stage) => {
                attempt
                    .explanation
                    .failed("ipxe", format!("the client's stage is {stage}"));
            }
            (None, _) => {}
        }
        let said = Listed(request.architectures);
        // A client that names several gets the first that has an entry that it can use.
        let chosen = request.architectures.iter().find(|arch| {
            let file = self.by_arch.get(&arch.canonical());
            file.is_some_and(|file| boot_file::file_told(file, request, Reload::Never).is_ok())
        });
        for (arch, file) in &self.by_arch {
            let rule = format!("arch {arch}");
            let mut named = request.architectures.iter();
            let Some(found) = named.find(|named| named.canonical() == *arch) else {
                attempt
                    .explanation
                    .failed(rule, format!("the client says {said}"));
                continue;
            };
            if chosen.is_some_and(|chosen| chosen.canonical() != *arch) {
                attempt
                    .explanation
                    .failed(rule, "the client prefers another one");
                continue;
            }
            let told = attempt.of(rule, file, format!("the client says {found}"));
            if told.is_some() {
                return told;
            }
        }
        let is_pi = request.architectures.first() == Some(&ClientArch::ARM_RPIBOOT);
        if is_pi && !self.by_arch.contains_key(&ClientArch::ARM_RPIBOOT) {
            attempt.explanation.matched(
                "raspberry pi",
                "its boot ROM asks for its files by itself, for this one first",
            );
            return Some(Boot::File(raspberry_pi::BOOT_FILE.to_owned()));
        }
        let default = self.default.as_deref()?;
        attempt.of(
            "default".to_owned(),
            default,
            "no other rule matched".to_owned(),
        )
    }
}

/// What the rules are tried on.
struct Attempt<'a, 'b> {
    request: &'a BootRequest<'b>,
    explanation: &'a mut Explanation,
}

impl Attempt<'_, '_> {
    /// A rule that matches: what its file is to the client, if it can load that.
    fn of(&mut self, rule: String, file: &str, reason: String) -> Option<Boot> {
        match boot_file::file_told(file, self.request, Reload::Never) {
            Ok(boot) => {
                self.explanation.matched(rule, reason);
                Some(boot)
            }
            Err(obstacle) => {
                self.explanation
                    .failed(rule, But(&reason, &obstacle).to_string());
                None
            }
        }
    }
}

impl BootPolicy for ArchPolicy {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        let mut explanation = Explanation::new();
        let boot = self.entry(request, &mut explanation);
        if explanation.decided_by().is_none() {
            explanation.matched("nothing", "no rule matched and there is no default for it");
        }
        let options = match &boot {
            Some(_) => self.options.clone(),
            None => Vec::new(),
        };
        BootDecision {
            // An operating system too is told the boot server: its initramfs may take that for
            // the server of its root file system.
            next_server: self.next_server,
            server_name: boot.is_some().then(|| self.server_name.clone()).flatten(),
            boot: boot.unwrap_or_default(),
            options,
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
                .filter(|tried| tried.decides)
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
    fn every_architecture_of_the_registry_gets_what_it_can_load() {
        for policy in [
            ArchPolicy::syslinux(),
            ArchPolicy::ipxe("http://{server}/boot.ipxe"),
        ] {
            for arch in ClientArch::REGISTRY {
                let class = if arch.is_http() {
                    "HTTPClient"
                } else {
                    "PXEClient"
                };
                match boot(&policy, &[arch.0], &[], class.as_bytes()) {
                    Boot::Url(url) => assert!(arch.is_http(), "{arch} {url}"),
                    Boot::File(file) => assert!(!arch.is_http(), "{arch} {file}"),
                    other => assert_eq!(other, Boot::Nothing, "{arch}"),
                }
            }
        }
        let ipxe = ArchPolicy::ipxe("http://{server}/boot.ipxe");
        assert_eq!(boot(&ipxe, &[0x0c], &[], b"PXEClient"), Boot::Nothing);
        let arm = Boot::Url("http://192.168.150.1/ipxe/ipxe-arm64.efi".into());
        assert_eq!(boot(&ipxe, &[0x13], &[], b"HTTPClient"), arm);
    }

    /// With no script, or one that is an iPXE by mistake, the chain would never end.
    #[test]
    fn ipxe_is_never_told_to_load_ipxe_again() {
        let policy = ArchPolicy::new()
            .with_arch(ClientArch::UEFI_X64, "ipxe/snponly.efi")
            .with_default("undionly.kpxe");
        let firmware = Boot::File("ipxe/snponly.efi".into());
        assert_eq!(boot(&policy, &[7], &[], b"PXEClient:Arch:00007"), firmware);
        for policy in [policy.clone(), policy.with_ipxe("ipxe.efi")] {
            assert_eq!(
                boot(&policy, &[7], &[b"iPXE"], b"PXEClient:Arch:00007"),
                Boot::Nothing
            );
        }
        let request = BootRequest::new(SERVER).with_user_classes(&[b"iPXE"]);
        let decision = ArchPolicy::new()
            .with_default("undionly.kpxe")
            .decide(&request);
        assert_eq!(
            decision.explanation.to_string(),
            "- default: no other rule matched, but iPXE is never told to load iPXE again: \
             \"undionly.kpxe\"\n\
             + nothing: no rule matched and there is no default for it"
        );
    }

    #[test]
    fn a_raspberry_pi_needs_no_entry() {
        let pi = ClientArch::ARM_RPIBOOT.0;
        let file = |policy: &ArchPolicy| boot(policy, &[pi], &[], b"PXEClient:Arch:00000");
        let policy = ArchPolicy::syslinux();
        assert_eq!(file(&policy), Boot::File("bootcode.bin".into()));
        let policy = policy.with_arch(ClientArch::ARM_RPIBOOT, "pi/bootcode.bin");
        assert_eq!(file(&policy), Boot::File("pi/bootcode.bin".into()));
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
