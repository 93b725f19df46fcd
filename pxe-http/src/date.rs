//! Civil time as HTTP, JSON and people read it.

use std::fmt;

use http::HeaderValue;

/// The first second of the year 10000, which neither an HTTP-date nor RFC 3339 can say.
pub(crate) const SECONDS_END: i64 = 253_402_300_800;

const SECONDS_A_DAY: i64 = 86_400;

/// A second of the years 0 to 9999 in the Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    year: u16,
    /// 1 to 12.
    month: u8,
    /// 1 to 31.
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// 0 is Sunday.
    weekday: u8,
}

impl Date {
    /// The date of a number of seconds since 1970; `None` before 1970 and after the year 9999.
    pub(crate) fn from_seconds(seconds: i64) -> Option<Self> {
        if !(0..SECONDS_END).contains(&seconds) {
            return None;
        }
        // Within these years all numbers are small and positive, so the casts are exact.
        let (days, of_day) = (
            (seconds / SECONDS_A_DAY) as u32,
            (seconds % SECONDS_A_DAY) as u32,
        );
        // Years begin in March here, so that the leap day is the last one, and days are counted
        // from 0000-03-01; 400 years have 146,097 days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // March is month 0; five months have 153 days.
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let (month, next_year) = match shifted_month {
            0..=9 => (shifted_month + 3, 0),
            _ => (shifted_month - 9, 1),
        };
        Some(Self {
            year: (era * 400 + year_of_era + next_year) as u16,
            month: month as u8,
            day: day as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            // 1970-01-01 was a Thursday.
            weekday: ((days + 4) % 7) as u8,
        })
    }

    /// As header fields have it: IMF-fixdate (RFC 9110 section 5.6.7).
    pub(crate) fn to_http(self) -> Option<HeaderValue> {
        const WEEKDAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
        const MONTHS: [&[u8; 3]; 12] = [
            b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
            b"Dec",
        ];
        let weekday = *WEEKDAYS.get(usize::from(self.weekday))?;
        let month = *MONTHS.get(usize::from(self.month).checked_sub(1)?)?;
        let [day, hour, minute, second] =
            [self.day, self.hour, self.minute, self.second].map(digits);
        let century = digits((self.year / 100) as u8);
        let year = digits((self.year % 100) as u8);
        let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        text[0..3].copy_from_slice(weekday);
        text[5..7].copy_from_slice(&day);
        text[8..11].copy_from_slice(month);
        text[12..14].copy_from_slice(&century);
        text[14..16].copy_from_slice(&year);
        text[17..19].copy_from_slice(&hour);
        text[20..22].copy_from_slice(&minute);
        text[23..25].copy_from_slice(&second);
        HeaderValue::from_bytes(&text).ok()
    }

    /// As people read it in a list, to the minute: `1994-11-06 08:49`.
    pub(crate) const fn to_minute(self) -> Minute {
        Minute(self)
    }
}

/// As RFC 3339 has it: `1994-11-06T08:49:37Z`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// See [`Date::to_minute`].
pub(crate) struct Minute(Date);

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date {
            year,
            month,
            day,
            hour,
            minute,
            ..
        } = self.0;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
    }
}

/// A number below 100 in two digits.
const fn digits(number: u8) -> [u8; 2] {
    [b'0' + number / 10, b'0' + number % 10]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// 1994-11-06T08:49:37Z, the example of RFC 9110 section 5.6.7.
    const EXAMPLE: i64 = 784_111_777;

    fn http(seconds: i64) -> Option<String> {
        let value = Date::from_seconds(seconds)?.to_http().expect("visible");
        Some(value.to_str().expect("text").to_owned())
    }

    #[test]
    fn dates_as_three_readers_have_them() {
        let date = Date::from_seconds(EXAMPLE).expect("within the years");
        assert_eq!(
            http(EXAMPLE).as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(date.to_minute().to_string(), "1994-11-06 08:49");
        assert_eq!(date.to_string(), "1994-11-06T08:49:37Z");
    }

    #[test]
    fn dates_outside_of_what_http_can_say_are_none() {
        assert_eq!(http(0).as_deref(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_eq!(
            http(SECONDS_END - 1).as_deref(),
            Some("Fri, 31 Dec 9999 23:59:59 GMT")
        );
        for seconds in [-1, i64::MIN, SECONDS_END, i64::MAX] {
            assert_eq!(http(seconds), None);
        }
    }

    #[test]
    fn leap_days_are_where_the_calendar_has_them() {
        for (seconds, text) in [
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http(seconds).as_deref(), Some(text));
        }
    }

    proptest! {
        #[test]
        fn every_date_is_that_of_httpdate(seconds in 0..SECONDS_END) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds as u64);
            prop_assert_eq!(http(seconds), Some(httpdate::fmt_http_date(time)));
        }
    }
}
