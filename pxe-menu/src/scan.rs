//! How the loaders cut a line into words and numbers (syslinux 6.04, com32/include/menu.h and the C
//! library's `atoi` and `strtoul`).

/// What the loaders take for a space: every byte up to 0x20, NUL included, and DEL (`my_isspace`).
pub(crate) fn is_space(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// Without leading spaces.
pub(crate) fn skip_space(text: &[u8]) -> &[u8] {
    let at = text.iter().position(|byte| !is_space(*byte));
    text.get(at.unwrap_or(text.len())..).unwrap_or_default()
}

/// The first word and what follows it, its space included.
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| is_space(*byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// Whether two words are one keyword to the loader, which compares all but bit 5 of each byte.
pub(crate) fn same_keyword(read: &[u8], keyword: &str) -> bool {
    read.len() == keyword.len()
        && read
            .iter()
            .zip(keyword.bytes())
            .all(|(a, b)| (a ^ b) & !0x20 == 0)
}

/// The C library's `atoi`: leading spaces, a sign, digits; 0 if there are none. Saturates.
pub(crate) fn atoi(text: &[u8]) -> i32 {
    let (negative, digits) = sign(skip_space(text));
    let magnitude = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i32, |sum, d| {
            sum.saturating_mul(10).saturating_add(i32::from(d - b'0'))
        });
    if negative { -magnitude } else { magnitude }
}

/// The C library's `strtoul` with base 0: decimal, `0x` hexadecimal, `0` octal. A sign negates and
/// wraps. Gives the number and what follows it.
pub(crate) fn strtoul(text: &[u8]) -> (u32, &[u8]) {
    let (negative, digits) = sign(skip_space(text));
    let hex_digits = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            Some(rest)
        }
        _ => None,
    };
    let (radix, digits) = match (hex_digits, digits.first()) {
        (Some(rest), _) => (16, rest),
        (None, Some(b'0')) => (8, digits),
        (None, _) => (10, digits),
    };
    unsigned(negative, digits, radix)
}

/// The C library's `strtoul` with base 10.
pub(crate) fn strtoul_decimal(text: &[u8]) -> u32 {
    let (negative, digits) = sign(skip_space(text));
    unsigned(negative, digits, 10).0
}

/// Whether it begins with a minus, and what follows its sign.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn unsigned(negative: bool, digits: &[u8], radix: u32) -> (u32, &[u8]) {
    let mut value = 0_u32;
    let mut rest = digits;
    while let Some((byte, after)) = rest.split_first()
        && let Some(digit) = char::from(*byte).to_digit(radix)
    {
        value = value.saturating_mul(radix).saturating_add(digit);
        rest = after;
    }
    (
        if negative {
            value.wrapping_neg()
        } else {
            value
        },
        rest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_c_library_reads_them() {
        assert_eq!(atoi(b" 50 # 5 s"), 50);
        assert_eq!(atoi(b"-9"), -9);
        assert_eq!(atoi(b"x"), 0);
        assert_eq!(atoi(b"99999999999"), i32::MAX);
        assert_eq!(strtoul(b"0x3f8 1").0, 0x3f8);
        assert_eq!(strtoul(b"010").0, 8);
        assert_eq!(strtoul(b"-1").0, u32::MAX);
        assert_eq!(strtoul_decimal(b" 010 "), 10);
        assert_eq!(strtoul_decimal(b"4294967295"), u32::MAX);
        assert_eq!(strtoul(b"0x"), (0, &b"x"[..]));
    }

    #[test]
    fn words_end_at_control_characters_too() {
        assert_eq!(word(b"menu\x07x"), (&b"menu"[..], &b"\x07x"[..]));
        assert_eq!(skip_space(b"\t \x7fx"), b"x");
        assert!(same_keyword(b"LaBeL", "label"));
    }
}
