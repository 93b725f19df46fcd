//! The answer of the zones to a query (RFC 1034 section 4.3.2).

use super::look_up::Found;
use super::node::{Node, RrSet};
use super::sort_key::KeyBuffer;
use super::{Zone, Zones};
use crate::wire::{Full, Query, Response, Section};
use crate::{NAME_LEN_MAX, Name, NameRef, Peer, Rcode, RecordType, Transport};

/// Aliases that are followed for one query: as many as BIND follows (`max-query-restarts`).
const ALIASES_MAX: usize = 11;
/// Records of a set whose addresses are added: as many as BIND takes
/// (`DNS_RDATASET_MAXADDITIONAL`), so that one name cannot cost thousands of look-ups.
const ADDITIONAL_TARGETS_MAX: usize = 13;
/// Sets that are added at most.
const ADDITIONAL_SETS_MAX: usize = 56;
/// Octets of datagrams to which nothing is added that was not asked for, as BIND has it.
const TIGHT_LEN: u16 = 512;

/// What the zones said of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ZoneAnswer {
    /// The name is in no zone. Nothing was written.
    NotHere,
    /// The client may not ask for the zone. Nothing was written.
    Refused,
    /// The response is complete.
    Complete,
    /// The response is complete: it says which servers know the name. One for whom others are
    /// asked gets their answer instead.
    Referral,
    /// The response is complete as far as the zones know: this name, which is in none of them, is
    /// what the aliases in the answer lead to.
    Alias(Name),
}

/// A name that is made here.
#[derive(Clone)]
struct NameBuffer {
    octets: [u8; NAME_LEN_MAX],
    len: usize,
}

/// An answer that is being written.
struct Answer<'z, 'a, 'b, 'q> {
    response: &'a mut Response<'b>,
    query: &'a Query<'q>,
    transport: Transport,
    /// The zone of the name that was asked for, in which names of additional records are looked
    /// up even if aliases lead elsewhere, as BIND does.
    home: &'z Zone,
    /// DNAMEs that are in the answer, so that none is there twice.
    renamed: [Option<&'z RrSet>; ALIASES_MAX + 1],
    /// Whether the name that was asked for is being looked up, and not what it is an alias of.
    is_first: bool,
    /// Whether the servers of the zone are named where nobody asked for them.
    wants_servers: bool,
    /// Whether addresses are added that nobody asked for.
    wants_addresses: bool,
}

/// What is to be done next.
#[allow(clippy::large_enum_variant)] // one at a time, on the stack
enum Step {
    Done(ZoneAnswer),
    Follow(NameBuffer),
}

impl Zones {
    /// Writes the answer to a query of the Internet's class.
    pub(crate) fn answer(
        &self,
        peer: &Peer,
        query: &Query<'_>,
        response: &mut Response<'_>,
    ) -> ZoneAnswer {
        if let Some(rcode) = unanswerable(query.kind) {
            response.set_rcode(rcode);
            return ZoneAnswer::Complete;
        }
        let client = peer.remote.ip();
        let mut key = KeyBuffer::new(query.name);
        let Some(first) = self.find_for(key.as_slice(), query.kind) else {
            return ZoneAnswer::NotHere;
        };
        if !first.query.allows(client) {
            return ZoneAnswer::Refused;
        }
        let mut answer = Answer::new(&first.zone, peer, query, response);
        let mut alias = match answer.say(&first.zone, query.name, &key) {
            Step::Done(done) => return done,
            Step::Follow(alias) => alias,
        };
        answer.is_first = false;
        let mut seen = [None; ALIASES_MAX];
        for round in 0..ALIASES_MAX {
            if let Some(place) = seen.get_mut(round) {
                *place = Some(hash(&key));
            }
            key = KeyBuffer::new(alias.as_ref());
            if seen.contains(&Some(hash(&key))) {
                break;
            }
            let Some(served) = self.find_for(key.as_slice(), query.kind) else {
                return ZoneAnswer::Alias(alias.as_ref().to_name());
            };
            if !served.query.allows(client) {
                return ZoneAnswer::Complete;
            }
            alias = match answer.say(&served.zone, alias.as_ref(), &key) {
                Step::Done(done) => return done,
                Step::Follow(alias) => alias,
            };
        }
        // A loop, or a chain that is too long: what was found of it is in the answer, as BIND
        // has it.
        answer.response.set_rcode(Rcode::SERVFAIL);
        ZoneAnswer::Complete
    }
}

impl<'z, 'a, 'b, 'q> Answer<'z, 'a, 'b, 'q> {
    fn new(
        home: &'z Zone,
        peer: &Peer,
        query: &'a Query<'q>,
        response: &'a mut Response<'b>,
    ) -> Self {
        let is_datagram = peer.transport == Transport::Udp;
        let is_tight = is_datagram && query.edns.is_some_and(|edns| edns.udp_len_max <= TIGHT_LEN);
        let (wants_servers, wants_addresses) = match query.kind {
            _ if is_tight => (false, false),
            RecordType::NS => (true, true),
            RecordType::DS
            | RecordType::DNSKEY
            | RecordType::CDS
            | RecordType::CDNSKEY
            | RecordType::KEY => (false, false),
            RecordType::ANY if is_datagram => (false, false),
            // BIND's `minimal-responses no-auth-recursive`: a resolver, which desires no
            // recursion, is told of the servers; a client is not.
            _ => (!query.rd, true),
        };
        Self {
            response,
            query,
            transport: peer.transport,
            home,
            renamed: [None; ALIASES_MAX + 1],
            is_first: true,
            wants_servers,
            wants_addresses,
        }
    }

