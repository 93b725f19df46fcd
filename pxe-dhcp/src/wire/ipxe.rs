//! iPXE's encapsulated options (175).

use core::fmt;
use core::str::FromStr;

/// A feature that an iPXE client announces in option 175 (iPXE source, `include/ipxe/features.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct IpxeFeature(pub u8);

macro_rules! features {
    ($($constant:ident = $number:literal, $name:literal, $meaning:literal;)*) => {
        impl IpxeFeature {
            $(
                #[doc = concat!($meaning, " (`", $name, "`).")]
                pub const $constant: Self = Self($number);
            )*

            /// Every feature with a name, in the order of their numbers.
            pub const REGISTRY: &'static [Self] = &[$(Self::$constant),*];

            /// The name, if the number is known.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    PXEEXT = 0x10, "pxeext", "PXE API extensions";
    ISCSI = 0x11, "iscsi", "iSCSI";
    AOE = 0x12, "aoe", "ATA over Ethernet";
    HTTP = 0x13, "http", "HTTP";
    HTTPS = 0x14, "https", "HTTPS";
    TFTP = 0x15, "tftp", "TFTP";
    FTP = 0x16, "ftp", "FTP";
    DNS = 0x17, "dns", "name resolution";
    BZIMAGE = 0x18, "bzimage", "Linux bzImage kernels";
    MULTIBOOT = 0x19, "multiboot", "Multiboot kernels";
    SLAM = 0x1a, "slam", "SLAM multicast";
    SRP = 0x1b, "srp", "SCSI RDMA";
    NBI = 0x20, "nbi", "NBI images";
    PXE = 0x21, "pxe", "PXE boot programs";
    ELF = 0x22, "elf", "ELF images";
    COMBOOT = 0x23, "comboot", "COMBOOT and COM32 programs";
    EFI = 0x24, "efi", "EFI programs";
    FCOE = 0x25, "fcoe", "Fibre Channel over Ethernet";
    VLAN = 0x26, "vlan", "VLANs";
    MENU = 0x27, "menu", "menus in scripts";
    SDI = 0x28, "sdi", "SDI images";
    NFS = 0x29, "nfs", "NFS";
}

impl fmt::Display for IpxeFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "feature-{}", self.0),
        }
    }
}

/// A text names no feature of iPXE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseIpxeFeatureError;

impl fmt::Display for ParseIpxeFeatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a feature of iPXE such as http, efi or bzimage")
    }
}

impl core::error::Error for ParseIpxeFeatureError {}

impl FromStr for IpxeFeature {
    type Err = ParseIpxeFeatureError;

    fn from_str(text: &str) -> Result<Self, ParseIpxeFeatureError> {
        let found = Self::REGISTRY
            .iter()
            .find(|feature| feature.name() == Some(text));
        found.copied().ok_or(ParseIpxeFeatureError)
    }
}

/// The features of one iPXE client: which sub-options of option 175 are there and not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IpxeFeatures {
    present: [u64; 4],
}

impl IpxeFeatures {
    /// A set with nothing in it.
    pub const fn new() -> Self {
        Self { present: [0; 4] }
    }

    /// Every feature that there could be.
    pub(crate) const fn all() -> Self {
        Self {
            present: [u64::MAX; 4],
        }
    }

    /// The same set and this feature.
    #[must_use]
    pub const fn with(mut self, feature: IpxeFeature) -> Self {
        self.present[(feature.0 >> 6) as usize] |= 1 << (feature.0 & 63);
        self
    }

    /// Whether the client announced this feature.
    pub const fn has(&self, feature: IpxeFeature) -> bool {
        self.present[(feature.0 >> 6) as usize] & 1 << (feature.0 & 63) != 0
    }

    /// The named features in it, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = IpxeFeature> + '_ {
        IpxeFeature::REGISTRY
            .iter()
            .copied()
            .filter(|feature| self.has(*feature))
    }

    /// Reads the value of option 175; what follows a malformed sub-option is not read.
    pub fn read(data: &[u8]) -> Self {
        let mut features = Self::new();
        let mut rest = data;
        while let Some((&number, tail)) = rest.split_first() {
            if number == 0 {
                rest = tail;
                continue;
            }
            let Some((&len, tail)) = tail.split_first() else {
                break;
            };
            let Some((value, tail)) = tail.split_at_checked(usize::from(len)) else {
                break;
            };
            if value.iter().any(|byte| *byte != 0) {
                features = features.with(IpxeFeature(number));
            }
            rest = tail;
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_sub_options_with_a_value() {
        let data = [0x13, 1, 1, 0, 0x24, 1, 0, 0xeb, 3, 1, 20, 1, 0x21, 9, 1];
        let features = IpxeFeatures::read(&data);
        assert!(features.has(IpxeFeature::HTTP));
        assert!(!features.has(IpxeFeature::EFI), "its value is zero");
        assert!(features.has(IpxeFeature(0xeb)), "version");
        assert!(
            !features.has(IpxeFeature::PXE),
            "its length runs beyond the option"
        );
        assert_eq!(features.iter().collect::<Vec<_>>(), [IpxeFeature::HTTP]);
    }

    #[test]
    fn names_round_trip() {
        for feature in IpxeFeature::REGISTRY {
            assert_eq!(feature.to_string().parse(), Ok(*feature));
        }
        assert_eq!("gopher".parse::<IpxeFeature>(), Err(ParseIpxeFeatureError));
    }
}
