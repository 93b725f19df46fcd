//! When signatures are valid: seconds since 1970, modulo 2^32 (RFC 4034 section 3.1.5).

/// The seconds of `YYYYMMDDHHmmSS`, or of a number of at most ten digits (RFC 4034 section 3.2).
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    if text.len() <= 10 {
        return super::number(text);
    }
    let field =
        |from: usize, len: usize| -> Option<u64> { super::number(text.get(from..)?.get(..len)?) };
    let (year, month, day) = (field(0, 4)?, field(4, 2)?, field(6, 2)?);
    let (hour, minute, second) = (field(8, 2)?, field(10, 2)?, field(12, 2)?);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days_of = |month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_date = text.len() == 14
        && year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_of(month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let before = year.checked_sub(1)?;
    // Days from the first of January of the year 1 to that of 1970: 719,162.
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let days =
        years.checked_sub(719_162)? + (1..month).map(days_of).sum::<u64>() + day.checked_sub(1)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    is_date.then_some((seconds & 0xffff_ffff) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        for (text, expected) in [
            ("19700101000000", Some(0)),
            // RFC 4034 section 3.3.
            ("20030322173103", Some(1_048_354_263)),
            ("20000229000000", Some(951_782_400)),
            ("21060207062815", Some(u32::MAX)),
            ("21060207062816", Some(0)),
            ("1048354263", Some(1_048_354_263)),
            ("4294967296", None),
            ("20010229000000", None),
            ("20031322173103", None),
            ("20030322243103", None),
            ("20030022173103", None),
            ("19691231235959", None),
            ("00000101000000", None),
            ("200303221731031", None),
            ("2003032217310x", None),
            ("", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