    /// Writes what a zone says of a name in it.
    fn say(&mut self, zone: &'z Zone, name: NameRef<'_>, key: &KeyBuffer) -> Step {
        let found = zone.look_up(key.below(zone.key.as_slice()), self.query.kind);
        if self.is_first && !matches!(found, Found::Cut(_)) {
            self.response.set_authoritative();
        }
        match found {
            Found::Name(node) => self.say_node(zone, node.owner.as_ref(), node),
            Found::Wildcard(node) => self.say_node(zone, name, node),
            Found::Empty => self.say_nothing(zone, Rcode::NOERROR),
            Found::Nothing => self.say_nothing(zone, Rcode::NXDOMAIN),
            Found::Cut(node) => self.refer(zone, node),
            Found::Dname(node) => self.rename(zone, name, node),
        }
    }

    /// Writes the records of a name. `owner` is the name's own, or stands for a wildcard.
    fn say_node(&mut self, zone: &Zone, owner: NameRef<'_>, node: &Node) -> Step {
        let kind = self.query.kind;
        if kind == RecordType::ANY {
            return self.say_any(zone, owner, node);
        }
        if let Some(set) = node.set(kind) {
            if !self.is_renamed_by(set) && self.push(Section::Answer, owner, set).is_err() {
                return self.truncate();
            }
            self.add(zone, owner, std::slice::from_ref(set));
            return Step::Done(ZoneAnswer::Complete);
        }
        if is_aliased(kind)
            && let Some(set) = node.set(RecordType::CNAME)
            && let Some(target) = set.target()
        {
            if self.push(Section::Answer, owner, set).is_err() {
                return self.truncate();
            }
            return Step::Follow(NameBuffer::of(target));
        }
        self.say_nothing(zone, Rcode::NOERROR)
    }

    /// Writes one set by UDP (RFC 8482 section 4.1), and all by TCP, where nobody else is hit by
    /// them.
    fn say_any(&mut self, zone: &Zone, owner: NameRef<'_>, node: &Node) -> Step {
        let sets = match self.transport {
            Transport::Udp => node.sets().get(..1).unwrap_or_default(),
            Transport::Tcp => node.sets(),
        };
        for set in sets {
            if self.push(Section::Answer, owner, set).is_err() {
                return self.truncate();
            }
        }
        self.add(zone, owner, sets);
        Step::Done(ZoneAnswer::Complete)
    }

    /// Says that there is nothing, and for how long that may be remembered (RFC 2308 section 3).
    fn say_nothing(&mut self, zone: &Zone, rcode: Rcode) -> Step {
        self.response.set_rcode(rcode);
        let apex = zone
            .apex()
            .and_then(|apex| Some((apex, apex.set(RecordType::SOA)?)));
        if let Some((apex, soa)) = apex {
            // As BIND's `zero-no-soa-ttl`: who looks for the zone of a name will ask again.
            let ttl_seconds = match (self.query.kind, rcode) {
                (RecordType::SOA, Rcode::NXDOMAIN) => 0,
                _ => zone.soa.negative_ttl_seconds,
            };
            let owner = apex.owner.as_ref();
            let data = soa.data().next().unwrap_or_default();
            let pushed = self
                .response
                .push(Section::Authority, owner, soa.kind, ttl_seconds, data);
            if pushed.is_err() {
                return self.truncate();
            }
        }
        Step::Done(ZoneAnswer::Complete)
    }

