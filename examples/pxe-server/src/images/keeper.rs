//! Keeps a library in step with its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pxe_iso::{ImageError, ImageOptions, Limits};
use pxe_tree::{
    Attributes, Cookie, DirKeys, Error, ErrorKind, NameBuf, NodeKind, Resolver, Timestamp, Tree,
    TreePath,
};
use tokio::task::{Id, JoinSet};

use super::Profiles;
use super::contents::Questions;
use super::inquiry;
use super::library::{ImageState, Library, LibraryImage, Offered, Opened, Reason};
use super::shelf::{Found, Shelf, names, stem};
use super::tree::NUMBER_MAX;
use super::watch::Watch;
use crate::fact::printable;

/// How many images are open at once, each with one open file.
pub(crate) const IMAGES_MAX: usize = 1000;
/// How many names of the folder are looked at.
const NAMES_MAX: usize = 100_000;
/// How many images are opened at once: a disk that seeks is not faster with more.
const OPENING_MAX: usize = 4;
/// How often what is offered is told while many images are opened.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);
/// How often the folder is looked at where nothing rings: on file systems that others change.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How much later than it settles an image is looked at.
const AGAIN: Duration = Duration::from_millis(100);
/// When an image is tried again that could not be read.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// For how long a replaced image stays open after the last use of it by NFS.
const RETIRED_IDLE: Duration = Duration::from_secs(3600);
/// How many replaced images stay open.
pub(crate) const RETIRED_MAX: usize = 64;

/// What a configuration says of the folder.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// For how long an image has to be left alone before it is served.
    pub(crate) settle: Duration,
    /// What images are recognised by.
    pub(crate) profiles: Arc<Profiles>,
    /// By what handles of NFS know what lies beside images.
    pub(crate) keys: DirKeys,
}

/// Looks at the folder, and says what is served of it.
#[derive(Debug)]
pub(crate) struct Keeper {
    library: Arc<Library>,
    settings: Settings,
    questions: Arc<Questions>,
    folder: Option<Folder>,
    files: BTreeMap<NameBuf, KnownFile>,
    /// The folders in it.
    folders: BTreeSet<NameBuf>,
    retired: Vec<Arc<Offered>>,
    /// How many images are offered, while some are opened.
    offered_count: usize,
    last_number: u64,
    /// Profiles are others than those that images were asked about.
    asks_anew: bool,
    /// Whether it is to hear of changes.
    watches: bool,
    problems: Vec<String>,
}

/// The folder, as long as its path leads to it.
#[derive(Debug)]
struct Folder {
    identity: (u64, u64),
    tree: Arc<dyn Tree>,
    watch: Watch,
}

/// A file of the folder.
#[derive(Debug)]
struct KnownFile {
    stamp: Option<Stamp>,
    /// Since when it is as it is.
    since: Instant,
    /// Whether `state` is about the file as it is. An earlier one is served until it is.
    is_judged: bool,
    state: ImageState,
    /// As it was told last.
    told: Option<Arc<LibraryImage>>,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: Timestamp,
    changed: Timestamp,
}

impl Stamp {
    const fn of(attributes: &Attributes) -> Self {
        Self {
            file: (attributes.fsid, attributes.fileid),
            len: attributes.len,
            modified: attributes.modified,
            changed: attributes.changed,
        }
    }

    /// Whether it was left alone for so long by its own times. `ctime` is the one that nobody sets
    /// back.
    fn is_older_than(&self, settle: Duration) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let touched = self.modified.max(self.changed);
        let touched = u64::try_from(touched.seconds).map(Duration::from_secs);
        match (now, touched) {
            // A second more, as what is cut off of it is not known here.
            (Ok(now), Ok(touched)) => now > touched + settle + Duration::from_secs(1),
            _ => false,
        }
    }
}

/// What is in the folder.
#[derive(Debug, Default)]
struct Listing {
    images: BTreeMap<NameBuf, Result<Stamp, Reason>>,
    folders: BTreeSet<NameBuf>,
    problems: Vec<String>,
}

