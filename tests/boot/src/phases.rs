//! The phases of a boot, derived from the capture and the serial console: both independent of the server.

use std::fmt;
use std::time::Duration;

use crate::matrix::{Expect, Step};
use crate::wire::{Answer, Conversations, Request};

/// A phase of a boot, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The first DHCPDISCOVER was sent.
    Discover,
    /// The last DHCPACK before the loader was asked for.
    Ack,
    /// The loader's first block arrived.
    FirstByte,
    /// The menu was asked for.
    Menu,
    /// The kernel was asked for.
    Kernel,
    /// The initrd was asked for.
    Initrd,
    /// The kernel's first line was on the serial console.
    KernelSpeaks,
    /// The system's marker was on the serial console.
    Installer,
}

impl Phase {
    pub(crate) const ALL: [Phase; 8] = [
        Phase::Discover,
        Phase::Ack,
        Phase::FirstByte,
        Phase::Menu,
        Phase::Kernel,
        Phase::Initrd,
        Phase::KernelSpeaks,
        Phase::Installer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Discover => "discover",
            Phase::Ack => "dhcp ack",
            Phase::FirstByte => "first byte",
            Phase::Menu => "menu",
            Phase::Kernel => "kernel",
            Phase::Initrd => "initrd",
            Phase::KernelSpeaks => "linux runs",
            Phase::Installer => "installer",
        }
    }
}

/// When each phase was reached, since power-on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Phases {
    reached: Vec<(Phase, Duration)>,
}

impl Phases {
    pub(crate) fn at(&self, phase: Phase) -> Option<Duration> {
        self.reached
            .iter()
            .find(|(other, _)| *other == phase)
            .map(|(_, at)| *at)
    }

    /// The first phase that was not reached.
    pub(crate) fn missing(&self) -> Option<Phase> {
        Phase::ALL
            .into_iter()
            .find(|phase| self.at(*phase).is_none())
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<12} {:>8} {:>8}", "phase", "at s", "took s")?;
        let mut before = None;
        for (phase, at) in &self.reached {
            write!(f, "\n  {:<12} {:>8.2}", phase.name(), at.as_secs_f64())?;
            if let Some(before) = before {
                write!(f, " {:>8.2}", at.saturating_sub(before).as_secs_f64())?;
            }
            before = Some(*at);
        }
        Ok(())
    }
}

/// What the serial console showed, in time since the Unix epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spoken {
    pub(crate) kernel: Option<Duration>,
    pub(crate) marker: Option<Duration>,
}

/// Puts the phases together, each after the one before it: what came out of order was not that phase.
pub(crate) fn derive(
    power_on: Duration,
    expect: &Expect,
    conversations: &Conversations,
    spoken: Spoken,
) -> Phases {
    let mut phases = Phases::default();
    let mut reach = |phase, at: Option<Duration>| {
        // A phase without the one before it would not be evidence of the way that the cell is about.
        if let Some(at) = at
            && phases.reached.len() == phase as usize
        {
            phases.reached.push((phase, at.saturating_sub(power_on)));
        }
    };
    let discover = conversations.discover.as_ref().map(|discover| discover.at);
    reach(Phase::Discover, discover);
    let loader = served(conversations, &expect.loader, discover);
    // Where the loader never comes, the last ACK shows that at least the lease did.
    let before_loader = |ack: &&Duration| loader.is_none_or(|loader: &Request| **ack <= loader.at);
    let ack = conversations.acks.iter().rfind(before_loader).copied();
    reach(Phase::Ack, ack);
    let first_byte = loader.map(|loader| match loader.answer {
        Some(Answer::Data(at)) => at,
        _ => loader.at,
    });
    reach(Phase::FirstByte, first_byte);
    let menu = served(conversations, &expect.menu, first_byte).map(|request| request.at);
    reach(Phase::Menu, menu);
    let kernel = served(conversations, &expect.kernel, menu).map(|request| request.at);
    reach(Phase::Kernel, kernel);
    let initrd = served(conversations, &expect.initrd, kernel).map(|request| request.at);
    reach(Phase::Initrd, initrd);
    let later = |at: Option<Duration>, than: Option<Duration>| at.filter(|_| at >= than);
    reach(Phase::KernelSpeaks, later(spoken.kernel, initrd));
    reach(Phase::Installer, later(spoken.marker, spoken.kernel));
    phases
}

