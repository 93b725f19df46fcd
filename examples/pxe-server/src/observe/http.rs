//! What HTTP's events mean.

use std::fmt::Write as _;
use std::sync::Arc;

use pxe_core::MacAddr;
use pxe_http::{Event, Limit, Requested, Responded, ResponseEnd};

use crate::config::LogLevel;
use crate::fact::{Fact, Protocol, What, printable, printable_path};
use crate::hub::{FileName, Hub, Transfer, TransferKey};

/// Reports an event of a listener that speaks this protocol, HTTP in clear or over TLS, to the hub.
pub(crate) fn observe(hub: &Hub, protocol: Protocol, event: &Event) {
    match event {
        Event::Request(request) => {
            // Whether it is a transfer at all, only the response tells.
            let transfer = Transfer {
                ip: request.remote.ip(),
                file: match &request.head.path {
                    Some(path) => FileName::Path(path.clone()),
                    None => FileName::Text(printable(&request.head.target)),
                },
                bytes: None,
                since: request.at,
            };
            hub.begin(key(protocol, request), transfer);
        }
        Event::Response(response) => {
            hub.end(key(protocol, &response.request));
            let file = file(&response.request);
            let denied = (response.status.as_u16() == 403)
                .then(|| hub.denied(response.request.remote.ip(), &file))
                .flatten();
            let (level, what) = match denied {
                Some(denied) => (LogLevel::Warn, denied),
                None => responded(response, file),
            };
            hub.tell(fact(hub, protocol, response, what), level);
        }
        Event::Limited(limited) => {
            let (level, text) = match limited.limit {
                Limit::Connections => (LogLevel::Warn, "too many connections"),
                Limit::ConnectionsPerClient => (LogLevel::Warn, "too many of its connections"),
                Limit::HeadBytes => (LogLevel::Warn, "the request's head is too long"),
                Limit::HandshakeTime => (LogLevel::Debug, "the handshake of TLS takes too long"),
                Limit::HeadTime => (LogLevel::Debug, "the request's head takes too long"),
                Limit::IdleTime => (LogLevel::Debug, "idle for too long"),
                Limit::StallTime => (LogLevel::Warn, "took too little for too long"),
                Limit::SourceTime => (LogLevel::Error, "the files take too long to be read"),
                Limit::RequestRate => (LogLevel::Warn, "too many of its requests"),
                Limit::HandshakeRate => (LogLevel::Warn, "too many of its handshakes of TLS"),
                _ => (LogLevel::Warn, "another limit"),
            };
            let name = limit_name(limited.limit);
            let mut text = format!("limit reached: {text}");
            if limited.count > 1 {
                let _ = write!(text, " ({} times)", limited.count);
                // The note counts as one.
                hub.count(protocol, name, limited.count - 1);
            }
            let what = What::Note { name, text };
            let mut fact = Fact::new(hub.now(), protocol, what);
            fact.ip = limited.remote.map(|remote| remote.ip());
            hub.note(fact, level);
        }
        Event::Malformed(malformed) => {
            let text = format!("malformed request: {}", printable(&malformed.cause));
            let what = What::Note {
                name: "malformed",
                text,
            };
            let fact = Fact::new(hub.now(), protocol, what);
            hub.note(fact.with_ip(malformed.remote.ip()), LogLevel::Debug);
        }
        Event::HandshakeFailed(failed) => {
            let text = format!("no connection by TLS: {}", printable(&failed.cause));
            let what = What::Note {
                name: "handshake_failed",
                text,
            };
            let fact = Fact::new(hub.now(), protocol, what);
            hub.note(fact.with_ip(failed.remote.ip()), LogLevel::Warn);
        }
        Event::AcceptFailed(failed) => {
            let text = format!(
                "cannot accept a connection at {}: {}",
                failed.local, failed.error
            );
            let what = What::Note {
                name: "accept_failed",
                text,
            };
            hub.note(Fact::new(hub.now(), protocol, what), LogLevel::Error);
        }
        other => {
            tracing::debug!(event = "other", "{protocol}: {other:?}");
        }
    }
}

/// Each limit is counted by itself, and a flood at one does not hide another in the log.
const fn limit_name(limit: Limit) -> &'static str {
    match limit {
        Limit::Connections => "limit_connections",
        Limit::ConnectionsPerClient => "limit_connections_per_client",
        Limit::RequestRate => "limit_request_rate",
        Limit::HandshakeRate => "limit_handshake_rate",
        Limit::HeadBytes => "limit_head_bytes",
        Limit::HandshakeTime => "limit_handshake_time",
        Limit::HeadTime => "limit_head_time",
        Limit::IdleTime => "limit_idle_time",
        Limit::StallTime => "limit_stall_time",
        Limit::SourceTime => "limit_source_time",
        _ => "limit",
    }
}

fn fact(hub: &Hub, protocol: Protocol, response: &Responded, what: What) -> Fact {
    let request = &*response.request;
    let now = hub.now_at(request.at + response.duration);
    let fact = Fact::new(now, protocol, what).with_ip(request.remote.ip());
    // A lease says better than the client whose address it is; what lpxelinux tells of itself is
    // for networks where another server gives the addresses.
    match request.head.bootif {
        Some(mac) if hub.machines().mac_of(request.remote.ip()).is_none() => {
            fact.with_mac(MacAddr::new(mac))
        }
        _ => fact,
    }
}

/// A request's address in memory is its own as long as it is answered.
fn key(protocol: Protocol, request: &Arc<Requested>) -> TransferKey {
    let address = Arc::as_ptr(request).addr();
    match protocol {
        Protocol::Https => TransferKey::Https(address),
        _ => TransferKey::Http(address),
    }
}

/// The path as it was asked for, decoded where it could be.
fn file(request: &Requested) -> String {
    match &request.head.path {
        Some(path) => printable_path(path),
        None => printable(&request.head.target),
    }
}

fn responded(response: &Responded, file: String) -> (LogLevel, What) {
    let status = response.status.as_u16();
    let bytes = response.bytes_sent;
    let failed = |reason: String| {
        (
            LogLevel::Warn,
            What::Failed {
                file: Some(file.clone()),
                bytes,
                reason,
            },
        )
    };
    match (status, response.end) {
        (_, ResponseEnd::Disconnected) => {
            let expected = response.bytes_expected;
            failed(format!(
                "the connection ended before all of {expected} bytes were sent"
            ))
        }
        (_, ResponseEnd::FileFailed(error)) => failed(format!("the file failed: {error}")),
        (404, _) => (LogLevel::Info, What::Missing { file }),
        (200 | 206, _) if response.request.head.method.as_str() == "HEAD" => (
            LogLevel::Debug,
            What::Probed {
                file,
                bytes: None,
                took: response.duration,
            },
        ),
        (200 | 206, _) => (
            LogLevel::Info,
            What::Sent {
                file,
                bytes,
                took: response.duration,
            },
        ),
        (304, _) => {
            let text = format!("{file}: the client has it already");
            (
                LogLevel::Debug,
                What::Note {
                    name: "not_modified",
                    text,
                },
            )
        }
        (300..400, _) => {
            let text = format!("{file}: status {status}");
            (
                LogLevel::Debug,
                What::Note {
                    name: "redirected",
                    text,
                },
            )
        }
        _ => {
            let reason = format!("{} {file}: status {status}", response.request.head.method);
            (
                LogLevel::Warn,
                What::Refused {
                    reason: printable(&reason),
                },
            )
        }
    }
}