impl Keeper {
    /// The keeper of a library, which has looked at nothing yet.
    pub(crate) fn new(library: Arc<Library>, settings: Settings) -> Self {
        Self {
            library,
            questions: Arc::new(Questions::of(&settings.profiles)),
            settings,
            folder: None,
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            retired: Vec::new(),
            offered_count: 0,
            last_number: 0,
            asks_anew: false,
            watches: true,
            problems: Vec::new(),
        }
    }

    /// One that looks once, and takes files as settled.
    pub(crate) fn unwatched(library: Arc<Library>, mut settings: Settings) -> Self {
        settings.settle = Duration::ZERO;
        let mut keeper = Self::new(library, settings);
        keeper.watches = false;
        keeper
    }

    /// From the next look on, these hold.
    pub(crate) fn set(&mut self, settings: Settings) {
        self.questions = Arc::new(Questions::of(&settings.profiles));
        self.asks_anew = true;
        if settings.dir != self.settings.dir || settings.keys != self.settings.keys {
            self.folder = None;
        }
        self.settings = settings;
    }

    /// Looks at the folder, and opens what is new in it. After how long it is to be looked at again
    /// is returned.
    pub(crate) async fn look(&mut self) -> Duration {
        let now = Instant::now();
        let listing = match self.open_folder() {
            Ok(()) => self.list().await,
            Err(error) => Err(error),
        };
        match listing {
            Ok(listing) => {
                self.problems = listing.problems;
                self.folders = listing.folders;
                self.note_images(listing.images, now);
                self.watch_beside();
                self.publish();
                self.open_settled(now).await;
                self.ask_again().await;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = match self.settings.dir.exists() {
                    true => "it is no folder",
                    false => "there is no such folder",
                };
                self.problems = vec![self.problem(what)];
                self.folder = None;
                self.folders.clear();
                self.note_images(BTreeMap::new(), now);
            }
            // What was served is served on: a disk that hangs for a moment removes nothing.
            Err(error) => {
                self.problems = vec![self.problem(&error.kind().to_string())];
                self.folder = None;
            }
        }
        self.let_go();
        self.publish();
        self.library.set_known();
        self.next_look(Instant::now())
    }

    /// Waits until the folder may have changed.
    pub(crate) async fn changed(&self) {
        match &self.folder {
            Some(folder) => folder.watch.changed().await,
            None => std::future::pending().await,
        }
    }

    fn problem(&self, what: &str) -> String {
        format!("{}: {what}", self.settings.dir.display())
    }

    /// Opens the folder, unless its path leads to the one that is open.
    fn open_folder(&mut self) -> Result<(), Error> {
        let dir = &self.settings.dir;
        let identity = identity(dir).inspect_err(|_| self.folder = None)?;
        if self
            .folder
            .as_ref()
            .is_some_and(|folder| folder.identity == identity)
        {
            return Ok(());
        }
        let tree = crate::trees::open_for_all(dir, self.settings.keys)?;
        let watch = match self.watches {
            true => Watch::of(dir),
            false => Watch::none(),
        };
        self.folder = Some(Folder {
            identity,
            tree,
            watch,
        });
        Ok(())
    }

    /// Links may name the folder by its own path, and lead nowhere else.
    fn resolver(&self) -> Resolver {
        let dir = self.settings.dir.as_os_str().as_encoded_bytes();
        match TreePath::parse(dir).ok().filter(|_| dir.starts_with(b"/")) {
            Some(path) => Resolver::new().with_root_path(path),
            None => Resolver::new(),
        }
    }

