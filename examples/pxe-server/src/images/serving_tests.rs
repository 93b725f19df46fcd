//! Folders of images, served.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pxe_iso::fuzzing::image_of;
use pxe_tree::conformance::{Fixture, check};
use pxe_tree::{
    Blob, CaseFold, Cookie, DirKeys, DirTree, Direct, ErrorKind, NodeKey, Subtree, Tree, TreePath,
    resolve,
};

use super::keeper::{Keeper, Settings};
use super::library::Reason;
use super::{ImagesTree, Library, Profiles};
use crate::user_tree::{Reader, UserTree};

/// A folder, and the library of it.
pub(super) struct Site {
    pub(super) dir: tempfile::TempDir,
    pub(super) library: Arc<Library>,
    pub(super) keeper: Keeper,
    tree: ImagesTree,
}

fn settings(dir: &Path, settle: Duration) -> Settings {
    Settings {
        dir: dir.to_owned(),
        settle,
        profiles: Arc::new(Profiles::shipped()),
        keys: DirKeys::Inode,
    }
}

impl Site {
    pub(super) fn new() -> Self {
        Self::with_settle(Duration::ZERO)
    }

    fn with_settle(settle: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let library = Library::new();
        let settings = settings(dir.path(), settle);
        Self {
            // A machine that is busy is no disk that hangs.
            keeper: Keeper::new(Arc::clone(&library), settings).with_patience(HOUR),
            tree: ImagesTree::new(Arc::clone(&library)),
            library,
            dir,
        }
    }

    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("one")).expect("writable");
        fs::write(path, content).expect("writable");
    }

    /// As rsync replaces a file.
    pub(super) fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        self.put(".new", content);
        let dir = self.dir.path();
        fs::rename(dir.join(".new"), dir.join(name)).expect("renamed");
    }

    /// All that is offered, by name.
    pub(super) fn offered(&self) -> Vec<String> {
        let shelf = self.library.shelf();
        shelf
            .offered()
            .map(|(image, _)| image.name.clone())
            .collect()
    }

    /// Why each other one is not.
    pub(super) fn withheld(&self) -> Vec<(String, Reason)> {
        let images = self.library.shelf().images.clone();
        let images = images.iter();
        let withheld =
            images.filter_map(|image| Some((image.name.clone(), image.reason()?.clone())));
        withheld.collect()
    }

    /// From now on, an image has to be left alone for so long.
    fn set_settle(&mut self, settle: Duration) {
        self.keeper.set(settings(self.dir.path(), settle));
    }

    async fn open(&self, path: &str) -> pxe_tree::Result<Arc<dyn Blob>> {
        let path = TreePath::parse(path).expect("a path");
        let found = resolve(&self.tree, &path).await?;
        self.tree.open(found.attributes.node).await
    }

    pub(super) async fn read(&self, path: &str) -> pxe_tree::Result<String> {
        content(&*self.open(path).await?).await
    }

    async fn key(&self, path: &str) -> NodeKey {
        let path = TreePath::parse(path).expect("a path");
        let found = resolve(&self.tree, &path).await.expect("there");
        self.tree.key(found.attributes.node).expect("a key")
    }

    /// What a machine reads that has a handle.
    async fn read_key(&self, key: &NodeKey) -> Result<String, ErrorKind> {
        let node = self
            .tree
            .resolve_key(key)
            .await
            .map_err(|error| error.kind())?;
        let blob = self.tree.open(node).await.map_err(|error| error.kind())?;
        content(&*blob).await.map_err(|error| error.kind())
    }
}

