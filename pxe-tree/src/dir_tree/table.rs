//! Which node is which name of which directory.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;

use super::stat::Identity;
use crate::{ErrorKind, Name, NameBuf, NodeId};

pub(super) const ROOT: NodeId = NodeId::new(NonZeroU64::MIN);

/// A bounded table of nodes.
///
/// A node is forgotten when it was not used for long and no known node lies below it, so the way
/// up from every known node is always known. The order is that of a clock hand (second chance).
#[derive(Debug)]
pub(super) struct Table {
    nodes: HashMap<NodeId, Node>,
    by_name: HashMap<(NodeId, NameBuf), NodeId>,
    by_stamp: HashMap<Stamp, NodeId>,
    hand: VecDeque<NodeId>,
    last_id: u64,
    nodes_max: usize,
}

#[derive(Debug)]
struct Node {
    /// The directory and the name in it; `None` for the root.
    place: Option<(NodeId, NameBuf)>,
    identity: Identity,
    stamp: Stamp,
    /// The hints of its keys, if they are not those of the directories above it: a key stays as it
    /// is when its node is moved, and is the same for all names of a file.
    hints: Option<Box<[u8]>>,
    children: u32,
    used: bool,
}

/// What a node's key says of the node alone: equal for the same file after a restart.
pub(super) type Stamp = [u8; 16];

/// How to find a node, and how to know it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The names from the root, joined by slashes.
    pub(super) path: Vec<u8>,
    pub(super) identity: Identity,
}

impl Table {
    pub(super) fn new(root: Identity, stamp: Stamp, nodes_max: usize) -> Self {
        let node = Node {
            place: None,
            identity: root,
            stamp,
            hints: None,
            children: 0,
            used: true,
        };
        Self {
            nodes: HashMap::from([(ROOT, node)]),
            by_name: HashMap::new(),
            by_stamp: HashMap::from([(stamp, ROOT)]),
            hand: VecDeque::new(),
            last_id: ROOT.get().get(),
            nodes_max,
        }
    }

    /// The node of this name, made or found; another file under the same name is another node.
    ///
    /// # Errors
    /// `Stale` if the directory is not known any more, `Busy` if nothing can be forgotten.
    pub(super) fn intern(
        &mut self,
        dir: NodeId,
        name: &Name,
        identity: Identity,
        stamp: Stamp,
    ) -> Result<NodeId, ErrorKind> {
        let place = (dir, name.to_buf());
        if let Some(id) = self.by_name.get(&place).copied()
            && let Some(node) = self.nodes.get_mut(&id)
            && node.identity == identity
        {
            node.used = true;
            // Where a path is part of it, a node that was moved has its first one still.
            self.by_stamp.insert(node.stamp, id);
            return Ok(id);
        }
        // Counted as a child before room is made, so that making room cannot forget the parent.
        let parent = self.nodes.get_mut(&dir).ok_or(ErrorKind::Stale)?;
        parent.children += 1;
        if self.nodes.len() >= self.nodes_max && !self.forget_one() {
            if let Some(parent) = self.nodes.get_mut(&dir) {
                parent.children -= 1;
            }
            return Err(ErrorKind::Busy);
        }
        self.last_id += 1;
        let id = NodeId::new(NonZeroU64::new(self.last_id).ok_or(ErrorKind::Busy)?);
        self.by_name.insert(place.clone(), id);
        self.by_stamp.insert(stamp, id);
        self.hand.push_back(id);
        let node = Node {
            place: Some(place),
            identity,
            stamp,
            hints: None,
            children: 0,
            used: false,
        };
        self.nodes.insert(id, node);
        Ok(id)
    }

    fn forget_one(&mut self) -> bool {
        // Twice around: the first time takes away second chances.
        for _ in 0..2 * self.hand.len() {
            let Some(id) = self.hand.pop_front() else {
                return false;
            };
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            if node.children > 0 || node.used {
                node.used = false;
                self.hand.push_back(id);
                continue;
            }
            self.forget(id);
            return true;
        }
        false
    }

