//! The rules of option negotiation (RFC 2347, 2348, 2349, 7440), as pure functions.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::wire::{self, Options};

/// Block size when none is negotiated (RFC 1350 section 5).
pub(crate) const BLKSIZE_DEFAULT: u16 = 512;
/// Least block size (RFC 2348).
pub(crate) const BLKSIZE_MIN: u16 = 8;
/// Greatest block size (RFC 2348): 65464 octets and every header fit an IPv4 datagram.
pub(crate) const BLKSIZE_MAX: u16 = 65464;
/// Most converted octets that a netascii transfer may keep in its window, and so its greatest
/// block: they are memory of its own, unlike the data that octet transfers share; see `Content`.
const NETASCII_WINDOW_BYTES_MAX: u16 = 4 << 10;
/// A block of Ethernet's size is granted whatever windows hold: some firmware can do with no less.
const BLKSIZE_ALWAYS: u16 = 1468;

/// How the file is represented on the wire (RFC 1350 section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// The octets of the file. What every boot loader asks for.
    Octet,
    /// Text: LF becomes CR LF, and CR becomes CR NUL (RFC 764, as RFC 1350 says).
    Netascii,
}

impl Mode {
    /// Reads a mode in any case; `None` for `mail` (RFC 1350 calls it obsolete) and all else.
    pub fn from_wire(mode: &[u8]) -> Option<Self> {
        if mode.eq_ignore_ascii_case(b"octet") {
            Some(Self::Octet)
        } else if mode.eq_ignore_ascii_case(b"netascii") {
            Some(Self::Netascii)
        } else {
            None
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Octet => "octet",
            Self::Netascii => "netascii",
        })
    }
}

/// The options of a request that this server knows, where their values are possible ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Requested {
    /// Octets of file data in each block, 8 to 65464 (RFC 2348). Greater values are read as 65464.
    pub blksize: Option<u16>,
    /// Seconds before a retransmission, 1 to 255 (RFC 2349).
    pub timeout_seconds: Option<u8>,
    /// The client wants to know the file's length (RFC 2349).
    pub tsize: bool,
    /// Blocks in each window, 1 to 65535 (RFC 7440).
    pub windowsize: Option<u16>,
}

impl Requested {
    /// Reads the known options; the first of duplicates counts, impossible values do not.
    pub fn from_wire(options: &Options<'_>) -> Self {
        let number = |name| options.get(name).and_then(parse_number);
        Self {
            blksize: number("blksize")
                .filter(|&blksize| blksize >= u64::from(BLKSIZE_MIN))
                .map(|blksize| u16::try_from(blksize).map_or(BLKSIZE_MAX, |b| b.min(BLKSIZE_MAX))),
            timeout_seconds: number("timeout")
                .and_then(|seconds| u8::try_from(seconds).ok())
                .filter(|&seconds| seconds > 0),
            tsize: number("tsize").is_some(),
            windowsize: number("windowsize")
                .filter(|&blocks| blocks > 0)
                .map(|blocks| u16::try_from(blocks).unwrap_or(u16::MAX)),
        }
    }
}

/// Decimal digits only, at least one; saturating, since every use has a bound far below.
fn parse_number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// What a transfer runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// How the file is represented.
    pub mode: Mode,
    /// Octets of file data in each block but the last.
    pub blksize: u16,
    /// Blocks sent before an ACK is awaited.
    pub windowsize: u16,
    /// The retransmission interval that the client chose.
    pub timeout: Option<Duration>,
    /// The file length that the client was told.
    pub tsize: Option<u64>,
}

impl Negotiated {
    /// Octets of the file that a window holds at most.
    pub(crate) fn window_bytes(&self, len: u64) -> usize {
        let bytes = usize::from(self.blksize) * usize::from(self.windowsize);
        match self.mode {
            Mode::Octet => usize::try_from(len).map_or(bytes, |len| bytes.min(len)),
            Mode::Netascii => bytes,
        }
    }
}

/// The largest block that fits one IP packet of `mtu` bytes to `remote`.
///
/// 20 (IPv4) or 40 (IPv6) bytes of IP header, 8 of UDP, 4 of TFTP.
pub(crate) const fn blksize_of_mtu(mtu: u32, remote: IpAddr) -> u32 {
    let headers = match remote {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 52,
    };
    mtu.saturating_sub(headers)
}

/// What is known of the file and the path when a request is accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) mode: Mode,
    pub(crate) remote: IpAddr,
    pub(crate) len: u64,
    pub(crate) mtu: Option<u32>,
    /// What there is room for beside the windows of other transfers, in octets.
    pub(crate) window_bytes: usize,
}

/// What came of a request's options.
#[derive(Debug)]
pub(crate) struct Agreement {
    pub(crate) negotiated: Negotiated,
    /// The OACK packet. Empty if no option is accepted: an OACK without options must not be sent
    /// (RFC 2347; clients take DATA 1 instead).
    pub(crate) oack: Vec<u8>,
    /// It would be more, if other windows held less.
    pub(crate) is_limited: bool,
}

