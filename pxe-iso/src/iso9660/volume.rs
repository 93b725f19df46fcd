//! A volume: its descriptors, and its nodes on demand.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{Attributes, ErrorKind, NameBuf, NodeId, NodeKind};

use super::boot::BootDirectory;
use super::descriptor::{self, Descriptor, FIRST_SECTOR, Refused, SECTOR, VolumeDescriptor};
use super::name;
use super::path_table;
use super::record::{RECORD_BYTES_MAX, Record, Records};
use super::rock_ridge::RockRidge;
use super::system_use;
use crate::extent::{Extent, Extents};
use crate::format::{Content, Entry, Fingerprint, Format, Node, fingerprint};
use crate::reader::Reader;
use crate::{Damage, ImageError, ImageOptions, Limits, NameSource, Unsupported};

/// Where a file's records are looked for, which all lie one behind the other: enough for a file
/// of 1 TiB, whose records are the longest that there are.
const FILE_RECORDS_BYTES: u64 = 64 << 10;
/// What holds one record and the one behind it, nearly always.
const RECORDS_BYTES: u64 = 2 * RECORD_BYTES_MAX as u64;

/// An ISO 9660 volume.
#[derive(Debug)]
pub(crate) struct Volume {
    reader: Reader,
    limits: Limits,
    names: Names,
    /// The descriptor that the names are taken from.
    descriptor: VolumeDescriptor,
    /// Bytes of the volume by the primary descriptor.
    declared_len: u64,
    root: NodeId,
    fingerprint: Fingerprint,
    boot: Option<BootDirectory>,
}

/// Whose names are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Each record's area begins with so many bytes that belong to others.
    RockRidge {
        bytes_skipped: usize,
    },
    Joliet,
    Plain {
        keeps_case: bool,
    },
}

/// The volume descriptors.
#[derive(Debug, Default)]
struct Found {
    primary: Option<(VolumeDescriptor, Bytes)>,
    joliet: Option<VolumeDescriptor>,
    /// The place of the boot record, and the sector of its catalogue.
    boot: Option<(u64, u32)>,
}

impl Volume {
    /// Reads the volume descriptors and the root's record; `None` if this is no ISO 9660, or has
    /// not the names that were asked for.
    ///
    /// # Errors
    /// Damaged descriptors, and what reading gives.
    pub(crate) async fn open(
        reader: &Reader,
        options: &ImageOptions,
    ) -> Result<Option<Self>, ImageError> {
        let limits = &options.limits;
        let found = find_descriptors(reader, limits).await?;
        let Some((primary, sector)) = found.primary else {
            return Ok(None);
        };
        let plain = Names::Plain {
            keeps_case: options.keeps_case,
        };
        let declared_len = u64::from(primary.blocks) * u64::from(primary.block_bytes);
        let created = primary.created;
        let root = root_id(&primary)?;
        reader.check(root.get().get(), 1)?;
        let root_sector = read_at_most(reader, root.get().get(), SECTOR).await?;
        // The root's first sector tells apart what was made twice by the same clock.
        let fingerprint = fingerprint(&[&sector, &root_sector]);
        let mut volume = Self {
            reader: reader.clone(),
            limits: limits.clone(),
            names: plain,
            descriptor: primary,
            declared_len,
            root,
            fingerprint,
            boot: None,
        };
        let wanted = options.names;
        let rock_ridge = match wanted {
            NameSource::Best | NameSource::RockRidge => volume.find_rock_ridge().await?,
            _ => None,
        };
        match (wanted, rock_ridge, found.joliet) {
            (_, Some(names), _) => volume.names = names,
            (NameSource::Best | NameSource::Joliet, None, Some(joliet)) => {
                volume.root = root_id(&joliet)?;
                volume.descriptor = joliet;
                volume.names = Names::Joliet;
            }
            (NameSource::Best | NameSource::Plain, None, _) => {}
            _ => return Ok(None),
        }
        if let Some((place, sector)) = found.boot {
            // A catalogue that is none takes nothing from the rest of the image.
            volume.boot = match BootDirectory::open(reader, place, sector, created, limits).await {
                Err(ImageError::Damaged(_)) => None,
                other => other?,
            };
        }
        Ok(Some(volume))
    }

    /// Whether the names are those of the primary descriptor: there is nothing better.
    pub(crate) const fn has_plain_names(&self) -> bool {
        matches!(self.names, Names::Plain { .. })
    }

