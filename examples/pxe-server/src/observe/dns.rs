//! What DNS's events mean.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pxe_core::{Instant, MacAddr};
use pxe_dns::{Answered, Event, ForwardFailed, Name, Peer, Rcode, RecordType, Refusal, Refused};

use crate::config::LogLevel;
use crate::dns::OWN_PORT;
use crate::fact::{Fact, Protocol, What, printable};
use crate::hub::Hub;

/// Machines that are followed; of more, the one that was met longest ago is forgotten, which costs
/// nothing but a line that is told twice.
const MACHINES_MAX: usize = 4096;
/// Facts of one machine in [`FACTS_TIME`]: a system that runs asks for names that do not exist all
/// day long, and its timeline is not to forget its boot.
const FACTS_MAX: usize = 8;
const FACTS_TIME: Duration = Duration::from_secs(600);
/// How often it is said that others do not answer.
const WARNING_TIME: Duration = Duration::from_secs(60);

/// Reports events to the hub.
///
/// What is answered is counted. A name that a machine asks for in vain while it boots may be why
/// its screen stays black: it stands on its timeline, once. Only machines that have an address of
/// ours have one: senders' addresses are easily forged.
#[derive(Debug)]
pub(crate) struct DnsObserver {
    hub: Arc<Hub>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    machines: HashMap<MacAddr, Machine>,
    /// Each machine once, the one that was met first before all others.
    order: VecDeque<MacAddr>,
    /// When it was said last that others do not answer.
    warned: Option<Instant>,
}

#[derive(Debug)]
struct Machine {
    since: Instant,
    names: Vec<(Name, Rcode)>,
}

