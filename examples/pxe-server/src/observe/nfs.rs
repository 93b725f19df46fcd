//! What NFS's events mean.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pxe_core::Instant;
use pxe_nfs::{Disconnected, Event, Peer, Refusal, Refused};

use crate::config::LogLevel;
use crate::fact::{Fact, Protocol, What, printable};
use crate::hub::Hub;

/// Machines that are followed; of more, the one that was met longest ago is forgotten, which costs
/// nothing but a line that is told twice.
const MACHINES_MAX: usize = 4096;
/// Facts of one machine in [`FACTS_TIME`]: of more a machine's timeline would forget its boot.
const FACTS_MAX: u32 = 16;
const FACTS_TIME: Duration = Duration::from_secs(3600);
/// A connection that carried less asked where things are, and no more.
const BYTES_WORTH_TELLING: u64 = 1024;

/// Reports events to the hub.
///
/// A machine whose root is here reads for months, falls silent, connects again, and asks each
/// second for what it was refused. Its timeline gets its mounts, each refusal once, that it reads,
/// and that it is gone; all else is counted.
#[derive(Debug)]
pub(crate) struct NfsObserver {
    hub: Arc<Hub>,
    followed: Mutex<Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    machines: HashMap<IpAddr, Machine>,
    /// Each address of `machines` once, the one that was met first before all others.
    order: VecDeque<IpAddr>,
}

#[derive(Debug, Default)]
struct Machine {
    /// The last refusal that was told.
    refused: Option<(Refusal, Option<Vec<u8>>)>,
    /// It mounted, and that one of its connections ended was not told since.
    is_here: bool,
    /// How many facts were told since when.
    told: u32,
    since: Option<Instant>,
}