    /// Whether all that is here is a text that says that UDF is needed: no directory, and one file
    /// at most. So are Windows' installation media.
    pub(crate) async fn is_stub(&self) -> Result<bool, ImageError> {
        if matches!(self.names, Names::RockRidge { .. }) {
            return Ok(false);
        }
        let entries = self.directory_entries(self.root).await?;
        let is_file = |entry: &Entry| entry.attributes.kind == NodeKind::File;
        Ok(entries.len() <= 1 && entries.iter().all(is_file))
    }

    /// Rock Ridge's names, if the root's record has `SP` and anything of Rock Ridge.
    async fn find_rock_ridge(&self) -> Result<Option<Names>, ImageError> {
        let bytes = self.records(self.root, RECORDS_BYTES).await?;
        let own = Record::parse(&bytes)?;
        let Some(bytes_skipped) = system_use::bytes_skipped(own.system_use) else {
            return Ok(None);
        };
        let area = system_use::root_area(own.system_use);
        let mut budget = self.limits.directory_bytes_max;
        let rock_ridge = self.collect(area, &mut budget).await?;
        let names = Names::RockRidge { bytes_skipped };
        Ok(rock_ridge.is_there.then_some(names))
    }

    /// What follows a place, `len_max` bytes or what is left of the image.
    async fn records(&self, node: NodeId, len_max: u64) -> Result<Bytes, ImageError> {
        let bytes = read_at_most(&self.reader, node.get().get(), len_max).await?;
        match bytes.is_empty() {
            true => Err(Damage::BeyondEnd.into()),
            false => Ok(bytes),
        }
    }

    /// Whether a number that comes from outside may be a node's of this image: behind its end no
    /// record lies, so the number was made for another one.
    fn expect_in_image(&self, node: NodeId) -> Result<(), ErrorKind> {
        match self.may_be(node) {
            true => Ok(()),
            false => Err(ErrorKind::Stale),
        }
    }

    fn block_place(&self, block: u64) -> Result<NodeId, Damage> {
        let place = block.checked_mul(u64::from(self.descriptor.block_bytes));
        let place = place.and_then(NonZeroU64::new);
        Ok(NodeId::new(place.ok_or(Damage::Malformed)?))
    }

    /// What Rock Ridge says in a record's area and those behind it. `budget` is what may be read
    /// of continuation areas.
    async fn collect(&self, area: &[u8], budget: &mut u64) -> Result<RockRidge, ImageError> {
        let mut found = RockRidge::default();
        let mut next = found.add(area, &self.limits)?;
        let mut bytes_left = self.limits.system_use_bytes_max;
        let mut areas_left = self.limits.continuations_max;
        while let Some(continuation) = next {
            let len = usize::try_from(continuation.len).map_err(|_| Damage::Malformed)?;
            // Areas that lead back to each other end here as well.
            areas_left = areas_left
                .checked_sub(1)
                .ok_or(Damage::Limit("continuations_max"))?;
            bytes_left = bytes_left
                .checked_sub(len)
                .ok_or(Damage::Limit("system_use_bytes_max"))?;
            *budget = budget
                .checked_sub(len as u64)
                .ok_or(Damage::Limit("directory_bytes_max"))?;
            let block = u64::from(continuation.block) * u64::from(self.descriptor.block_bytes);
            let place = block + u64::from(continuation.offset);
            let bytes = self.reader.read(place, len).await?;
            next = found.add(&bytes, &self.limits)?;
        }
        Ok(found)
    }

    /// What Rock Ridge says about a record, if its names are shown.
    async fn rock_ridge(
        &self,
        record: &Record<'_>,
        is_root: bool,
        budget: &mut u64,
    ) -> Result<Option<RockRidge>, ImageError> {
        let Names::RockRidge { bytes_skipped } = self.names else {
            return Ok(None);
        };
        let area = match is_root {
            true => system_use::root_area(record.system_use),
            false => record.system_use.get(bytes_skipped..).unwrap_or_default(),
        };
        self.collect(area, budget).await.map(Some)
    }

    /// A directory by its own record, the first one in its data. Every directory has one, whatever
    /// leads to it: an entry, the `CL` of a moved directory, a descriptor.
    async fn directory(&self, id: NodeId, budget: &mut u64) -> Result<Node, ImageError> {
        let bytes = self.records(id, RECORD_BYTES_MAX as u64).await?;
        let record = Record::parse(&bytes)?;
        let place = self.block_place(record.data_block())?;
        if !record.is_self() || !record.is_directory() || place != id {
            return Err(Damage::Malformed.into());
        }
        let rock_ridge = self.rock_ridge(&record, id == self.root, budget).await?;
        let len = u64::from(record.data_len);
        let mut attributes = attributes(id, NodeKind::Directory, len, &record);
        if let Some(rock_ridge) = rock_ridge {
            rock_ridge.apply(&mut attributes);
        }
        Ok(Node {
            attributes,
            content: Content::Directory,
        })
    }