impl DnsObserver {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            told: Mutex::default(),
        }
    }

    /// Takes an event in.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Answered(answered) => self.answered(answered, "answered"),
            Event::Forwarded(answered) => self.answered(answered, "forwarded"),
            Event::ForwardFailed(failed) => self.forward_failed(failed),
            Event::Refused(refused) => self.refused(refused),
            Event::Malformed(peer) => {
                let text = "no query that could be read".to_owned();
                self.note(Some(peer), LogLevel::Debug, "malformed", text);
            }
            Event::RateLimited(limited) => {
                let count = |name, more| self.hub.count(Protocol::Dns, name, more);
                count("rate_dropped", limited.dropped);
                count("rate_truncated", limited.truncated);
                let last = limited.peer.map_or_else(String::new, |peer| {
                    format!("; the last for {}", peer.remote.ip())
                });
                let text = format!(
                    "more responses than limits allow: {} dropped, {} sent to ask by TCP{last}",
                    limited.dropped, limited.truncated
                );
                self.note(None, LogLevel::Warn, "rate_limited", text);
            }
            Event::Transferred(transfer) => {
                let how = if transfer.is_complete {
                    ""
                } else {
                    ", in part"
                };
                let (origin, serial) = (&transfer.origin, transfer.serial);
                let text = format!("sent the zone {origin} with serial {serial}{how}");
                self.note(
                    Some(&transfer.peer),
                    LogLevel::Info,
                    "transferred",
                    printable(&text),
                );
            }
            Event::Limited(limited) => {
                let text = format!("limit reached: {}", limited.limit);
                self.note(limited.peer.as_ref(), LogLevel::Warn, "limit", text);
            }
            Event::TcpClosed(closed) => {
                self.hub.count(Protocol::Dns, "connections", 1);
                tracing::debug!(
                    event = "closed",
                    "dns: {} closed after {} queries",
                    closed.peer.remote,
                    closed.queries
                );
            }
            Event::AcceptFailed(error) => {
                let text = format!("cannot accept a connection at {error}");
                self.note(None, LogLevel::Error, "accept_failed", text);
            }
            other => tracing::debug!(event = "other", "dns: {other:?}"),
        }
    }

    fn answered(&self, answered: &Answered, counter: &'static str) {
        if is_our_own(&answered.peer) {
            return;
        }
        self.hub.count(Protocol::Dns, counter, 1);
        if answered.is_truncated {
            self.hub.count(Protocol::Dns, "truncated", 1);
        }
        let (name, kind, rcode) = (&answered.name, answered.kind, answered.rcode);
        tracing::debug!(
            event = "answered",
            "dns: {} asked for {name} {kind}: {rcode}",
            answered.peer.remote.ip()
        );
        if rcode == Rcode::NXDOMAIN {
            self.hub.count(Protocol::Dns, "nxdomain", 1);
            let reason = "there is no such name".to_owned();
            self.tell(&answered.peer, name, kind, rcode, LogLevel::Info, reason);
        }
    }

    fn forward_failed(&self, failed: &ForwardFailed) {
        if is_our_own(&failed.peer) {
            return;
        }
        self.hub.count(Protocol::Dns, "forward_failed", 1);
        let reason = format!("others were asked in vain: {}", printable(&failed.why));
        let now = self.hub.now().mono;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = told.warned.is_none_or(|warned| {
            let ago = now.saturating_duration_since(warned);
            ago >= WARNING_TIME
        });
        if is_new {
            told.warned = Some(now);
            tracing::warn!(
                event = "forward_failed",
                "dns: {} {}: {reason}; the network may have no way out: forward = [] in [dns] asks \
                 nobody, and answers at once",
                failed.name,
                failed.kind
            );
        }
        drop(told);
        let (name, kind) = (&failed.name, failed.kind);
        let rcode = Rcode::SERVFAIL;
        self.tell(&failed.peer, name, kind, rcode, LogLevel::Warn, reason);
    }

    fn refused(&self, refused: &Refused) {
        if is_our_own(&refused.peer) {
            return;
        }
        self.hub.count(Protocol::Dns, "refused", 1);
        let ip = refused.peer.remote.ip();
        let reason = match refused.why {
            Refusal::NotHere => format!(
                "it is in no zone here, and others are not asked for {ip}; see dns.forward and \
                 dns.allow_recursion"
            ),
            Refusal::Query => format!("its zone is not for {ip}; add its network to allow_query"),
            Refusal::Transfer => {
                let text = format!(
                    "the zone {} is not sent to it; add its address to allow_transfer",
                    refused.name
                );
                let peer = Some(&refused.peer);
                self.note(peer, LogLevel::Warn, "transfer_refused", printable(&text));
                return;
            }
            Refusal::Change => "zones are not changed by messages".to_owned(),
            _ => "it is not served".to_owned(),
        };
        let (name, kind) = (&refused.name, refused.kind);
        let rcode = Rcode::REFUSED;
        self.tell(&refused.peer, name, kind, rcode, LogLevel::Warn, reason);
    }

    /// A fact of the machine, if it has a lease and this is new of it; else a line for those who
    /// look closely.
    fn tell(
        &self,
        peer: &Peer,
        name: &Name,
        kind: RecordType,
        rcode: Rcode,
        level: LogLevel,
        reason: String,
    ) {
        let ip = peer.remote.ip();
        let mac = self.hub.machines().mac_of(ip.to_canonical());
        // Other types are asked for by what looks whether there is something.
        let is_of_address = matches!(kind, RecordType::A | RecordType::AAAA);
        let is_told = mac.is_some_and(|mac| is_of_address && self.is_new(mac, name, rcode));
        let what = What::Unresolved {
            name: printable(&name.to_string()),
            reason,
        };
        let fact = Fact::new(self.hub.now(), Protocol::Dns, what).with_ip(ip.to_canonical());
        match is_told {
            true => self.hub.tell(fact, level),
            false => crate::log::write(&fact, LogLevel::Debug),
        }
    }

    /// Whether this was not told of the machine yet, and not too much was.
    fn is_new(&self, mac: MacAddr, name: &Name, rcode: Rcode) -> bool {
        let now = self.hub.now().mono;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Told {
            machines, order, ..
        } = &mut *told;
        if !machines.contains_key(&mac) {
            while order.len() >= MACHINES_MAX {
                let oldest = order.pop_front();
                oldest.and_then(|oldest| machines.remove(&oldest));
            }
            order.push_back(mac);
        }
        let machine = machines.entry(mac).or_insert_with(|| Machine {
            since: now,
            names: Vec::new(),
        });
        if now.saturating_duration_since(machine.since) >= FACTS_TIME {
            (machine.since, machine.names) = (now, Vec::new());
        }
        let is_known = machine
            .names
            .iter()
            .any(|(known, of)| known == name && *of == rcode);
        if is_known || machine.names.len() >= FACTS_MAX {
            return false;
        }
        machine.names.push((name.clone(), rcode));
        true
    }

    fn note(&self, peer: Option<&Peer>, level: LogLevel, name: &'static str, text: String) {
        let mut fact = Fact::new(self.hub.now(), Protocol::Dns, What::Note { name, text });
        fact.ip = peer.map(|peer| peer.remote.ip().to_canonical());
        self.hub.note(fact, level);
    }
}

