//! Client architectures: the numbers of option 93 and their names.

use core::fmt;
use core::str::FromStr;

/// A client system architecture, as option 93 carries it (RFC 4578 section 2.1; the numbers are
/// IANA's registry "Processor Architecture Types", which RFC 5970 opened).
///
/// Any number is a value; those of the registry have a constant and a name. A number outside the
/// registry is written as `arch-` and its decimal value, and read back from that.
///
/// ```
/// use pxe_dhcp::ClientArch;
///
/// assert_eq!("uefi-x64".parse(), Ok(ClientArch::UEFI_X64));
/// assert_eq!(ClientArch(9).to_string(), "uefi-ebc");
/// assert!(ClientArch(9).is_uefi_x64());
/// assert_eq!("arch-4711".parse(), Ok(ClientArch(4711)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct ClientArch(pub u16);

macro_rules! architectures {
    ($($constant:ident = $number:literal, $name:literal, $meaning:literal;)*) => {
        impl ClientArch {
            $(
                #[doc = $meaning]
                #[doc = concat!(" (`", $name, "`).")]
                pub const $constant: Self = Self($number);
            )*

            /// Every architecture of the registry, in the order of their numbers.
            pub const REGISTRY: &'static [Self] = &[$(Self::$constant),*];

            /// The stable name, if the number is in the registry.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

architectures! {
    X86_BIOS = 0x00, "x86-bios", "x86 BIOS; also what a Raspberry Pi's boot ROM says";
    NEC_PC98 = 0x01, "nec-pc98", "NEC/PC98, deprecated";
    ITANIUM = 0x02, "itanium", "Itanium";
    DEC_ALPHA = 0x03, "dec-alpha", "DEC Alpha, deprecated";
    ARC_X86 = 0x04, "arc-x86", "Arc x86, deprecated";
    INTEL_LEAN_CLIENT = 0x05, "intel-lean-client", "Intel Lean Client, deprecated";
    UEFI_X86 = 0x06, "uefi-x86", "x86 UEFI, 32 bits";
    UEFI_X64 = 0x07, "uefi-x64", "x64 UEFI";
    EFI_XSCALE = 0x08, "efi-xscale", "EFI Xscale, deprecated";
    UEFI_EBC = 0x09, "uefi-ebc", "EFI byte code; some x64 firmware says it, see `is_uefi_x64`";
    UEFI_ARM32 = 0x0a, "uefi-arm32", "ARM 32-bit UEFI";
    UEFI_ARM64 = 0x0b, "uefi-arm64", "ARM 64-bit UEFI";
    PPC_OPEN_FIRMWARE = 0x0c, "ppc-open-firmware", "PowerPC Open Firmware";
    PPC_EPAPR = 0x0d, "ppc-epapr", "PowerPC ePAPR";
    POWER_OPAL = 0x0e, "power-opal", "POWER OPAL v3";
    UEFI_X86_HTTP = 0x0f, "uefi-x86-http", "x86 UEFI, boot from HTTP";
    UEFI_X64_HTTP = 0x10, "uefi-x64-http", "x64 UEFI, boot from HTTP";
    UEFI_EBC_HTTP = 0x11, "uefi-ebc-http", "EFI byte code, boot from HTTP";
    UEFI_ARM32_HTTP = 0x12, "uefi-arm32-http", "ARM 32-bit UEFI, boot from HTTP";
    UEFI_ARM64_HTTP = 0x13, "uefi-arm64-http", "ARM 64-bit UEFI, boot from HTTP";
    X86_BIOS_HTTP = 0x14, "x86-bios-http", "PC/AT BIOS, boot from HTTP";
    UBOOT_ARM32 = 0x15, "uboot-arm32", "ARM 32-bit U-Boot";
    UBOOT_ARM64 = 0x16, "uboot-arm64", "ARM 64-bit U-Boot";
    UBOOT_ARM32_HTTP = 0x17, "uboot-arm32-http", "ARM 32-bit U-Boot, boot from HTTP";
    UBOOT_ARM64_HTTP = 0x18, "uboot-arm64-http", "ARM 64-bit U-Boot, boot from HTTP";
    UEFI_RISCV32 = 0x19, "uefi-riscv32", "RISC-V 32-bit UEFI";
    UEFI_RISCV32_HTTP = 0x1a, "uefi-riscv32-http", "RISC-V 32-bit UEFI, boot from HTTP";
    UEFI_RISCV64 = 0x1b, "uefi-riscv64", "RISC-V 64-bit UEFI";
    UEFI_RISCV64_HTTP = 0x1c, "uefi-riscv64-http", "RISC-V 64-bit UEFI, boot from HTTP";
    UEFI_RISCV128 = 0x1d, "uefi-riscv128", "RISC-V 128-bit UEFI";
    UEFI_RISCV128_HTTP = 0x1e, "uefi-riscv128-http", "RISC-V 128-bit UEFI, boot from HTTP";
    S390_BASIC = 0x1f, "s390-basic", "s390 Basic";
    S390_EXTENDED = 0x20, "s390-extended", "s390 Extended";
    MIPS32_UEFI = 0x21, "uefi-mips32", "MIPS 32-bit UEFI";
    MIPS64_UEFI = 0x22, "uefi-mips64", "MIPS 64-bit UEFI";
    SUNWAY32_UEFI = 0x23, "uefi-sunway32", "Sunway 32-bit UEFI";
    SUNWAY64_UEFI = 0x24, "uefi-sunway64", "Sunway 64-bit UEFI";
    UEFI_LOONGARCH32 = 0x25, "uefi-loongarch32", "LoongArch 32-bit UEFI";
    UEFI_LOONGARCH32_HTTP = 0x26, "uefi-loongarch32-http", "LoongArch 32-bit UEFI, boot from HTTP";
    UEFI_LOONGARCH64 = 0x27, "uefi-loongarch64", "LoongArch 64-bit UEFI";
    UEFI_LOONGARCH64_HTTP = 0x28, "uefi-loongarch64-http", "LoongArch 64-bit UEFI, boot from HTTP";
    ARM_RPIBOOT = 0x29, "arm-rpiboot", "ARM rpiboot";
}

impl ClientArch {
    /// Whether this is 64-bit x86 UEFI that boots from TFTP: 7 or 9.
    ///
    /// RFC 4578 printed 7 as EFI byte code and 9 as x86-64 (erratum 4624 turns them round). Real
    /// x64 firmware sends 7, some sends 9: OVMF sends 7 and a table that knew only 9 looped for
    /// ever (xcat-core pull request 7645; LTSP's dnsmasq.conf; opnsense/core issue 2223).
    pub const fn is_uefi_x64(self) -> bool {
        matches!(self, Self::UEFI_X64 | Self::UEFI_EBC)
    }

    /// Whether the firmware loads its boot file by HTTP (UEFI 2.5 HTTP Boot and its kin).
    pub const fn is_http(self) -> bool {
        matches!(
            self,
            Self::UEFI_X86_HTTP
                | Self::UEFI_X64_HTTP
                | Self::UEFI_EBC_HTTP
                | Self::UEFI_ARM32_HTTP
                | Self::UEFI_ARM64_HTTP
                | Self::X86_BIOS_HTTP
                | Self::UBOOT_ARM32_HTTP
                | Self::UBOOT_ARM64_HTTP
                | Self::UEFI_RISCV32_HTTP
                | Self::UEFI_RISCV64_HTTP
                | Self::UEFI_RISCV128_HTTP
                | Self::UEFI_LOONGARCH32_HTTP
                | Self::UEFI_LOONGARCH64_HTTP
        )
    }

    /// Whether the firmware is UEFI, or the EFI before it, whatever it boots from.
    pub const fn is_uefi(self) -> bool {
        matches!(
            self,
            Self::ITANIUM
                | Self::UEFI_X86
                | Self::UEFI_X64
                | Self::EFI_XSCALE
                | Self::UEFI_EBC
                | Self::UEFI_ARM32
                | Self::UEFI_ARM64
                | Self::UEFI_X86_HTTP
                | Self::UEFI_X64_HTTP
                | Self::UEFI_EBC_HTTP
                | Self::UEFI_ARM32_HTTP
                | Self::UEFI_ARM64_HTTP
                | Self::UEFI_RISCV32
                | Self::UEFI_RISCV32_HTTP
                | Self::UEFI_RISCV64
                | Self::UEFI_RISCV64_HTTP
                | Self::UEFI_RISCV128
                | Self::UEFI_RISCV128_HTTP
                | Self::MIPS32_UEFI
                | Self::MIPS64_UEFI
                | Self::SUNWAY32_UEFI
                | Self::SUNWAY64_UEFI
                | Self::UEFI_LOONGARCH32
                | Self::UEFI_LOONGARCH32_HTTP
                | Self::UEFI_LOONGARCH64
                | Self::UEFI_LOONGARCH64_HTTP
        )
    }

    /// The architecture under which a table should look this one up: 9 counts as 7, and 0x11 as
    /// 0x10, for the reason given at [`is_uefi_x64`](Self::is_uefi_x64).
    #[must_use]
    pub const fn canonical(self) -> Self {
        match self {
            Self::UEFI_EBC => Self::UEFI_X64,
            Self::UEFI_EBC_HTTP => Self::UEFI_X64_HTTP,
            other => other,
        }
    }

    /// The architecture in a vendor class such as `PXEClient:Arch:00007:UNDI:003000`.
    ///
    /// The fallback where option 93 is missing (PXE 2.1 section 2.2.2; bootimus issue 118).
    pub fn from_vendor_class(vendor_class: &[u8]) -> Option<Self> {
        let rest = vendor_class
            .strip_prefix(b"PXEClient:Arch:")
            .or_else(|| vendor_class.strip_prefix(b"HTTPClient:Arch:"))?;
        let digits = rest.split(|byte| *byte == b':').next()?;
        if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        core::str::from_utf8(digits).ok()?.parse().ok().map(Self)
    }
}

impl fmt::Display for ClientArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "arch-{}", self.0),
        }
    }
}

