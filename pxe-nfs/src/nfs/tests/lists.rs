//! READDIR and READDIRPLUS.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use nfs3_types::nfs3::*;
use proptest::prelude::*;
use pxe_tree::{Cookie, DirTree, ErrorKind, Name, Overlay, Subtree};

use super::odd_tree::OddTree;
use super::*;

/// Bytes of READDIR3resok without an entry: attributes, verifier, end.
const EMPTY_LEN: usize = 88 + 8 + 8;
/// Bytes of a reply before that: the RPC header and the status.
const HEADER_LEN: usize = 24 + 4;

/// An entry of either procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    name: Vec<u8>,
    fileid: u64,
    cookie: u64,
    /// What READDIRPLUS says: the number in the attributes, and the handle.
    plus: Option<(Option<u64>, Option<nfs_fh3>)>,
}

#[derive(Debug)]
struct Page {
    entries: Vec<Listed>,
    eof: bool,
    /// Bytes of the results after the status.
    len: usize,
    attributes: fattr3,
}

/// How to list: bytes of a page, and for READDIRPLUS those of names.
#[derive(Debug, Clone, Copy)]
enum How {
    Plain(u32),
    Plus(u32, u32),
}

impl Client {
    async fn page(&self, dir: &nfs_fh3, cookie: u64, how: How) -> Result<Page, nfsstat3> {
        let (dir, cookieverf) = (dir.clone(), cookieverf3::default());
        let (reply, (attributes, entries, eof)) = match how {
            How::Plain(count) => {
                let args = READDIR3args {
                    dir,
                    cookie,
                    cookieverf,
                    count,
                };
                let reply = self.raw(16, &args).await;
                let listed = plain(&reply)?;
                (reply, listed)
            }
            How::Plus(dircount, maxcount) => {
                let args = READDIRPLUS3args {
                    dir,
                    cookie,
                    cookieverf,
                    dircount,
                    maxcount,
                };
                let reply = self.raw(17, &args).await;
                let listed = plus(&reply)?;
                (reply, listed)
            }
        };
        Ok(Page {
            entries,
            eof,
            len: reply.len() - HEADER_LEN,
            attributes: some(attributes),
        })
    }

    /// All of a directory, page by page, each as long as it may be at most.
    async fn list(&self, dir: &nfs_fh3, how: How) -> Vec<Listed> {
        let mut all: Vec<Listed> = Vec::new();
        loop {
            let cookie = all.last().map_or(0, |last| last.cookie);
            let page = self.page(dir, cookie, how).await.expect("entries fit");
            let bytes_max = match how {
                How::Plain(bytes_max) | How::Plus(_, bytes_max) => bytes_max,
            };
            assert!(page.len <= bytes_max as usize, "{} bytes", page.len);
            assert!(page.eof || !page.entries.is_empty(), "it goes on for ever");
            if let How::Plus(dircount, _) = how {
                let names = page.entries.iter().map(names_len);
                let names: usize = names.sum();
                assert!(names <= dircount as usize || page.entries.len() == 1);
            }
            all.extend(page.entries);
            if page.eof {
                return all;
            }
        }
    }
}

/// What READDIR says: of the directory, its entries, and whether it ends.
fn plain(reply: &[u8]) -> Result<(post_op_attr, Vec<Listed>, bool), nfsstat3> {
    let ok = match oracle::results::<READDIR3res<'_>>(reply) {
        Nfs3Result::Ok(ok) => ok,
        Nfs3Result::Err((status, _)) => return Err(status),
    };
    let entries = ok.reply.entries.into_inner().into_iter();
    let entries = entries.map(|entry| Listed {
        name: entry.name.as_ref().to_vec(),
        fileid: entry.fileid,
        cookie: entry.cookie,
        plus: None,
    });
    Ok((ok.dir_attributes, entries.collect(), ok.reply.eof))
}