    /// Says whose servers know the name (RFC 1034 section 4.3.2, step 3b).
    fn refer(&mut self, zone: &Zone, cut: &Node) -> Step {
        let Some(servers) = cut.set(RecordType::NS) else {
            return Step::Done(ZoneAnswer::Referral);
        };
        let owner = cut.owner.as_ref();
        if self.push(Section::Authority, owner, servers).is_err() {
            self.response.set_truncated();
            return Step::Done(ZoneAnswer::Referral);
        }
        let targets = || {
            servers
                .data()
                .filter_map(|data| NameRef::from_wire(data).ok())
        };
        // Without the addresses of servers in the zone that they serve nobody gets there
        // (RFC 9471 section 3): they come first, and are not left out in silence.
        for is_needed in [true, false] {
            for target in targets().filter(|name| name.is_within(owner) == is_needed) {
                let Some(node) = zone.glue(target) else {
                    continue;
                };
                for set in addresses(node) {
                    let pushed = self.push(Section::Additional, node.owner.as_ref(), set);
                    if pushed.is_err() && is_needed {
                        self.response.set_truncated();
                        return Step::Done(ZoneAnswer::Referral);
                    }
                }
            }
        }
        Step::Done(ZoneAnswer::Referral)
    }

    /// Says that the name is called otherwise (RFC 6672 section 3.2).
    fn rename(&mut self, zone: &'z Zone, name: NameRef<'_>, node: &'z Node) -> Step {
        let dname = node.set(RecordType::DNAME);
        let Some((dname, target)) = dname.and_then(|set| Some((set, set.target()?))) else {
            return self.say_nothing(zone, Rcode::SERVFAIL);
        };
        if !self.is_renamed_by(dname) {
            let owner = node.owner.as_ref();
            if self.push(Section::Answer, owner, dname).is_err() {
                return self.truncate();
            }
            if let Some(place) = self.renamed.iter_mut().find(|place| place.is_none()) {
                *place = Some(dname);
            }
        }
        let Some(alias) = NameBuffer::renamed(name, node.owner.as_ref(), target) else {
            self.response.set_rcode(Rcode::YXDOMAIN);
            return Step::Done(ZoneAnswer::Complete);
        };
        let cname = self.response.push(
            Section::Answer,
            name,
            RecordType::CNAME,
            dname.ttl_seconds,
            alias.as_ref().wire(),
        );
        if cname.is_err() {
            return self.truncate();
        }
        match self.query.kind {
            RecordType::CNAME | RecordType::ANY => {
                self.add(zone, name, &[]);
                Step::Done(ZoneAnswer::Complete)
            }
            _ => Step::Follow(alias),
        }
    }

    fn is_renamed_by(&self, set: &RrSet) -> bool {
        let mut renamed = self.renamed.iter().flatten();
        set.kind == RecordType::DNAME && renamed.any(|known| std::ptr::eq(*known, set))
    }

    /// Adds to an answer what will be asked for next: the zone's servers, and addresses.
    fn add(&mut self, zone: &Zone, owner: NameRef<'_>, sets: &[RrSet]) {
        let mut servers = None;
        if self.wants_servers {
            let apex = zone.apex();
            let is_apex = || apex.is_some_and(|apex| apex.owner.as_ref() == owner);
            let has_servers = sets.iter().any(|set| set.kind == RecordType::NS) && is_apex();
            if !has_servers {
                servers = apex.and_then(|apex| Some((apex, apex.set(RecordType::NS)?)));
            }
        }
        if let Some((apex, set)) = servers {
            // RFC 2181 section 9: what was not asked for is left out in silence.
            if self
                .push(Section::Authority, apex.owner.as_ref(), set)
                .is_err()
            {
                servers = None;
            }
        }
        if !self.wants_addresses {
            return;
        }
        let servers = servers.map(|(_, set)| set);
        let leads_on = |set: &&RrSet| leads_on(set.kind) && set.len() <= ADDITIONAL_TARGETS_MAX;
        let mut leading = sets.iter().chain(servers).filter(leads_on).peekable();
        if leading.peek().is_none() {
            return;
        }
        let mut added = Added::of_answer(owner, sets);
        for set in leading {
            for data in set.data() {
                if let Some(name) = target(set.kind, owner, data) {
                    self.add_addresses(&mut added, name);
                }
            }
        }
    }

    fn add_addresses<'n>(&mut self, added: &mut Added<'n>, name: NameRef<'n>)
    where
        'z: 'n,
    {
        let zone = self.home;
        if !name.is_within(zone.origin()) {
            return;
        }
        let key = KeyBuffer::new(name);
        let found = zone.look_up(key.below(zone.key.as_slice()), RecordType::A);
        let (owner, node) = match found {
            Found::Name(node) => (node.owner.as_ref(), node),
            Found::Wildcard(node) => (name, node),
            _ => return,
        };
        for set in addresses(node) {
            if added.insert(owner, set) && self.push(Section::Additional, owner, set).is_err() {
                return;
            }
        }
    }

    /// Appends a set, or nothing of it.
    fn push(&mut self, section: Section, owner: NameRef<'_>, set: &RrSet) -> Result<(), Full> {
        let mark = self.response.mark();
        for data in set.data() {
            let pushed = self
                .response
                .push(section, owner, set.kind, set.ttl_seconds, data);
            if let Err(full) = pushed {
                self.response.rewind(mark);
                return Err(full);
            }
        }
        Ok(())
    }

