//! What lpxelinux says of its machine in a `Cookie` field.

/// The MAC address of the interface that was booted from, out of the `Cookie` field that
/// lpxelinux and syslinux.efi send: `_Syslinux_BOOTIF=01-52-54-00-15-00-01`.
///
/// The first byte is the hardware type, 01 for Ethernet; any other gives `None`. Source:
/// syslinux, core/fs/pxe/http.c (`http_do_bake_cookies`).
///
/// ```
/// let cookie = "_Syslinux_ip=10.0.0.7::10.0.0.1:; _Syslinux_BOOTIF=01-52-54-00-15-00-01";
/// assert_eq!(pxe_http::bootif(cookie), Some([0x52, 0x54, 0x00, 0x15, 0x00, 0x01]));
/// ```
pub fn bootif(cookie: &str) -> Option<[u8; 6]> {
    let value = cookie
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix("_Syslinux_BOOTIF="))?;
    let mut parts = value.split('-').map(|part| {
        let hex = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u8::from_str_radix(part, 16).ok()).flatten()
    });
    if parts.next()?? != 1 {
        return None;
    }
    let mut mac = [0; 6];
    for byte in &mut mac {
        *byte = parts.next()??;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lpxelinux_names_its_interface() {
        let mac = Some([0x52, 0x54, 0, 0x15, 0, 0x0a]);
        assert_eq!(bootif("_Syslinux_BOOTIF=01-52-54-00-15-00-0a"), mac);
        assert_eq!(
            bootif("a=b;_Syslinux_BOOTIF=01-52-54-00-15-00-0A; c=d"),
            mac
        );
    }

    #[test]
    fn other_cookies_name_none() {
        for cookie in [
            "",
            "BOOTIF=01-52-54-00-15-00-01",
            "_Syslinux_BOOTIF=",
            "_Syslinux_BOOTIF=06-52-54-00-15-00-01",
            "_Syslinux_BOOTIF=01-52-54-00-15-00",
            "_Syslinux_BOOTIF=01-52-54-00-15-00-01-02",
            "_Syslinux_BOOTIF=01-52-54-00-15-00-+1",
            "_Syslinux_BOOTIF=01-52-54-00-15-00-1",
        ] {
            assert_eq!(bootif(cookie), None, "{cookie}");
        }
    }
}
