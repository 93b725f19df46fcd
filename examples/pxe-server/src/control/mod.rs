//! The control socket: one JSON object a line, each answered by one.
//!
//! ```text
//! {"version":1,"command":"status"}
//! {"ok":true,"uptime_seconds":12,"version":1,..}
//! ```

mod client;
mod server;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::client::{Client, ClientError};
pub(crate) use self::server::{ControlSocket, Handler};

/// The version of the protocol. It changes when an existing key changes its meaning, not when keys
/// or commands are added.
pub const VERSION: u32 = 1;

/// What can be asked of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// How it is: uptime, listeners, counters, transfers.
    Status,
    /// Read the configuration file again.
    Reload,
    /// The leases.
    Leases,
    /// Free leases.
    Release {
        /// The address of one, or the hardware address of a machine for all of its.
        lease: String,
    },
    /// What machines did lately: all of them, or one.
    Machines {
        /// A hardware or IP address; every machine without its facts if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
    },
    /// What a client is answered by DNS, and why.
    DnsQuery {
        /// The name; or an address, for its name.
        name: String,
        /// The type of records; `A`, or `PTR` for an address, if absent.
        #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// The client's address; loopback's if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<String>,
    },
    /// End as SIGTERM does.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    version: u32,
    #[serde(flatten)]
    command: Command,
}

/// Why a command failed: a stable word, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Failure {
    /// `bad_request`, `unknown_command`, `unsupported_version`, `invalid_config`,
    /// `restart_needed`, `not_found`, `unavailable`, `busy`.
    pub code: String,
    /// What a person reads.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// What a command gives: the keys that stand beside `version` and `ok`.
pub type Answer = Map<String, Value>;

/// The line that answers a command.
fn response(result: Result<Answer, Failure>) -> Value {
    let mut object = Map::new();
    object.insert("version".into(), VERSION.into());
    object.insert("ok".into(), result.is_ok().into());
    match result {
        Ok(answer) => object.extend(answer),
        Err(failure) => {
            let Failure { code, message } = failure;
            object.insert(
                "error".into(),
                serde_json::json!({ "code": code, "message": message }),
            );
        }
    }
    Value::Object(object)
}

/// Reads a request line.
fn parse(line: &[u8]) -> Result<Command, Failure> {
    const COMMANDS: [&str; 7] = [
        "status",
        "reload",
        "leases",
        "release",
        "machines",
        "dns_query",
        "stop",
    ];
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| Failure::new("bad_request", format!("no JSON object: {error}")))?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            let message = format!("version {version} is not spoken here; this is {VERSION}");
            return Err(Failure::new("unsupported_version", message));
        }
        None => return Err(Failure::new("bad_request", "the version is missing")),
    }
    match value.get("command").and_then(Value::as_str) {
        Some(command) if COMMANDS.contains(&command) => {}
        Some(command) => {
            let message = format!("{command:?} is none of: {}", COMMANDS.join(", "));
            return Err(Failure::new("unknown_command", message));
        }
        None => return Err(Failure::new("bad_request", "the command is missing")),
    }
    let request: Request = serde_json::from_value(value)
        .map_err(|error| Failure::new("bad_request", error.to_string()))?;
    Ok(request.command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> String {
        parse(line.as_bytes()).expect_err("bad").code
    }

    #[test]
    fn requests_are_read() {
        assert_eq!(
            parse(br#"{"version":1,"command":"status"}"#),
            Ok(Command::Status)
        );
        let one = r#"{"version":1,"command":"machines","machine":"52:54:00:12:34:56"}"#;
        let machine = Some("52:54:00:12:34:56".to_owned());
        assert_eq!(parse(one.as_bytes()), Ok(Command::Machines { machine }));
    }

    #[test]
    fn bad_requests_are_told_apart() {
        assert_eq!(code("hello"), "bad_request");
        assert_eq!(code("[]"), "bad_request");
        assert_eq!(code(r#"{"command":"status"}"#), "bad_request");
        assert_eq!(
            code(r#"{"version":2,"command":"status"}"#),
            "unsupported_version"
        );
        assert_eq!(
            code(r#"{"version":1,"command":"dance"}"#),
            "unknown_command"
        );
        assert_eq!(
            code(r#"{"version":1,"command":"machines","machine":5}"#),
            "bad_request"
        );
    }

    #[test]
    fn every_command_is_known_to_the_reader() {
        for command in [
            Command::Status,
            Command::Reload,
            Command::Leases,
            Command::Release {
                lease: "10.0.0.9".to_owned(),
            },
            Command::Machines { machine: None },
            Command::DnsQuery {
                name: "pxe.lan".to_owned(),
                kind: Some("A".to_owned()),
                client: None,
            },
            Command::Stop,
        ] {
            let request = Request {
                version: VERSION,
                command: command.clone(),
            };
            let line = serde_json::to_vec(&request).expect("serialisable");
            assert_eq!(parse(&line), Ok(command));
        }
    }
}
