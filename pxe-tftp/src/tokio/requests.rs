//! Packets that come to listening sockets: which thread takes them.

use std::net::SocketAddr;
use std::sync::Arc;

use pxe_core::{Now, RecvMeta};

use super::claims::{Asked, Claims};
use super::control::Shared;
use super::jobs::Mail;
use super::mailbox::Mailbox;
use crate::engine::{Engine, without_flow};
use crate::event::{Limit, Peer};
use crate::wire::Opcode;

/// Packets in a thread's mail that other threads put there; beyond, they are lost, as in the full
/// buffer of a socket, and [`Limit::Incoming`] is told.
const HANDED_OVER_MAX: usize = 256;

/// Where requests go to the processor that they arrived at: what the threads know of each other.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) claims: Claims,
    /// Addresses at which each thread has a socket.
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) mailboxes: Vec<Arc<Mailbox<Mail>>>,
}

/// A packet for another thread.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) asked: SocketAddr,
    pub(super) meta: RecvMeta,
    pub(super) payload: Vec<u8>,
}

/// What a thread needs to take a packet.
pub(super) struct Reception<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) shared: &'a Shared,
    pub(super) desk: Option<&'a Desk>,
    /// The thread.
    pub(super) number: usize,
    /// The address of the socket that it came to.
    pub(super) asked: SocketAddr,
    pub(super) now: Now,
}

