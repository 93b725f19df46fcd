//! Byte ranges (RFC 9110 section 14).

use std::ops::Range;

/// How many ranges one request may ask for; one with more gets the whole content.
///
/// A part costs some 200 bytes of memory and 100 on the wire. Apache httpd takes 200
/// (`MaxRanges`); dnf asks for up to 256 parts of zchunk files at a time (librepo, downloader.c).
const RANGES_MAX: usize = 256;

/// What a `Range` field means for content of a given length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeAnswer {
    /// No valid byte range: the whole content is the answer.
    Whole,
    /// These bytes: not empty, and within the content.
    Part(Range<u64>),
    /// These at least two ranges: none is empty, all are within the content, and between any two
    /// lies at least one byte.
    Parts(Vec<Range<u64>>),
    /// Valid ranges of which the content has no byte: 416.
    Unsatisfiable,
}

/// Reads the value of a `Range` field for content of `len` bytes.
///
/// - A unit other than `bytes` and a set with anything malformed in it are ignored, as RFC 9110
///   section 14.2 says (iPXE's and other firmware's broken ones must not end a boot).
/// - Ranges of empty content are ignored too: no `Content-Range` can say them, and who begins at
///   byte 0 is better off with an empty file than with an error (as Go's net/http has it).
/// - Of several ranges, those that lie beyond the content are left out, and those that overlap or
///   touch become one, at the place of the first of them (sections 14.2 and 15.3.7.2). So an
///   answer never has more bytes of content than the content has, whatever was asked for (section
///   17.15).
pub(crate) fn read_range(value: &[u8], len: u64) -> RangeAnswer {
    let Some(set) = split_once(value, b'=')
        .filter(|(unit, _)| unit.trim_ascii().eq_ignore_ascii_case(b"bytes"))
        .map(|(_, set)| set)
    else {
        return RangeAnswer::Whole;
    };
    // Empty elements of a list do not count (RFC 9110 section 5.6.1.2).
    let specs = set
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|spec| !spec.is_empty());
    let mut answer = None;
    for (index, spec) in specs.enumerate() {
        let Some(spec) = Spec::parse(spec) else {
            return RangeAnswer::Whole;
        };
        if index >= RANGES_MAX || len == 0 {
            return RangeAnswer::Whole;
        }
        let range = spec.within(len);
        answer = Some(match (answer, range) {
            (None | Some(RangeAnswer::Unsatisfiable), Some(range)) => RangeAnswer::Part(range),
            (Some(RangeAnswer::Part(first)), Some(range)) => RangeAnswer::Parts(vec![first, range]),
            (Some(RangeAnswer::Parts(mut parts)), Some(range)) => {
                parts.push(range);
                RangeAnswer::Parts(parts)
            }
            (None, None) => RangeAnswer::Unsatisfiable,
            (Some(answer), _) => answer,
        });
    }
    match answer {
        None => RangeAnswer::Whole,
        Some(RangeAnswer::Parts(parts)) => coalesce(&parts),
        Some(answer) => answer,
    }
}

/// Makes one of all that overlap or touch.
fn coalesce(parts: &[Range<u64>]) -> RangeAnswer {
    // Each with the place of the first range that is in it.
    let mut sorted: Vec<(Range<u64>, usize)> = parts.iter().cloned().zip(0..).collect();
    sorted.sort_unstable_by_key(|(range, _)| range.start);
    sorted.dedup_by(|(later, later_place), (range, place)| {
        let joined = later.start <= range.end;
        if joined {
            range.end = range.end.max(later.end);
            *place = (*place).min(*later_place);
        }
        joined
    });
    sorted.sort_unstable_by_key(|&(_, place)| place);
    match sorted.as_slice() {
        [(range, _)] => RangeAnswer::Part(range.clone()),
        _ => RangeAnswer::Parts(sorted.into_iter().map(|(range, _)| range).collect()),
    }
}

enum Spec {
    /// `first-last` or `first-`.
    From { first: u64, last: Option<u64> },
    /// `-count`.
    Suffix(u64),
}

