//! Images whose disks hang, and images at which the server fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, Cookie, DirPage, DirTree, Name, NameBuf, NodeId, NodeKey, Result, Tree,
};
use tokio::sync::oneshot;

use super::library::Reason;
use super::serving_tests::{Site, image};

/// A folder in which a step to a file may go wrong, once.
#[derive(Debug)]
struct OddTree {
    tree: DirTree,
    odd: Mutex<BTreeMap<(Step, NameBuf), Odd>>,
    names: Mutex<HashMap<NodeId, NameBuf>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Lookup,
    Open,
}

#[derive(Debug)]
enum Odd {
    /// It says that it begins to wait, and waits until the sender is dropped.
    Hangs(oneshot::Sender<()>, Receiver<()>),
    Panics,
}

impl OddTree {
    /// The folder of this site, by which its keeper reads it from now on.
    fn of(site: &mut Site, patience: Duration) -> Arc<Self> {
        let tree = Arc::new(Self {
            tree: DirTree::new(site.dir.path()).expect("there"),
            odd: Mutex::default(),
            names: Mutex::default(),
        });
        site.keeper.read_by(Arc::clone(&tree) as _, patience);
        tree
    }

    fn put(&self, step: Step, name: &str, odd: Odd) {
        let name = NameBuf::new(name.as_bytes().to_vec()).expect("a name");
        self.odd.lock().expect("sound").insert((step, name), odd);
    }

    /// Has a step to a file wait until the sender is dropped; and what says that it waits.
    fn hang(&self, step: Step, name: &str) -> (Sender<()>, oneshot::Receiver<()>) {
        let (held, wait) = channel();
        let (begins, begun) = oneshot::channel();
        self.put(step, name, Odd::Hangs(begins, wait));
        (held, begun)
    }

    fn meet(&self, step: Step, name: &Name) {
        let met = (step, name.to_buf());
        let odd = self.odd.lock().expect("sound").remove(&met);
        match odd {
            Some(Odd::Hangs(begins, wait)) => {
                let _ = begins.send(());
                assert!(wait.recv().is_err(), "nothing is sent");
            }
            Some(Odd::Panics) => panic!("{name} is odd"),
            None => {}
        }
    }
}

#[async_trait]
impl Tree for OddTree {
    fn root(&self) -> NodeId {
        self.tree.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        self.meet(Step::Lookup, name);
        let found = self.tree.lookup(dir, name).await?;
        let mut names = self.names.lock().expect("sound");
        names.insert(found.node, name.to_buf());
        Ok(found)
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.tree.attributes(node).await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.tree.read_dir(dir, after, entries_max).await
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.tree.read_link(node).await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        let name = self.names.lock().expect("sound").get(&node).cloned();
        if let Some(name) = name {
            self.meet(Step::Open, &name);
        }
        self.tree.open(node).await
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        self.tree.key(node)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        self.tree.resolve_key(key).await
    }
}

/// Looks whenever something changed, until this holds.
async fn look_until(site: &mut Site, holds: impl Fn(&Site) -> bool) {
    loop {
        let wait = site.keeper.look().await;
        if holds(site) {
            return;
        }
        // As the server waits: what is read while others are opened, is opened by the next look.
        let _ = tokio::time::timeout(wait, site.keeper.changed()).await;
    }
}

/// What tells the first image that is offered from its replacements.
fn number_of(site: &Site) -> Option<u64> {
    let shelf = site.library.shelf();
    shelf.offered().map(|(_, offered)| offered.number).next()
}

fn hangs(site: &Site, name: &str) -> bool {
    site.withheld() == [(name.to_owned(), Reason::Opening)]
}

/// As one on a mount whose server is gone: it may answer the first question from a cache, or none.
#[tokio::test]
async fn a_file_that_hangs_delays_no_other() {
    for step in [Step::Lookup, Step::Open] {
        let mut site = Site::new();
        for name in ["a", "hangs", "z"] {
            site.put(&format!("{name}.iso"), image(name));
        }
        // All that is not done at once is slow.
        let tree = OddTree::of(&mut site, Duration::ZERO);
        let (held, _) = tree.hang(step, "hangs.iso");
        look_until(&mut site, |site| {
            site.offered() == ["a", "z"] && hangs(site, "hangs")
        })
        .await;
        assert_eq!(site.library.shelf().opening_count(), 1);
        // What comes meanwhile, is looked at too.
        site.put("new.iso", image("new"));
        std::fs::remove_file(site.dir.path().join("a.iso")).expect("there");
        look_until(&mut site, |site| {
            site.offered() == ["new", "z"] && hangs(site, "hangs")
        })
        .await;
        drop(held);
        look_until(&mut site, |site| site.offered() == ["hangs", "new", "z"]).await;
        assert_eq!(site.read("hangs/file").await.expect("there"), "hangs");
    }
}