/// What READDIRPLUS says, likewise.
fn plus(reply: &[u8]) -> Result<(post_op_attr, Vec<Listed>, bool), nfsstat3> {
    let ok = match oracle::results::<READDIRPLUS3res<'_>>(reply) {
        Nfs3Result::Ok(ok) => ok,
        Nfs3Result::Err((status, _)) => return Err(status),
    };
    let entries = ok.reply.entries.into_inner().into_iter();
    let entries = entries.map(|entry| {
        let fileid = option(entry.name_attributes).map(|node| node.fileid);
        Listed {
            name: entry.name.as_ref().to_vec(),
            fileid: entry.fileid,
            cookie: entry.cookie,
            plus: Some((fileid, option(entry.name_handle))),
        }
    });
    Ok((ok.dir_attributes, entries.collect(), ok.reply.eof))
}

fn option<T: Pack + Unpack>(option: Nfs3Option<T>) -> Option<T> {
    match option {
        Nfs3Option::Some(value) => Some(value),
        Nfs3Option::None => None,
    }
}

fn names_len(entry: &Listed) -> usize {
    4 + 8 + 4 + entry.name.len().next_multiple_of(4) + 8
}

fn names(entries: &[Listed]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &entry.name[..]).collect()
}

/// What a tree itself lists.
async fn tree_lists(tree: &dyn Tree, path: &str) -> BTreeMap<Vec<u8>, u64> {
    let dir = found(tree, path).await.node;
    let (mut all, mut after) = (BTreeMap::new(), Cookie::START);
    loop {
        let page = tree.read_dir(dir, after, 1000).await.expect("a directory");
        for entry in &page.entries {
            all.insert(entry.name.as_bytes().to_vec(), entry.fileid);
        }
        match page.entries.last() {
            Some(last) if !page.end => after = last.cookie,
            _ => return all,
        }
    }
}

/// Each procedure and page size lists what the tree lists, once, after `.` and `..`.
async fn lists_alike(client: &Client, tree: &dyn Tree, path: &str, how: How) {
    let dir = client.walk(path).await;
    let listed = client.list(&dir, how).await;
    assert_eq!(names(&listed[..2]), [&b"."[..], b".."], "{path}");
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    for (entry, path) in listed.iter().zip([path, above]) {
        assert_eq!(entry.fileid, found(tree, path).await.fileid, "{path}");
    }
    let expected = tree_lists(tree, path).await;
    assert_eq!(listed.len() - 2, expected.len(), "{path}, {how:?}");
    let mut cookies: Vec<u64> = listed.iter().map(|entry| entry.cookie).collect();
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies.len(), listed.len(), "each has a cookie of its own");
    assert!(!cookies.contains(&0));
    for entry in &listed[2..] {
        assert_eq!(expected.get(&entry.name), Some(&entry.fileid), "{path}");
    }
    if matches!(how, How::Plus(..)) {
        for entry in &listed {
            let looked_up = client.look_up(&dir, &entry.name).await;
            let looked_up = looked_up.expect("there");
            let plus = (
                Some(some(looked_up.obj_attributes).fileid),
                Some(looked_up.object),
            );
            assert_eq!(entry.plus, Some(plus), "as LOOKUP says it");
        }
    }
}

#[tokio::test]
async fn listings_are_those_of_the_tree() {
    let tree = tree();
    let client = Client::new(Arc::clone(&tree) as _);
    tree.insert_dir("hollow").expect("free");
    for path in ["", "open", "hollow"] {
        for how in [
            How::Plain(65536),
            How::Plain(200),
            How::Plus(65536, 65536),
            How::Plus(0, 65536),
            How::Plus(64, 1024),
            How::Plus(65536, 400),
        ] {
            lists_alike(&client, &*tree, path, how).await;
        }
    }
}

