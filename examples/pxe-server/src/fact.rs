//! What happened, in the server's own words: one value for a log line, a counter and a timeline.
//!
//! Each protocol crate has an event type of its own. The module `observe` translates these
//! into [`Fact`]s, and from there on nobody needs to know which protocol a fact came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pxe_core::{MacAddr, Now};
use pxe_tree::TreePath;

/// By which protocol a fact came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// DHCP (RFC 2131).
    Dhcp,
    /// TFTP (RFC 1350).
    Tftp,
    /// HTTP (RFC 9110) in clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// NFS version 3 (RFC 1813), MOUNT and the portmapper.
    Nfs,
    /// DNS (RFC 1035).
    Dns,
}

impl Protocol {
    /// Every protocol, in the order in which a machine meets them.
    pub const ALL: [Self; 6] = [
        Self::Dhcp,
        Self::Tftp,
        Self::Http,
        Self::Https,
        Self::Nfs,
        Self::Dns,
    ];

    /// The name in logs and in the control protocol: `dhcp`, `tftp`, `http`, `https`, `nfs`, `dns`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Tftp => "tftp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Nfs => "nfs",
            Self::Dns => "dns",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that happened between a client and this server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fact {
    /// When. `mono` counts from the start of the server (or of the simulation).
    pub at: Now,
    /// By which protocol.
    pub protocol: Protocol,
    /// The client's hardware address: from the packet (DHCP), or from the lease of its address.
    pub mac: Option<MacAddr>,
    /// The client's address, if it has one.
    pub ip: Option<IpAddr>,
    /// What happened.
    pub what: What,
}

impl Fact {
    /// A fact of a client that is not identified yet.
    pub const fn new(at: Now, protocol: Protocol, what: What) -> Self {
        Self {
            at,
            protocol,
            mac: None,
            ip: None,
            what,
        }
    }

    /// The same, about the machine with this hardware address.
    #[must_use]
    pub const fn with_mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The same, about the client at this address.
    #[must_use]
    pub const fn with_ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }
}

