//! Nothing from outside the root is ever seen.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pxe_tree::{Cookie, ErrorKind, Name, Tree, resolve};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use crate::{both_walls, kind_of, look, path, temporary};

pub(crate) const SECRET: &str = "from outside the root";

/// A root beside a directory full of secrets, and links that lead there in every way.
pub(crate) fn besieged() -> (TempDir, std::path::PathBuf) {
    let top = temporary();
    let (root, outside) = (top.path().join("root"), top.path().join("outside"));
    for dir in [&root, &outside] {
        fs::create_dir_all(dir.join("d")).expect("create");
        let content = if *dir == outside { SECRET } else { "inside" };
        fs::write(dir.join("f"), content).expect("write");
        fs::write(dir.join("d/f"), content).expect("write");
    }
    fs::write(outside.join("only"), SECRET).expect("write");
    for (link, target) in [
        ("absolute", outside.clone()),
        ("absolute_file", outside.join("f")),
        ("up", "../outside".into()),
        ("up_file", "../outside/f".into()),
        ("d/far_up", "../../../../../../../../..".into()),
        ("dots", "..".into()),
        ("d/dots", "../..".into()),
        ("proc", "/proc/self/root".into()),
        ("cwd", "/proc/self/cwd/../outside".into()),
    ] {
        symlink(target, root.join(link)).expect("link");
    }
    (top, root)
}

#[tokio::test]
async fn links_that_leave_lead_nowhere() {
    let (top, root) = besieged();
    let outside = top.path().join("outside");
    let outside = outside.to_str().expect("text");
    for tree in both_walls(&root) {
        for (asked, expected) in [
            ("absolute/only", Err(ErrorKind::NotFound)),
            ("absolute_file", Err(ErrorKind::NotFound)),
            ("up/only", Err(ErrorKind::NotFound)),
            ("up_file", Err(ErrorKind::NotFound)),
            // Their `/proc` is the root's: the first of the two links.
            ("proc/etc", Err(ErrorKind::LinkLoop)),
            ("cwd/only", Err(ErrorKind::LinkLoop)),
            (outside, Err(ErrorKind::NotFound)),
            ("../outside/only", Err(ErrorKind::NotFound)),
            // `..` stops at the root.
            ("dots/f", Ok("/f")),
            ("d/dots/f", Ok("/f")),
            ("d/far_up/d/f", Ok("/d/f")),
        ] {
            let found = resolve(&tree, &path(asked)).await;
            let found = found.map(|found| found.path.to_string());
            let found = found.map_err(|error| error.kind());
            assert_eq!(found, expected.map(str::to_owned), "{asked}");
        }
        // Whoever does not resolve, but goes on below a link, gets nowhere.
        for link in ["absolute", "up", "dots", "proc"] {
            let node = look(&tree, link).await.expect("the link itself").node;
            let name = Name::new(b"f").expect("valid");
            assert_eq!(
                kind_of(tree.lookup(node, name).await),
                ErrorKind::NotADirectory
            );
            assert_eq!(kind_of(tree.open(node).await), ErrorKind::NotAFile);
        }
    }
}

