//! The commands that ask a running server: `status`, `reload`, `machines`, `stop`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cli::{Control, print};
use crate::control::{Answer, Client, ClientError, Command};

pub(crate) fn status(control: &Control, json: bool) -> ExitCode {
    report(ask(control, Command::Status), |answer| match json {
        true => pretty(answer),
        false => status_text(answer),
    })
}

pub(crate) fn reload(control: &Control) -> ExitCode {
    report(ask(control, Command::Reload), |answer| {
        let mut text = String::new();
        for warning in list(answer, "warnings") {
            let _ = writeln!(text, "warning: {}", text_of(warning));
        }
        text + "the new configuration is in force\n"
    })
}

pub(crate) fn machines(control: &Control, json: bool, machine: Option<String>) -> ExitCode {
    let is_one = machine.is_some();
    let answer = ask(control, Command::Machines { machine });
    report(answer, |answer| match json {
        true => pretty(answer),
        false => machines_text(answer, is_one, now()),
    })
}

pub(crate) fn stop(control: &Control) -> ExitCode {
    report(ask(control, Command::Stop), |_| {
        "stopping; running transfers may end first\n".to_owned()
    })
}

pub(crate) fn ask(control: &Control, command: Command) -> Result<Answer, ClientError> {
    Client::connect(control.path())?.ask(command)
}

