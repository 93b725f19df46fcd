//! The files of menus, as clients of this server get them: what a loader asks for, found in the
//! tree by the same rules by which TFTP and HTTP serve it.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pxe_dhcp::Pattern;
use pxe_menu::{
    Client, FileId, Format, Limits, LinkedMenu, Location, MenuReader, Paths, Resolution,
    SourceFile, TemplateError, Text,
};
use pxe_tree::{
    Attributes, Cookie, Error, ErrorKind, NodeKind, Resolved, Resolver, Tree, TreePath,
};

use super::template::{self, TemplateFault, filled_in_for, is_template};
use crate::config::Config;
use crate::source;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// How many names of one directory are looked at.
const NAMES_MAX: usize = 4096;

/// The files of menus.
///
/// Nothing outside of the tree is ever read: a path cannot leave it, and its links are followed as
/// the server follows them.
#[derive(Debug, Clone)]
pub(crate) struct MenuFiles {
    tree: Arc<dyn Tree>,
    tftp: Resolver,
    http: Vec<HttpRoot>,
    /// The addresses by which a menu may name this server.
    own: Vec<IpAddr>,
    /// The files in which placeholders are filled in.
    templates: Vec<Pattern>,
}

/// What one HTTP listener shows.
#[derive(Debug, Clone)]
struct HttpRoot {
    ports: Vec<u16>,
    resolver: Resolver,
    /// The folder of images, where this listener shows it besides, by its path in the whole tree.
    images: Option<TreePath>,
}

/// A file of a menu, with its content.
#[derive(Debug, Clone)]
pub(crate) struct MenuFile {
    /// Its path in the tree, without links.
    pub(crate) path: TreePath,
    /// What is known of it.
    pub(crate) attributes: Attributes,
    /// Its content.
    pub(crate) bytes: Bytes,
}

/// Why a file of a menu is not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Another server has it, or nobody: its loader knows no such protocol.
    Elsewhere,
    /// It is larger than what may be read, in bytes.
    TooLarge(u64),
    /// The tree says no; most often that there is no such file.
    Tree(Error),
}

impl Unread {
    /// Whether there simply is no such file, which is no failure where a loader only looks for it.
    pub(crate) fn is_missing(&self) -> bool {
        let Self::Tree(error) = self else {
            return false;
        };
        matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidName
        )
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere => f.write_str("it is not on this server"),
            Self::TooLarge(len) => write!(f, "{len} bytes are too many for a menu"),
            Self::Tree(error) => error.kind().fmt(f),
        }
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Tree(error)
    }
}

impl MenuFiles {
    /// Those of a tree that is served with this configuration.
    pub(crate) fn new(config: &Config, tree: Arc<dyn Tree>) -> Self {
        let resolver = source::resolver(&config.tree.root);
        let http = config.http.iter().map(|http| HttpRoot {
            ports: http.listen.iter().map(|listen| listen.port()).collect(),
            resolver: resolver.clone().with_base(http.root.clone()),
            images: source::images_apart(config, &http.root).cloned(),
        });
        let boot = config.boot.iter().filter_map(|boot| boot.next_server);
        let dhcp = config.dhcp.iter();
        let subnets = dhcp.clone().flat_map(|dhcp| &dhcp.subnets);
        let told = boot
            .chain(dhcp.flat_map(|dhcp| dhcp.listen.iter().copied()))
            .chain(subnets.filter_map(|subnet| subnet.server_ip));
        let tftp = config.tftp.iter().flat_map(|tftp| &tftp.listen);
        let listen = config.http.iter().flat_map(|http| &http.listen).chain(tftp);
        let own = told
            .map(IpAddr::V4)
            .chain(listen.map(|listen| listen.ip()))
            .filter(|ip| !ip.is_unspecified());
        Self {
            tree,
            http: http.collect(),
            own: own.collect(),
            tftp: resolver,
            templates: config.menu.templates.clone(),
        }
    }

    /// Those of a tree of which nothing is known but the directory that it is in.
    pub(crate) fn of_root(root: &Path, tree: Arc<dyn Tree>) -> Self {
        Self {
            tree,
            tftp: source::resolver(root),
            http: Vec::new(),
            own: Vec::new(),
            templates: Vec::new(),
        }
    }