    async fn list(&self) -> Result<Listing, Error> {
        let folder = self.folder.as_ref().ok_or(ErrorKind::NotFound)?;
        let tree = &*folder.tree;
        let resolver = self.resolver();
        let mut listing = Listing::default();
        let mut after = Cookie::START;
        let mut names = 0;
        loop {
            let page = tree.read_dir(tree.root(), after, 1000).await?;
            for entry in &page.entries {
                names += 1;
                after = entry.cookie;
                if stem(&entry.name).is_none() {
                    if entry.kind == NodeKind::Directory {
                        listing.folders.insert(entry.name.clone());
                    }
                    continue;
                }
                let path = TreePath::ROOT.child(&entry.name)?;
                let found = match resolver.resolve(tree, &path).await {
                    Ok(found) if found.attributes.kind == NodeKind::File => {
                        Ok(Stamp::of(&found.attributes))
                    }
                    Ok(_) => Err(Reason::Unreadable("it is no regular file".into())),
                    // It went between the listing and the look; a link leads to nothing.
                    Err(error)
                        if error.kind() == ErrorKind::NotFound && entry.kind == NodeKind::File =>
                    {
                        continue;
                    }
                    Err(error) => Err(unreadable(entry.kind, &error)),
                };
                listing.images.insert(entry.name.clone(), found);
            }
            if page.end {
                return Ok(listing);
            }
            if names > NAMES_MAX {
                let what = format!("more than {NAMES_MAX} names; not all are looked at");
                listing.problems.push(self.problem(&what));
                return Ok(listing);
            }
        }
    }

    /// Takes note of which files there are, and which of them changed.
    fn note_images(&mut self, found: BTreeMap<NameBuf, Result<Stamp, Reason>>, now: Instant) {
        let gone: Vec<NameBuf> = self
            .files
            .keys()
            .filter(|file| !found.contains_key(*file))
            .cloned()
            .collect();
        for file in gone {
            if let Some(known) = self.files.remove(&file) {
                if let Some(told) = known.told {
                    tracing::info!(
                        event = "image_removed",
                        image = told.name,
                        "{} is gone",
                        shown(&file)
                    );
                }
                self.retire(known.state);
            }
        }
        let mut retired = Vec::new();
        for (file, found) in found {
            let known = self.files.entry(file).or_insert_with(|| KnownFile {
                stamp: None,
                since: now,
                is_judged: false,
                state: ImageState::Withheld(Reason::Settling),
                told: None,
            });
            let stamp = match found {
                Ok(stamp) => stamp,
                Err(reason) => {
                    let state = std::mem::replace(&mut known.state, ImageState::Withheld(reason));
                    known.stamp = None;
                    known.is_judged = true;
                    retired.push(state);
                    continue;
                }
            };
            let is_valid = match &known.state {
                ImageState::Offered(offered) => offered.blob.validate().is_ok(),
                ImageState::Withheld(_) => true,
            };
            if known.stamp == Some(stamp) && is_valid {
                continue;
            }
            let is_same_file = known.stamp.is_some_and(|before| before.file == stamp.file);
            known.stamp = Some(stamp);
            match &known.state {
                // Its owner, its names or its times changed, and its content did not.
                ImageState::Offered(_) if is_valid && is_same_file && known.is_judged => continue,
                // Another file has the name. The one that had it is served until that is known.
                ImageState::Offered(_) if is_valid => {}
                _ => {
                    let settling = ImageState::Withheld(Reason::Settling);
                    retired.push(std::mem::replace(&mut known.state, settling));
                }
            }
            known.since = now;
            known.is_judged = false;
        }
        for state in retired {
            self.retire(state);
        }
    }

    /// Keeps an image open for those who have it mounted.
    fn retire(&mut self, state: ImageState) {
        if let ImageState::Offered(offered) = state {
            self.retired.push(offered);
        }
    }

    /// Lets go of replaced images that nobody uses.
    fn let_go(&mut self) {
        let library = &self.library;
        self.retired.retain(|image| {
            let idle = library.mounted_ago(image);
            idle.is_some_and(|idle| idle < RETIRED_IDLE) && image.blob.validate().is_ok()
        });
        self.retired.sort_by_key(|image| library.mounted_ago(image));
        self.retired.truncate(RETIRED_MAX);
    }

    fn watch_beside(&mut self) {
        let Some(folder) = &mut self.folder else {
            return;
        };
        let beside = self.files.keys().filter_map(|file| stem(file));
        for name in beside.filter(|name| self.folders.contains(*name)) {
            folder.watch.add(&self.settings.dir, name);
        }
    }

