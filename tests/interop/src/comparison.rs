//! isc-dhcp-server and pxe-server with the same configuration, side by side: every reply of the one
//! is compared with the other's, field by field.
//!
//! What may differ stands in `differences`, each with its reason. A difference that is not listed
//! fails the test, and so does one that is listed and does not occur.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::differences::{self, Difference};
use crate::firmware::{self, DECLINE, DISCOVER, Firmware, INFORM, Message, RELEASE, REQUEST};
use crate::reply::Reply;
use crate::segment::{Plan, Segment, Server, Way};
use crate::wiretap::judge_by_tshark;

/// An address outside of every network here.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Discover,
    Selecting,
    /// It repeats its REQUEST, as its ACK was lost.
    SelectingAgain,
    InitReboot,
    Renewing,
    Rebinding,
    Inform,
    /// It was carried here from another network.
    InitRebootElsewhere,
    Release,
    DiscoverAfterRelease,
    SelectingOtherServer,
    /// It never had a lease.
    InitRebootUnknown,
    RenewingUnknown,
    /// The address is another's.
    InitRebootOfAnother,
    RenewingOfAnother,
    Decline,
    DiscoverAfterDecline,
    /// A request without option 53.
    Bootp,
}

impl Step {
    /// Whether one of the servers leaves it unanswered; the reply to any other is awaited.
    const fn may_be_silent(self) -> bool {
        match self {
            Self::Discover
            | Self::Selecting
            | Self::SelectingAgain
            | Self::InitReboot
            | Self::Renewing
            | Self::Rebinding
            | Self::DiscoverAfterRelease
            | Self::RenewingUnknown
            | Self::InitRebootOfAnother
            | Self::RenewingOfAnother
            | Self::DiscoverAfterDecline => false,
            Self::Inform
            | Self::InitRebootElsewhere
            | Self::Release
            | Self::SelectingOtherServer
            | Self::InitRebootUnknown
            | Self::Decline
            | Self::Bootp => true,
        }
    }
}

/// A request: whose, what, and by which way.
#[derive(Debug, Clone)]
pub(crate) struct Case<'a> {
    pub(crate) client: &'a Firmware,
    pub(crate) step: Step,
    pub(crate) is_relayed: bool,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relayed = if self.is_relayed { " by relay" } else { "" };
        write!(f, "{} {:?}{relayed}", self.client.name, self.step)
    }
}

/// A configuration of both servers.
#[derive(Debug)]
struct Subject {
    conf: &'static str,
    toml: &'static str,
    plan: Plan,
    differences: fn() -> Vec<Difference>,
}

pub(crate) fn tutorial(server: &Path) -> Result<(), String> {
    let last = |last| Ipv4Addr::new(192, 168, 150, last);
    compare(
        server,
        &Subject {
            conf: include_str!("../fixtures/tutorial.conf"),
            toml: include_str!("../fixtures/tutorial.toml"),
            plan: Plan {
                server: last(1),
                relay: last(2),
                pool: (last(30), last(50)),
            },
            differences: differences::tutorial,
        },
    )
}

pub(crate) fn alpine(server: &Path) -> Result<(), String> {
    let last = |last| Ipv4Addr::new(192, 168, 0, last);
    compare(
        server,
        &Subject {
            conf: include_str!("../fixtures/alpine.conf"),
            toml: include_str!("../fixtures/alpine.toml"),
            // The router is the DHCP server too; the host's boot server is another.
            plan: Plan {
                server: last(1),
                relay: last(254),
                pool: (last(3), last(253)),
            },
            differences: differences::alpine,
        },
    )
}

fn compare(server: &Path, subject: &Subject) -> Result<(), String> {
    let clients = firmware::all();
    let stranger = firmware::udhcpc(0x30);
    // At the same time, each on a link of its own.
    let run = |which: Server<'_>| {
        let mut segment = Segment::new(which, subject.plan)?;
        let mut conversation = Conversation {
            segment: &mut segment,
            plan: subject.plan,
            heard: Vec::new(),
        };
        let outcome = conversation.hold(&clients, &stranger);
        let heard = conversation.heard;
        let end = outcome.and_then(|()| segment.end());
        match end {
            Ok(()) => Ok((segment, heard)),
            Err(error) => Err(format!("{error}\nserver's log:\n{}", segment.log())),
        }
    };
    let (ours, isc) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| run(Server::Ours(server, subject.toml)));
        let isc = run(Server::Isc(subject.conf));
        let ours = ours.join().unwrap_or_else(|_| Err("panicked".to_owned()));
        (ours, isc)
    });
    let (segment, ours) = ours.map_err(|error| format!("pxe-server: {error}"))?;
    let (_, isc) = isc.map_err(|error| format!("isc-dhcp-server: {error}"))?;
    judge_by_tshark(segment.replies(), segment.scratch())?;
    judge(&ours, &isc, &(subject.differences)())
}

/// A request and what a server said to it.
type Heard<'a> = (Case<'a>, Option<Reply>);

