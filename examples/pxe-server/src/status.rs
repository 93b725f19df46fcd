//! What the control socket tells of a running server.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use pxe_core::{MacAddr, UnixTime};
use pxe_dhcp::{LeaseRecord, LeaseState};
use serde_json::{Map, Value, json};

use crate::config::{Config, Dns, NfsExport};
use crate::control::{Answer, Failure};
use crate::decisions::Access;
use crate::dns::RunningDns;
use crate::fact::{Fact, Protocol, printable};
use crate::machines::{Machine, MachineId};
use crate::names::Names;
use crate::running::Handle;
use crate::timeline::Timeline;

/// At most this many transfers are listed; `transfers_running` counts all.
const TRANSFERS_LISTED_MAX: usize = 1000;

pub(crate) async fn status(handle: &Handle) -> Answer {
    let shared = &handle.shared;
    let config = handle.config();
    let now = wall_time();
    let uptime = shared.hub.started().elapsed().as_secs();
    let listeners: Vec<Value> = shared
        .listeners
        .iter()
        .map(|listener| {
            json!({
                "protocol": listener.protocol.as_str(),
                "name": listener.name,
                "address": listener.address.to_string(),
            })
        })
        .collect();
    if let Some(dns) = &shared.dns {
        dns.service().tell_untold(shared.hub.now());
    }
    let transfers = shared.hub.transfers();
    let listed: Vec<Value> = transfers
        .iter()
        .take(TRANSFERS_LISTED_MAX)
        .map(|(protocol, transfer)| {
            json!({
                "protocol": protocol.as_str(),
                "ip": transfer.ip.to_string(),
                "mac": shared.hub.machines().mac_of(transfer.ip).map(|mac| mac.to_string()),
                "file": transfer.file.to_string(),
                "bytes": transfer.bytes,
                "seconds": transfer.since.elapsed().as_secs(),
            })
        })
        .collect();
    let leases = handle.leases().await;
    let active = leases.iter().filter(|lease| lease.is_active(now)).count();
    object(json!({
        "server_version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uid": nix::unistd::geteuid().as_raw(),
        "config": config.file,
        "dhcp_mode": config.dhcp.as_ref().map(|dhcp| dhcp.mode.to_string()),
        "tree": config.tree.root,
        "started": now.as_seconds().saturating_sub(uptime),
        "uptime_seconds": uptime,
        "reloads": shared.reloads.load(Ordering::Relaxed),
        "listeners": listeners,
        "counters": counters(handle),
        "transfers_running": transfers.len(),
        "transfers": listed,
        "rates": rates(handle),
        "http": (!config.http.is_empty()).then(|| json!({
            "connections": shared.http.connections(),
            "connections_max": config.http.iter().map(|http| http.limits.connections_max).sum::<usize>(),
        })),
        "nfs": shared.nfs.as_ref().zip(config.nfs.as_ref()).map(|(running, nfs)| json!({
            "portmap": running.portmap(),
            "connections": running.connections(),
            "exports": nfs.exports.iter().map(|export| export_object(&config, export)).collect::<Vec<_>>(),
        })),
        "dns": shared.dns.as_ref().zip(config.dns.as_ref()).map(|(running, dns)| json!({
            "connections": running.connections(),
            "forward": running.asked_others(),
            "zones": zone_objects(dns, running),
        })),
        "images": handle.images().zip(config.images.as_ref()).map(|(images, settings)| {
            let shelf = images.library().shelf();
            let offered = shelf.offered().count();
            json!({
                "dir": settings.dir,
                "path": settings.path.to_string(),
                "offered": offered,
                "withheld": shelf.images.len() - offered,
                "opening": shelf.opening_count(),
                "retired": shelf.retired_count(),
                "problems": shelf.problems,
            })
        }),
        "leases_active": active,
        "leases_named": handle.names().map(Names::len),
        "leases_unnamed": handle.names().map(Names::losers_len),
        "machines": shared.hub.machines().len(),
    }))
}

fn export_object(config: &Config, export: &NfsExport) -> Value {
    let clients = export.clients.iter().map(ToString::to_string);
    json!({
        "path": export.path,
        "directory": config.exported_directory(export),
        "clients": clients.collect::<Vec<_>>(),
        "hidden": export.is_hidden,
        "writable": export.is_writable(),
    })
}

fn zone_objects(dns: &Dns, running: &RunningDns) -> Vec<Value> {
    let zones = running.zones();
    let zones = zones.iter().map(|(name, loaded)| {
        let has_leases = dns
            .zones
            .iter()
            .any(|zone| zone.name == *name && zone.has_leases);
        json!({
            "name": name.to_string(),
            "serial": running.service().serial(name.as_ref()),
            "serial_of_file": loaded.file().map(|_| loaded.zone.serial()),
            "records": loaded.records,
            "file": loaded.file(),
            "leases": has_leases,
            "errors": loaded.faults,
            "warnings": loaded.warnings,
        })
    });
    zones.collect()
}

/// What was sent in a second, by protocol.
fn rates(handle: &Handle) -> Value {
    let rates = handle.shared.hub.rates().into_iter();
    let rates = rates.map(|(protocol, rate)| {
        let rate = json!({
            "transfers_per_second": rate.transfers_per_second,
            "bytes_per_second": rate.bytes_per_second,
        });
        (protocol.as_str().to_owned(), rate)
    });
    Value::Object(rates.collect())
}

