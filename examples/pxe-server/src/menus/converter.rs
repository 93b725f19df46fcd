//! Menus of pxelinux in the words of GRUB and iPXE, and menus of images, made when a client asks for
//! one.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pxe_dhcp::Pattern;
use pxe_menu::{
    Action, Client, Code, Diagnostic, FileId, Format, GrubOptions, IpxeOptions, Limits, Loader,
    Location, Menu, MenuReader, Paths, Rendered, Resolution, render_grub, render_ipxe,
    render_syslinux,
};
use pxe_tree::{Attributes, MemBlob, NodeId, NodeKind, TreePath};
use tokio::sync::Semaphore;

use super::address::Address;
use super::asker::Asker;
use super::folders::{Places, places};
use super::found::Found;
use super::images::{ImagesFor, ImagesKey, Included};
use super::read::{MenuFile, MenuFiles, Unread};
use super::template::{TemplateFault, filled_in, is_template};
use super::wanted::Language;
use crate::fact::printable;

/// How many menus are made at once; who asks for another one meanwhile waits. A menu of 10,000
/// entries takes a processor some tenths of a second, and boots go on meanwhile.
pub(super) const MAKING_MAX: usize = 2;
/// How many menus that were made are kept, and how many bytes of them. The one that was made
/// first goes first.
const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 64 << 20;
/// How many of the things that a menu lost are told.
const LOSSES_MAX: usize = 100;

/// A menu that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its content.
    pub(crate) blob: Arc<MemBlob>,
    /// What it was made of.
    pub(crate) from: Origin,
    /// What of that menu is not in it, or not as it is there; the first of them.
    pub(crate) losses: Vec<String>,
    /// How many there are.
    pub(crate) losses_count: usize,
    /// What was read for it, and what it was then.
    read: Vec<(Location, Option<Stamp>)>,
    /// Whether somebody tells of its losses, or did.
    is_told: AtomicBool,
    /// How often it was begun to look whether its files changed.
    looks: AtomicU64,
    /// What the last look that was ended saw.
    seen: tokio::sync::Mutex<Look>,
}

/// A look at the files of a menu.
#[derive(Debug, Default)]
struct Look {
    /// Which one it was, from 1.
    number: u64,
    /// Whether all are as they were.
    is_same: bool,
}

impl Made {
    /// Whether its losses have to be told: the first client that gets it does that, which need not
    /// be the one that it was made for.
    pub(crate) fn is_untold(&self) -> bool {
        !self.is_told.swap(true, Ordering::Relaxed)
    }
}

/// What a menu is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A menu of pxelinux, by its path in the tree.
    Menu(TreePath),
    /// The images.
    Images,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Menu(path) => path.fmt(f),
            Self::Images => f.write_str("the images"),
        }
    }
}

/// By what it is seen that a file was changed.
type Stamp = (u64, u64, u64);

/// What a menu depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    /// The menu of pxelinux, and what names in it mean.
    file: Option<(TreePath, Paths)>,
    images: Option<ImagesKey>,
    language: Language,
    addresses: Vec<Address>,
    /// For whom it is, if it is not the same for all.
    asker: Option<Asker>,
}

/// Makes menus, and keeps those that it made.
#[derive(Debug)]
pub(super) struct Converter {
    files: MenuFiles,
    limits: Limits,
    making: Arc<Semaphore>,
    kept: Mutex<VecDeque<(Key, Arc<Made>)>>,
}

/// What a client is to get.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// The menu of pxelinux that it is made of; without one it is made of images.
    pub(super) found: Option<Found>,
    /// The images that it offers.
    pub(super) images: Option<ImagesFor>,
    pub(super) language: Language,
    pub(super) addresses: Vec<Address>,
    pub(super) asker: Asker,
    /// The files in which placeholders are filled in.
    pub(super) templates: Vec<Pattern>,
}

