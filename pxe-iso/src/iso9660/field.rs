//! Numbers and dates of ECMA-119 and of the System Use Sharing Protocol.

use pxe_tree::Timestamp;

use crate::Damage;

/// The byte at a place.
pub(super) fn byte(bytes: &[u8], at: usize) -> Result<u8, Damage> {
    bytes.get(at).copied().ok_or(Damage::TooShort)
}

/// So many bytes from a place on.
pub(super) fn part(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], Damage> {
    let part = bytes.get(at..).and_then(|rest| rest.get(..len));
    part.ok_or(Damage::TooShort)
}

/// 16 bits, little-endian. It also reads numbers in both byte orders (ECMA-119 section 7.2.3).
pub(super) fn le16(bytes: &[u8], at: usize) -> Result<u16, Damage> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found
        .map(|bytes| u16::from_le_bytes(*bytes))
        .ok_or(Damage::TooShort)
}

/// 32 bits, little-endian. It also reads numbers in both byte orders (ECMA-119 section 7.3.3):
/// the first half counts. Mastering programs have written nonsense into the second one, so that
/// Linux ignores it too (fs/isofs/isofs.h, `isonum_733`).
pub(super) fn le32(bytes: &[u8], at: usize) -> Result<u32, Damage> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    found
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(Damage::TooShort)
}

/// A date of seven bytes (ECMA-119 section 9.1.5); `None` if it is not given, or is none.
pub(super) fn date7(bytes: &[u8]) -> Option<Timestamp> {
    let &[year, month, day, hour, minute, second, zone] = bytes.first_chunk()?;
    let date = [i64::from(year) + 1900, month.into(), day.into()];
    seconds(date, [hour, minute, second].map(i64::from), zone)
}

/// A date of seventeen bytes, in digits (ECMA-119 section 8.4.26.1).
pub(super) fn date17(bytes: &[u8]) -> Option<Timestamp> {
    let digits: &[u8; 17] = bytes.first_chunk()?;
    let number = |at: usize, len: usize| {
        let digits = digits.get(at..at + len)?;
        digits.iter().try_fold(0, |number, digit| {
            let value = char::from(*digit).to_digit(10)?;
            Some(number * 10 + i64::from(value))
        })
    };
    let date = [number(0, 4)?, number(4, 2)?, number(6, 2)?];
    let time = [number(8, 2)?, number(10, 2)?, number(12, 2)?];
    let mut stamp = seconds(date, time, digits[16])?;
    stamp.nanos = u32::try_from(number(14, 2)?).ok()? * 10_000_000;
    Some(stamp)
}

/// The farthest that a zone is from Greenwich, in steps of 15 minutes. What lies beyond is no zone,
/// and Linux does not believe it either (fs/isofs/util.c, `iso_date`).
const ZONE_MAX: i8 = 52;

/// `zone` is the offset from Greenwich in steps of 15 minutes.
fn seconds(date: [i64; 3], [hour, minute, second]: [i64; 3], zone: u8) -> Option<Timestamp> {
    let [year, month, day] = date;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end (Hinnant, "chrono-Compatible
    // Low-Level Date Algorithms", days_from_civil).
    let years = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (years.div_euclid(400), years.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let local = days * 86_400 + hour * 3600 + minute * 60 + second;
    let zone = zone.cast_signed();
    let is_zone = (-ZONE_MAX..=ZONE_MAX).contains(&zone);
    let east = if is_zone {
        i64::from(zone) * 15 * 60
    } else {
        0
    };
    Some(Timestamp::from_seconds(local - east))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_since_1970() {
        let at = |bytes: [u8; 7]| date7(&bytes).map(|stamp| stamp.seconds);
        assert_eq!(at([70, 1, 1, 0, 0, 0, 0]), Some(0));
        assert_eq!(at([124, 2, 29, 12, 34, 56, 0]), Some(1_709_210_096));
        assert_eq!(at([124, 2, 29, 13, 34, 56, 4]), Some(1_709_210_096));
        assert_eq!(at([124, 2, 29, 11, 34, 56, 0xfc]), Some(1_709_210_096));
        assert_eq!(at([124, 2, 29, 12, 34, 56, 53]), Some(1_709_210_096));
        assert_eq!(at([0; 7]), None);
        assert_eq!(at([124, 13, 1, 0, 0, 0, 0]), None);
        let stamp = date17(b"2024022912345678\0").expect("a date");
        assert_eq!((stamp.seconds, stamp.nanos), (1_709_210_096, 780_000_000));
        assert_eq!(date17(b"0000000000000000\0"), None);
        assert_eq!(date17(b"                \0"), None);
    }

    /// It has 24 hours west of Greenwich from 2038 on.
    #[test]
    fn genisoimages_zone_of_a_day_is_none() {
        let stamp = date7(&[138, 1, 19, 3, 14, 13, 160]).expect("a date");
        assert_eq!(stamp.seconds, (1 << 31) + 5);
    }

    #[test]
    fn numbers_of_two_byte_orders_that_disagree_are_little_endian() {
        assert_eq!(le32(&[1, 0, 0, 0, 9, 9, 9, 9], 0), Ok(1));
        assert_eq!(le16(&[2, 1, 9, 9], 0), Ok(0x102));
        assert_eq!(le32(&[1, 0, 0], 0), Err(Damage::TooShort));
        assert_eq!(le32(&[1], usize::MAX), Err(Damage::TooShort));
    }
}
