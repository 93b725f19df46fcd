//! The header fields of a response, in the order in which they are sent.

use std::cell::RefCell;
use std::fmt::{self, Write};

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, HeaderName, LAST_MODIFIED, VARY,
};
use http::{HeaderValue, Method, StatusCode, Version};
use pxe_tree::Timestamp;

use crate::condition::Validators;
use crate::date::Date;
use crate::memo::Memo;
use crate::page::Page;
use crate::{Piece, Plan, RequestHead};

/// Header fields in the making.
pub(crate) struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    pub(crate) fn new(now: Timestamp) -> Self {
        let mut fields = Self(Vec::with_capacity(8));
        if let Some(date) = http_date(now.seconds) {
            fields.push(DATE, date);
        }
        fields
    }

    pub(crate) fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// For text made here, which is always visible ASCII.
    pub(crate) fn push_text(&mut self, name: HeaderName, text: fmt::Arguments<'_>) {
        if let Some(value) = field_value(text) {
            self.push(name, value);
        }
    }

    pub(crate) fn push_page(&mut self, page: &Page) {
        self.push(CONTENT_LENGTH, HeaderValue::from(page.text.len()));
        self.push(CONTENT_TYPE, page.media_type.clone());
        // RFC 9110 section 12.5.5: `Accept` chose its form.
        self.push(VARY, HeaderValue::from_static("accept"));
    }

    pub(crate) fn push_validators(&mut self, validators: Validators, now: Timestamp) {
        // RFC 9110 section 8.8.2.1: a time in the future is replaced by that of the message.
        let last_modified = validators.last_modified.map(|date| date.min(now.seconds));
        if let Some(date) = last_modified.and_then(http_date) {
            self.push(LAST_MODIFIED, date);
        }
        if let Some(etag) = validators.etag {
            self.push(ETAG, etag);
        }
    }

    pub(crate) fn finish(
        mut self,
        head: &RequestHead<'_>,
        status: StatusCode,
        body: Vec<Piece>,
    ) -> Plan {
        let keep_alive = head.keep_alive();
        // HTTP/1.1 stays open unless told otherwise, earlier versions close (RFC 9112 section
        // 9.3); what differs from that has to be said. `close` is always said, since some
        // firmware's clients wait for it.
        if !keep_alive {
            self.push(CONNECTION, HeaderValue::from_static("close"));
        } else if head.version < Version::HTTP_11 {
            self.push(CONNECTION, HeaderValue::from_static("keep-alive"));
        }
        let body = match *head.method {
            Method::HEAD => Vec::new(),
            _ => body,
        };
        Plan {
            status,
            headers: self.0,
            body,
            keep_alive,
        }
    }
}

pub(crate) fn http_date(seconds: i64) -> Option<HeaderValue> {
    thread_local! {
        static DATES: RefCell<Memo<i64, 64>> = const { RefCell::new(Memo::new()) };
    }
    DATES.with_borrow_mut(|dates| {
        let make = || Date::from_seconds(seconds)?.to_http();
        dates.get(seconds.cast_unsigned(), seconds, make)
    })
}

/// Text as a field's value: `None` if it has what no field may have.
///
/// The common case, which is short, costs one allocation: that of the value.
pub(crate) fn field_value(text: fmt::Arguments<'_>) -> Option<HeaderValue> {
    let mut short = ShortText {
        bytes: [0; SHORT_LEN_MAX],
        len: 0,
    };
    match short.write_fmt(text) {
        Ok(()) => HeaderValue::from_bytes(short.bytes.get(..short.len)?).ok(),
        Err(fmt::Error) => HeaderValue::try_from(text.to_string()).ok(),
    }
}

/// Enough for an entity tag and for a `Content-Range`.
const SHORT_LEN_MAX: usize = 120;

struct ShortText {
    bytes: [u8; SHORT_LEN_MAX],
    len: usize,
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(fmt::Error)?;
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_are_whole() {
        for len in [0, 1, SHORT_LEN_MAX, SHORT_LEN_MAX + 1, 5000] {
            let text = "x".repeat(len);
            let value = field_value(format_args!("<{text}>")).expect("visible");
            assert_eq!(value, format!("<{text}>"));
        }
        assert_eq!(field_value(format_args!("a\nb")), None);
    }
}