/// What happened. Texts that come from a peer are bounded and have no control characters.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// DHCP: the client sent a message.
    Asked {
        /// `discover`, `request`, `inform`, `bootp`.
        message: &'static str,
        /// The architecture's name (`uefi-x64`, `bios`), if the client said it.
        arch: Option<String>,
        /// The program that asks, if it said so: `PXEClient`, `HTTPClient`, `iPXE`, `udhcp 1.37.0`.
        client: Option<String>,
    },
    /// DHCP: an address was offered.
    Offered {
        /// The address.
        address: Ipv4Addr,
        /// What to boot, if anything: a path or a URL.
        file: Option<String>,
    },
    /// DHCP: an address was leased (the ACK was sent).
    Leased {
        /// The address.
        address: Ipv4Addr,
        /// How long, in seconds.
        seconds: u32,
        /// What to boot, if anything.
        file: Option<String>,
    },
    /// DHCP: the client was told that this server boots it, while another one gives the address.
    ProxyOffered {
        /// What to boot. UEFI firmware asks for it at port 4011.
        file: Option<String>,
    },
    /// DHCP: the client asked the boot server (port 4011) and was told what to boot.
    BootServerAcknowledged {
        /// What to boot.
        file: Option<String>,
        /// The item of the boot menu that it chose.
        item_type: Option<u16>,
    },
    /// DHCP: the client took an address from another server.
    LeasedByOther {
        /// The address.
        address: Ipv4Addr,
        /// The other server, if the client named it.
        server: Option<Ipv4Addr>,
    },
    /// DHCP: the client gave an address back.
    Released {
        /// The address.
        address: Ipv4Addr,
    },
    /// DHCP: the client found the address in use by another machine.
    Declined {
        /// The address.
        address: Ipv4Addr,
    },
    /// DNS: a name answers with the address of the client's lease.
    Named {
        /// The name, without a final dot.
        name: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// The client was told no, or was deliberately not answered.
    Refused {
        /// Why.
        reason: String,
    },
    /// The machine may not boot: it got no boot information (DHCP), or no file.
    Denied {
        /// The path as the client named it, if it asked for one.
        file: Option<String>,
        /// Which rule denies it, and why that rule matched.
        reason: String,
    },
    /// A file's size was asked for, without its content (TFTP `tsize` probe, HTTP HEAD).
    Probed {
        /// The path as the client named it.
        file: String,
        /// The file's length in bytes, if known.
        bytes: Option<u64>,
        /// From the request to the end.
        took: Duration,
    },
    /// A transfer of a file's content began.
    Started {
        /// The path as the client named it.
        file: String,
        /// How many bytes are to be sent, if known.
        bytes: Option<u64>,
    },
    /// A file was sent, and (TFTP) its last block acknowledged.
    Sent {
        /// The path as the client named it.
        file: String,
        /// How many bytes of content.
        bytes: u64,
        /// From the request to the end.
        took: Duration,
    },
    /// A file that does not exist was asked for. Normal for loaders that try several names.
    Missing {
        /// The path as the client named it.
        file: String,
    },
    /// A transfer ended before the end of the file.
    Failed {
        /// The path as the client named it, if the request could be read.
        file: Option<String>,
        /// How many bytes had been sent.
        bytes: u64,
        /// Why.
        reason: String,
    },
    /// NFS: a directory was mounted.
    Mounted {
        /// The path as the client named it.
        path: String,
    },
    /// NFS: a connection of a machine that mounted something has ended.
    Disconnected {
        /// How many calls were answered by it.
        calls: u64,
        /// How many bytes of replies were sent by it.
        bytes: u64,
    },
    /// DNS: a name that was asked for has no address, for this machine at least.
    Unresolved {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Anything else worth a line.
    Note {
        /// A stable name in the manner of [`What::name`].
        name: &'static str,
        /// What a person reads.
        text: String,
    },
}

impl What {
    /// The stable name, as it stands in the log's `event` field.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Offered { .. } => "offered",
            Self::Leased { .. } => "leased",
            Self::ProxyOffered { .. } => "proxy_offered",
            Self::BootServerAcknowledged { .. } => "boot_server_acknowledged",
            Self::LeasedByOther { .. } => "leased_by_other",
            Self::Released { .. } => "released",
            Self::Declined { .. } => "declined",
            Self::Named { .. } => "named",
            Self::Refused { .. } => "refused",
            Self::Denied { .. } => "denied",
            Self::Probed { .. } => "probed",
            Self::Started { .. } => "started",
            Self::Sent { .. } => "sent",
            Self::Missing { .. } => "missing",
            Self::Failed { .. } => "failed",
            Self::Mounted { .. } => "mounted",
            Self::Disconnected { .. } => "disconnected",
            Self::Unresolved { .. } => "unresolved",
            Self::Note { name, .. } => name,
        }
    }

    /// The file it is about, if it is about one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Offered { file, .. }
            | Self::Leased { file, .. }
            | Self::ProxyOffered { file }
            | Self::BootServerAcknowledged { file, .. }
            | Self::Denied { file, .. }
            | Self::Failed { file, .. } => file.as_deref(),
            Self::Probed { file, .. }
            | Self::Started { file, .. }
            | Self::Sent { file, .. }
            | Self::Mounted { path: file }
            | Self::Missing { file } => Some(file),
            _ => None,
        }
    }
}

impl fmt::Display for What {
    /// One short line in words: `sent bios/lpxelinux.0, 42988 bytes in 31 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked {
                message,
                arch,
                client,
            } => {
                f.write_str(message)?;
                match (client, arch) {
                    (Some(client), Some(arch)) => write!(f, " from {client} on {arch}"),
                    (Some(client), None) => write!(f, " from {client}"),
                    (None, Some(arch)) => write!(f, " on {arch}"),
                    (None, None) => Ok(()),
                }
            }
            Self::Offered { address, file } => {
                write!(f, "offered {address}")?;
                boot_file(f, file.as_deref())
            }
            Self::Leased {
                address,
                seconds,
                file,
            } => {
                write!(f, "leased {address} for {seconds} s")?;
                boot_file(f, file.as_deref())
            }
            Self::ProxyOffered { file } => {
                f.write_str("offered a boot server; the address is another server's to give")?;
                boot_file(f, file.as_deref())
            }
            Self::BootServerAcknowledged { file, item_type } => {
                f.write_str("asked the boot server")?;
                if let Some(item_type) = item_type {
                    write!(f, " for item {item_type} of its menu")?;
                }
                boot_file(f, file.as_deref())
            }
            Self::LeasedByOther {
                address,
                server: Some(server),
            } => write!(f, "took {address} from the DHCP server {server}"),
            Self::LeasedByOther {
                address,
                server: None,
            } => write!(f, "took {address} from another DHCP server"),
            Self::Released { address } => write!(f, "released {address}"),
            Self::Declined { address } => {
                write!(f, "declined {address}: another machine answers there")
            }
            Self::Named { name, address } => write!(f, "name {name} -> {address}"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::Denied {
                file: Some(file),
                reason,
            } => write!(f, "{file} is {reason}"),
            Self::Denied { file: None, reason } => write!(f, "boot is {reason}"),
            Self::Probed { file, bytes, .. } => {
                write!(f, "asked the size of {file}")?;
                size(f, *bytes)
            }
            Self::Started { file, bytes } => {
                write!(f, "sending {file}")?;
                size(f, *bytes)
            }
            Self::Sent { file, bytes, took } => {
                write!(f, "sent {file}, {bytes} bytes in {} ms", took.as_millis())
            }
            Self::Missing { file } => write!(f, "no such file: {file}"),
            Self::Failed {
                file,
                bytes,
                reason,
            } => match file {
                Some(file) => write!(f, "{file} failed after {bytes} bytes: {reason}"),
                None => write!(f, "request failed: {reason}"),
            },
            Self::Mounted { path } => write!(f, "mounted {path}"),
            Self::Disconnected { calls, bytes } => {
                write!(f, "disconnected after {calls} calls, {bytes} bytes")
            }
            Self::Unresolved { name, reason } => write!(f, "no address for {name}: {reason}"),
            Self::Note { text, .. } => f.write_str(text),
        }
    }
}

