//! The timeline of a machine: what it did since it was switched on, and where its boot stands.

use std::fmt;
use std::time::Duration;

use pxe_core::Instant;

use crate::fact::{Fact, What};
use crate::machines::Machine;

/// The last boot of a machine, to be shown: a line per fact, then where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline<'a> {
    facts: &'a [Fact],
    /// Facts of this boot that are no longer remembered.
    forgotten: u64,
}

/// The steps of a boot by PXE, in the order in which every machine takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Address,
    Loader,
    Menu,
    Kernel,
    Initrd,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::Address,
        Self::Loader,
        Self::Menu,
        Self::Kernel,
        Self::Initrd,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Loader => "loader",
            Self::Menu => "menu",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }

    /// The step after this one; the last one has none.
    fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }

    /// What a file is fetched for, judged by its name; `None` if the name says nothing.
    ///
    /// Names are those of the loaders (`doc/pxelinux.txt`), of distributions' install trees
    /// (`linux`, `vmlinuz`, `initrd.gz`, `initramfs-lts`), and of iPXE scripts.
    fn of_file(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path);
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let begins = |begins: &[&str]| begins.iter().any(|begin| name.starts_with(begin));
        if path.contains("pxelinux.cfg/") || ends(&[".cfg", ".ipxe", ".conf"]) {
            Some(Self::Menu)
        } else if name.contains("initrd") || name.contains("initramfs") {
            Some(Self::Initrd)
        } else if begins(&["vmlinu", "linux", "bzimage", "kernel"]) {
            Some(Self::Kernel)
        } else if ends(&[
            ".0", ".efi", ".c32", ".e32", ".e64", ".kpxe", ".kkpxe", ".pxe", ".lkrn",
        ]) {
            Some(Self::Loader)
        } else {
            None
        }
    }
}

impl fmt::Display for Step {
    /// `step 4 of 5 (kernel)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = *self as usize + 1;
        write!(
            f,
            "step {number} of {} ({})",
            Self::ALL.len(),
            self.as_str()
        )
    }
}

/// Where a boot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing was heard of the machine.
    Silent,
    /// On its way: the step it is at, and the last that was seen of it.
    Underway { step: Step, last: String },
    /// The last that happened was a refusal or a failure, and the machine did nothing since.
    Stopped { step: Step, why: String },
    /// It has a kernel and an initrd: from here on the system's own programs speak. The kernel's path
    /// tells which system it is, and of which image.
    Started { kernel: String },
    /// Its system has mounted this directory by NFS.
    Mounted { path: String },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing was heard of it"),
            Self::Underway { step, last } => write!(f, "at {step}, after: {last}"),
            Self::Stopped { step, why } => write!(f, "stopped at {step}: {why}"),
            Self::Started { kernel } => {
                write!(
                    f,
                    "kernel and initrd are loaded, the system starts: {kernel}"
                )
            }
            Self::Mounted { path } => write!(f, "the system runs, with {path} mounted by NFS"),
        }
    }
}

impl<'a> Timeline<'a> {
    /// The last boot among `facts`, oldest first; `forgotten` facts came before these.
    pub(crate) fn of(facts: &'a [Fact], forgotten: u64) -> Self {
        let start = last_power_on(facts);
        Self {
            facts: &facts[start..],
            forgotten: if start == 0 { forgotten } else { 0 },
        }
    }

    /// The last boot of a machine. The facts must lie in one piece: see
    /// [`make_contiguous`](std::collections::VecDeque::make_contiguous).
    pub(crate) fn of_machine(machine: &'a mut Machine) -> Self {
        let forgotten = machine.facts_forgotten;
        Self::of(machine.facts.make_contiguous(), forgotten)
    }

