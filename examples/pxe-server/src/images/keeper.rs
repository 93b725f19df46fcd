//! Keeps a library in step with its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pxe_tree::{
    Cookie, DirKeys, Error, ErrorKind, NameBuf, NodeKind, Resolver, Timestamp, Tree, TreePath,
};

use super::Profiles;
use super::contents::Questions;
use super::events;
use super::library::{ImageState, Library, LibraryImage, Offered, Opened, Reason};
use super::opening::{FolderReader, Glance, ImageFile, NotOpened, Seen, Stamp};
use super::shelf::{Found, Shelf, names, stem};
use super::tree::NUMBER_MAX;
use super::watch::Watch;
use super::workers::{Event, Workers};

/// How many images are open at once, each with one open file.
pub(crate) const IMAGES_MAX: usize = 1000;
/// How many names of the folder are looked at.
const NAMES_MAX: usize = 100_000;
/// How long a file is waited for, while others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a command, which looks once: as long as a disk takes that has to start.
const COMMAND_PATIENCE: Duration = Duration::from_secs(10);
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
    /// Whoever reads files: their disks may hang.
    workers: Workers<Target, Seen>,
    /// Files that were looked at since the last look began: those whose disks are slow.
    late: BTreeSet<NameBuf>,
    /// How many files were not looked at, as all workers wait for disks.
    waiting_count: usize,
    /// How many images are offered.
    offered_count: usize,
    last_number: u64,
    /// Whether it is to hear of changes.
    watches: bool,
    problems: Vec<String>,
}

/// What a worker looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// A file of the folder.
    File(NameBuf),
    /// An image that was replaced, by its number.
    Retired(u64),
}

/// The folder, as long as its path leads to it.
#[derive(Debug)]
struct Folder {
    identity: (u64, u64),
    tree: Arc<dyn Tree>,
    watch: Arc<Watch>,
}

/// A file of the folder.
#[derive(Debug)]
struct KnownFile {
    entry: Entry,
    stamp: Option<Stamp>,
    /// Since when it is as it is.
    since: Instant,
    /// Whether `state` is about the file as it is. An earlier one is served until it is.
    is_judged: bool,
    state: ImageState,
    /// As it was told last.
    told: Option<Arc<LibraryImage>>,
}

/// What the folder itself says of a name in it, whatever lies behind that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    kind: NodeKind,
    fileid: u64,
}