/// All that the clients ask one server.
#[derive(Debug)]
struct Conversation<'a, 'b> {
    segment: &'b mut Segment,
    plan: Plan,
    heard: Vec<Heard<'a>>,
}

impl<'a> Conversation<'a, '_> {
    fn hold(&mut self, clients: &'a [Firmware], stranger: &'a Firmware) -> Result<(), String> {
        for client in clients {
            self.boot(client)?;
            self.boot_by_relay(client)?;
        }
        self.trespass(stranger)?;
        self.decline(stranger)
    }

    /// A whole life on the link.
    fn boot(&mut self, client: &'a Firmware) -> Result<(), String> {
        let (id, from) = (self.server_id(), Way::Broadcast);
        let address = self.discover(client, Step::Discover, from)?;
        let wanted = (50, address.octets().to_vec());
        let select = client.message(REQUEST, &[wanted.clone(), id.clone()]);
        self.ask(client, Step::Selecting, &select, from, address)?;
        self.ask(client, Step::SelectingAgain, &select, from, address)?;
        let reboot = client.message(REQUEST, &[wanted]);
        self.ask(client, Step::InitReboot, &reboot, from, address)?;
        self.with_address(address, |this| {
            let again = client.message(REQUEST, &[]).at(address);
            this.ask(client, Step::Renewing, &again, Way::Unicast, address)?;
            this.ask(client, Step::Rebinding, &again, from, address)?;
            let inform = client.message(INFORM, &[]).at(address);
            this.ask(client, Step::Inform, &inform, from, address)?;
            let release = client.message(RELEASE, &[id]).at(address);
            this.ask(client, Step::Release, &release, Way::Unicast, address)
        })?;
        let elsewhere = client.message(REQUEST, &[(50, ELSEWHERE.octets().to_vec())]);
        self.ask(client, Step::InitRebootElsewhere, &elsewhere, from, address)?;
        let again = self.discover(client, Step::DiscoverAfterRelease, from)?;
        if again != address {
            return Err(format!("{} had {address}, is offered {again}", client.name));
        }
        Ok(())
    }

    fn boot_by_relay(&mut self, client: &'a Firmware) -> Result<(), String> {
        let (id, from) = (self.server_id(), Way::Relay);
        let address = self.discover(client, Step::Discover, from)?;
        let wanted = (50, address.octets().to_vec());
        let select = client.message(REQUEST, &[wanted.clone(), id.clone()]);
        self.ask(client, Step::Selecting, &select, from, address)?;
        let reboot = client.message(REQUEST, &[wanted]);
        self.ask(client, Step::InitReboot, &reboot, from, address)?;
        let rebind = client.message(REQUEST, &[]).at(address);
        self.ask(client, Step::Rebinding, &rebind, from, address)?;
        let elsewhere = client.message(REQUEST, &[(50, ELSEWHERE.octets().to_vec())]);
        self.ask(client, Step::InitRebootElsewhere, &elsewhere, from, address)?;
        self.with_address(address, |this| {
            let inform = client.message(INFORM, &[]).at(address);
            this.ask(client, Step::Inform, &inform, from, address)?;
            let release = client.message(RELEASE, &[id]).at(address);
            this.ask(client, Step::Release, &release, Way::Unicast, address)
        })
    }

    /// Addresses that are not the client's.
    fn trespass(&mut self, client: &'a Firmware) -> Result<(), String> {
        let from = Way::Broadcast;
        let free = self.segment.free_address()?;
        let others = self.segment.fence_address()?;
        for (reboot, renew, address) in [
            (Step::InitRebootUnknown, Step::RenewingUnknown, free),
            (Step::InitRebootOfAnother, Step::RenewingOfAnother, others),
        ] {
            let wanted = (50, address.octets().to_vec());
            let message = client.message(REQUEST, &[wanted]);
            self.ask(client, reboot, &message, from, address)?;
            let message = client.message(REQUEST, &[]).at(address);
            self.with_address(address, |this| {
                this.ask(client, renew, &message, Way::Unicast, address)
            })?;
        }
        let bootp = client.message(DISCOVER, &[]).without_type();
        self.ask(client, Step::Bootp, &bootp, from, ELSEWHERE)?;
        let address = self.discover(client, Step::Discover, from)?;
        let wanted = (50, address.octets().to_vec());
        let other = (54, ELSEWHERE.octets().to_vec());
        let select = client.message(REQUEST, &[wanted, other]);
        self.ask(client, Step::SelectingOtherServer, &select, from, address)
    }

    fn decline(&mut self, client: &'a Firmware) -> Result<(), String> {
        let (id, from) = (self.server_id(), Way::Broadcast);
        let address = self.discover(client, Step::Discover, from)?;
        let these = [(50, address.octets().to_vec()), id];
        let select = client.message(REQUEST, &these);
        self.ask(client, Step::Selecting, &select, from, address)?;
        let decline = client.message(DECLINE, &these);
        self.ask(client, Step::Decline, &decline, from, address)?;
        let another = self.discover(client, Step::DiscoverAfterDecline, from)?;
        if another == address {
            return Err(format!(
                "{address} is offered to the client that declined it"
            ));
        }
        Ok(())
    }

    fn server_id(&self) -> (u8, Vec<u8>) {
        (54, self.plan.server.octets().to_vec())
    }

    /// Asks for an address and demands one of the pool.
    fn discover(&mut self, client: &'a Firmware, step: Step, way: Way) -> Result<Ipv4Addr, String> {
        let message = client.message(DISCOVER, &[]);
        let reply = self.reply(&message, step, way)?;
        let case = Case {
            client,
            step,
            is_relayed: way == Way::Relay,
        };
        let Some(reply) = reply else {
            return Err(format!("{case}: no offer"));
        };
        let address = reply.yiaddr;
        let (first, last) = self.plan.pool;
        if !(first..=last).contains(&address) {
            return Err(format!("{case}: {address} is not in the pool"));
        }
        self.heard
            .push((case, Some(reply.with_word(address, "LEASE"))));
        Ok(address)
    }

    fn ask(
        &mut self,
        client: &'a Firmware,
        step: Step,
        message: &Message,
        way: Way,
        address: Ipv4Addr,
    ) -> Result<(), String> {
        let case = Case {
            client,
            step,
            is_relayed: way == Way::Relay,
        };
        let reply = self.reply(message, step, way);
        let reply = reply.map_err(|error| format!("{case}: {error}"))?;
        let reply = reply.map(|reply| reply.with_word(address, "LEASE"));
        self.heard.push((case, reply));
        Ok(())
    }

    /// The one reply, or none.
    fn reply(&mut self, message: &Message, step: Step, way: Way) -> Result<Option<Reply>, String> {
        let message = match way {
            Way::Relay => message.clone().through(self.plan.relay),
            _ => message.clone(),
        };
        if !step.may_be_silent() {
            return self.segment.ask(&message, way).map(Some);
        }
        let mut replies = self.segment.ask_or_not(&message, way)?;
        match replies.len() {
            0 | 1 => Ok(replies.pop()),
            many => Err(format!("{many} replies: {replies:?}")),
        }
    }

    fn with_address(
        &mut self,
        address: Ipv4Addr,
        work: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.segment.set_address(address)?;
        let result = work(self);
        self.segment.unset_address(address)?;
        result
    }
}