/// `dns query` asks like this.
fn is_our_own(peer: &Peer) -> bool {
    peer.remote.port() == OWN_PORT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::Machine;
    use pxe_dns::{Service, Transport};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    const LEASED: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 30);
    const MAC: MacAddr = MacAddr::new([0x52, 0x54, 0, 0, 0, 1]);

    /// Asks a service without zones, which refuses all, for these names.
    fn facts_after(from: Ipv4Addr, names: &[&str]) -> (Vec<String>, u64) {
        let hub = Arc::new(Hub::new(Arc::default()));
        let what = What::Leased {
            address: LEASED,
            seconds: 600,
            file: None,
        };
        let leased = Fact::new(hub.now(), Protocol::Dhcp, what).with_mac(MAC);
        hub.tell(leased, LogLevel::Info);
        let observer = DnsObserver::new(Arc::clone(&hub));
        let service = Service::builder()
            .on_event(move |event| observer.observe(event))
            .build();
        for name in names {
            let name: Name = name.parse().expect("a name");
            let query = crate::dns::query(name.as_ref(), RecordType::A);
            let peer = Peer::new(SocketAddr::new(IpAddr::V4(from), 40_000), Transport::Tcp);
            let _ = service.handle(hub.now(), &peer, &query, &mut Vec::new());
        }
        let machine = hub.machines().by_mac(MAC);
        let told = |machine: Machine| {
            let facts = machine.facts.into_iter();
            let facts = facts.filter(|fact| fact.protocol == Protocol::Dns);
            facts.map(|fact| fact.what.to_string()).collect()
        };
        let refused = hub.counters().get(&(Protocol::Dns, "refused")).copied();
        assert_eq!(hub.machines().len(), 1, "no other is remembered");
        (
            machine.map(told).unwrap_or_default(),
            refused.unwrap_or_default(),
        )
    }

    #[test]
    fn a_name_in_vain_is_told_once_of_a_machine_that_has_a_lease() {
        let (told, refused) = facts_after(LEASED, &["a.lan", "A.lan", "b.lan"]);
        assert_eq!((told.len(), refused), (2, 3), "{told:?}");
        let begin = "no address for a.lan.: it is in no zone here, and others are not asked";
        assert!(told[0].starts_with(begin), "{told:?}");
        let many: Vec<String> = (0..20).map(|number| format!("n{number}.lan")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(facts_after(LEASED, &many).0.len(), FACTS_MAX);
    }

    #[test]
    fn a_stranger_is_counted_and_not_remembered() {
        let stranger = Ipv4Addr::new(192, 0, 2, 9);
        assert_eq!(facts_after(stranger, &["a.lan"]), (Vec::new(), 1));
    }
}