pub(crate) fn report(
    answer: Result<Answer, ClientError>,
    show: impl FnOnce(&Answer) -> String,
) -> ExitCode {
    match answer {
        Ok(answer) => print(&show(&answer)),
        Err(error) => {
            eprintln!("pxe-server: {error}");
            if let Some(cause) = std::error::Error::source(&error) {
                eprintln!("  {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn pretty(answer: &Answer) -> String {
    format!("{:#}\n", Value::Object(answer.clone()))
}

fn status_text(answer: &Answer) -> String {
    let mut text = String::new();
    let get = |key: &str| answer.get(key).map(text_of).unwrap_or_default();
    let _ = writeln!(
        text,
        "pxe-server {}, pid {}, up {}",
        get("server_version"),
        get("pid"),
        duration(number(answer, "uptime_seconds")),
    );
    let _ = writeln!(
        text,
        "configuration  {} (reloaded {} times)",
        get("config"),
        get("reloads")
    );
    let _ = writeln!(text, "tree           {}", get("tree"));
    if let Some(Value::String(mode)) = answer.get("dhcp_mode") {
        let _ = writeln!(text, "dhcp mode      {mode}");
    }
    for listener in list(answer, "listeners") {
        let protocol = text_of(&listener["protocol"]);
        let name = text_of(&listener["name"]);
        let address = text_of(&listener["address"]);
        // A name such as `portmap 0.0.0.0:111` has the address.
        let _ = match name.ends_with(&address) {
            true => writeln!(text, "{protocol:<14} {name}"),
            false => writeln!(text, "{protocol:<14} {name} ({address})"),
        };
    }
    if let Some(Value::Object(images)) = answer.get("images") {
        let mut more = match (number(images, "withheld"), number(images, "retired")) {
            (0, 0) => String::new(),
            (withheld, 0) => format!(", {withheld} not served"),
            (withheld, retired) => {
                format!(", {withheld} not served, {retired} replaced and still mounted")
            }
        };
        let opening = number(images, "opening");
        if opening > 0 {
            let _ = write!(
                more,
                ", {opening} being opened from a disk that does not answer"
            );
        }
        let dir = images.get("dir").map(text_of).unwrap_or_default();
        let offered = number(images, "offered");
        let _ = writeln!(text, "images         {offered} in {dir}{more}");
    }
    let names = match number(answer, "leases_named") {
        0 => String::new(),
        named => format!(", {named} with names"),
    };
    let names = match number(answer, "leases_unnamed") {
        0 => names,
        lost => format!("{names}, {lost} that want the name of another"),
    };
    let _ = writeln!(
        text,
        "leases         {} active{names}",
        get("leases_active")
    );
    let _ = writeln!(text, "machines       {} seen", get("machines"));
    if let Some(Value::Object(counters)) = answer.get("counters") {
        for (protocol, counts) in counters {
            let counts: Vec<String> = (counts.as_object().into_iter().flatten())
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            let counts = match counts.is_empty() {
                true => "nothing yet".to_owned(),
                false => counts.join(", "),
            };
            let _ = writeln!(text, "{:<14} {counts}", format!("{protocol} so far"));
        }
    }
    if let Some(rates) = answer.get("rates").and_then(Value::as_object) {
        for (protocol, rate) in rates {
            let _ = writeln!(
                text,
                "{:<14} {:.1} transfers and {} bytes a second",
                format!("{protocol} lately"),
                rate["transfers_per_second"].as_f64().unwrap_or_default(),
                text_of(&rate["bytes_per_second"]),
            );
        }
    }
    if let Some(http) = answer.get("http").and_then(Value::as_object) {
        let (open, max) = (number(http, "connections"), number(http, "connections_max"));
        let _ = writeln!(text, "http           {open} connections of at most {max}");
    }
    if let Some(nfs) = answer.get("nfs").and_then(Value::as_object) {
        let connections = number(nfs, "connections");
        let portmap = nfs.get("portmap").map(text_of).unwrap_or_default();
        let _ = writeln!(
            text,
            "nfs            {connections} connections, portmap {portmap}"
        );
        for export in list(nfs, "exports") {
            let clients = export["clients"].as_array().into_iter().flatten();
            let clients: Vec<String> = clients.map(text_of).collect();
            let is_hidden = export["hidden"].as_bool() == Some(true);
            let _ = writeln!(
                text,
                "  {} to {}{}",
                text_of(&export["path"]),
                clients.join(", "),
                if is_hidden { ", hidden" } else { "" },
            );
        }
    }
    if let Some(dns) = answer.get("dns").and_then(Value::as_object) {
        dns_text(&mut text, dns);
    }
    let _ = writeln!(text, "transfers      {} running", get("transfers_running"));
    for transfer in list(answer, "transfers") {
        let _ = writeln!(
            text,
            "  {} {} {} {}, {} bytes, since {}",
            text_of(&transfer["protocol"]),
            text_of(&transfer["ip"]),
            text_of(&transfer["mac"]),
            text_of(&transfer["file"]),
            text_of(&transfer["bytes"]),
            duration(transfer["seconds"].as_u64().unwrap_or_default()),
        );
    }
    text
}

fn dns_text(text: &mut String, dns: &Answer) {
    let upstreams: Vec<String> = list(dns, "forward").map(text_of).collect();
    let asks = match upstreams.is_empty() {
        true => "asks nobody else".to_owned(),
        false => format!("asks {} for other names", upstreams.join(", ")),
    };
    let connections = number(dns, "connections");
    let _ = writeln!(text, "dns            {connections} connections, {asks}");
    for zone in list(dns, "zones") {
        let source = match &zone["file"] {
            Value::String(file) => format!("from {file}"),
            _ => "made of the configuration".to_owned(),
        };
        let has_leases = zone["leases"].as_bool() == Some(true);
        let _ = writeln!(
            text,
            "  {} serial {}, {} records {source}{}",
            text_of(&zone["name"]),
            text_of(&zone["serial"]),
            text_of(&zone["records"]),
            if has_leases { ", and leases" } else { "" },
        );
        for error in zone["errors"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "    as it was before: {}", text_of(error));
        }
    }
}

fn machines_text(answer: &Answer, is_one: bool, now: u64) -> String {
    let mut text = match is_one {
        true => String::new(),
        false => format!("{:<17} {:<15} {:<10} STANDS\n", "MAC", "ADDRESS", "SEEN"),
    };
    for machine in list(answer, "machines") {
        let (mac, ip) = (text_of(&machine["mac"]), text_of(&machine["ip"]));
        let _ = if is_one {
            let decided = decision_text(machine);
            writeln!(
                text,
                "{mac} {ip}\n{decided}{}",
                text_of(&machine["timeline"])
            )
        } else {
            let ago = now.saturating_sub(machine["last_seen"].as_u64().unwrap_or(now));
            let standing = text_of(&machine["standing"]);
            writeln!(text, "{mac:<17} {ip:<15} {:<10} {standing}", duration(ago))
        };
    }
    text
}

/// What was decided about a machine, and the rules that were tried, if anything was.
fn decision_text(machine: &Value) -> String {
    let Some(decision) = machine["decision"].as_str() else {
        return String::new();
    };
    let mut text = format!("  {decision}\n");
    for tried in machine["reasons"].as_array().into_iter().flatten() {
        let sign = match tried["matched"].as_bool() {
            Some(true) => '+',
            _ => '-',
        };
        let (rule, reason) = (text_of(&tried["rule"]), text_of(&tried["reason"]));
        let _ = writeln!(text, "    {sign} {rule}: {reason}");
    }
    text
}

pub(crate) fn list<'a>(answer: &'a Answer, key: &str) -> impl Iterator<Item = &'a Value> {
    answer
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn number(answer: &Answer, key: &str) -> u64 {
    answer.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// A value as a word: a text without quotes, and `-` for none.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(value: Value) -> Answer {
        match value {
            Value::Object(answer) => answer,
            _ => panic!("an object"),
        }
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(600), "10 min 0 s");
        assert_eq!(duration(7200 + 60), "2 h 1 min");
        assert_eq!(duration(86_400 * 3), "3 d 0 h");
    }

    #[test]
    fn machines_are_a_table_or_a_timeline() {
        let answer = answer(json!({ "machines": [
            { "mac": "52:54:00:00:00:01", "ip": "10.0.0.9", "last_seen": 95,
              "decision": "boots x (pxe)", "reasons": [
                { "rule": "lab", "matched": false, "reason": "arch is bios" },
                { "rule": "default", "matched": true, "reason": "any" } ],
              "standing": "at menu", "timeline": "  0.000 s  dhcp  discover" },
        ] }));
        assert_eq!(
            machines_text(&answer, false, 100),
            "MAC               ADDRESS         SEEN       STANDS\n\
             52:54:00:00:00:01 10.0.0.9        5 s        at menu\n"
        );
        assert_eq!(
            machines_text(&answer, true, 100),
            "52:54:00:00:00:01 10.0.0.9\n  boots x (pxe)\n    - lab: arch is bios\n    + default: any\n\
             \x20 0.000 s  dhcp  discover\n"
        );
    }

    #[test]
    fn a_status_names_listeners_and_counters() {
        let text = status_text(&answer(json!({
            "server_version": "0.1.0", "pid": 7, "uptime_seconds": 61, "dhcp_mode": "proxy",
            "listeners": [
                { "protocol": "dhcp", "name": "br1", "address": "0.0.0.0:67" },
                { "protocol": "tftp", "name": "10.0.0.1:69", "address": "10.0.0.1:69" },
                { "protocol": "nfs", "name": "portmap 10.0.0.1:111", "address": "10.0.0.1:111" },
            ],
            "counters": { "dhcp": {}, "tftp": { "bytes": 5, "sent": 1 } },
            "rates": { "http": { "transfers_per_second": 2.5, "bytes_per_second": 1000 } },
            "http": { "connections": 3, "connections_max": 1024 },
        })));
        assert!(
            text.starts_with("pxe-server 0.1.0, pid 7, up 1 min 1 s\n"),
            "{text}"
        );
        assert!(
            text.contains("\ndhcp           br1 (0.0.0.0:67)\n"),
            "{text}"
        );
        assert!(text.contains("\ntftp           10.0.0.1:69\n"), "{text}");
        assert!(
            text.contains("\nnfs            portmap 10.0.0.1:111\n"),
            "{text}"
        );
        assert!(text.contains("\ndhcp mode      proxy\n"), "{text}");
        assert!(
            text.contains("\ntftp so far    bytes 5, sent 1\n"),
            "{text}"
        );
        assert!(
            text.contains("\nhttp lately    2.5 transfers and 1000 bytes a second\n"),
            "{text}"
        );
        assert!(
            text.contains("\nhttp           3 connections of at most 1024\n"),
            "{text}"
        );
    }
}