async fn content(blob: &dyn Blob) -> pxe_tree::Result<String> {
    let bytes = blob.read_at(0, 1 << 20).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const HOUR: Duration = Duration::from_secs(3600);

/// An image with one file `file` of this content.
pub(super) fn image(content: &str) -> Vec<u8> {
    let fixture = Fixture::new().file("file", content.to_owned());
    image_of(&fixture, content)
}

#[tokio::test]
async fn all_images_conform_as_one_tree() {
    let inside = Fixture::standard();
    let bytes = image_of(&inside, "STANDARD");
    let mut fixture = Fixture::new()
        .file("live.iso", bytes.clone())
        .file("live.beside/netboot/linux", "kernel");
    for (path, expected) in inside.entries() {
        let path = TreePath::parse("live").expect("a path").join(path);
        fixture = fixture.with(path.expect("short").as_bytes(), expected.clone());
    }
    let site = Site::new();
    site.put("live.iso", bytes);
    site.put("live/netboot/linux", "kernel");
    site.put("notes.txt", "not served");
    check(&fixture, async || {
        let library = Library::new();
        let mut keeper = Keeper::new(
            Arc::clone(&library),
            settings(site.dir.path(), Duration::ZERO),
        );
        keeper.look().await;
        Arc::new(ImagesTree::new(library)) as _
    })
    .await;
}

#[tokio::test]
async fn a_file_of_an_image_is_sent_from_the_images_file() {
    let mut site = Site::new();
    site.put("a.iso", image("content"));
    site.keeper.look().await;
    assert_eq!(site.offered(), ["a"]);
    assert_eq!(site.read("a/file").await.expect("there"), "content");
    for (path, expected) in [("a/file", 7), ("a.iso", image("content").len() as u64)] {
        let path = TreePath::parse(path).expect("a path");
        let found = resolve(&site.tree, &path).await.expect("there").attributes;
        let blob = site.tree.open(found.node).await.expect("a file");
        let direct = blob.direct(0, u64::MAX);
        assert!(
            matches!(direct, Direct::File { len, .. } if len == expected),
            "{direct:?}"
        );
    }
}

/// Through all that lies between an image and a client of TFTP or HTTP.
#[tokio::test]
async fn layers_over_an_image_leave_its_files_where_they_are() {
    let mut site = Site::new();
    site.put("a.iso", image("content"));
    site.keeper.look().await;
    let root = tempfile::tempdir().expect("a directory");
    let tree: Arc<dyn Tree> = Arc::new(DirTree::new(root.path()).expect("a tree"));
    let reader = Reader::of_process().expect("known");
    let tree = Arc::new(UserTree::new(tree, reader));
    let at = TreePath::parse("images").expect("a path");
    let images = Arc::new(ImagesTree::new(Arc::clone(&site.library)));
    let tree = Subtree::new(tree, at, images).expect("below the root");
    let tree = CaseFold::new(Arc::new(tree));
    let path = TreePath::parse("IMAGES/A/FILE").expect("a path");
    let found = resolve(&tree, &path).await.expect("there").attributes;
    let blob = tree.open(found.node).await.expect("a file");
    assert!(matches!(blob.direct(0, 7), Direct::File { len: 7, .. }));
}

#[tokio::test]
async fn half_of_an_image_is_not_offered() {
    let mut site = Site::new();
    let whole = image("content");
    let (half, rest) = whole.split_at(whole.len() - 2048);
    site.put("a.iso", half);
    site.put("head.iso", &whole[..17 * 2048]);
    site.put("none.iso", "");
    site.keeper.look().await;
    assert!(site.offered().is_empty());
    let declared = whole.len() as u64;
    let withheld = site.withheld();
    assert_eq!(withheld[0], ("a".into(), Reason::Incomplete { declared }));
    assert!(matches!(withheld[2].1, Reason::Damaged(_)), "{withheld:?}");
    assert_eq!(
        site.open("a/file").await.expect_err("half").kind(),
        ErrorKind::NotFound
    );
    let file = OpenOptions::new()
        .append(true)
        .open(site.dir.path().join("a.iso"));
    file.expect("there").write_all(rest).expect("writable");
    site.keeper.look().await;
    assert_eq!(site.offered(), ["a"]);
    assert_eq!(site.read("a/file").await.expect("there"), "content");
}

#[tokio::test]
async fn an_image_is_offered_once_it_was_left_alone() {
    let mut site = Site::with_settle(HOUR);
    site.put("a.iso", image("content"));
    let wait = site.keeper.look().await;
    assert_eq!(site.withheld(), [("a".into(), Reason::Settling)]);
    assert!(!wait.is_zero());
    // What the folder itself is called settles nothing.
    fs::rename(site.dir.path().join("a.iso"), site.dir.path().join("b.iso")).expect("renamed");
    site.keeper.look().await;
    assert_eq!(site.withheld(), [("b".into(), Reason::Settling)]);
    site.set_settle(Duration::ZERO);
    site.keeper.look().await;
    assert_eq!(site.offered(), ["b"]);
}

#[tokio::test]
async fn a_replaced_image_is_offered_until_the_new_one_is_whole() {
    let mut site = Site::new();
    site.put("a.iso", image("old"));
    site.keeper.look().await;
    let reader = site.open("a/file").await.expect("there");
    let (file, dir) = (site.key("a/file").await, site.key("a").await);
    site.set_settle(HOUR);
    site.replace("a.iso", image("new"));
    site.keeper.look().await;
    assert_eq!(site.read("a/file").await.expect("there"), "old");
    assert_eq!(site.read_key(&file).await, Ok("old".into()));
    site.set_settle(Duration::ZERO);
    site.keeper.look().await;
    assert_eq!(site.read("a/file").await.expect("there"), "new");
    // Who reads it goes on, and who has it mounted.
    assert_eq!(content(&*reader).await.expect("open"), "old");
    assert_eq!(site.read_key(&file).await, Ok("old".into()));
    let root = site.tree.resolve_key(&dir).await.expect("mounted");
    let name = pxe_tree::Name::new("file").expect("a name");
    let found = site.tree.lookup(root, name).await.expect("there");
    let blob = site.tree.open(found.node).await.expect("a file");
    assert_eq!(content(&*blob).await.expect("open"), "old");
    assert_eq!(site.library.shelf().retired_count(), 1);
}

#[tokio::test]
async fn an_image_that_nobody_mounted_is_let_go_of_when_it_is_removed() {
    let mut site = Site::new();
    site.put("mounted.iso", image("mounted"));
    site.put("read.iso", image("read"));
    site.keeper.look().await;
    let key = site.key("mounted/file").await;
    assert_eq!(site.read("read/file").await.expect("there"), "read");
    for name in ["mounted.iso", "read.iso"] {
        fs::remove_file(site.dir.path().join(name)).expect("there");
    }
    site.keeper.look().await;
    assert!(site.library.shelf().images.is_empty());
    assert_eq!(site.library.shelf().retired_count(), 1);
    assert_eq!(site.read_key(&key).await, Ok("mounted".into()));
    assert_eq!(
        site.open("mounted/file").await.expect_err("gone").kind(),
        ErrorKind::NotFound
    );
}

/// As `cp` writes over a file.
#[tokio::test]
async fn an_image_that_changes_in_place_is_no_mixture() {
    let mut site = Site::new();
    site.put("a.iso", image("one"));
    site.keeper.look().await;
    let reader = site.open("a/file").await.expect("there");
    let key = site.key("a/file").await;
    site.set_settle(HOUR);
    site.put("a.iso", [&image("two")[..], &[0; 2048]].concat());
    // Before anybody looked, and after: who has it mounted is to ask again.
    assert_eq!(
        content(&*reader).await.expect_err("edited").kind(),
        ErrorKind::Stale
    );
    assert_eq!(site.read_key(&key).await, Err(ErrorKind::Busy));
    site.keeper.look().await;
    assert_eq!(site.read_key(&key).await, Err(ErrorKind::Busy));
    assert!(site.offered().is_empty());
    site.set_settle(Duration::ZERO);
    site.keeper.look().await;
    assert_eq!(site.read("a/file").await.expect("there"), "two");
    assert_eq!(site.read_key(&key).await, Err(ErrorKind::Stale));
}

#[tokio::test]
async fn the_same_image_written_again_has_the_same_handles() {
    let mut site = Site::new();
    site.put("a.iso", image("one"));
    site.keeper.look().await;
    let key = site.key("a/file").await;
    site.put("a.iso", [&image("one")[..], &[0; 2048]].concat());
    site.keeper.look().await;
    assert_eq!(site.read_key(&key).await, Ok("one".into()));
    site.replace("a.iso", image("one"));
    site.keeper.look().await;
    assert_eq!(site.read_key(&key).await, Ok("one".into()));
}

/// After a restart no handle is stale before the folder was looked at.
#[tokio::test]
async fn handles_wait_for_the_first_look() {
    let mut site = Site::new();
    site.put("a.iso", image("one"));
    site.keeper.look().await;
    let keys = [
        site.key("a/file").await,
        site.key("a.iso").await,
        site.key("").await,
    ];
    let library = Library::new();
    let dir = settings(site.dir.path(), Duration::ZERO);
    let mut keeper = Keeper::new(Arc::clone(&library), dir);
    let tree = ImagesTree::new(library);
    let resolve_all = async {
        for key in &keys {
            tree.resolve_key(key).await.expect("known by then");
        }
    };
    let path = TreePath::parse("a/file").expect("a path");
    let (found, (), _) = tokio::join!(resolve(&tree, &path), resolve_all, keeper.look());
    assert_eq!(found.expect("there").attributes.len, 3);
}

#[tokio::test]
async fn other_things_of_the_folder_are_not_served() {
    let mut site = Site::new();
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::write(elsewhere.path().join("x.iso"), image("secret")).expect("writable");
    let dir = site.dir.path().to_owned();
    site.put("real.iso", image("real"));
    site.put(".hidden.iso", image("hidden"));
    site.put("real.iso.part", image("part"));
    symlink("real.iso", dir.join("link.iso")).expect("writable");
    symlink(dir.join("real.iso"), dir.join("absolute.iso")).expect("writable");
    symlink(elsewhere.path().join("x.iso"), dir.join("outside.iso")).expect("writable");
    symlink("../../../../etc/passwd", dir.join("up.iso")).expect("writable");
    symlink("self.iso", dir.join("self.iso")).expect("writable");
    fs::create_dir(dir.join("folder.iso")).expect("writable");
    let fifo = nix::sys::stat::Mode::from_bits_truncate(0o644);
    nix::unistd::mkfifo(&dir.join("fifo.iso"), fifo).expect("writable");
    site.put("text.iso", "no image");
    site.keeper.look().await;
    assert_eq!(site.offered(), ["absolute", "link", "real"]);
    assert_eq!(site.read("link/file").await.expect("there"), "real");
    let withheld = site.withheld();
    let of = |name: &str| {
        withheld
            .iter()
            .find(|(image, _)| image == name)
            .map(|(_, why)| why)
    };
    for name in ["outside", "up", "self", "folder", "fifo"] {
        assert!(
            matches!(of(name), Some(Reason::Unreadable(_))),
            "{name}: {withheld:?}"
        );
    }
    assert!(
        matches!(of("text"), Some(Reason::Damaged(_))),
        "{withheld:?}"
    );
    assert_eq!(withheld.len(), 6);
}

#[tokio::test]
async fn names_that_no_url_could_hold_are_made_plain() {
    let mut site = Site::new();
    let names: [&[u8]; 6] = [
        b"with space.iso",
        b"new\nline.iso",
        b"raw\xff.iso",
        b"Case.iso",
        b"case.ISO",
        &[&[b'n'; 251][..], b".iso"].concat(),
    ];
    for name in names {
        let path = site.dir.path().join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, image("content")).expect("writable");
    }
    site.keeper.look().await;
    let long = "n".repeat(251);
    assert_eq!(
        site.offered(),
        ["Case", "case", "new_line", &long, "raw_", "with_space"]
    );
    for name in site.offered() {
        assert_eq!(
            site.read(&format!("{name}/file")).await.expect("there"),
            "content"
        );
    }
    let page = site
        .tree
        .read_dir(site.tree.root(), Cookie::START, 100)
        .await
        .expect("listed");
    assert_eq!(page.entries.len(), 12, "each and its .iso");
}

