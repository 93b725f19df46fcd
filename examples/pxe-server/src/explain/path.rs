//! What a path leads to in the tree, or of what it is made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pxe_dhcp::BootRequest;
use pxe_tree::{
    DirTree, ErrorKind, FileRequest, NodeKind, Protocol, Resolver, RewriteRules, RewriteValues,
    TreePath,
};

use super::answer::Told;
use super::{Args, client};
use crate::assemble::{self, Reasons};
use crate::config::{Config, ExportedFiles};
use crate::decisions::Identity;
use crate::images::{Images, ImagesSettings};
use crate::menus::{Asker, Menus, Served, is_missing};
use crate::nfs;
use crate::rewriting::add_values;
use crate::source;
use crate::trees::{Exported, Trees};

/// A path as one protocol asks for it.
#[derive(Debug)]
pub(super) struct LookedUp {
    /// `tftp`, `http` and the address of the listener, or `nfs` and the path of the export.
    pub(super) by: String,
    /// What rules made of it, step by step: the rule and the path, which is none where it refused.
    pub(super) rewritten: Vec<(String, Option<String>)>,
    /// What it leads to; or why it leads to no file.
    pub(super) found: Result<Found, String>,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The path in the tree, without links.
    pub(super) path: String,
    /// How many bytes the machine gets.
    pub(super) bytes: u64,
    /// How that file becomes what the machine gets.
    pub(super) how: How,
}

/// How a file of the tree becomes what a machine gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// As it is.
    Unchanged,
    /// Its placeholders are filled in.
    FilledIn,
    /// It is said in the language of another loader, without these.
    Converted(Vec<String>),
    /// As it is, or mounted if it is a directory; with these options of the export.
    Exported { options: String, is_directory: bool },
}

