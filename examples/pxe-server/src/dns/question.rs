//! A question of the administrator's: what a client would be answered, and why.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pxe_core::Now;
use pxe_dns::{Name, NameRef, Outcome, Peer, Rcode, RecordType, Transport};
use serde_json::{Value, json};

use super::interfaces::Interfaces;
use super::message::{self, Answer};
use super::ports::RunningDns;
use super::reverse;
use crate::config::{Config, Dns, DnsZone};
use crate::control::Failure;
use crate::fact::printable;

/// The port that we ask from: no client has it, and what comes of it is told to nobody else.
pub(crate) const OWN_PORT: u16 = 1;

/// A question, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    name: Name,
    kind: RecordType,
    /// As whom it is asked.
    client: IpAddr,
}

impl Question {
    /// Reads a question: an address is asked for its name, and a name of one label is one of our
    /// domain.
    pub(crate) fn parse(
        dns: &Dns,
        name: &str,
        kind: Option<&str>,
        client: Option<&str>,
    ) -> Result<Self, Failure> {
        let bad = |text: String| Failure::new("bad_request", text);
        let client = client.map(|text| {
            let address = text.parse::<IpAddr>();
            address.map_err(|_| bad(format!("{text:?} is no address of a client")))
        });
        let client = client.transpose()?;
        let kind = kind.map(|text| {
            let remedy = "name one such as A, AAAA, PTR, MX or TXT";
            let kind = text.parse::<RecordType>();
            kind.map_err(|_| bad(format!("{text:?} is no type of records; {remedy}")))
        });
        let address = name.parse::<IpAddr>().ok().and_then(reverse::name_of);
        let kind = kind.transpose()?.unwrap_or(match address {
            Some(_) => RecordType::PTR,
            None => RecordType::A,
        });
        let of_domain = dns.domain.as_ref().filter(|_| !name.contains('.'));
        let origin = of_domain.map_or(NameRef::ROOT, Name::as_ref);
        let name = match address {
            Some(name) => name,
            None => Name::from_text(name.as_bytes(), Some(origin))
                .map_err(|error| bad(format!("{name:?} is no domain name: {error}")))?,
        };
        Ok(Self {
            name,
            kind,
            client: client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        })
    }
}

impl RunningDns {
    /// Answers as the client would be answered, and says why.
    pub(crate) async fn answer(
        &self,
        config: &Config,
        dns: &Dns,
        asked: &Question,
        now: Now,
    ) -> Value {
        let name = asked.name.as_ref();
        let peer = Peer::new(SocketAddr::new(asked.client, OWN_PORT), Transport::Tcp);
        let query = message::query(name, asked.kind);
        let mut reply = Vec::new();
        let mut forwarded = None;
        match self.service().handle(now, &peer, &query, &mut reply) {
            Outcome::Forward(forwarding) => {
                forwarded = Some(self.forward(&forwarding, &mut reply).await);
            }
            Outcome::Replied | Outcome::Ignored => {}
            _ => {}
        }
        let answer = Answer::parse(&reply);
        let rcode = match &forwarded {
            // As the client is told it.
            Some(Err(error)) => Some(error.rcode()),
            _ => answer.as_ref().map(|answer| Rcode(answer.flags & 0xf)),
        };
        let refused = rcode == Some(Rcode::REFUSED);
        let why = match (&forwarded, self.zone_of(dns, name)) {
            (Some(Ok(())), _) => format!("others were asked: {}", self.asked_others().join(", ")),
            (Some(Err(error)), _) => format!("others were asked in vain: {error}"),
            (None, Some(zone)) if refused => Self::why_zone_refuses(config, dns, asked, &zone),
            (None, Some(zone)) => {
                let answers = answer.as_ref().map(|answer| &answer.sections[0]);
                let has_answers = answers.is_some_and(|answers| !answers.is_empty());
                self.source(asked, &zone, has_answers)
            }
            (None, None) if refused => self.why_not_forwarded(config, dns, asked),
            (None, None) => "every server answers for this by itself (RFC 6303, RFC 6761): it is \
                             asked of nobody"
                .to_owned(),
        };
        let texts = |index: usize| -> Vec<String> {
            let section = answer
                .as_ref()
                .and_then(|answer| answer.sections.get(index));
            let records = section.into_iter().flatten();
            records
                .map(|record| printable(&record.to_string()))
                .collect()
        };
        json!({
            "name": asked.name.to_string(),
            "type": asked.kind.to_string(),
            "client": asked.client.to_string(),
            "rcode": rcode.map(|rcode| rcode.to_string()),
            "authoritative": answer.as_ref().is_some_and(|answer| answer.flags & 0x400 != 0),
            "recursion_available": answer.as_ref().is_some_and(|answer| answer.flags & 0x80 != 0),
            "answer": texts(0),
            "authority": texts(1),
            "additional": texts(2),
            "why": why,
        })
    }

    /// The zone of ours that a name is in.
    fn zone_of(&self, dns: &Dns, name: NameRef<'_>) -> Option<(Name, Option<DnsZone>)> {
        let zones = self.zones();
        let zones = zones.iter().map(|(origin, _)| origin);
        let nearest = zones
            .filter(|origin| name.is_within(origin.as_ref()))
            .max_by_key(|origin| origin.as_ref().wire().len())?;
        let configured = dns.zones.iter().find(|zone| zone.name == *nearest);
        Some((nearest.clone(), configured.cloned()))
    }

    /// From where an answer of ours comes.
    fn source(
        &self,
        asked: &Question,
        (origin, _): &(Name, Option<DnsZone>),
        has_answers: bool,
    ) -> String {
        let zones = self.zones();
        let Some(loaded) = zones.get(origin) else {
            return format!("the zone {origin}");
        };
        let written = match loaded.file() {
            Some(file) => format!("read from {}", file.display()),
            None => "made of the configuration".to_owned(),
        };
        let mut records = loaded.zone.records();
        let is_written = records.any(|record| {
            // What matches a wildcard has a name of its own.
            record.owner == asked.name || record.owner.as_ref().is_wildcard()
        });
        match is_written || !has_answers {
            true => format!("the zone {origin}, {written}"),
            false => format!("the zone {origin}, {written}: the name of a lease"),
        }
    }

    fn why_zone_refuses(
        config: &Config,
        dns: &Dns,
        asked: &Question,
        (origin, configured): &(Name, Option<DnsZone>),
    ) -> String {
        let key = match configured {
            Some(zone) => format!("allow_query of the zone {origin} ({})", zone.key),
            None => "dns.allow_query".to_owned(),
        };
        let list = configured
            .as_ref()
            .map_or(&dns.allow_query, |zone| &zone.allow_query);
        let list = Interfaces::read().access_list(config, dns, list);
        match list.allows(asked.client) {
            false => format!("{} is not in {key}: add its network there", asked.client),
            true => format!("the zone {origin} answers no such question"),
        }
    }

    fn why_not_forwarded(&self, config: &Config, dns: &Dns, asked: &Question) -> String {
        let list = Interfaces::read().access_list(config, dns, &dns.allow_recursion);
        if self.asked_others().is_empty() {
            return "the name is in no zone here, and nobody else is asked (dns.forward)"
                .to_owned();
        }
        match list.allows(asked.client) {
            false => format!(
                "the name is in no zone here, and others are not asked for {}: add its network to \
                 dns.allow_recursion",
                asked.client
            ),
            true => "the name is in no zone here".to_owned(),
        }
    }
}