impl Reception<'_> {
    /// Takes a datagram that came to a listening socket: of this thread, or of another one that
    /// handed it over.
    pub(super) fn take(&mut self, meta: &RecvMeta, payload: &[u8]) {
        let starts_with = |opcode: Opcode| payload.starts_with(&opcode.0.to_be_bytes());
        let is_request = starts_with(Opcode::RRQ);
        // Where any thread may get this client's packets.
        let desk = self.desk.filter(|desk| desk.addrs.contains(&self.asked));
        let owner = match desk {
            // Where another thread handed it over, the transfer may have ended here meanwhile, and
            // the next one begun elsewhere.
            Some(desk) if is_request => desk.claims.claim(self.asked(meta), self.number),
            // A client that gives up before it was answered.
            Some(desk) if starts_with(Opcode::ERROR) => {
                let owner = desk.claims.owner(self.asked(meta));
                owner.unwrap_or(self.number)
            }
            _ => self.number,
        };
        if owner != self.number {
            self.hand_over(owner, meta, payload);
        } else if is_request {
            self.admit(meta, payload);
        } else {
            // Nothing else needs a count, and in single-port mode all ACKs come here.
            self.engine.handle_datagram(self.now, meta, payload);
        }
    }

    fn asked(&self, meta: &RecvMeta) -> Asked {
        (without_flow(meta.remote), self.asked)
    }

    fn hand_over(&mut self, owner: usize, meta: &RecvMeta, payload: &[u8]) {
        let mailbox = self.desk.and_then(|desk| desk.mailboxes.get(owner));
        let has_room = self.shared.put_handed_over(owner, HANDED_OVER_MAX);
        match mailbox.filter(|_| has_room) {
            Some(mailbox) => mailbox.put(Mail::HandedOver(HandedOver {
                asked: self.asked,
                meta: *meta,
                payload: payload.to_vec(),
            })),
            None => {
                let peer = Peer {
                    remote: without_flow(meta.remote),
                    local_ip: meta.local_ip,
                    interface: meta.interface,
                };
                let now = self.now.mono;
                self.engine.limit_reached(now, Limit::Incoming, peer);
            }
        }
    }

    fn admit(&mut self, meta: &RecvMeta, payload: &[u8]) {
        let (engine, shared, number) = (&mut *self.engine, self.shared, self.number);
        let remote = meta.remote.ip();
        engine.set_transfers_elsewhere(shared.transfers_elsewhere(number));
        let elsewhere = shared.transfers_of_remote_elsewhere(number, remote);
        engine.set_transfers_of_remote_elsewhere(elsewhere);
        engine.set_unanswered_elsewhere(shared.longest_unanswered_elsewhere(number));
        engine.handle_datagram(self.now, meta, payload);
        for _ in 0..engine.take_displacements() {
            shared.displace_elsewhere(number);
        }
        shared.set_transfers(number, engine.transfers());
        let here = engine.transfers_of_remote(remote);
        shared.set_transfers_of_remote(number, remote, here);
        self.release(meta);
    }

    /// Lets go of a client that has no transfer here.
    fn release(&self, meta: &RecvMeta) {
        if let Some(desk) = self.desk
            && !self.engine.has_transfer(meta.remote, meta.socket)
        {
            desk.claims.release(self.asked(meta), self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use pxe_core::{BatchLimit, Instant, SocketId, UnixTime};

    use super::*;
    use crate::config::{Config, Limits, PortMode};
    use crate::event::Event;
    use crate::output::{FileInfo, Output};
    use crate::send_buffer::SendBuffer;

    const RRQ: &[u8] = b"\0\x01file\0octet\0";
    const ERROR: &[u8] = b"\0\x05\0\0enough\0";

    /// Threads that only take packets.
    struct Threads {
        engines: Vec<Engine>,
        shared: Arc<Shared>,
        desk: Desk,
        now: Now,
    }

    impl Threads {
        fn new(config: &Config) -> Self {
            let shared = Arc::new(Shared::default());
            shared.prepare(2).expect("wakers");
            let mailbox = |number| Arc::new(Mailbox::new(Arc::clone(&shared), number));
            Self {
                engines: (0..2).map(|_| Engine::new(config.clone())).collect(),
                desk: Desk {
                    claims: Claims::default(),
                    addrs: vec![asked()],
                    mailboxes: (0..2).map(mailbox).collect(),
                },
                shared,
                now: Now::new(Instant::from_nanos(1), UnixTime::from_seconds(0)),
            }
        }

        fn take(&mut self, number: usize, port: u16, payload: &[u8]) {
            let mut reception = Reception {
                engine: &mut self.engines[number],
                shared: &self.shared,
                desk: Some(&self.desk),
                number,
                asked: asked(),
                now: self.now,
            };
            reception.take(&RecvMeta::new(SocketId(0), client(port)), payload);
        }

        /// Takes all that others have handed over; how much that was.
        fn take_mail(&mut self, number: usize) -> usize {
            let mails = self.desk.mailboxes[number].take();
            let count = mails.len();
            for mail in mails {
                let Mail::HandedOver(packet) = mail else {
                    panic!("{mail:?}");
                };
                self.shared.take_handed_over(number);
                self.take(number, packet.meta.remote.port(), &packet.payload);
            }
            count
        }

        /// Sends the first packet of all transfers of a thread, of an empty file.
        fn answer(&mut self, number: usize) {
            let engine = &mut self.engines[number];
            while let Some(output) = engine.poll_output() {
                if let Output::Incoming(incoming) = output {
                    assert!(engine.accept(self.now, incoming, FileInfo::new(0)));
                }
            }
            let (limit, mut buffer) = (BatchLimit::ONE, SendBuffer::new());
            while engine.poll_transmit(self.now, limit, &mut buffer).is_some() {
                buffer.clear();
            }
        }

        fn transfers(&self) -> [usize; 2] {
            [0, 1].map(|number| self.engines[number].transfers())
        }

        fn owner(&self, port: u16) -> Option<usize> {
            self.desk.claims.owner((client(port), asked()))
        }

        /// Which of these a thread tells.
        fn events(&mut self, number: usize, which: fn(&Event) -> bool) -> usize {
            let engine = &mut self.engines[number];
            let outputs = std::iter::from_fn(|| engine.poll_output());
            let is_one = |output: &Output| matches!(output, Output::Event(event) if which(event));
            outputs.filter(is_one).count()
        }
    }

    fn asked() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 69))
    }

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_request_is_repeated_where_its_transfer_is() {
        let mut threads = Threads::new(&Config::new());
        threads.take(1, 1000, RRQ);
        threads.take(0, 1000, RRQ);
        assert_eq!(
            (threads.transfers(), threads.owner(1000)),
            ([0, 1], Some(1))
        );
        assert_eq!(threads.take_mail(1), 1);
        assert_eq!(threads.transfers(), [0, 1]);
        let is_repeated = |event: &Event| matches!(event, Event::RequestRepeated { .. });
        assert_eq!(threads.events(1, is_repeated), 1);
        // Another client is served where it comes.
        threads.take(0, 1001, RRQ);
        assert_eq!(
            (threads.transfers(), threads.owner(1001)),
            ([1, 1], Some(0))
        );
    }

    #[test]
    fn a_client_may_give_up_on_another_processor_before_it_is_answered() {
        let mut threads = Threads::new(&Config::new());
        threads.take(1, 1000, RRQ);
        threads.take(0, 1000, ERROR);
        assert_eq!(threads.take_mail(1), 1);
        assert_eq!(threads.transfers(), [0, 0]);
        // One of a stranger's is nobody's.
        threads.take(0, 1001, ERROR);
        assert_eq!((threads.owner(1001), threads.take_mail(1)), (None, 0));
    }

    #[test]
    fn a_request_that_was_handed_over_too_late_is_taken() {
        let mut threads = Threads::new(&Config::new());
        threads.take(1, 1000, RRQ);
        threads.take(0, 1000, RRQ);
        threads.take(0, 1001, RRQ);
        threads.take(1, 1001, RRQ);
        // Meanwhile their transfers end, and one begins anew elsewhere.
        threads.engines = vec![Engine::new(Config::new()), Engine::new(Config::new())];
        threads.desk.claims.release((client(1000), asked()), 1);
        threads.desk.claims.release((client(1001), asked()), 0);
        threads.take(1, 1001, RRQ);
        assert_eq!((threads.take_mail(1), threads.take_mail(0)), (1, 1));
        assert_eq!(
            (threads.owner(1000), threads.owner(1001)),
            (Some(1), Some(1))
        );
        assert_eq!((threads.transfers(), threads.take_mail(1)), ([0, 2], 1));
        assert_eq!(threads.transfers(), [0, 2]);
    }

    #[test]
    fn requests_that_are_refused_leave_no_claims() {
        let mut config = Config::new();
        config.limits.transfers_max = 10;
        config.limits.transfers_per_remote_max = 10;
        let mut threads = Threads::new(&config);
        for port in 1..=5000 {
            threads.take(usize::from(port % 2), port, RRQ);
            threads.take(usize::from(port % 2), port, b"\0\x01 malformed");
        }
        let owned = (1..=5000).filter(|port| threads.owner(*port).is_some());
        let transfers: usize = threads.transfers().iter().sum();
        assert_eq!((owned.count(), transfers), (10, 10));
    }

    #[test]
    fn what_is_handed_over_and_not_taken_is_bounded() {
        let mut threads = Threads::new(&Config::new());
        threads.take(1, 1000, RRQ);
        for _ in 0..HANDED_OVER_MAX + 3 {
            threads.take(0, 1000, RRQ);
        }
        let is_limit = |event: &Event| {
            let limit = Limit::Incoming;
            matches!(event, Event::LimitReached { limit: reached, .. } if *reached == limit)
        };
        assert_eq!(threads.events(0, is_limit), 3);
        assert_eq!(threads.take_mail(1), HANDED_OVER_MAX);
        // Now there is room again.
        threads.take(0, 1000, RRQ);
        assert_eq!((threads.take_mail(1), threads.events(0, is_limit)), (1, 0));
    }

    /// A flood comes to one processor and takes all places, and then clients ask at another one.
    #[test]
    fn requests_at_one_processor_get_places_of_unanswered_ones_at_another() {
        let places = 40;
        let limits = Limits::default().with_transfers_max(places);
        let limits = limits.with_transfers_per_remote_max(100);
        let config = Config::new().with_ports(PortMode::Single);
        let mut threads = Threads::new(&config.with_limits(limits));
        for port in 0..40 {
            threads.take(0, 1000 + port, RRQ);
        }
        threads.answer(0);
        let publish = |threads: &Threads| {
            let engine = &threads.engines[0];
            threads.shared.set_transfers(0, engine.transfers());
            let since = |rank| engine.unanswered_since(rank);
            threads.shared.set_unanswered(0, since);
        };
        publish(&threads);
        assert_eq!(threads.transfers(), [places, 0]);
        threads.take(1, 2000, RRQ);
        assert_eq!(threads.transfers(), [places, 0], "they may still answer");

        let later = Instant::from_nanos(1_000_000_000);
        threads.now = Now::new(later, UnixTime::from_seconds(0));
        for port in 0..20 {
            threads.take(1, 2001 + port, RRQ);
        }
        // As many as it may be asked for at once.
        assert_eq!(threads.transfers(), [places, 16]);
        assert_eq!(threads.shared.displacements(0), 16);
        assert_eq!(threads.shared.displacements(1), 0);
        for _ in 0..16 {
            assert!(threads.engines[0].make_room(threads.now));
        }
        publish(&threads);
        threads.shared.have_displaced(0, 16);
        assert_eq!(threads.transfers(), [places - 16, 16]);
        threads.take(1, 3000, RRQ);
        assert_eq!(threads.transfers(), [places - 16, 17]);
        assert_eq!(threads.shared.displacements(0), 1);
    }
}
