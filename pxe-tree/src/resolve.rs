//! The one resolver: from a path to a node, over any tree.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Attributes, Blob, Error, ErrorKind, Name, NameBuf, NodeId, NodeKind, Result, Tree, TreePath,
};

/// How many symbolic links one walk follows: as many as Linux does (path_resolution(7)).
pub const LINKS_MAX: usize = 40;

/// How many parts of paths and link targets one walk looks at. A request has at most 2,048 names,
/// so only link targets that lie about where they lead come here.
const PARTS_MAX: usize = 8192;

/// How often a walk begins again because a directory was moved away under it.
const WALKS_MAX: usize = 3;

/// What a path leads to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resolved {
    /// What is known of the node.
    pub attributes: Attributes,
    /// The node's path without links. Through it the same node is reached by names alone.
    pub path: TreePath,
}

/// Walks a path from the root of a tree, following symbolic links, as a process in a `chroot`
/// would. The same as [`Resolver::new()`](Resolver::new).[`resolve`](Resolver::resolve).
///
/// # Errors
/// As [`Resolver::resolve`].
pub async fn resolve(tree: &dyn Tree, path: &TreePath) -> Result<Resolved> {
    Resolver::new().resolve(tree, path).await
}

/// How paths are walked.
///
/// The rules are those of a process whose root is the tree's root: `..` in a link's target is the
/// parent of the directory that was really reached, and stops at the root; an absolute target
/// begins at the root; after [`LINKS_MAX`] links the walk ends with `LinkLoop`. A link may lead
/// from one mounted tree into another. Each name costs one [`Tree::lookup`].
///
/// Where a directory [confines its entries](Attributes::confines_entries), each entry is such a root
/// to the links in it: whoever made an image may make links to anywhere, and who serves it has other
/// files beside it. Once a walk has come to such an entry, it leaves it no more.
///
/// # The root's own path
///
/// Loaders are given, or build, paths as the server's administrator sees them: with option 210 of
/// `/srv/tftp/`, pxelinux asks for `/srv/tftp/bios/menu.c32`; and links in the tree were made
/// with absolute targets. With [`with_root_path`](Self::with_root_path), where a
/// - **link's** absolute target begins with that path, it is dropped, always: whoever made the
///   link saw the whole file system;
/// - **request** begins with it, the path is first tried as it is, and if it leads nowhere
///   (`NotFound`, `NotADirectory`), then without it. So a tree with a `srv/tftp` of its own inside
///   keeps every file within reach.
///
/// # Example
///
/// ```
/// use pxe_tree::{MemTree, Resolver, TreePath};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> pxe_tree::Result<()> {
/// let tree = MemTree::new();
/// tree.insert_file("os/debian/linux", "...")?;
/// tree.insert_link("bios/os", "/srv/tftp/os")?;
/// let resolver = Resolver::new().with_root_path(TreePath::parse("/srv/tftp")?);
/// let asked = TreePath::from_tftp(b"/srv/tftp/bios/os/debian/linux")?;
/// let found = resolver.resolve(&tree, &asked).await?;
/// assert_eq!(found.path.to_string(), "/os/debian/linux");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    root_path: TreePath,
    base: TreePath,
    root: Option<NodeId>,
    keeps_last_link: bool,
}

impl Resolver {
    /// Follows every link; knows no path of the root.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, for a tree whose root lies at that path for those who made links and requests.
    #[must_use]
    pub fn with_root_path(mut self, root_path: TreePath) -> Self {
        self.root_path = root_path;
        self
    }

    /// The same, with requests that begin at this directory instead of the tree's root: a web
    /// server's document root. Links still lead everywhere in the tree.
    #[must_use]
    pub fn with_base(mut self, base: TreePath) -> Self {
        self.base = base;
        self
    }

    /// Where requests begin.
    pub const fn base(&self) -> &TreePath {
        &self.base
    }

    /// The same, as in a `chroot` to this directory of the tree: neither a path nor a link leads
    /// out of it, and the paths of what is found begin at it.
    #[must_use]
    pub const fn with_root(mut self, root: NodeId) -> Self {
        self.root = Some(root);
        self
    }

