//! Times of zone files: seconds, or numbers with units.

/// The seconds of `3600`, `1h`, `1w2d3h4m5s`; none if it is no time, or one beyond 2^32 - 1.
///
/// As in BIND (`dns_ttl_fromtext`), units may come in any case and order and more than once, and a
/// number without unit stands alone.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    let mut total: u64 = 0;
    let mut has_unit = false;
    let mut rest = text;
    loop {
        let digits = rest
            .iter()
            .take_while(|octet| octet.is_ascii_digit())
            .count();
        let (number, after) = rest.split_at_checked(digits)?;
        let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        let Some((unit, after)) = after.split_first() else {
            return (!has_unit).then_some(number);
        };
        let unit_seconds = match unit.to_ascii_lowercase() {
            b'w' => 7 * 24 * 3600,
            b'd' => 24 * 3600,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = total.checked_add(u64::from(number) * unit_seconds)?;
        has_unit = true;
        rest = after;
        if rest.is_empty() {
            return u32::try_from(total).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_or_none() {
        for (text, expected) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("4294967295", Some(u32::MAX)),
            ("1w2d3h4m5s", Some(604_800 + 172_800 + 10_800 + 240 + 5)),
            ("1D", Some(86_400)),
            ("5s1H5s", Some(3610)),
            ("4294967296", None),
            ("7102w", None),
            ("1h30", None),
            ("h", None),
            ("1hh", None),
            ("", None),
            ("+1", None),
            ("1y", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
