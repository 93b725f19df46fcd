//! What TFTP's events mean.

use std::time::Instant;

use pxe_tftp::wire::Opcode;
use pxe_tftp::{ErrorCode, Event, Limit, Noise, Outcome, Peer, Report};

use crate::config::LogLevel;
use crate::fact::{Fact, Protocol, What, printable};
use crate::hub::{FileName, Hub, Transfer, TransferKey};

/// A transfer is told to have lost packets if more than one in so many was sent again; how one went
/// that lost none is told if it had so many blocks.
const BLOCKS_TOLD: u64 = 100;

/// Reports an event to the hub.
pub(crate) fn observe(hub: &Hub, event: &Event) {
    let tell = |peer: &Peer, level, what| hub.tell(fact(hub, peer, what), level);
    let note = |peer: &Peer, level, name, text| {
        hub.note(fact(hub, peer, What::Note { name, text }), level);
    };
    match event {
        // The start, the end or the refusal says all of it.
        Event::RequestReceived { .. } | Event::RequestDropped { .. } => {}
        Event::RequestRepeated { peer, .. } => {
            note(
                peer,
                LogLevel::Debug,
                "repeated",
                "asked again for a running transfer".into(),
            );
        }
        Event::TransferStarted {
            transfer,
            peer,
            filename,
            len,
            ..
        } => {
            let file = printable(&filename.to_string());
            let begun = Transfer {
                ip: peer.remote.ip(),
                file: FileName::Text(file.clone()),
                bytes: Some(*len),
                since: Instant::now(),
            };
            hub.begin(TransferKey::Tftp(*transfer), begun);
            tell(
                peer,
                LogLevel::Debug,
                What::Started {
                    file,
                    bytes: Some(*len),
                },
            );
        }
        Event::TransferFinished {
            transfer,
            peer,
            filename,
            report,
            ..
        } => {
            hub.end(TransferKey::Tftp(*transfer));
            let file = printable(&filename.to_string());
            let name = "transfer";
            if report.blocks > 0 && report.retransmits.saturating_mul(BLOCKS_TOLD) > report.blocks {
                // What was lost on the way explains a slow boot, so the machine's timeline has it.
                let text = course(&file, report);
                tell(peer, LogLevel::Debug, What::Note { name, text });
            } else if report.blocks >= BLOCKS_TOLD {
                note(peer, LogLevel::Debug, name, course(&file, report));
            }
            let (level, what) = finished(file, report);
            tell(peer, level, what);
        }
        Event::Refused {
            peer,
            opcode,
            filename,
            refusal,
            ..
        } => {
            let file = printable(&filename.to_string());
            if (*opcode, refusal.code) == (Opcode::RRQ, ErrorCode::ACCESS_VIOLATION)
                && let Some(denied) = hub.denied(peer.remote.ip(), &file)
            {
                return tell(peer, LogLevel::Warn, denied);
            }
            let (level, what) = match refusal.code {
                ErrorCode::FILE_NOT_FOUND => (hub.tftp_miss_level(), What::Missing { file }),
                _ => {
                    let reason = printable(&refusal.message);
                    (
                        LogLevel::Warn,
                        What::Failed {
                            file: Some(file),
                            bytes: 0,
                            reason,
                        },
                    )
                }
            };
            tell(peer, level, what);
        }
        Event::BroadcastIgnored { peer, .. } => {
            note(
                peer,
                LogLevel::Debug,
                "ignored",
                "request to a broadcast address".into(),
            );
        }
        Event::Malformed { peer, error, .. } => {
            note(
                peer,
                LogLevel::Debug,
                "malformed",
                format!("malformed packet: {error}"),
            );
        }
        Event::UnknownTransfer { peer, opcode, .. } => {
            let text = format!("{opcode} that belongs to no transfer");
            note(peer, LogLevel::Debug, "unknown_transfer", text);
        }
        Event::LimitReached { limit, peer, .. } => {
            let level = match limit {
                // Anybody can send stray packets, and each is worth no more than the packet.
                Limit::StrayReplies => LogLevel::Debug,
                // The client gets its file all the same.
                Limit::WindowBytes => LogLevel::Debug,
                _ => LogLevel::Warn,
            };
            note(
                peer,
                level,
                limit_name(*limit),
                format!("limit reached: {limit}"),
            );
        }
        Event::Untold { noise, count, .. } => {
            let name = match noise {
                Noise::RequestRepeated => "repeated",
                Noise::Refused => "failed",
                Noise::BroadcastIgnored => "ignored",
                Noise::Malformed => "malformed",
                Noise::UnknownTransfer => "unknown_transfer",
                Noise::LimitReached(limit) => limit_name(*limit),
                _ => "untold",
            };
            hub.count(Protocol::Tftp, name, *count);
            let what = What::Note {
                name: "untold",
                text: format!("{count} more of {name} within a second"),
            };
            hub.note(Fact::new(hub.now(), Protocol::Tftp, what), LogLevel::Debug);
        }
        Event::EventsLost { count, .. } => {
            let what = What::Note {
                name: "events_lost",
                text: format!("{count} events lost"),
            };
            hub.note(Fact::new(hub.now(), Protocol::Tftp, what), LogLevel::Warn);
        }
        other => {
            tracing::debug!(event = "other", "tftp: {other:?}");
        }
    }
}

/// Each limit is counted by itself, and a flood at one does not hide another.
const fn limit_name(limit: Limit) -> &'static str {
    match limit {
        Limit::Transfers => "limit_transfers",
        Limit::TransfersPerRemote => "limit_transfers_per_client",
        Limit::Incoming => "limit_incoming",
        Limit::StrayReplies => "limit_stray_replies",
        Limit::Replies => "limit_replies",
        Limit::Outputs => "limit_outputs",
        Limit::WindowBytes => "limit_window_bytes",
        _ => "limit",
    }
}

fn fact(hub: &Hub, peer: &Peer, what: What) -> Fact {
    Fact::new(hub.now(), Protocol::Tftp, what).with_ip(peer.remote.ip())
}

/// How a transfer went.
fn course(file: &str, report: &Report) -> String {
    let Report {
        negotiated,
        blocks,
        retransmits,
        stray_acks,
        ..
    } = report;
    format!(
        "{file}: {blocks} blocks of {} bytes in windows of {}; {retransmits} packets sent again, \
         {stray_acks} useless acknowledgments",
        negotiated.blksize, negotiated.windowsize
    )
}

fn finished(file: String, report: &Report) -> (LogLevel, What) {
    let bytes = report.bytes;
    match &report.outcome {
        Outcome::Complete => (
            LogLevel::Info,
            What::Sent {
                file,
                bytes,
                took: report.duration,
            },
        ),
        Outcome::Probe => (
            LogLevel::Debug,
            What::Probed {
                file,
                bytes: None,
                took: report.duration,
            },
        ),
        // lpxelinux asks for all its files from one port, and leaves one that it has seen enough of
        // by asking for the next: so does every good boot of it.
        Outcome::Superseded => {
            let text = format!("left {file} after {bytes} bytes, and asked for the next");
            let name = "superseded";
            (LogLevel::Debug, What::Note { name, text })
        }
        outcome => {
            let reason = printable(&outcome.to_string());
            (
                LogLevel::Warn,
                What::Failed {
                    file: Some(file),
                    bytes,
                    reason,
                },
            )
        }
    }
}