/// Compares reply with reply, and what differs with what may.
fn judge(ours: &[Heard<'_>], isc: &[Heard<'_>], listed: &[Difference]) -> Result<(), String> {
    if ours.len() != isc.len() {
        return Err(format!("{} replies, and {}", ours.len(), isc.len()));
    }
    let mut occurred = BTreeSet::new();
    let mut unlisted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut compared = 0;
    for ((case, ours), (_, isc)) in ours.iter().zip(isc) {
        for (field, one, other) in differing(ours.as_ref(), isc.as_ref(), &mut compared) {
            let found = listed
                .iter()
                .position(|difference| difference.covers(case, &field, &one, &other));
            match found {
                Some(index) => {
                    occurred.insert(index);
                }
                None => unlisted
                    .entry(format!(
                        "{field}: ours {one:?}, isc-dhcp-server's {other:?}"
                    ))
                    .or_default()
                    .push(case.to_string()),
            }
        }
    }
    let mut faults: Vec<String> = unlisted
        .iter()
        .map(|(what, cases)| format!("not listed: {what}\n    {}", cases.join(", ")))
        .collect();
    for (index, difference) in listed.iter().enumerate() {
        if !occurred.contains(&index) {
            faults.push(format!("listed, but does not occur: {difference}"));
        }
    }
    if compared == 0 {
        faults.push("nothing was compared".to_owned());
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("{} faults:\n{}", faults.len(), faults.join("\n")))
}

/// The fields in which two replies differ: name, ours, theirs. Replies of different types are
/// different in that alone.
fn differing(
    ours: Option<&Reply>,
    isc: Option<&Reply>,
    compared: &mut usize,
) -> Vec<(String, String, String)> {
    let kind = |reply: Option<&Reply>| match reply {
        None => "silence".to_owned(),
        Some(reply) => reply.field("option 53").unwrap_or("BOOTREPLY").to_owned(),
    };
    let ((Some(one), Some(other)), true) = ((ours, isc), kind(ours) == kind(isc)) else {
        *compared += 1;
        let (one, other) = (kind(ours), kind(isc));
        return match one == other {
            true => Vec::new(),
            false => vec![("reply".to_owned(), one, other)],
        };
    };
    let names: BTreeSet<&String> = one.fields.keys().chain(other.fields.keys()).collect();
    *compared += names.len();
    names
        .into_iter()
        .filter(|name| one.fields.get(*name) != other.fields.get(*name))
        .map(|name| {
            let value = |reply: &Reply| reply.field(name).unwrap_or("absent").to_owned();
            (name.clone(), value(one), value(other))
        })
        .collect()
}