    /// Says that something that was asked for is missing.
    fn truncate(&mut self) -> Step {
        self.response.set_truncated();
        Step::Done(ZoneAnswer::Complete)
    }
}

/// Sets that are in the response, by owner, so that none is there twice.
struct Added<'n> {
    sets: [Option<(NameRef<'n>, &'n RrSet)>; ADDITIONAL_SETS_MAX],
    count: usize,
}

impl<'n> Added<'n> {
    fn of_answer(owner: NameRef<'n>, sets: &'n [RrSet]) -> Self {
        let mut added = Self {
            sets: [None; ADDITIONAL_SETS_MAX],
            count: 0,
        };
        for set in sets {
            added.insert(owner, set);
        }
        added
    }

    /// Whether it was not there, and there was room for it.
    fn insert(&mut self, owner: NameRef<'n>, set: &'n RrSet) -> bool {
        let known = self.sets.get(..self.count).unwrap_or_default();
        let is_known = known
            .iter()
            .flatten()
            .any(|(other, known)| std::ptr::eq(*known, set) && *other == owner);
        match self.sets.get_mut(self.count) {
            Some(place) if !is_known => {
                *place = Some((owner, set));
                self.count += 1;
                true
            }
            _ => false,
        }
    }
}

impl NameBuffer {
    fn of(name: NameRef<'_>) -> Self {
        let mut buffer = Self {
            octets: [0; NAME_LEN_MAX],
            len: 0,
        };
        buffer.append(name.wire());
        buffer
    }

    /// The name with its end `from` replaced by `to`, unless that is too long.
    fn renamed(name: NameRef<'_>, from: NameRef<'_>, to: NameRef<'_>) -> Option<Self> {
        let kept = name.wire().len().checked_sub(from.wire().len())?;
        let mut buffer = Self {
            octets: [0; NAME_LEN_MAX],
            len: 0,
        };
        (buffer.append(name.wire().get(..kept)?) && buffer.append(to.wire())).then_some(buffer)
    }

    fn append(&mut self, octets: &[u8]) -> bool {
        match self.octets.get_mut(self.len..self.len + octets.len()) {
            Some(place) => {
                place.copy_from_slice(octets);
                self.len += octets.len();
                true
            }
            None => false,
        }
    }

    fn as_ref(&self) -> NameRef<'_> {
        let wire = self.octets.get(..self.len).unwrap_or_default();
        NameRef::from_wire(wire).unwrap_or(NameRef::ROOT)
    }
}

/// Why a type is never answered, if it is not.
fn unanswerable(kind: RecordType) -> Option<Rcode> {
    match kind {
        RecordType::ANY => None,
        // MAILB and MAILA, of old (RFC 1035 section 3.2.3).
        RecordType(253 | 254) => Some(Rcode::NOTIMP),
        RecordType(0) => None,
        kind if kind.is_meta() => Some(Rcode::FORMERR),
        _ => None,
    }
}

/// Whether a name with a CNAME stands for another when it is asked for this type. It does not for
/// what belongs to itself (RFC 4035 section 2.5, RFC 3007 section 3).
fn is_aliased(kind: RecordType) -> bool {
    !matches!(
        kind,
        RecordType::CNAME
            | RecordType::ANY
            | RecordType::KEY
            | RecordType::SIG
            | RecordType::NSEC
            | RecordType::RRSIG
    )
}

fn addresses(node: &Node) -> impl Iterator<Item = &RrSet> {
    let address = |kind: &RecordType| node.set(*kind);
    [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(move |kind| address(&kind))
}

/// Whether records of this type name others whose addresses will be needed.
fn leads_on(kind: RecordType) -> bool {
    matches!(
        kind,
        RecordType::NS
            | RecordType::MX
            | RecordType::SRV
            | RecordType::KX
            | RecordType::AFSDB
            | RecordType::SVCB
            | RecordType::HTTPS
    )
}

/// The name whose addresses will be needed for a record.
fn target<'d>(kind: RecordType, owner: NameRef<'d>, data: &'d [u8]) -> Option<NameRef<'d>> {
    let at = match kind {
        RecordType::NS => 0,
        // RFC 9460 section 2.5.2: but for an alias, the root stands for the owner.
        RecordType::SVCB | RecordType::HTTPS if data.get(2) == Some(&0) => return Some(owner),
        RecordType::MX | RecordType::KX | RecordType::AFSDB => 2,
        RecordType::SVCB | RecordType::HTTPS => 2,
        RecordType::SRV => 6,
        _ => return None,
    };
    NameRef::from_wire(data.get(at..)?).ok()
}

/// A number by which a name is known again: FNV-1a over its key.
fn hash(key: &KeyBuffer) -> u64 {
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    key.as_slice().iter().fold(0xcbf2_9ce4_8422_2325, step)
}