/// Somebody exchanges a directory and a link to the outside as fast as they can, while we walk
/// through that name, by resolver and by nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamer_that_races_with_us_wins_nothing() {
    let (top, root) = besieged();
    for tree in both_walls(&root) {
        let stop = Arc::new(AtomicBool::new(false));
        let exchanges = Arc::new(AtomicU64::new(0));
        let renamer = std::thread::spawn({
            let (stop, root) = (Arc::clone(&stop), root.clone());
            let exchanges = Arc::clone(&exchanges);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let exchange = |a: &str, b: &str| {
                        let (a, b) = (root.join(a), root.join(b));
                        renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).expect("exchange");
                    };
                    exchange("d", "absolute");
                    exchange("f", "absolute_file");
                    exchanges.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while exchanges.load(Ordering::Relaxed) == 0 && !renamer.is_finished() {
            std::thread::yield_now();
        }
        let before = exchanges.load(Ordering::Relaxed);
        let (mut good, mut refused) = (0, 0);
        for round in 0..4000 {
            let asked = ["d/f", "f", "absolute/f", "absolute_file"][round % 4];
            let found = resolve(&tree, &path(asked)).await;
            let opened = match found {
                Ok(found) => tree.open(found.attributes.node).await,
                Err(error) => Err(error),
            };
            let read = match opened {
                Ok(blob) => blob.read_at(0, 100).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(content) => {
                    assert_eq!(content, "inside", "{asked}");
                    good += 1;
                }
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
        renamer.join().expect("the renamer");
        let meanwhile = exchanges.load(Ordering::Relaxed) - before;
        assert!(
            good > 0 && refused > 0 && meanwhile > 0,
            "no race: {good} good, {refused} refused, {meanwhile} exchanges meanwhile"
        );
    }
    drop(top);
}

/// The same to those who have nodes and keys: whatever they ask, they are told of nothing outside,
/// and of each node what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nodes_is_told_of_nothing_else() {
    let (top, root) = besieged();
    let inode = |path: std::path::PathBuf| fs::symlink_metadata(path).expect("there").ino();
    let outside =
        ["", "d", "f", "d/f", "only"].map(|name| inode(top.path().join("outside").join(name)));
    for tree in both_walls(&root) {
        let tree = Arc::new(tree);
        let mut nodes = Vec::new();
        for asked in ["d", "d/f", "f", "d/dots", "absolute"] {
            let found = look(&tree, asked).await.expect("there");
            let key = tree.key(found.node).expect("shallow");
            nodes.push((asked, found.node, found.fileid, key));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let renamer = std::thread::spawn({
            let (stop, rounds, root) = (Arc::clone(&stop), Arc::clone(&rounds), root.clone());
            move || {
                // A link to the outside, another directory, and back.
                for pair in [
                    ("d", "absolute"),
                    ("f", "absolute_file"),
                    ("d", "../outside/d"),
                ]
                .iter()
                .cycle()
                {
                    let (a, b) = (root.join(pair.0), root.join(pair.1));
                    for _ in 0..2 {
                        renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).expect("exchange");
                        std::thread::yield_now();
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        });
        while rounds.load(Ordering::Relaxed) == 0 && !renamer.is_finished() {
            std::thread::yield_now();
        }
        let askers = [0, 1].map(|_| {
            let (tree, nodes) = (Arc::clone(&tree), nodes.clone());
            tokio::spawn(async move {
                let name = Name::new("f").expect("valid");
                let mut told = [0; 2];
                for round in 0..3000 {
                    let (asked, node, fileid, key) = &nodes[round % nodes.len()];
                    let same = [
                        tree.attributes(*node).await,
                        tree.attributes_of_key(key).await,
                    ];
                    for attributes in same {
                        told[usize::from(attributes.is_ok())] += 1;
                        if let Ok(attributes) = attributes {
                            assert_eq!(attributes.fileid, *fileid, "{asked}");
                        }
                    }
                    // A rename may be taken for an edit: then nothing is read.
                    if let Ok(blob) = tree.open(*node).await
                        && let Ok(content) = blob.read_at(0, 100).await
                    {
                        assert_eq!(content, "inside", "{asked}");
                    }
                    if let Ok(above) = tree.parent(*node).await {
                        assert_eq!(above, tree.root(), "{asked}");
                    }
                    let (_, d, ..) = nodes[0];
                    if let Ok(found) = tree.lookup(d, name).await {
                        assert_eq!(found.fileid, nodes[1].2);
                    }
                    if let Ok(page) = tree.read_dir_attributes(d, Cookie::START, 100).await {
                        for listed in page.entries {
                            let found = listed.attributes.map(|found| found.fileid);
                            let seen = found.unwrap_or(listed.entry.fileid);
                            assert_eq!(seen, listed.entry.fileid);
                            assert!(!outside.contains(&seen), "{}", listed.entry.name);
                        }
                    }
                }
                told
            })
        });
        let mut told = [0; 2];
        for asker in askers {
            let [refused, answered] = asker.await.expect("told of something else");
            told = [told[0] + refused, told[1] + answered];
        }
        stop.store(true, Ordering::Relaxed);
        renamer.join().expect("the renamer");
        assert!(told[0] > 0 && told[1] > 0, "no race: {told:?}");
    }
}
