//! Where on earth something is (RFC 1876).

use std::fmt::Write as _;

use super::form::take;
use super::{Fault, Words, number, shown};

/// The equator, the meridian of Greenwich: the middle of what 32 bits hold (RFC 1876 section 2).
const MIDDLE: u32 = 1 << 31;
/// The lowest altitude, below the ellipsoid, in centimetres.
const BOTTOM_CM: i64 = 10_000_000;
/// The largest size or precision, in centimetres (RFC 1876 section 3).
const SIZE_CM_MAX: i64 = 9_000_000_099;
/// The size and precisions if they are not written: 1 m, 10,000 m, 10 m (RFC 1876 section 3).
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

/// `d [m [s]] N|S d [m [s]] E|W altitude [size [horizontal [vertical]]]`.
pub(super) fn parse(words: &mut Words<'_, '_>, data: &mut Vec<u8>) -> Result<(), Fault> {
    let latitude = coordinate(words, 90, ['N', 'S'])?;
    let longitude = coordinate(words, 180, ['E', 'W'])?;
    let token = words.expect("an altitude")?;
    let (sign, digits) = match token.text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    let altitude = hundredths(digits).map(|cm| BOTTOM_CM + sign * cm);
    let altitude = altitude
        .and_then(|cm| u32::try_from(cm).ok())
        .ok_or_else(|| {
            words.fault(format!(
                "{} is not an altitude, like 12.50m",
                shown(token.text)
            ))
        })?;
    let mut precisions = DEFAULTS;
    for precision in &mut precisions {
        let Some(token) = words.take() else {
            break;
        };
        *precision = size(token.text)
            .ok_or_else(|| words.fault(format!("{} is not a size, like 30m", shown(token.text))))?;
    }
    data.push(0);
    data.extend(precisions);
    for value in [latitude, longitude, altitude] {
        data.extend(value.to_be_bytes());
    }
    Ok(())
}

/// Degrees, minutes and seconds, of which the last two may lack, in thousandths of a second.
fn coordinate(
    words: &mut Words<'_, '_>,
    degrees_max: u32,
    directions: [char; 2],
) -> Result<u32, Fault> {
    let mut total = 0_u32;
    let mut unit = 3_600_000;
    let [positive, negative] = directions;
    loop {
        let what = format!("degrees, minutes and seconds, and {positive} or {negative}");
        let text = words.expect(&what)?.text;
        let is_direction = |direction: char| text == [direction as u8];
        let has_degrees = unit < 3_600_000;
        if has_degrees && is_direction(positive) {
            return Ok(MIDDLE + total);
        }
        if has_degrees && is_direction(negative) {
            return Ok(MIDDLE - total);
        }
        let value: Option<u32> = match unit {
            3_600_000 => number(text).filter(|degrees| *degrees <= degrees_max),
            60_000 => number(text).filter(|minutes| *minutes < 60),
            1 => thousandths(text).filter(|seconds| *seconds < 60_000),
            _ => None,
        };
        total += value
            .map(|value| value * unit)
            .filter(|more| total + more <= degrees_max * 3_600_000)
            .ok_or_else(|| words.fault(format!("{} is not {what}", shown(text))))?;
        unit = match unit {
            3_600_000 => 60_000,
            60_000 => 1,
            _ => 0,
        };
    }
}

/// A number with so many digits after its point at most, without the point.
fn decimal(text: &[u8], digits: usize) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_short = fraction.len() <= digits && whole.len() <= 9 && !text.is_empty() && text != ".";
    number(format!("0{whole}{fraction:0<digits$}").as_bytes()).filter(|_| is_short)
}

fn thousandths(text: &[u8]) -> Option<u32> {
    decimal(text, 3)?.try_into().ok()
}

/// Metres, with or without their `m`, in centimetres.
fn hundredths(text: &[u8]) -> Option<i64> {
    decimal(text.strip_suffix(b"m").unwrap_or(text), 2)
}

fn size(text: &[u8]) -> Option<u8> {
    hundredths(text)
        .filter(|cm| *cm <= SIZE_CM_MAX)
        .and_then(scaled)
}

/// One digit and a power of ten (RFC 1876 section 2).
fn scaled(cm: i64) -> Option<u8> {
    let (mut mantissa, mut exponent) = (cm, 0);
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    let octet = u8::try_from(mantissa << 4 | exponent).ok()?;
    (exponent <= 9).then_some(octet)
}

/// Takes all data that is left.
pub(super) fn text(data: &mut &[u8], out: &mut String) -> Option<()> {
    let [0, size, horizontal, vertical] = take(data)? else {
        return None;
    };
    for (degrees_max, positive, negative) in [(90, 'N', 'S'), (180, 'E', 'W')] {
        let value = u32::from_be_bytes(take(data)?);
        let (total, direction) = match value.checked_sub(MIDDLE) {
            Some(total) => (total, positive),
            None => (MIDDLE - value, negative),
        };
        if total > degrees_max * 3_600_000 {
            return None;
        }
        let (degrees, minutes) = (total / 3_600_000, total / 60_000 % 60);
        let (seconds, thousandths) = (total / 1000 % 60, total % 1000);
        write!(
            out,
            "{degrees} {minutes} {seconds}.{thousandths:03} {direction} "
        )
        .ok()?;
    }
    let altitude = i64::from(u32::from_be_bytes(take(data)?)) - BOTTOM_CM;
    let sign = if altitude < 0 { "-" } else { "" };
    let altitude = altitude.unsigned_abs();
    write!(out, "{sign}{}.{:02}m", altitude / 100, altitude % 100).ok()?;
    for precision in [size, horizontal, vertical] {
        let (mantissa, exponent) = (i64::from(precision >> 4), u32::from(precision & 0xf));
        let cm = mantissa.checked_mul(10_i64.checked_pow(exponent)?)?;
        // What is written must become the same octet again.
        if scaled(cm) != Some(precision) {
            return None;
        }
        write!(out, " {}.{:02}m", cm / 100, cm % 100).ok()?;
    }
    Some(())
}