/// Why no menu could be made.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// A file of it cannot be read.
    Unread(TreePath, Unread),
    /// A file of it is a template with a fault.
    Template(TemplateFault),
    /// The loader would not know where this server's files are.
    NoAddress,
    /// The server is stopping.
    Stopping,
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(path, why) => write!(f, "{path}: {why}"),
            Self::Template(fault) => fault.fmt(f),
            Self::NoAddress => f.write_str("no listener serves the files that it names"),
            Self::Stopping => f.write_str("the server is stopping"),
        }
    }
}

impl Converter {
    pub(super) fn new(files: MenuFiles) -> Self {
        Self {
            files,
            limits: Limits::default(),
            making: Arc::new(Semaphore::new(MAKING_MAX)),
            kept: Mutex::default(),
        }
    }

    /// The menu.
    ///
    /// It is the same for the same order as long as no file of it changes, so that a transfer, its
    /// repetition, a range and a probe of its size agree.
    pub(super) async fn menu(self: &Arc<Self>, order: Order) -> Result<Arc<Made>, NotMade> {
        if let Some(made) = self.kept(&order).await {
            return Ok(made);
        }
        let Ok(permit) = Arc::clone(&self.making).acquire_owned().await else {
            return Err(NotMade::Stopping);
        };
        // Others that wanted the same one waited for it here.
        if let Some(made) = self.kept(&order).await {
            return Ok(made);
        }
        let this = Arc::clone(self);
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            // A client that goes away ends our wait, but not this: its place is taken until the
            // menu is made, and the next client has it at once.
            let _permit = permit;
            let (key, made) = runtime.block_on(this.make(order))?;
            let made = Arc::new(made);
            this.keep(key, &made);
            Ok(made)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(made) => made,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(NotMade::Stopping),
        }
    }

    /// One that is kept and none of whose files changed.
    ///
    /// What changed is kept no longer: its order may be another one now, for each client or for all,
    /// and it would stand before what is made instead.
    async fn kept(&self, order: &Order) -> Option<Arc<Made>> {
        loop {
            let made = {
                let kept = self.lock();
                let mut all = kept.iter();
                let (_, made) = all.find(|(key, _)| key.is_of(order))?;
                Arc::clone(made)
            };
            if self.is_same(&made).await {
                return Some(made);
            }
            self.lock().retain(|(_, other)| !Arc::ptr_eq(other, &made));
        }
    }

    /// Whether no file of a menu changed since it was made.
    ///
    /// A large menu has a thousand folders to look at, so clients that ask at once share one look: one
    /// that began after they asked. There is never more than one at a time.
    async fn is_same(&self, made: &Made) -> bool {
        let begun = made.looks.load(Ordering::Acquire);
        let mut seen = made.seen.lock().await;
        if seen.number > begun {
            return seen.is_same;
        }
        let number = made.looks.fetch_add(1, Ordering::AcqRel) + 1;
        let mut is_same = true;
        for (location, stamp) in &made.read {
            let now = self.files.find(location).await.ok();
            if now.map(|now| stamp_of(&now.attributes)) != *stamp {
                is_same = false;
                break;
            }
        }
        *seen = Look { number, is_same };
        is_same
    }

    fn keep(&self, key: Key, made: &Arc<Made>) {
        let mut kept = self.lock();
        kept.retain(|(other, _)| *other != key);
        kept.push_back((key, Arc::clone(made)));
        let bytes = |kept: &VecDeque<(Key, Arc<Made>)>| -> usize {
            kept.iter().map(|(_, made)| made.blob.content().len()).sum()
        };
        while kept.len() > KEPT_MAX || (kept.len() > 1 && bytes(&kept) > KEPT_BYTES_MAX) {
            kept.pop_front();
        }
    }

    async fn make(&self, order: Order) -> Result<(Key, Made), NotMade> {
        let mut drawn = match &order.found {
            Some(found) => self.read(found, &order, &Included::default()).await?,
            None => Drawn::default(),
        };
        if let (true, Some(found), Some(images)) = (drawn.has_images, &order.found, &order.images) {
            let included = images.included().await;
            drawn = self.read(found, &order, &included).await?;
            included.put_commands(&mut drawn.menu);
        }
        let mut left_out = Vec::new();
        if let Some(images) = &order.images {
            if order.found.is_none() {
                (drawn.menu, left_out) = images.menu().await;
            } else if !drawn.has_images {
                left_out = images.add_to(&mut drawn.menu).await;
            }
        }
        // iPXE fills in by itself what it is told to append.
        let is_for_client = drawn.has_templates
            || (order.language == Language::Grub && appends_of_client(&drawn.menu));
        let client = is_for_client.then(|| order.asker.client.clone());
        let mut losses = drawn.losses;
        let (rendered, unserved) = self
            .render(&drawn.menu, &order, client, &mut drawn.read)
            .await?;
        losses.extend(unserved.iter().map(|folder| {
            let folder = printable(&folder.to_string());
            format!("no listener serves what is in {folder}: entries that load it fail")
        }));
        let text = with_comments(rendered.text.as_bytes(), order.language, &left_out);
        let file = order.found.map(|found| (found.file, found.paths));
        let is_of_images = file.is_none();
        let losses_count = if is_of_images {
            // Which images a machine cannot start is told with each menu, and is no fault of it;
            // nothing was there to be lost.
            losses.extend(left_out.iter().map(|why| printable(why)));
            losses.len()
        } else {
            let rendered = rendered.diagnostics.into_iter();
            let lost_all: Vec<Diagnostic> = rendered.chain(drawn.not_joined).collect();
            let (lost, count) = lost(&lost_all);
            let count = losses.len() + count;
            losses.extend(lost);
            count
        };
        losses.truncate(LOSSES_MAX);
        let made = Made {
            blob: blob(text.into()),
            from: match &file {
                Some((file, _)) => Origin::Menu(file.clone()),
                None => Origin::Images,
            },
            losses,
            losses_count,
            read: drawn.read,
            is_told: AtomicBool::new(is_of_images),
            looks: AtomicU64::new(0),
            seen: tokio::sync::Mutex::default(),
        };
        let key = Key {
            file,
            images: order.images.map(|images| images.key),
            language: order.language,
            addresses: order.addresses,
            asker: is_for_client.then_some(order.asker),
        };
        Ok((key, made))
    }

    /// Reads a menu of pxelinux, with all that it leads to.
    async fn read(
        &self,
        found: &Found,
        order: &Order,
        included: &Included,
    ) -> Result<Drawn, NotMade> {
        let Found { paths, name, file } = found;
        let mut drawn = Drawn::default();
        let take = |id, location: &Location, found: Result<MenuFile, Unread>| match found {
            Ok(found) => {
                let stamp = stamp_of(&found.attributes);
                drawn.read.push((location.clone(), Some(stamp)));
                if !is_template(&order.templates, &found.path) {
                    return Ok(Some(found.bytes));
                }
                drawn.has_templates = true;
                let filled = filled_in(&found.path, &found.bytes, &order.asker);
                filled.map(Some).map_err(NotMade::Template)
            }
            Err(why) if id == FileId::MAIN => Err(NotMade::Unread(file.clone(), why)),
            Err(why) => {
                drawn.read.push((location.clone(), None));
                let images = order.images.as_ref();
                if images.is_some_and(|images| images.is_menu(location)) {
                    drawn.has_images = true;
                    return Ok(included.file(location));
                }
                if !why.is_missing() {
                    drawn.losses.push(format!("{location} is left out: {why}"));
                }
                Ok(None)
            }
        };
        let reader = MenuReader::new(name.clone(), paths.clone(), self.limits.clone());
        // It is where pxelinux looks.
        let reader = reader.with_format(Format::Syslinux);
        let linked = self.files.feed(reader, &self.limits, take);
        let Resolution {
            menu, diagnostics, ..
        } = linked.await?.resolution;
        // What of several menus is not in one.
        let linked = [
            Code::LinkedSettings,
            Code::LinkedPrompt,
            Code::MissingLink,
            Code::Limited,
        ];
        let not_joined = diagnostics
            .into_iter()
            .filter(|one| linked.contains(&one.code));
        drawn.not_joined = not_joined.collect();
        drawn.menu = menu;
        Ok(drawn)
    }

    async fn render(
        &self,
        menu: &Menu,
        order: &Order,
        client: Option<Client>,
        read: &mut Vec<(Location, Option<Stamp>)>,
    ) -> Result<(Rendered, BTreeSet<TreePath>), NotMade> {
        let (language, addresses) = (order.language, &order.addresses);
        if language == Language::Syslinux {
            return Ok((render_syslinux(menu), BTreeSet::new()));
        }
        let paths = match &order.found {
            Some(found) => found.paths.clone(),
            None => Paths::new(Loader::Lpxelinux, ""),
        };
        let found = places(&self.files, menu, &paths, language, addresses).await;
        let Places {
            base,
            folders,
            asked,
            unserved,
        } = found.ok_or(NotMade::NoAddress)?;
        let asked = asked.into_iter();
        read.extend(asked.map(|(location, found)| (location, found.as_ref().map(stamp_of))));
        let client = client.unwrap_or_default();
        let rendered = match language {
            Language::Grub => {
                let options = GrubOptions::new(paths, base).with_client(client);
                render_grub(menu, &options.with_folders(folders))
            }
            Language::Syslinux | Language::Ipxe => {
                let options = IpxeOptions::new(paths).with_base(format!("{base}/"));
                render_ipxe(menu, &options.with_folders(folders))
            }
        };
        Ok((rendered, unserved))
    }

    /// A panic of another thread leaves it whole: each method writes it in full or not.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Made>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn is_of(&self, order: &Order) -> bool {
        let found = order.found.as_ref();
        let images = order.images.as_ref().map(|images| &images.key);
        let asker = self.asker.as_ref();
        asker.is_none_or(|asker| *asker == order.asker)
            && self.language == order.language
            && self.addresses == order.addresses
            && self.file.as_ref().map(|(file, paths)| (file, paths))
                == found.map(|found| (&found.file, &found.paths))
            // The last, as there may be a thousand.
            && self.images.as_ref() == images
    }
}

