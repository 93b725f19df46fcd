//! The server without its sockets: a query in, a response out.

mod builder;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use pxe_core::{Instant, Now};

use crate::rate_limit::{Account, Kind, RateLimit, Verdict};
use crate::wire::{DATAGRAM_LEN_MIN, HEADER_LEN, NoQuery, Opcode, Query, Response, Section};
use crate::zone::ZoneAnswer;
use crate::{
    AccessList, Answered, Class, DynamicRecords, Event, Forwarding, Limits, LocalZones, Name,
    NameRef, Peer, RateLimited, Rcode, RecordType, Refusal, Refused, Resolved, Transfer, Transport,
    Zone,
};

pub use self::builder::ServiceBuilder;

/// Octets of a message by TCP at most (RFC 1035 section 4.2.2).
const TCP_LEN_MAX: usize = u16::MAX as usize;

/// Answers queries. Cheap to clone; all clones are one.
///
/// It knows no socket, thread or clock. A driver (`Server`, with the feature `tokio`) brings it
/// queries and asks others for what is not in its zones.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    /// The zones, with the records that come and go.
    dynamic: DynamicRecords,
    recursion: RwLock<Recursion>,
    rate_limit: RateLimit,
    limits: Limits,
    on_event: Option<OnEvent>,
}

type OnEvent = Box<dyn Fn(&Event) + Send + Sync>;

/// For whom others are asked, and for what they are not.
struct Recursion {
    clients: AccessList,
    local_zones: LocalZones,
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
    /// By TCP: these messages are to be sent, one after the other.
    Transfer(Transfer),
}

/// A query, and what is known of who sent it.
struct Asked<'a> {
    now: Instant,
    peer: &'a Peer,
    query: Query<'a>,
    may_recurse: bool,
}

/// What was made of a query.
enum Decision {
    /// The response is complete.
    Answered,
    Refused(Refusal),
    /// Others are to be asked for this name, or for that of the question.
    Forward(Option<Name>),
    Transfer(Transfer),
}

impl Service {
    /// A service without zones, which asks nobody.
    pub fn builder() -> ServiceBuilder {
        ServiceBuilder::default()
    }

    /// Answers a message, or says what else is to be done. The response is appended to `reply`.
    ///
    /// In this order: what is no query is rejected; by UDP, a client that is over its rate gets an
    /// empty response or none; another class than the Internet's is refused; then the zones decide,
    /// by the longest name. What is in none of them is refused, or given to others if the client
    /// wishes that and is one for whom they are asked.
    pub fn handle(&self, now: Now, peer: &Peer, message: &[u8], reply: &mut Vec<u8>) -> Outcome {
        if !peer.is_answerable() {
            return Outcome::Ignored;
        }
        let may_recurse = self.may_recurse(peer.remote.ip());
        match Query::parse(message) {
            Ok(query) => {
                let asked = Asked {
                    now: now.mono,
                    peer,
                    query,
                    may_recurse,
                };
                self.handle_query(&asked, reply)
            }
            Err(why) => {
                let why = self.changed(why, peer, message);
                if let NoQuery::Ignored = why {
                    self.tell_with(|| Event::Malformed(*peer));
                    return Outcome::Ignored;
                }
                // One of our own has one account for all that it sends.
                let kind = (!may_recurse).then_some(Kind::Error);
                if self.verdict(now.mono, peer, may_recurse, kind) != Verdict::Send {
                    return Outcome::Ignored;
                }
                Response::reject(why, reply);
                Outcome::Replied
            }
        }
    }