/// The first such request after the time that was answered with content.
fn served<'a>(
    conversations: &'a Conversations,
    step: &Step,
    after: Option<Duration>,
) -> Option<&'a Request> {
    let after = after?;
    conversations
        .requests
        .iter()
        .find(|request| request.at >= after && request.is(step) && request.is_served())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::Script;

    fn expect() -> Expect {
        let step = |text: &str| Step::try_from(text.to_owned()).unwrap();
        Expect {
            loader: step("tftp bios/lpxelinux.0"),
            menu: step("tftp bios/pxelinux.cfg/default"),
            kernel: step("http debian/linux"),
            initrd: step("http debian/initrd.gz"),
        }
    }

    fn boot() -> Script {
        let mut script = Script::default();
        script.dhcp(1, &[(60, b"PXEClient:Arch:00000:UNDI:002001")]);
        script.dhcp(5, &[]);
        script.tftp_file("bios/lpxelinux.0");
        script.dhcp(5, &[]);
        script.tftp_file("bios/pxelinux.cfg/default");
        script.http_file("/debian/linux");
        script.http_file("/debian/initrd.gz");
        script
    }

    fn seconds(tenths: u64) -> Option<Duration> {
        Some(Duration::from_millis(tenths * 100))
    }

    #[test]
    fn a_whole_boot_has_all_phases() {
        let script = boot();
        let spoken = Spoken {
            kernel: seconds(50),
            marker: seconds(90),
        };
        let power_on = Duration::from_millis(50);
        let phases = derive(power_on, &expect(), &script.conversations, spoken);
        assert_eq!(phases.missing(), None);
        assert_eq!(phases.at(Phase::Discover), Some(Duration::from_millis(50)));
        // Not the loader's own lease, which comes later.
        assert_eq!(phases.at(Phase::Ack), Some(Duration::from_millis(150)));
        assert_eq!(
            phases.at(Phase::FirstByte),
            Some(Duration::from_millis(550))
        );
        assert_eq!(
            phases.at(Phase::Installer),
            Some(Duration::from_millis(8950))
        );
        assert!(
            phases
                .to_string()
                .contains("\n  installer        8.95     4.00"),
            "{phases}"
        );
    }

    #[test]
    fn a_boot_that_stops_names_the_phase_that_is_missing() {
        let mut script = Script::default();
        let silent = Spoken::default();
        let derived = |script: &Script, spoken| {
            derive(Duration::ZERO, &expect(), &script.conversations, spoken).missing()
        };
        assert_eq!(derived(&script, silent), Some(Phase::Discover));
        script.dhcp(1, &[]);
        assert_eq!(derived(&script, silent), Some(Phase::Ack));
        script.dhcp(5, &[]);
        assert_eq!(derived(&script, silent), Some(Phase::FirstByte));
        script.tftp_file("bios/lpxelinux.0");
        assert_eq!(derived(&script, silent), Some(Phase::Menu));
        script.tftp_file("bios/pxelinux.cfg/default");
        assert_eq!(derived(&script, silent), Some(Phase::Kernel));
        let whole = boot();
        assert_eq!(derived(&whole, silent), Some(Phase::KernelSpeaks));
        let kernel = Spoken {
            kernel: seconds(50),
            marker: None,
        };
        assert_eq!(derived(&whole, kernel), Some(Phase::Installer));
    }

    #[test]
    fn another_way_to_the_same_installer_is_no_success() {
        let mut script = Script::default();
        script.dhcp(1, &[]);
        script.dhcp(5, &[]);
        script.tftp_file("other.efi");
        script.tftp_file("bios/pxelinux.cfg/default");
        script.http_file("/debian/linux");
        script.http_file("/debian/initrd.gz");
        let spoken = Spoken {
            kernel: seconds(50),
            marker: seconds(90),
        };
        let phases = derive(Duration::ZERO, &expect(), &script.conversations, spoken);
        assert_eq!(phases.missing(), Some(Phase::FirstByte));
        assert_eq!(phases.at(Phase::Installer), None);
    }

    #[test]
    fn a_kernel_that_spoke_before_its_initrd_came_is_not_ours() {
        let script = boot();
        let spoken = Spoken {
            kernel: seconds(1),
            marker: seconds(90),
        };
        let phases = derive(Duration::ZERO, &expect(), &script.conversations, spoken);
        assert_eq!(phases.missing(), Some(Phase::KernelSpeaks));
    }
}