    /// Opens all images that were left alone for long enough.
    async fn open_settled(&mut self, now: Instant) {
        let Some(tree) = self.folder.as_ref().map(|folder| Arc::clone(&folder.tree)) else {
            return;
        };
        let offered = self.files.values().filter(|known| known.is_offered());
        self.offered_count = offered.count();
        let mut waiting = Vec::new();
        for (file, known) in &self.files {
            let Some(stamp) = known.stamp else { continue };
            let age = now.duration_since(known.since);
            let is_due = match &known.state {
                _ if !known.is_judged => {
                    age >= self.settings.settle || stamp.is_older_than(self.settings.settle)
                }
                ImageState::Withheld(Reason::Unreadable(_)) => age >= TRY_AGAIN,
                ImageState::Withheld(Reason::TooMany) => self.offered_count < IMAGES_MAX,
                _ => false,
            };
            if is_due {
                waiting.push((file.clone(), stamp));
            }
        }
        let mut opening = JoinSet::new();
        let mut of_tasks: Vec<(Id, NameBuf, Stamp)> = Vec::new();
        let mut published = Instant::now();
        waiting.reverse();
        loop {
            while opening.len() < OPENING_MAX
                && let Some((file, stamp)) = waiting.pop()
            {
                if !self.has_room(&file) {
                    self.judge(&file, stamp, Err(NotOpened::Withheld(Reason::TooMany)));
                    continue;
                }
                let (tree, questions) = (Arc::clone(&tree), Arc::clone(&self.questions));
                let resolver = self.resolver();
                let runtime = tokio::runtime::Handle::current();
                let name = file.clone();
                // Reading a directory of 50,000 files takes a while, and threads serve meanwhile.
                let task = opening.spawn_blocking(move || {
                    runtime.block_on(open(&*tree, &resolver, &name, &questions))
                });
                of_tasks.push((task.id(), file, stamp));
            }
            let (id, opened) = match opening.join_next_with_id().await {
                None => return,
                Some(Ok((id, opened))) => (id, opened),
                // It is not tried again and again.
                Some(Err(error)) => {
                    tracing::error!(event = "failed", "images: {error}");
                    let reason = Reason::Damaged("reading it is a fault of this server".into());
                    (error.id(), Err(NotOpened::Withheld(reason)))
                }
            };
            if let Some(place) = of_tasks.iter().position(|(of, ..)| *of == id) {
                let (_, file, stamp) = of_tasks.swap_remove(place);
                self.judge(&file, stamp, opened);
            }
            if published.elapsed() >= PUBLISH_EVERY {
                self.publish();
                published = Instant::now();
            }
        }
    }

    /// Whether this file may be served besides those that are: in the place of itself, always.
    fn has_room(&self, file: &NameBuf) -> bool {
        let known = self.files.get(file);
        known.is_some_and(KnownFile::is_offered) || self.offered_count < IMAGES_MAX
    }

    /// Takes note of what opening a file gave.
    fn judge(&mut self, file: &NameBuf, stamp: Stamp, opened: Result<(Stamp, Opened), NotOpened>) {
        let number = self.next_number();
        let profiles = Arc::clone(&self.settings.profiles);
        let has_room = self.has_room(file);
        let Some(known) = self.files.get_mut(file) else {
            return;
        };
        let state = match opened {
            Ok((found, _)) if found == stamp && !has_room => ImageState::Withheld(Reason::TooMany),
            Ok((found, opened)) if found == stamp => {
                let offered = Offered::new(opened, profiles, number, file);
                ImageState::Offered(Arc::new(offered))
            }
            Ok(_) | Err(NotOpened::Changed) => {
                known.since = Instant::now();
                return;
            }
            Err(NotOpened::Withheld(reason)) => ImageState::Withheld(reason),
        };
        known.since = Instant::now();
        known.is_judged = true;
        let before = std::mem::replace(&mut known.state, state);
        self.offered_count -= usize::from(matches!(before, ImageState::Offered(_)));
        self.offered_count += usize::from(known.is_offered());
        self.retire(before);
    }

    fn next_number(&mut self) -> u64 {
        let is_taken = |number: u64| self.library.shelf().by_number(number).is_some();
        loop {
            self.last_number = self.last_number % NUMBER_MAX + 1;
            if !is_taken(self.last_number) {
                return self.last_number;
            }
        }
    }

