//! Which file a name means to GRUB: it is absolute, on a device.

use core::net::Ipv4Addr;

use crate::Text;
use crate::scan::is_space;

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A file of a server, as [`Paths::locate`](crate::Paths::locate) understands it whatever the
    /// loader's directory is: `::path` on the loader's own server, else a URL.
    Server(Text),
    /// A file of a device of the machine itself, as it is written.
    Device(Text),
    /// A name that no other loader can be told, such as one with a space.
    Unsayable(Text),
}

/// The file of a name (`grub_file_open` in kern/file.c, `grub_net_open_real` in net/net.c). One without
/// a device is on `root`. TFTP takes doubled slashes as one (`grub_normalize_filename`).
pub(super) fn target(name: &[u8], root: &[u8], server: Option<Ipv4Addr>) -> Target {
    let (device, path) = match name {
        [b'(', rest @ ..] => match rest.iter().position(|byte| *byte == b')') {
            Some(end) => (
                rest.get(..end).unwrap_or_default(),
                rest.get(end + 1..).unwrap_or_default(),
            ),
            None => return Target::Unsayable(Text::from(name)),
        },
        _ => (root, name),
    };
    let mut clean = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || clean.last().is_some_and(|last| *last != b'/') {
            clean.push(*byte);
        }
    }
    let whole = || Text::new([b"(", device, b")", path].concat());
    let Some((protocol, host)) = network(device) else {
        return Target::Device(whole());
    };
    if clean.is_empty() || clean.iter().any(|byte| is_space(*byte)) {
        return Target::Unsayable(whole());
    }
    let is_own = host.is_none_or(|host| {
        matches!(
            host,
            b"${net_default_server}" | b"${pxe_default_server}" | b"${net_default_next_server}"
        ) || server.is_some_and(|server| server.to_string().as_bytes() == host)
    });
    match host {
        Some(host) if !is_own => {
            Target::Server(Text::new([protocol, b"://", host, b"/", &clean].concat()))
        }
        _ => Target::Server(Text::new([b"::", &clean[..]].concat())),
    }
}

/// The protocol and the server of a device; none: the server that GRUB came from.
fn network(device: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if let Some(host) = device.strip_prefix(b"pxe:") {
        return Some((b"tftp", Some(host)));
    }
    let comma = device.iter().position(|byte| *byte == b',');
    let (protocol, rest) = device.split_at(comma.unwrap_or(device.len()));
    let host = rest.get(1..).filter(|host| !host.is_empty());
    match protocol {
        b"tftp" | b"pxe" => Some((b"tftp", host)),
        b"http" => Some((b"http", host)),
        _ => None,
    }
}

/// The device, and the folder with it, of a configuration of this name: what `$root` and `$prefix` say.
pub(super) fn home(name: &[u8], server: Option<Ipv4Addr>) -> (String, Text) {
    let own = |protocol: &str| match server {
        Some(server) => format!("{protocol},{server}"),
        None => protocol.to_owned(),
    };
    let (device, path) = if let Some(rest) = name.strip_prefix(b"http://") {
        let slash = rest.iter().position(|byte| *byte == b'/');
        let (host, path) = rest.split_at(slash.unwrap_or(rest.len()));
        (format!("http,{}", crate::text::decode(host)), path)
    } else if let Some(rest) = name.strip_prefix(b"tftp://") {
        let slash = rest.iter().position(|byte| *byte == b'/');
        let (host, path) = rest.split_at(slash.unwrap_or(rest.len()));
        (format!("tftp,{}", crate::text::decode(host)), path)
    } else {
        (own("tftp"), name.strip_prefix(b"::").unwrap_or(name))
    };
    let folder = path.iter().rposition(|byte| *byte == b'/');
    let folder = path.get(..folder.unwrap_or(0)).unwrap_or_default();
    let mut prefix = format!("({device})").into_bytes();
    if !folder.is_empty() && !folder.starts_with(b"/") {
        prefix.push(b'/');
    }
    prefix.extend_from_slice(folder);
    (device, Text::new(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Target {
        Target::Server(text.into())
    }

    #[test]
    fn names_are_absolute_on_a_device() {
        let own = Some(Ipv4Addr::new(192, 0, 2, 1));
        let at = |name: &str, root: &str| target(name.as_bytes(), root.as_bytes(), own);
        assert_eq!(at("/a//b", "tftp"), server("::a/b"));
        assert_eq!(at("a/b", "tftp,192.0.2.1"), server("::a/b"));
        assert_eq!(at("(http,192.0.2.1)/a", "hd0"), server("::a"));
        assert_eq!(at("(http,h:8080)/a", "tftp"), server("http://h:8080/a"));
        assert_eq!(at("(pxe)/a", "hd0"), server("::a"));
        assert_eq!(at("(pxe:h)/a", "hd0"), server("tftp://h/a"));
        let device = |text: &str| Target::Device(text.into());
        assert_eq!(at("/a", "hd0,gpt1"), device("(hd0,gpt1)/a"));
        assert_eq!(at("(memdisk)/a", "tftp"), device("(memdisk)/a"));
        assert!(matches!(at("/a b", "tftp"), Target::Unsayable(_)));
        assert!(matches!(at("(tftp/a", "tftp"), Target::Unsayable(_)));
    }

    #[test]
    fn the_prefix_is_the_folder_of_the_configuration() {
        let prefix = |name: &str| home(name.as_bytes(), None).1.to_string();
        assert_eq!(prefix("grub/grub.cfg"), "(tftp)/grub");
        assert_eq!(prefix("::grub/x64/grub.cfg"), "(tftp)/grub/x64");
        assert_eq!(prefix("grub.cfg"), "(tftp)");
        assert_eq!(prefix("http://h:80/g/grub.cfg"), "(http,h:80)/g");
        let server = Some(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(home(b"grub.cfg", server).0, "tftp,192.0.2.1");
    }
}