    /// The content of a file, if it has at most so many bytes.
    pub(crate) async fn read(
        &self,
        location: &Location,
        bytes_max: usize,
    ) -> Result<MenuFile, Unread> {
        let found = self.find(location).await?;
        let blob = self.tree.open(found.attributes.node).await?;
        let attributes = blob.attributes().clone();
        let len = attributes.len;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= bytes_max) else {
            return Err(Unread::TooLarge(len));
        };
        let mut bytes = BytesMut::with_capacity(len);
        while bytes.len() < len {
            let wanted = CHUNK_BYTES.min(len - bytes.len());
            let chunk = blob.read_at(bytes.len() as u64, wanted).await?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(MenuFile {
            path: found.path,
            attributes,
            bytes: bytes.freeze(),
        })
    }

    /// What a request for it leads to.
    pub(crate) async fn find(&self, location: &Location) -> Result<Resolved, Unread> {
        let (resolver, path) = self.asked(location)?;
        Ok(resolver.resolve(&*self.tree, &path).await?)
    }

    /// Whether a request for it gives a file.
    pub(crate) async fn is_file(&self, location: &Location) -> bool {
        let found = self.find(location).await;
        found.is_ok_and(|found| found.attributes.kind == NodeKind::File)
    }

    /// The first bytes of a file: fewer if it has fewer.
    pub(crate) async fn head(&self, location: &Location, len: usize) -> Result<Bytes, Unread> {
        let found = self.find(location).await?;
        let blob = self.tree.open(found.attributes.node).await?;
        Ok(blob.read_at(0, len).await?)
    }

    /// The names in a directory and what they are, links as such; the first 4,096 of them.
    pub(crate) async fn names(&self, location: &Location) -> Result<Vec<(Text, NodeKind)>, Unread> {
        let found = self.find(location).await?;
        let mut names = Vec::new();
        let mut after = Cookie::START;
        loop {
            let left = NAMES_MAX - names.len();
            let node = found.attributes.node;
            let page = self.tree.read_dir(node, after, left).await?;
            let Some(last) = page.entries.last() else {
                break;
            };
            after = last.cookie;
            let entries = page.entries.iter();
            names.extend(entries.map(|entry| (Text::from(entry.name.as_bytes()), entry.kind)));
            if page.end || names.len() >= NAMES_MAX {
                break;
            }
        }
        Ok(names)
    }

    /// By which rules what path is walked.
    fn asked(&self, location: &Location) -> Result<(&Resolver, TreePath), Unread> {
        match location {
            Location::Tftp { host, path } => {
                if host.as_ref().is_some_and(|host| !self.is_own(host)) {
                    return Err(Unread::Elsewhere);
                }
                let path = TreePath::from_tftp(path).map_err(Error::from)?;
                Ok((&self.tftp, path))
            }
            Location::Url(url) => self.asked_by_http(url),
            _ => Err(Unread::Elsewhere),
        }
    }

    fn asked_by_http(&self, url: &Text) -> Result<(&Resolver, TreePath), Unread> {
        let url = url.to_string();
        let rest = url.strip_prefix("http://").ok_or(Unread::Elsewhere)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut roots = self.http.iter();
        let root = roots.find(|root| port.is_some_and(|port| root.ports.contains(&port)));
        match root {
            Some(root) if self.is_own(host.as_bytes()) => {
                let path = path.split(['?', '#']).next().unwrap_or_default();
                let path = TreePath::from_uri_path(path).map_err(Error::from)?;
                let images = root.images.as_ref();
                let is_image = images.is_some_and(|images| path.strip_prefix(images).is_some());
                Ok((if is_image { &self.tftp } else { &root.resolver }, path))
            }
            _ => Err(Unread::Elsewhere),
        }
    }

    fn is_own(&self, host: &[u8]) -> bool {
        let host = std::str::from_utf8(host).ok();
        let ip = host.and_then(|host| host.parse().ok());
        ip.is_some_and(|ip| self.own.contains(&ip))
    }
}

