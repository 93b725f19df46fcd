//! OSTA compressed unicode and dstrings (UDF 2.01 sections 2.1.1 to 2.1.3).

use super::tag::crc;
use crate::Damage;

/// Text of OSTA CS0: a compression identifier, then a byte or two for each character.
///
/// The standard has UCS-2; Windows writes UTF-16, which is the same but for pairs of surrogates.
/// A lone surrogate, which no text can hold, becomes U+FFFD.
pub(super) fn decode(bytes: &[u8]) -> Result<String, Damage> {
    let Some((compression, rest)) = bytes.split_first() else {
        return Ok(String::new());
    };
    match compression {
        // 254 and 255 are the same for identifiers of deleted entries (UDF 2.01 section 2.3.4.2).
        8 | 254 => Ok(rest.iter().copied().map(char::from).collect()),
        16 | 255 => {
            let (units, odd) = rest.as_chunks();
            if !odd.is_empty() {
                return Err(Damage::TooShort);
            }
            let units = units.iter().copied().map(u16::from_be_bytes);
            Ok(char::decode_utf16(units)
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect())
        }
        _ => Err(Damage::Malformed),
    }
}

/// A dstring: CS0 in a field of fixed size whose last byte says how many bytes are used (ECMA-167
/// part 1 section 7.2.12).
pub(super) fn decode_dstring(field: &[u8]) -> Result<String, Damage> {
    let Some((used, text)) = field.split_last() else {
        return Ok(String::new());
    };
    let used = text.get(..usize::from(*used)).ok_or(Damage::Malformed)?;
    decode(used)
}

/// The name under which a file identifier is shown: itself if a tree can hold it, else what
/// UDF 2.01 section 4.2.2.1.5 makes of it for Unix: `_` for what cannot be, and the CRC of the
/// identifier behind a `#`, so that two such names stay apart.
pub(super) fn shown_name(identifier: &[u8]) -> Result<String, Damage> {
    let name = decode(identifier)?;
    let is_bad = |character: char| matches!(character, '/' | '\0' | char::REPLACEMENT_CHARACTER);
    let fits = (1..=NAME_LEN_MAX).contains(&name.len());
    if fits && !matches!(name.as_str(), "." | "..") && !name.contains(is_bad) {
        return Ok(name);
    }
    let mut shown: String = match name.as_str() {
        "." => "_".into(),
        ".." => "__".into(),
        other => other.replace(is_bad, "_"),
    };
    let mut end = shown.len().min(NAME_LEN_MAX - CRC_SUFFIX_LEN);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown.truncate(end);
    shown.push_str(&format!("#{:04X}", crc(identifier.get(1..).unwrap_or(&[]))));
    Ok(shown)
}

const NAME_LEN_MAX: usize = pxe_tree::Name::LEN_MAX;
const CRC_SUFFIX_LEN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_are_decoded_and_other_numbers_refused() {
        assert_eq!(decode(b"\x08boot.wim").as_deref(), Ok("boot.wim"));
        assert_eq!(decode(b"\x08\xfc").as_deref(), Ok("ü"));
        assert_eq!(decode(b"\x10\x6f\x22\x00a").as_deref(), Ok("漢a"));
        assert_eq!(decode(b"\x10\xd8\x3d\xde\x00").as_deref(), Ok("😀"));
        assert_eq!(decode(b"").as_deref(), Ok(""));
        let odd = Damage::TooShort;
        assert_eq!(decode(b"\x10a"), Err(odd));
        let number = Damage::Malformed;
        assert_eq!(decode(b"\x09a"), Err(number));
    }

    #[test]
    fn a_dstring_ends_where_its_last_byte_says() {
        assert_eq!(decode_dstring(b"\x08abc\0\0\x04").as_deref(), Ok("abc"));
        assert_eq!(decode_dstring(b"\0\0\0\0").as_deref(), Ok(""));
        let length = Damage::Malformed;
        assert_eq!(decode_dstring(b"\x08abc\x05"), Err(length));
    }

    #[test]
    fn names_that_no_tree_can_hold_are_shown_changed_and_stay_apart() {
        let shown = |identifier: &[u8]| shown_name(identifier).expect("decodes");
        assert_eq!(shown(b"\x08setup.exe"), "setup.exe");
        let slash = shown(b"\x08a/b");
        let zero = shown(b"\x08a\0b");
        assert!(slash.starts_with("a_b#") && zero.starts_with("a_b#") && slash != zero);
        assert!(shown(b"\x08.").starts_with("_#"));
        assert!(shown(b"\x08..").starts_with("__#"));
        assert!(shown(b"\x08").starts_with('#'));
        assert!(shown(b"\x10\xd8\x3d").starts_with("_#"));
        // 127 characters of three bytes: more than a name takes.
        let mut long = vec![16];
        long.extend([0x6f, 0x22].repeat(127));
        let shown = shown(&long);
        assert!(pxe_tree::Name::new(&shown).is_ok() && shown.len() > 250);
    }
}
