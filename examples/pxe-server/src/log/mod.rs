//! Log lines: from facts to `tracing`, and from `tracing` to stderr.

mod text_line;
mod writer;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use self::text_line::TextLine;
use self::writer::LineWriter;
use crate::config::{Log, LogFormat, LogLevel};
use crate::fact::{Fact, What};

/// The log of this process; the level can be changed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct LogControl {
    filter: reload::Handle<Targets, Registry>,
    writer: LineWriter,
}

impl LogControl {
    /// Sends every line to stderr from now on. Does nothing if the process has a log already.
    pub(crate) fn install(log: Log) -> Self {
        let (filter, handle) = reload::Layer::new(targets(log.level));
        let writer = LineWriter::default();
        let lines = tracing_subscriber::fmt::layer().with_writer(writer.clone());
        let layer = match log.format {
            LogFormat::Text => lines.with_ansi(false).event_format(TextLine).boxed(),
            LogFormat::Json => lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_target(false)
                .boxed(),
        };
        let _ = tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .try_init();
        Self {
            filter: handle,
            writer,
        }
    }

    /// From now on lines are written by a thread of their own, so that a slow reader of stderr
    /// cannot hold a protocol up.
    pub(crate) fn start_thread(&self) -> std::io::Result<()> {
        self.writer.start_thread()
    }

    /// Waits a little for lines that are not written yet.
    pub(crate) fn flush(&self) {
        self.writer.flush();
    }

    /// Changes the level.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // It fails only if the log is gone, and then nobody reads it.
        let _ = self.filter.reload(targets(level));
    }
}

/// The libraries' own lines are for those who ask for everything.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = match level {
        LevelFilter::TRACE => level,
        level => level.min(LevelFilter::WARN),
    };
    Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_default(others)
}

/// Writes a fact to the log, one line.
pub(crate) fn write(fact: &Fact, level: LogLevel) {
    // The level of a tracing event is a constant.
    macro_rules! at {
        ($level:expr) => {{
            let fields = Fields::of(&fact.what);
            tracing::event!(
                $level,
                event = fact.what.name(),
                protocol = fact.protocol.as_str(),
                mac = fact.mac.map(tracing::field::display),
                ip = fact.ip.map(tracing::field::display),
                file = fact.what.file(),
                bytes = fields.bytes,
                duration_ms = fields.duration_ms,
                address = fields.address.map(tracing::field::display),
                lease_seconds = fields.lease_seconds,
                message_type = fields.message_type,
                arch = fields.arch,
                client = fields.client,
                reason = fields.reason,
                "{}",
                fact.what
            )
        }};
    }
    match level {
        LogLevel::Error => at!(Level::ERROR),
        LogLevel::Warn => at!(Level::WARN),
        LogLevel::Info => at!(Level::INFO),
        LogLevel::Debug => at!(Level::DEBUG),
        LogLevel::Trace => at!(Level::TRACE),
    }
}

/// What a line has besides who, when and which file.
#[derive(Default)]
struct Fields<'a> {
    bytes: Option<u64>,
    duration_ms: Option<u64>,
    address: Option<std::net::Ipv4Addr>,
    lease_seconds: Option<u32>,
    message_type: Option<&'static str>,
    arch: Option<&'a str>,
    client: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(what: &'a What) -> Self {
        let mut fields = Self::default();
        match what {
            What::Asked {
                message,
                arch,
                client,
            } => {
                fields.message_type = Some(message);
                fields.arch = arch.as_deref();
                fields.client = client.as_deref();
            }
            What::Leased {
                address, seconds, ..
            } => {
                fields.address = Some(*address);
                fields.lease_seconds = Some(*seconds);
            }
            What::Offered { address, .. }
            | What::LeasedByOther { address, .. }
            | What::Released { address }
            | What::Declined { address }
            | What::Named { address, .. } => fields.address = Some(*address),
            What::Refused { reason }
            | What::Denied { reason, .. }
            | What::Unresolved { reason, .. } => {
                fields.reason = Some(reason);
            }
            What::Probed { bytes, .. } | What::Started { bytes, .. } => fields.bytes = *bytes,
            What::Sent { bytes, took, .. } => {
                fields.bytes = Some(*bytes);
                fields.duration_ms = u64::try_from(took.as_millis()).ok();
            }
            What::Failed { bytes, reason, .. } => {
                fields.bytes = Some(*bytes);
                fields.reason = Some(reason);
            }
            What::Disconnected { bytes, .. } => fields.bytes = Some(*bytes),
            What::ProxyOffered { .. }
            | What::Mounted { .. }
            | What::BootServerAcknowledged { .. }
            | What::Missing { .. }
            | What::Note { .. } => {}
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Protocol;
    use pxe_core::Now;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines without their times.
    fn text_lines(log: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(TextLine)
            .with_filter(targets(LogLevel::Info));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().expect("whole").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        let line = |line: &str| line.split_once("Z ").expect("a time").1.to_owned();
        text.lines().map(line).collect()
    }

    #[test]
    fn a_fact_is_one_line_that_says_who_and_what() {
        let what = What::Sent {
            file: "bios/lpxelinux.0".into(),
            bytes: 42_988,
            took: Duration::from_millis(31),
        };
        let fact = Fact::new(Now::default(), Protocol::Tftp, what)
            .with_mac([0x52, 0x54, 0, 0x12, 0x34, 0x56].into())
            .with_ip([192, 168, 150, 30].into());
        let lines = text_lines(|| {
            write(&fact, LogLevel::Info);
            write(&fact, LogLevel::Debug);
            tracing::info!(
                event = "reloaded",
                reloads = 2,
                "the new configuration is in force"
            );
            tracing::info!(target: "another_library", "chatter");
        });
        assert_eq!(
            lines,
            [
                "INFO  tftp 52:54:00:12:34:56 192.168.150.30 sent bios/lpxelinux.0, 42988 bytes \
                 in 31 ms",
                "INFO  the new configuration is in force reloads=2",
            ]
        );
    }
}
