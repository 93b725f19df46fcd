//! Makes fixtures for pxe-dhcp's tests out of boots that passed: what firmware and loaders sent, and what booted them.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::matrix::Cell;
use crate::network::ADDRESS;
use crate::pcap::{self, Packet};
use crate::wire;

/// Bytes of a message in a line of hexadecimal digits.
const LINE_BYTES: usize = 48;

/// Writes a fixture for each cell, from its newest boot that passed and whose artifacts were kept.
pub(crate) fn make(artifacts: &Path, cells: &[&Cell], to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    for cell in cells {
        let boot = newest(artifacts, &cell.name)?.ok_or_else(|| {
            let name = &cell.name;
            format!("no boot of {name} that passed was kept: `run --keep --only {name}` makes one")
        })?;
        let capture = boot.join("capture.pcap");
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", capture.display());
        let bytes = fs::read(&capture).map_err(|error| at(&error))?;
        let fixture = fixture(&cell.name, &bytes).map_err(|error| at(&error))?;
        let file = to.join(format!("{}.txt", cell.name));
        fs::write(&file, fixture).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{} from {}", file.display(), boot.display());
    }
    Ok(())
}

/// The artifacts of the newest boot of the cell that passed: `CELL-TIME`, where the time begins with a digit.
fn newest(artifacts: &Path, cell: &str) -> Result<Option<PathBuf>, String> {
    let entries = fs::read_dir(artifacts)
        .map_err(|error| format!("cannot read {}: {error}", artifacts.display()))?;
    let mut boots: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let time = name.and_then(|name| name.strip_prefix(cell)?.strip_prefix('-'));
            time.is_some_and(|time| time.starts_with(|first: char| first.is_ascii_digit()))
        })
        .filter(|path| {
            let report = fs::read_to_string(path.join("report.txt")).unwrap_or_default();
            report.starts_with(&format!("== {cell}: passed\n"))
        })
        .collect();
    boots.sort();
    Ok(boots.pop())
}

/// The DHCP messages of the clients, and the answers of the server under test. What other servers said is left out.
fn fixture(cell: &str, capture: &[u8]) -> Result<String, String> {
    let mut text = format!(
        "# What {cell} asked, and the answers with which it booted.\n\
         # Made by `cargo run -p pxe-boot-tests -- fixtures` from a boot in QEMU.\n"
    );
    let mut begin = None;
    for frame in pcap::frames(capture)? {
        let Some(packet) = pcap::packet(frame.bytes)
            .filter(|packet| wire::is_dhcp(packet) && wire::is_of_machine(packet.payload))
        else {
            continue;
        };
        let since = frame.at.saturating_sub(*begin.get_or_insert(frame.at));
        match packet.payload.first() {
            Some(1) => ask(&mut text, since, &packet),
            Some(2) if *packet.source.ip() == ADDRESS => answer(&mut text, &packet),
            _ => {}
        }
    }
    Ok(text)
}

/// `> MILLISECONDS FROM TO`, and the message in hexadecimal digits.
fn ask(text: &mut String, since: Duration, packet: &Packet<'_>) {
    let (from, to) = (packet.source, packet.destination);
    let _ = writeln!(text, "\n> {} {from} {to}", since.as_millis());
    for line in packet.payload.chunks(LINE_BYTES) {
        let _ = writeln!(text, "{}", hex(line));
    }
}

/// `< FROM TO`, the fixed fields that matter, and an option a line, in their order.
fn answer(text: &mut String, packet: &Packet<'_>) {
    let message = packet.payload;
    let _ = writeln!(text, "< {} {}", packet.source, packet.destination);
    let field = |start: usize, len: usize| message.get(start..start + len).unwrap_or_default();
    let address = |start| {
        let octets = field(start, 4).first_chunk::<4>();
        octets.map_or(Ipv4Addr::UNSPECIFIED, |octets| Ipv4Addr::from(*octets))
    };
    let name = |start, len| {
        let name = field(start, len).split(|byte| *byte == 0).next();
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    };
    let _ = writeln!(text, "flags {}", hex(field(10, 2)));
    for (name, start) in [
        ("ciaddr", 12),
        ("yiaddr", 16),
        ("siaddr", 20),
        ("giaddr", 24),
    ] {
        let _ = writeln!(text, "{name} {}", address(start));
    }
    let _ = writeln!(text, "sname {:?}", name(44, 64));
    let _ = writeln!(text, "file {:?}", name(108, 128));
    for (code, value) in wire::dhcp_options(message) {
        let _ = writeln!(text, "{code} {}", shown(value));
    }
}

