//! Names of configurations that no PXELINUX ever asks for.

/// Whether PXELINUX asks for a file of this name in `pxelinux.cfg` (`pxe_open_config` in
/// core/fs/pxe/pxe.c): the UUID and the hardware address with its type in lower case, the address
/// in upper case and shortened, `default`.
pub(super) fn is_asked_for(name: &[u8]) -> bool {
    name == b"default"
        || is_uuid(name, is_lower_hex)
        || is_mac(name, is_lower_hex)
        || ((1..=8).contains(&name.len()) && name.iter().all(is_upper_hex))
}

/// What such a name was probably meant to be, if it is nearly one that is asked for.
pub(super) fn meant(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    let lower = text.to_ascii_lowercase().replace([':', '_'], "-");
    let upper = text.to_ascii_uppercase();
    let with_type = format!("01-{lower}");
    let digits = lower.replace('-', "");
    let bare = (digits.len() == 12 && digits.bytes().all(|byte| is_lower_hex(&byte))).then(|| {
        let pairs: Vec<&str> = (0..6)
            .filter_map(|at| digits.get(2 * at..2 * at + 2))
            .collect();
        format!("01-{}", pairs.join("-"))
    });
    let address: Option<std::net::Ipv4Addr> = text.parse().ok();
    let address = address.map(|address| format!("{:08X}", u32::from(address)));
    let shortened = (text.len() == 8).then_some(upper);
    let mut candidates = [Some(lower), Some(with_type), bare, address, shortened].into_iter();
    candidates.find_map(|name| name.filter(|name| name != text && is_asked_for(name.as_bytes())))
}

fn is_mac(name: &[u8], is_digit: fn(&u8) -> bool) -> bool {
    let mut parts = name.split(|byte| *byte == b'-');
    parts.clone().count() == 7 && parts.all(|part| part.len() == 2 && part.iter().all(is_digit))
}

fn is_uuid(name: &[u8], is_digit: fn(&u8) -> bool) -> bool {
    let parts = name.split(|byte| *byte == b'-');
    let lengths = parts.clone().map(<[u8]>::len);
    lengths.eq([8, 4, 4, 4, 12]) && parts.flatten().all(is_digit)
}

fn is_lower_hex(byte: &u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)
}

fn is_upper_hex(byte: &u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pxelinux_asks_for_names_of_these_kinds_only() {
        for name in [
            "default",
            "01-52-54-00-15-00-01",
            "C0A80001",
            "C0A8",
            "7e57ab1e-0000-4000-8000-525400123456",
        ] {
            assert!(is_asked_for(name.as_bytes()), "{name}");
            assert_eq!(meant(name.as_bytes()), None, "{name}");
        }
        for name in ["", "graphics.conf", "default.bak", "C0A800011", "Default~"] {
            assert!(!is_asked_for(name.as_bytes()), "{name}");
            assert_eq!(meant(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn nearly_right_names_are_told_as_they_were_meant() {
        for (name, right) in [
            ("01-52-54-00-AB-00-01", "01-52-54-00-ab-00-01"),
            ("52-54-00-ab-00-01", "01-52-54-00-ab-00-01"),
            ("52:54:00:ab:00:01", "01-52-54-00-ab-00-01"),
            ("525400ab0001", "01-52-54-00-ab-00-01"),
            ("c0a80001", "C0A80001"),
            ("192.168.0.1", "C0A80001"),
            ("DEFAULT", "default"),
            (
                "7E57AB1E-0000-4000-8000-525400123456",
                "7e57ab1e-0000-4000-8000-525400123456",
            ),
        ] {
            assert!(!is_asked_for(name.as_bytes()), "{name}");
            assert_eq!(meant(name.as_bytes()).as_deref(), Some(right), "{name}");
        }
    }
}
