//! Where all facts go: to the log, the counters, the machines, the list of transfers.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use pxe_core::{Instant, Now, UnixTime};
use pxe_tree::TreePath;
use tokio::sync::watch;

use crate::config::LogLevel;
use crate::decisions::neighbours::Neighbours;
use crate::decisions::{self, Decisions};
use crate::fact::{Fact, Protocol, What, printable_path};
use crate::log;
use crate::machines::Machines;
use crate::meter::{Meter, Rate};

/// At most this many transfers are listed as running; more are served, and counted.
const TRANSFERS_MAX: usize = 16_384;
/// At most this many notes of one kind are warnings within a second; more are told at level debug,
/// and counted. A client that floods us must not flood the log, too.
const WARNINGS_PER_SECOND_MAX: u32 = 10;

/// The one place that all protocols report to.
#[derive(Debug)]
pub(crate) struct Hub {
    started: StdInstant,
    machines: Arc<Machines>,
    decisions: Decisions,
    neighbours: Neighbours,
    /// Whether the leases of earlier runs are known.
    recalled: watch::Sender<bool>,
    counters: Mutex<Counters>,
    transfers: Mutex<BTreeMap<TransferKey, Transfer>>,
    /// The last second in which a kind of note was a warning, and how often it was.
    warnings: Mutex<HashMap<Kind, (u64, u32)>>,
    /// Whether files that TFTP has not are told at level debug.
    quiet_misses: AtomicBool,
}

/// What facts are counted by: the protocol, and the name of what happened.
type Kind = (Protocol, &'static str);

/// What is counted, under one lock.
#[derive(Debug, Default)]
struct Counters {
    /// One for each of [`Protocol::ALL`].
    protocols: [Counted; Protocol::ALL.len()],
}

/// What is counted of one protocol.
#[derive(Debug, Default)]
struct Counted {
    /// By names, of which there are a dozen; what happens often came first.
    counts: Vec<(&'static str, u64)>,
    /// What was sent lately.
    meter: Option<Meter>,
}

impl Counters {
    fn of(&mut self, protocol: Protocol) -> &mut Counted {
        let [dhcp, tftp, http, https, nfs, dns] = &mut self.protocols;
        match protocol {
            Protocol::Dhcp => dhcp,
            Protocol::Tftp => tftp,
            Protocol::Http => http,
            Protocol::Https => https,
            Protocol::Nfs => nfs,
            Protocol::Dns => dns,
        }
    }

    fn all(&self) -> impl Iterator<Item = (Protocol, &Counted)> {
        Protocol::ALL.into_iter().zip(&self.protocols)
    }
}

impl Counted {
    fn add(&mut self, name: &'static str, more: u64) {
        match self.counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count = count.saturating_add(more),
            None => self.counts.push((name, more)),
        }
    }
}

/// A running transfer, by its protocol's own number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TransferKey {
    Tftp(pxe_tftp::TransferId),
    Http(usize),
    Https(usize),
}

impl TransferKey {
    const fn protocol(self) -> Protocol {
        match self {
            Self::Tftp(_) => Protocol::Tftp,
            Self::Http(_) => Protocol::Http,
            Self::Https(_) => Protocol::Https,
        }
    }
}

/// What is known of a running transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) ip: IpAddr,
    pub(crate) file: FileName,
    /// The length of what is to be sent, if known.
    pub(crate) bytes: Option<u64>,
    pub(crate) since: StdInstant,
}

/// The file of a transfer; most end before anybody asks for its name as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileName {
    Text(String),
    Path(TreePath),
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Path(path) => f.write_str(&printable_path(path)),
        }
    }
}

impl Hub {
    pub(crate) fn new(machines: Arc<Machines>) -> Self {
        let addresses = Arc::clone(machines.addresses());
        Self {
            started: StdInstant::now(),
            machines,
            decisions: Decisions::new(addresses, decisions::Limits::default()),
            neighbours: Neighbours::of_kernel(),
            recalled: watch::Sender::new(false),
            counters: Mutex::default(),
            transfers: Mutex::default(),
            warnings: Mutex::default(),
            quiet_misses: AtomicBool::new(false),
        }
    }

    /// Says at which level it is told that TFTP has no such file.
    pub(crate) fn set_quiet_misses(&self, quiet: bool) {
        self.quiet_misses.store(quiet, Ordering::Relaxed);
    }

