//! Large directories and deep paths.

use std::collections::{HashMap, HashSet};
use std::fs;

use pxe_tree::conformance::check_large_listing;
use pxe_tree::{Cookie, DirTree, Name, Tree, TreePath};

use crate::{both_walls, look, temporary, tree};

#[tokio::test]
async fn a_directory_of_100_000_entries() {
    const COUNT: usize = 100_000;
    let dir = temporary();
    // Links are made faster than files; ext4 gives a file 65,000 of them.
    for number in 0..COUNT {
        let place = dir.path().join(format!("entry{number}"));
        match number % 50_000 {
            0 => fs::write(place, "").expect("write"),
            _ => {
                let first = dir
                    .path()
                    .join(format!("entry{}", number / 50_000 * 50_000));
                fs::hard_link(first, place).expect("link");
            }
        }
    }
    let tree = tree(&dir);
    let (mut names, mut cookies) = (HashSet::new(), HashSet::new());
    let mut after = Cookie::START;
    let mut pages = 0;
    loop {
        let page = tree
            .read_dir(tree.root(), after, 500)
            .await
            .expect("a directory");
        pages += 1;
        assert!(page.entries.len() <= 500);
        for entry in &page.entries {
            assert!(names.insert(entry.name.clone()), "{} twice", entry.name);
            assert!(cookies.insert(entry.cookie), "{:?} twice", entry.cookie);
        }
        match page.entries.last() {
            Some(last) if !page.end => after = last.cookie,
            _ => break,
        }
    }
    assert_eq!(names.len(), COUNT);
    assert!(pages <= 2 * COUNT / 500, "{pages} pages");
    check_large_listing(&tree, &TreePath::ROOT, COUNT).await;
    // A key among so many is found again.
    let found = look(&tree, "entry77777").await.expect("there");
    let key = tree.key(found.node).expect("shallow");
    let again = DirTree::new(dir.path()).expect("a directory");
    let node = again.resolve_key(&key).await.expect("there");
    assert_eq!(
        again.attributes(node).await.expect("there").fileid,
        found.fileid
    );
}

#[tokio::test]
async fn what_stays_is_listed_once_while_others_come_and_go() {
    let dir = temporary();
    let make = |name: String| fs::write(dir.path().join(name), "").expect("write");
    (0..500).for_each(|number| make(format!("stays{number}")));
    (0..500).for_each(|number| make(format!("goes{number}")));
    let tree = tree(&dir);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut after, mut page_number) = (Cookie::START, 0);
    loop {
        let page = tree
            .read_dir(tree.root(), after, 50)
            .await
            .expect("a directory");
        for entry in &page.entries {
            *seen.entry(entry.name.to_string()).or_default() += 1;
        }
        for number in page_number * 20..(page_number + 1) * 20 {
            let _ = fs::remove_file(dir.path().join(format!("goes{number}")));
            make(format!("comes{number}"));
        }
        page_number += 1;
        match page.entries.last() {
            Some(last) if !page.end => after = last.cookie,
            _ => break,
        }
    }
    for number in 0..500 {
        assert_eq!(
            seen.get(&format!("stays{number}")),
            Some(&1),
            "stays{number}"
        );
    }
}

/// The kernel takes no path of more than 4,095 bytes at once.
#[tokio::test]
async fn deeper_than_a_path_can_say() {
    let dir = temporary();
    let name = "n".repeat(200);
    let mut here = fs::File::open(dir.path()).expect("open");
    for _ in 0..50 {
        rustix::fs::mkdirat(&here, &name, rustix::fs::Mode::RWXU).expect("create");
        let flags = rustix::fs::OFlags::DIRECTORY;
        let next = rustix::fs::openat(&here, &name, flags, rustix::fs::Mode::empty());
        here = next.expect("open").into();
    }
    for tree in both_walls(dir.path()) {
        let mut node = tree.root();
        for _ in 0..50 {
            let name = Name::new(&name).expect("valid");
            node = tree.lookup(node, name).await.expect("there").node;
            assert_eq!(tree.attributes(node).await.expect("there").node, node);
        }
        let page = tree
            .read_dir(node, Cookie::START, 10)
            .await
            .expect("a directory");
        assert!(page.end && page.entries.is_empty());
    }
}