    fn handle_query(&self, asked: &Asked<'_>, reply: &mut Vec<u8>) -> Outcome {
        let Asked {
            now,
            peer,
            ref query,
            may_recurse,
        } = *asked;
        let start = reply.len();
        // Those of our own are counted before anything is done for them.
        let verdict = self.verdict(now, peer, may_recurse, None);
        if verdict != Verdict::Send {
            return self.send_limited(asked, verdict, reply);
        }
        let mut response = Response::new(query, self.len_max(peer, query), reply);
        if may_recurse {
            response.set_recursion_available();
        }
        let decision = self.decide(asked, &mut response);
        match decision {
            Decision::Answered | Decision::Refused(_) => {}
            Decision::Forward(name) => {
                reply.truncate(start);
                let name = name.unwrap_or_else(|| query.name.to_name());
                return Outcome::Forward(Forwarding::new(*peer, name, query));
            }
            Decision::Transfer(transfer) => {
                reply.truncate(start);
                return Outcome::Transfer(transfer);
            }
        }
        let rcode = response.rcode();
        let is_truncated = response.is_truncated();
        let kind = Kind::new(rcode, response.count(Section::Answer) > 0);
        response.finish();
        let verdict = self.verdict(now, peer, may_recurse, Some(kind));
        if verdict != Verdict::Send {
            reply.truncate(start);
            return self.send_limited(asked, verdict, reply);
        }
        self.tell_with(|| match decision {
            Decision::Refused(why) => Event::Refused(Refused {
                peer: *peer,
                name: query.name.to_name(),
                kind: query.kind,
                why,
            }),
            _ => Event::Answered(Answered {
                peer: *peer,
                name: query.name.to_name(),
                kind: query.kind,
                rcode,
                is_truncated,
            }),
        });
        Outcome::Replied
    }

    /// Writes the response, or says who has it.
    fn decide(&self, asked: &Asked<'_>, response: &mut Response<'_>) -> Decision {
        let query = &asked.query;
        if query.class != Class::IN {
            response.set_rcode(Rcode::REFUSED);
            return Decision::Refused(Refusal::Class);
        }
        if matches!(query.kind, RecordType::AXFR | RecordType::IXFR) {
            return self.decide_transfer(asked, response);
        }
        let asks_others = query.rd && asked.may_recurse;
        let mark = response.mark();
        let answer = self
            .inner
            .dynamic
            .zones()
            .answer(asked.peer, query, response);
        match answer {
            ZoneAnswer::Complete => Decision::Answered,
            ZoneAnswer::Refused => {
                response.set_rcode(Rcode::REFUSED);
                Decision::Refused(Refusal::Query)
            }
            ZoneAnswer::Referral | ZoneAnswer::Alias(_) | ZoneAnswer::NotHere if asks_others => {
                let name = match answer {
                    ZoneAnswer::Alias(name) => Some(name),
                    _ => None,
                };
                let target = name.as_ref().map_or(query.name, Name::as_ref);
                match self.local_answer(target, query.kind) {
                    None => Decision::Forward(name),
                    Some(local) => {
                        if name.is_none() {
                            response.rewind(mark);
                            response.set_authoritative();
                        }
                        append(response, &local);
                        Decision::Answered
                    }
                }
            }
            ZoneAnswer::Referral | ZoneAnswer::Alias(_) => Decision::Answered,
            ZoneAnswer::NotHere => {
                response.set_rcode(Rcode::REFUSED);
                Decision::Refused(Refusal::NotHere)
            }
        }
    }

    /// Gives the client the zone, or says why not.
    fn decide_transfer(&self, asked: &Asked<'_>, response: &mut Response<'_>) -> Decision {
        let transfer = self
            .inner
            .dynamic
            .zones()
            .transfer(asked.peer, &asked.query);
        match (transfer, asked.peer.transport) {
            (Ok(transfer), Transport::Tcp) => Decision::Transfer(transfer),
            (Ok(transfer), Transport::Udp) => {
                // The version alone, so that the client knows whether to come by TCP.
                response.set_authoritative();
                if transfer.push_soa(response).is_err() {
                    response.set_truncated();
                }
                Decision::Answered
            }
            (Err(rcode), _) => {
                response.set_rcode(rcode);
                Decision::Refused(Refusal::Transfer)
            }
        }
    }

    /// What every server has of its own.
    fn local_answer(&self, name: NameRef<'_>, kind: RecordType) -> Option<Resolved> {
        let recursion = self.inner.recursion.read();
        let recursion = recursion.unwrap_or_else(PoisonError::into_inner);
        recursion.local_zones.answer(name, kind)
    }