/// What TFTP and each HTTP listener make of this path.
pub(super) fn lookups(
    args: &Args,
    config: &Config,
    told: &Told,
    path: &str,
) -> Result<Vec<LookedUp>, String> {
    let located = |problem| config.locate(&problem);
    let unreadable = |error: std::io::Error| format!("the tree cannot be read: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(unreadable)?;
    let images = match &config.images {
        Some(images) => {
            let settings = ImagesSettings::of(config, images).map_err(located)?;
            Some(Images::once(settings).map_err(unreadable)?)
        }
        None => None,
    };
    let trees = Trees::open(config, images.as_ref()).map_err(located)?;
    let tree = Arc::clone(&trees.served);
    let menus = Menus::new(config, Served::listens(config), Arc::clone(&tree));
    let library = images.as_ref().map(|images| Arc::clone(images.library()));
    let menus = Arc::new(menus.with_images(library));
    let machine = Machine::of(args, config, told);
    let resolver = source::resolver(&config.tree.root);
    let mut looked_up = Vec::new();
    if let Some(tftp) = &config.tftp {
        let menus = source::tftp_menus(&menus);
        let mut rewritten = Vec::new();
        let path = TreePath::from_tftp(path.as_bytes());
        let found = path.map_err(|kind| kind.to_string()).and_then(|path| {
            let rules = &tftp.rewrite;
            let found = machine.find_rewritten(&menus, &resolver, rules, &path, &mut rewritten);
            runtime.block_on(found)
        });
        looked_up.push(LookedUp {
            by: "tftp".to_owned(),
            rewritten,
            found,
        });
    }
    for http in &config.http {
        let path = path.trim_start_matches('/');
        let listen: Vec<String> = http.listen.iter().map(ToString::to_string).collect();
        let port = http.listen.first().map_or(80, SocketAddr::port);
        let path = TreePath::from_uri_path(&format!("/{path}"));
        let apart = source::images_apart(config, &http.root);
        let is_apart = apart.is_some_and(|images| {
            path.as_ref()
                .is_ok_and(|path| path.strip_prefix(images).is_some())
        });
        let resolver = match is_apart {
            true => resolver.clone(),
            false => resolver.clone().with_base(http.root.clone()),
        };
        let found = path.map_err(|kind| kind.to_string()).and_then(|path| {
            runtime.block_on(machine.find(&menus, &resolver, Protocol::Http, port, &path))
        });
        let by = format!("http {}", listen.join(", "));
        looked_up.push(LookedUp {
            by,
            rewritten: Vec::new(),
            found,
        });
    }
    if let Some((index, rest)) = exported(config, path) {
        let found = machine.mount(config, &trees, index, &rest);
        let by = match config.nfs.as_ref().and_then(|nfs| nfs.exports.get(index)) {
            Some(export) => format!("nfs {}", export.path),
            None => "nfs".to_owned(),
        };
        looked_up.push(LookedUp {
            by,
            rewritten: Vec::new(),
            found: runtime.block_on(found),
        });
    }
    Ok(looked_up)
}

/// The export that a path is in, by its number, and the way from there. Paths of TFTP and HTTP
/// that are in none are not NFS's.
fn exported(config: &Config, path: &str) -> Option<(usize, TreePath)> {
    let path = TreePath::parse(path)
        .ok()
        .filter(|_| path.starts_with('/'))?;
    let exports = config.nfs.iter().flat_map(|nfs| &nfs.exports).enumerate();
    let within = exports.filter_map(|(index, export)| {
        let own = TreePath::parse(&export.path).ok()?;
        let depth = own.names().count();
        Some((depth, index, path.strip_prefix(&own)?))
    });
    let deepest = within.max_by_key(|(depth, ..)| *depth);
    deepest.map(|(_, index, rest)| (index, rest))
}

/// Whether the tree has nothing at this path.
async fn is_nowhere(menus: &Menus, resolver: &Resolver, path: &TreePath) -> bool {
    let found = resolver.resolve(&**menus.tree(), path).await;
    found.is_err_and(|error| is_missing(&error))
}

/// The machine that asks.
struct Machine {
    asker: Asker,
    values: RewriteValues,
    ip: Ipv4Addr,
    server: Option<Ipv4Addr>,
}

impl Machine {
    fn of(args: &Args, config: &Config, told: &Told) -> Self {
        let server = told.server.map(|(server, _)| server);
        let leased = told.address.as_ref().map(|(address, _)| *address);
        // One of those for documentation (RFC 5737), if nobody says one.
        let ip = args
            .address
            .or(leased)
            .unwrap_or(Ipv4Addr::new(192, 0, 2, 1));
        let stage = client::stage_of(args);
        let architectures = client::architectures(args, stage);
        let user_classes: Vec<&[u8]> = args.user_class.iter().map(|one| one.as_bytes()).collect();
        let mut request = BootRequest::new(server.unwrap_or(Ipv4Addr::UNSPECIFIED));
        request.stage = stage;
        request.mac = Some(args.mac);
        request.architectures = &architectures;
        request.vendor_class = args.vendor_class.as_deref().map(str::as_bytes);
        request.user_classes = &user_classes;
        request.uuid = args.uuid;
        request.host_name = args.host_name.as_deref().map(str::as_bytes);
        request.client_id = args.client_id.as_ref().map(|id| &id.0[..]);
        request.client_ip = Some(ip);
        let subnets = config.dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
        let mut networks = subnets.map(|subnet| subnet.network);
        request.subnet = networks.find(|network| network.contains(ip));
        let policy = assemble::policy(config, Reasons::Few);
        let identity = Identity::of(&*policy, &request);
        let asker = Asker::new(config, &identity, ip.into(), server.map(IpAddr::V4));
        let mut values = RewriteValues::from([
            ("ip", ip.to_string()),
            ("ip_hex", format!("{:08X}", ip.to_bits())),
        ]);
        add_values(&identity, &mut values);
        Self {
            asker,
            values,
            ip,
            server,
        }
    }

    async fn mount(
        &self,
        config: &Config,
        trees: &Trees,
        index: usize,
        path: &TreePath,
    ) -> Result<Found, String> {
        let exports = nfs::exports(config, trees).map_err(|problem| config.locate(&problem))?;
        let export = config.nfs.as_ref().and_then(|nfs| nfs.exports.get(index));
        let (Some(served), Some(export)) = (exports.get(index), export) else {
            return Err("no such export".to_owned());
        };
        let Some(options) = served.options(self.ip.into()) else {
            return Err(format!("{} is not exported to {}", export.path, self.ip));
        };
        let found = match (&export.files, &trees.exported) {
            (ExportedFiles::InTree(root), Exported::Directory(tree)) => {
                let resolver = Resolver::new().with_base(root.clone());
                resolver.resolve(&**tree, path).await
            }
            (ExportedFiles::InTree(root), Exported::Given(tree)) => {
                let resolver = Resolver::new().with_base(root.clone());
                resolver.resolve(&**tree, path).await
            }
            (ExportedFiles::Images, _) => match &trees.images {
                Some(images) => Resolver::new().resolve(&**images, path).await,
                None => Err(ErrorKind::NotFound.into()),
            },
            (ExportedFiles::Directory(directory), _) => match DirTree::new(directory) {
                Ok(tree) => Resolver::new().resolve(&tree, path).await,
                Err(error) => Err(error),
            },
        };
        let found = found.map_err(|error| error.kind().to_string())?;
        let is_directory = found.attributes.kind == NodeKind::Directory;
        match found.attributes.kind {
            NodeKind::File | NodeKind::Directory => Ok(Found {
                path: found.path.to_string(),
                bytes: found.attributes.len,
                how: How::Exported {
                    options: options.to_string(),
                    is_directory,
                },
            }),
            _ => Err(format!("{} is neither a file nor a directory", found.path)),
        }
    }

    /// As [`RewriteSource`](pxe_tree::RewriteSource) does it.
    async fn find_rewritten(
        &self,
        menus: &Menus,
        resolver: &Resolver,
        rules: &RewriteRules,
        path: &TreePath,
        rewritten: &mut Vec<(String, Option<String>)>,
    ) -> Result<Found, String> {
        let course = rules.apply(path, &self.values);
        for (index, made) in &course.steps {
            let name = rules.rules().get(*index).map(|rule| rule.name.clone());
            let made = made.as_ref().map(ToString::to_string);
            rewritten.push((name.unwrap_or_default(), made));
        }
        let path = course.outcome.map_err(|kind| kind.to_string())?;
        let answer = self.find(menus, resolver, Protocol::Tftp, 69, &path).await;
        let missing = match answer {
            Err(missing) if is_nowhere(menus, resolver, &path).await => missing,
            answer => return answer,
        };
        for (rule, made) in rules.elsewhere(&path, &self.values) {
            let other = match made {
                Ok(other) => other,
                Err(kind) => {
                    rewritten.push((rule.name.clone(), None));
                    return Err(kind.to_string());
                }
            };
            let answer = self.find(menus, resolver, Protocol::Tftp, 69, &other).await;
            if answer.is_err() && is_nowhere(menus, resolver, &other).await {
                continue;
            }
            rewritten.push((rule.name.clone(), Some(other.to_string())));
            return answer;
        }
        Err(missing)
    }

    async fn find(
        &self,
        menus: &Menus,
        resolver: &Resolver,
        protocol: Protocol,
        port: u16,
        path: &TreePath,
    ) -> Result<Found, String> {
        if let Some(template) = menus.template(resolver, path).await {
            let filled_in = menus.filled_in(&template, &self.asker).await;
            let blob = filled_in.map_err(|why| why.to_string())?;
            return Ok(Found {
                path: template.path.to_string(),
                bytes: blob.content().len() as u64,
                how: How::FilledIn,
            });
        }
        let found = match resolver.resolve(&**menus.tree(), path).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) && menus.may_make(resolver, path) => {
                let mut request = FileRequest::new(protocol, (self.ip, 2070).into(), path);
                if let Some(server) = self.server {
                    request = request.with_local((server, port).into());
                }
                let made = menus.menu(resolver, &request, &self.asker).await;
                let made = made.map_err(|why| why.to_string())?;
                let made = made.ok_or_else(|| error.kind().to_string())?;
                return Ok(Found {
                    path: made.from.to_string(),
                    bytes: made.blob.content().len() as u64,
                    how: How::Converted(made.losses.clone()),
                });
            }
            Err(error) => return Err(error.kind().to_string()),
        };
        match found.attributes.kind {
            NodeKind::File => Ok(Found {
                path: found.path.to_string(),
                bytes: found.attributes.len,
                how: How::Unchanged,
            }),
            _ => Err(format!("{} is no file", found.path)),
        }
    }
}