impl Spec {
    /// One element of a range-set; `None` if it is malformed.
    fn parse(spec: &[u8]) -> Option<Self> {
        match split_once(spec, b'-')? {
            (b"", count) => Some(Self::Suffix(digits(count)?)),
            (first, b"") => Some(Self::From {
                first: digits(first)?,
                last: None,
            }),
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then_some(Self::From {
                    first,
                    last: Some(last),
                })
            }
        }
    }

    /// What content of `len` bytes has of it.
    fn within(&self, len: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::Suffix(count) => len.saturating_sub(count)..len,
            Self::From { first, last } => {
                first..last.map_or(len, |last| last.saturating_add(1).min(len))
            }
        };
        (range.start < range.end).then_some(range)
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
    fn broken_ranges_are_ignored() {
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
            "bytes=0-1,5-6,x",
            "bytes=x,0-1",
            "bytes=0-1 5-6",
            "bytes=0-1,9-5",
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
        for value in [
            "bytes=0-",
            "bytes=-5",
            "bytes=-0",
            "bytes=7-9",
            "bytes=0-1,3-4",
        ] {
            assert_eq!(
                read_range(value.as_bytes(), 0),
                RangeAnswer::Whole,
                "{value}"
            );
        }
    }

    #[test]
    fn several_ranges_are_coalesced_in_the_order_of_the_request() {
        let parts = |ranges: &[Range<u64>]| RangeAnswer::Parts(ranges.to_vec());
        let cases: [(&str, RangeAnswer); 13] = [
            ("bytes=0-0,-1", parts(&[0..1, 99..100])),
            ("bytes=-1,0-0", parts(&[99..100, 0..1])),
            (
                "bytes= 50-59 ,\t0-9 , 70-",
                parts(&[50..60, 0..10, 70..100]),
            ),
            // Overlapping, contained, equal, touching.
            ("bytes=0-9,5-14", part(0..15)),
            ("bytes=0-99,5-14", part(0..100)),
            ("bytes=5-14,5-14", part(5..15)),
            ("bytes=10-19,0-9", part(0..20)),
            ("bytes=0-9,11-19", parts(&[0..10, 11..20])),
            // What joins two others takes the place of the first.
            ("bytes=0-9,80-89,20-29,10-19", parts(&[0..30, 80..90])),
            ("bytes=20-29,80-89,0-19", parts(&[0..30, 80..90])),
            // What lies beyond is left out.
            ("bytes=200-,5-6,-0", part(5..7)),
            ("bytes=200-,5-6,300-400,8-", parts(&[5..7, 8..100])),
            ("bytes=200-,300-400,-0", RangeAnswer::Unsatisfiable),
        ];
        for (value, answer) in cases {
            assert_eq!(read_range(value.as_bytes(), 100), answer, "{value}");
        }
    }

    /// RFC 9110 section 17.15, and CVE-2011-3192 (Apache httpd, "Apache Killer").
    #[test]
    fn greedy_requests_get_at_most_the_content() {
        let killer: Vec<String> = (0..200).map(|last| format!("5-{last}")).collect();
        assert_eq!(
            read_range(
                format!("bytes=0-,{}", killer[5..].join(",")).as_bytes(),
                1000
            ),
            part(0..1000)
        );
        let holes = |count: usize| {
            let specs: Vec<String> = (0..count).map(|at| format!("{0}-{0}", 2 * at)).collect();
            format!("bytes={}", specs.join(","))
        };
        let RangeAnswer::Parts(parts) = read_range(holes(RANGES_MAX).as_bytes(), 1 << 20) else {
            panic!("parts");
        };
        assert_eq!(parts.len(), RANGES_MAX);
        assert_eq!(
            read_range(holes(RANGES_MAX + 1).as_bytes(), 1 << 20),
            RangeAnswer::Whole
        );
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
            match read_range(&value, len) {
                RangeAnswer::Part(range) => {
                    prop_assert!(range.start < range.end && range.end <= len);
                }
                RangeAnswer::Parts(mut parts) => {
                    prop_assert!(parts.len() > 1);
                    prop_assert!(parts.iter().all(|range| range.start < range.end));
                    parts.sort_by_key(|range| range.start);
                    prop_assert!(parts.is_sorted_by(|a, b| a.end < b.start));
                    prop_assert!(parts.last().is_some_and(|last| last.end <= len));
                }
                RangeAnswer::Whole | RangeAnswer::Unsatisfiable => {}
            }
        }

        #[test]
        fn several_ranges_have_each_byte_that_was_asked_for_once(
            asked in prop::collection::vec((0..60_u64, 0..20_u64), 1..8),
            len in 1..80_u64,
        ) {
            let specs: Vec<String> = asked
                .iter()
                .map(|(first, more)| format!("{first}-{}", first + more))
                .collect();
            let answer = read_range(format!("bytes={}", specs.join(",")).as_bytes(), len);
            let expected: Vec<u64> = (0..len)
                .filter(|at| asked.iter().any(|(first, more)| (*first..=first + more).contains(at)))
                .collect();
            let mut given: Vec<u64> = match answer {
                RangeAnswer::Part(range) => range.collect(),
                RangeAnswer::Parts(parts) => parts.into_iter().flatten().collect(),
                RangeAnswer::Unsatisfiable => Vec::new(),
                RangeAnswer::Whole => panic!("well formed"),
            };
            given.sort_unstable();
            prop_assert_eq!(given, expected);
        }

        #[test]
        fn well_formed_ranges_mean_what_they_say(
            first in 0..300_u64,
            more in 0..300_u64,
            len in 1..300_u64,
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