#[tokio::test]
async fn more_images_than_are_opened_are_told() {
    let mut site = Site::new();
    site.put("0.iso", image("content"));
    let first = site.dir.path().join("0.iso");
    for number in 1..super::IMAGES_MAX + 3 {
        let name = format!("{number}.iso");
        fs::hard_link(&first, site.dir.path().join(name)).expect("writable");
    }
    // What is not served is not opened either.
    site.put("last.iso", "no image");
    site.keeper.look().await;
    assert_eq!(site.offered().len(), super::IMAGES_MAX);
    let withheld = site.withheld();
    assert!(withheld.len() == 4 && withheld.iter().all(|(_, why)| *why == Reason::TooMany));
    let problems = site.library.shelf().problems.clone();
    assert!(problems[0].ends_with("more than 1000 images; not all are served"));
    // One goes, and another takes its place.
    fs::remove_file(&first).expect("there");
    site.keeper.look().await;
    assert_eq!(site.offered().len(), super::IMAGES_MAX);
}

#[tokio::test]
async fn thousands_of_files_that_are_no_images() {
    let mut site = Site::new();
    for number in 0..3000 {
        site.put(&format!("{number}.iso"), "x");
        site.put(&format!("{number}.txt"), "x");
    }
    site.put("z.iso", image("content"));
    site.keeper.look().await;
    assert_eq!(site.offered(), ["z"]);
    assert_eq!(site.withheld().len(), 3000);
}

