//! The server without its sockets: a query in, a response out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use pxe_core::Now;

use crate::wire::{Query, Response};
use crate::zone::ZoneAnswer;
use crate::{AccessList, DynamicRecords, Event, Limits, Name, Rcode, Record, RecordType, Zone};

/// Answers queries. Cheap to clone; all clones are one.
///
/// It knows no socket, thread or clock. A driver (`Server`, with the feature `tokio`) brings it
/// queries and asks others for what is not in its zones.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    recursion: RwLock<AccessList>,
    dynamic: DynamicRecords,
    limits: Limits,
    on_event: Box<dyn Fn(&Event) + Send + Sync>,
}

/// A zone, and who may ask for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServedZone {
    /// What is answered.
    pub zone: Zone,
    /// Who is answered; all others are refused.
    pub query: AccessList,
    /// Who may have the whole zone (AXFR).
    pub transfer: AccessList,
    /// What is added to the serial of the file. For a zone with dynamic records: the seconds
    /// since a date that never changes, when it is loaded. Each change of such records adds one
    /// to the serial, which is forgotten when the server ends; so the next one begins with a
    /// larger serial (RFC 1982), unless there was more than one change a second.
    ///
    /// While the server runs a serial never goes back: a zone that is loaded again with another
    /// content gets one that follows the one before, whatever its file says.
    pub serial_offset: u32,
}

impl ServedZone {
    /// A zone that everybody may ask for and nobody may have.
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            query: AccessList::any(),
            transfer: AccessList::none(),
            serial_offset: 0,
        }
    }
}

/// By what a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// In a datagram: the sender's address may be forged.
    Udp,
    /// Over a connection.
    Tcp,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The client's address and port.
    pub remote: SocketAddr,
    /// The address that was asked, if known.
    pub local_ip: Option<IpAddr>,
    /// By what it asks.
    pub transport: Transport,
}

impl Peer {
    /// A client.
    pub const fn new(remote: SocketAddr, transport: Transport) -> Self {
        Self {
            remote,
            local_ip: None,
            transport,
        }
    }
}

/// What is to be done with a query.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Outcome {
    /// The response was appended to the buffer.
    Replied,
    /// Nothing is to be sent.
    Ignored,
    /// Others are to be asked; their answer goes to [`Service::answer_forwarded`].
    Forward(Forwarding),
}

/// A query that others are to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarding {
    /// Who asked.
    pub peer: Peer,
    /// The name.
    pub name: Name,
    /// The type.
    pub kind: RecordType,
    /// The query as it came.
    pub(crate) message: Vec<u8>,
}

/// What others answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// What came of it.
    pub rcode: Rcode,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section: an SOA record says for how long there is nothing.
    pub authorities: Vec<Record>,
}

impl Resolved {
    /// An answer without authority section.
    pub const fn new(rcode: Rcode, answers: Vec<Record>) -> Self {
        Self {
            rcode,
            answers,
            authorities: Vec::new(),
        }
    }
}

impl Service {
    /// A service without zones, which asks nobody.
    pub fn builder() -> ServiceBuilder {
        ServiceBuilder {
            zones: Vec::new(),
            recursion: AccessList::none(),
            limits: Limits::default(),
            on_event: Box::new(|_| {}),
        }
    }

    /// Answers a message, or says what else is to be done. The response is appended to `reply`.
    pub fn handle(&self, _now: Now, peer: &Peer, message: &[u8], reply: &mut Vec<u8>) -> Outcome {
        match Query::parse(message) {
            Ok(query) => {
                let len_max = match peer.transport {
                    Transport::Udp => query.udp_len_max(),
                    Transport::Tcp => u16::MAX.into(),
                };
                let mut response = Response::new(&query, len_max, reply);
                let zones = self.inner.dynamic.zones();
                match zones.answer(peer, &query, &mut response) {
                    ZoneAnswer::Complete | ZoneAnswer::Referral | ZoneAnswer::Alias(_) => {}
                    ZoneAnswer::NotHere | ZoneAnswer::Refused => {
                        response.set_rcode(Rcode::REFUSED);
                    }
                }
                response.finish();
                Outcome::Replied
            }
            Err(why) => {
                Response::reject(why, reply);
                match reply.is_empty() {
                    true => Outcome::Ignored,
                    false => Outcome::Replied,
                }
            }
        }
    }

    /// Answers a query with what others said of it.
    pub fn answer_forwarded(
        &self,
        forwarding: &Forwarding,
        _resolved: &Resolved,
        reply: &mut Vec<u8>,
    ) {
        if let Ok(query) = Query::parse(&forwarding.message) {
            Response::new(&query, query.udp_len_max(), reply).finish();
        }
    }

    /// From now on these zones are served and no others. Records of
    /// [`dynamic`](Self::dynamic) stay.
    pub fn set_zones(&self, zones: Vec<ServedZone>) {
        let before = self.inner.dynamic.zones_mut().replace(zones);
        drop(before);
    }

    /// From now on others are asked for these clients and no others.
    pub fn set_recursion(&self, clients: AccessList) {
        let current = self.inner.recursion.write();
        *current.unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// Records that come and go while the server runs.
    pub fn dynamic(&self) -> &DynamicRecords {
        &self.inner.dynamic
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Tells what happened, as the driver does.
    pub fn tell(&self, event: &Event) {
        (self.inner.on_event)(event);
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// Makes a [`Service`].
pub struct ServiceBuilder {
    zones: Vec<ServedZone>,
    recursion: AccessList,
    limits: Limits,
    on_event: Box<dyn Fn(&Event) + Send + Sync>,
}

impl ServiceBuilder {
    /// The same with one more zone.
    #[must_use]
    pub fn zone(mut self, zone: ServedZone) -> Self {
        self.zones.push(zone);
        self
    }

    /// The same, asking others for these clients.
    #[must_use]
    pub fn recursion(mut self, clients: AccessList) -> Self {
        self.recursion = clients;
        self
    }

    /// The same with other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same, telling this what happens.
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Box::new(on_event);
        self
    }

    /// The service.
    pub fn build(self) -> Service {
        let dynamic = DynamicRecords::new(&self.limits);
        drop(dynamic.zones_mut().replace(self.zones));
        Service {
            inner: Arc::new(Inner {
                recursion: RwLock::new(self.recursion),
                dynamic,
                limits: self.limits,
                on_event: self.on_event,
            }),
        }
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder").finish_non_exhaustive()
    }
}
