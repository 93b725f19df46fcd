//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

/// What a `Range` field means for content of a given length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeAnswer {
    /// No single valid byte range: the whole content is the answer.
    Whole,
    /// These bytes: not empty, and within the content.
    Part(Range<u64>),
    /// A valid range of which the content has no byte: 416.
    Unsatisfiable,
}

/// Reads the value of a `Range` field for content of `len` bytes.
///
/// A unit other than `bytes` and anything malformed are ignored, as RFC 9110 section 14.2 says
/// (iPXE's and other firmware's broken ones must not end a boot). Several ranges are ignored too,
/// which the same section allows. A suffix of empty content is ignored, since no `Content-Range`
/// can say it.
pub(crate) fn read_range(value: &[u8], len: u64) -> RangeAnswer {
    match single_spec(value) {
        Some(Spec::Suffix(0)) => RangeAnswer::Unsatisfiable,
        Some(Spec::Suffix(_)) if len == 0 => RangeAnswer::Whole,
        Some(Spec::Suffix(count)) => RangeAnswer::Part(len.saturating_sub(count)..len),
        Some(Spec::From { first, .. }) if first >= len => RangeAnswer::Unsatisfiable,
        Some(Spec::From { first, last }) => {
            let end = last.map_or(len, |last| last.saturating_add(1).min(len));
            RangeAnswer::Part(first..end)
        }
        None => RangeAnswer::Whole,
    }
}

enum Spec {
    /// `first-last` or `first-`.
    From { first: u64, last: Option<u64> },
    /// `-count`.
    Suffix(u64),
}

/// The range-set's only element; `None` if it is malformed or has several.
fn single_spec(value: &[u8]) -> Option<Spec> {
    let (unit, set) = split_once(value, b'=')?;
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    // Empty elements of a list do not count (RFC 9110 section 5.6.1.2).
    let mut specs = set
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|spec| !spec.is_empty());
    let spec = specs.next()?;
    if specs.next().is_some() {
        return None;
    }
    match split_once(spec, b'-')? {
        (b"", count) => Some(Spec::Suffix(digits(count)?)),
        (first, b"") => Some(Spec::From {
            first: digits(first)?,
            last: None,
        }),
        (first, last) => {
            let (first, last) = (digits(first)?, digits(last)?);
            (first <= last).then_some(Spec::From {
                first,
                last: Some(last),
            })
        }
    }
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// A number of decimal digits; one that is too large for 64 bits is larger than any file.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(range: Range<u64>) -> RangeAnswer {
        RangeAnswer::Part(range)
    }

    #[test]
    fn single_ranges() {
        let cases: [(&str, RangeAnswer); 14] = [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-", part(0..100)),
            ("bytes=10-19", part(10..20)),
            ("bytes=99-", part(99..100)),
            ("bytes=90-1000", part(90..100)),
            ("bytes=0-18446744073709551615", part(0..100)),
            ("bytes=5-99999999999999999999999", part(5..100)),
            ("bytes=-1", part(99..100)),
            ("bytes=-1000", part(0..100)),
            ("Bytes = 1-2", part(1..3)),
            ("bytes=, 1-2 ,", part(1..3)),
            ("bytes=100-", RangeAnswer::Unsatisfiable),
            ("bytes=99999999999999999999999-", RangeAnswer::Unsatisfiable),
            ("bytes=-0", RangeAnswer::Unsatisfiable),
        ];
        for (value, answer) in cases {
            assert_eq!(read_range(value.as_bytes(), 100), answer, "{value}");
        }
    }

    #[test]
    fn broken_and_multiple_ranges_are_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=--1",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1 -2",
            "bytes=,",
            "bytes=0-1,5-6",
            "items=0-1",
            "=0-1",
            "bytes:0-1",
        ] {
            assert_eq!(
                read_range(value.as_bytes(), 100),
                RangeAnswer::Whole,
                "{value}"
            );
        }
    }

    #[test]
    fn empty_content_has_no_ranges() {
        assert_eq!(read_range(b"bytes=0-", 0), RangeAnswer::Unsatisfiable);
        assert_eq!(read_range(b"bytes=-5", 0), RangeAnswer::Whole);
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("bytes=".to_owned()),
            Just("-".to_owned()),
            Just(",".to_owned()),
            Just(" ".to_owned()),
            any::<u64>().prop_map(|number| number.to_string()),
            (0..200_u64).prop_map(|number| number.to_string()),
        ];
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(piece, 0..6).prop_map(|pieces| format!(
                "bytes={}",
                pieces.concat()
            )
            .into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn parts_lie_within_the_content(
            value in value(),
            len in prop_oneof![0..200_u64, any::<u64>()],
        ) {
            if let RangeAnswer::Part(range) = read_range(&value, len) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }

        #[test]
        fn well_formed_ranges_mean_what_they_say(
            first in 0..300_u64,
            more in 0..300_u64,
            len in 0..300_u64,
        ) {
            let last = first + more;
            let answer = read_range(format!("bytes={first}-{last}").as_bytes(), len);
            let expected: Vec<u64> = (0..len).filter(|at| (first..=last).contains(at)).collect();
            match answer {
                RangeAnswer::Part(range) => prop_assert_eq!(range.collect::<Vec<_>>(), expected),
                other => {
                    prop_assert_eq!(other, RangeAnswer::Unsatisfiable);
                    prop_assert!(expected.is_empty());
                }
            }
        }
    }
}
