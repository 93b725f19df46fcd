//! The kernel's neighbour table: which hardware address answers for an IP address of our links.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;
use pxe_core::MacAddr;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The kernel's own bound on its tables (`gc_thresh3`) is 1024 entries each by default; one has
/// some 80 bytes.
const TABLE_BYTES_MAX: usize = 4 << 20;
/// The kernel fills no more than this at a time (netlink(7)).
const BUFFER_BYTES: usize = 32 << 10;
/// The kernel answers at once; this is in case that it does not.
const PATIENCE_SECONDS: i64 = 1;
/// The table is read no more often than this, however many strangers ask.
const READ_INTERVAL: Duration = Duration::from_millis(50);

type Table = HashMap<IpAddr, MacAddr>;

/// Reads the table on a thread that may block, and for many who ask at once.
pub(crate) struct Neighbours {
    read: fn() -> io::Result<Table>,
    latest: Mutex<Option<Snapshot>>,
}

/// What the kernel knew at a time.
#[derive(Debug)]
struct Snapshot {
    taken: Instant,
    macs: Table,
}

impl Neighbours {
    /// The neighbour table of this network namespace.
    pub(crate) fn of_kernel() -> Self {
        Self::read_by(of_kernel)
    }

    fn read_by(read: fn() -> io::Result<Table>) -> Self {
        Self {
            read,
            latest: Mutex::default(),
        }
    }

    /// The hardware address that answers for this address, if the kernel knows it.
    ///
    /// The client spoke a moment ago, so the kernel has met it: what was read before it asked does
    /// not tell, and what was read since does.
    pub(crate) async fn mac_of(&self, ip: IpAddr) -> Option<MacAddr> {
        let asked = Instant::now();
        let mut latest = self.latest.lock().await;
        if let Some(snapshot) = &*latest {
            if snapshot.taken >= asked {
                return snapshot.macs.get(&ip).copied();
            }
            tokio::time::sleep_until(snapshot.taken + READ_INTERVAL).await;
        }
        let taken = Instant::now();
        let read = tokio::task::spawn_blocking(self.read).await;
        // A table that cannot be read is one without entries: the client is judged without it.
        let macs = match read {
            Ok(Ok(macs)) => macs,
            Ok(Err(error)) => {
                tracing::debug!(event = "neighbours", "no neighbour table: {error}");
                Table::default()
            }
            Err(_) => Table::default(),
        };
        let mac = macs.get(&ip).copied();
        *latest = Some(Snapshot { taken, macs });
        mac
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neighbours").finish_non_exhaustive()
    }
}

/// Asks the kernel for its tables of IPv4 and IPv6 (rtnetlink(7), `RTM_GETNEIGH`).
fn of_kernel() -> io::Result<Table> {
    let socket: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(PATIENCE_SECONDS, 0))?;
    send(socket.as_raw_fd(), &request(), MsgFlags::empty())?;
    let (mut table, mut bytes) = (Table::new(), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    while bytes < TABLE_BYTES_MAX {
        let len = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        bytes += len.max(1);
        if !take_in(&mut table, buffer.get(..len).unwrap_or_default()) {
            break;
        }
    }
    Ok(table)
}

/// A `nlmsghdr` and an empty `ndmsg`: all entries of all families.
fn request() -> Vec<u8> {
    const LEN: u32 = 28;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP).unsigned_abs() as u16;
    let mut request = LEN.to_ne_bytes().to_vec();
    request.extend(libc::RTM_GETNEIGH.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    // Sequence number, port, and 12 octets that say "any".
    request.extend([0; 20]);
    request
}

