//! What DHCP's events mean.

use std::net::IpAddr;

use pxe_dhcp::wire::MessageType;
use pxe_dhcp::{Boot, ClientInfo, Event, Explanation, IgnoreReason, Stage};

use crate::config::LogLevel;
use crate::decisions::Access;
use crate::fact::{Fact, Protocol, What, printable};
use crate::hub::Hub;

/// Reports an event to the hub.
pub(crate) fn observe(hub: &Hub, event: &Event) {
    let tell = |client: &ClientInfo, level, what| hub.tell(fact(hub, Some(client), what), level);
    let note = |client: Option<&ClientInfo>, level, name, text| {
        hub.note(fact(hub, client, What::Note { name, text }), level);
    };
    if let Some(limit) = event.limit() {
        hub.count(Protocol::Dhcp, limit.as_str(), 1);
    }
    match event {
        Event::Received {
            client,
            message_type,
            stage,
            arch,
            vendor_class,
            user_class,
            ..
        } => {
            let message = match *message_type {
                MessageType::DISCOVER => "discover",
                MessageType::REQUEST => "request",
                MessageType::INFORM => "inform",
                // Told by events of their own.
                _ => return,
            };
            let what = What::Asked {
                message,
                arch: arch.map(|arch| arch.to_string()),
                client: program(*stage, vendor_class.as_deref(), user_class.as_deref()),
            };
            tell(client, LogLevel::Info, what);
        }
        Event::Offered {
            client,
            address,
            boot,
            explanation,
            ..
        } => {
            let what = What::Offered {
                address: *address,
                file: file(boot),
            };
            tell(client, LogLevel::Info, what);
            if let Some(denied) = denied(boot, explanation) {
                tell(client, LogLevel::Warn, denied);
            }
            log_reasons(client, explanation);
        }
        Event::Acknowledged {
            client,
            address,
            lease_seconds,
            boot,
            explanation,
            ..
        } => {
            let what = What::Leased {
                address: *address,
                seconds: *lease_seconds,
                file: file(boot),
            };
            hub.tell(
                fact(hub, Some(client), what).with_ip(IpAddr::V4(*address)),
                LogLevel::Info,
            );
            if let Some(denied) = denied(boot, explanation) {
                tell(client, LogLevel::Warn, denied);
            }
        }
        Event::Informed {
            client, address, ..
        } => {
            let text = format!("told {address} its options");
            note(Some(client), LogLevel::Info, "informed", text);
        }
        Event::ProxyOffered {
            client,
            boot,
            explanation,
            ..
        } => {
            tell(
                client,
                LogLevel::Info,
                What::ProxyOffered { file: file(boot) },
            );
            log_reasons(client, explanation);
        }
        Event::BootServerAcknowledged {
            client,
            address,
            item_type,
            boot,
            explanation,
            ..
        } => {
            let what = What::BootServerAcknowledged {
                file: file(boot),
                item_type: *item_type,
            };
            let mut fact = fact(hub, Some(client), what);
            fact.ip = address.map(IpAddr::V4);
            // A lease says better whose address it is than the client itself.
            if let (Some(ip), Some(mac), None) = (
                fact.ip,
                fact.mac,
                fact.ip.and_then(|ip| hub.machines().mac_of(ip)),
            ) {
                hub.machines().addresses().give(ip, mac);
            }
            hub.tell(fact, LogLevel::Info);
            log_reasons(client, explanation);
        }
        Event::NotBooted {
            client,
            boot,
            explanation,
        } => {
            match denied(boot, explanation) {
                Some(denied) => tell(client, LogLevel::Warn, denied),
                None => note(
                    Some(client),
                    LogLevel::Info,
                    "not_booted",
                    "not answered: there is nothing for it to boot".into(),
                ),
            }
            log_reasons(client, explanation);
        }
        Event::LeasedByOther {
            client,
            address,
            server,
        } => {
            let (address, server) = (*address, *server);
            tell(
                client,
                LogLevel::Info,
                What::LeasedByOther { address, server },
            );
        }
        Event::Nak {
            client,
            address,
            reason,
        } => {
            let reason = format!("{address}: {reason}");
            tell(client, LogLevel::Info, What::Refused { reason });
        }
        Event::Ignored { client, reason } => {
            let level = match reason {
                // The administrator can do something about these.
                IgnoreReason::NoSubnet | IgnoreReason::RateLimit | IgnoreReason::Limit(_) => {
                    LogLevel::Warn
                }
                _ => LogLevel::Debug,
            };
            note(
                client.as_ref(),
                level,
                "ignored",
                format!("not answered: {reason}"),
            );
        }
        Event::Released { client, address } => {
            tell(client, LogLevel::Info, What::Released { address: *address });
        }
        Event::Declined { client, address } => {
            tell(client, LogLevel::Warn, What::Declined { address: *address });
        }
        Event::AddressInUse { address } => {
            let text = format!("{address} is in use by a machine that has no lease");
            note(None, LogLevel::Warn, "address_in_use", text);
        }
        Event::Expired { client, address } | Event::Withdrawn { client, address } => {
            let (name, how) = match event {
                Event::Expired { .. } => ("expired", "ran out"),
                _ => ("withdrawn", "was released by the administrator"),
            };
            let text = format!("the lease of {address} {how}");
            let what = What::Note { name, text };
            let mut fact = fact(hub, None, what);
            fact.mac = client.mac();
            if let Some(mac) = fact.mac {
                hub.machines().addresses().take((*address).into(), mac);
            }
            hub.note(fact, LogLevel::Info);
        }
        Event::PoolExhausted { client, subnet } => {
            let reason = format!("no address is left in {subnet}");
            tell(client, LogLevel::Error, What::Refused { reason });
        }
        Event::ReservationHeld {
            client,
            address,
            holder,
        } => {
            let text = format!("{address} is reserved for it, and {holder} holds it still");
            note(Some(client), LogLevel::Warn, "reservation_held", text);
        }
        Event::MalformedOption { client, code } => {
            let text = format!("option {code} makes no sense");
            note(client.as_ref(), LogLevel::Debug, "malformed", text);
        }
        Event::OptionsDropped {
            client,
            codes,
            limit,
        } => {
            let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
            let text = format!("options {} do not fit {limit} bytes", codes.join(", "));
            note(Some(client), LogLevel::Warn, "options_dropped", text);
        }
        Event::ReplyTooLong { client, limit } => {
            let reason = format!("a reply does not fit {limit} bytes");
            tell(client, LogLevel::Warn, What::Refused { reason });
        }
        Event::CommitRefused {
            address, reason, ..
        } => {
            let text = format!(
                "the lease of {address} could not be stored: {}",
                printable(reason)
            );
            note(None, LogLevel::Error, "commit_refused", text);
        }
        Event::OtherServer { address, mac, .. } => {
            let mac = mac.map_or_else(String::new, |mac| format!(" ({mac})"));
            let text = format!(
                "another DHCP server, {address}{mac}, answers here: machines may get addresses \
                 and boot files from it"
            );
            note(None, LogLevel::Warn, "other_server", text);
        }
        Event::NoOtherServer { interface } => {
            let text = format!(
                "no DHCP server gives addresses on {interface}, and this one does not either: \
                 machines cannot boot there"
            );
            note(None, LogLevel::Warn, "no_other_server", text);
        }
        Event::SearchFailed { interface, reason } => {
            let text = format!("cannot look for other DHCP servers on {interface}: {reason}");
            note(None, LogLevel::Info, "search_failed", text);
        }
        Event::LinkLayerUnavailable { reason } => {
            let text = format!(
                "no packet socket ({reason}): machines without an address are answered by \
                 broadcast, and addresses are not probed; start as root, or with CAP_NET_RAW"
            );
            note(None, LogLevel::Warn, "link_layer_unavailable", text);
        }
        Event::PingUnavailable { reason } => {
            let text = format!("no raw socket ({reason}): addresses are not pinged");
            note(None, LogLevel::Warn, "ping_unavailable", text);
        }
        Event::InterfaceLost { interface } => {
            let text = format!("interface {interface} is gone; it is served when it comes back");
            note(None, LogLevel::Warn, "interface_lost", text);
        }
        Event::InterfaceServed { interface } => {
            let text = format!("interface {interface} is back and served");
            note(None, LogLevel::Info, "interface_served", text);
        }
        Event::InterfaceUnserved { interface, reason } => {
            let text = format!("interface {interface} is back and cannot be served: {reason}");
            note(None, LogLevel::Error, "interface_unserved", text);
        }
        Event::ChangesUnseen { reason } => {
            let text = format!("cannot follow changes of interfaces and addresses: {reason}");
            note(None, LogLevel::Warn, "changes_unseen", text);
        }
        Event::OwnAddresses { addresses } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let text = format!("this host's addresses are {} now", addresses.join(", "));
            note(None, LogLevel::Info, "own_addresses", text);
        }
        Event::SendFailed { to, failure } => {
            note(
                None,
                LogLevel::Warn,
                "send_failed",
                format!("cannot answer {to:?}: {failure}"),
            );
        }
        Event::LimitReached { limit } => {
            note(
                None,
                LogLevel::Warn,
                "limit",
                format!("limit reached: {limit}"),
            );
        }
        Event::StoreUnreadable { reason } => {
            let text = format!(
                "the leases of other servers cannot be read: {}",
                printable(reason)
            );
            note(None, LogLevel::Error, "store_unreadable", text);
        }
        other => {
            tracing::debug!(event = "other", "dhcp: {other:?}");
        }
    }
}