    /// A file, a link or a device by its first record and those behind it.
    fn file(
        &self,
        id: NodeId,
        first: &Record<'_>,
        rest: Records<'_>,
        rock_ridge: Option<&RockRidge>,
    ) -> Result<Node, Damage> {
        let kind = rock_ridge.map_or(NodeKind::File, RockRidge::kind);
        let mut extents = Extents::default();
        let mut is_interleaved = false;
        for record in parts(*first, rest, self.limits.extents_max)? {
            let block = record.data_block();
            let place = block.checked_mul(u64::from(self.descriptor.block_bytes));
            let len = u64::from(record.data_len);
            extents.push(Extent { place, len }, self.limits.extents_max)?;
            is_interleaved |= record.is_interleaved;
        }
        let refused = rock_ridge.and_then(|found| found.refused);
        let refused = match is_interleaved {
            true => Some(Unsupported::Interleaved),
            false => refused,
        };
        let expanded_len = rock_ridge.and_then(|found| found.expanded_len);
        let (len, content) = match (kind, refused) {
            (NodeKind::File, Some(why)) => {
                let len = expanded_len.map_or(extents.len(), u64::from);
                (len, Content::Refused(why))
            }
            (NodeKind::File, None) => (extents.len(), Content::File(Arc::new(extents))),
            (NodeKind::Link, _) => {
                let target = rock_ridge.and_then(|found| found.target.clone());
                let target = Bytes::from(target.unwrap_or_default());
                (target.len() as u64, Content::Link(target))
            }
            _ => (0, Content::Special),
        };
        let mut attributes = attributes(id, kind, len, first);
        if let Some(rock_ridge) = rock_ridge {
            rock_ridge.apply(&mut attributes);
        }
        Ok(Node {
            attributes,
            content,
        })
    }

    /// The node of a file's record at this place.
    async fn file_node(&self, id: NodeId) -> Result<Node, ImageError> {
        let bytes = self.records(id, RECORDS_BYTES).await?;
        let goes_on = Record::parse(&bytes)?.goes_on();
        let bytes = match goes_on {
            true => self.records(id, FILE_RECORDS_BYTES).await?,
            false => bytes,
        };
        let mut records = Records::new(&bytes, id.get().get());
        let first = Record::parse(&bytes)?;
        records.next();
        if first.is_directory() || first.is_self() || first.is_parent() || first.is_associated() {
            return Err(ErrorKind::Stale.into());
        }
        let mut budget = self.limits.directory_bytes_max;
        let rock_ridge = self.rock_ridge(&first, false, &mut budget).await?;
        if rock_ridge
            .as_ref()
            .is_some_and(|found| found.child.is_some())
        {
            return Err(ErrorKind::Stale.into());
        }
        Ok(self.file(id, &first, records, rock_ridge.as_ref())?)
    }

    /// One entry of a directory; `None` for what is not shown.
    async fn entry(
        &self,
        dir: NodeId,
        place: u64,
        record: Record<'_>,
        rest: Records<'_>,
        budget: &mut u64,
    ) -> Result<Option<Entry>, ImageError> {
        if record.is_self() || record.is_parent() || record.is_associated() {
            return Ok(None);
        }
        let mut rock_ridge = self.rock_ridge(&record, false, budget).await?;
        if rock_ridge.as_ref().is_some_and(|found| found.is_relocated) {
            return Ok(None);
        }
        let child = rock_ridge.as_ref().and_then(|found| found.child);
        let is_directory = record.is_directory() || child.is_some();
        // The record of a moved directory is a file's, with a version.
        let has_directory_name = record.is_directory();
        let name = match (
            self.names,
            rock_ridge.as_mut().and_then(|found| found.name.take()),
        ) {
            (_, Some(name)) => name,
            (Names::Joliet, None) => name::joliet(record.identifier, has_directory_name),
            (Names::Plain { keeps_case }, None) => {
                name::plain(record.identifier, has_directory_name, keeps_case)
            }
            (Names::RockRidge { .. }, None) => {
                name::plain(record.identifier, has_directory_name, false)
            }
        };
        let Ok(name) = NameBuf::new(name) else {
            return Ok(None);
        };
        let node = if is_directory {
            let block = child.map_or(record.data_block(), u64::from);
            let place = self.block_place(block)?;
            if place == dir || place == self.root {
                return Err(Damage::Loop.into());
            }
            self.directory(place, budget).await?
        } else {
            let id = NonZeroU64::new(place).ok_or(Damage::Malformed)?;
            self.file(NodeId::new(id), &record, rest, rock_ridge.as_ref())?
        };
        let attributes = node.attributes;
        Ok(Some(Entry { name, attributes }))
    }