/// A menu that is not said in its language yet.
#[derive(Debug, Default)]
struct Drawn {
    menu: Menu,
    /// What was read for it, and what it was then.
    read: Vec<(Location, Option<Stamp>)>,
    losses: Vec<String>,
    /// What of several menus is not in one.
    not_joined: Vec<Diagnostic>,
    has_templates: bool,
    /// Whether it leads to the menu of images by itself.
    has_images: bool,
}

/// A menu with comments at its beginning that say what is not in it.
fn with_comments(text: &[u8], language: Language, left_out: &[String]) -> Vec<u8> {
    let mut comments = String::new();
    for why in left_out.iter().take(LOSSES_MAX) {
        // The full stop keeps a backslash from taking the next line to the comment.
        let why = printable(why.trim_end_matches('.'));
        comments.push_str(&format!("# not offered: {why}.\n"));
    }
    // A script of iPXE is known by its first line.
    let first = match language {
        Language::Ipxe => text.iter().position(|byte| *byte == b'\n'),
        Language::Syslinux | Language::Grub => None,
    };
    let (first, rest) = text.split_at(first.map_or(0, |end| end + 1));
    [first, comments.as_bytes(), rest].concat()
}

/// Whether a command line is told of the machine (IPAPPEND, SYSAPPEND).
fn appends_of_client(menu: &Menu) -> bool {
    let mut entries = menu.entries();
    menu.core.sysappend != 0
        || entries.any(|entry| match &entry.action {
            Action::Run(command) => command.sysappend != 0,
            _ => false,
        })
}

