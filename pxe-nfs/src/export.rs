//! What is exported, to whom, and how.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use pxe_tree::{ErrorKind, NodeId, NodeKind, Tree, TreePath, WriteTree};

use crate::Squash;
use crate::handle::ExportId;

/// A directory that clients may mount, and every directory below it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Export {
    /// What clients call it: an absolute path, without a slash at its end; `/` is one.
    pub(crate) path: Vec<u8>,
    pub(crate) id: ExportId,
    pub(crate) tree: Arc<dyn Tree>,
    /// The same tree, if it can be written to.
    pub(crate) write: Option<Arc<dyn WriteTree>>,
    /// The exported directory of the tree.
    pub(crate) root: TreePath,
    pub(crate) clients: Vec<ExportClient>,
    pub(crate) is_listed: bool,
}

impl Export {
    /// A tree under the path by which clients mount it. Nobody may, until
    /// [`to`](Self::to) says who.
    ///
    /// Doubled slashes and those at the end are dropped from the path.
    pub fn new(path: impl AsRef<[u8]>, tree: Arc<dyn Tree>) -> Self {
        let path = crate::mount::normal(path.as_ref());
        Self {
            id: ExportId::of(&path),
            path,
            tree,
            write: None,
            root: TreePath::ROOT,
            clients: Vec::new(),
            is_listed: true,
        }
    }

    /// The same for a tree that can be written to, by clients whose options say `rw`.
    pub fn writable(path: impl AsRef<[u8]>, tree: Arc<dyn WriteTree>) -> Self {
        let mut export = Self::new(path, Arc::clone(&tree) as _);
        export.write = Some(tree);
        export
    }

    /// The same, of a directory within the tree. `..` of that directory is itself to clients.
    #[must_use]
    pub fn with_root(mut self, root: TreePath) -> Self {
        self.root = root;
        self
    }

    /// The same, for these clients too.
    #[must_use]
    pub fn to(mut self, client: ExportClient) -> Self {
        self.clients.push(client);
        self
    }

    /// The same, but `showmount -e` does not tell it.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.is_listed = false;
        self
    }

    /// Whether anybody may write to it.
    pub(crate) fn is_writable(&self) -> bool {
        let mut clients = self.clients.iter();
        self.write.is_some() && clients.any(|client| client.options.is_writable)
    }

    /// What clients call it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The exported directory: what `..` of it is, too.
    ///
    /// # Errors
    /// As [`pxe_tree::resolve`], if it is not there (any more), or no directory.
    pub(crate) async fn root_node(&self) -> pxe_tree::Result<NodeId> {
        if self.root.is_root() {
            return Ok(self.tree.root());
        }
        let root = pxe_tree::resolve(&*self.tree, &self.root).await?.attributes;
        match root.kind {
            NodeKind::Directory => Ok(root.node),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The options that hold for a client: those of the longest network that it is in.
    pub(crate) fn options(&self, client: IpAddr) -> Option<&ExportOptions> {
        let matching = self
            .clients
            .iter()
            .filter(|rule| rule.network.contains(client));
        let best = matching.max_by_key(|rule| rule.network.prefix_len());
        best.map(|rule| &rule.options)
    }
}

/// Clients, and what they may do: `192.168.150.0/24(ro,insecure,no_root_squash)` of exports(5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportClient {
    /// Which addresses.
    pub network: Network,
    /// What they may do.
    pub options: ExportOptions,
}

impl ExportClient {
    /// Clients of a network, with these options.
    pub const fn new(network: Network, options: ExportOptions) -> Self {
        Self { network, options }
    }
}

/// Options of exports(5); the defaults are those of Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// `rw`: may write, if the export's tree can be written to. Default: `ro`.
    pub is_writable: bool,
    /// `secure`: calls must come from ports below 1024. Default: so.
    pub is_secure: bool,
    /// Which users become the anonymous one. Default: user 0.
    pub squash: Squash,
    /// The anonymous user: 65534 by default.
    pub anonymous_uid: u32,
    /// The anonymous user's group: 65534 by default.
    pub anonymous_gid: u32,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            is_writable: false,
            is_secure: true,
            squash: Squash::Root,
            anonymous_uid: 65534,
            anonymous_gid: 65534,
        }
    }
}

/// Addresses of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Network {
    /// `*`: everybody.
    Any,
    /// Those that begin with the same bits; a single address has all its bits.
    Prefix {
        /// One of them.
        address: IpAddr,
        /// How many bits they share: at most 32, or 128 with IPv6.
        prefix_len: u8,
    },
}

impl Network {
    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let Self::Prefix {
            address: network,
            prefix_len,
        } = *self
        else {
            return true;
        };
        let shared = match (network, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros()
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        shared >= u32::from(prefix_len)
    }

    /// How many bits its addresses share, for choosing the closest; -1 for all addresses.
    const fn prefix_len(&self) -> i16 {
        match self {
            Self::Any => -1,
            Self::Prefix { prefix_len, .. } => *prefix_len as i16,
        }
    }
}

impl fmt::Display for Network {
    /// As exports(5) has it: `*`, an address, or the first address and the length of the prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Prefix {
            address,
            prefix_len,
        } = *self
        else {
            return f.write_str("*");
        };
        let rest = |bits: u32| bits.saturating_sub(prefix_len.into());
        let (first, rest): (IpAddr, u32) = match address {
            IpAddr::V4(address) => {
                let rest = rest(Ipv4Addr::BITS);
                let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
                (Ipv4Addr::from_bits(address.to_bits() & mask).into(), rest)
            }
            IpAddr::V6(address) => {
                let rest = rest(Ipv6Addr::BITS);
                let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
                (Ipv6Addr::from_bits(address.to_bits() & mask).into(), rest)
            }
        };
        match rest {
            0 => first.fmt(f),
            _ => write!(f, "{first}/{prefix_len}"),
        }
    }
}
