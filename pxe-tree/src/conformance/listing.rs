//! Reading directories page by page.

use std::collections::{BTreeMap, HashSet};

use super::{Fixture, reach, settled};
use crate::{Cookie, DirEntry, ErrorKind, ListedEntry, NameBuf, NodeId, NodeKind, Tree, TreePath};

/// Pages of every size list everything once, and any cookie is a place to go on from.
///
/// # Panics
/// If not so.
pub async fn check_listings(fixture: &Fixture, tree: &dyn Tree) {
    for dir in fixture.directories() {
        let node = reach(tree, &dir).await.node;
        let expected: BTreeMap<NameBuf, NodeKind> = fixture
            .children(&dir)
            .filter_map(|(path, expected)| Some((path.file_name()?.to_buf(), expected.kind())))
            .collect();
        let whole = list(tree, node, &dir, usize::MAX).await;
        let cookies: HashSet<Cookie> = whole.iter().map(|entry| entry.cookie).collect();
        assert_eq!(cookies.len(), whole.len(), "{dir}: cookies are unique");
        assert!(
            !cookies.contains(&Cookie::START),
            "{dir}: a cookie is that of the start"
        );
        assert!(
            cookies.iter().all(|cookie| cookie.0 < u64::MAX - 1),
            "{dir}: a cookie is one of the two highest numbers"
        );
        let listed: BTreeMap<NameBuf, NodeKind> = whole
            .iter()
            .map(|entry| (entry.name.clone(), entry.kind))
            .collect();
        assert_eq!(listed.len(), whole.len(), "{dir}: a name is listed twice");
        assert_eq!(listed, expected, "{dir}: what is listed");
        for entry in &whole {
            let found = tree.lookup(node, &entry.name).await;
            let found = found.unwrap_or_else(|error| panic!("{dir}: {}: {error}", entry.name));
            assert_eq!(found.fileid, entry.fileid, "{dir}: {}: fileid", entry.name);
        }
        // 0 counts as 1.
        for page_entries in [0, 1, 2, 3, 7, 64, 1000] {
            let again = list(tree, node, &dir, page_entries).await;
            assert_eq!(again, whole, "{dir}: listed by pages of {page_entries}");
        }
        // Cookies that nobody gave: refused, or some place to go on from.
        for strange in [1, 2, 1 << 31, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX] {
            match tree.read_dir(node, Cookie(strange), 1000).await {
                Ok(page) => {
                    let known = page.entries.iter().all(|entry| whole.contains(entry));
                    assert!(known, "{dir}: listed after the strange cookie {strange}");
                }
                Err(error) => assert_eq!(
                    error.kind(),
                    ErrorKind::BadCookie,
                    "{dir}: the strange cookie {strange}"
                ),
            }
        }
        for page_entries in [0, 1, 7, 1000] {
            let listed = list_attributes(tree, node, &dir, page_entries).await;
            let entries: Vec<_> = listed.iter().map(|listed| listed.entry.clone()).collect();
            assert_eq!(entries, whole, "{dir}: with attributes by {page_entries}");
            for ListedEntry { entry, attributes } in &listed {
                let path = &entry.name;
                let Some(attributes) = attributes else {
                    panic!("{dir}: {path}: listed without attributes");
                };
                let found = tree.lookup(node, path).await;
                let found = found.unwrap_or_else(|error| panic!("{dir}: {path}: {error}"));
                assert_eq!(
                    settled(attributes),
                    settled(&found),
                    "{dir}: {path}: listed and looked up"
                );
            }
        }
        for (place, entry) in whole.iter().enumerate().step_by(1 + whole.len() / 20) {
            let rest = list_after(tree, node, &dir, entry.cookie, 50).await;
            assert_eq!(
                rest,
                whole[place + 1..],
                "{dir}: listed after {}",
                entry.name
            );
        }
    }
}

/// A directory of so many entries is listed by pages: each entry once, each with a cookie of its
/// own, which is not that of the start.
///
/// # Panics
/// If not so.
pub async fn check_large_listing(tree: &dyn Tree, dir: &TreePath, entries: usize) {
    let node = reach(tree, dir).await.node;
    let whole = list(tree, node, dir, 1000).await;
    assert_eq!(whole.len(), entries, "{dir}: how many are listed");
    let names: HashSet<&NameBuf> = whole.iter().map(|entry| &entry.name).collect();
    assert_eq!(names.len(), entries, "{dir}: a name is listed twice");
    let cookies: HashSet<Cookie> = whole.iter().map(|entry| entry.cookie).collect();
    assert_eq!(cookies.len(), entries, "{dir}: cookies are unique");
    assert!(
        !cookies.contains(&Cookie::START),
        "{dir}: a cookie is that of the start"
    );
    let listed = list_attributes(tree, node, dir, 3000).await;
    assert_eq!(listed.len(), entries, "{dir}: listed with attributes");
    for (listed, entry) in listed.iter().zip(&whole) {
        assert_eq!(listed.entry, *entry, "{dir}: in the same order");
        let fileid = listed.attributes.as_ref().map(|found| found.fileid);
        assert_eq!(fileid, Some(entry.fileid), "{dir}: {}", entry.name);
    }
}

async fn list_attributes(
    tree: &dyn Tree,
    node: NodeId,
    dir: &TreePath,
    page_entries: usize,
) -> Vec<ListedEntry> {
    let mut all: Vec<ListedEntry> = Vec::new();
    loop {
        let after = all.last().map_or(Cookie::START, |last| last.entry.cookie);
        let page = tree.read_dir_attributes(node, after, page_entries).await;
        let page = page.unwrap_or_else(|error| panic!("{dir}: listed after {after:?}: {error}"));
        assert!(
            page.entries.len() <= page_entries.max(1),
            "{dir}: {} entries in a page of {page_entries}",
            page.entries.len()
        );
        let is_empty = page.entries.is_empty();
        all.extend(page.entries);
        if page.end {
            return all;
        }
        assert!(!is_empty, "{dir}: an empty page that is not the last");
    }
}

async fn list(tree: &dyn Tree, node: NodeId, dir: &TreePath, page_entries: usize) -> Vec<DirEntry> {
    list_after(tree, node, dir, Cookie::START, page_entries).await
}

async fn list_after(
    tree: &dyn Tree,
    node: NodeId,
    dir: &TreePath,
    mut after: Cookie,
    page_entries: usize,
) -> Vec<DirEntry> {
    let mut all = Vec::new();
    loop {
        let page = tree.read_dir(node, after, page_entries).await;
        let page = page.unwrap_or_else(|error| panic!("{dir}: read_dir after {after:?}: {error}"));
        assert!(
            page.entries.len() <= page_entries.max(1),
            "{dir}: {} entries in a page of {page_entries}",
            page.entries.len()
        );
        let last = page.entries.last().map(|entry| entry.cookie);
        all.extend(page.entries);
        match last {
            _ if page.end => return all,
            Some(last) => after = last,
            None => panic!("{dir}: an empty page after {after:?} that is not the last"),
        }
        assert!(all.len() < 10_000_000, "{dir}: the listing does not end");
    }
}