#[tokio::test]
async fn a_directory_of_50000_files_is_listed_and_looked_up_in() {
    let mut fixture = Fixture::new();
    for number in 0..50_000 {
        fixture = fixture.file(format!("many/{number}"), "");
    }
    let mut site = Site::new();
    site.put("a.iso", image_of(&fixture, "MANY"));
    site.keeper.look().await;
    let path = TreePath::parse("a/many").expect("a path");
    let many = resolve(&site.tree, &path)
        .await
        .expect("there")
        .attributes
        .node;
    let (mut count, mut after) = (0, Cookie::START);
    loop {
        let page = site
            .tree
            .read_dir_attributes(many, after, 4096)
            .await
            .expect("listed");
        count += page.entries.len();
        let Some(last) = page.entries.last().filter(|_| !page.end) else {
            break;
        };
        after = last.entry.cookie;
    }
    assert_eq!(count, 50_000);
    assert_eq!(site.read("a/many/49999").await.expect("there"), "");
}

#[tokio::test]
async fn what_lies_beside_an_image_is_served_and_asked_for() {
    let mut site = Site::new();
    let fixture = Fixture::new()
        .file(
            ".disk/info",
            "Debian GNU/Linux 12.13.0 \"Bookworm\" - Official amd64 NETINST with firmware",
        )
        .file("install.amd/vmlinuz", "kernel")
        .file("install.amd/initrd.gz", "initrd");
    site.put("netinst.iso", image_of(&fixture, "Debian 12.13.0 amd64 n"));
    site.keeper.look().await;
    let missing = |site: &Site| {
        let shelf = site.library.shelf();
        let image = shelf.image("netinst").expect("there");
        let offered = image.offered().expect("offered");
        offered.recognised().expect("by its texts").missing.len()
    };
    let before = missing(&site);
    assert!(before > 0);
    site.put("netinst/netboot/linux", "kernel");
    site.put("netinst/netboot/initrd.gz", "initrd");
    symlink("/etc/passwd", site.dir.path().join("netinst/secret")).expect("writable");
    site.keeper.look().await;
    assert!(missing(&site) < before);
    let linux = "netinst.beside/netboot/linux";
    assert_eq!(site.read(linux).await.expect("there"), "kernel");
    assert!(site.read("netinst.beside/secret").await.is_err());
    let key = site.key(linux).await;
    assert_eq!(site.read_key(&key).await, Ok("kernel".into()));
}