fn boot_file(f: &mut fmt::Formatter<'_>, file: Option<&str>) -> fmt::Result {
    match file {
        Some(file) => write!(f, ", to boot {file}"),
        None => Ok(()),
    }
}

fn size(f: &mut fmt::Formatter<'_>, bytes: Option<u64>) -> fmt::Result {
    match bytes {
        Some(bytes) => write!(f, ", {bytes} bytes"),
        None => Ok(()),
    }
}

/// A text from a peer as it may stand in a log: at most 256 bytes and an ellipsis, each control
/// character as an escape, so that no client can forge a line, drive a terminal or fill the memory.
pub fn printable(text: &str) -> String {
    if is_plain(text.as_bytes()) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len().min(BYTES_MAX));
    for char in text.chars() {
        let whole = clean.len();
        // The two ranges hold the marks that turn the direction of writing around.
        if char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            clean.extend(char.escape_default());
        } else {
            clean.push(char);
        }
        if clean.len() > BYTES_MAX {
            clean.truncate(whole);
            clean.push('…');
            break;
        }
    }
    clean
}

/// The same of a path as it is shown.
pub(crate) fn printable_path(path: &TreePath) -> String {
    let bytes = path.as_bytes();
    // A backslash is shown as two.
    match std::str::from_utf8(bytes) {
        Ok(names) if bytes.len() < BYTES_MAX && is_plain(bytes) && !names.contains('\\') => {
            let mut text = String::with_capacity(1 + names.len());
            text.push('/');
            text.push_str(names);
            text
        }
        _ => printable(&path.to_string()),
    }
}

/// The longest text of a peer that is shown whole.
const BYTES_MAX: usize = 256;

/// Whether a text may stand in a log as it is, as nearly all may: each request has some.
fn is_plain(text: &[u8]) -> bool {
    text.len() <= BYTES_MAX && text.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_forge_a_line() {
        assert_eq!(printable("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(printable("\u{202e}txt"), "\\u{202e}txt");
        assert_eq!(printable(&"x".repeat(256)), "x".repeat(256));
        for long in ["x", "\x01", "é", "\u{202e}"] {
            let clean = printable(&long.repeat(1000));
            assert!(
                clean.ends_with('…') && clean.len() <= 256 + '…'.len_utf8(),
                "{clean}"
            );
        }
    }

    #[test]
    fn paths_are_shown_as_all_texts_are() {
        let long = "x".repeat(254);
        for path in [
            "",
            "boot/menu.cfg",
            "a\\b",
            "a\nb",
            "é",
            "~ x",
            &long,
            &format!("x/{long}"),
            &format!("xx/{long}"),
        ] {
            let path = TreePath::parse(path).expect("valid");
            assert_eq!(printable_path(&path), printable(&path.to_string()));
        }
    }

    #[test]
    fn facts_read_as_sentences() {
        let sent = What::Sent {
            file: "bios/lpxelinux.0".into(),
            bytes: 42_988,
            took: Duration::from_millis(31),
        };
        assert_eq!(
            sent.to_string(),
            "sent bios/lpxelinux.0, 42988 bytes in 31 ms"
        );
        assert_eq!(sent.name(), "sent");
        let asked = What::Asked {
            message: "discover",
            arch: Some("uefi-x64".into()),
            client: Some("PXEClient".into()),
        };
        assert_eq!(asked.to_string(), "discover from PXEClient on uefi-x64");
    }
}
