//! Who asks for a menu.

use std::net::{IpAddr, Ipv4Addr};

use pxe_dhcp::wire::OptionCode;
use pxe_dhcp::{Boot, BootDecision};
use pxe_menu::{Client, Text};
use pxe_tree::TreePath;

use super::wanted::SCRIPT;
use crate::config::Config;
use crate::decisions::Identity;

/// A client, as far as menus depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    /// What a menu may be told of it.
    pub(super) client: Client,
    /// Option 209: what pxelinux there asks for first.
    pub(super) config_file: Option<String>,
    /// Option 210: what pxelinux there puts before each name.
    pub(super) path_prefix: Option<String>,
    /// What iPXE there is told to load.
    script: Script,
}

/// What iPXE is told to load.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Script {
    /// Nothing that is for iPXE more than for other loaders.
    Common,
    /// A file that is for iPXE, by its path.
    Own(TreePath),
    /// What is no path: a menu of the firmware, or nothing at all.
    Other,
}

impl Asker {
    /// The client at this address, of which this is known. `local` is our address that it asked.
    pub(crate) fn new(
        config: &Config,
        identity: &Identity,
        ip: IpAddr,
        local: Option<IpAddr>,
    ) -> Self {
        let mut client = Client::new();
        client.mac = identity.mac.map(|mac| mac.octets());
        client.uuid = identity.uuid.map(|uuid| uuid.to_wire());
        client.architecture = identity.arch.map(|arch| arch.0);
        client.host_name = identity.host_name.as_deref().map(Text::from);
        if let Some(IpAddr::V4(server)) = config.menu.server.map(IpAddr::V4).or(local) {
            client = client.with_server(server);
        }
        if let IpAddr::V4(ip) = ip {
            client = with_network(client.with_ip(ip), config, ip);
        }
        let boot = config.boot.as_ref();
        let told = |code, default: Option<&String>| {
            let value = identity.decision.option(code);
            let value = value.map(|value| value.strip_suffix(b"\0").unwrap_or(value));
            let value = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
            value.or_else(|| default.cloned())
        };
        Self {
            client,
            config_file: told(
                OptionCode::CONFIG_FILE,
                boot.and_then(|boot| boot.configfile.as_ref()),
            ),
            path_prefix: told(
                OptionCode::PATH_PREFIX,
                boot.and_then(|boot| boot.path_prefix.as_ref()),
            ),
            script: Script::of(&identity.as_ipxe, &identity.as_firmware),
        }
    }

    /// Whether iPXE there may be given a script that it looks for by itself. It runs such a script
    /// before all that DHCP tells it, so one that is configured for iPXE must not be hidden.
    pub(super) fn may_have_autoexec(&self) -> bool {
        match &self.script {
            Script::Common => true,
            Script::Own(path) => path.as_bytes() == SCRIPT.as_bytes(),
            Script::Other => false,
        }
    }

    /// Whether iPXE there is told to load this path.
    pub(super) fn is_told(&self, path: &TreePath) -> bool {
        matches!(&self.script, Script::Own(own) if own == path)
    }
}

impl Script {
    fn of(as_ipxe: &BootDecision, as_firmware: &BootDecision) -> Self {
        if as_ipxe.boot == Boot::Nothing || as_ipxe.boot == as_firmware.boot {
            return Self::Common;
        }
        let path = match &as_ipxe.boot {
            Boot::File(file) => TreePath::from_tftp(file.as_bytes()).ok(),
            Boot::Url(url) => path_of(url),
            _ => None,
        };
        path.map_or(Self::Other, Self::Own)
    }
}

/// The path of a URL.
fn path_of(url: &str) -> Option<TreePath> {
    let (_, rest) = url.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next()?;
    TreePath::from_uri_path(path).ok()
}

/// With what the client is told of its network: for IPAPPEND.
fn with_network(client: Client, config: &Config, ip: Ipv4Addr) -> Client {
    let mut subnets = config.dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
    let Some(subnet) = subnets.find(|subnet| subnet.network.contains(ip)) else {
        return client;
    };
    let gateway = subnet.routers.first().copied();
    let gateway = gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
    client.with_network(gateway, subnet.network.mask())
}