/// What was lost, passwords first, and how much.
fn lost(diagnostics: &[Diagnostic]) -> (Vec<String>, usize) {
    let mut lost: Vec<&Diagnostic> = diagnostics.iter().collect();
    lost.sort_by_key(|one| one.code != Code::ProtectionLost);
    let told = lost.iter().take(LOSSES_MAX);
    let told = told.map(|one| printable(&one.message)).collect();
    (told, diagnostics.len())
}

/// A blob whose stamp is that of its content, so that a probe of its size, a range and a
/// repetition are of one version. It has no time: a cache between us and the client may not
/// take it for fresh, as it may be another one for another client.
pub(super) fn blob(content: Bytes) -> Arc<MemBlob> {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let node = NodeId::new(NonZeroU64::MIN);
    let mut attributes = Attributes::new(node, NodeKind::File, 0);
    // 0 would be no stamp at all.
    attributes.change = hasher.finish().max(1);
    MemBlob::with_attributes(content, attributes)
}

fn stamp_of(attributes: &Attributes) -> Stamp {
    match attributes.kind {
        // What is in it changes all the time; which one it is counts.
        NodeKind::Directory => (attributes.fileid, 0, 0),
        _ => (attributes.fileid, attributes.change, attributes.len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use pxe_dhcp::{BootRequest, NoBoot};
    use pxe_menu::Loader;
    use pxe_tree::MemTree;

    use crate::config::Config;
    use crate::decisions::Identity;

    fn converter_and_order() -> (Arc<Converter>, Order) {
        let text = "[tree]\nroot = \"/srv/tftp\"\n[tftp]\n";
        let config = Config::parse(text, Path::new("test.toml")).expect("valid");
        let tree = MemTree::new();
        let menu = "LABEL a\nLINUX a\n";
        tree.insert_file("default", menu).expect("free");
        let files = MenuFiles::new(&config, Arc::new(tree));
        let server = [192, 168, 150, 1].into();
        let identity = Identity::of(&NoBoot::new(), &BootRequest::new(server));
        let client = [192, 168, 150, 30].into();
        let order = Order {
            found: Some(Found {
                paths: Paths::new(Loader::Lpxelinux, "lpxelinux.0"),
                name: "default".into(),
                file: TreePath::parse("default").expect("valid"),
            }),
            images: None,
            language: Language::Grub,
            addresses: vec![Address {
                base: "(tftp)".to_owned(),
                root: TreePath::ROOT,
                images: None,
            }],
            asker: Asker::new(&config, &identity, client, None),
            templates: Vec::new(),
        };
        (Arc::new(Converter::new(files)), order)
    }

    #[tokio::test]
    async fn a_client_that_goes_away_leaves_no_place_before_its_menu_is_made() {
        let (converter, order) = converter_and_order();
        {
            let asked = pin!(converter.menu(order.clone()));
            let _ = asked.poll(&mut Context::from_waker(Waker::noop()));
        }
        // All places are free: what was begun is done, and was not in vain.
        let places = u32::try_from(MAKING_MAX).expect("few");
        let _all = converter.making.acquire_many(places).await.expect("open");
        assert!(converter.kept(&order).await.is_some());
    }

    #[tokio::test]
    async fn clients_that_ask_at_once_share_a_look_at_the_files() {
        let (converter, order) = converter_and_order();
        let made = converter.menu(order).await.expect("made");
        let look = made.seen.lock().await;
        let mut asked = [(); 10].map(|()| Box::pin(converter.is_same(&made)));
        for one in &mut asked {
            let polled = one.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "another one looks");
        }
        drop(look);
        for one in asked {
            assert!(one.await);
        }
        assert_eq!(made.looks.load(Ordering::Acquire), 1);
        // Who comes later sees what is there then.
        assert!(converter.is_same(&made).await);
        assert_eq!(made.looks.load(Ordering::Acquire), 2);
    }
}