/// One tree in another, of a directory under files in memory.
#[tokio::test]
async fn listings_of_composed_trees_are_those_of_the_tree() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("both/below")).expect("made");
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe.bin");
    std::fs::write(dir.path().join("both").join(bytes), "no text").expect("written");
    std::os::unix::fs::symlink("below", dir.path().join("both/link")).expect("made");
    for number in 0..300 {
        let file = dir.path().join(format!("both/below/{number}"));
        std::fs::write(file, "").expect("written");
    }
    let disk: Arc<dyn Tree> = Arc::new(DirTree::new(dir.path()).expect("a directory"));
    let upper = MemTree::new();
    upper.insert_file("both/upper", "in memory").expect("free");
    let layers = [Arc::new(upper) as _, Arc::clone(&disk)];
    let layers: Arc<dyn Tree> = Arc::new(Overlay::new(layers).expect("two layers"));
    let at = TreePath::parse("both/image").expect("valid");
    let image = Subtree::new(Arc::clone(&layers), at, tree()).expect("a place");
    let image: Arc<dyn Tree> = Arc::new(image);
    for (tree, paths) in [
        (disk, &["", "both", "both/below"][..]),
        (layers, &["", "both", "both/below"]),
        (
            image,
            &["", "both", "both/below", "both/image", "both/image/open"],
        ),
    ] {
        let client = Client::new(Arc::clone(&tree));
        for path in paths {
            for how in [
                How::Plain(1024),
                How::Plus(8192, 65536),
                How::Plus(64, 1024),
            ] {
                lists_alike(&client, &*tree, path, how).await;
            }
        }
    }
}

/// What libnfs asks for: dircount is an eighth of maxcount.
#[tokio::test]
async fn libnfs_asks_for_an_eighth_in_names() {
    let tree = tree();
    let client = Client::new(Arc::clone(&tree) as _);
    lists_alike(&client, &*tree, "open", How::Plus(8192, 65536)).await;
    lists_alike(&client, &*tree, "open", How::Plus(64, 512)).await;
}

#[tokio::test]
async fn a_page_is_as_long_as_was_asked_for_to_the_byte() {
    let tree = Arc::new(MemTree::new());
    let long = "n".repeat(255);
    tree.insert_file(&long, "").expect("free");
    let client = Client::new(Arc::clone(&tree) as _);
    let root = client.root().await;
    let dots = 2 * (4 + 8 + 8 + 8);
    let entry = 4 + 8 + 4 + 256 + 8;
    let whole = u32::try_from(EMPTY_LEN + dots + entry).expect("small");
    let page = client
        .page(&root, 0, How::Plain(whole))
        .await
        .expect("fits");
    assert_eq!((page.entries.len(), page.eof), (3, true));
    assert_eq!(page.len, whole as usize);
    assert_eq!(page.attributes.type_, ftype3::NF3DIR);
    let page = client.page(&root, 0, How::Plain(whole - 1)).await;
    let page = page.expect("the dots fit");
    assert_eq!((page.entries.len(), page.eof), (2, false));
    let after = page.entries[1].cookie;
    let alone = whole - u32::try_from(dots).expect("small");
    let page = client
        .page(&root, after, How::Plain(alone))
        .await
        .expect("fits");
    assert_eq!((page.entries.len(), page.eof), (1, true));
    let last = page.entries[0].cookie;
    for count in [alone - 1, 104, 103, 8, 0] {
        let page = client.page(&root, after, How::Plain(count)).await;
        assert_eq!(page.err(), Some(nfsstat3::NFS3ERR_TOOSMALL), "{count}");
        let page = client.page(&root, after, How::Plus(65536, count)).await;
        assert_eq!(page.err(), Some(nfsstat3::NFS3ERR_TOOSMALL), "{count}");
    }
    let page = client
        .page(&root, last, How::Plain(104))
        .await
        .expect("fits");
    assert_eq!((page.entries.len(), page.eof, page.len), (0, true, 104));
}