#[tokio::test]
async fn other_profiles_are_asked_for_again() {
    let mut site = Site::new();
    site.put("own.iso", image("MY SYSTEM"));
    site.keeper.look().await;
    let label = |site: &Site| {
        let shelf = site.library.shelf();
        let image = shelf.image("own").expect("there");
        image
            .offered()
            .expect("offered")
            .recognised()
            .map(|found| found.label)
    };
    assert_eq!(label(&site), None);
    let key = site.key("own/file").await;
    let text = "[[profile]]\nid = \"mine\"\nlabel = \"Mine\"\nrecognise = { all = [\"file\"] }\n\
        [[profile.boot]]\nfirmware = [\"bios\"]\nmethod = \"memdisk\"\n\
        [[profile.source]]\nat = \"here\"\nevidence = \"unread\"\n";
    let profiles = Profiles::shipped()
        .with(Path::new("mine.toml"), text)
        .expect("valid");
    let mut settings = settings(site.dir.path(), Duration::ZERO);
    settings.profiles = Arc::new(profiles);
    site.keeper.set(settings);
    site.keeper.look().await;
    assert_eq!(label(&site).as_deref(), Some("Mine"));
    assert_eq!(
        site.read_key(&key).await,
        Ok("MY SYSTEM".into()),
        "mounted all the time"
    );
}

#[tokio::test]
async fn a_folder_that_goes_and_comes_is_looked_at_again() {
    let mut site = Site::new();
    site.put("a.iso", image("content"));
    site.keeper.look().await;
    let (dir, away) = (
        site.dir.path().to_owned(),
        site.dir.path().with_extension("away"),
    );
    fs::rename(&dir, &away).expect("renamed");
    site.keeper.look().await;
    assert!(site.offered().is_empty());
    assert_eq!(site.library.shelf().problems.len(), 1);
    fs::rename(&away, &dir).expect("renamed");
    site.keeper.look().await;
    assert_eq!(site.offered(), ["a"]);
    assert!(site.library.shelf().problems.is_empty());
}

/// The watch is of the folder that was removed, and the one of the same name is another one.
#[tokio::test]
async fn a_folder_beside_an_image_rings_after_it_was_made_again() {
    let mut site = Site::new();
    site.put("a.iso", image("content"));
    site.put("a/first", "");
    // One look opens the image, and looks beside it.
    site.keeper.look().await;
    for name in ["second", "third"] {
        let beside = site.dir.path().join("a");
        fs::remove_dir_all(&beside).expect("there");
        fs::create_dir(&beside).expect("writable");
        site.keeper.changed().await;
        site.keeper.look().await;
        site.put(&format!("a/{name}"), "");
        let rung = tokio::time::timeout(Duration::from_secs(10), site.keeper.changed());
        rung.await.expect("in time");
    }
}

#[tokio::test]
async fn a_change_of_the_folder_rings() {
    let mut site = Site::new();
    site.keeper.look().await;
    site.put("a.iso", image("content"));
    let rung = tokio::time::timeout(Duration::from_secs(10), site.keeper.changed());
    rung.await.expect("in time");
}