    /// Where the boot stands.
    pub(crate) fn standing(&self) -> Standing {
        // A transfer's end is told when the last ACK was read, by when the machine may have asked
        // for more: what it did last is what it began last.
        let Some(last) = self.facts.iter().max_by_key(|fact| begun(fact)) else {
            return Standing::Silent;
        };
        let mut step = Step::Address;
        let mut kernel = None;
        let mut initrd = false;
        for fact in self.facts {
            let reached = match &fact.what {
                What::Leased { file: Some(_), .. }
                | What::ProxyOffered { file: Some(_) }
                | What::BootServerAcknowledged { file: Some(_), .. } => Some(Step::Loader),
                What::Sent { file, .. } => {
                    let fetched = Step::of_file(file);
                    if fetched == Some(Step::Kernel) {
                        kernel = Some(file);
                    }
                    initrd |= fetched == Some(Step::Initrd);
                    // A loader fetches modules before its menu: only the next kind of file shows
                    // that it got further.
                    fetched
                        .filter(|step| *step != Step::Loader)
                        .and_then(Step::next)
                }
                What::Started { file, .. } => Step::of_file(file),
                _ => None,
            };
            step = step.max(reached.unwrap_or(step));
        }
        let at = |file: Option<&str>| file.and_then(Step::of_file).unwrap_or(step);
        let mounted = self.facts.iter().rev().find_map(|fact| match &fact.what {
            What::Mounted { path } => Some(path),
            _ => None,
        });
        if let Some(path) = mounted.filter(|_| !is_trouble(&last.what)) {
            let path = path.clone();
            return Standing::Mounted { path };
        }
        if let Some(kernel) = kernel.filter(|_| initrd && !is_trouble(&last.what)) {
            let kernel = kernel.clone();
            return Standing::Started { kernel };
        }
        match &last.what {
            What::Missing { file } => Standing::Stopped {
                step: at(Some(file)),
                why: format!("{file} is not in the tree"),
            },
            What::Failed { file, .. } => Standing::Stopped {
                step: at(file.as_deref()),
                why: last.what.to_string(),
            },
            What::Refused { reason } => Standing::Stopped {
                step,
                why: reason.clone(),
            },
            What::Denied { file, .. } => Standing::Stopped {
                step: at(file.as_deref()),
                why: last.what.to_string(),
            },
            // While it boots: a system that runs asks for many names that there are not, so this
            // is no trouble of one that has started.
            What::Unresolved { .. } => Standing::Stopped {
                step,
                why: last.what.to_string(),
            },
            what => Standing::Underway {
                step,
                last: what.to_string(),
            },
        }
    }

    /// The lines, without where it stands, in the order in which things began.
    fn lines(&self) -> Vec<Line> {
        let power_on = self
            .facts
            .first()
            .map_or(Instant::EPOCH, |fact| fact.at.mono);
        let mut facts: Vec<&Fact> = self.facts.iter().collect();
        facts.sort_by_key(|fact| begun(fact));
        let mut lines: Vec<Line> = Vec::new();
        let mut misses = 0_usize;
        for fact in facts {
            match &fact.what {
                // Its end says all that its beginning does.
                What::Started { file, .. }
                    if self.facts.iter().any(|end| ends(end, fact, file)) =>
                {
                    continue;
                }
                What::Missing { .. } => misses += 1,
                _ => misses = 0,
            }
            let line = Line::of(fact, power_on);
            match lines.last_mut() {
                // PXELINUX tries up to ten names before its default: the first and the last tell.
                Some(last) if misses > 2 => {
                    let before = misses - 2;
                    last.what =
                        format!("no such file: … {} (and {before} names before)", line.file);
                    last.after = line.after;
                }
                _ => lines.push(line),
            }
        }
        lines
    }
}

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.forgotten > 0 {
            writeln!(f, "  ({} older facts are forgotten)", self.forgotten)?;
        }
        let lines = self.lines();
        let width = lines
            .iter()
            .map(|line| line.what.chars().count())
            .max()
            .unwrap_or(0);
        let protocols = lines.iter().map(|line| line.protocol.len());
        let protocol_width = protocols.max().unwrap_or(0).max(4);
        for line in &lines {
            let after = format!("{:.3} s", line.after.as_secs_f64());
            write!(f, "  {after:>9}  {:<protocol_width$}  ", line.protocol)?;
            match &line.amount {
                None => writeln!(f, "{}", line.what)?,
                Some((bytes, rate)) => {
                    writeln!(f, "{:<width$}  {bytes:>9}  {rate:>11}", line.what)?;
                }
            }
        }
        write!(f, "  {}", self.standing())
    }
}

