//! Finds out whether addresses are in use: by ARP on a link of this host (RFC 5227), by ICMP echo
//! behind relays (RFC 2131 section 2.2).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::task::{Context, Poll};
use std::time::Duration;

use ::tokio::time::Instant;
use pxe_core::{IfIndex, MacAddr};

use super::interface::Interface;
use super::packet_socket::PacketSocket;
use super::ping_socket::PingSocket;
use super::ready_socket::ReadySocket;
use crate::Ticket;
use crate::frame::{Arp, BROADCAST, ETHERTYPE_ARP};

/// Packets that are read before others have a turn.
const RECEIVE_BATCH_MAX: usize = 64;
/// How often an address is asked for: one packet may be lost.
const QUESTIONS: u32 = 2;
/// Longer than any ARP packet, and than the start of an echo reply that is looked at.
const PACKET_LEN_MAX: usize = 256;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) ticket: Ticket,
    pub(super) address: Ipv4Addr,
    /// The link that the address is on, if it is not behind a relay.
    pub(super) interface: Option<&'a Interface>,
    /// Who wants the address: its own answers do not count.
    pub(super) client: Option<MacAddr>,
}

/// Why there is no answer to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoProbe {
    /// It cannot be asked.
    Impossible,
    /// Too many are asked for now.
    TooMany,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Arp { interface: IfIndex, mac: MacAddr },
    Ping { sequence: u16 },
}

#[derive(Debug)]
struct Probe {
    ticket: Ticket,
    client: Option<MacAddr>,
    way: Way,
    due: Instant,
    questions_left: u32,
}

/// All probes that wait for an answer, at most one per address.
#[derive(Debug)]
pub(super) struct Prober {
    arp: Option<ReadySocket<PacketSocket>>,
    ping: Option<ReadySocket<PingSocket>>,
    probes: BTreeMap<Ipv4Addr, Probe>,
    due: BTreeSet<(Instant, Ipv4Addr)>,
    /// How many probes are by ARP: only while there are any is ARP listened to.
    arp_probes: usize,
    sequence: u16,
    frame: Vec<u8>,
}

impl Prober {
    /// Probes with those sockets that there are.
    pub(super) fn new(arp: Option<PacketSocket>, ping: Option<PingSocket>) -> io::Result<Self> {
        Ok(Self {
            arp: arp.map(ReadySocket::new).transpose()?,
            ping: ping.map(ReadySocket::new).transpose()?,
            probes: BTreeMap::new(),
            due: BTreeSet::new(),
            arp_probes: 0,
            sequence: 0,
            frame: Vec::new(),
        })
    }

    /// Asks whether somebody uses an address. Within `wait` it is given out by
    /// [`receive`](Self::receive) or [`advance`](Self::advance).
    pub(super) fn ask(
        &mut self,
        now: Instant,
        question: &Question<'_>,
        wait: Duration,
        probes_max: usize,
    ) -> Result<(), NoProbe> {
        // All of 127.0.0.0/8 is this host's.
        if question.address.is_loopback() {
            return Err(NoProbe::Impossible);
        }
        if self.probes.len() >= probes_max {
            return Err(NoProbe::TooMany);
        }
        let by_arp = question.interface.filter(|_| self.arp.is_some());
        let by_arp = by_arp.and_then(|one| Some((one.index, one.mac?)));
        let way = match by_arp {
            Some((interface, mac)) => Way::Arp { interface, mac },
            None if self.ping.is_some() => {
                self.sequence = self.sequence.wrapping_add(1);
                let sequence = self.sequence;
                Way::Ping { sequence }
            }
            None => return Err(NoProbe::Impossible),
        };
        // The engine gives up an offer and chooses the address again: the new question replaces
        // the old one, whose ticket it has forgotten.
        self.end(question.address);
        if matches!(way, Way::Arp { .. }) {
            self.arp_probes += 1;
            if self.arp_probes == 1 {
                self.listen(ETHERTYPE_ARP);
            }
        }
        let due = now + wait / QUESTIONS;
        let probe = Probe {
            ticket: question.ticket,
            client: question.client,
            way,
            due,
            questions_left: QUESTIONS - 1,
        };
        self.probes.insert(question.address, probe);
        self.due.insert((due, question.address));
        self.send(question.address, way);
        Ok(())
    }