    /// The same, but if the path itself names a link, the link is what was asked for.
    #[must_use]
    pub const fn keeping_last_link(mut self) -> Self {
        self.keeps_last_link = true;
        self
    }

    /// The file that a path leads to, where that is known from a moment ago.
    pub(crate) fn open_again(&self, tree: &dyn Tree, path: &TreePath) -> Option<Arc<dyn Blob>> {
        if self.root.is_some() {
            return None;
        }
        match self.base.is_root() {
            true => tree.open_again(path),
            false => tree.open_again(&self.base.join(path).ok()?),
        }
    }

    /// Walks a path.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `LinkLoop`, `NameTooLong` (also for a canonical path beyond
    /// [`TreePath::LEN_MAX`]), `InvalidName` (a link's target with a NUL), and what the tree's
    /// methods give. The error names the path that was asked for.
    pub async fn resolve(&self, tree: &dyn Tree, path: &TreePath) -> Result<Resolved> {
        let located = |error: Error| error.at(path);
        let literal = self.base.join(path).map_err(|kind| located(kind.into()))?;
        let error = match self.walk_steadily(tree, &literal).await {
            Ok(resolved) => return Ok(resolved),
            Err(error) => error,
        };
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
            && !self.root_path.is_root()
            && let Some(rest) = path.strip_prefix(&self.root_path)
        {
            // An administrator's path may go through the base or beside it.
            let inner = match rest.strip_prefix(&self.base) {
                Some(below) => self.base.join(&below),
                None => self.base.join(&rest),
            };
            let inner = inner.map_err(|kind| located(kind.into()))?;
            return self.walk_steadily(tree, &inner).await.map_err(located);
        }
        Err(located(error))
    }

    /// Walks again where something was moved away during the walk.
    async fn walk_steadily(&self, tree: &dyn Tree, path: &TreePath) -> Result<Resolved> {
        let mut walks = 1;
        loop {
            match self.walk(tree, path).await {
                Err(error) if error.kind() == ErrorKind::Stale && walks < WALKS_MAX => walks += 1,
                done => return done,
            }
        }
    }