/// A line of the timeline.
#[derive(Debug)]
struct Line {
    after: Duration,
    protocol: &'static str,
    what: String,
    file: String,
    /// Bytes, and bytes per second, if content was sent.
    amount: Option<(String, String)>,
}

impl Line {
    fn of(fact: &Fact, power_on: Instant) -> Self {
        let (what, amount) = match &fact.what {
            What::Sent { file, bytes, took } => (
                format!("sent {file}"),
                Some((size(*bytes), rate(*bytes, *took))),
            ),
            What::Probed {
                file,
                bytes: Some(bytes),
                ..
            } => (
                format!("told the size of {file}"),
                Some((size(*bytes), String::new())),
            ),
            what => (what.to_string(), None),
        };
        Self {
            after: begun(fact).saturating_duration_since(power_on),
            protocol: fact.protocol.as_str(),
            what,
            file: fact.what.file().unwrap_or_default().to_owned(),
            amount,
        }
    }
}

fn is_trouble(what: &What) -> bool {
    matches!(
        what,
        What::Missing { .. } | What::Failed { .. } | What::Refused { .. } | What::Denied { .. }
    )
}

/// When what a fact tells of began. `took` counts from the request.
fn begun(fact: &Fact) -> Instant {
    let took = match &fact.what {
        What::Sent { took, .. } | What::Probed { took, .. } => *took,
        _ => Duration::ZERO,
    };
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(fact.at.mono.as_nanos().saturating_sub(nanos))
}

/// Whether `end` tells how the transfer of `file` ended that `start` tells the beginning of.
fn ends(end: &Fact, start: &Fact, file: &str) -> bool {
    let ended = match &end.what {
        What::Sent { file, .. } | What::Missing { file } | What::Probed { file, .. } => file,
        What::Failed {
            file: Some(file), ..
        }
        | What::Denied {
            file: Some(file), ..
        } => file,
        _ => return false,
    };
    ended == file && end.protocol == start.protocol && end.at.mono >= start.at.mono
}

/// Where the last boot begins: at the last DHCPDISCOVER of a firmware after some other activity.
///
/// A DISCOVER without an architecture is the kernel's or the loader's own, and one of iPXE after it
/// was served iPXE is the second half of the same boot.
fn last_power_on(facts: &[Fact]) -> usize {
    let mut start = 0;
    let mut last_file: Option<&str> = None;
    for (index, fact) in facts.iter().enumerate() {
        match &fact.what {
            What::Asked {
                message: "discover",
                arch: Some(_),
                client,
            } => {
                let chained = client.as_deref() == Some("iPXE")
                    && last_file.is_some_and(|file| {
                        ["ipxe", "undionly", "snponly"]
                            .iter()
                            .any(|name| file.contains(name))
                    });
                if last_file.is_some() && !chained {
                    start = index;
                    last_file = None;
                }
            }
            What::Sent { file, .. } | What::Missing { file } => last_file = Some(file),
            _ => {}
        }
    }
    start
}

/// `24.0 MiB`; four digits at most.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.1} {unit}"),
    }
}