/// Takes in the messages of one reading; `false` after the last one.
fn take_in(table: &mut Table, mut rest: &[u8]) -> bool {
    while let Some((header, _)) = rest.split_first_chunk::<16>() {
        let [a, b, c, d, kind @ ..] = *header;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        let kind = u16::from_ne_bytes([kind[0], kind[1]]);
        let Some(body) = rest.get(16..len) else {
            return false;
        };
        if kind != libc::RTM_NEWNEIGH {
            // NLMSG_DONE or NLMSG_ERROR: nothing else answers.
            return false;
        }
        table.extend(entry(body));
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

/// A `ndmsg` and its attributes, if it is an entry that the kernel is sure of, or was once.
fn entry(body: &[u8]) -> Option<(IpAddr, MacAddr)> {
    let (head, mut attributes) = body.split_first_chunk::<12>()?;
    let state = u16::from_ne_bytes([head[8], head[9]]);
    const UNKNOWN: u16 = libc::NUD_INCOMPLETE | libc::NUD_FAILED;
    if state == libc::NUD_NONE || state & UNKNOWN != 0 {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    while let Some((head, _)) = attributes.split_first_chunk::<4>() {
        let [a, b, c, d] = *head;
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..len)?;
        match u16::from_ne_bytes([c, d]) {
            libc::NDA_DST => ip = address(value),
            libc::NDA_LLADDR => mac = <[u8; 6]>::try_from(value).ok().map(MacAddr::new),
            _ => {}
        }
        attributes = attributes
            .get(len.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    // Loopback's own entries have zeros.
    Some((ip?, mac.filter(|mac| mac.octets() != [0; 6])?))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(octets).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn mac(last: u8) -> MacAddr {
        MacAddr::new([0x52, 0x54, 0, 0, 0, last])
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(16 + body.len()).expect("short");
        let mut message = len.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    fn neighbour(state: u16, ip: &[u8], mac: &[u8]) -> Vec<u8> {
        let mut body = vec![0; 8];
        body.extend(state.to_ne_bytes());
        body.extend([0; 2]);
        for (kind, value) in [(libc::NDA_DST, ip), (libc::NDA_LLADDR, mac)] {
            let len = u16::try_from(4 + value.len()).expect("short");
            body.extend(len.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        message(libc::RTM_NEWNEIGH, &body)
    }

    #[test]
    fn entries_of_both_families_are_read() {
        let v6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        let mut bytes = neighbour(libc::NUD_REACHABLE, &[10, 0, 0, 1], &mac(1).octets());
        bytes.extend(neighbour(libc::NUD_STALE, &v6.octets(), &mac(2).octets()));
        bytes.extend(neighbour(
            libc::NUD_FAILED,
            &[10, 0, 0, 3],
            &mac(3).octets(),
        ));
        bytes.extend(neighbour(libc::NUD_NOARP, &[127, 0, 0, 1], &[0; 6]));
        let mut table = Table::new();
        assert!(take_in(&mut table, &bytes), "more may follow");
        let expected = [
            (IpAddr::from([10, 0, 0, 1]), mac(1)),
            (IpAddr::from(v6), mac(2)),
        ];
        assert_eq!(table, Table::from(expected));
        assert!(!take_in(&mut table, &message(3, &[0; 4])), "that is all");
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let whole = neighbour(libc::NUD_REACHABLE, &[10, 0, 0, 1], &mac(1).octets());
        for len in 0..whole.len() {
            let mut table = Table::new();
            take_in(&mut table, &whole[..len]);
            assert!(table.is_empty(), "{len}");
        }
        for octet in 0..whole.len() {
            // Whatever a length says, it is read to its end.
            for value in [0, 1, 0xff] {
                let mut broken = whole.clone();
                broken[octet] = value;
                take_in(&mut Table::new(), &broken);
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_came_after_the_last_reading_is_found() {
        static LAST: AtomicU8 = AtomicU8::new(1);
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let neighbours = Neighbours::read_by(|| {
            let last = LAST.load(Ordering::SeqCst);
            Ok(Table::from([(IpAddr::from([10, 0, 0, last]), mac(last))]))
        });
        assert_eq!(neighbours.mac_of(ip(1)).await, Some(mac(1)));
        assert_eq!(neighbours.mac_of(ip(2)).await, None);
        LAST.store(2, Ordering::SeqCst);
        assert_eq!(neighbours.mac_of(ip(2)).await, Some(mac(2)));
        assert_eq!(neighbours.mac_of(ip(1)).await, None);
    }

    #[tokio::test]
    async fn a_table_that_cannot_be_read_has_no_entries() {
        let neighbours = Neighbours::read_by(|| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(neighbours.mac_of([10, 0, 0, 1].into()).await, None);
    }
}