/// Decides on the options, and writes the OACK packet.
pub(crate) fn negotiate(options: &Options<'_>, terms: Terms, config: &Config) -> Agreement {
    let requested = Requested::from_wire(options);
    // A file that has room as a whole never takes more.
    let has_room = u64::try_from(terms.window_bytes).is_ok_and(|room| terms.len <= room);
    let room = match terms.mode {
        Mode::Octet if has_room => usize::MAX,
        Mode::Octet | Mode::Netascii => terms.window_bytes,
    };
    let blksize_alone = requested.blksize.map(|asked| {
        let by_mtu = match terms.mtu {
            Some(mtu) if config.clamp_blksize_to_mtu => blksize_of_mtu(mtu, terms.remote),
            _ => u32::from(BLKSIZE_MAX),
        };
        let by_mtu = u16::try_from(by_mtu).unwrap_or(BLKSIZE_MAX);
        let by_memory = match terms.mode {
            Mode::Octet => BLKSIZE_MAX,
            Mode::Netascii => NETASCII_WINDOW_BYTES_MAX,
        };
        // `asked` is at least BLKSIZE_MIN, so the answer never exceeds it.
        asked
            .min(config.blksize_max)
            .min(by_mtu)
            .min(by_memory)
            .max(BLKSIZE_MIN)
    });
    let by_room = u16::try_from(room).unwrap_or(u16::MAX).max(BLKSIZE_ALWAYS);
    let blksize = blksize_alone.map(|blksize| blksize.min(by_room));
    let blksize_used = blksize.unwrap_or(BLKSIZE_DEFAULT);
    let windowsize_alone = requested.windowsize.map(|asked| {
        let bytes_max = match terms.mode {
            Mode::Octet => config.limits.window_bytes_max,
            Mode::Netascii => {
                usize::from(NETASCII_WINDOW_BYTES_MAX).min(config.limits.window_bytes_max)
            }
        };
        let by_bytes = blocks_of(bytes_max, blksize_used);
        asked.min(config.windowsize_max).min(by_bytes).max(1)
    });
    let by_room = blocks_of(room, blksize_used).max(1);
    let windowsize = windowsize_alone.map(|windowsize| windowsize.min(by_room));
    let is_limited = (blksize, windowsize) != (blksize_alone, windowsize_alone);
    let timeout_seconds = requested.timeout_seconds;
    // The length of converted text is not known before it is sent: no tsize for netascii.
    let tsize = (requested.tsize && terms.mode == Mode::Octet).then_some(terms.len);

    let answers: Vec<(&[u8], String)> = {
        let mut seen = [false; 4];
        let mut first = |index: usize| !std::mem::replace(&mut seen[index], true);
        let mut answers = Vec::new();
        for (name, _value) in options.iter() {
            let answer = if name.eq_ignore_ascii_case(b"blksize") {
                blksize.filter(|_| first(0)).map(|value| value.to_string())
            } else if name.eq_ignore_ascii_case(b"timeout") {
                timeout_seconds
                    .filter(|_| first(1))
                    .map(|value| value.to_string())
            } else if name.eq_ignore_ascii_case(b"tsize") {
                tsize.filter(|_| first(2)).map(|value| value.to_string())
            } else if name.eq_ignore_ascii_case(b"windowsize") {
                windowsize
                    .filter(|_| first(3))
                    .map(|value| value.to_string())
            } else {
                None
            };
            // The name is repeated as the client spelt it: some compare it letter by letter.
            answers.extend(answer.map(|answer| (name, answer)));
        }
        answers
    };
    let mut oack = Vec::new();
    if !answers.is_empty() {
        let pairs = answers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        wire::encode_oack(&mut oack, pairs);
    }
    let negotiated = Negotiated {
        mode: terms.mode,
        blksize: blksize_used,
        windowsize: windowsize.unwrap_or(1),
        timeout: timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        tsize,
    };
    Agreement {
        negotiated,
        oack,
        is_limited,
    }
}

