//! The order in which loaders ask for their configuration.

use crate::client::hyphened;
use crate::{Client, Location, Paths, Text};

/// The names under which pxelinux looks for its configuration, in order, and what it asks its server
/// for (`pxe_open_config` in core/fs/pxe/pxe.c): DHCP option 209, the UUID, the MAC address with its
/// type, the address in hexadecimal and shortened, `default`.
///
/// An unknown part of the client is left out. See [`Client::uuid`] for when there is none of the UUID.
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

/// The files that GRUB asks for, in order (`grub_net_search_config_file` in net/net.c and
/// `grub_try_normal_prefix` in normal/main.c): `grub.cfg-01-..`, `grub.cfg-C0A8..` shortened, and
/// `grub.cfg`, all in its prefix, such as `/grub`.
///
/// Before them comes the UUID of DHCP option 97, its bytes in the order in which they came, if the ACK
/// that GRUB has echoes that option (`net_<interface>_clientuuid`, net/bootp.c). It searches only
/// where its prefix is on a TFTP server: loaded by HTTP it asks for `grub.cfg` alone.
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

/// The files that iPXE asks for when its firmware started it and no script is built in
/// (`efi_autoexec_network` in interface/efi/efi_autoexec.c): beside itself, then in the root.
///
/// Only builds for UEFI do so. The path is that of the iPXE binary.
pub fn ipxe_search_paths(boot_file: &str) -> Vec<String> {
    let directory = boot_file
        .rfind('/')
        .and_then(|at| boot_file.get(..=at))
        .unwrap_or_default();
    let mut paths = vec![format!("{directory}autoexec.ipxe")];
    let root = "/autoexec.ipxe".to_owned();
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
    }
}
