//! The order in which loaders ask for their configuration.

use crate::client::hyphened;
use crate::{Client, Location, Paths, Text};

/// The names under which pxelinux looks for its configuration, in order, and what it asks its
/// server for (`pxe_open_config` in core/fs/pxe/pxe.c): DHCP option 209, the UUID, the MAC address
/// with its type, the address in hexadecimal and shortened, `default`.
///
/// An unknown part of the client is left out. The UUID is only asked for if the loader takes it for
/// a valid one: its seventh byte, as it came, is of 0x10 to 0xef (`is_valid_uuid` in
/// core/sysappend.c). All builds of the loader, for BIOS and for UEFI, with TFTP and with HTTP, ask
/// alike. An empty file counts as missing (`__pxe_searchdir`), so it hides nothing that comes after
/// it.
///
/// `config_file` is option 209, which comes first, below the path prefix of option 210 if there is
/// one ([`Paths::with_prefix`]); the names after it are tried if it is not there.
///
/// # Example
///
/// ```
/// use pxe_menu::{Client, Loader, Paths, pxelinux_search_paths};
///
/// let client = Client::new().with_ip([192, 0, 2, 91].into());
/// let paths = Paths::new(Loader::Pxelinux, "mybootdir/pxelinux.0");
/// let asked = pxelinux_search_paths(&client, &paths, None);
/// assert_eq!(asked[0].to_string(), "mybootdir/pxelinux.cfg/C000025B (TFTP)");
/// assert_eq!(asked[8].to_string(), "mybootdir/pxelinux.cfg/default (TFTP)");
/// ```
pub fn pxelinux_search_paths(
    client: &Client,
    paths: &Paths,
    config_file: Option<&str>,
) -> Vec<Location> {
    pxelinux_names(client, config_file)
        .iter()
        .map(|name| paths.locate(name))
        .collect()
}

/// The names that [`pxelinux_search_paths`] places: relative to the loader's directory.
pub fn pxelinux_names(client: &Client, config_file: Option<&str>) -> Vec<Text> {
    let mut names: Vec<Text> = Vec::new();
    names.extend(config_file.map(Text::from));
    let mut suffixes = Vec::new();
    suffixes.extend(client.syslinux_uuid());
    suffixes.extend(client.hardware_name());
    suffixes.extend(shortened_address(client));
    suffixes.push("default".to_owned());
    names.extend(
        suffixes
            .into_iter()
            .map(|suffix| Text::from(format!("pxelinux.cfg/{suffix}"))),
    );
    names
}

/// The files that GRUB 2.06 and later asks for, in order (`grub_net_search_config_file` in
/// net/net.c and `grub_try_normal_prefix` in normal/main.c): `grub.cfg-01-..` (GRUB's manual has it
/// without the `01-`), `grub.cfg-C0A8..` shortened, and `grub.cfg`, all in its prefix, such as
/// `/grub`. GRUB of Fedora and RHEL does so in the directory of its own file first (`fw_path`),
/// then in its prefix.
///
/// Before them comes the UUID of DHCP option 97, its bytes in the order in which they came, if the
/// ACK that GRUB has echoes that option (`net_<interface>_clientuuid`, net/bootp.c): give a client
/// without one where the server does not. It searches only where its prefix is on a TFTP server:
/// loaded by HTTP it asks for `grub.cfg` alone. An image with a configuration built in does not
/// search at all: see [`grub_signed_search_paths`] for those of Debian and Ubuntu.
pub fn grub_search_paths(client: &Client, prefix: &str, by_tftp: bool) -> Vec<String> {
    let mut suffixes = Vec::new();
    if by_tftp {
        suffixes.extend(client.uuid.map(hyphened));
        suffixes.extend(client.hardware_name());
        suffixes.extend(shortened_address(client));
    }
    let mut paths: Vec<String> = suffixes
        .iter()
        .map(|suffix| format!("{prefix}/grub.cfg-{suffix}"))
        .collect();
    paths.push(format!("{prefix}/grub.cfg"));
    paths
}

/// The files that the signed GRUB of Debian (`grubnetx64.efi.signed`) asks for, in order. The
/// configuration built into it (`normal (memdisk)/grub.cfg`) looks into the directory of its
/// platform, such as `x86_64-efi`, and else for `grub.cfg` in the prefix; it never searches by MAC
/// or IP address. That is GRUB 2.06-13+deb12u2; Ubuntu builds its own with the same script
/// (debian/build-efi-images).
///
/// The prefix is built in too, whatever directory the image came from: `/grub`, and for Debian's
/// installer `/debian-installer/amd64/grub`.
pub fn grub_signed_search_paths(prefix: &str, platform: &str) -> Vec<String> {
    vec![
        format!("{prefix}/{platform}/grub.cfg"),
        format!("{prefix}/grub.cfg"),
    ]
}

/// The files that iPXE 2.0 asks for when its firmware started it and no script is built in
/// (`efi_autoexec_network` in interface/efi/efi_autoexec.c): beside itself, then in the root.
///
/// Only builds for UEFI do so; those of 2022 to 2025 look beside themselves alone. `boot_file` is
/// the path or the URL of the iPXE binary.
pub fn ipxe_search_paths(boot_file: &str) -> Vec<String> {
    // A URL has the path after its host, a TFTP path begins with it.
    let host_end = boot_file.find("://").map_or(0, |at| {
        let host = boot_file.get(at + 3..).unwrap_or_default();
        at + 3 + host.find('/').unwrap_or(host.len())
    });
    let (host, path) = boot_file.split_at(host_end);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let directory = match path.rfind('/') {
        Some(at) => path.get(..=at).unwrap_or_default(),
        None if host.is_empty() => "",
        None => "/",
    };
    let mut paths = vec![format!("{host}{directory}autoexec.ipxe")];
    let root = format!("{host}/autoexec.ipxe");
    if !paths.contains(&root) {
        paths.push(root);
    }
    paths
}