    /// Sends what is left of a response that is over the rate.
    fn send_limited(&self, asked: &Asked<'_>, verdict: Verdict, reply: &mut Vec<u8>) -> Outcome {
        if verdict == Verdict::Drop {
            return Outcome::Ignored;
        }
        let query = &asked.query;
        let mut response = Response::new(query, self.len_max(asked.peer, query), reply);
        response.set_truncated();
        response.finish();
        Outcome::Replied
    }

    /// Counts a response by UDP. Its kind is `None` before it is known.
    fn verdict(&self, now: Instant, peer: &Peer, may_recurse: bool, kind: Option<Kind>) -> Verdict {
        let ip = peer.remote.ip();
        // A datagram with a loopback address comes from no network.
        if peer.transport != Transport::Udp || ip.to_canonical().is_loopback() {
            return Verdict::Send;
        }
        let account = match (may_recurse, kind) {
            (true, None) => Account::Own(ip),
            (false, Some(kind)) => Account::Stranger(ip, kind),
            (true, Some(_)) | (false, None) => return Verdict::Send,
        };
        let verdict = self.inner.rate_limit.count(now, account);
        if verdict != Verdict::Send {
            self.tell_rate_limited(now, Some(*peer));
        }
        verdict
    }

    /// Tells of responses that were over the rate, if there are some that were not told. A driver
    /// calls it from time to time, so that the last ones of a flood are told after it, too.
    pub fn tell_untold(&self, now: Now) {
        self.tell_rate_limited(now.mono, None);
    }

    fn tell_rate_limited(&self, now: Instant, peer: Option<Peer>) {
        if self.inner.on_event.is_some()
            && let Some(untold) = self.inner.rate_limit.untold(now)
        {
            self.tell(&Event::RateLimited(RateLimited {
                peer,
                dropped: untold.dropped,
                truncated: untold.truncated,
            }));
        }
    }

    /// What is said to who wants to change a zone: what BIND says, unless that is allowed (RFC 2136
    /// section 3.1.1 and 3.3).
    fn changed(&self, why: NoQuery, peer: &Peer, message: &[u8]) -> NoQuery {
        let NoQuery::Rejected {
            id,
            opcode: opcode @ (Opcode::UPDATE | Opcode::NOTIFY),
            rd,
            has_edns,
            ..
        } = why
        else {
            self.tell_with(|| Event::Malformed(*peer));
            return why;
        };
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        let name = NameRef::from_wire(body).ok();
        let is_ours = name.is_some_and(|name| {
            let zones = self.inner.dynamic.zones();
            let found = zones.find(name);
            found.is_some_and(|found| found.zone.origin() == name)
        });
        if let Some(name) = name {
            self.tell_with(|| {
                Event::Refused(Refused {
                    peer: *peer,
                    name: name.to_name(),
                    kind: RecordType::SOA,
                    why: Refusal::Change,
                })
            });
        }
        NoQuery::Rejected {
            id,
            opcode,
            rd,
            rcode: match is_ours {
                true => Rcode::REFUSED,
                false => Rcode::NOTAUTH,
            },
            has_edns,
        }
    }

    /// Answers a query with what others said of it. The response is appended to `reply`.
    pub fn answer_forwarded(
        &self,
        forwarding: &Forwarding,
        resolved: &Resolved,
        reply: &mut Vec<u8>,
    ) {
        if let Some(answered) = self.write_forwarded(forwarding, resolved, reply) {
            self.tell_with(|| Event::Forwarded(answered()));
        }
    }