/// A value as text, if it is one that may end with NUL, or in hexadecimal digits.
fn shown(value: &[u8]) -> String {
    let is_text = value
        .strip_suffix(&[0])
        .unwrap_or(value)
        .iter()
        .all(|byte| (b' '..=b'~').contains(byte));
    match std::str::from_utf8(value) {
        Ok(value) if is_text => format!("{value:?}"),
        _ => hex(value),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::MACHINE;
    use crate::pcap::Transport;
    use crate::pcap::tests::{capture, frame};

    /// A message of this kind: BOOTREQUEST or BOOTREPLY, with options.
    fn message(op: u8, options: &[u8]) -> Vec<u8> {
        let mut message = vec![op];
        message.resize(236, 0);
        message[28..34].copy_from_slice(&MACHINE);
        message.extend([99, 130, 83, 99]);
        message.extend(options);
        message.push(255);
        message
    }

    #[test]
    fn a_fixture_has_the_clients_messages_and_our_answers() {
        let discover = message(1, &[53, 1, 1]);
        let mut offer = message(2, &[53, 1, 2, 67, 2, b'x', 0, 60, 9]);
        offer.truncate(offer.len() - 1);
        offer.extend(b"PXEClient\xff");
        offer[16..20].copy_from_slice(&[10, 77, 0, 30]);
        offer[108] = b'x';
        let frames = [
            frame(
                Transport::Udp,
                "0.0.0.0:68",
                "255.255.255.255:67",
                &discover,
            ),
            frame(Transport::Udp, "10.77.0.2:67", "255.255.255.255:68", &offer),
            frame(Transport::Udp, "10.77.0.1:67", "10.77.0.30:68", &offer),
            frame(
                Transport::Udp,
                "10.77.0.30:2070",
                "10.77.0.1:69",
                b"\0\x01x\0octet\0",
            ),
        ];
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let file = capture(0xa1b2_c3d4, u32::to_le_bytes, &frames);
        let text = fixture("one", &file).unwrap();
        let (asked, answered) = text.split_once("\n< ").unwrap();
        assert!(asked.contains("\n> 0 0.0.0.0:68 255.255.255.255:67\n01000000"));
        assert!(asked.ends_with("63825363\n350101ff"), "{asked}");
        assert_eq!(
            answered,
            "10.77.0.1:67 10.77.0.30:68\nflags 0000\nciaddr 0.0.0.0\nyiaddr 10.77.0.30\n\
             siaddr 0.0.0.0\ngiaddr 0.0.0.0\nsname \"\"\nfile \"x\"\n53 02\n67 \"x\\0\"\n\
             60 \"PXEClient\"\n"
        );
    }

    #[test]
    fn the_newest_boot_that_passed_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        for (name, verdict) in [
            ("ovmf-20261121T000000Z", "passed"),
            ("ovmf-20261121T000001Z", "passed"),
            ("ovmf-20261121T000002Z", "FAILED"),
            ("ovmf-grub-20261121T000003Z", "passed"),
        ] {
            let boot = directory.path().join(name);
            fs::create_dir(&boot).unwrap();
            let cell = name.rsplit_once('-').unwrap().0;
            fs::write(boot.join("report.txt"), format!("== {cell}: {verdict}\n")).unwrap();
        }
        let found = newest(directory.path(), "ovmf").unwrap().unwrap();
        assert!(found.ends_with("ovmf-20261121T000001Z"), "{found:?}");
        assert_eq!(newest(directory.path(), "seabios").unwrap(), None);
    }
}