impl NfsObserver {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            followed: Mutex::default(),
        }
    }

    /// Takes an event in.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Mounted(mounted) => {
                let path = text(&mounted.path);
                let is_told = self.follow(&mounted.peer, |machine| {
                    machine.refused = None;
                    machine.is_here = true;
                    true
                });
                let what = What::Mounted { path };
                self.report(&mounted.peer, is_told, LogLevel::Info, what);
            }
            Event::Unmounted(mounted) => {
                let text = format!("unmounted {}", text(&mounted.path));
                self.note(Some(&mounted.peer), LogLevel::Debug, "unmounted", text);
            }
            Event::FirstRead(peer) => {
                let is_told = self.follow(peer, |_| true);
                let (name, text) = ("reading", "reads what it mounted".to_owned());
                self.report(peer, is_told, LogLevel::Info, What::Note { name, text });
            }
            Event::Refused(refused) => self.refused(refused),
            Event::Disconnected(ended) => self.disconnected(ended),
            Event::Malformed(peer) => {
                let text = "malformed call: the connection is closed".to_owned();
                self.note(Some(peer), LogLevel::Debug, "malformed", text);
            }
            Event::Limited(limited) => {
                let level = match limited.limit {
                    "idle_max" => LogLevel::Debug,
                    _ => LogLevel::Warn,
                };
                let text = format!("limit reached: {}", limited.limit);
                self.note(limited.peer.as_ref(), level, "limit", text);
            }
            Event::AcceptFailed(error) => {
                let text = format!("cannot accept a connection at {error}");
                self.note(None, LogLevel::Error, "accept_failed", text);
            }
            Event::Failed(failed) => {
                let is_told = self.follow(&failed.peer, |_| true);
                let what = What::Failed {
                    file: None,
                    bytes: 0,
                    reason: printable(&format!("{}: {}", failed.procedure, failed.error)),
                };
                self.report(&failed.peer, is_told, LogLevel::Warn, what);
            }
            other => tracing::debug!(event = "other", "nfs: {other:?}"),
        }
    }

    fn refused(&self, refused: &Refused) {
        let is_told = self.follow(&refused.peer, |machine| {
            let told = Some((refused.reason, refused.path.clone()));
            let is_new = machine.refused != told;
            machine.refused = told;
            is_new
        });
        let path = refused.path.as_deref().map(text);
        let ip = refused.peer.remote.ip();
        let named = path.as_deref().unwrap_or("an export");
        let reason = match refused.reason {
            Refusal::NotFound => {
                let file = named.to_owned();
                self.report(
                    &refused.peer,
                    is_told,
                    LogLevel::Warn,
                    What::Missing { file },
                );
                return;
            }
            Refusal::NotAdmitted => {
                let denied = self.hub.denied(ip, named);
                let file = Some(named.to_owned());
                let reason = "denied".to_owned();
                let denied = denied.unwrap_or(What::Denied { file, reason });
                self.report(&refused.peer, is_told, LogLevel::Warn, denied);
                return;
            }
            Refusal::NoSuchExport => {
                format!("{named} is not exported; add it as an [[nfs.export]], or mount another")
            }
            Refusal::Address => {
                format!("{named} is not exported to {ip}; add its network to the export's clients")
            }
            Refusal::Port => format!(
                "{named} wants ports below 1024, and {ip} calls from {}; add insecure to its \
                 options",
                refused.peer.remote.port()
            ),
            Refusal::NotADirectory => {
                format!("{named} is no directory; mount the one that it is in")
            }
            Refusal::ForgedHandle => {
                "its file handle was not signed by this server's key: nfs.handle_key is another \
                 than when it mounted; it has to mount anew"
                    .to_owned()
            }
            _ => format!("{named} is not for {ip}"),
        };
        let what = What::Refused { reason };
        self.report(&refused.peer, is_told, LogLevel::Warn, what);
    }

    fn disconnected(&self, ended: &Disconnected) {
        self.hub.count(Protocol::Nfs, "calls", ended.calls);
        self.hub.count(Protocol::Nfs, "bytes", ended.bytes_sent);
        let is_told = ended.bytes_sent >= BYTES_WORTH_TELLING
            && self.follow(&ended.peer, |machine| std::mem::take(&mut machine.is_here));
        let what = What::Disconnected {
            bytes: ended.bytes_sent,
            calls: ended.calls,
        };
        self.report(&ended.peer, is_told, LogLevel::Info, what);
    }

    /// Whether `is_new` says so of this machine, and enough was not told of it yet.
    fn follow(&self, peer: &Peer, is_new: impl FnOnce(&mut Machine) -> bool) -> bool {
        let now = self.hub.now().mono;
        let ip = peer.remote.ip();
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let Followed { machines, order } = &mut *followed;
        if !machines.contains_key(&ip) {
            while order.len() >= MACHINES_MAX {
                let oldest = order.pop_front();
                oldest.and_then(|oldest| machines.remove(&oldest));
            }
            order.push_back(ip);
        }
        let machine = machines.entry(ip).or_default();
        if !is_new(machine) {
            return false;
        }
        let since = *machine.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= FACTS_TIME {
            (machine.told, machine.since) = (0, Some(now));
        }
        machine.told = machine.told.saturating_add(1);
        machine.told <= FACTS_MAX
    }

    /// A fact of the machine, or else a line for those who look closely.
    fn report(&self, peer: &Peer, is_told: bool, level: LogLevel, what: What) {
        let fact = Fact::new(self.hub.now(), Protocol::Nfs, what).with_ip(peer.remote.ip());
        match is_told {
            true => self.hub.tell(fact, level),
            false => self.hub.note(fact, LogLevel::Debug),
        }
    }

    fn note(&self, peer: Option<&Peer>, level: LogLevel, name: &'static str, text: String) {
        let mut fact = Fact::new(self.hub.now(), Protocol::Nfs, What::Note { name, text });
        fact.ip = peer.map(|peer| peer.remote.ip());
        self.hub.note(fact, level);
    }
}

/// A path that a peer chose.
fn text(path: &[u8]) -> String {
    printable(&String::from_utf8_lossy(path))
}