/// Who may not look names up learns no more than these; who may not list learns nothing.
#[tokio::test]
async fn names_alone_are_told_to_those_who_may_only_list() {
    let client = Client::new(tree());
    let listed = client.walk("listed").await;
    let how = How::Plus(65536, 65536);
    let entries = client.list(&listed, how).await;
    assert_eq!(names(&entries), [&b"."[..], b"..", b"file"]);
    for entry in entries {
        assert_eq!(entry.plus, Some((None, None)));
    }
    let denied = Some(nfsstat3::NFS3ERR_ACCES);
    for path in ["searched", "closed"] {
        let dir = client.walk(path).await;
        assert_eq!(client.page(&dir, 0, How::Plain(4096)).await.err(), denied);
        assert_eq!(client.page(&dir, 0, how).await.err(), denied);
    }
    let owner = client.user(1000, 7, &[]);
    let closed = client.walk("closed").await;
    assert_eq!(owner.list(&closed, how).await.len(), 3);
    for path in ["open/all", "open/link"] {
        let node = client.walk(path).await;
        let page = client.page(&node, 0, how).await;
        assert_eq!(page.err(), Some(nfsstat3::NFS3ERR_NOTDIR), "{path}");
    }
}

/// A tree's cookies may be any number but 0 and the highest two: none is mistaken for `.`, `..`
/// or another one's.
#[tokio::test]
async fn any_cookie_of_a_tree_is_a_position() {
    let odd = |cookies: &[u64]| {
        let inner = MemTree::new();
        for number in 0..cookies.len() {
            inner.insert_file(format!("{number}"), "").expect("free");
        }
        Arc::new(OddTree {
            inner: Arc::new(inner),
            cookies: cookies.to_vec(),
            ..OddTree::default()
        })
    };
    let top = i64::MAX as u64;
    let cookies = [
        1,
        2,
        3,
        4,
        top - 3,
        top - 2,
        top - 1,
        top,
        top + 1,
        u64::MAX - 3,
        u64::MAX - 2,
    ];
    let tree = odd(&cookies);
    let client = Client::new(Arc::clone(&tree) as _);
    for how in [
        How::Plain(65536),
        How::Plain(140),
        How::Plus(0, 65536),
        How::Plus(65536, 65536),
    ] {
        lists_alike(&client, &*tree, "", how).await;
    }
    for cookie in [u64::MAX - 1, u64::MAX] {
        let client = Client::new(odd(&[cookie]));
        let page = client.page(&client.root().await, 0, How::Plain(4096)).await;
        assert_eq!(page.err(), Some(nfsstat3::NFS3ERR_SERVERFAULT));
    }
    let page = client
        .page(&client.root().await, 77, How::Plain(4096))
        .await;
    assert_eq!(page.err(), Some(nfsstat3::NFS3ERR_BAD_COOKIE));
}

/// A directory that is renamed while it is listed is found again.
#[tokio::test]
async fn a_directory_that_moves_is_listed_nevertheless() {
    for (times, expected) in [(2, Ok(4)), (1000, Err(nfsstat3::NFS3ERR_JUKEBOX))] {
        let tree = Arc::new(OddTree::failing(ErrorKind::Stale, 0));
        let client = Client::new(Arc::clone(&tree) as _);
        let dir = client.root().await;
        tree.times
            .store(times, std::sync::atomic::Ordering::Relaxed);
        let page = client.page(&dir, 0, How::Plain(4096)).await;
        assert_eq!(page.map(|page| page.entries.len() - 2), expected);
    }
}

/// Entries that come and go while a client lists: what was there all the time is listed once.
#[tokio::test]
async fn a_listing_goes_on_while_entries_come_and_go() {
    let dir = tempfile::tempdir().expect("a directory");
    for number in 0..500 {
        std::fs::write(dir.path().join(format!("stays{number}")), "").expect("written");
        std::fs::write(dir.path().join(format!("goes{number}")), "").expect("written");
    }
    let client = Client::new(Arc::new(DirTree::new(dir.path()).expect("a directory")));
    let root = client.root().await;
    let (mut all, mut cookie, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = client.page(&root, cookie, How::Plain(1024)).await;
        let page = page.expect("entries fit");
        cookie = page.entries.last().map_or(cookie, |last| last.cookie);
        all.extend(page.entries);
        if page.eof {
            break;
        }
        std::fs::remove_file(dir.path().join(format!("goes{pages}"))).expect("there");
        std::fs::write(dir.path().join(format!("comes{pages}")), "").expect("written");
        pages += 1;
    }
    assert!(pages > 20);
    let mut stays: Vec<_> = all
        .iter()
        .filter(|entry| entry.name.starts_with(b"stays"))
        .collect();
    stays.sort_by(|one, other| one.name.cmp(&other.name));
    stays.dedup_by(|one, other| one.name == other.name);
    assert_eq!(stays.len(), 500);
    let listed = all.iter().filter(|entry| entry.name.starts_with(b"stays"));
    assert_eq!(listed.count(), 500, "each once");
}

