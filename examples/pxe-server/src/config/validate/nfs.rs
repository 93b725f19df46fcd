//! `[nfs]`: where it listens, what it exports and to whom.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pxe_nfs::{ExportClient, ExportOptions, Network, Squash};
use pxe_tree::{DirKeys, TreePath};

use super::super::file::{self, OneOrMany};
use super::super::place::Problems;
use super::super::{ExportedFiles, HANDLE_KEY_DEFAULT, Images, Nfs, NfsExport, Portmap};
use super::listen::listeners;
use super::value::number;

/// RFC 1813 section 4.3, and what every client tries.
const NFS_PORT: u16 = 2049;
/// RFC 1833 section 3.1.
const PORTMAP_PORT: u16 = 111;

pub(super) fn nfs(
    problems: &mut Problems<'_>,
    raw: &file::Nfs,
    directory: &Path,
    tree_root: &Path,
    has_images: bool,
) -> Nfs {
    let listen = listeners(problems, "nfs.listen", raw.listen.as_ref(), NFS_PORT);
    // The portmapper's answers have a port, and no address (RFC 1833 section 3).
    let first = listen.first().map(SocketAddr::port);
    if let Some(port) = first.filter(|port| listen.iter().any(|one| one.port() != *port)) {
        let message =
            format!("clients that ask port {PORTMAP_PORT} are told port {port} at each address");
        problems.warning(
            "nfs.listen",
            message,
            "listen at the same port everywhere, or have clients mount with port= and mountport=",
        );
    }
    if raw.export.values.is_empty() && !has_images {
        problems.error(
            "nfs",
            "nothing is exported",
            "add [[nfs.export]] with clients = \"192.168.150.0/24(ro,insecure)\", or remove [nfs]",
        );
    }
    let exports = exports(problems, &raw.export, directory, tree_root);
    let handle_key = handle_key(problems, raw.handle_key.as_deref(), directory);
    check_key_is_not_served(problems, handle_key.as_deref(), &exports, tree_root);
    let handles = handles(problems, raw.handles.as_deref(), &exports);
    let connections = number(
        problems,
        "nfs.connections_max",
        raw.connections_max,
        1..=65_536,
    );
    let per_client = number(
        problems,
        "nfs.connections_per_client_max",
        raw.connections_per_client_max,
        1..=65_536,
    );
    let read_bytes = number(
        problems,
        "nfs.read_bytes_max",
        raw.read_bytes_max,
        4096..=1 << 20,
    );
    let limits = pxe_nfs::Limits::default();
    Nfs {
        portmap: portmap(problems, &raw.portmap),
        mount_ports: mount_ports(problems, &raw.mount_ports, &listen),
        listen,
        handle_key,
        handles,
        connections_max: connections.unwrap_or(limits.connections_max),
        connections_per_client_max: per_client.unwrap_or(limits.connections_per_client_max),
        read_bytes_max: read_bytes.unwrap_or(limits.read_bytes_max),
        exports,
    }
}

fn handles(problems: &mut Problems<'_>, raw: Option<&str>, exports: &[NfsExport]) -> DirKeys {
    match raw {
        None | Some("inode") => DirKeys::Inode,
        Some("name") => {
            if exports.iter().any(NfsExport::is_writable) {
                problems.error(
                    "nfs.handles",
                    "\"name\" is for files that nobody changes, and an export is \"rw\"",
                    "leave it at \"inode\", or export with \"ro\"",
                );
            }
            DirKeys::Name
        }
        Some(other) => {
            problems.error(
                "nfs.handles",
                format!("{other:?} is neither \"inode\" nor \"name\""),
                "write \"inode\", or \"name\" for copies of the files on several servers",
            );
            DirKeys::Inode
        }
    }
}

/// Whoever reads the key can make handles of all files, so no export may lead to it. Where it is
/// by default counts as well: a server that is started as root makes it there.
fn check_key_is_not_served(
    problems: &mut Problems<'_>,
    configured: Option<&Path>,
    exports: &[NfsExport],
    tree_root: &Path,
) {
    let key = configured.unwrap_or(Path::new(HANDLE_KEY_DEFAULT));
    let own = exports.iter().filter_map(|export| match &export.files {
        ExportedFiles::Directory(directory) => Some(directory.as_path()),
        ExportedFiles::InTree(_) | ExportedFiles::Images => None,
    });
    let served = own
        .chain([tree_root])
        .find(|served| *served != Path::new("") && key.starts_with(served));
    if let Some(served) = served {
        problems.error(
            "nfs.handle_key",
            format!(
                "{} is served: it lies in {}",
                key.display(),
                served.display()
            ),
            match configured {
                Some(_) => {
                    "keep it where no machine can read it, such as /var/lib/pxe-server/nfs.key"
                }
                None => "name a file that no machine can read, or export another directory",
            },
        );
    }
}