/// The address in hexadecimal, and without its last digit, one after the other down to one.
fn shortened_address(client: &Client) -> Vec<String> {
    let Some(ip) = client.ip else {
        return Vec::new();
    };
    let full = format!("{:08X}", u32::from(ip));
    (1..=full.len())
        .rev()
        .filter_map(|length| full.get(..length).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loader;

    /// The list of doc/pxelinux.txt, its UUID's file included.
    #[test]
    fn pxelinux_asks_in_the_order_of_its_documentation() {
        let uuid = [
            0xb8, 0x94, 0x59, 0x08, 0xd6, 0xa6, 0x41, 0xa9, 0x61, 0x1d, 0x74, 0xa6, 0xab, 0x80,
            0xb8, 0x3d,
        ];
        let client = Client::new()
            .with_uuid(uuid)
            .with_mac([0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd])
            .with_ip([192, 0, 2, 91].into());
        let names = pxelinux_names(&client, None);
        let names: Vec<String> = names.iter().map(Text::to_string).collect();
        assert_eq!(
            names,
            [
                "pxelinux.cfg/b8945908-d6a6-41a9-611d-74a6ab80b83d",
                "pxelinux.cfg/01-88-99-aa-bb-cc-dd",
                "pxelinux.cfg/C000025B",
                "pxelinux.cfg/C000025",
                "pxelinux.cfg/C00002",
                "pxelinux.cfg/C0000",
                "pxelinux.cfg/C000",
                "pxelinux.cfg/C00",
                "pxelinux.cfg/C0",
                "pxelinux.cfg/C",
                "pxelinux.cfg/default",
            ]
        );
    }

    #[test]
    fn option_209_comes_first_and_under_the_prefix() {
        let paths = Paths::with_prefix(Loader::Pxelinux, "/tftpboot/files/");
        let asked = pxelinux_search_paths(&Client::new(), &paths, Some("configs/common"));
        assert_eq!(
            asked[0].to_string(),
            "/tftpboot/files/configs/common (TFTP)"
        );
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn grub_searches_by_tftp_only() {
        let client = Client::new()
            .with_mac([0x52, 0x54, 0, 0, 0, 1])
            .with_ip([192, 168, 0, 9].into());
        let paths = grub_search_paths(&client, "/grub", true);
        assert_eq!(paths[0], "/grub/grub.cfg-01-52-54-00-00-00-01");
        assert_eq!(paths[1], "/grub/grub.cfg-C0A80009");
        assert_eq!(paths[8], "/grub/grub.cfg-C");
        assert_eq!(paths[9], "/grub/grub.cfg");
        assert_eq!(
            grub_search_paths(&client, "/grub", false),
            ["/grub/grub.cfg"]
        );
    }

    #[test]
    fn ipxe_asks_beside_itself_and_in_the_root() {
        assert_eq!(
            ipxe_search_paths("efi/ipxe.efi"),
            ["efi/autoexec.ipxe", "/autoexec.ipxe"]
        );
        assert_eq!(
            ipxe_search_paths("http://h:8080/a/b/ipxe.efi?x=/y"),
            [
                "http://h:8080/a/b/autoexec.ipxe",
                "http://h:8080/autoexec.ipxe"
            ]
        );
        assert_eq!(
            ipxe_search_paths("http://h/ipxe.efi"),
            ["http://h/autoexec.ipxe"]
        );
        assert_eq!(ipxe_search_paths("http://h"), ["http://h/autoexec.ipxe"]);
    }

    /// What lpxelinux 6.04 asked dnsmasq for, booted in QEMU by SeaBIOS 1.16.2 without option 209:
    /// the UUID never, since its seventh byte is 0.
    #[test]
    fn captured_requests_of_lpxelinux_are_these() {
        let uuid = [
            0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ];
        let client = Client::new()
            .with_mac([0x52, 0x54, 0, 0x15, 0, 1])
            .with_ip([192, 168, 150, 39].into())
            .with_uuid(uuid);
        for loader in [Loader::Pxelinux, Loader::Lpxelinux, Loader::SyslinuxEfi] {
            let paths = Paths::new(loader, "bios/lpxelinux.0");
            let asked = pxelinux_search_paths(&client, &paths, None);
            let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
            let names = [
                "01-52-54-00-15-00-01",
                "C0A89627",
                "C0A8962",
                "C0A896",
                "C0A89",
                "C0A8",
                "C0A",
                "C0",
                "C",
                "default",
            ];
            let names = names.map(|name| format!("bios/pxelinux.cfg/{name} (TFTP)"));
            assert_eq!(asked, names);
        }
    }

    /// GRUB's own search is only made where no configuration is built in.
    #[test]
    fn debians_signed_grub_does_not_search() {
        assert_eq!(
            grub_signed_search_paths("/grub", "x86_64-efi"),
            ["/grub/x86_64-efi/grub.cfg", "/grub/grub.cfg"]
        );
    }

    #[test]
    fn grub_asks_for_the_uuid_as_it_came() {
        let uuid = [
            0x1e, 0xab, 0x57, 0x7e, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 1,
        ];
        let client = Client::new().with_uuid(uuid);
        assert_eq!(
            grub_search_paths(&client, "/grub", true)[0],
            "/grub/grub.cfg-1eab577e-0000-0040-8000-000000000001"
        );
    }
}