/// How many whole blocks there is room for in so many octets.
fn blocks_of(bytes: usize, blksize: u16) -> u16 {
    u16::try_from(bytes / usize::from(blksize.max(1))).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn agree(options: &[u8], terms: Terms, config: &Config) -> (Negotiated, Vec<u8>) {
        let agreement = negotiate(&Options::decode(options), terms, config);
        (agreement.negotiated, agreement.oack)
    }

    fn terms(remote: IpAddr, mtu: Option<u32>) -> Terms {
        Terms {
            mode: Mode::Octet,
            remote,
            len: 1_000_000,
            mtu,
            window_bytes: usize::MAX,
        }
    }

    #[test]
    fn blksize_is_clamped_to_the_mtu_unless_switched_off() {
        let config = Config::default();
        for (remote, mtu, asked, granted) in [
            (V4, Some(1500), "1468", 1468),
            (V4, Some(1500), "65464", 1468),
            (V6, Some(1500), "1468", 1448),
            (V4, Some(1400), "1428", 1368),
            (V4, None, "65464", 65464),
            (V4, Some(1500), "99999999999999999999", 1468),
            (V4, Some(10), "1468", 8),
            (V4, Some(1500), "8", 8),
        ] {
            let options = format!("blksize\0{asked}\0");
            let (negotiated, oack) = agree(options.as_bytes(), terms(remote, mtu), &config);
            assert_eq!(negotiated.blksize, granted);
            assert_eq!(oack, format!("\0\x06blksize\0{granted}\0").as_bytes());
        }
        let unclamped = Config::default().with_clamp_blksize_to_mtu(false);
        let (negotiated, _) = agree(b"blksize\x004096\0", terms(V4, Some(1500)), &unclamped);
        assert_eq!(negotiated.blksize, 4096);
    }

    #[test]
    fn impossible_values_are_ignored_and_no_empty_oack_is_sent() {
        for options in [
            &b""[..],
            b"blksize\x007\0",
            b"blksize\0-8\0",
            b"blksize\0+512\0",
            b"blksize\0\0",
            b"timeout\x000\0",
            b"timeout\x00256\0",
            b"windowsize\x000\0",
            b"utimeout\x00100000\0",
            b"multicast\0\0",
            b"tsize\0x\0",
        ] {
            let (negotiated, oack) = agree(options, terms(V4, Some(1500)), &Config::default());
            assert_eq!(oack, b"", "{options:?}");
            assert_eq!(negotiated.blksize, 512);
            assert_eq!(negotiated.windowsize, 1);
            assert_eq!(negotiated.timeout, None);
        }
    }

    #[test]
    fn answers_keep_the_clients_spelling_and_order() {
        let (negotiated, oack) = agree(
            b"TSIZE\x000\0rollover\x000\0WindowSize\x00100\0BLKSIZE\x001432\0timeout\x003\0",
            terms(V4, Some(1500)),
            &Config::default(),
        );
        assert_eq!(
            oack,
            b"\0\x06TSIZE\x001000000\0WindowSize\x0064\0BLKSIZE\x001432\0timeout\x003\0"
        );
        assert_eq!(negotiated.windowsize, 64);
        assert_eq!(negotiated.timeout, Some(Duration::from_secs(3)));
    }

    #[test]
    fn large_blocks_have_small_windows() {
        for (blksize, granted) in [("1468", 64), ("65464", 16), ("8", 64)] {
            let options = format!("blksize\0{blksize}\0windowsize\0100\0");
            let (negotiated, _) = agree(options.as_bytes(), terms(V4, None), &Config::default());
            assert_eq!(negotiated.windowsize, granted);
        }
        let tight = crate::Limits::default().with_window_bytes_max(1);
        let config = Config::default().with_limits(tight);
        let (negotiated, _) = agree(b"windowsize\09\0", terms(V4, None), &config);
        assert_eq!(negotiated.windowsize, 1);
    }

    #[test]
    fn where_windows_hold_much_smaller_ones_are_granted() {
        let ask = |options: &[u8], terms: Terms| {
            let agreement = negotiate(&Options::decode(options), terms, &Config::default());
            let Negotiated {
                blksize,
                windowsize,
                ..
            } = agreement.negotiated;
            (blksize, windowsize, agreement.is_limited)
        };
        let with = |window_bytes| Terms {
            window_bytes,
            ..terms(V4, None)
        };
        let ethernet = b"blksize\x001468\0windowsize\x0064\0";
        assert_eq!(ask(ethernet, with(100_000)), (1468, 64, false));
        assert_eq!(ask(ethernet, with(16_384)), (1468, 11, true));
        assert_eq!(ask(ethernet, with(0)), (1468, 1, true));
        let large = b"blksize\x0065464\0windowsize\x0064\0";
        assert_eq!(ask(large, with(70_000)), (65464, 1, true));
        assert_eq!(ask(large, with(16_384)), (16_384, 1, true));
        assert_eq!(ask(large, with(0)), (1468, 1, true));
        // What was not asked for is not granted.
        assert_eq!(ask(b"windowsize\x0064\0", with(1024)), (512, 2, true));
        assert_eq!(ask(b"windowsize\x001\0", with(0)), (512, 1, false));
        assert_eq!(ask(b"", with(0)), (512, 1, false));
        // Of a small file no window holds much.
        let small = Terms {
            len: 16_384,
            ..with(16_384)
        };
        assert_eq!(ask(large, small), (65464, 16, false));
        let agreement = negotiate(&Options::decode(large), small, &Config::default());
        assert_eq!(agreement.negotiated.window_bytes(16_384), 16_384);
    }

    #[test]
    fn netascii_has_no_tsize_and_a_small_window() {
        let terms = Terms {
            mode: Mode::Netascii,
            ..terms(V4, None)
        };
        let (negotiated, oack) = agree(
            b"tsize\x000\0windowsize\x0064\0blksize\x001428\0",
            terms,
            &Config::default(),
        );
        assert_eq!(negotiated.tsize, None);
        assert_eq!(negotiated.windowsize, 2);
        assert_eq!(oack, b"\0\x06windowsize\x002\0blksize\x001428\0");
        let (negotiated, _) = agree(b"blksize\x0065464\0", terms, &Config::default());
        assert_eq!(negotiated.blksize, 4096);
    }
}