    /// At which level it is told that TFTP has no such file.
    pub(crate) fn tftp_miss_level(&self) -> LogLevel {
        match self.quiet_misses.load(Ordering::Relaxed) {
            true => LogLevel::Debug,
            false => LogLevel::Info,
        }
    }

    pub(crate) const fn machines(&self) -> &Arc<Machines> {
        &self.machines
    }

    pub(crate) const fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub(crate) const fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// The leases of earlier runs are known, or there are none.
    pub(crate) fn set_recalled(&self) {
        self.recalled.send_replace(true);
    }

    /// Whether the leases of earlier runs are known.
    pub(crate) fn has_recalled(&self) -> bool {
        *self.recalled.borrow()
    }

    /// Completes once the leases of earlier runs are known.
    pub(crate) async fn recalled(&self) {
        if !self.has_recalled() {
            // Its sender is our own, so it does not end.
            let _ = self
                .recalled
                .subscribe()
                .wait_for(|recalled| *recalled)
                .await;
        }
    }

    pub(crate) const fn started(&self) -> StdInstant {
        self.started
    }

    /// Both clocks; the monotonic one counts from the start of this server.
    pub(crate) fn now(&self) -> Now {
        self.now_at(StdInstant::now())
    }

    /// The same where it was asked just now what time it is.
    pub(crate) fn now_at(&self, now: StdInstant) -> Now {
        let mono = now.saturating_duration_since(self.started).as_nanos();
        let mono = u64::try_from(mono).unwrap_or(u64::MAX);
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now::new(
            Instant::from_nanos(mono),
            UnixTime::from_seconds(wall.as_secs()),
        )
    }

    /// Takes a fact in: counts it, remembers it with its machine, and logs it.
    pub(crate) fn tell(&self, fact: Fact, level: LogLevel) {
        let bytes = match &fact.what {
            What::Sent { bytes, .. } | What::Failed { bytes, .. } => Some(*bytes),
            _ => None,
        };
        {
            let mut counters = lock(&self.counters);
            let counted = counters.of(fact.protocol);
            counted.add(fact.what.name(), 1);
            if let Some(bytes) = bytes {
                counted.add("bytes", bytes);
                let second = fact.at.mono.as_nanos() / 1_000_000_000;
                let meter = counted.meter.get_or_insert_default();
                meter.add(second, bytes);
            }
        }
        let fact = self.machines.identify(fact);
        log::write(&fact, level);
        self.machines.record(fact);
    }

    /// Counts and logs what is no step of any machine's boot: it is not remembered with one, so
    /// that noise cannot push a boot's facts out of the table.
    pub(crate) fn note(&self, mut fact: Fact, level: LogLevel) {
        self.count(fact.protocol, fact.what.name(), 1);
        fact.mac = fact.mac.or_else(|| self.machines.mac_of(fact.ip?));
        log::write(&fact, self.quieten(&fact, level));
    }

    /// The level of a note, less than a warning if there were enough of its kind.
    fn quieten(&self, fact: &Fact, level: LogLevel) -> LogLevel {
        if level > LogLevel::Warn {
            return level;
        }
        let second = fact.at.mono.as_nanos() / 1_000_000_000;
        let mut warnings = lock(&self.warnings);
        let kind = (fact.protocol, fact.what.name());
        let (last, count) = warnings.entry(kind).or_insert((second, 0));
        if *last != second {
            (*last, *count) = (second, 0);
        }
        *count = count.saturating_add(1);
        match *count > WARNINGS_PER_SECOND_MAX {
            true => LogLevel::Debug,
            false => level,
        }
    }

    /// Adds to a counter of `status`.
    pub(crate) fn count(&self, protocol: Protocol, name: &'static str, more: u64) {
        lock(&self.counters).of(protocol).add(name, more);
    }

    /// A transfer begins.
    pub(crate) fn begin(&self, key: TransferKey, transfer: Transfer) {
        let mut transfers = lock(&self.transfers);
        if transfers.len() < TRANSFERS_MAX || transfers.contains_key(&key) {
            transfers.insert(key, transfer);
        }
    }

    /// A transfer ended, or was none.
    pub(crate) fn end(&self, key: TransferKey) {
        lock(&self.transfers).remove(&key);
    }