    /// The same without telling it. Returns what there is to tell.
    pub(crate) fn write_forwarded<'a>(
        &self,
        forwarding: &'a Forwarding,
        resolved: &Resolved,
        reply: &mut Vec<u8>,
    ) -> Option<impl FnOnce() -> Answered + use<'a>> {
        let query = Query::parse(&forwarding.message).ok()?;
        let peer = &forwarding.peer;
        let (start, len_max) = (reply.len(), self.len_max(peer, &query));
        let mut response = Response::new(&query, len_max, reply);
        if forwarding.name.as_ref() == query.name {
            append(&mut response, resolved);
        } else {
            // The aliases that lead there, or what the zones have become meanwhile.
            let zones = self.inner.dynamic.zones();
            match zones.answer(peer, &query, &mut response) {
                ZoneAnswer::Complete => {}
                ZoneAnswer::Alias(name) if name == forwarding.name => {
                    append(&mut response, resolved);
                }
                // Something else is to be asked now: by the client, once more.
                _ => {
                    response.finish();
                    reply.truncate(start);
                    response = Response::new(&query, len_max, reply);
                    response.set_rcode(Rcode::SERVFAIL);
                }
            }
        }
        response.set_recursion_available();
        let (rcode, is_truncated) = (response.rcode(), response.is_truncated());
        response.finish();
        Some(move || Answered {
            peer: *peer,
            name: query.name.to_name(),
            kind: query.kind,
            rcode,
            is_truncated,
        })
    }

    /// From now on these zones are served and no others. Records of
    /// [`dynamic`](Self::dynamic) stay. Queries that are being answered are answered from the
    /// zones as they were.
    pub fn set_zones(&self, zones: Vec<ServedZone>) {
        let before = self.inner.dynamic.zones_mut().replace(zones);
        // That takes its time: others go on meanwhile.
        drop(before);
    }

    /// The serial with which a zone is served now ([`ServedZone::serial_offset`]); `None` if no zone
    /// has this name.
    pub fn serial(&self, origin: NameRef<'_>) -> Option<u32> {
        let zones = self.inner.dynamic.zones();
        let found = zones.find(origin)?;
        (found.zone.origin() == origin).then(|| found.zone.serial())
    }

    /// From now on others are asked for these clients and no others.
    pub fn set_recursion(&self, clients: AccessList) {
        let recursion = self.inner.recursion.write();
        recursion.unwrap_or_else(PoisonError::into_inner).clients = clients;
    }

    /// From now on these names are answered here, where others would be asked for them.
    pub fn set_local_zones(&self, local_zones: LocalZones) {
        let recursion = self.inner.recursion.write();
        recursion
            .unwrap_or_else(PoisonError::into_inner)
            .local_zones = local_zones;
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
        if let Some(on_event) = &self.inner.on_event {
            on_event(event);
        }
    }

    /// The same, of what costs something to make.
    pub(crate) fn tell_with(&self, event: impl FnOnce() -> Event) {
        if let Some(on_event) = &self.inner.on_event {
            on_event(&event());
        }
    }

    /// Whether others are asked for this client.
    fn may_recurse(&self, client: IpAddr) -> bool {
        let recursion = self.inner.recursion.read();
        let recursion = recursion.unwrap_or_else(PoisonError::into_inner);
        recursion.clients.allows(client)
    }

    /// What a response may be long.
    fn len_max(&self, peer: &Peer, query: &Query<'_>) -> usize {
        match peer.transport {
            Transport::Tcp => TCP_LEN_MAX,
            Transport::Udp => {
                let ours = self.inner.limits.udp_len_max.max(DATAGRAM_LEN_MIN);
                query.udp_len_max().min(ours)
            }
        }
    }
}

/// Appends what others said.
fn append(response: &mut Response<'_>, resolved: &Resolved) {
    response.set_rcode(resolved.rcode);
    let sections = [
        (Section::Answer, &resolved.answers),
        (Section::Authority, &resolved.authorities),
    ];
    for (section, records) in sections {
        for record in records {
            let owner = record.owner.as_ref();
            let pushed = response.push(
                section,
                owner,
                record.kind,
                record.ttl_seconds,
                &record.data,
            );
            if pushed.is_err() {
                // An answer is whole without the authority section (RFC 2181 section 9).
                if section == Section::Answer || resolved.answers.is_empty() {
                    response.set_truncated();
                }
                return;
            }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
