//! `pxe-server demo`: machines that boot from this server, all in one process.
//!
//! The servers are those of `serve`, on loopback and on ports that need no privileges. The machines
//! are virtual, and compare every byte they get.

mod client;
mod files;
mod servers;

use std::io::{self, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pxe_core::MacAddr;

use self::client::{BIOS, Booted, Failure, Firmware, Network, UEFI_X64, VirtualMachine};
use self::files::{BROKEN_KERNEL, BROKEN_LABEL, Files, INITRD, KERNEL};
use self::servers::{POOL, ServerError, Servers};
use crate::machines::Machines;
use crate::timeline::{Standing, Timeline, rate, size};

/// The address of the servers.
const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The address of the machines' relay.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long the servers may take to say what the machines saw long ago.
const TIMELINE_WAIT: Duration = Duration::from_secs(10);

/// The command line of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep serving after the boots, until interrupted
    #[arg(long)]
    stay: bool,
    /// Turn one bit of this file around before it is served, to see that the machines notice
    #[arg(long, value_name = "FILE", hide = true)]
    corrupt: Option<String>,
}

/// Runs the demo. Successful if every machine did what it should.
pub(crate) fn run(args: &Args) -> ExitCode {
    match demonstrate(args, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads on (`demo | head`): there is no one to tell.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "{address} cannot be used on this machine's loopback: {source}; the demo needs 127.0.0.1, \
         127.0.0.2 and 127.0.0.30 to 127.0.0.39 (Linux has all of them once lo is up: ip link set lo up; \
         macOS: ifconfig lo0 alias {address} up)"
    )]
    Loopback {
        address: Ipv4Addr,
        source: io::Error,
    },
    #[error(transparent)]
    Servers(#[from] ServerError),
    #[error("no file {0:?} in the demo's tree")]
    NoSuchFile(String),
    #[error("{machine} did not boot: {failure}")]
    Boot {
        machine: &'static str,
        failure: Failure,
    },
    #[error("{machine} booted a kernel that is not in the tree")]
    Ghost { machine: &'static str },
    #[error("{machine} booted, but its timeline says: {standing}")]
    Timeline {
        machine: &'static str,
        standing: Standing,
    },
    #[error("output could not be written: {0}")]
    Output(#[from] io::Error),
}

/// Boots the machines one after the other, and tells of each.
fn demonstrate(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    check_loopback()?;
    let servers = Servers::start()?;
    let expected = Files::new(&servers.http().to_string());
    let mut served = expected.clone();
    if let Some(path) = &args.corrupt
        && !served.corrupt(path)
    {
        return Err(Error::NoSuchFile(path.clone()));
    }
    servers.publish(&served)?;
    let stage = Stage {
        servers: &servers,
        expected: &expected,
    };
    writeln!(
        out,
        "A network inside this process: DHCP at {}, TFTP at {}, HTTP at {}",
        servers.dhcp(),
        servers.tftp(),
        servers.http()
    )?;
    let began = Instant::now();
    let bios = stage.boot(&BIOS, 1, out)?;
    let uefi = stage.boot(&UEFI_X64, 2, out)?;
    stage.stay_black(&BIOS, 3, out)?;
    let files = bios.files + uefi.files;
    let bytes = bios.bytes + uefi.bytes;
    writeln!(
        out,
        "\nbooted: 2 machines, {files} files, {} in {:.1} s, every byte verified",
        size(bytes),
        began.elapsed().as_secs_f64()
    )?;
    if args.stay {
        let interrupts = servers.catch_interrupts()?;
        writeln!(
            out,
            "\nStill serving. Fetch something:\n  \
               curl -o /dev/null tftp://{tftp}/bios/lpxelinux.0\n  \
               curl -o /dev/null http://{http}/{KERNEL}\n  \
               curl -r 0-99 -o /dev/null http://{http}/{INITRD}\n\
             Ctrl-C ends it.",
            tftp = servers.tftp(),
            http = servers.http()
        )?;
        out.flush()?;
        servers.wait_for(interrupts);
    }
    servers.stop()?;
    Ok(())
}

/// Whether all addresses are ours, and lo is up: binding alone does not tell that.
fn check_loopback() -> Result<(), Error> {
    for address in [SERVER, POOL[0], POOL[1], RELAY] {
        let unusable = |source| Error::Loopback { address, source };
        let server = UdpSocket::bind((SERVER, 0)).map_err(unusable)?;
        let to = server.local_addr().map_err(unusable)?;
        let from = UdpSocket::bind((address, 0)).map_err(unusable)?;
        from.send_to(b"", to).map_err(unusable)?;
    }
    Ok(())
}

/// What all machines share.
struct Stage<'a> {
    servers: &'a Servers,
    expected: &'a Files,
}

impl Stage<'_> {
    /// A machine that boots; its timeline is shown in any case.
    fn boot(
        &self,
        firmware: &'static Firmware,
        number: u8,
        out: &mut dyn Write,
    ) -> Result<Booted, Error> {
        let machine = firmware.name;
        let mac = mac(number);
        writeln!(out, "\n{mac}, {machine}")?;
        let began = Instant::now();
        let result = self.power_on(firmware, mac, None);
        let took = began.elapsed();
        // A boot that failed is shown as it is: there is nothing to wait for.
        let is_started = |standing: &Standing| matches!(standing, Standing::Started { .. });
        let is_due = |standing: &Standing| result.is_err() || is_started(standing);
        let standing = self.show(mac, is_due, out)?;
        let booted = result.map_err(|failure| Error::Boot { machine, failure })?;
        if !is_started(&standing) {
            return Err(Error::Timeline { machine, standing });
        }
        writeln!(
            out,
            "  {} files, {}, {} over all, every byte verified",
            booted.files,
            size(booted.bytes),
            rate(booted.bytes, took)
        )?;
        Ok(booted)
    }

    /// A machine on which someone chooses an entry whose kernel is not there. All that a person
    /// sees on its screen is that nothing happens; the timeline has to say why.
    fn stay_black(
        &self,
        firmware: &'static Firmware,
        number: u8,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let machine = firmware.name;
        let mac = mac(number);
        writeln!(
            out,
            "\n{mac}, {machine}: someone chooses \"{BROKEN_LABEL}\", and the screen stays black. Why?"
        )?;
        let result = self.power_on(firmware, mac, Some(BROKEN_LABEL));
        let explains = |standing: &Standing| matches!(standing, Standing::Stopped { why, .. } if why.contains(BROKEN_KERNEL));
        let is_expected = result.as_ref().is_err_and(Failure::is_not_found);
        let standing = self.show(mac, |standing| !is_expected || explains(standing), out)?;
        match result {
            Ok(_) => Err(Error::Ghost { machine }),
            Err(failure) if !failure.is_not_found() => Err(Error::Boot { machine, failure }),
            Err(_) if !explains(&standing) => Err(Error::Timeline { machine, standing }),
            Err(_) => Ok(()),
        }
    }

    fn power_on(
        &self,
        firmware: &Firmware,
        mac: MacAddr,
        choice: Option<&str>,
    ) -> Result<Booted, Failure> {
        let machine = VirtualMachine {
            firmware,
            mac: mac.octets(),
            choice,
        };
        machine.boot(&Network {
            dhcp: self.servers.dhcp(),
            relay: self.servers.relay(),
            giaddr: RELAY,
            tftp_port: self.servers.tftp().port(),
            expected: self.expected,
        })
    }

    /// Shows a machine's timeline as soon as its boot stands where it should, or after a while.
    fn show(
        &self,
        mac: MacAddr,
        is_due: impl Fn(&Standing) -> bool,
        out: &mut dyn Write,
    ) -> Result<Standing, Error> {
        let machines: &Machines = self.servers.machines();
        let deadline = Instant::now() + TIMELINE_WAIT;
        loop {
            let mut machine = machines.by_mac(mac);
            let timeline = match &mut machine {
                Some(machine) => Timeline::of_machine(machine),
                None => Timeline::of(&[], 0),
            };
            let standing = timeline.standing();
            if is_due(&standing) || Instant::now() >= deadline {
                writeln!(out, "{timeline}")?;
                return Ok(standing);
            }
            // The server tells of a transfer a moment after the machine has its last byte.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Addresses of the demo's machines: locally administered, so that they are nobody's.
const fn mac(number: u8) -> MacAddr {
    MacAddr::new([0x52, 0x54, 0x00, 0xde, 0x30, number])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(corrupt: Option<&str>) -> (Result<(), Error>, String) {
        let args = Args {
            stay: false,
            corrupt: corrupt.map(str::to_owned),
        };
        let mut out = Vec::new();
        let result = demonstrate(&args, &mut out);
        (result, String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn machines_boot_and_a_black_screen_is_explained() {
        let (result, out) = output(None);
        assert!(result.is_ok(), "{result:?}\n{out}");
        let last = out.lines().last().expect("a line");
        assert!(last.starts_with("booted: 2 machines, 12 files, "), "{last}");
        assert!(last.ends_with(", every byte verified"), "{last}");
        assert!(out.contains("stopped at step 4 of 5 (kernel): "), "{out}");
        for line in [
            "sent bios/lpxelinux.0 ",
            "sent efi64/syslinux.efi ",
            "pxelinux.cfg/default ",
        ] {
            assert!(out.contains(line), "{line:?} is not in:\n{out}");
        }
    }

    /// Without this, nothing would show that the machines look at what they get.
    #[test]
    fn one_wrong_bit_fails_the_demo() {
        for (file, transfer) in [
            ("efi64/syslinux.efi", "tftp efi64/syslinux.efi"),
            (INITRD, "http "),
        ] {
            let (result, out) = output(Some(file));
            let error = result.expect_err("a bit was wrong").to_string();
            assert!(
                error.contains("did not boot: ") && error.contains(transfer),
                "{error}"
            );
            assert!(error.ends_with("is not what was served"), "{error}");
            assert!(!out.contains("booted: "), "{out}");
        }
        let (result, _) = output(Some("bios/nothing"));
        assert!(matches!(result, Err(Error::NoSuchFile(_))));
    }
}