fn fact(hub: &Hub, client: Option<&ClientInfo>, what: What) -> Fact {
    let mut fact = Fact::new(hub.now(), Protocol::Dhcp, what);
    fact.mac = client.and_then(ClientInfo::mac);
    fact
}

fn log_reasons(client: &ClientInfo, explanation: &Explanation) {
    let reasons = explanation.to_string().replace('\n', "; ");
    tracing::debug!(event = "decided", "boot decision for {client}: {reasons}");
}

/// What is told of a decision that denies a machine its boot.
fn denied(boot: &Boot, explanation: &Explanation) -> Option<What> {
    let access = Access::of(boot, explanation);
    let reason = printable(&access.denial()?.to_string());
    Some(What::Denied { file: None, reason })
}

fn file(boot: &Boot) -> Option<String> {
    match boot {
        Boot::File(file) | Boot::Url(file) => Some(printable(file)),
        _ => None,
    }
}

/// The program that asks, in a word or two.
fn program(stage: Stage, vendor_class: Option<&[u8]>, user_class: Option<&[u8]>) -> Option<String> {
    if stage == Stage::Ipxe {
        let class = user_class.unwrap_or(b"iPXE");
        return Some(printable(&String::from_utf8_lossy(class)));
    }
    let vendor_class = String::from_utf8_lossy(vendor_class?);
    // `PXEClient:Arch:00007:UNDI:003000`: the architecture is told by itself.
    let name = vendor_class.split(":Arch:").next().unwrap_or_default();
    (!name.is_empty()).then(|| printable(name))
}