/// A text names no client architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseClientArchError;

impl fmt::Display for ParseClientArchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a client architecture such as x86-bios, uefi-x64 or arch-7")
    }
}

impl core::error::Error for ParseClientArchError {}

impl FromStr for ClientArch {
    type Err = ParseClientArchError;

    /// Reads a registry name, or `arch-` and a decimal number.
    fn from_str(text: &str) -> Result<Self, ParseClientArchError> {
        if let Some(arch) = Self::REGISTRY.iter().find(|arch| arch.name() == Some(text)) {
            return Ok(*arch);
        }
        let digits = text.strip_prefix("arch-").ok_or(ParseClientArchError)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseClientArchError); // u16's parser takes a sign
        }
        digits.parse().map(Self).map_err(|_| ParseClientArchError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_is_complete_and_its_names_round_trip() {
        assert_eq!(ClientArch::REGISTRY.len(), 0x2a);
        for (number, arch) in ClientArch::REGISTRY.iter().enumerate() {
            assert_eq!(usize::from(arch.0), number);
            assert_eq!(arch.to_string().parse(), Ok(*arch));
        }
        assert_eq!(ClientArch(0x2a).name(), None);
        for number in 0..=u16::MAX {
            let arch = ClientArch(number);
            assert_eq!(arch.to_string().parse(), Ok(arch));
        }
    }

    #[test]
    fn registry_agrees_with_dhcproto() {
        use dhcproto::v4::Architecture;
        assert_eq!(ClientArch::UEFI_ARM64.0, Architecture::Arm64.0);
        assert_eq!(ClientArch::UEFI_X64_HTTP.0, Architecture::X64_Http.0);
    }

    #[test]
    fn uefi_has_it_in_its_name() {
        for arch in ClientArch::REGISTRY {
            let name = arch.to_string();
            let says_so = name.starts_with("uefi-") || name.starts_with("efi-");
            assert_eq!(arch.is_uefi(), says_so || *arch == ClientArch::ITANIUM);
        }
    }

    #[test]
    fn texts_that_name_nothing_are_refused() {
        for text in ["", "arch-", "arch-65536", "arch-+1", "UEFI-X64", "bios"] {
            assert_eq!(
                text.parse::<ClientArch>(),
                Err(ParseClientArchError),
                "{text}"
            );
        }
    }

    #[test]
    fn architecture_from_option_60() {
        let from = ClientArch::from_vendor_class;
        assert_eq!(
            from(b"PXEClient:Arch:00011:UNDI:003000"),
            Some(ClientArch::UEFI_ARM64)
        );
        assert_eq!(
            from(b"HTTPClient:Arch:00016:UNDI:003000"),
            Some(ClientArch::UEFI_X64_HTTP)
        );
        assert_eq!(from(b"PXEClient:Arch:00000"), Some(ClientArch::X86_BIOS));
        assert_eq!(from(b"PXEClient"), None);
        assert_eq!(from(b"PXEClient:Arch::UNDI"), None);
        assert_eq!(from(b"PXEClient:Arch:99999:UNDI:003000"), None);
        assert_eq!(from(b"PXEClient:Arch:-0007:UNDI:003000"), None);
    }
}