    /// When [`advance`](Self::advance) is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Asks again what is due; calls `free` with each probe that nobody has answered in time.
    pub(super) fn advance(&mut self, now: Instant, wait: Duration, mut free: impl FnMut(Ticket)) {
        while let Some((due, address)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            let Some(probe) = self.probes.get_mut(&address) else {
                self.due.remove(&(due, address));
                continue;
            };
            if probe.questions_left == 0 {
                let ticket = probe.ticket;
                self.end(address);
                free(ticket);
                continue;
            }
            probe.questions_left -= 1;
            probe.due = now + wait / QUESTIONS;
            let (next, way) = (probe.due, probe.way);
            self.due.remove(&(due, address));
            self.due.insert((next, address));
            self.send(address, way);
        }
    }

    /// Ready when there may be something to [`receive`](Self::receive).
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(arp) = &self.arp
            && let Poll::Ready(ready) = arp.poll_readable(context)
        {
            return Poll::Ready(ready);
        }
        match &self.ping {
            Some(ping) => ping.poll_readable(context),
            None => Poll::Pending,
        }
    }

    /// Takes what has come in; calls `in_use` with each probe that somebody has answered.
    pub(super) fn receive(&mut self, mut in_use: impl FnMut(Ticket)) {
        let mut buffer = [0; PACKET_LEN_MAX];
        for _ in 0..RECEIVE_BATCH_MAX {
            let Some(arp) = &self.arp else { break };
            let received = arp.try_read(|arp| arp.receive(&mut buffer));
            match received {
                Ok((len, interface)) => {
                    let packet = Arp::parse(buffer.get(..len).unwrap_or_default());
                    if let (Some(packet), Some(interface)) = (packet, interface)
                        && let Some((address, ticket)) = self.used(&packet, interface)
                    {
                        self.end(address);
                        in_use(ticket);
                    }
                }
                // The errors of an interface that is down come here once each and are no news.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        for _ in 0..RECEIVE_BATCH_MAX {
            let Some(ping) = &self.ping else { break };
            match ping.try_read(|ping| ping.receive(&mut buffer)) {
                Ok(Some((from, answered))) => {
                    let is_answer = |probe: &&Probe| matches!(probe.way, Way::Ping { sequence } if sequence == answered);
                    if let Some(probe) = self.probes.get(&from).filter(is_answer) {
                        let ticket = probe.ticket;
                        self.end(from);
                        in_use(ticket);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// The probe whose address this packet shows to be in use.
    fn used(&self, packet: &Arp, on: IfIndex) -> Option<(Ipv4Addr, Ticket)> {
        [packet.sender_ip, packet.target_ip]
            .into_iter()
            .find_map(|address| {
                let probe = self.probes.get(&address)?;
                let Way::Arp { interface, mac } = probe.way else {
                    return None;
                };
                let user = packet.user_of(address)?;
                let is_other = user != mac && Some(user) != probe.client;
                (is_other && interface == on).then_some((address, probe.ticket))
            })
    }

    fn end(&mut self, address: Ipv4Addr) {
        let Some(probe) = self.probes.remove(&address) else {
            return;
        };
        self.due.remove(&(probe.due, address));
        if matches!(probe.way, Way::Arp { .. }) {
            self.arp_probes -= 1;
            if self.arp_probes == 0 {
                self.listen(0);
            }
        }
    }

    /// A socket that cannot listen hears no answer: the address then counts as free, as it would
    /// without a probe.
    fn listen(&self, ethertype: u16) {
        if let Some(arp) = &self.arp {
            let _ = arp.get_ref().listen(None, ethertype);
        }
    }

    /// A question that cannot be sent has no answer, as if it were lost.
    fn send(&mut self, address: Ipv4Addr, way: Way) {
        match (way, &self.arp, &self.ping) {
            (Way::Arp { interface, mac }, Some(arp), _) => {
                self.frame.clear();
                Arp::probe(mac, address).write(BROADCAST, &mut self.frame);
                let _ = arp.get_ref().send(interface, &self.frame);
            }
            (Way::Ping { sequence }, _, Some(ping)) => {
                let _ = ping.get_ref().send(address, sequence);
            }
            _ => {}
        }
    }
}
