//! Log lines for people.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `2026-11-21T00:07:07.000000Z INFO  tftp 52:54:00:12:34:56 192.168.150.30 sent ..`
pub(super) struct TextLine;

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
