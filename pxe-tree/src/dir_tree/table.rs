//! Which node is which name of which directory.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::DirKeys;
use super::keys;
use super::recency::Moment;
use super::stat::Identity;
use crate::{Attributes, ErrorKind, Name, NameBuf, NodeId, NodeKey};

pub(super) const ROOT: NodeId = NodeId::new(NonZeroU64::MIN);

/// A bounded table of nodes.
///
/// A node is forgotten when it was not used for long and no known node lies below it, so the way
/// up from every known node is always known. The order is that of a clock hand (second chance).
#[derive(Debug)]
pub(super) struct Table {
    /// The root's is the first. A slot is used again under another generation, so that the id of
    /// a forgotten node stays unknown.
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_stamp: HashMap<Stamp, NodeId>,
    hand: usize,
    nodes_max: usize,
    keys: DirKeys,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    node: Option<Node>,
}

#[derive(Debug)]
struct Node {
    /// The directory and the name in it; `None` for the root.
    place: Option<(NodeId, NameBuf)>,
    identity: Identity,
    stamp: Stamp,
    /// What it adds to the keys of what lies below it.
    hint: u8,
    /// The hints of its keys, if they are not those of the directories above it: a key stays as it
    /// is when its node is moved, and is the same for all names of a file.
    hints: Option<Box<[u8]>>,
    /// Known nodes below it; more than `by_name` has where a name's file was replaced.
    children: u32,
    by_name: HashMap<NameBuf, NodeId>,
    used: bool,
    /// When the kernel had it in its caches.
    seen: Option<Moment>,
    /// When its path was walked, and led to this directory.
    walked: Option<Moment>,
    /// What a directory was, and when.
    recent: Option<Box<(Moment, Attributes)>>,
}

/// What a node's key says of the node alone: equal for the same file after a restart.
pub(super) type Stamp = [u8; 16];

/// How to find a node, and how to know it.
#[derive(Debug)]
pub(super) struct Place {
    /// The names from the root, joined by slashes.
    pub(super) path: Vec<u8>,
    pub(super) identity: Identity,
    pub(super) seen: Option<Moment>,
    pub(super) walked: Option<Moment>,
    /// The directory above; `None` for the root.
    pub(super) dir: Option<Above>,
}

/// The directory above a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Above {
    pub(super) node: NodeId,
    pub(super) identity: Identity,
    pub(super) walked: Option<Moment>,
}

/// What is known under a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) node: NodeId,
    pub(super) identity: Identity,
    pub(super) seen: Option<Moment>,
}

impl Table {
    pub(super) fn new(root: Identity, stamp: Stamp, nodes_max: usize, keys: DirKeys) -> Self {
        let node = Node {
            place: None,
            identity: root,
            stamp,
            hint: 0,
            hints: None,
            children: 0,
            by_name: HashMap::new(),
            used: true,
            seen: None,
            walked: None,
            recent: None,
        };
        let slot = Slot {
            generation: 0,
            node: Some(node),
        };
        Self {
            slots: vec![slot],
            free: Vec::new(),
            by_stamp: HashMap::from([(stamp, ROOT)]),
            hand: 0,
            nodes_max: nodes_max.min(SLOTS_MAX),
            keys,
        }
    }

    fn get(&self, id: NodeId) -> Option<&Node> {
        let (place, generation) = parts(id)?;
        let slot = self.slots.get(place)?;
        slot.node.as_ref().filter(|_| slot.generation == generation)
    }

    fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        let (place, generation) = parts(id)?;
        let slot = self.slots.get_mut(place)?;
        slot.node.as_mut().filter(|_| slot.generation == generation)
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
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
        if let Some(known) = self.child(dir, name)
            && known.identity == identity
        {
            // Where a path is part of it, a node that was moved has its first one still.
            let stamp = self.stamp(known.node)?;
            self.by_stamp.insert(stamp, known.node);
            return Ok(known.node);
        }
        // Counted as a child before room is made, so that making room cannot forget the parent.
        let parent = self.get_mut(dir).ok_or(ErrorKind::Stale)?;
        parent.children += 1;
        let Some(id) = self.room() else {
            if let Some(parent) = self.get_mut(dir) {
                parent.children -= 1;
            }
            return Err(ErrorKind::Busy);
        };
        let name = name.to_buf();
        if let Some(parent) = self.get_mut(dir) {
            parent.by_name.insert(name.clone(), id);
        }
        self.by_stamp.insert(stamp, id);
        let node = Node {
            hint: keys::hint_of(self.keys, &name, identity.ino),
            place: Some((dir, name)),
            identity,
            stamp,
            hints: None,
            children: 0,
            by_name: HashMap::new(),
            used: false,
            seen: None,
            walked: None,
            recent: None,
        };
        if let Some((place, _)) = parts(id)
            && let Some(slot) = self.slots.get_mut(place)
        {
            slot.node = Some(node);
        }
        Ok(id)
    }

    /// An id for one more node.
    fn room(&mut self) -> Option<NodeId> {
        if self.len() >= self.nodes_max && !self.forget_one() {
            return None;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    node: None,
                });
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        let place = usize::try_from(place).ok()?;
        id_of(place, self.slots.get(place)?.generation)
    }

    fn forget_one(&mut self) -> bool {
        // Twice around: the first time takes away second chances.
        for _ in 0..2 * self.slots.len() {
            self.hand = match self.hand + 1 {
                next if next < self.slots.len() => next,
                // Not the root.
                _ => 1,
            };
            let Some(slot) = self.slots.get_mut(self.hand) else {
                return false;
            };
            let Some(node) = &mut slot.node else { continue };
            if node.children > 0 || node.used {
                node.used = false;
                continue;
            }
            self.forget(self.hand);
            return true;
        }
        false
    }

    fn forget(&mut self, place: usize) {
        let Some(slot) = self.slots.get_mut(place) else {
            return;
        };
        let Some(node) = slot.node.take() else { return };
        let Some(id) = id_of(place, slot.generation) else {
            return;
        };
        // A slot whose generations are used up stays empty.
        if let Some(next) = slot.generation.checked_add(1)
            && let Ok(place) = u32::try_from(place)
        {
            slot.generation = next;
            self.free.push(place);
        }
        if self.by_stamp.get(&node.stamp) == Some(&id) {
            self.by_stamp.remove(&node.stamp);
        }
        if let Some((dir, name)) = node.place {
            self.detach(id, dir, &name);
        }
    }

    /// Takes a node out of what is known of its directory.
    fn detach(&mut self, id: NodeId, dir: NodeId, name: &Name) {
        let Some(parent) = self.get_mut(dir) else {
            return;
        };
        parent.children -= 1;
        if parent.by_name.get(name) == Some(&id) {
            parent.by_name.remove(name);
        }
        if parent.by_name.is_empty() {
            parent.by_name = HashMap::new();
        }
    }

    /// Takes a name out of what is known of a directory.
    fn unname(&mut self, dir: NodeId, name: &Name) -> Option<NodeId> {
        self.get_mut(dir)?.by_name.remove(name)
    }

    /// Notes that a node has another name now, by which its keys are not to change.
    pub(super) fn moved(
        &mut self,
        (from_dir, from): (NodeId, &Name),
        (to_dir, to): (NodeId, &Name),
        identity: Identity,
    ) {
        let Some(id) = self.unname(from_dir, from) else {
            return;
        };
        let is_same_file = self.get(id).is_some_and(|node| node.identity == identity);
        // A directory that is below itself is none of the kernel's; it may be what is left of an
        // older change that was noted later.
        if !is_same_file || self.is_below(to_dir, id) {
            return;
        }
        let kept = (from_dir != to_dir).then(|| self.hints(id).into_boxed_slice());
        let to = to.to_buf();
        let Some(above) = self.get_mut(to_dir) else {
            return;
        };
        above.children += 1;
        above.by_name.insert(to.clone(), id);
        if let Some(above) = self.get_mut(from_dir) {
            above.children -= 1;
        }
        if let Some(node) = self.get_mut(id) {
            node.place = Some((to_dir, to));
            node.hints = kept.or(node.hints.take());
        }
    }

    /// Notes that a node is another name of a file, so that both have the same keys.
    pub(super) fn linked(&mut self, id: NodeId, first: NodeId) {
        let hints = self.hints(first);
        if let Some(node) = self.get_mut(id) {
            node.hints = Some(hints.into_boxed_slice());
        }
    }

    /// Notes that a name is gone. Of a file that `has_others`, another known name is found by its
    /// keys from now on.
    pub(super) fn removed(&mut self, dir: NodeId, name: &Name, has_others: bool) {
        let Some(id) = self.unname(dir, name) else {
            return;
        };
        // The node itself stays until the hand comes to it, which counts all there are.
        let Some(node) = self.get_mut(id) else {
            return;
        };
        node.used = false;
        let stamp = node.stamp;
        if self.by_stamp.get(&stamp) != Some(&id) {
            return;
        }
        self.by_stamp.remove(&stamp);
        if has_others && let Some(other) = self.other_name(stamp) {
            self.by_stamp.insert(stamp, other);
        }
    }

    /// A node of this stamp whose name is its own still.
    fn other_name(&self, stamp: Stamp) -> Option<NodeId> {
        self.slots.iter().enumerate().find_map(|(place, slot)| {
            let node = slot.node.as_ref().filter(|node| node.stamp == stamp)?;
            let id = id_of(place, slot.generation)?;
            let (dir, name) = node.place.as_ref()?;
            let named = self.get(*dir)?.by_name.get(name)?;
            (*named == id).then_some(id)
        })
    }

    fn is_below(&self, id: NodeId, above: NodeId) -> bool {
        let mut here = Some(id);
        while let Some(node) = here {
            if node == above {
                return true;
            }
            here = self.parent(node).ok().flatten();
        }
        false
    }

    /// What is known under a name of a directory.
    pub(super) fn child(&mut self, dir: NodeId, name: &Name) -> Option<Child> {
        let node = *self.get(dir)?.by_name.get(name)?;
        let known = self.get_mut(node)?;
        known.used = true;
        Some(Child {
            node,
            identity: known.identity,
            seen: known.seen,
        })
    }

    /// Where a node is to be found.
    pub(super) fn place(&mut self, id: NodeId, room: usize) -> Result<Place, ErrorKind> {
        let node = self.get_mut(id).ok_or(ErrorKind::Stale)?;
        node.used = true;
        let (identity, seen, walked) = (node.identity, node.seen, node.walked);
        let dir = self.get(id).and_then(|node| {
            let (dir, _) = node.place.as_ref()?;
            let above = self.get(*dir)?;
            Some(Above {
                node: *dir,
                identity: above.identity,
                walked: above.walked,
            })
        });
        let mut len = 0;
        self.climb(id, |name| len += name.as_bytes().len() + 1);
        let len = usize::saturating_sub(len, 1);
        let mut path = Vec::with_capacity(len + room);
        path.resize(len, b'/');
        let mut end = len;
        self.climb(id, |name| {
            let begin = end - name.as_bytes().len();
            path[begin..end].copy_from_slice(name.as_bytes());
            end = begin.saturating_sub(1);
        });
        Ok(Place {
            path,
            identity,
            seen,
            walked,
            dir,
        })
    }

    /// The hints of a node's keys: one for each directory between the root and the node.
    pub(super) fn hints(&self, id: NodeId) -> Vec<u8> {
        let mut hints = Vec::with_capacity(NodeKey::LEN_MAX);
        let mut here = id;
        while let Some(node) = self.get(here) {
            if let Some(kept) = &node.hints {
                hints.extend(kept.iter().rev());
                break;
            }
            let Some((dir, _)) = node.place.as_ref().filter(|(dir, _)| *dir != ROOT) else {
                break;
            };
            here = *dir;
            hints.extend(self.get(here).map(|above| above.hint));
        }
        hints.reverse();
        hints
    }

    fn climb(&self, id: NodeId, mut see: impl FnMut(&Name)) {
        let mut here = id;
        while let Some(node) = self.get(here)
            && let Some((dir, name)) = &node.place
        {
            see(name);
            here = *dir;
        }
    }

    /// The directory above a node; `None` for the root.
    pub(super) fn parent(&self, id: NodeId) -> Result<Option<NodeId>, ErrorKind> {
        let node = self.get(id).ok_or(ErrorKind::Stale)?;
        Ok(node.place.as_ref().map(|(dir, _)| *dir))
    }

    /// The kernel had a node in its caches.
    pub(super) fn saw(&mut self, id: NodeId, now: Moment) {
        if let Some(node) = self.get_mut(id) {
            node.seen = Some(now);
        }
    }

    /// A directory's path was walked, and led to it.
    pub(super) fn walked(&mut self, id: NodeId, now: Moment) {
        if let Some(node) = self.get_mut(id) {
            node.walked = Some(now);
        }
    }

    /// What a directory was when it was looked at last, and when that was.
    pub(super) fn recent(&self, id: NodeId) -> Option<&(Moment, Attributes)> {
        self.get(id)?.recent.as_deref()
    }

    /// A directory was looked at.
    pub(super) fn set_recent(&mut self, id: NodeId, recent: (Moment, Attributes)) {
        if let Some(node) = self.get_mut(id) {
            match &mut node.recent {
                Some(known) => **known = recent,
                known => *known = Some(Box::new(recent)),
            }
        }
    }

    /// The node of this stamp that was used last under a name of its own.
    pub(super) fn stamped(&self, stamp: Stamp) -> Option<NodeId> {
        self.by_stamp.get(&stamp).copied()
    }

    pub(super) fn stamp(&self, id: NodeId) -> Result<Stamp, ErrorKind> {
        self.get(id).map(|node| node.stamp).ok_or(ErrorKind::Stale)
    }
}

/// As many nodes as the lower half of an id can count.
const SLOTS_MAX: usize = u32::MAX as usize;

/// The slot of an id, and its generation: the lower half is the slot's number from 1 on.
fn parts(id: NodeId) -> Option<(usize, u32)> {
    let number = id.get().get();
    let place = u32::try_from(number & 0xffff_ffff).ok()?.checked_sub(1)?;
    let generation = u32::try_from(number >> 32).ok()?;
    Some((usize::try_from(place).ok()?, generation))
}

fn id_of(place: usize, generation: u32) -> Option<NodeId> {
    let place = u64::try_from(place).ok()?;
    NonZeroU64::new(u64::from(generation) << 32 | (place + 1)).map(NodeId::new)
}

#[cfg(test)]
mod tests;
