//! The real zone files of PXE_CORPUS. Which zone a file is of, its name alone does not say: this
//! table does. Nothing of the files is in this project.

use std::path::{Path, PathBuf};

use super::zone::ZoneFile;

/// Each file below `dns/`, and the name of its zone: from `$ORIGIN` or the owner of the SOA record
/// where they are absolute, else from the absolute names in it, or from the file's name.
const FILES: [(&str, &str); 39] = [
    (
        "marlonfrank30__ocp4-metal-install_DualStack_IPv4-6/dns/zones/db.ocp.local",
        "ocp.local",
    ),
    (
        "marlonfrank30__ocp4-metal-install_DualStack_IPv4-6/dns/zones/db.reverse_v6",
        "0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    ),
    (
        "marlonfrank30__ocp4-metal-install_DualStack_IPv4-6/dns/zones/db.reverse",
        "1.10.in-addr.arpa",
    ),
    ("bwhaley__flickrflask/etc/bind/db.10", "10.in-addr.arpa"),
    (
        "bwhaley__flickrflask/etc/bind/db.example.com",
        "example.com",
    ),
    ("david-hill__zappa/etc/named/db.vmware", "vmware"),
    ("david-hill__zappa/etc/named/db.192_old", "192.in-addr.arpa"),
    (
        "david-hill__zappa/etc/named/db.orionr",
        "1.168.192.in-addr.arpa",
    ),
    ("david-hill__zappa/etc/named/db.orion", "orion"),
    (
        "dklima__okd4-baremetal/named/zones/db.okd.local",
        "okd.local",
    ),
    (
        "dklima__okd4-baremetal/named/zones/db.192.168.1",
        "1.168.192.in-addr.arpa",
    ),
    (
        "7gkb__docker-dns-dhcp/var/cache/bind/db.sec.7gkb.ru",
        "sec.7gkb.ru",
    ),
    (
        "7gkb__docker-dns-dhcp/var/cache/bind/db.sec.7gkb.ru.inv",
        "5.168.192.in-addr.arpa",
    ),
    (
        "RedHatPerf__ocp4-scalelab/etc/named/cloud.zone",
        "cloud.scalelab",
    ),
    ("argvc__nsd-zonefiles/zone/arg.vc.zone", "arg.vc"),
    ("argvc__nsd-zonefiles/zone/elendia.net.zone", "elendia.net"),
    ("NathanMulbrook__nsd-fuzz/example.com.zone", "example.com"),
    (
        "balexx__foreman-vagrant/dns/var/cache/bind/managed-keys.bind",
        ".",
    ),
    (
        "balexx__foreman-vagrant/dns/var/cache/bind/zones/db.example.com",
        "example.com",
    ),
    (
        "balexx__foreman-vagrant/dns/var/cache/bind/zones/db.16.16.172.in-addr.arpa",
        "16.16.172.in-addr.arpa",
    ),
    (
        "dafydd2277__dhcpd-bind9/var/lib/bind/192.168.0.zone",
        "0.168.192.in-addr.arpa",
    ),
    (
        "dafydd2277__dhcpd-bind9/var/lib/bind/localhost.zone",
        "localhost",
    ),
    (
        "dafydd2277__dhcpd-bind9/var/lib/bind/127.0.0.zone",
        "0.0.127.in-addr.arpa",
    ),
    (
        "dafydd2277__dhcpd-bind9/var/lib/bind/internal.example.com.zone",
        // As its author calls it: a placeholder for whoever takes the file over.
        "FIXME_internal.example.com",
    ),
    (
        "ryanhay__ocp4-metal-install/dns/zones/db.ocp.lan",
        "ocp.lan",
    ),
    (
        "ryanhay__ocp4-metal-install/dns/zones/db.reverse",
        "22.168.192.in-addr.arpa",
    ),
    (
        "ObieBent__okd-upi-install/dns/zones/db.eazytraining.lab",
        "eazytraining.lab",
    ),
    (
        "ObieBent__okd-upi-install/dns/zones/db.reverse",
        "110.168.192.in-addr.arpa",
    ),
    (
        "heraclide__pxe-install/etc/bind/db.archive.canonical.com",
        "archive.canonical.com",
    ),
    (
        "heraclide__pxe-install/etc/bind/db.ftp.fr.debian.org",
        "ftp.fr.debian.org",
    ),
    (
        "heraclide__pxe-install/etc/bind/db.archive.debian.org",
        "archive.debian.org",
    ),
    (
        "heraclide__pxe-install/etc/bind/db.archive.ubuntu.com",
        "archive.ubuntu.com",
    ),
    (
        "nakanod__zone-to-tf-converter/example.com.zone",
        "example.com",
    ),
    (
        "General-Meow__mybind9/etc/bind/db.paulhoang.com",
        "paulhoang.com",
    ),
    (
        "General-Meow__mybind9/etc/bind/db.192.168",
        "168.192.in-addr.arpa",
    ),
    (
        "danjng__centos-dns-dhcp/var/named/rev.danlab.local",
        "0.0.10.in-addr.arpa",
    ),
    (
        "danjng__centos-dns-dhcp/var/named/fwd.danlab.local",
        "danlab.local",
    ),
    ("ChedlyMejri__okd4/db.okd.local", "okd.local"),
    (
        "ChedlyMejri__okd4/db.192.168.205",
        "205.168.192.in-addr.arpa",
    ),
];

/// The corpus, if there is one.
pub(super) fn directory() -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os("PXE_CORPUS")?).join("dns"))
}

/// All its zone files.
///
/// # Errors
/// If a file is not in the table, or not in the corpus.
pub(super) fn files(directory: &Path) -> Result<Vec<ZoneFile>, String> {
    let mut found = Vec::new();
    list(directory, &mut found).map_err(|error| format!("{}: {error}", directory.display()))?;
    found.sort();
    let mut files = Vec::new();
    for file in found {
        let path = file.strip_prefix(directory).unwrap_or(&file);
        let origin = FILES.iter().find(|(known, _)| Path::new(known) == path);
        let Some((_, origin)) = origin else {
            return Err(format!("of which zone is {}?", path.display()));
        };
        let origin = (*origin).to_owned();
        files.push(ZoneFile { origin, file });
    }
    match files.len() == FILES.len() {
        true => Ok(files),
        false => Err(format!("{} files of {}", files.len(), FILES.len())),
    }
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => list(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}

/// Batches in which no zone is there twice: a server has one of each name.
pub(super) fn batches(zones: Vec<ZoneFile>) -> Vec<Vec<ZoneFile>> {
    let mut batches: Vec<Vec<ZoneFile>> = Vec::new();
    for zone in zones {
        let has = |batch: &Vec<ZoneFile>| batch.iter().any(|other| other.origin == zone.origin);
        match batches.iter_mut().find(|batch| !has(batch)) {
            Some(batch) => batch.push(zone),
            None => batches.push(vec![zone]),
        }
    }
    batches
}
