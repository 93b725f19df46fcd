//! `pxe-server leases`: lists, exports and releases.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use pxe_dhcp::{LeaseStore, OpenStoreError, RedbStore, StoreError};
use serde_json::Value;

use crate::cli::{Control, print};
use crate::client_commands::{ask, duration, list, now, pretty, report, text_of};
use crate::control::{Answer, Command};
use crate::{lease_store, status};

/// Characters of a host name in the table.
const HOST_NAME_SHOWN_MAX: usize = 63;
/// Records of one page of the store.
const PAGE_RECORDS_MAX: usize = 1024;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct Args {
    #[command(flatten)]
    control: Control,
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, with a head
    #[arg(long)]
    csv: bool,
    /// Read this file, while no server has it open
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Free the lease of an address, or all leases of a machine, in the running server
    Release {
        /// An IP or a hardware address
        lease: String,
    },
}

pub(crate) fn run(args: Args) -> ExitCode {
    let Args {
        control,
        action,
        json,
        csv,
        store,
    } = args;
    if let Some(Action::Release { lease }) = action {
        if store.is_some() {
            eprintln!("pxe-server: a lease is released by the running server, not in its file");
            return ExitCode::from(2);
        }
        return release(&control, lease);
    }
    let show = |answer: &Answer| match (json, csv) {
        (true, _) => pretty(answer),
        (_, true) => leases_csv(answer),
        _ => leases_text(answer, now()),
    };
    match store {
        None => report(ask(&control, Command::Leases), show),
        Some(path) => match read(&path) {
            Ok(answer) => print(&show(&answer)),
            Err(error) => {
                eprintln!("pxe-server: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn release(control: &Control, lease: String) -> ExitCode {
    report(ask(control, Command::Release { lease }), |answer| {
        let mut text = String::new();
        for address in list(answer, "released") {
            let _ = writeln!(text, "{} is free", text_of(address));
        }
        text
    })
}

/// The leases of a file that no server has open.
fn read(path: &Path) -> Result<Answer, String> {
    let store = RedbStore::open_read_only(path).map_err(|error| {
        let hint = match error {
            OpenStoreError::InUse { .. } => ": ask it, with --control and without --store",
            _ => "",
        };
        format!("{}{hint}", lease_store::text(&error))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let records = runtime.block_on(async {
        let (mut records, mut after) = (Vec::new(), None);
        loop {
            let page = store.load(after, PAGE_RECORDS_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(records);
            };
            after = Some(last.address);
            records.extend(page);
        }
    });
    let records = records.map_err(|error: StoreError| error.to_string())?;
    Ok(status::leases(&records, None))
}

fn leases_text(answer: &Answer, now: u64) -> String {
    let mut text = format!(
        "{:<15} {:<17} {:<8} {:<12} {:<12} {:<12} {:<12} NAME\n",
        "ADDRESS", "MAC", "STATE", "FOR", "SINCE", "SEEN", "ARCH"
    );
    for lease in list(answer, "leases") {
        let mac = match &lease["mac"] {
            Value::Null => text_of(&lease["client"]),
            mac => text_of(mac),
        };
        let seconds = |key: &str| lease[key].as_u64().unwrap_or_default();
        let left = match lease["state"].as_str() {
            Some("active" | "declined") => duration(seconds("until").saturating_sub(now)),
            _ => "-".to_owned(),
        };
        let ago = |key: &str| duration(now.saturating_sub(seconds(key)));
        let _ = writeln!(
            text,
            "{:<15} {mac:<17} {:<8} {left:<12} {:<12} {:<12} {:<12} {}",
            text_of(&lease["address"]),
            text_of(&lease["state"]),
            ago("first_seen"),
            ago("last_seen"),
            text_of(&lease["arch"]),
            match &lease["dns_name"] {
                Value::Null => shortened(&text_of(&lease["host_name"])),
                name => text_of(name),
            },
        );
    }
    text
}

/// What a machine says of itself, in a table: it may say 255 octets (RFC 2132 section 3.14), a label
/// of the DNS has no more than 63. JSON and CSV have it whole.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(HOST_NAME_SHOWN_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}..", text.get(..at).unwrap_or_default()),
    }
}

/// The columns of an export: the keys of the control socket's answer.
const COLUMNS: [&str; 16] = [
    "address",
    "state",
    "until",
    "mac",
    "client",
    "host_name",
    "fqdn",
    "dns_name",
    "arch",
    "vendor_class",
    "uuid",
    "client_id",
    "circuit_id",
    "remote_id",
    "first_seen",
    "last_seen",
];

/// RFC 4180, but with plain line ends.
fn leases_csv(answer: &Answer) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for lease in list(answer, "leases") {
        let fields: Vec<String> = COLUMNS.iter().map(|key| csv_field(&lease[key])).collect();
        text += &fields.join(",");
        text.push('\n');
    }
    text
}

fn csv_field(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        value => text_of(value),
    };
    // A machine chooses its own name, and a spreadsheet would compute what begins like a formula
    // (OWASP, "CSV Injection").
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
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
    fn leases_are_a_table() {
        let answer = answer(json!({ "leases": [
            { "address": "10.0.0.9", "mac": "52:54:00:00:00:01", "state": "active", "until": 700,
              "arch": "uefi-x64", "host_name": "PC1", "dns_name": "pc1.lan", "first_seen": 10, "last_seen": 95 },
            { "address": "10.0.0.10", "mac": null, "client": "id ff:00", "state": "expired",
              "until": 5, "arch": null, "host_name": null, "first_seen": 1, "last_seen": 1 },
        ] }));
        assert_eq!(
            leases_text(&answer, 100),
            "ADDRESS         MAC               STATE    FOR          SINCE        SEEN         ARCH         NAME\n\
             10.0.0.9        52:54:00:00:00:01 active   10 min 0 s   1 min 30 s   5 s          uefi-x64     pc1.lan\n\
             10.0.0.10       id ff:00          expired  -            1 min 39 s   1 min 39 s   -            -\n"
        );
    }

    #[test]
    fn a_long_host_name_leaves_the_table_readable() {
        let host_name = "é".repeat(255);
        let answer = answer(json!({ "leases": [{ "host_name": host_name }] }));
        let text = leases_text(&answer, 100);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest < Some(180), "{text}");
        assert!(text.ends_with("é..\n"), "{text}");
        assert!(leases_csv(&answer).contains(&host_name));
    }

    #[test]
    fn an_export_quotes_what_machines_say_of_themselves() {
        let answer = answer(json!({ "leases": [
            { "address": "10.0.0.9", "state": "active", "until": 700, "host_name": "=1+1",
              "vendor_class": "a \"b\", c", "fqdn": null },
        ] }));
        let text = leases_csv(&answer);
        let (head, line) = text.split_once('\n').expect("a head");
        assert!(head.starts_with("address,state,until,mac,"), "{head}");
        assert_eq!(
            line,
            "10.0.0.9,active,700,,,'=1+1,,,,\"a \"\"b\"\", c\",,,,,,\n"
        );
        assert_eq!(head.matches(',').count(), COLUMNS.len() - 1);
    }
}