    async fn walk(&self, tree: &dyn Tree, path: &TreePath) -> Result<Resolved> {
        let root = self.root.unwrap_or_else(|| tree.root());
        // The directories really reached, each with its name; the last one is where we are.
        let mut reached: Vec<(NameBuf, NodeId)> = Vec::new();
        // What a lookup said of the last node, unless it is a directory reached by `..`.
        let mut last: Option<Attributes> = None;
        let mut parts = Parts::new(path);
        let mut links = 0;
        // How many of the directories reached are not left any more.
        let mut confined = 0;
        while let Some(part) = parts.next()? {
            let is_directory = last
                .as_ref()
                .is_none_or(|last| last.kind == NodeKind::Directory);
            if !is_directory {
                return Err(ErrorKind::NotADirectory.into());
            }
            let name = match &part[..] {
                b"" | b"." => continue,
                b".." => {
                    if reached.len() > confined {
                        reached.pop();
                    }
                    last = None;
                    continue;
                }
                name => NameBuf::from(Name::new(name)?),
            };
            let here = reached.last().map_or(root, |(_, node)| *node);
            let found = tree.lookup(here, &name).await?;
            if found.kind == NodeKind::Link && !(self.keeps_last_link && parts.is_empty()) {
                links += 1;
                if links > LINKS_MAX {
                    return Err(ErrorKind::LinkLoop.into());
                }
                match tree.read_link(found.node).await {
                    Ok(target) => {
                        if target.first() == Some(&b'/') {
                            reached.truncate(confined);
                            last = None;
                            parts.push(match confined {
                                0 => self.below_root(&target),
                                // Who made it never saw the root's own path.
                                _ => target,
                            });
                        } else if target.is_empty() {
                            // As Linux has it for links that other systems made.
                            return Err(ErrorKind::NotFound.into());
                        } else {
                            parts.push(target);
                        }
                    }
                    // Replaced between the two calls: it counts as a link, so this ends.
                    Err(error)
                        if matches!(error.kind(), ErrorKind::NotALink | ErrorKind::Stale) =>
                    {
                        parts.push(Bytes::copy_from_slice(name.as_bytes()));
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            reached.push((name, found.node));
            let is_entry = last.is_some_and(|dir| dir.confines_entries);
            if is_entry && confined == 0 {
                confined = reached.len();
            }
            last = Some(found);
        }
        let attributes = match last {
            Some(attributes) => attributes,
            None => {
                let node = reached.last().map_or(root, |(_, node)| *node);
                tree.attributes(node).await?
            }
        };
        Ok(Resolved {
            attributes,
            path: join(&reached)?,
        })
    }

    /// What is left of an absolute target when the root's own path is dropped.
    fn below_root(&self, target: &Bytes) -> Bytes {
        if self.root_path.is_root() {
            return target.clone();
        }
        // Compared name by name, as the target may have doubled slashes in it.
        let mut rest = 0;
        for name in self.root_path.names() {
            let skipped = target.get(rest..).unwrap_or_default();
            let slashes = skipped.iter().take_while(|&&byte| byte == b'/').count();
            let begin = rest + slashes;
            let end = begin + name.as_bytes().len();
            let ends_there = matches!(target.get(end), None | Some(b'/'));
            if slashes == 0 || target.get(begin..end) != Some(name.as_bytes()) || !ends_there {
                return target.clone();
            }
            rest = end;
        }
        target.slice(rest..)
    }
}

fn join(reached: &[(NameBuf, NodeId)]) -> Result<TreePath, ErrorKind> {
    let len = reached
        .iter()
        .map(|(name, _)| name.as_bytes().len() + 1)
        .sum();
    let mut joined = BytesMut::with_capacity(len);
    for (name, _) in reached {
        joined.put_u8(b'/');
        joined.put_slice(name.as_bytes());
    }
    TreePath::parse(&joined)
}

/// What is still to be walked: the rest of the path, beneath the targets of links met on it.
struct Parts {
    pending: Vec<Bytes>,
    taken: usize,
}

impl Parts {
    fn new(path: &TreePath) -> Self {
        Self {
            pending: match path.is_root() {
                true => Vec::new(),
                false => vec![Bytes::copy_from_slice(path.as_bytes())],
            },
            taken: 0,
        }
    }

    fn push(&mut self, target: Bytes) {
        self.pending.push(target);
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn next(&mut self) -> Result<Option<Bytes>, ErrorKind> {
        let Some(mut text) = self.pending.pop() else {
            return Ok(None);
        };
        self.taken += 1;
        if self.taken > PARTS_MAX {
            return Err(ErrorKind::LinkLoop);
        }
        match text.iter().position(|&byte| byte == b'/') {
            Some(slash) => {
                let part = text.split_to(slash);
                // Behind the slash an empty part may remain: `link/` asks for a directory.
                self.pending.push(text.split_off(1));
                Ok(Some(part))
            }
            None => Ok(Some(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cookie, DirPage, MemTree, NodeKey};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("a valid path")
    }

    /// Where a request leads: the canonical path, or the error.
    async fn leads(resolver: &Resolver, tree: &MemTree, asked: &str) -> Result<String, ErrorKind> {
        match resolver.resolve(tree, &path(asked)).await {
            Ok(resolved) => {
                // The canonical path leads there by names alone.
                let mut here = tree.root();
                for name in resolved.path.names() {
                    here = tree.lookup(here, name).await.expect("canonical").node;
                }
                assert_eq!(here, resolved.attributes.node);
                Ok(resolved.path.to_string())
            }
            Err(error) => {
                assert_eq!(
                    error.path(),
                    Some(&path(asked)),
                    "the error names the request"
                );
                Err(error.kind())
            }
        }
    }

    /// The tutorial's layout, with links as people make them.
    fn boot_tree() -> MemTree {
        let tree = MemTree::new();
        for file in [
            "os/debian/linux",
            "pxelinux.cfg/default",
            "bios/lpxelinux.0",
            "etc/passwd",
        ] {
            tree.insert_file(file, file.to_owned()).expect("free");
        }
        for (link, target) in [
            ("bios/os", "../os"),
            ("bios/pxelinux.cfg", "../pxelinux.cfg/"),
            ("efi/os", "/os"),
            ("efi/abs", "/srv/tftp//os/debian"),
            ("efi/abs_like", "/srv/tftpboot/os"),
            ("escape", "../../../../etc/passwd"),
            ("escape_abs", "/../../etc/passwd"),
            ("a/b/up", "../.."),
            ("through", "bios/os/../pxelinux.cfg/default"),
            ("file_slash", "bios/lpxelinux.0/"),
            ("file_up", "bios/lpxelinux.0/../lpxelinux.0"),
            ("dangling", "nowhere/at/all"),
            ("self", "self"),
            ("ping", "pong"),
            ("pong", "ping"),
            ("empty", ""),
            ("root", "/"),
            ("nul", "a\0b"),
        ] {
            tree.insert_link(link, target).expect("free");
        }
        tree
    }

    #[tokio::test]
    async fn links_lead_where_a_chroot_would_lead() {
        let (tree, resolver) = (boot_tree(), Resolver::new());
        for (asked, found) in [
            ("", "/"),
            ("bios/os/debian/linux", "/os/debian/linux"),
            ("bios/pxelinux.cfg/default", "/pxelinux.cfg/default"),
            ("efi/os/debian", "/os/debian"),
            ("escape", "/etc/passwd"),
            ("escape_abs", "/etc/passwd"),
            ("a/b/up/os", "/os"),
            ("root/root/root/os", "/os"),
            // `..` is the parent of the directory really reached (/os), not of the link's place.
            ("through", "/pxelinux.cfg/default"),
        ] {
            assert_eq!(
                leads(&resolver, &tree, asked).await,
                Ok(found.into()),
                "{asked}"
            );
        }
    }

    #[tokio::test]
    async fn links_that_lead_nowhere_say_why() {
        let (tree, resolver) = (boot_tree(), Resolver::new());
        for (asked, error) in [
            ("dangling", ErrorKind::NotFound),
            ("empty", ErrorKind::NotFound),
            ("self", ErrorKind::LinkLoop),
            ("ping", ErrorKind::LinkLoop),
            ("self/x", ErrorKind::LinkLoop),
            ("file_slash", ErrorKind::NotADirectory),
            ("file_up", ErrorKind::NotADirectory),
            ("bios/lpxelinux.0/x", ErrorKind::NotADirectory),
            ("efi/abs", ErrorKind::NotFound),
            ("nul", ErrorKind::InvalidName),
        ] {
            assert_eq!(leads(&resolver, &tree, asked).await, Err(error), "{asked}");
        }
    }

    #[tokio::test]
    async fn the_roots_own_path_is_dropped() {
        let tree = boot_tree();
        let resolver = Resolver::new().with_root_path(path("/srv/tftp"));
        for (asked, found) in [
            ("efi/abs/linux", Ok("/os/debian/linux")),
            ("efi/abs_like", Err(ErrorKind::NotFound)),
            ("srv/tftp", Ok("/")),
            ("srv/tftp/bios/os/debian", Ok("/os/debian")),
            ("srv/tftp/srv/tftp/os", Err(ErrorKind::NotFound)),
            ("srv/tftpboot/os", Err(ErrorKind::NotFound)),
            ("os", Ok("/os")),
        ] {
            let found = found.map(str::to_owned);
            assert_eq!(leads(&resolver, &tree, asked).await, found, "{asked}");
        }
    }

    #[tokio::test]
    async fn a_request_is_tried_as_it_is_before_the_roots_path_is_dropped() {
        let tree = boot_tree();
        tree.insert_file("srv/tftp/os/inner", "").expect("free");
        let resolver = Resolver::new().with_root_path(path("/srv/tftp"));
        for (asked, found) in [
            ("srv/tftp/os/inner", "/srv/tftp/os/inner"),
            ("srv/tftp/os/debian/linux", "/os/debian/linux"),
            ("srv/tftp/srv/tftp/os/inner", "/srv/tftp/os/inner"),
            // Who made the link saw the whole file system.
            ("efi/abs/linux", "/os/debian/linux"),
        ] {
            assert_eq!(
                leads(&resolver, &tree, asked).await,
                Ok(found.into()),
                "{asked}"
            );
        }
    }

    #[tokio::test]
    async fn a_base_confines_requests_but_not_links() {
        let tree = boot_tree();
        tree.insert_link("os/config", "../pxelinux.cfg")
            .expect("free");
        let resolver = Resolver::new()
            .with_base(path("os"))
            .with_root_path(path("/srv/tftp"));
        for (asked, found) in [
            ("", Ok("/os")),
            ("debian/linux", Ok("/os/debian/linux")),
            ("../bios/lpxelinux.0", Err(ErrorKind::NotFound)),
            ("config/default", Ok("/pxelinux.cfg/default")),
            ("srv/tftp/os/debian", Ok("/os/debian")),
            ("srv/tftp/debian", Ok("/os/debian")),
            ("srv/tftp/bios", Err(ErrorKind::NotFound)),
        ] {
            let found = found.map(str::to_owned);
            assert_eq!(leads(&resolver, &tree, asked).await, found, "{asked}");
        }
    }

    #[tokio::test]
    async fn the_last_link_can_be_kept() {
        let (tree, resolver) = (boot_tree(), Resolver::new().keeping_last_link());
        for (asked, found) in [
            ("self", "/self"),
            ("bios/os", "/bios/os"),
            ("bios/os/debian", "/os/debian"),
            ("dangling", "/dangling"),
        ] {
            assert_eq!(
                leads(&resolver, &tree, asked).await,
                Ok(found.into()),
                "{asked}"
            );
        }
    }

    #[tokio::test]
    async fn forty_links_are_followed_and_no_more() {
        let tree = MemTree::new();
        tree.insert_file("end", "").expect("free");
        tree.insert_link("link1", "end").expect("free");
        for number in 2..=LINKS_MAX + 1 {
            let target = format!("link{}", number - 1);
            tree.insert_link(format!("link{number}"), target)
                .expect("free");
        }
        let resolver = Resolver::new();
        assert_eq!(leads(&resolver, &tree, "link40").await, Ok("/end".into()));
        assert_eq!(
            leads(&resolver, &tree, "link41").await,
            Err(ErrorKind::LinkLoop)
        );
    }

    /// Each link doubles the work of the one before it.
    #[tokio::test]
    async fn links_that_multiply_end() {
        let tree = MemTree::new();
        tree.insert_dir("d").expect("free");
        let long = "d/../".repeat(800);
        for number in 1..40 {
            let next = format!("{long}link{}", number + 1);
            tree.insert_link(format!("link{number}"), next)
                .expect("free");
        }
        let resolver = Resolver::new();
        assert_eq!(
            leads(&resolver, &tree, "link1").await,
            Err(ErrorKind::LinkLoop)
        );
    }

    #[tokio::test]
    async fn the_deepest_path_that_can_be_asked_for_is_walked() {
        let tree = MemTree::new();
        let deep = "d/".repeat(2048);
        tree.insert_dir(&deep).expect("free");
        let resolver = Resolver::new();
        let found = leads(&resolver, &tree, &deep).await.expect("there");
        assert_eq!(found.len(), 4096);
        // Deeper by a link: no canonical path could name it.
        tree.insert_link(format!("{}l", "d/".repeat(2047)), "d/x/y")
            .expect("free");
        tree.insert_file(format!("{}d/x", "d/".repeat(2046)), "")
            .expect("free");
        let short = "d/".repeat(2047);
        assert_eq!(
            leads(&resolver, &tree, &(short + "l")).await,
            Err(ErrorKind::NotFound)
        );
    }

    /// A tree whose `images` confines its entries.
    #[derive(Debug)]
    struct Confining(MemTree);

    #[async_trait::async_trait]
    impl Tree for Confining {
        fn root(&self) -> NodeId {
            self.0.root()
        }

        async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
            let mut found = self.0.lookup(dir, name).await?;
            found.confines_entries = dir == self.root() && name.as_bytes() == b"images";
            Ok(found)
        }

        async fn attributes(&self, node: NodeId) -> Result<Attributes> {
            self.0.attributes(node).await
        }

        async fn read_dir(&self, dir: NodeId, after: Cookie, max: usize) -> Result<DirPage> {
            self.0.read_dir(dir, after, max).await
        }

        async fn read_link(&self, node: NodeId) -> Result<Bytes> {
            self.0.read_link(node).await
        }

        async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
            self.0.open(node).await
        }

        fn key(&self, node: NodeId) -> Result<NodeKey> {
            self.0.key(node)
        }

        async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
            self.0.resolve_key(key).await
        }
    }

    #[tokio::test]
    async fn links_of_a_confined_entry_lead_nowhere_else() {
        let tree = MemTree::new();
        for file in ["images/a/x", "images/a/d/y", "images/b/z", "secret", "x"] {
            tree.insert_file(file, file).expect("free");
        }
        for (link, target) in [
            ("images/a/top", "/x"),
            ("images/a/d/up", "../../../../x"),
            ("images/a/out", "/secret"),
            ("images/a/beside", "../b/z"),
            ("images/a/root", "/"),
            ("images/a/seen", "/srv/tftp/secret"),
            ("os/a", "../images/a"),
            ("os/in", "/images/a/d/up"),
            ("os/back", "../images/a/../b/z"),
        ] {
            tree.insert_link(link, target).expect("free");
        }
        let tree = Confining(tree);
        let resolver = Resolver::new().with_root_path(path("/srv/tftp"));
        for (asked, found) in [
            ("images/a/top", Ok("/images/a/x")),
            ("images/a/d/up", Ok("/images/a/x")),
            ("images/a/root", Ok("/images/a")),
            ("images/a/root/d/y", Ok("/images/a/d/y")),
            ("os/a/top", Ok("/images/a/x")),
            ("os/a/out", Err(ErrorKind::NotFound)),
            ("os/in", Ok("/images/a/x")),
            ("images/a/out", Err(ErrorKind::NotFound)),
            ("images/a/beside", Err(ErrorKind::NotFound)),
            ("images/a/seen", Err(ErrorKind::NotFound)),
            ("os/back", Err(ErrorKind::NotFound)),
            ("images/b/z", Ok("/images/b/z")),
        ] {
            let leads = resolver.resolve(&tree, &path(asked)).await;
            let leads = leads.map(|found| found.path.to_string());
            let leads = leads.map_err(|error| error.kind());
            assert_eq!(leads, found.map(str::to_owned), "{asked}");
        }
    }

    #[tokio::test]
    async fn nothing_leads_out_of_a_root_within_the_tree() {
        let tree = MemTree::new();
        for file in ["os/debian/linux", "os/etc/passwd", "etc/passwd"] {
            tree.insert_file(file, file).expect("free");
        }
        for (link, target) in [
            ("os/up", "../etc/passwd"),
            ("os/top", "/etc/passwd"),
            ("os/seen", "/srv/os/debian"),
        ] {
            tree.insert_link(link, target).expect("free");
        }
        let os = resolve(&tree, &path("os")).await.expect("there");
        let resolver = Resolver::new()
            .with_root(os.attributes.node)
            .with_root_path(path("/srv/os"));
        for (asked, expected) in [
            ("up", "/etc/passwd"),
            ("top", "/etc/passwd"),
            ("seen/linux", "/debian/linux"),
            ("", "/"),
        ] {
            let found = resolver.resolve(&tree, &path(asked)).await.expect(asked);
            assert_eq!(found.path.to_string(), expected, "{asked}");
            let inner = path("os").join(&found.path).expect("short");
            let same = resolve(&tree, &inner).await.expect("there");
            assert_eq!(found.attributes.node, same.attributes.node, "{asked}");
        }
        let error = resolver.resolve(&tree, &path("os")).await;
        assert_eq!(error.expect_err("above it").kind(), ErrorKind::NotFound);
    }
}