#[tokio::test]
async fn what_takes_the_place_of_a_file_that_hangs_is_served() {
    let mut site = Site::new();
    site.put("a.iso", image("dead"));
    let tree = OddTree::of(&mut site, Duration::ZERO);
    let (held, begun) = tree.hang(Step::Open, "a.iso");
    tokio::select! {
        () = look_until(&mut site, |_| false) => {}
        begun = begun => begun.expect("it is opened"),
    }
    site.replace("a.iso", image("alive"));
    look_until(&mut site, |site| site.offered() == ["a"]).await;
    assert_eq!(site.read("a/file").await.expect("there"), "alive");
    // What comes of the first one is of no interest.
    drop(held);
    site.put("b.iso", image("content"));
    look_until(&mut site, |site| site.offered() == ["a", "b"]).await;
    assert_eq!(site.read("a/file").await.expect("there"), "alive");
}

/// The old image is served until the new one was opened.
#[tokio::test]
async fn an_image_is_served_while_its_replacement_hangs() {
    let mut site = Site::new();
    site.put("a.iso", image("old"));
    let tree = OddTree::of(&mut site, Duration::ZERO);
    look_until(&mut site, |site| site.offered() == ["a"]).await;
    site.replace("a.iso", image("new"));
    let (held, _) = tree.hang(Step::Open, "a.iso");
    site.put("b.iso", image("content"));
    look_until(&mut site, |site| site.offered() == ["a", "b"]).await;
    assert_eq!(site.read("a/file").await.expect("there"), "old");
    drop(held);
    let number = number_of(&site);
    look_until(&mut site, |site| number_of(site) != number).await;
    assert_eq!(site.read("a/file").await.expect("there"), "new");
}

#[tokio::test]
async fn more_files_that_hang_than_threads_are_told() {
    for step in [Step::Lookup, Step::Open] {
        let mut site = Site::new();
        let tree = OddTree::of(&mut site, Duration::ZERO);
        let mut all_held = Vec::new();
        for number in 100..140 {
            let name = format!("{number}.iso");
            site.put(&name, image("content"));
            all_held.push(tree.hang(step, &name));
        }
        site.put("z.iso", image("content"));
        let told = "the disks of 32 files do not answer, and 9 others are looked at once one does";
        // The same at each look, so that it is told once.
        for _ in 0..3 {
            site.keeper.look().await;
            let problems = site.library.shelf().problems.clone();
            assert!(
                problems.len() == 1 && problems[0].contains(told),
                "{step:?}: {problems:?}"
            );
        }
        assert!(site.offered().is_empty());
        drop(all_held);
        look_until(&mut site, |site| site.offered().len() == 41).await;
    }
}

#[tokio::test]
async fn an_image_at_which_the_server_fails_is_withheld_alone() {
    let mut site = Site::new();
    for name in ["a", "bad", "good"] {
        site.put(&format!("{name}.iso"), image(name));
    }
    let tree = OddTree::of(&mut site, Duration::from_secs(3600));
    tree.put(Step::Open, "bad.iso", Odd::Panics);
    site.keeper.look().await;
    assert_eq!(site.offered(), ["a", "good"]);
    let fault = |name: &str| (name.to_owned(), Reason::Fault(format!("{name}.iso is odd")));
    assert_eq!(site.withheld(), [fault("bad")]);
    // Of one that is served, too; and the looking goes on.
    tree.put(Step::Lookup, "good.iso", Odd::Panics);
    site.put("new.iso", image("new"));
    site.keeper.look().await;
    assert_eq!(site.offered(), ["a", "new"]);
    assert_eq!(site.withheld(), [fault("bad"), fault("good")]);
    // They are not tried again and again.
    site.keeper.look().await;
    assert_eq!(site.withheld(), [fault("bad"), fault("good")]);
    for name in ["bad", "good"] {
        site.replace(&format!("{name}.iso"), image("mended"));
    }
    site.keeper.look().await;
    assert_eq!(site.offered(), ["a", "bad", "good", "new"]);
    assert_eq!(site.read("bad/file").await.expect("there"), "mended");
}
