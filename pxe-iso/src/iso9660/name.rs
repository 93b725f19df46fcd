//! Names of the primary descriptor, and Joliet's.

/// A name in UCS-2, big-endian (Joliet section 4.1). Pairs of surrogates are taken as UTF-16,
/// which Windows and mkisofs write; half a pair becomes U+FFFD.
pub(super) fn ucs2(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
    let characters = char::decode_utf16(units);
    characters
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// A file's name without its version (`;1`), and without the dot that ECMA-119 section 7.5.1
/// wants where no extension follows.
fn without_version(name: &str) -> &str {
    let name = match name.rsplit_once(';') {
        Some((name, version)) if !name.is_empty() && is_version(version) => name,
        _ => name,
    };
    match name.strip_suffix('.') {
        Some(bare) if !bare.is_empty() => bare,
        _ => name,
    }
}

fn is_version(version: &str) -> bool {
    !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_digit())
}

/// A name of Joliet as it is shown.
pub(super) fn joliet(identifier: &[u8], is_directory: bool) -> Vec<u8> {
    let name = ucs2(identifier);
    let shown = if is_directory {
        &name
    } else {
        without_version(&name)
    };
    shown.as_bytes().to_vec()
}

/// A name of the primary descriptor as it is shown: as Linux does it, in lower case unless that
/// is not wanted.
pub(super) fn plain(identifier: &[u8], is_directory: bool, keeps_case: bool) -> Vec<u8> {
    let mut name = match std::str::from_utf8(identifier) {
        Ok(name) if !is_directory => without_version(name).as_bytes().to_vec(),
        _ => identifier.to_vec(),
    };
    if !keeps_case {
        name.make_ascii_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_lone_dots_are_not_shown() {
        for (name, shown) in [
            ("README.TXT;1", "readme.txt"),
            ("KERNEL.;1", "kernel"),
            ("A.B;32767", "a.b"),
            ("NO_VERSION", "no_version"),
            (";1", ";1"),
            (".", "."),
            ("A;B", "a;b"),
        ] {
            let made = plain(name.as_bytes(), false, false);
            assert_eq!(String::from_utf8_lossy(&made), shown);
        }
        assert_eq!(plain(b"DIR.;1", true, true), b"DIR.;1");
        assert_eq!(plain(b"\xffA;1", false, false), b"\xffa;1");
    }

    #[test]
    fn joliet_names_are_utf_16() {
        let encoded =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
        for (name, shown) in [("Größe.txt;1", "Größe.txt"), ("\u{1f4bf};1", "\u{1f4bf}")] {
            let made = joliet(&encoded(name), false);
            assert_eq!(String::from_utf8_lossy(&made), shown);
        }
        assert_eq!(ucs2(&[0xd8, 0x3d, 0, b'a', 0]), "\u{fffd}a");
    }
}
