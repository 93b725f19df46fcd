//! `pxe-server dns query`.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::cli::Control;
use crate::client_commands::{ask, list, pretty, report, text_of};
use crate::control::{Answer, Command};

/// Asks, and shows the answer as dig does, with where it comes from.
pub(super) fn run(
    control: &Control,
    name: &str,
    kind: Option<String>,
    client: Option<String>,
    json: bool,
) -> ExitCode {
    let name = name.to_owned();
    let answer = ask(control, Command::DnsQuery { name, kind, client });
    let is_answered = answer.as_ref().is_ok_and(is_answered);
    let reported = report(answer, |answer| match json {
        true => pretty(answer),
        false => shown(answer),
    });
    // A script is to see it, too.
    match is_answered {
        true => reported,
        false => ExitCode::FAILURE,
    }
}

/// Whether there is such a name. That it has no records of the type is an answer.
fn is_answered(answer: &Answer) -> bool {
    answer.get("rcode").and_then(serde_json::Value::as_str) == Some("NOERROR")
}

fn shown(answer: &Answer) -> String {
    let get = |key: &str| answer.get(key).map(text_of).unwrap_or_default();
    let is = |key: &str| answer.get(key).and_then(serde_json::Value::as_bool) == Some(true);
    let mut flags = String::new();
    for (key, flag) in [("authoritative", " aa"), ("recursion_available", " ra")] {
        if is(key) {
            flags.push_str(flag);
        }
    }
    let flags = match flags.as_str() {
        "" => String::new(),
        flags => format!(", flags:{flags}"),
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        ";; {} {} asked by {}: {}{flags}",
        get("name"),
        get("type"),
        get("client"),
        get("rcode"),
    );
    for section in ["answer", "authority", "additional"] {
        let mut records = list(answer, section).peekable();
        if records.peek().is_some() {
            let _ = writeln!(text, ";; {}", section.to_uppercase());
        }
        for record in records {
            let _ = writeln!(text, "{}", text_of(record));
        }
    }
    let _ = writeln!(text, ";; WHY: {}", get("why"));
    text
}