fn portmap(problems: &mut Problems<'_>, raw: &OneOrMany<String>) -> Portmap {
    match raw.values.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] if raw.list => Portmap::Auto,
        ["auto"] => Portmap::Auto,
        ["off"] => Portmap::Off,
        [word] if !word.contains(['.', ':']) => {
            problems.error(
                "nfs.portmap",
                format!("{word:?} is not known"),
                format!("write \"auto\", \"off\", or where to answer: \"0.0.0.0:{PORTMAP_PORT}\""),
            );
            Portmap::Auto
        }
        _ => Portmap::At(listeners(problems, "nfs.portmap", Some(raw), PORTMAP_PORT)),
    }
}

fn mount_ports(
    problems: &mut Problems<'_>,
    raw: &OneOrMany<i64>,
    listen: &[SocketAddr],
) -> Vec<u16> {
    let mut ports = BTreeSet::new();
    for (path, port) in raw.with_paths("nfs.mount_ports") {
        // 0 is a new port each time, which nobody could find.
        let Some(port) = number::<u16>(problems, &path, Some(*port), 1..=65_535) else {
            continue;
        };
        if listen.iter().any(|listen| listen.port() == port) {
            let message = format!("{port} is NFS's own port, where MOUNT is answered anyway");
            problems.warning(&path, message, "remove it");
        } else if !ports.insert(port) {
            problems.warning(
                &path,
                format!("{port} is there twice"),
                "remove one of them",
            );
        }
    }
    ports.into_iter().collect()
}

fn handle_key(problems: &mut Problems<'_>, raw: Option<&str>, directory: &Path) -> Option<PathBuf> {
    let path = raw?;
    if path.is_empty() || path.ends_with('/') {
        problems.error(
            "nfs.handle_key",
            format!("{path:?} is no file"),
            "name a file, such as /var/lib/pxe-server/nfs.key; it is made if it is missing",
        );
        return None;
    }
    Some(directory.join(path))
}

fn exports(
    problems: &mut Problems<'_>,
    raw: &OneOrMany<file::NfsExport>,
    directory: &Path,
    tree_root: &Path,
) -> Vec<NfsExport> {
    let mut exports: Vec<NfsExport> = Vec::new();
    for (key, raw) in raw.with_paths("nfs.export") {
        let files = files(problems, &key, raw, directory);
        let Some(path) = export_path(problems, &key, raw, &files, tree_root) else {
            continue;
        };
        if exports.iter().any(|export| export.path == path) {
            problems.error(
                &format!("{key}.path"),
                format!("{path} is exported twice"),
                "put all its clients into one of them, or give one another path",
            );
        }
        let clients = clients(problems, &format!("{key}.clients"), &raw.clients);
        exports.push(NfsExport {
            path,
            files,
            clients,
            is_hidden: raw.hidden.unwrap_or(false),
        });
    }
    exports
}

/// Exports images: to those whom an export of their path names, or else to all who have them by
/// HTTP and TFTP anyway.
pub(super) fn export_images(problems: &mut Problems<'_>, nfs: &mut Nfs, images: &Images) {
    let path = images.path.to_string();
    let found = nfs.exports.iter().position(|export| export.path == path);
    let Some(index) = found else {
        let mut options = ExportOptions::default();
        options.is_secure = false;
        // Modes in an image are those of the system that it was made on, and keep nothing secret.
        options.squash = Squash::None;
        nfs.exports.push(NfsExport {
            path,
            files: ExportedFiles::Images,
            clients: vec![ExportClient::new(Network::Any, options)],
            is_hidden: false,
        });
        return;
    };
    let key = match nfs.exports.len() {
        1 => "nfs.export".to_owned(),
        _ => format!("nfs.export[{index}]"),
    };
    let Some(export) = nfs.exports.get_mut(index) else {
        return;
    };
    let remedy = "leave root and directory out to say who may mount images, or name another path";
    match &export.files {
        ExportedFiles::InTree(root) if root.is_root() => {}
        _ => problems.error(&key, format!("{path} is where images are exported"), remedy),
    }
    if export.is_writable() {
        let message = "nobody can write to images";
        problems.error(
            &format!("{key}.clients"),
            message,
            "write ro in the place of rw",
        );
    }
    export.files = ExportedFiles::Images;
}

