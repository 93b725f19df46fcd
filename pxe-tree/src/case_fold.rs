//! Names in whatever case they are asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::listing_cache::{ListingCache, Turn, list};
use crate::{
    Attributes, Blob, Capacity, Cookie, DirPage, ErrorKind, ListedPage, Name, NameBuf, NodeId,
    NodeKey, Result, Tree, TreePath,
};

/// A tree whose names are found in upper and lower case: Windows' boot manager asks for
/// `\Boot\BCD` where the medium has `boot/bcd`, and so do DOS-born loaders.
///
/// The name as it was asked for comes first. If it is absent and exactly one entry of the
/// directory differs from it in case alone, that is the answer; if there are several, none is.
/// Case is ASCII's and that of Unicode's characters with a single counterpart (simple folding);
/// bytes that are not UTF-8 only equal themselves.
///
/// The entries of up to 64 directories are remembered until the directory's change stamp differs.
/// A directory of more than 1,048,576 entries has exact names only.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use pxe_tree::{CaseFold, MemTree, TreePath, resolve};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> pxe_tree::Result<()> {
/// let files = MemTree::new();
/// files.insert_file("boot/bcd", "...")?;
/// let tree = CaseFold::new(Arc::new(files));
/// let found = resolve(&tree, &TreePath::from_tftp(b"\\Boot\\BCD")?).await?;
/// assert_eq!(found.attributes.len, 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CaseFold {
    inner: Arc<dyn Tree>,
    indices: ListingCache<Index>,
}

/// The one name behind each folded name, or `None` where there are several.
type Index = HashMap<Box<[u8]>, Option<NameBuf>>;

impl CaseFold {
    /// This tree, in whatever case.
    pub fn new(inner: Arc<dyn Tree>) -> Self {
        Self {
            inner,
            indices: ListingCache::default(),
        }
    }

    async fn index(&self, dir: NodeId) -> Result<Arc<Index>> {
        // Before the listing: a change in between then shows in the stamp the next time.
        let attributes = self.inner.attributes(dir).await?;
        let _maker = match self.indices.turn(&attributes).await {
            Turn::Made(index) => return Ok(index),
            Turn::Make(maker) => maker,
        };
        let entries = list(&*self.inner, dir).await?;
        let count = entries.len();
        let mut index = Index::with_capacity(count);
        for entry in entries {
            match index.entry(fold(&entry.name)) {
                Entry::Vacant(place) => {
                    place.insert(Some(entry.name));
                }
                Entry::Occupied(mut place) => {
                    // The same name twice is a directory that changes while it is listed.
                    if place.get().as_ref() != Some(&entry.name) {
                        place.insert(None);
                    }
                }
            }
        }
        let index = Arc::new(index);
        self.indices.put(&attributes, count, Arc::clone(&index));
        Ok(index)
    }
}

fn fold(name: &Name) -> Box<[u8]> {
    let bytes = name.as_bytes();
    if bytes.is_ascii() {
        return bytes.to_ascii_lowercase().into();
    }
    let mut folded = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let folded_character =
                simple(simple(character, char::to_uppercase), char::to_lowercase);
            folded.extend_from_slice(folded_character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        folded.extend_from_slice(chunk.invalid());
    }
    folded.into()
}

/// The counterpart of a character if it is a single one.
fn simple<I: Iterator<Item = char>>(character: char, counterparts: impl Fn(char) -> I) -> char {
    let mut counterparts = counterparts(character);
    match (counterparts.next(), counterparts.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

#[async_trait]
impl Tree for CaseFold {
    fn root(&self) -> NodeId {
        self.inner.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        let absent = match self.inner.lookup(dir, name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            done => return done,
        };
        let index = match self.index(dir).await {
            Ok(index) => index,
            // It cannot be listed, or not as a whole: then exact names are all there is.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported
                ) =>
            {
                return Err(absent);
            }
            Err(error) => return Err(error),
        };
        match index.get(&fold(name)) {
            Some(Some(meant)) if **meant != *name => self.inner.lookup(dir, meant).await,
            _ => Err(absent),
        }
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.inner.attributes(node).await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.inner.read_dir(dir, after, entries_max).await
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.inner.read_link(node).await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        self.inner.open(node).await
    }

    fn open_again(&self, path: &TreePath) -> Option<Arc<dyn Blob>> {
        // Names as they were asked for come first.
        self.inner.open_again(path)
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        self.inner.key(node)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        self.inner.resolve_key(key).await
    }

    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        self.inner.attributes_of_key(key).await
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        self.inner.parent(dir).await
    }

    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        self.inner
            .read_dir_attributes(dir, after, entries_max)
            .await
    }

    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        self.inner.capacity(node).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemTree;

    async fn found(tree: &CaseFold, name: &[u8]) -> Result<Bytes, ErrorKind> {
        let name = Name::new(name)?;
        let found = tree.lookup(tree.root(), name).await;
        let node = found.map_err(|error| error.kind())?.node;
        let blob = tree.open(node).await.expect("a file");
        Ok(blob.read_at(0, 100).await.expect("in memory"))
    }

    #[tokio::test]
    async fn exact_names_first_then_the_only_other_one() {
        let files = Arc::new(MemTree::new());
        for name in ["bcd", "README", "readme", "Größe", "straße"] {
            files.insert_file(name, name.to_owned()).expect("free");
        }
        files.insert_file(b"\xff\xe4", "raw").expect("free");
        let tree = CaseFold::new(Arc::clone(&files) as Arc<dyn Tree>);
        for (asked, expected) in [
            ("BCD", Ok("bcd")),
            ("bcd", Ok("bcd")),
            ("README", Ok("README")),
            ("readme", Ok("readme")),
            ("ReadMe", Err(ErrorKind::NotFound)),
            ("GRÖSSE", Err(ErrorKind::NotFound)),
            ("grÖßE", Ok("Größe")),
            ("STRAßE", Ok("straße")),
            ("bcd2", Err(ErrorKind::NotFound)),
        ] {
            let expected = expected.map(Bytes::from);
            assert_eq!(found(&tree, asked.as_bytes()).await, expected, "{asked}");
        }
        assert_eq!(found(&tree, b"\xff\xc4").await, Err(ErrorKind::NotFound));
        assert_eq!(found(&tree, b"\xff\xe4").await, Ok("raw".into()));
    }

    #[tokio::test]
    async fn what_was_learnt_is_forgotten_when_the_directory_changes() {
        let files = Arc::new(MemTree::new());
        files.insert_file("one", "1").expect("free");
        let tree = CaseFold::new(Arc::clone(&files) as Arc<dyn Tree>);
        assert_eq!(found(&tree, b"ONE").await, Ok("1".into()));
        assert_eq!(found(&tree, b"TWO").await, Err(ErrorKind::NotFound));
        files.insert_file("two", "2").expect("free");
        assert_eq!(found(&tree, b"TWO").await, Ok("2".into()));
        files.remove("one").expect("there");
        assert_eq!(found(&tree, b"ONE").await, Err(ErrorKind::NotFound));
        files.insert_file("oNE", "3").expect("free");
        assert_eq!(found(&tree, b"ONE").await, Ok("3".into()));
    }
}