/// `81.3 MiB/s`.
pub(crate) fn rate(bytes: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds <= 0.0 {
        return String::new();
    }
    // Rates are for people: a fraction of a byte is nothing.
    format!("{}/s", size((bytes as f64 / seconds) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Protocol;
    use pxe_core::{Now, UnixTime};
    use std::net::Ipv4Addr;

    fn at(millis: u64, protocol: Protocol, what: What) -> Fact {
        let mono = Instant::EPOCH + Duration::from_millis(millis);
        Fact::new(Now::new(mono, UnixTime::from_seconds(0)), protocol, what)
    }

    fn discover(millis: u64, client: &str, arch: Option<&str>) -> Fact {
        let what = What::Asked {
            message: "discover",
            arch: arch.map(str::to_owned),
            client: Some(client.to_owned()),
        };
        at(millis, Protocol::Dhcp, what)
    }

    fn leased(millis: u64) -> Fact {
        let what = What::Leased {
            address: Ipv4Addr::new(192, 168, 150, 30),
            seconds: 600,
            file: Some("bios/lpxelinux.0".into()),
        };
        at(millis, Protocol::Dhcp, what)
    }

    fn sent(millis: u64, file: &str) -> Fact {
        let what = What::Sent {
            file: file.into(),
            bytes: 2 << 20,
            took: Duration::from_millis(500),
        };
        at(millis, Protocol::Tftp, what)
    }

    fn missing(millis: u64, file: &str) -> Fact {
        at(millis, Protocol::Tftp, What::Missing { file: file.into() })
    }

    fn standing(facts: &[Fact]) -> String {
        Timeline::of(facts, 0).standing().to_string()
    }

    #[test]
    fn a_boot_is_followed_step_by_step() {
        let mut facts = vec![discover(5, "PXEClient", Some("bios"))];
        let steps = [
            (
                leased(1000),
                "at step 2 of 5 (loader), after: leased 192.168.150.30 for 600 s, to boot bios/lpxelinux.0",
            ),
            (
                sent(2000, "bios/lpxelinux.0"),
                "at step 2 of 5 (loader), after: sent bios/lpxelinux.0, 2097152 bytes in 500 ms",
            ),
            (
                missing(3000, "bios/pxelinux.cfg/C0A8961E"),
                "stopped at step 3 of 5 (menu): bios/pxelinux.cfg/C0A8961E is not in the tree",
            ),
            (
                sent(4000, "bios/pxelinux.cfg/default"),
                "at step 4 of 5 (kernel), after: sent bios/pxelinux.cfg/default, 2097152 bytes in 500 ms",
            ),
            (
                sent(5000, "/os/debian/linux"),
                "at step 5 of 5 (initrd), after: sent /os/debian/linux, 2097152 bytes in 500 ms",
            ),
            (
                sent(6000, "/os/debian/initrd.gz"),
                "kernel and initrd are loaded, the system starts: /os/debian/linux",
            ),
        ];
        assert_eq!(
            standing(&facts),
            "at step 1 of 5 (address), after: discover from PXEClient on bios"
        );
        for (fact, expected) in steps {
            facts.push(fact);
            assert_eq!(standing(&facts), expected);
        }
        // The system's own DHCP is no new boot.
        facts.push(discover(9000, "udhcp", None));
        assert_eq!(
            standing(&facts),
            "kernel and initrd are loaded, the system starts: /os/debian/linux"
        );
        assert_eq!(standing(&[]), "nothing was heard of it");
    }

    #[test]
    fn a_black_screen_is_explained() {
        let facts = [
            leased(1),
            sent(2, "bios/pxelinux.cfg/default"),
            missing(3, "/os/old/vmlinuz"),
        ];
        assert_eq!(
            standing(&facts),
            "stopped at step 4 of 5 (kernel): /os/old/vmlinuz is not in the tree"
        );
        let reason = "no free address in 192.168.150.30-50".to_owned();
        let refused = at(1, Protocol::Dhcp, What::Refused { reason });
        assert_eq!(
            standing(&[refused]),
            "stopped at step 1 of 5 (address): no free address in 192.168.150.30-50"
        );
    }

    #[test]
    fn a_name_that_there_is_not_stops_a_boot_and_no_system_that_runs() {
        let unresolved = |millis| {
            let what = What::Unresolved {
                name: "files.lab.lan.".to_owned(),
                reason: "there is no such name".to_owned(),
            };
            at(millis, Protocol::Dns, what)
        };
        let mut facts = vec![leased(1), sent(2, "bios/lpxelinux.0"), unresolved(3)];
        assert_eq!(
            standing(&facts),
            "stopped at step 2 of 5 (loader): no address for files.lab.lan.: there is no such name"
        );
        facts.extend([
            sent(1000, "/images/debian-12/live/vmlinuz"),
            sent(2000, "/images/debian-12/live/initrd"),
            unresolved(3000),
        ]);
        let started = "kernel and initrd are loaded, the system starts: \
                       /images/debian-12/live/vmlinuz";
        assert_eq!(standing(&facts), started);
    }

    /// The end of a transfer is told when its last ACK was read: by then the machine may have asked
    /// for the next file, and been told that there is none.
    #[test]
    fn a_late_end_of_a_transfer_does_not_hide_why_it_stopped() {
        let facts = [
            leased(1),
            missing(900, "/os/old/vmlinuz"),
            sent(1000, "bios/menu.c32"),
        ];
        let timeline = Timeline::of(&facts, 0);
        let stopped = "stopped at step 4 of 5 (kernel): /os/old/vmlinuz is not in the tree";
        assert_eq!(timeline.standing().to_string(), stopped);
        let lines = timeline.lines();
        let begins: Vec<_> = lines.iter().map(|line| line.after.as_millis()).collect();
        assert_eq!(begins, [0, 499, 899]);
    }

    /// The ERROR that ends a probe comes by another socket than the request after it, and may be
    /// read later.
    #[test]
    fn a_probe_stands_before_the_transfer_that_it_prepared() {
        let what = What::Probed {
            file: "efi64/syslinux.efi".into(),
            bytes: None,
            took: Duration::from_millis(3),
        };
        let facts = [
            leased(1),
            at(502, Protocol::Tftp, what),
            sent(1000, "efi64/syslinux.efi"),
        ];
        let timeline = Timeline::of(&facts, 0);
        let lines = timeline.lines();
        assert_eq!(lines[1].what, "asked the size of efi64/syslinux.efi");
        assert_eq!(lines[1].after.as_millis(), 498);
        assert_eq!(lines[2].what, "sent efi64/syslinux.efi");
    }

    #[test]
    fn only_the_last_boot_is_shown() {
        let mut facts = vec![
            discover(0, "PXEClient", Some("bios")),
            sent(10, "undionly.kpxe"),
        ];
        facts.push(discover(20, "iPXE", Some("bios")));
        assert_eq!(
            Timeline::of(&facts, 3).facts.len(),
            3,
            "iPXE goes on with the same boot"
        );
        facts.push(sent(30, "boot.ipxe"));
        facts.push(discover(1000, "PXEClient", Some("bios")));
        facts.push(discover(2000, "PXEClient", Some("bios")));
        let timeline = Timeline::of(&facts, 3);
        assert_eq!((timeline.facts.len(), timeline.forgotten), (2, 0));
    }

    #[test]
    fn lines_have_columns() {
        let started = What::Started {
            file: "a".into(),
            bytes: None,
        };
        let facts = [
            leased(1000),
            at(1010, Protocol::Tftp, started),
            sent(1500, "a"),
            sent(2000, "bb"),
        ];
        let shown = Timeline::of(&facts, 7).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let expected = [
            "  (7 older facts are forgotten)",
            "    0.000 s  dhcp  leased 192.168.150.30 for 600 s, to boot bios/lpxelinux.0",
            "    0.000 s  tftp  sent a                                                       2.0 MiB    4.0 MiB/s",
            "    0.500 s  tftp  sent bb                                                      2.0 MiB    4.0 MiB/s",
        ];
        assert_eq!(lines[..4], expected);
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_row_of_misses_is_one_line() {
        let facts: Vec<Fact> = (0..9)
            .map(|n| missing(n, &format!("pxelinux.cfg/{n}")))
            .collect();
        let shown = Timeline::of(&facts, 0).to_string();
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        assert_eq!(lines[0], "0.000 s  tftp  no such file: pxelinux.cfg/0");
        assert_eq!(
            lines[1],
            "0.008 s  tftp  no such file: … pxelinux.cfg/8 (and 7 names before)"
        );
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn amounts_are_short() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(75_072), "73.3 KiB");
        assert_eq!(size(1_048_000), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
        assert_eq!(rate(1 << 20, Duration::from_millis(250)), "4.0 MiB/s");
        assert_eq!(rate(1, Duration::ZERO), "");
    }
}