    /// Asks images anew after profiles were changed, and looks at what lies beside them.
    async fn ask_again(&mut self) {
        let Some(folder) = self.folder.as_ref().map(|folder| Arc::clone(&folder.tree)) else {
            return;
        };
        let asks_anew = std::mem::take(&mut self.asks_anew);
        for (file, known) in &mut self.files {
            let ImageState::Offered(offered) = &known.state else {
                continue;
            };
            let mut contents = match asks_anew {
                false => offered.contents.clone(),
                true => {
                    let image = &*offered.blob;
                    match inquiry::contents(&offered.tree, image, &self.questions).await {
                        Ok(contents) => contents,
                        // It was edited: the next look sees it.
                        Err(_) => continue,
                    }
                }
            };
            contents.beside = match stem(file).filter(|name| self.folders.contains(*name)) {
                Some(name) => inquiry::beside(&*folder, name, &self.questions).await,
                None => BTreeMap::new(),
            };
            if asks_anew || contents != offered.contents {
                let profiles = Arc::clone(&self.settings.profiles);
                let asked = offered.with_contents(contents, profiles);
                known.state = ImageState::Offered(Arc::new(asked));
            }
        }
    }

    /// Says what is served now.
    fn publish(&mut self) {
        let before = self.library.shelf();
        let mut images = Vec::with_capacity(self.files.len());
        let files: Vec<NameBuf> = self.files.keys().cloned().collect();
        let names = names(&files);
        for (file, known) in &mut self.files {
            let Some(name) = names.get(file) else {
                continue;
            };
            let (len, modified) = known.shown();
            let is_same = known.told.as_ref().is_some_and(|told| {
                told.name == *name && told.len == len && told.state.is(&known.state)
            });
            if !is_same {
                let image = Arc::new(LibraryImage {
                    name: name.clone(),
                    file_name: file.clone(),
                    len,
                    modified,
                    state: known.state.clone(),
                });
                tell(&image, known.told.as_deref());
                known.told = Some(image);
            }
            images.extend(known.told.clone());
        }
        let folder = self.folder.as_ref();
        let beside = self.files.keys().filter_map(|file| {
            let folder = self.folders.get(stem(file)?)?;
            Some((file.clone(), folder.clone()))
        });
        let beside = beside.collect();
        let mut problems = self.problems.clone();
        let is_too_many =
            |known: &KnownFile| matches!(known.state, ImageState::Withheld(Reason::TooMany));
        if self.files.values().any(is_too_many) {
            let what = format!("more than {IMAGES_MAX} images; not all are served");
            problems.push(self.problem(&what));
        }
        let found = Found {
            images,
            retired: self.retired.clone(),
            beside,
            folder: folder.map(|folder| Arc::clone(&folder.tree)),
            problems,
        };
        for problem in &found.problems {
            if !before.problems.contains(problem) {
                tracing::warn!(event = "images", "images: {problem}");
            }
        }
        self.library.put(Shelf::new(found, &before, wall_now()));
    }

    fn next_look(&self, now: Instant) -> Duration {
        let settling = self.files.values().filter(|known| !known.is_judged);
        let left = settling.map(|known| {
            let age = now.saturating_duration_since(known.since);
            // Not a hair too early, and not all the time for one that never settles.
            self.settings.settle.saturating_sub(age) + AGAIN
        });
        left.min().unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
    }
}

impl KnownFile {
    const fn is_offered(&self) -> bool {
        matches!(self.state, ImageState::Offered(_))
    }

    /// Length and time of what is served, or else of the file.
    fn shown(&self) -> (u64, Timestamp) {
        match (&self.state, &self.stamp) {
            (ImageState::Offered(offered), _) => {
                let attributes = offered.blob.attributes();
                (attributes.len, attributes.modified)
            }
            (_, Some(stamp)) => (stamp.len, stamp.modified),
            (_, None) => (0, Timestamp::default()),
        }
    }
}