    /// The directory above one whose `..` names itself, as libisofs writes it in Joliet's hierarchy
    /// (1.5.4: every one of them).
    async fn parent_by_path_table(&self, dir: NodeId) -> Result<NodeId, ImageError> {
        let (block, len) = self.descriptor.path_table;
        if u64::from(len) > self.limits.directory_bytes_max {
            return Err(Damage::Limit("directory_bytes_max").into());
        }
        let block_bytes = u64::from(self.descriptor.block_bytes);
        let len = usize::try_from(len).map_err(|_| Damage::Malformed)?;
        let table = self
            .reader
            .read(u64::from(block) * block_bytes, len)
            .await?;
        let above = path_table::parent_block(&table, dir.get().get() / block_bytes);
        let above = self.block_place(above.ok_or(Damage::Malformed)?)?;
        match above == dir {
            true => Err(Damage::Loop.into()),
            false => Ok(above),
        }
    }

    /// All entries of a directory that is recorded in the image.
    async fn directory_entries(&self, dir: NodeId) -> Result<Vec<Entry>, ImageError> {
        let mut budget = self.limits.directory_bytes_max;
        let node = match self.directory(dir, &mut budget).await {
            // There is something, but no directory.
            Err(ImageError::Damaged(_)) if self.file_node(dir).await.is_ok() => {
                return Err(ErrorKind::NotADirectory.into());
            }
            other => other?,
        };
        let len = node.attributes.len;
        if len > self.limits.directory_bytes_max {
            return Err(Damage::Limit("directory_bytes_max").into());
        }
        let len = usize::try_from(len).map_err(|_| Damage::Malformed)?;
        let start = dir.get().get();
        let bytes = self.reader.read(start, len).await?;
        let mut records = Records::new(&bytes, start);
        let mut entries = Vec::new();
        let mut goes_on = false;
        while let Some((place, record)) = records.next() {
            let is_first = !std::mem::replace(&mut goes_on, record.goes_on());
            if !is_first {
                continue;
            }
            let entry = self.entry(dir, place, record, records.clone(), &mut budget);
            match entry.await {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                // A damaged record hides itself, not the whole directory.
                Err(ImageError::Damaged(Damage::Limit("directory_bytes_max"))) => {
                    return Err(Damage::Limit("directory_bytes_max").into());
                }
                Err(ImageError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
            if entries.len() > self.limits.directory_entries_max {
                return Err(Damage::Limit("directory_entries_max").into());
            }
        }
        Ok(entries)
    }
}

/// The first record of a file and those in which it goes on (ECMA-119 section 6.5.1).
///
/// # Errors
/// `Malformed` if the next record is another file's, `TooShort` if there is none, `Limit`.
fn parts<'a>(
    first: Record<'a>,
    rest: Records<'a>,
    extents_max: usize,
) -> Result<Vec<Record<'a>>, Damage> {
    let mut all = vec![first];
    let mut goes_on = first.goes_on();
    for (_, record) in rest {
        if !goes_on {
            break;
        }
        if all.len() >= extents_max {
            return Err(Damage::Limit("extents_max"));
        }
        if record.identifier != first.identifier {
            return Err(Damage::Malformed);
        }
        goes_on = record.goes_on();
        all.push(record);
    }
    match goes_on {
        false => Ok(all),
        true => Err(Damage::TooShort),
    }
}

/// Attributes with what the record itself says.
fn attributes(id: NodeId, kind: NodeKind, len: u64, record: &Record<'_>) -> Attributes {
    let mut attributes = Attributes::new(id, kind, len);
    let date = record.date.unwrap_or_default();
    attributes.accessed = date;
    attributes.modified = date;
    attributes.changed = date;
    attributes
}

fn root_id(descriptor: &VolumeDescriptor) -> Result<NodeId, Damage> {
    let place = descriptor.root_block * u64::from(descriptor.block_bytes);
    let place = NonZeroU64::new(place).ok_or(Damage::Malformed)?;
    Ok(NodeId::new(place))
}

