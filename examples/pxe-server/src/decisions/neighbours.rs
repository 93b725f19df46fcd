//! The kernel's neighbour table: which hardware address answers for an IP address of our links.

use std::collections::HashMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pxe_core::MacAddr;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The kernel's own bound on its table (`gc_thresh3`) is 1024 by default; a line has 80 bytes.
const TABLE_BYTES_MAX: u64 = 4 << 20;
/// The table is read no more often than this, however many strangers ask.
const READ_INTERVAL: Duration = Duration::from_millis(50);

/// Reads `/proc/net/arp`, on a thread that may block, and for many who ask at once.
#[derive(Debug)]
pub(crate) struct Neighbours {
    file: PathBuf,
    latest: Mutex<Option<Snapshot>>,
}

/// What the kernel knew at a time.
#[derive(Debug)]
struct Snapshot {
    taken: Instant,
    macs: HashMap<Ipv4Addr, MacAddr>,
}

impl Neighbours {
    /// The neighbour table of this network namespace.
    pub(crate) fn of_kernel() -> Self {
        Self::of_file("/proc/net/arp")
    }

    /// The same from another file of that form.
    fn of_file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            latest: Mutex::default(),
        }
    }

    /// The hardware address that answers for this address, if the kernel knows it.
    ///
    /// The client spoke a moment ago, so the kernel has met it: what was read before it asked does
    /// not tell, and what was read since does.
    pub(crate) async fn mac_of(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        let asked = Instant::now();
        let mut latest = self.latest.lock().await;
        if let Some(snapshot) = &*latest {
            if snapshot.taken >= asked {
                return snapshot.macs.get(&ip).copied();
            }
            tokio::time::sleep_until(snapshot.taken + READ_INTERVAL).await;
        }
        let taken = Instant::now();
        let file = self.file.clone();
        let macs = tokio::task::spawn_blocking(move || read(&file)).await;
        // A table that cannot be read is one without entries: the client is judged without it.
        let macs = macs.unwrap_or_default();
        let mac = macs.get(&ip).copied();
        *latest = Some(Snapshot { taken, macs });
        mac
    }
}

fn read(file: &Path) -> HashMap<Ipv4Addr, MacAddr> {
    let mut text = String::new();
    match std::fs::File::open(file) {
        Ok(file) => {
            // Whole lines that came before an error are good.
            let _ = file.take(TABLE_BYTES_MAX).read_to_string(&mut text);
        }
        Err(error) => {
            tracing::debug!(event = "neighbours", "{}: {error}", file.display());
        }
    }
    text.lines().filter_map(entry).collect()
}

/// A line of `/proc/net/arp` (Linux, net/ipv4/arp.c, `arp_format_neigh_entry`): address, hardware
/// type, flags, hardware address, mask, device. An incomplete entry has no `ATF_COM` (2).
fn entry(line: &str) -> Option<(Ipv4Addr, MacAddr)> {
    let mut words = line.split_whitespace();
    let ip = words.next()?.parse().ok()?;
    let _hardware_type = words.next()?;
    let flags = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let mac = words.next()?.parse().ok()?;
    (flags & 2 != 0).then_some((ip, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "IP address       HW type     Flags       HW address            Mask     Device\n";

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let line = "10.78.0.100      0x1         0x2         52:54:00:12:34:56     *        br0";
        let mac = MacAddr::new([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(entry(line), Some(([10, 78, 0, 100].into(), mac)));
        assert_eq!(entry(&line.replace("0x2", "0x0")), None, "incomplete");
        assert_eq!(entry(HEAD.trim_end()), None);
        assert_eq!(entry(""), None);
        assert_eq!(entry("10.78.0.100 0x1"), None);
    }

    #[tokio::test]
    async fn a_client_that_came_after_the_last_reading_is_found() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let write = |lines: &str| {
            std::fs::write(file.path(), format!("{HEAD}{lines}")).expect("writable");
        };
        let (first, second) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        write("10.0.0.1 0x1 0x2 52:54:00:00:00:01 * br0\n");
        let neighbours = Neighbours::of_file(file.path());
        let mac = |last| MacAddr::new([0x52, 0x54, 0, 0, 0, last]);
        assert_eq!(neighbours.mac_of(first).await, Some(mac(1)));
        assert_eq!(neighbours.mac_of(second).await, None);
        write("10.0.0.2 0x1 0x2 52:54:00:00:00:02 * br0\n");
        assert_eq!(neighbours.mac_of(second).await, Some(mac(2)));
        assert_eq!(neighbours.mac_of(first).await, None);
    }

    #[tokio::test]
    async fn a_table_that_cannot_be_read_has_no_entries() {
        let neighbours = Neighbours::of_file("/nonexistent");
        assert_eq!(neighbours.mac_of([10, 0, 0, 1].into()).await, None);
    }
}