/// Why there is no open image.
#[derive(Debug)]
enum NotOpened {
    /// It changes still.
    Changed,
    /// It is not to be served.
    Withheld(Reason),
}

/// Opens an image of the folder and asks it what profiles want to know.
async fn open(
    folder: &dyn Tree,
    resolver: &Resolver,
    file: &NameBuf,
    questions: &Questions,
) -> Result<(Stamp, Opened), NotOpened> {
    let changed_or = |error: Error| match error.kind() {
        ErrorKind::Stale | ErrorKind::NotFound => NotOpened::Changed,
        kind => NotOpened::Withheld(Reason::Unreadable(kind.to_string())),
    };
    let path = TreePath::ROOT
        .child(file)
        .map_err(|kind| changed_or(kind.into()))?;
    let found = resolver.resolve(folder, &path).await;
    let found = found.map_err(changed_or)?.attributes;
    let blob = folder.open(found.node).await.map_err(changed_or)?;
    let attributes = blob.attributes();
    let (stamp, len) = (Stamp::of(attributes), attributes.len);
    let tree = options().open(Arc::clone(&blob)).await;
    let tree = tree.map_err(|error| match error {
        ImageError::Tree(error) => changed_or(error),
        other => NotOpened::Withheld(Reason::Damaged(other.to_string())),
    })?;
    if let Some(declared) = tree.declared_len().filter(|declared| *declared > len) {
        return Err(NotOpened::Withheld(Reason::Incomplete { declared }));
    }
    let contents = inquiry::contents(&tree, &*blob, questions);
    let contents = contents.await.map_err(changed_or)?;
    let opened = Opened {
        tree,
        blob,
        contents,
    };
    Ok((stamp, opened))
}

/// A folder may hold hundreds of images, each of which remembers directories.
fn options() -> ImageOptions {
    let mut limits = Limits::default();
    limits.directories_cached_max = 32;
    limits.entries_cached_max = 1 << 14;
    ImageOptions::new().with_limits(limits)
}

fn unreadable(kind: NodeKind, error: &Error) -> Reason {
    Reason::Unreadable(match kind {
        NodeKind::Link => {
            let kind = error.kind();
            format!("the link leads to nothing within the folder ({kind}); move the image there")
        }
        _ => error.kind().to_string(),
    })
}

fn identity(dir: &Path) -> Result<(u64, u64), Error> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(dir).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::Io,
        };
        Error::with_source(kind, error)
    })?;
    match metadata.is_dir() {
        true => Ok((metadata.dev(), metadata.ino())),
        false => Err(ErrorKind::NotFound.into()),
    }
}

fn wall_now() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanos: now.subsec_nanos(),
    }
}

fn shown(file: &NameBuf) -> String {
    printable(&file.to_string())
}

/// Says what has become of an image.
fn tell(image: &LibraryImage, before: Option<&LibraryImage>) {
    let (name, file) = (image.name.as_str(), shown(&image.file_name));
    match &image.state {
        ImageState::Offered(offered) => {
            let what = match offered.recognised() {
                Some(recognised) => recognised.label,
                None => "no profile fits".to_owned(),
            };
            let format = offered.tree.format_name();
            let event = match before.and_then(LibraryImage::offered) {
                Some(before) if before.number == offered.number => "image_recognised",
                Some(_) => "image_replaced",
                None => "image_offered",
            };
            tracing::info!(
                event,
                image = name,
                "image {name} is served: {}; {file}, {format}",
                printable(&what)
            );
        }
        ImageState::Withheld(Reason::Settling) => {
            tracing::debug!(
                event = "image_found",
                image = name,
                "{file} is looked at when it settles"
            );
        }
        // Of which there may be many; that there are is told of the folder.
        ImageState::Withheld(Reason::TooMany) => tracing::debug!(
            event = "image_withheld",
            image = name,
            "{file} is not served: {}",
            Reason::TooMany
        ),
        ImageState::Withheld(reason) => tracing::warn!(
            event = "image_withheld",
            image = name,
            reason = reason.as_str(),
            "{file} is not served: {}",
            printable(&reason.to_string())
        ),
    }
}