#[tokio::test]
async fn a_directory_of_100_000_entries_is_listed() {
    const ENTRIES: usize = 100_000;
    let tree = MemTree::new();
    for number in 0..ENTRIES {
        tree.insert_file(format!("file{number:06}"), "")
            .expect("free");
    }
    let client = Client::new(Arc::new(tree));
    let root = client.root().await;
    for how in [How::Plain(65536), How::Plus(8192, 65536)] {
        let mut listed = client.list(&root, how).await;
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(listed.len(), ENTRIES + 2);
        let files = &listed[2..];
        for (number, entry) in files.iter().enumerate() {
            assert_eq!(entry.name, format!("file{number:06}").as_bytes());
        }
    }
}

#[tokio::test]
async fn a_page_is_never_longer_than_the_limit() {
    let tree = MemTree::new();
    for number in 0..5000 {
        tree.insert_file(format!("file{number:06}"), "")
            .expect("free");
    }
    let mut client = Client::new(Arc::new(tree));
    let root = client.root().await;
    for (transport, limit) in [
        (crate::Transport::Tcp, 1 << 16),
        (crate::Transport::Udp, 8192),
    ] {
        client.peer.transport = transport;
        for how in [How::Plain(u32::MAX), How::Plus(u32::MAX, u32::MAX)] {
            let page = client.page(&root, 0, how).await.expect("fits");
            assert!(
                page.len <= limit && page.len > limit / 8 * 7,
                "{}",
                page.len
            );
            assert!(!page.eof);
        }
    }
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..12),
        proptest::collection::vec(any::<u8>(), 1..=255),
        "[a-z]{1,8}".prop_map(String::into_bytes),
    ];
    names.prop_filter("a name", |name| Name::new(name).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Listing, looking up and reading through NFS give what the tree itself gives.
    #[test]
    fn nfs_says_what_the_tree_says(
        files in proptest::collection::btree_map(any_name(), 0_usize..5000, 0..60),
        bytes_max in 400_u32..5000,
        names_max in 0_u32..5000,
        offset in 0_u64..6000,
        count in 0_u32..6000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let tree = Arc::new(MemTree::new());
            for (name, len) in &files {
                tree.insert_file([b"dir/", &name[..]].concat(), vec![7; *len]).expect("free");
            }
            tree.insert_dir("dir").expect("free");
            let client = Client::new(Arc::clone(&tree) as _);
            for how in [How::Plain(bytes_max), How::Plus(names_max, bytes_max + 256)] {
                lists_alike(&client, &*tree, "dir", how).await;
            }
            let dir = client.walk("dir").await;
            for (name, len) in &files {
                let file = client.look_up(&dir, name).await.expect("there").object;
                let args = READ3args { file, offset, count };
                let told: READ3res<'_> = client.ask(6, &args).await;
                let told = told.unwrap();
                let node = tree.lookup(found(&*tree, "dir").await.node, Name::new(name).expect("valid")).await;
                let blob = tree.open(node.expect("there").node).await.expect("a file");
                let expected = blob.read_at(offset, count as usize).await.expect("in memory");
                assert_eq!(*told.data, expected[..]);
                assert_eq!(told.eof, offset + expected.len() as u64 >= *len as u64);
            }
        });
    }
}