    fn forget(&mut self, id: NodeId) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        if self.by_stamp.get(&node.stamp) == Some(&id) {
            self.by_stamp.remove(&node.stamp);
        }
        let Some(place) = node.place else { return };
        if self.by_name.get(&place) == Some(&id) {
            self.by_name.remove(&place);
        }
        if let Some(parent) = self.nodes.get_mut(&place.0) {
            parent.children -= 1;
        }
    }

    /// Where a node is to be found.
    pub(super) fn place(&mut self, id: NodeId) -> Result<Place, ErrorKind> {
        let node = self.nodes.get_mut(&id).ok_or(ErrorKind::Stale)?;
        node.used = true;
        let identity = node.identity;
        let mut names = Vec::new();
        self.climb(id, |name, _| names.push(name));
        let mut path = Vec::new();
        for name in names.iter().rev() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
        }
        Ok(Place { path, identity })
    }

    /// The hints of a node's keys: one for each directory between the root and the node.
    pub(super) fn hints(&self, id: NodeId, hint: impl Fn(&Name, &Identity) -> u8) -> Vec<u8> {
        let mut hints = Vec::new();
        let mut here = id;
        while let Some(node) = self.nodes.get(&here) {
            if let Some(kept) = &node.hints {
                hints.extend(kept.iter().rev());
                break;
            }
            let Some((dir, _)) = &node.place else { break };
            here = *dir;
            if let Some(above) = self.nodes.get(dir)
                && let Some((_, name)) = &above.place
            {
                hints.push(hint(name, &above.identity));
            }
        }
        hints.reverse();
        hints
    }

    /// Notes that a node has another name now, by which its keys are not to change.
    pub(super) fn moved(
        &mut self,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
        identity: Identity,
        hint: impl Fn(&Name, &Identity) -> u8,
    ) {
        let is_same_file = |node: &Node| node.identity == identity;
        let (old_place, new_place) = ((from.0, from.1.to_buf()), (to.0, to.1.to_buf()));
        let Some(id) = self.by_name.remove(&old_place) else {
            return;
        };
        // A directory that is below itself is none of the kernel's; it may be what is left of an
        // older change that was noted later.
        let goes_round = self.is_below(to.0, id);
        if !self.nodes.get(&id).is_some_and(is_same_file) || goes_round {
            return;
        }
        let kept = (from.0 != to.0).then(|| self.hints(id, hint).into_boxed_slice());
        let Some(above) = self.nodes.get_mut(&to.0) else {
            return;
        };
        above.children += 1;
        if let Some(above) = self.nodes.get_mut(&from.0) {
            above.children -= 1;
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.place = Some(new_place.clone());
            node.hints = kept.or(node.hints.take());
        }
        self.by_name.insert(new_place, id);
    }

    /// Notes that a node is another name of a file, so that both have the same keys.
    pub(super) fn linked(
        &mut self,
        id: NodeId,
        first: NodeId,
        hint: impl Fn(&Name, &Identity) -> u8,
    ) {
        let hints = self.hints(first, hint);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.hints = Some(hints.into_boxed_slice());
        }
    }

    /// Notes that a name is gone. Of a file that `has_others`, another known name is found by its
    /// keys from now on.
    pub(super) fn removed(&mut self, dir: NodeId, name: &Name, has_others: bool) {
        let Some(id) = self.by_name.remove(&(dir, name.to_buf())) else {
            return;
        };
        // The node itself stays until the hand comes to it, which counts all there are.
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.used = false;
        let stamp = node.stamp;
        if self.by_stamp.get(&stamp) != Some(&id) {
            return;
        }
        self.by_stamp.remove(&stamp);
        if has_others {
            let named = |(other, node): &(&NodeId, &Node)| {
                **other != id
                    && node.stamp == stamp
                    && (node.place.as_ref())
                        .is_some_and(|place| self.by_name.get(place) == Some(*other))
            };
            if let Some((other, _)) = self.nodes.iter().find(named) {
                self.by_stamp.insert(stamp, *other);
            }
        }
    }

    fn is_below(&self, id: NodeId, above: NodeId) -> bool {
        let mut here = Some(id);
        while let Some(node) = here {
            if node == above {
                return true;
            }
            here = (self.nodes.get(&node)).and_then(|node| Some(node.place.as_ref()?.0));
        }
        false
    }

    fn climb(&self, id: NodeId, mut see: impl FnMut(NameBuf, Identity)) {
        let mut here = id;
        while let Some(node) = self.nodes.get(&here)
            && let Some((dir, name)) = &node.place
        {
            see(name.clone(), node.identity);
            here = *dir;
        }
    }

    /// The node of this stamp that was used last under a name of its own.
    pub(super) fn stamped(&self, stamp: Stamp) -> Option<NodeId> {
        self.by_stamp.get(&stamp).copied()
    }

    pub(super) fn stamp(&self, id: NodeId) -> Result<Stamp, ErrorKind> {
        self.nodes
            .get(&id)
            .map(|node| node.stamp)
            .ok_or(ErrorKind::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ino: u64) -> Identity {
        Identity {
            dev: (0, 1),
            ino,
            birth: None,
        }
    }

    fn stamp(number: u64) -> Stamp {
        u128::from(number).to_le_bytes()
    }

    fn name(number: u64) -> NameBuf {
        NameBuf::new(format!("n{number}")).expect("valid")
    }

    #[test]
    fn the_table_is_bounded_and_knows_the_way_up() {
        let mut table = Table::new(identity(1), stamp(1), 10);
        let dir = table
            .intern(ROOT, &name(2), identity(2), stamp(2))
            .expect("room");
        let deep = table
            .intern(dir, &name(3), identity(3), stamp(3))
            .expect("room");
        for number in 100..1000 {
            table.place(deep).expect("in use, so never forgotten");
            table
                .intern(ROOT, &name(number), identity(number), stamp(number))
                .expect("room is made");
            assert!(table.nodes.len() <= 10);
            assert!(table.by_name.len() < 10 && table.by_stamp.len() <= 10);
            assert!(table.hand.len() < 10);
        }
        assert_eq!(table.place(deep).expect("kept").path, b"n2/n3");
        table.place(ROOT).expect("never forgotten");
    }

    #[test]
    fn a_chain_too_long_for_the_table_is_refused() {
        let mut table = Table::new(identity(1), stamp(1), 5);
        let mut here = ROOT;
        for number in 2..6 {
            here = table
                .intern(here, &name(number), identity(number), stamp(number))
                .expect("room");
        }
        assert_eq!(
            table.intern(here, &name(6), identity(6), stamp(6)),
            Err(ErrorKind::Busy)
        );
        // Not counted as a child: the last one can be forgotten, and room is made elsewhere.
        table
            .intern(ROOT, &name(7), identity(7), stamp(7))
            .expect("room is made");
        assert_eq!(table.place(here).err(), Some(ErrorKind::Stale));
    }

    #[test]
    fn another_file_of_the_same_name_is_another_node() {
        let mut table = Table::new(identity(1), stamp(1), 10);
        let old = table
            .intern(ROOT, &name(2), identity(2), stamp(2))
            .expect("room");
        let new = table
            .intern(ROOT, &name(2), identity(3), stamp(3))
            .expect("room");
        assert_ne!(old, new);
        assert_eq!(table.intern(ROOT, &name(2), identity(3), stamp(3)), Ok(new));
        assert_eq!(table.place(old).expect("known").identity, identity(2));
    }
}
