//! The conformance suite on every tree of this crate, as whoever runs the tests, and as nobody.

mod disk;
mod nobody;

use std::sync::Arc;

use pxe_tree::conformance::{Expected, Fixture, check, check_large_listing, check_writable};
use pxe_tree::{
    CaseFold, DirKeys, DirOptions, DirTree, MemTree, NodeKind, Overlay, Subtree, Tree, TreePath,
};

fn on_disk() -> Fixture {
    Fixture::standard()
        .with("other/fifo", Expected::Other(NodeKind::Fifo))
        .with("other/socket", Expected::Other(NodeKind::Socket))
}

async fn check_dir(options: DirOptions) {
    let fixture = on_disk();
    let dir = disk::directory(&fixture);
    check(&fixture, async || {
        Arc::new(DirTree::with_options(dir.path(), options).expect("a directory")) as _
    })
    .await;
}

#[tokio::test]
async fn dir_tree() {
    check_dir(DirOptions::default()).await;
}

#[tokio::test]
async fn dir_tree_without_openat2() {
    check_dir(DirOptions::default().without_openat2()).await;
}

#[tokio::test]
async fn dir_tree_keyed_by_name() {
    check_dir(DirOptions::default().with_keys(DirKeys::Name)).await;
}

#[tokio::test]
async fn dir_tree_written_to() {
    for options in [
        DirOptions::default(),
        DirOptions::default().without_openat2(),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        check_writable(async || {
            Arc::new(DirTree::with_options(dir.path(), options).expect("a directory")) as _
        })
        .await;
    }
}

#[tokio::test]
async fn mem_tree() {
    let fixture = Fixture::standard()
        .with("other/fifo", Expected::Other(NodeKind::Fifo))
        .with("other/disk", Expected::Other(NodeKind::BlockDevice))
        .with("other/tty", Expected::Other(NodeKind::CharDevice))
        .with("other/socket", Expected::Other(NodeKind::Socket));
    check(&fixture, async || Arc::new(fixture.mem_tree()) as _).await;
}

/// Three layers that share directories; the lowest one's files are hidden in part.
fn layers() -> (Fixture, Vec<Fixture>) {
    let whole = on_disk();
    let mut parts = vec![Fixture::new(), Fixture::new(), Fixture::new()];
    for (number, (path, expected)) in whole.entries().enumerate() {
        let count = parts.len();
        let part = &mut parts[number % count];
        *part = std::mem::take(part).with(path, expected.clone());
    }
    // Where an upper layer has it, the lowest one's is hidden.
    for path in ["one", "names/case", "many/file7"] {
        let path = TreePath::parse(path).expect("valid");
        if let [.., lowest] = &mut parts[..]
            && !lowest.entries().any(|(there, _)| *there == path)
        {
            *lowest = std::mem::take(lowest).file(&path, "hidden");
        }
    }
    (whole, parts)
}

#[tokio::test]
async fn overlay() {
    let (whole, parts) = layers();
    let dirs: Vec<_> = parts.iter().map(disk::directory).collect();
    check(&whole, async || {
        // Directories above and below a tree in memory.
        let [top, middle, bottom] = [0, 1, 2];
        let layers: [Arc<dyn Tree>; 3] = [
            Arc::new(DirTree::new(dirs[top].path()).expect("a directory")),
            Arc::new(parts[middle].mem_tree()),
            Arc::new(DirTree::new(dirs[bottom].path()).expect("a directory")),
        ];
        Arc::new(Overlay::new(layers).expect("three layers")) as _
    })
    .await;
}

