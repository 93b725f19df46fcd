//! The network interfaces, and how many processors each delivers packets to.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interface {
    /// Packets go on at the processor that sent them, as they come from this machine: `lo`, a
    /// bridge, a tunnel, a `veth` with both ends here.
    Virtual,
    /// Packets come from outside: from a network card, or from another network namespace, where a
    /// card may be behind it.
    Outer(Vec<Queue>),
    /// Nothing is known of it.
    Unknown,
}

/// One of an interface's queues of received packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    /// The processors that receive packet steering has its packets go to, by bits, up to number 31;
    /// with none, they stay at the one that is interrupted for this queue.
    steered_to: u32,
}

impl Interface {
    /// Whether it can deliver packets to so many processors, which have the first numbers.
    fn delivers_to(&self, processors: usize) -> bool {
        let queues = match self {
            Self::Virtual => return true,
            Self::Outer(queues) => queues,
            Self::Unknown => return false,
        };
        let steered = queues.iter().map(|queue| queue.steered_to);
        let steered = steered.fold(0, |all, one| all | one);
        let numbers = 0..u32::BITS.min(u32::try_from(processors).unwrap_or(u32::MAX));
        let steered = numbers
            .filter(|number| steered & (1 << number) != 0)
            .count();
        let not_steered = queues.iter().filter(|queue| queue.steered_to == 0).count();
        steered + not_steered >= processors
    }
}

/// Whether each network interface of this network namespace can deliver packets to so many
/// processors, which have the first numbers.
///
/// One that is down counts too: the server may be started before the network is.
pub(super) fn all_deliver_to(processors: usize) -> bool {
    let Ok(addresses) = getifaddrs() else {
        return false;
    };
    // Each of them has at least an address of its link layer. Others may have labels (`eth0:1`).
    let name = |label: &str| label.split(':').next().map(str::to_owned);
    let names: BTreeSet<_> = addresses
        .filter_map(|address| name(&address.interface_name))
        .collect();
    let sysfs = Path::new("/sys/class/net");
    let interface = |name: &String| {
        let index = if_nametoindex(name.as_str()).ok()?;
        read(&sysfs.join(name), index).ok()
    };
    let mut interfaces = (names.iter()).map(|name| interface(name).unwrap_or(Interface::Unknown));
    !names.is_empty() && interfaces.all(|interface| interface.delivers_to(processors))
}

/// What sysfs says in this directory of the interface with that index.
fn read(directory: &Path, index: u32) -> io::Result<Interface> {
    let number = |file| -> io::Result<u32> {
        let text = fs::read_to_string(directory.join(file))?;
        text.trim()
            .parse()
            .map_err(|_| io::ErrorKind::InvalidData.into())
    };
    // Else it is the one of that name in another network namespace, whose sysfs is mounted here.
    if number("ifindex")? != index {
        return Ok(Interface::Unknown);
    }
    if !has_device(directory)? {
        let link = number("iflink")?;
        // A `veth` has the index of its other end, and a VLAN that of its card. Only a card that is
        // in this network namespace has a name too, and counts for itself.
        if link == 0 || link == index || has_lower(directory)? {
            return Ok(Interface::Virtual);
        }
    }
    let mut queues = Vec::new();
    for entry in fs::read_dir(directory.join("queues"))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"rx-") {
            let mask = fs::read_to_string(entry.path().join("rps_cpus"))?;
            queues.push(queue_of(&mask).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(Interface::Outer(queues))
}

/// Whether it is that of a network card.
fn has_device(directory: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(directory.join("device")) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether it lies upon another interface of this network namespace.
fn has_lower(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name().as_encoded_bytes().starts_with(b"lower_") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A mask is of groups of 32 bits in hexadecimal digits, the last one for the first processors.
fn queue_of(mask: &str) -> Option<Queue> {
    let group = mask.trim().rsplit(',').next()?;
    let steered_to = u32::from_str_radix(group, 16).ok()?;
    Some(Queue { steered_to })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn card(masks: &[u32]) -> Interface {
        let queues = masks.iter().map(|&steered_to| Queue { steered_to });
        Interface::Outer(queues.collect())
    }

    #[test]
    fn a_card_delivers_to_as_many_processors_as_it_has_queues() {
        assert!(!card(&[]).delivers_to(2));
        assert!(!card(&[0]).delivers_to(2));
        assert!(card(&[0, 0]).delivers_to(2));
        assert!(!card(&[0, 0]).delivers_to(4));
        assert!(card(&[0; 8]).delivers_to(4));
    }

    #[test]
    fn receive_packet_steering_delivers_to_the_processors_of_its_masks() {
        assert!(card(&[0b11]).delivers_to(2));
        assert!(!card(&[0b11]).delivers_to(4));
        assert!(card(&[0b0011, 0b1100]).delivers_to(4));
        assert!(card(&[0xffff]).delivers_to(16));
        // Those of other processors are nothing to the threads.
        assert!(!card(&[0b1100]).delivers_to(2));
        // All queues to one processor.
        assert!(!card(&[0b1, 0b1]).delivers_to(2));
    }

    #[test]
    fn what_is_virtual_delivers_to_all_and_what_is_unknown_to_none() {
        assert!(Interface::Virtual.delivers_to(16));
        assert!(!Interface::Unknown.delivers_to(2));
    }

    /// A directory as sysfs has it for an interface with index 3.
    fn directory(link: u32, masks: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text);
        write("ifindex", "3\n").expect("a file");
        write("iflink", &format!("{link}\n")).expect("a file");
        fs::create_dir_all(directory.path().join("queues/tx-0")).expect("a directory");
        for (number, mask) in masks.iter().enumerate() {
            let queue = format!("queues/rx-{number}");
            fs::create_dir(directory.path().join(&queue)).expect("a directory");
            write(&format!("{queue}/rps_cpus"), mask).expect("a file");
        }
        directory
    }

    #[test]
    fn a_card_is_told_from_what_is_virtual() {
        let read = |directory: &tempfile::TempDir| read(directory.path(), 3).ok();
        let local = directory(3, &["0\n"]);
        assert_eq!(read(&local), Some(Interface::Virtual));
        symlink("../../../virtio2", local.path().join("device")).expect("a link");
        assert_eq!(read(&local), Some(card(&[0])));
        assert_eq!(read(&directory(0, &["0\n"])), Some(Interface::Virtual));

        // The other end of a `veth` is elsewhere.
        let veth = directory(7, &["00000001,00000003\n"]);
        assert_eq!(read(&veth), Some(card(&[3])));
        let vlan = directory(2, &["0\n"]);
        symlink("../eth0", vlan.path().join("lower_eth0")).expect("a link");
        assert_eq!(read(&vlan), Some(Interface::Virtual));
    }

    #[test]
    fn what_sysfs_does_not_tell_is_not_guessed() {
        let elsewhere = directory(3, &["0\n"]);
        assert_eq!(read(elsewhere.path(), 4).ok(), Some(Interface::Unknown));
        assert!(read(&elsewhere.path().join("missing"), 3).is_err());
        assert!(read(directory(7, &["none\n"]).path(), 3).is_err());
        assert_eq!(
            queue_of("ffffffff,00000002\n"),
            Some(Queue { steered_to: 2 })
        );
        assert_eq!(queue_of(""), None);
    }
}
