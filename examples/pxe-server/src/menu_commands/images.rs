//! The menu of images, for a machine whose tree has none.

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
use crate::images::{Images, ImagesSettings};
use crate::menus::read::MenuFiles;
use crate::menus::{Asker, Menus, Served};
use crate::source;
use crate::trees::Trees;

/// Lays the menu that the server would make into the tree, where the loader asks for its last.
/// `None`: it makes none.
pub(super) fn lay(
    site: &mut Site,
    station: &Station,
    machine: &Machine,
) -> Result<Option<TreePath>, String> {
    let Some(config) = site.config.clone() else {
        return Ok(None);
    };
    let Some(settings) = &config.images else {
        return Ok(None);
    };
    let settings = ImagesSettings::of(&config, settings);
    let settings = settings.map_err(|problem| config.locate(&problem))?;
    let images = site.wait(Images::once(settings));
    let trees = Trees::open(&config, Some(&images));
    let trees = trees.map_err(|problem| config.locate(&problem))?;
    let asked = machine.asks(site, station);
    let Some(Location::Tftp { path, .. }) = asked.last() else {
        return Ok(None);
    };
    let Ok(path) = TreePath::from_tftp(path) else {
        return Ok(None);
    };
    let menus = Menus::new(&config, Served::listens(&config), Arc::clone(&trees.served));
    let menus = menus.with_images(Some(Arc::clone(images.library())));
    let made = site.wait(made(&menus, &config, &path, machine, site))?;
    let Some(made) = made else {
        return Ok(None);
    };
    let tree = MemTree::new();
    let laid = tree.insert_file(path.as_bytes(), made);
    laid.map_err(|error| error.to_string())?;
    let tree = Overlay::new([Arc::new(tree) as Arc<dyn Tree>, trees.served]);
    let tree = tree.map_err(|kind| kind.to_string())?;
    site.files = MenuFiles::new(&config, Arc::new(tree));
    Ok(Some(path))
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
