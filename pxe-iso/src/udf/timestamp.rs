//! Times of ECMA-167 part 1 section 7.3.

use pxe_tree::Timestamp;

use super::fields::Fields;
use crate::Damage;

/// Bytes of a timestamp.
pub(super) const TIMESTAMP_LEN: usize = 12;

/// The offset from UTC that means that none is known.
const NO_OFFSET: i64 = -2047;

/// The time of these 12 bytes; `None` if they name no time, all zero for one.
///
/// A time without an offset from UTC is taken as UTC: a server has no better guess, and two
/// servers have the same one.
pub(super) fn parse(bytes: &[u8]) -> Option<Timestamp> {
    fields(Fields::new(bytes)).ok().flatten()
}

fn fields(fields: Fields<'_>) -> Result<Option<Timestamp>, Damage> {
    let type_and_zone = fields.u16(0)?;
    let year = i64::from(fields.u16(2)?.cast_signed());
    let month = i64::from(fields.u8(4)?);
    let day = i64::from(fields.u8(5)?);
    let hour = i64::from(fields.u8(6)?);
    let minute = i64::from(fields.u8(7)?);
    let second = i64::from(fields.u8(8)?);
    let centi = u32::from(fields.u8(9)?);
    let hundreds_micro = u32::from(fields.u8(10)?);
    let micro = u32::from(fields.u8(11)?);
    let valid = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return Ok(None);
    }
    // The low twelve bits are a signed number of minutes.
    let zone = i64::from((type_and_zone << 4).cast_signed() >> 4);
    let is_local = type_and_zone >> 12 == 1;
    let minutes_east = match is_local && zone != NO_OFFSET && (-1440..=1440).contains(&zone) {
        true => zone,
        false => 0,
    };
    let days = days_since_1970(year, month, day);
    let seconds = days * 86_400 + hour * 3_600 + (minute - minutes_east) * 60 + second;
    // Some writers leave rubbish in the fractions; a whole second is right then.
    let nanos = match centi < 100 && hundreds_micro < 100 && micro < 100 {
        true => (centi * 10_000 + hundreds_micro * 100 + micro) * 1_000,
        false => 0,
    };
    Ok(Some(Timestamp { seconds, nanos }))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, whose years begin in March here so
/// that the leap day comes last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(zone: u16, date: (i16, u8, u8), time: (u8, u8, u8)) -> Option<i64> {
        let mut bytes = zone.to_le_bytes().to_vec();
        bytes.extend(date.0.to_le_bytes());
        bytes.extend([date.1, date.2, time.0, time.1, time.2, 0, 0, 0]);
        parse(&bytes).map(|time| time.seconds)
    }

    #[test]
    fn times_are_counted_from_1970_in_utc() {
        assert_eq!(seconds(0x1000, (1970, 1, 1), (0, 0, 0)), Some(0));
        let leap = seconds(0x1000, (2024, 2, 29), (12, 34, 56));
        assert_eq!(leap, Some(1_709_210_096));
        assert_eq!(seconds(0x1000, (2000, 3, 1), (0, 0, 0)), Some(951_868_800));
        assert_eq!(seconds(0x1000, (1969, 12, 31), (23, 59, 59)), Some(-1));
    }

    #[test]
    fn the_zone_counts_for_local_times_that_have_one() {
        let east = 0x1000 | 120;
        let west = 0x1000 | (-300_i16).cast_unsigned() & 0x0fff;
        let unknown = 0x1000 | (-2047_i16).cast_unsigned() & 0x0fff;
        let noon = |zone| seconds(zone, (1970, 1, 2), (12, 0, 0));
        assert_eq!(noon(east), Some(86_400 + 10 * 3_600));
        assert_eq!(noon(west), Some(86_400 + 17 * 3_600));
        assert_eq!(noon(unknown), Some(86_400 + 12 * 3_600));
        assert_eq!(noon(120), Some(86_400 + 12 * 3_600), "type 0 is UTC");
    }

    #[test]
    fn fractions_count_unless_they_are_none() {
        let mut bytes = [0, 0x10, 0xe8, 7, 1, 1, 0, 0, 0, 12, 34, 56];
        let nanos = |bytes: &[u8]| parse(bytes).map(|time| time.nanos);
        assert_eq!(nanos(&bytes), Some(123_456_000));
        bytes[9] = 200;
        assert_eq!(nanos(&bytes), Some(0));
    }

    #[test]
    fn what_names_no_time_gives_none() {
        assert_eq!(parse(&[0; 12]), None);
        assert_eq!(parse(&[0; 11]), None);
        assert_eq!(seconds(0x1000, (2024, 13, 1), (0, 0, 0)), None);
        assert_eq!(seconds(0x1000, (2024, 1, 1), (24, 0, 0)), None);
    }
}