fn files(
    problems: &mut Problems<'_>,
    key: &str,
    raw: &file::NfsExport,
    directory: &Path,
) -> ExportedFiles {
    let root = raw.root.as_deref().unwrap_or("/");
    let path = format!("{key}.root");
    if let Some(own) = raw.directory.as_deref() {
        if raw.root.is_some() {
            let message = format!("{root} has no meaning with directory = {own:?}");
            problems.error(&path, message, "remove one of the two");
        }
        if own.is_empty() {
            problems.error(
                &format!("{key}.directory"),
                "is empty",
                "name a directory, or leave the key out to export the tree",
            );
        }
        return ExportedFiles::Directory(directory.join(own));
    }
    if root.split('/').any(|name| name == "..") {
        problems.error(
            &path,
            format!("{root} leads out of the tree"),
            "name a directory below tree.root, such as /os, or another one with directory",
        );
    }
    ExportedFiles::InTree(TreePath::parse(root).unwrap_or_else(|error| {
        problems.error(
            &path,
            format!("{root:?}: {error}"),
            "name a directory of the tree, such as /os",
        );
        TreePath::default()
    }))
}

/// What clients call the export: what it says, or else the path of its directory here.
fn export_path(
    problems: &mut Problems<'_>,
    key: &str,
    raw: &file::NfsExport,
    files: &ExportedFiles,
    tree_root: &Path,
) -> Option<String> {
    let key = format!("{key}.path");
    let directory = match files {
        ExportedFiles::Directory(directory) => directory.clone(),
        ExportedFiles::InTree(path) => tree_root.join(path.to_string().trim_start_matches('/')),
        ExportedFiles::Images => PathBuf::new(),
    };
    let remedy = "write what clients mount, such as path = \"/srv/tftp\"";
    let path = match &raw.path {
        Some(path) => path.clone(),
        // A relative one is there if the configuration was named by a relative path. What is wrong
        // with an empty one was told.
        None => {
            let absolute = std::path::absolute(&directory).ok()?;
            let Some(path) = absolute.to_str() else {
                let message = format!("{} is no UTF-8", absolute.display());
                problems.error(&key, message, remedy);
                return None;
            };
            path.to_owned()
        }
    };
    if !path.starts_with('/') {
        problems.error(&key, format!("{path:?} is no absolute path"), remedy);
        return None;
    }
    if path.split('/').any(|name| name == "." || name == "..") || path.contains('\0') {
        problems.error(
            &key,
            format!("{path:?} has names that no client can ask for"),
            remedy,
        );
        return None;
    }
    if path.len() > PATH_BYTES_MAX {
        let message = format!("has {} bytes", path.len());
        let remedy = format!("choose one of at most {PATH_BYTES_MAX}, as the protocol has no more");
        problems.error(&key, message, remedy);
        return None;
    }
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    Some(format!("/{}", names.join("/")))
}

/// `MNTPATHLEN` of RFC 1813 section 5.1.4.
const PATH_BYTES_MAX: usize = 1024;

/// As in exports(5), several clients may stand in one line, with blanks between them.
fn clients(problems: &mut Problems<'_>, path: &str, raw: &OneOrMany<String>) -> Vec<ExportClient> {
    if raw.values.iter().all(|text| text.trim().is_empty()) {
        problems.error(
            path,
            "nobody may mount this export",
            "say who: clients = \"192.168.150.0/24(ro,insecure)\"",
        );
    }
    let mut clients: Vec<ExportClient> = Vec::new();
    for (path, text) in raw.with_paths(path) {
        for (index, word) in words(text).into_iter().enumerate() {
            // In exports(5) a blank before the parenthesis gives the options to everybody.
            if index > 0 && word.starts_with('(') {
                let message = format!("{text:?}: {word} is for everybody, as it stands alone");
                let remedy = "remove the blank before it; for everybody, write *(..)";
                problems.error(&path, message, remedy);
                continue;
            }
            match word.parse::<ExportClient>() {
                Ok(client) => {
                    check_client(problems, &path, &client, &clients);
                    clients.push(client);
                }
                // It says what to do, too.
                Err(error) => problems.error(&path, error.to_string(), ""),
            }
        }
    }
    clients
}

/// What blanks stand between, but for those between options.
fn words(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    let words = text.split(move |char: char| {
        is_inside = (is_inside || char == '(') && char != ')';
        char.is_ascii_whitespace() && !is_inside
    });
    words.filter(|word| !word.is_empty()).collect()
}

fn check_client(
    problems: &mut Problems<'_>,
    path: &str,
    client: &ExportClient,
    others: &[ExportClient],
) {
    let network = client.network;
    if others.iter().any(|other| other.network == network) {
        let message = format!("{network} is there twice");
        problems.error(path, message, "remove one of the two");
    }
    if client.options.is_writable && network == Network::Any {
        problems.warning(
            path,
            format!("{client} lets everybody write who reaches this server"),
            "name their network, as in 192.168.150.0/24(rw)",
        );
    }
}