/// What is in the folder.
#[derive(Debug, Default)]
struct Listing {
    images: BTreeMap<NameBuf, Entry>,
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
            workers: Workers::new(PATIENCE),
            late: BTreeSet::new(),
            waiting_count: 0,
            offered_count: 0,
            last_number: 0,
            watches: true,
            problems: Vec::new(),
        }
    }

    /// One that looks once, and takes files as settled.
    pub(crate) fn unwatched(library: Arc<Library>, mut settings: Settings) -> Self {
        settings.settle = Duration::ZERO;
        let mut keeper = Self::new(library, settings).with_patience(COMMAND_PATIENCE);
        keeper.watches = false;
        keeper
    }

    /// The same keeper, which has looked at nothing yet, with files waited for so long.
    pub(super) fn with_patience(mut self, patience: Duration) -> Self {
        self.workers = Workers::new(patience);
        self
    }

    /// From the next look on, these hold.
    pub(crate) fn set(&mut self, settings: Settings) {
        self.questions = Arc::new(Questions::of(&settings.profiles));
        if settings.dir != self.settings.dir || settings.keys != self.settings.keys {
            self.folder = None;
        }
        self.settings = settings;
    }

    /// Looks at the folder, and opens what is new in it. After how long it is to be looked at again
    /// is returned. Files whose disk hangs are not waited for: [`changed`](Self::changed) says when
    /// one is read.
    pub(crate) async fn look(&mut self) -> Duration {
        let listing = match self.open_folder() {
            Ok(()) => self.list().await,
            Err(error) => Err(error),
        };
        match listing {
            Ok(listing) => {
                self.problems = listing.problems;
                self.folders = listing.folders;
                self.note_entries(listing.images);
                let waiting = self.look_at_files().await;
                self.waiting_count = waiting.len();
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = match self.settings.dir.exists() {
                    true => "it is no folder",
                    false => "there is no such folder",
                };
                self.problems = vec![self.problem(what)];
                self.folder = None;
                self.folders.clear();
                self.note_entries(BTreeMap::new());
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

    /// Waits until the folder may have changed, or a disk answers that did not.
    pub(crate) async fn changed(&mut self) {
        loop {
            let (folder, workers) = (&self.folder, &mut self.workers);
            let rung = async {
                match folder {
                    Some(folder) => folder.watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                () = rung => return,
                event = workers.late() => event,
            };
            let glanced_at = match &event {
                Event::Done { file, done, .. } if !matches!(done, Ok(Seen::Opened(_))) => {
                    Some(file.clone())
                }
                _ => None,
            };
            self.take(event);
            // A disk that is slow each time is no reason to look again at once, each time.
            let was_enough = glanced_at.is_some_and(|target| match target {
                Target::File(file) => {
                    let known = self.files.get(&file);
                    known.is_some_and(|known| known.is_judged && known.is_offered())
                }
                Target::Retired(_) => true,
            });
            if !was_enough || self.waiting_count > 0 {
                return;
            }
            self.publish();
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
        self.set_folder(identity, tree, watch);
        Ok(())
    }

    fn set_folder(&mut self, identity: (u64, u64), tree: Arc<dyn Tree>, watch: Watch) {
        self.folder = Some(Folder {
            identity,
            tree,
            watch: Arc::new(watch),
        });
        // Its files may have the names of others.
        self.workers
            .retain(|target| matches!(target, Target::Retired(_)));
    }

    /// Reads the folder by this tree, and waits for a file of it for so long.
    #[cfg(test)]
    pub(super) fn read_by(&mut self, tree: Arc<dyn Tree>, patience: Duration) {
        let identity = identity(&self.settings.dir).expect("there");
        self.set_folder(identity, tree, Watch::none());
        self.workers = Workers::new(patience);
    }

    /// Links may name the folder by its own path, and lead nowhere else.
    fn resolver(&self) -> Resolver {
        let dir = self.settings.dir.as_os_str().as_encoded_bytes();
        match TreePath::parse(dir).ok().filter(|_| dir.starts_with(b"/")) {
            Some(path) => Resolver::new().with_root_path(path),
            None => Resolver::new(),
        }
    }

    /// Lists the folder, and looks at none of its files: the disk of one may hang.
    async fn list(&self) -> Result<Listing, Error> {
        let folder = self.folder.as_ref().ok_or(ErrorKind::NotFound)?;
        let tree = &*folder.tree;
        let mut listing = Listing::default();
        let mut after = Cookie::START;
        let mut names = 0;
        loop {
            let page = tree.read_dir(tree.root(), after, 1000).await?;
            for entry in &page.entries {
                names += 1;
                after = entry.cookie;
                let (name, kind, fileid) = (entry.name.clone(), entry.kind, entry.fileid);
                if stem(&name).is_some() {
                    listing.images.insert(name, Entry { kind, fileid });
                } else if kind == NodeKind::Directory {
                    listing.folders.insert(name);
                }
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

    /// Takes note of which files there are.
    fn note_entries(&mut self, found: BTreeMap<NameBuf, Entry>) {
        let gone: Vec<NameBuf> = self
            .files
            .keys()
            .filter(|file| !found.contains_key(*file))
            .cloned()
            .collect();
        for file in gone {
            self.remove(&file);
        }
        let mut others = BTreeSet::new();
        for (file, entry) in found {
            let known = self.files.entry(file.clone()).or_insert_with(|| KnownFile {
                entry,
                stamp: None,
                since: Instant::now(),
                is_judged: false,
                state: ImageState::Withheld(Reason::Settling),
                told: None,
            });
            if known.entry != entry {
                known.entry = entry;
                others.insert(file);
            }
        }
        // A name that leads to a disk that hangs may lead elsewhere now.
        let files = &self.files;
        self.workers.retain(|target| match target {
            Target::File(file) => files.contains_key(file) && !others.contains(file),
            Target::Retired(_) => true,
        });
    }

    fn remove(&mut self, file: &NameBuf) {
        let Some(known) = self.files.remove(file) else {
            return;
        };
        if let Some(told) = &known.told {
            events::removed(told);
        }
        self.offered_count -= usize::from(known.is_offered());
        self.retire(known.state);
    }

    /// Looks at all files, and opens those that were left alone for long enough; gives those that
    /// found no worker.
    async fn look_at_files(&mut self) -> BTreeSet<Target> {
        let mut left = BTreeSet::new();
        let Some(reader) = self.reader() else {
            return left;
        };
        reader.watch.retain(&self.folders);
        // Files of a disk that takes longer than a look would never get beyond the first question, or
        // never get a worker for the second one.
        let late = std::mem::take(&mut self.late);
        let mut known = self.settled(Instant::now());
        known.retain(|target| matches!(target, Target::File(file) if late.contains(file)));
        let open = |keeper: &mut Self, target| keeper.begin_open(&reader, target);
        left.extend(self.work_off(known, open).await);
        // Those of which nothing is known come first: a disk that is slow again and again would keep
        // the workers from them.
        let mut files = Vec::from_iter(self.files.iter().filter(|(file, _)| !late.contains(*file)));
        files.sort_by_key(|(_, known)| known.is_judged);
        let files = files.into_iter();
        let files = files.map(|(file, _)| Target::File(file.clone()));
        let retired = self.retired.iter();
        let retired = retired.map(|image| Target::Retired(image.number));
        let all = files.chain(retired).collect();
        let glance = |keeper: &mut Self, target| keeper.begin_glance(&reader, target);
        left.extend(self.work_off(all, glance).await);
        self.publish();
        let settled = self.settled(Instant::now());
        left.extend(self.work_off(settled, open).await);
        left
    }

    /// What workers read files with.
    fn reader(&self) -> Option<Arc<FolderReader>> {
        let folder = self.folder.as_ref()?;
        Some(Arc::new(FolderReader {
            tree: Arc::clone(&folder.tree),
            watch: Arc::clone(&folder.watch),
            resolver: self.resolver(),
            profiles: Arc::clone(&self.settings.profiles),
            questions: Arc::clone(&self.questions),
        }))
    }

    /// Begins all of these, as workers are free, and waits until they are done. Who is at one
    /// already, or is slow, is not waited for. Gives those for which no worker is left.
    async fn work_off(
        &mut self,
        mut waiting: Vec<Target>,
        begin: impl Fn(&mut Self, Target),
    ) -> Vec<Target> {
        waiting.retain(|target| !self.workers.is_at(target));
        waiting.reverse();
        let mut published = Instant::now();
        loop {
            while self.workers.has_room()
                && let Some(target) = waiting.pop()
            {
                begin(self, target);
            }
            let Some(event) = self.workers.next().await else {
                return waiting;
            };
            self.take(event);
            if published.elapsed() >= PUBLISH_EVERY {
                self.publish();
                published = Instant::now();
            }
        }
    }

    fn begin_glance(&mut self, reader: &Arc<FolderReader>, target: Target) {
        let (file, offered) = match &target {
            Target::File(name) => {
                let offered = self.files.get(name).and_then(|known| match &known.state {
                    ImageState::Offered(offered) => Some(Arc::clone(offered)),
                    ImageState::Withheld(_) => None,
                });
                (self.image_file(name), offered)
            }
            Target::Retired(number) => {
                let mut retired = self.retired.iter();
                let image = retired.find(|image| image.number == *number).cloned();
                let work = move || {
                    let is_valid = image.is_none_or(|image| image.blob.validate().is_ok());
                    Seen::Retired { is_valid }
                };
                return self.workers.begin(target, work);
            }
        };
        let Some(file) = file else { return };
        let reader = Arc::clone(reader);
        let runtime = tokio::runtime::Handle::current();
        self.workers.begin(target, move || {
            Seen::Glance(runtime.block_on(reader.glance(&file, offered.as_ref())))
        });
    }

    fn begin_open(&mut self, reader: &Arc<FolderReader>, target: Target) {
        let Target::File(name) = &target else { return };
        let Some(file) = self.image_file(name) else {
            return;
        };
        if !self.has_room(name) {
            return self.judge(name, Err(NotOpened::Withheld(Reason::TooMany)));
        }
        let reader = Arc::clone(reader);
        let runtime = tokio::runtime::Handle::current();
        // Reading a directory of 50,000 files takes a while, and threads serve meanwhile.
        self.workers.begin(target, move || {
            Seen::Opened(runtime.block_on(reader.open(&file)))
        });
    }

    fn image_file(&self, name: &NameBuf) -> Option<ImageFile> {
        let beside = stem(name).and_then(|stem| self.folders.get(stem));
        Some(ImageFile {
            name: name.clone(),
            kind: self.files.get(name)?.entry.kind,
            beside: beside.cloned(),
        })
    }

    /// Takes note of what became of work.
    fn take(&mut self, event: Event<Target, Seen>) {
        match event {
            Event::Slow(Target::File(file)) => self.note_slow(&file),
            // It stays open, as far as is known.
            Event::Slow(Target::Retired(_)) => {}
            Event::Done {
                file: Target::File(file),
                slow_for,
                done,
            } => {
                if let Some(slow_for) = slow_for {
                    events::answered(&self.name(&file), &file, slow_for);
                }
                match done {
                    Ok(Seen::Glance(glance)) => {
                        self.note(&file, glance);
                        if slow_for.is_some() {
                            self.late.insert(file);
                        }
                    }
                    Ok(Seen::Opened(opened)) => self.judge(&file, opened),
                    Ok(Seen::Retired { .. }) => {}
                    Err(message) => {
                        let reason = Reason::Fault(message);
                        self.judge(&file, Err(NotOpened::Withheld(reason)));
                    }
                }
            }
            Event::Done {
                file: Target::Retired(number),
                done,
                ..
            } => {
                if !matches!(done, Ok(Seen::Retired { is_valid: true })) {
                    self.retired.retain(|image| image.number != number);
                }
            }
        }
    }

    fn note_slow(&mut self, file: &NameBuf) {
        events::slow(&self.name(file), file, self.workers.patience());
        if let Some(known) = self.files.get_mut(file)
            && !known.is_judged
            && !known.is_offered()
        {
            known.state = ImageState::Withheld(Reason::Opening);
        }
    }

    /// What a file is called in paths.
    fn name(&self, file: &NameBuf) -> String {
        names(self.files.keys()).remove(&file).unwrap_or_default()
    }

    /// Takes note of how a file is now.
    fn note(&mut self, file: &NameBuf, glance: Glance) {
        let Some(known) = self.files.get_mut(file) else {
            return;
        };
        if matches!(known.state, ImageState::Withheld(Reason::Opening)) {
            known.state = ImageState::Withheld(Reason::Settling);
        }
        if let Some(asked) = glance.asked {
            known.state = ImageState::Offered(asked);
        }
        let is_valid = glance.is_valid;
        let stamp = match glance.found {
            None => return self.remove(file),
            Some(Ok(stamp)) => stamp,
            Some(Err(reason)) => {
                known.stamp = None;
                known.is_judged = true;
                return self.withhold(file, reason, is_valid);
            }
        };
        if known.stamp == Some(stamp) && is_valid {
            return;
        }
        let is_same_file = known.stamp.is_some_and(|before| before.file == stamp.file);
        known.stamp = Some(stamp);
        // Its owner, its names or its times changed, and its content did not.
        if known.is_offered() && is_valid && is_same_file && known.is_judged {
            return;
        }
        known.since = Instant::now();
        known.is_judged = false;
        // Of another file that has the name, the one that had it is served until it is known.
        if !(known.is_offered() && is_valid) {
            self.withhold(file, Reason::Settling, is_valid);
        }
    }

    /// Serves a file no longer, and what was served of it to those alone who have it mounted, if
    /// that is still as it was.
    fn withhold(&mut self, file: &NameBuf, reason: Reason, is_valid: bool) {
        if let Some(before) = self.put(file, ImageState::Withheld(reason))
            && is_valid
        {
            self.retire(before);
        }
    }

    /// From now on, this is what a file is; and what it was.
    fn put(&mut self, file: &NameBuf, state: ImageState) -> Option<ImageState> {
        let known = self.files.get_mut(file)?;
        self.offered_count -= usize::from(known.is_offered());
        let before = std::mem::replace(&mut known.state, state);
        self.offered_count += usize::from(known.is_offered());
        Some(before)
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
            idle.is_some_and(|idle| idle < RETIRED_IDLE)
        });
        self.retired.sort_by_key(|image| library.mounted_ago(image));
        self.retired.truncate(RETIRED_MAX);
    }

    /// The files that were left alone for long enough to be opened, and those to try again.
    fn settled(&self, now: Instant) -> Vec<Target> {
        let files = self.files.iter().filter(|(_, known)| {
            let Some(stamp) = known.stamp else {
                return false;
            };
            let age = now.saturating_duration_since(known.since);
            match &known.state {
                _ if !known.is_judged => {
                    age >= self.settings.settle || stamp.is_older_than(self.settings.settle)
                }
                ImageState::Withheld(Reason::Unreadable(_)) => age >= TRY_AGAIN,
                ImageState::Withheld(Reason::TooMany) => self.offered_count < IMAGES_MAX,
                _ => false,
            }
        });
        files.map(|(file, _)| Target::File(file.clone())).collect()
    }

    /// Whether this file may be served besides those that are: in the place of itself, always.
    fn has_room(&self, file: &NameBuf) -> bool {
        let known = self.files.get(file);
        known.is_some_and(KnownFile::is_offered) || self.offered_count < IMAGES_MAX
    }

    /// Takes note of what opening a file gave.
    fn judge(&mut self, file: &NameBuf, opened: Result<(Stamp, Opened), NotOpened>) {
        let number = self.next_number();
        let has_room = self.has_room(file);
        let Some(known) = self.files.get_mut(file) else {
            return;
        };
        known.since = Instant::now();
        let state = match opened {
            Ok((found, _)) if known.stamp == Some(found) && !has_room => {
                ImageState::Withheld(Reason::TooMany)
            }
            Ok((found, opened)) if known.stamp == Some(found) => {
                ImageState::Offered(Arc::new(Offered::new(opened, number, file)))
            }
            Ok(_) | Err(NotOpened::Changed) => return,
            Err(NotOpened::Withheld(reason)) => ImageState::Withheld(reason),
        };
        known.is_judged = true;
        if let Some(before) = self.put(file, state) {
            self.retire(before);
        }
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
                events::tell(&image, known.told.as_deref());
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
        if self.waiting_count > 0 {
            let what = format!(
                "the disks of {} files do not answer, and {} others are looked at once one does: \
                 see that they answer, unmount them by force (umount -f), or restart the server",
                self.workers.slow_count(),
                self.waiting_count
            );
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
        if self.waiting_count > 0 {
            return LOOK_EVERY;
        }
        let settling = self.files.iter().filter(|(_, known)| !known.is_judged);
        // Of one at which somebody is, that it is read will be told.
        let settling =
            settling.filter(|(file, _)| !self.workers.is_at(&Target::File((*file).clone())));
        let left = settling.map(|(_, known)| {
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