/// A whole fixture in a whole fixture, at a path that is there in part, and hides something.
#[tokio::test]
async fn subtree() {
    let at = TreePath::parse("directories/mounted/here").expect("valid");
    let outer = on_disk().file("directories/mounted/beside", "beside");
    let hidden = outer.clone().file("directories/mounted/here/hidden", "");
    let inner = Fixture::new()
        .file("inner", "inner")
        .directory("empty")
        .link("out", "../../one");
    let mut whole = outer;
    for (path, expected) in inner.entries() {
        whole = whole.with(at.join(path).expect("short"), expected.clone());
    }
    let dir = disk::directory(&hidden);
    let inner_dir = disk::directory(&inner);
    for in_memory in [false, true] {
        check(&whole, async || {
            let outer = Arc::new(DirTree::new(dir.path()).expect("a directory"));
            let inner: Arc<dyn Tree> = match in_memory {
                true => Arc::new(inner.mem_tree()),
                false => Arc::new(DirTree::new(inner_dir.path()).expect("a directory")),
            };
            Arc::new(Subtree::new(outer, at.clone(), inner).expect("below the root")) as _
        })
        .await;
    }
    // Where the outer tree has nothing of the path.
    let alone = inner
        .entries()
        .fold(Fixture::new(), |alone, (path, expected)| {
            alone.with(at.join(path).expect("short"), expected.clone())
        });
    check(&alone, async || {
        let (outer, inner) = (Arc::new(MemTree::new()), Arc::new(inner.mem_tree()));
        Arc::new(Subtree::new(outer, at.clone(), inner).expect("below the root")) as _
    })
    .await;
}

#[tokio::test]
async fn case_fold() {
    let fixture = on_disk();
    let dir = disk::directory(&fixture);
    check(&fixture, async || {
        let files = Arc::new(DirTree::new(dir.path()).expect("a directory"));
        Arc::new(CaseFold::new(files)) as _
    })
    .await;
}

/// Everything at once: a case-folded mount of an overlay, in a directory.
#[tokio::test]
async fn composition() {
    let (whole, parts) = layers();
    let dirs: Vec<_> = parts.iter().map(disk::directory).collect();
    let at = TreePath::parse("mnt").expect("valid");
    let mounted = whole
        .entries()
        .fold(Fixture::new(), |mounted, (path, expected)| {
            mounted.with(at.join(path).expect("short"), expected.clone())
        });
    check(&mounted, async || {
        let layers = dirs.iter().map(|dir| {
            let tree = DirTree::new(dir.path()).expect("a directory");
            Arc::new(tree) as Arc<dyn Tree>
        });
        let overlay = Arc::new(Overlay::new(layers).expect("three layers"));
        let outer = Arc::new(MemTree::new());
        let subtree = Subtree::new(outer, at.clone(), overlay).expect("below the root");
        Arc::new(CaseFold::new(Arc::new(subtree))) as _
    })
    .await;
}

/// More entries than any tree has in one page.
#[tokio::test]
async fn more_entries_than_a_page_has() {
    const ENTRIES: usize = 10_000;
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(dir.path().join("large")).expect("create");
    let in_memory = MemTree::new();
    for number in 0..ENTRIES {
        let path = format!("large/entry{number}");
        std::fs::write(dir.path().join(&path), "").expect("write");
        in_memory.insert_file(path, "").expect("room");
    }
    let at = TreePath::parse("large").expect("valid");
    check_large_listing(&in_memory, &at, ENTRIES).await;
    // Not the one on disk: what changed just now is listed anew for each page.
    let below = MemTree::new();
    below.insert_file("large/entry7", "hidden").expect("room");
    let layers: [Arc<dyn Tree>; 2] = [Arc::new(in_memory), Arc::new(below)];
    let overlay = Overlay::new(layers).expect("two layers");
    let folded = Arc::new(CaseFold::new(Arc::new(overlay)));
    check_large_listing(&*folded, &at, ENTRIES).await;
    // The way to what is mounted in a large directory is one entry more.
    let mounted = TreePath::parse("large/mounted").expect("valid");
    let on_disk = Arc::new(DirTree::new(dir.path()).expect("a directory"));
    let subtree = Subtree::new(on_disk, mounted, Arc::new(MemTree::new()));
    check_large_listing(&subtree.expect("below the root"), &at, ENTRIES + 1).await;
}

#[test]
fn all_of_it_as_nobody() {
    nobody::run_again(11);
}