    /// How often each thing happened; `bytes` counts bytes of content.
    pub(crate) fn counters(&self) -> BTreeMap<Kind, u64> {
        let counters = lock(&self.counters);
        let counts = counters.all().flat_map(|(protocol, counted)| {
            let counts = counted.counts.iter();
            counts.map(move |(name, count)| ((protocol, *name), *count))
        });
        counts.collect()
    }

    /// What was sent lately, by protocol. A transfer counts when it ends.
    pub(crate) fn rates(&self) -> BTreeMap<Protocol, Rate> {
        let second = self.now().mono.as_nanos() / 1_000_000_000;
        let counters = lock(&self.counters);
        let rates = counters.all();
        rates
            .filter_map(|(protocol, counted)| {
                Some((protocol, counted.meter.as_ref()?.rate(second)))
            })
            .collect()
    }

    /// The running transfers, the oldest first.
    pub(crate) fn transfers(&self) -> Vec<(Protocol, Transfer)> {
        let transfers = lock(&self.transfers);
        let mut all: Vec<_> = transfers
            .iter()
            .map(|(key, transfer)| (key.protocol(), transfer.clone()))
            .collect();
        all.sort_by_key(|(_, transfer)| transfer.since);
        all
    }
}

/// Each holder of these locks leaves its value whole, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn facts_are_counted_and_remembered_and_notes_are_only_counted() {
        let hub = Hub::new(Arc::default());
        let ip = IpAddr::from([10, 0, 0, 1]);
        let what = What::Sent {
            file: "x".into(),
            bytes: 100,
            took: Duration::ZERO,
        };
        for _ in 0..2 {
            let fact = Fact::new(hub.now(), Protocol::Tftp, what.clone()).with_ip(ip);
            hub.tell(fact, LogLevel::Info);
        }
        let what = What::Note {
            name: "malformed",
            text: "x".into(),
        };
        hub.note(
            Fact::new(hub.now(), Protocol::Http, what).with_ip(ip),
            LogLevel::Debug,
        );
        let counters = hub.counters();
        assert_eq!(counters[&(Protocol::Tftp, "sent")], 2);
        assert_eq!(counters[&(Protocol::Tftp, "bytes")], 200);
        assert_eq!(counters[&(Protocol::Http, "malformed")], 1);
        let machine = hub
            .machines()
            .get(crate::MachineId::Ip(ip))
            .expect("remembered");
        assert_eq!(machine.facts.len(), 2);
    }

    // pxelinux tries a dozen names before it finds its menu.
    #[test]
    fn misses_are_quiet_where_that_is_wished() {
        let hub = Hub::new(Arc::default());
        assert_eq!(hub.tftp_miss_level(), LogLevel::Info);
        hub.set_quiet_misses(true);
        assert_eq!(hub.tftp_miss_level(), LogLevel::Debug);
    }

    #[test]
    fn a_flood_of_one_kind_is_a_few_warnings_a_second() {
        let hub = Hub::new(Arc::default());
        let level = |name, seconds| {
            let text = String::new();
            let at = Instant::EPOCH + Duration::from_secs(seconds);
            let now = Now::new(at, UnixTime::from_seconds(0));
            let fact = Fact::new(now, Protocol::Dhcp, What::Note { name, text });
            hub.quieten(&fact, LogLevel::Warn)
        };
        for _ in 0..WARNINGS_PER_SECOND_MAX {
            assert_eq!(level("ignored", 5), LogLevel::Warn);
        }
        assert_eq!(level("ignored", 5), LogLevel::Debug);
        assert_eq!(level("limit", 5), LogLevel::Warn);
        assert_eq!(level("ignored", 6), LogLevel::Warn);
    }

    #[test]
    fn the_list_of_transfers_is_bounded() {
        let hub = Hub::new(Arc::default());
        let transfer = Transfer {
            ip: IpAddr::from([10, 0, 0, 1]),
            file: FileName::Text("x".into()),
            bytes: None,
            since: StdInstant::now(),
        };
        for number in 0..TRANSFERS_MAX + 10 {
            hub.begin(TransferKey::Http(number), transfer.clone());
        }
        assert_eq!(hub.transfers().len(), TRANSFERS_MAX);
        hub.end(TransferKey::Http(0));
        assert_eq!(hub.transfers().len(), TRANSFERS_MAX - 1);
    }
}
