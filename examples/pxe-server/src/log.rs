//! Log lines: from facts to `tracing`, and from `tracing` to stderr.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Log, LogFormat, LogLevel};
use crate::fact::{Fact, What};

/// The log of this process; the level can be changed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct LogControl {
    filter: reload::Handle<Targets, Registry>,
}

impl LogControl {
    /// Sends every line to stderr from now on. Does nothing if the process has a log already.
    pub(crate) fn install(log: Log) -> Self {
        let (filter, handle) = reload::Layer::new(targets(log.level));
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
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
        Self { filter: handle }
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
            | What::Released { address }
            | What::Declined { address } => fields.address = Some(*address),
            What::Refused { reason } => fields.reason = Some(reason),
            What::Probed { bytes, .. } | What::Started { bytes, .. } => fields.bytes = *bytes,
            What::Sent { bytes, took, .. } => {
                fields.bytes = Some(*bytes);
                fields.duration_ms = u64::try_from(took.as_millis()).ok();
            }
            What::Failed { bytes, reason, .. } => {
                fields.bytes = Some(*bytes);
                fields.reason = Some(reason);
            }
            What::Missing { .. } | What::Note { .. } => {}
        }
        fields
    }
}

/// `2026-11-21T00:07:07.000000Z INFO  tftp 52:54:00:12:34:56 192.168.150.30 sent ..`
struct TextLine;

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        let mut line = Line::default();
        event.record(&mut line);
        write!(writer, " {:<5}", event.metadata().level())?;
        for word in [&line.protocol, &line.mac, &line.ip] {
            if !word.is_empty() {
                write!(writer, " {word}")?;
            }
        }
        writeln!(writer, " {}{}", line.message, line.rest)
    }
}

/// The fields of an event, sorted into the places of a line. The message of a fact says what its
/// other fields do, so these are left out; fields of other lines follow the message.
#[derive(Default)]
struct Line {
    protocol: String,
    mac: String,
    ip: String,
    message: String,
    rest: String,
}

impl Line {
    fn record(&mut self, field: &Field, value: impl fmt::Display) {
        match field.name() {
            "protocol" => self.protocol = value.to_string(),
            "mac" => self.mac = value.to_string(),
            "ip" => self.ip = value.to_string(),
            "message" => self.message = value.to_string(),
            "event" => {}
            _ if !self.protocol.is_empty() => {}
            name => self.rest.push_str(&format!(" {name}={value}")),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format_args!("{value:?}"));
    }
}
