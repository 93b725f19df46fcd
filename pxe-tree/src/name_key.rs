//! Keys made of a path, for trees without numbers of their own.

use crate::listing_cache::list;
use crate::stable_hash::{StableHasher, domain};
use crate::{ErrorKind, Name, NodeId, NodeKey, NodeKind, Result, Tree, TreePath};

/// How many entries are looked at to find a key's node.
const SEARCH_ENTRIES_MAX: usize = 1 << 20;

/// The hash that stands for a path.
pub(crate) type PathHash = [u8; 16];

pub(crate) fn hash(path: &TreePath) -> PathHash {
    StableHasher::new(domain::NAME_KEY)
        .part(path.as_bytes())
        .finish128()
}

fn hint(name: &Name) -> u8 {
    StableHasher::new(domain::HINT)
        .part(name.as_bytes())
        .finish8()
}

/// A tag, the hash of the path, and a byte for each directory above it.
///
/// # Errors
/// `Unsupported` if the path has too many names.
pub(crate) fn encode(tag: u8, path: &TreePath) -> Result<NodeKey, ErrorKind> {
    let mut key = vec![tag];
    key.extend_from_slice(&hash(path));
    if let Some(parent) = path.parent() {
        key.extend(parent.names().map(hint));
    }
    NodeKey::new(&key).map_err(|_| ErrorKind::Unsupported)
}

/// The hash and the hints of such a key.
pub(crate) fn decode(tag: u8, key: &[u8]) -> Result<(PathHash, &[u8]), ErrorKind> {
    match key.split_first() {
        Some((first, rest)) if *first == tag => {
            let (hash, hints) = rest.split_first_chunk().ok_or(ErrorKind::BadKey)?;
            Ok((*hash, hints))
        }
        _ => Err(ErrorKind::BadKey),
    }
}

/// The directory of a key, found by the names on the way.
pub(crate) async fn find_dir(
    tree: &dyn Tree,
    wanted: PathHash,
    hints: &[u8],
) -> Result<Option<NodeId>> {
    if hash(&TreePath::ROOT) == wanted {
        return Ok(Some(tree.root()));
    }
    let mut entries_left = SEARCH_ENTRIES_MAX;
    let mut pending = vec![(tree.root(), TreePath::ROOT, hints)];
    while let Some((dir, path, hints)) = pending.pop() {
        let entries = match list(tree, dir).await {
            Ok(entries) => entries,
            // Gone, or hidden from us: it is not found there.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Stale | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        entries_left = match entries_left.checked_sub(entries.len()) {
            Some(left) => left,
            None => return Ok(None),
        };
        for entry in entries {
            if entry.kind != NodeKind::Directory {
                continue;
            }
            let below = path.child(&entry.name)?;
            let fits = match hints.first() {
                None => hash(&below) == wanted,
                Some(expected) => hint(&entry.name) == *expected,
            };
            if !fits {
                continue;
            }
            match (tree.lookup(dir, &entry.name).await, hints.split_first()) {
                (Ok(found), None) if found.kind == NodeKind::Directory => {
                    return Ok(Some(found.node));
                }
                (Ok(found), Some((_, rest))) => pending.push((found.node, below, rest)),
                (Ok(_), None) => {}
                (Err(error), _) if error.kind() == ErrorKind::NotFound => {}
                (Err(error), _) => return Err(error),
            }
        }
    }
    Ok(None)
}
