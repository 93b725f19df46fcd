//! Menus of images: for a machine whose tree has no menu, and for menus that lead to them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use pxe_dhcp::BootRequest;
use pxe_menu::Location;
use pxe_tree::{FileRequest, MemTree, Overlay, Protocol, Tree, TreePath};

use super::machine::Machine;
use super::site::Site;
use super::station::Station;
use crate::assemble::{self, Reasons};
use crate::config::Config;
use crate::decisions::Identity;
use crate::menus::read::MenuFiles;
use crate::menus::{Asker, IMAGE_MENUS, Menus, Served};
use crate::source;

/// Lays the menus in the folder of images into the tree, as a machine with a BIOS gets them of which
/// nothing else is known: menus of the tree may lead there.
pub(super) fn lay_all(site: &mut Site) -> Result<(), String> {
    let config = site.config.as_ref();
    let Some(images) = config.and_then(|config| config.images.as_ref()) else {
        return Ok(());
    };
    let machine = Machine::default();
    let mut made = Vec::new();
    for (name, _) in IMAGE_MENUS {
        let path = TreePath::parse(name).and_then(|name| images.path.join(&name));
        let path = path.map_err(|kind| kind.to_string())?;
        if let Some(text) = make(site, &path, &machine)? {
            made.push((path, text));
        }
    }
    put(site, made)
}

/// Lays the menu that the server would make into the tree, where the loader asks for its last.
/// `None`: it makes none.
pub(super) fn lay(
    site: &mut Site,
    station: &Station,
    machine: &Machine,
) -> Result<Option<TreePath>, String> {
    let asked = machine.asks(site, station);
    let Some(Location::Tftp { path, .. }) = asked.last() else {
        return Ok(None);
    };
    let Ok(path) = TreePath::from_tftp(path) else {
        return Ok(None);
    };
    let Some(text) = make(site, &path, machine)? else {
        return Ok(None);
    };
    put(site, vec![(path.clone(), text)])?;
    Ok(Some(path))
}

/// These files before those of the tree.
fn put(site: &mut Site, files: Vec<(TreePath, Bytes)>) -> Result<(), String> {
    let (Some(config), Some((_, served))) = (&site.config, &site.images) else {
        return Ok(());
    };
    let tree = MemTree::new();
    for (path, text) in files {
        let laid = tree.insert_file(path.as_bytes(), text);
        laid.map_err(|error| error.to_string())?;
    }
    let tree = Overlay::new([Arc::new(tree) as Arc<dyn Tree>, Arc::clone(served)]);
    let tree = tree.map_err(|kind| kind.to_string())?;
    site.files = MenuFiles::new(config, Arc::new(tree));
    Ok(())
}

/// What the server would make for this path; `None` if nothing.
fn make(site: &Site, path: &TreePath, machine: &Machine) -> Result<Option<Bytes>, String> {
    let (Some(config), Some((library, served))) = (&site.config, &site.images) else {
        return Ok(None);
    };
    let menus = Menus::new(config, Served::listens(config), Arc::clone(served));
    let menus = menus.with_images(Some(Arc::clone(library)));
    site.wait(made(&menus, config, path, machine, site))
}

async fn made(
    menus: &Menus,
    config: &Config,
    path: &TreePath,
    machine: &Machine,
    site: &Site,
) -> Result<Option<Bytes>, String> {
    let client = machine.client_of_loader(site);
    // One of those for documentation (RFC 5737), if nobody says one.
    let ip = client.ip.unwrap_or(Ipv4Addr::new(192, 0, 2, 1));
    let server = server(config);
    let architectures: Vec<_> = machine.architecture().into_iter().collect();
    let mut request = BootRequest::new(server.unwrap_or(Ipv4Addr::UNSPECIFIED));
    request = request.with_architectures(&architectures);
    (request.mac, request.uuid) = machine.identifiers();
    request.client_ip = Some(ip);
    let policy = assemble::policy(config, Reasons::Few);
    let identity = Identity::of(&*policy, &request);
    let asker = Asker::new(config, &identity, ip.into(), server.map(IpAddr::V4));
    let mut request = FileRequest::new(Protocol::Tftp, (ip, 2070).into(), path);
    if let Some(server) = server {
        request = request.with_local((server, 69).into());
    }
    let resolver = source::resolver(&config.tree.root);
    let made = menus.menu(&resolver, &request, &asker).await;
    let made = made.map_err(|why| why.to_string())?;
    Ok(made.map(|made| Bytes::copy_from_slice(made.blob.content())))
}

/// The address by which machines know this server, as far as the configuration says.
fn server(config: &Config) -> Option<Ipv4Addr> {
    let boot = config.boot.as_ref().and_then(|boot| boot.next_server);
    let dhcp = config.dhcp.iter();
    let dhcp = dhcp.flat_map(|dhcp| dhcp.listen.iter().copied());
    let tftp = config.tftp.iter().flat_map(|tftp| &tftp.listen);
    let http = config.http.iter().flat_map(|http| &http.listen);
    let listen = tftp.chain(http).filter_map(|listen| match listen.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    let mut known = (config.menu.server.into_iter())
        .chain(boot)
        .chain(dhcp)
        .chain(listen);
    known.find(|ip| !ip.is_unspecified())
}