#[cfg(test)]
mod tests {
    use pxe_dhcp::Limit;

    use super::*;

    /// An operator has to see in `status` which limit to raise.
    #[test]
    fn each_limit_has_a_counter_of_its_own() {
        let hub = Hub::new(std::sync::Arc::default());
        let ignored = |reason| Event::Ignored {
            client: None,
            reason,
        };
        for event in [
            Event::LimitReached {
                limit: Limit::Offers,
            },
            ignored(IgnoreReason::RateLimit),
            ignored(IgnoreReason::Limit(Limit::OuiLeases)),
            ignored(IgnoreReason::TooLong),
            ignored(IgnoreReason::NoSubnet),
        ] {
            observe(&hub, &event);
        }
        let counters: Vec<_> = hub.counters().into_iter().collect();
        let counted = [
            ("client_burst", 1),
            ("datagram_bytes_max", 1),
            ("ignored", 4),
            ("leases_per_oui_max", 1),
            ("limit", 1),
            ("offers_max", 1),
        ];
        assert_eq!(
            counters,
            counted.map(|(name, count)| ((Protocol::Dhcp, name), count))
        );
    }

    #[test]
    fn programs_are_named_by_their_classes() {
        let name = |class: &str| program(Stage::Pxe, Some(class.as_bytes()), None);
        assert_eq!(
            name("PXEClient:Arch:00007:UNDI:003000").as_deref(),
            Some("PXEClient")
        );
        assert_eq!(name("udhcp 1.37.0").as_deref(), Some("udhcp 1.37.0"));
        assert_eq!(name(""), None);
        let ipxe = program(Stage::Ipxe, Some(b"PXEClient:Arch:00000"), Some(b"iPXE"));
        assert_eq!(ipxe.as_deref(), Some("iPXE"));
    }
}