/// A menu as one loader reads it.
#[derive(Debug)]
pub(crate) struct ReadMenu {
    /// What it means, and what is wrong with its lines.
    pub(crate) resolution: Resolution,
    /// Its files, as the findings' places name them.
    pub(crate) files: Vec<SourceFile>,
    /// Where each of them is in the tree, without links; `None` for one that was not read.
    pub(crate) paths: Vec<Option<TreePath>>,
    /// Those that are there and could not be read.
    pub(crate) unread: Vec<(Location, Unread)>,
    /// The templates that could not be filled in, and are read as they are.
    pub(crate) unfilled: Vec<TemplateFault>,
    /// The placeholders for which no client has a value, of each file.
    pub(crate) wrong_placeholders: Vec<(FileId, TemplateError)>,
}

impl MenuFiles {
    /// Reads a menu, by the name under which its loader asks for it, with all that its entries lead
    /// to. The format is known if it is where only one loader looks. The client is the one that GRUB's conditions are decided for and templates are filled in
    /// for.
    ///
    /// # Errors
    /// If its first file cannot be read.
    pub(crate) async fn read_menu(
        &self,
        paths: Paths,
        name: &Text,
        format: Option<Format>,
        client: &Client,
        limits: Limits,
    ) -> Result<ReadMenu, Unread> {
        let reader = MenuReader::new(name.clone(), paths, limits.clone());
        let mut reader = reader.with_client(client.clone());
        if let Some(format) = format {
            reader = reader.with_format(format);
        }
        let mut read = Read::default();
        let take = |id, location: &Location, found| match found {
            Err(why) if id == FileId::MAIN => Err(why),
            found => Ok(read.take(id, location, found, |file| self.filled_in(file, client))),
        };
        let linked = self.feed(reader, &limits, take).await?;
        Ok(ReadMenu {
            resolution: linked.resolution,
            files: linked.files,
            paths: read.paths,
            unread: read.unread,
            unfilled: read.unfilled,
            wrong_placeholders: read.wrong_placeholders,
        })
    }

    /// What this client gets of a file.
    fn filled_in(&self, file: &MenuFile, client: &Client) -> Result<Bytes, TemplateFault> {
        match is_template(&self.templates, &file.path) {
            true => filled_in_for(&file.path, &file.bytes, client),
            false => Ok(file.bytes.clone()),
        }
    }

    /// Gives a reader the files that it asks for. What is found of each goes through `take`, which
    /// says what its content is, or that it counts as missing.
    ///
    /// # Errors
    /// Those of `take`.
    pub(crate) async fn feed<E>(
        &self,
        mut reader: MenuReader,
        limits: &Limits,
        mut take: impl FnMut(FileId, &Location, Result<MenuFile, Unread>) -> Result<Option<Bytes>, E>,
    ) -> Result<LinkedMenu, E> {
        while let Some(need) = reader.poll_need() {
            let found = self.read(&need.location, limits.bytes_max).await;
            match take(need.id, &need.location, found)? {
                Some(bytes) => reader.provide(need.id, bytes),
                None => reader.missing(need.id),
            }
        }
        Ok(reader.finish())
    }
}

/// The files of one menu, on the way.
#[derive(Debug, Default)]
struct Read {
    paths: Vec<Option<TreePath>>,
    unread: Vec<(Location, Unread)>,
    unfilled: Vec<TemplateFault>,
    wrong_placeholders: Vec<(FileId, TemplateError)>,
}

impl Read {
    fn take(
        &mut self,
        id: FileId,
        location: &Location,
        found: Result<MenuFile, Unread>,
        filled_in: impl Fn(&MenuFile) -> Result<Bytes, TemplateFault>,
    ) -> Option<Bytes> {
        // Files that a bound keeps from being asked for have a number, too.
        self.paths.resize(id.index() + 1, None);
        match found {
            Ok(file) => {
                let bytes = filled_in(&file).unwrap_or_else(|fault| {
                    let errors = template::errors(&file.path, &file.bytes).into_iter();
                    self.wrong_placeholders
                        .extend(errors.map(|error| (id, error)));
                    self.unfilled.push(fault);
                    file.bytes
                });
                self.paths[id.index()] = Some(file.path);
                Some(bytes)
            }
            Err(why) => {
                // What another server has is not known to be missing, and no fault of this one.
                if !why.is_missing() && !matches!(why, Unread::Elsewhere) {
                    self.unread.push((location.clone(), why));
                }
                None
            }
        }
    }
}