/// What follows a place: `len_max` bytes, or what is left of the image.
async fn read_at_most(reader: &Reader, place: u64, len_max: u64) -> Result<Bytes, ImageError> {
    let left = reader.len().saturating_sub(place);
    let len = usize::try_from(left.min(len_max)).map_err(|_| Damage::Malformed)?;
    reader.read(place.min(reader.len()), len).await
}

/// Reads volume descriptors until their terminator, the end of the image or the limit.
async fn find_descriptors(reader: &Reader, limits: &Limits) -> Result<Found, ImageError> {
    let mut found = Found::default();
    for number in 0..limits.volume_descriptors_max as u64 {
        let place = (FIRST_SECTOR + number) * SECTOR;
        if reader.check(place, SECTOR).is_err() {
            break;
        }
        let sector = reader.read(place, SECTOR as usize).await?;
        match descriptor::parse(&sector) {
            Ok(None | Some(Descriptor::End)) => break,
            Ok(Some(Descriptor::Primary(volume))) if found.primary.is_none() => {
                found.primary = Some((volume, sector));
            }
            Ok(Some(Descriptor::Joliet(volume))) if found.joliet.is_none() => {
                found.joliet = Some(volume);
            }
            Ok(Some(Descriptor::Boot(catalogue))) if found.boot.is_none() => {
                found.boot = Some((place, catalogue));
            }
            Ok(Some(_)) => {}
            // A damaged supplementary descriptor takes nothing from the primary one.
            Err(_) if found.primary.is_some() => {}
            Err(Refused::Damaged(damage)) => return Err(damage.into()),
            Err(Refused::Unsupported(what)) => return Err(what.into()),
        }
    }
    Ok(found)
}

#[async_trait]
impl Format for Volume {
    fn name(&self) -> &'static str {
        match self.names {
            Names::RockRidge { .. } => "ISO 9660, Rock Ridge",
            Names::Joliet => "ISO 9660, Joliet",
            Names::Plain { .. } => "ISO 9660",
        }
    }

    fn volume_id(&self) -> &str {
        &self.descriptor.volume_id
    }

    fn declared_len(&self) -> Option<u64> {
        Some(self.declared_len)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn root(&self) -> NodeId {
        self.root
    }

    fn may_be(&self, node: NodeId) -> bool {
        node.get().get() < self.reader.len()
    }

    async fn node(&self, id: NodeId) -> Result<Node, ImageError> {
        if let Some(node) = self.boot.as_ref().and_then(|boot| boot.node(id)) {
            return Ok(node.clone());
        }
        self.expect_in_image(id)?;
        // A directory begins with a block, a file's record seldom does.
        let block_bytes = u64::from(self.descriptor.block_bytes);
        if !id.get().get().is_multiple_of(block_bytes) {
            return self.file_node(id).await;
        }
        let mut budget = self.limits.directory_bytes_max;
        match self.directory(id, &mut budget).await {
            Err(ImageError::Damaged(_)) if id != self.root => self.file_node(id).await,
            other => other,
        }
    }

    async fn entries(&self, dir: NodeId) -> Result<Vec<Entry>, ImageError> {
        let boot = self.boot.as_ref();
        if let Some(boot) = boot
            && let Some(node) = boot.node(dir)
        {
            return match node.content {
                Content::Directory => Ok(boot.entries()),
                _ => Err(ErrorKind::NotADirectory.into()),
            };
        }
        self.expect_in_image(dir)?;
        let mut entries = self.directory_entries(dir).await?;
        if dir == self.root {
            // At the end: an entry of the same name comes first and is taken.
            entries.extend(boot.and_then(BootDirectory::entry));
        }
        Ok(entries)
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId, ImageError> {
        if dir == self.root || self.boot.as_ref().is_some_and(|boot| boot.id() == dir) {
            return Ok(self.root);
        }
        if self.node(dir).await?.attributes.kind != NodeKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        let bytes = self.records(dir, RECORDS_BYTES).await?;
        let mut records = Records::new(&bytes, dir.get().get());
        records.next();
        let record = match records.next() {
            Some((_, record)) if record.is_parent() => record,
            _ => return Err(Damage::Malformed.into()),
        };
        let mut budget = self.limits.directory_bytes_max;
        let rock_ridge = self.rock_ridge(&record, false, &mut budget).await?;
        let moved_from = rock_ridge.and_then(|found| found.parent);
        let mut parent = self.block_place(moved_from.map_or(record.data_block(), u64::from))?;
        if parent == dir {
            parent = self.parent_by_path_table(dir).await?;
        }
        // Only what is a directory may be named as one.
        self.directory(parent, &mut budget).await?;
        Ok(parent)
    }
}