fn counters(handle: &Handle) -> Value {
    let mut all: Map<String, Value> = Protocol::ALL
        .into_iter()
        .filter(|protocol| {
            handle
                .shared
                .listeners
                .iter()
                .any(|listener| listener.protocol == *protocol)
        })
        .map(|protocol| (protocol.as_str().to_owned(), json!({})))
        .collect();
    for ((protocol, name), count) in handle.shared.hub.counters() {
        all.entry(protocol.as_str()).or_insert_with(|| json!({}))[name] = count.into();
    }
    Value::Object(all)
}

/// Every record; `names` are those of leases in the DNS, if they have some.
pub(crate) fn leases(records: &[LeaseRecord], names: Option<&Names>) -> Answer {
    let now = wall_time();
    let leases = records.iter().map(|record| {
        let mut lease = lease(record, now);
        lease["dns_name"] = names.and_then(|names| names.of(record.address)).into();
        lease
    });
    let leases: Vec<Value> = leases.collect();
    object(json!({ "leases": leases }))
}

fn lease(record: &LeaseRecord, now: UnixTime) -> Value {
    let text = |bytes: &Option<Vec<u8>>| {
        bytes
            .as_ref()
            .map(|bytes| printable(&String::from_utf8_lossy(bytes)))
    };
    let (state, until) = match record.state {
        LeaseState::Bound { expires } if expires > now => ("active", Some(expires)),
        LeaseState::Bound { expires } => ("expired", Some(expires)),
        LeaseState::Released { at } => ("released", Some(at)),
        LeaseState::Declined { until } => ("declined", Some(until)),
        _ => ("other", None),
    };
    json!({
        "address": record.address.to_string(),
        "state": state,
        "until": until.map(UnixTime::as_seconds),
        "mac": record.mac().map(|mac| mac.to_string()),
        "client": record.client.to_string(),
        "host_name": text(&record.host_name),
        "fqdn": record.fqdn.as_ref().map(|fqdn| printable(&fqdn.name)),
        "vendor_class": text(&record.vendor_class),
        "uuid": record.uuid.map(|uuid| uuid.to_string()),
        "client_id": hex(&record.client_id),
        "circuit_id": hex(&record.circuit_id),
        "remote_id": hex(&record.remote_id),
        "arch": record.arch.map(|arch| arch.to_string()),
        "first_seen": record.first_seen.as_seconds(),
        "last_seen": record.last_seen.as_seconds(),
    })
}

/// Identifiers are bytes that need not be text.
fn hex(bytes: &Option<Vec<u8>>) -> Option<String> {
    let bytes = bytes.as_ref()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn machines(handle: &Handle, which: Option<&str>) -> Result<Answer, Failure> {
    let table = handle.shared.hub.machines();
    let Some(which) = which else {
        let all: Vec<Value> = (table.ids().into_iter())
            .filter_map(|id| table.get(id))
            .map(|mut machine| machine_object(handle, &mut machine))
            .collect();
        return Ok(object(json!({ "machines": all })));
    };
    let id = match (which.parse::<MacAddr>(), which.parse()) {
        (Ok(mac), _) => MachineId::Mac(mac),
        (_, Ok(ip)) => table.mac_of(ip).map_or(MachineId::Ip(ip), MachineId::Mac),
        _ => {
            let message = format!("{which:?} is neither a hardware nor an IP address");
            return Err(Failure::new("bad_request", message));
        }
    };
    let Some(mut machine) = table.get(id) else {
        return Err(Failure::new(
            "not_found",
            format!("{which} was not seen yet"),
        ));
    };
    let mut value = machine_object(handle, &mut machine);
    if let Some(shown) = handle.shared.hub.decisions().show(id) {
        let reasons = shown.decision.explanation.tried().iter().map(
            |tried| json!({ "rule": tried.rule, "matched": tried.matched, "reason": tried.reason }),
        );
        value["reasons"] = reasons.collect();
    }
    value["timeline"] = Timeline::of_machine(&mut machine).to_string().into();
    let facts: Vec<Value> = machine.facts.iter().map(fact_object).collect();
    value["facts"] = facts.into();
    value["facts_forgotten"] = machine.facts_forgotten.into();
    Ok(object(json!({ "machines": [value] })))
}

fn machine_object(handle: &Handle, machine: &mut Machine) -> Value {
    let shown = handle.shared.hub.decisions().show(machine.id);
    json!({
        "decision": shown.as_ref().map(|shown| shown.to_string()),
        "access": shown.as_ref().map(|shown| match &shown.access {
            Access::Allowed => "allowed",
            Access::Denied(_) => "denied",
        }),
        "mac": match machine.id {
            MachineId::Mac(mac) => Some(mac.to_string()),
            _ => None,
        },
        "ip": machine.ip.map(|ip| ip.to_string()),
        "last_seen": machine.facts.back().map(|fact| fact.at.wall.as_seconds()),
        "standing": Timeline::of_machine(machine).standing().to_string(),
    })
}

fn fact_object(fact: &Fact) -> Value {
    json!({
        "time": fact.at.wall.as_seconds(),
        "uptime_ms": fact.at.mono.as_nanos() / 1_000_000,
        "protocol": fact.protocol.as_str(),
        "event": fact.what.name(),
        "file": fact.what.file(),
        "text": fact.what.to_string(),
    })
}

/// The members of an object that was written as such.
pub(crate) fn object(value: Value) -> Answer {
    match value {
        Value::Object(object) => object,
        _ => Answer::new(),
    }
}

pub(crate) fn wall_time() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_seconds(since.as_secs())
}
