//! Overlay, subtree and case folding while what they are made of changes.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{
    CaseFold, Cookie, DirOptions, DirTree, ErrorKind, MemTree, Name, NodeKind, Overlay, Resolver,
    Result, Subtree, Tree, TreePath, resolve,
};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a valid path")
}

async fn read(tree: &dyn Tree, asked: &str) -> Result<Bytes, ErrorKind> {
    let found = resolve(tree, &path(asked)).await.map_err(|e| e.kind())?;
    let blob = tree
        .open(found.attributes.node)
        .await
        .map_err(|e| e.kind())?;
    blob.read_at(0, 1000).await.map_err(|e| e.kind())
}

async fn names(tree: &dyn Tree, asked: &str) -> Vec<String> {
    let found = resolve(tree, &path(asked)).await.expect("there");
    let page = tree
        .read_dir(found.attributes.node, Cookie::START, 1000)
        .await;
    let mut names: Vec<_> = page
        .expect("a directory")
        .entries
        .iter()
        .map(|entry| entry.name.to_string())
        .collect();
    names.sort();
    names
}

fn mem(files: &[&str]) -> Arc<MemTree> {
    let tree = MemTree::new();
    for file in files {
        let (name, content) = file.split_once('=').unwrap_or((file, file));
        tree.insert_file(name, content.to_owned()).expect("free");
    }
    Arc::new(tree)
}

fn overlay(layers: &[&Arc<MemTree>]) -> Overlay {
    let layers = layers
        .iter()
        .map(|layer| Arc::clone(layer) as Arc<dyn Tree>);
    Overlay::new(layers).expect("some layers")
}

#[tokio::test]
async fn the_topmost_layer_wins_and_directories_are_one() {
    let top = mem(&["d/a=top", "d/only_top", "f=a file hides a directory"]);
    let low = mem(&["d/a=low", "d/only_low", "f/hidden", "x/y"]);
    low.insert_link("d/link", "only_top").expect("free");
    let tree = overlay(&[&top, &low]);
    assert_eq!(read(&tree, "d/a").await, Ok("top".into()));
    assert_eq!(read(&tree, "d/only_low").await, Ok("d/only_low".into()));
    assert_eq!(read(&tree, "d/link").await, Ok("d/only_top".into()));
    assert_eq!(read(&tree, "x/y").await, Ok("x/y".into()));
    assert_eq!(read(&tree, "f/hidden").await, Err(ErrorKind::NotADirectory));
    assert_eq!(names(&tree, "").await, ["d", "f", "x"]);
    assert_eq!(
        names(&tree, "d").await,
        ["a", "link", "only_low", "only_top"]
    );
}

#[tokio::test]
async fn a_file_between_two_directories_hides_the_lower_one() {
    let (top, middle, low) = (mem(&["d/top"]), mem(&["d"]), mem(&["d/low"]));
    let tree = overlay(&[&top, &middle, &low]);
    assert_eq!(read(&tree, "d/top").await, Ok("d/top".into()));
    assert_eq!(read(&tree, "d/low").await, Err(ErrorKind::NotFound));
    assert_eq!(names(&tree, "d").await, ["top"]);
}

#[tokio::test]
async fn layers_may_change_under_an_overlay() {
    let (top, low) = (mem(&["d/a=1"]), mem(&["d/b=2"]));
    let tree = overlay(&[&top, &low]);
    let dir = resolve(&tree, &path("d")).await.expect("there").attributes;
    let key = tree.key(dir.node).expect("shallow");
    assert_eq!(names(&tree, "d").await, ["a", "b"]);
    // The upper half goes, then all of it, then it comes again.
    top.remove("d").expect("there");
    let name = Name::new(b"b").expect("valid");
    assert_eq!(tree.lookup(dir.node, name).await.expect("below").len, 1);
    let changed = tree.attributes(dir.node).await.expect("still there");
    assert_ne!(changed.change, dir.change);
    assert_eq!(names(&tree, "d").await, ["b"]);
    low.remove("d").expect("there");
    let gone = [
        tree.attributes(dir.node).await.map(drop),
        tree.lookup(dir.node, name).await.map(drop),
        tree.read_dir(dir.node, Cookie::START, 9).await.map(drop),
        tree.resolve_key(&key).await.map(drop),
    ];
    for gone in gone {
        assert_eq!(gone.expect_err("gone").kind(), ErrorKind::Stale);
    }
    low.insert_file("d/c", "3").expect("free");
    top.insert_file("d/c", "4").expect("free");
    assert_eq!(read(&tree, "d/c").await, Ok("4".into()));
    assert_eq!(tree.resolve_key(&key).await.expect("by its path"), dir.node);
    assert_eq!(names(&tree, "d").await, ["c"]);
    // A file instead of the directory, above.
    top.remove("d").expect("there");
    top.insert_file("d", "file").expect("free");
    assert_eq!(
        tree.attributes(dir.node).await.expect_err("hidden").kind(),
        ErrorKind::Stale
    );
    assert_eq!(read(&tree, "d").await, Ok("file".into()));
}

/// A client reads a directory page by page while names come and go in it.
#[tokio::test]
async fn what_stays_is_listed_once_while_others_come_and_go() {
    let (top, low) = (mem(&[]), mem(&[]));
    for number in 0..300 {
        let layer = if number % 2 == 0 { &top } else { &low };
        for name in ["stays", "goes"] {
            let path = format!("d/{name}{number}");
            layer.insert_file(path, "x").expect("free");
        }
    }
    let layers = Arc::new(overlay(&[&top, &low])) as Arc<dyn Tree>;
    let mounted = Subtree::new(layers, path("d/mnt"), mem(&["inner"])).expect("below the root");
    let dir = resolve(&mounted, &path("d")).await.expect("there");
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let (mut after, mut page_number) = (Cookie::START, 0);
    loop {
        let page = mounted.read_dir(dir.attributes.node, after, 30).await;
        let page = page.expect("a directory");
        for entry in &page.entries {
            *seen.entry(entry.name.to_string()).or_default() += 1;
        }
        for number in page_number * 20..(page_number + 1) * 20 {
            for layer in [&top, &low] {
                // Each is in one layer only.
                let _ = layer.remove(format!("d/goes{number}"));
            }
            top.insert_file(format!("d/comes{number}"), "x")
                .expect("free");
        }
        page_number += 1;
        match page.entries.last() {
            Some(last) if !page.end => after = last.cookie,
            _ => break,
        }
    }
    for number in 0..300 {
        let name = format!("stays{number}");
        assert_eq!(seen.get(&name), Some(&1), "{name}");
    }
}

/// Layers whose tables are too small forget nodes all the time; directories are found again.
#[tokio::test]
async fn layers_may_forget() {
    let dirs = [0, 1].map(|_| tempfile::tempdir().expect("a temporary directory"));
    for (number, dir) in dirs.iter().enumerate() {
        for name in 0..40 {
            let place = dir.path().join(format!("d{name}"));
            fs::create_dir(&place).expect("create");
            fs::write(place.join(format!("f{number}")), "x").expect("write");
        }
    }
    let options = DirOptions::default().with_nodes_max(16);
    let layers = dirs.each_ref().map(|dir| {
        let tree = DirTree::with_options(dir.path(), options).expect("a directory");
        Arc::new(tree) as Arc<dyn Tree>
    });
    let tree = Overlay::new(layers).expect("two layers");
    let mut nodes = Vec::new();
    for name in 0..40 {
        let name = format!("d{name}");
        nodes.push(
            resolve(&tree, &path(&name))
                .await
                .expect("there")
                .attributes,
        );
    }
    for dir in nodes {
        for file in ["f0", "f1"] {
            let name = Name::new(file).expect("valid");
            tree.lookup(dir.node, name).await.expect("found again");
        }
        let page = tree.read_dir(dir.node, Cookie::START, 10).await;
        assert_eq!(page.expect("found again").entries.len(), 2);
    }
}

#[tokio::test]
async fn no_layer_is_no_overlay() {
    assert_eq!(Overlay::new([]).err(), Some(ErrorKind::Unsupported));
    let one = mem(&["a"]);
    let many = (0..256).map(|_| Arc::clone(&one) as Arc<dyn Tree>);
    assert_eq!(Overlay::new(many).err(), Some(ErrorKind::Unsupported));
    let most = (0..255).map(|_| Arc::clone(&one) as Arc<dyn Tree>);
    let most = Overlay::new(most).expect("as many as there are numbers");
    assert_eq!(read(&most, "a").await, Ok("a".into()));
}

/// `bios/os -> ../os`, where an image is mounted below `/os`; and links of the image lead out.
#[tokio::test]
async fn links_cross_mounts_both_ways() {
    let boot = mem(&["os/readme", "pxelinux.cfg/default"]);
    boot.insert_link("bios/os", "../os").expect("free");
    boot.insert_link("bios/kernel", "/srv/tftp/os/debian/live/vmlinuz")
        .expect("free");
    let image = mem(&["live/vmlinuz=kernel"]);
    image.insert_link("live/initrd", "vmlinuz").expect("free");
    image
        .insert_link("config", "../../pxelinux.cfg")
        .expect("free");
    image.insert_link("up", "..").expect("free");
    let mounted = Subtree::new(boot, path("os/debian"), image).expect("below the root");
    for asked in [
        "os/debian/live/vmlinuz",
        "bios/os/debian/live/vmlinuz",
        "bios/os/debian/live/initrd",
        "bios/os/debian/up/debian/live/vmlinuz",
    ] {
        assert_eq!(read(&mounted, asked).await, Ok("kernel".into()), "{asked}");
    }
    let config = read(&mounted, "bios/os/debian/config/default").await;
    assert_eq!(config, Ok("pxelinux.cfg/default".into()));
    assert_eq!(names(&mounted, "os").await, ["debian", "readme"]);
    let resolver = Resolver::new().with_root_path(path("/srv/tftp"));
    let kernel = resolver
        .resolve(&mounted, &path("bios/kernel"))
        .await
        .expect("there");
    assert_eq!(kernel.path.to_string(), "/os/debian/live/vmlinuz");
    // A document root within the tree, with links into all of it.
    let resolver = Resolver::new().with_base(path("os"));
    let config = resolver
        .resolve(&mounted, &path("debian/config/default"))
        .await;
    assert_eq!(
        config.expect("there").path.to_string(),
        "/pxelinux.cfg/default"
    );
}

#[tokio::test]
async fn a_mount_hides_and_needs_nothing() {
    let outer = mem(&["os/debian/hidden", "os/file", "x"]);
    let at_file = Subtree::new(
        Arc::clone(&outer) as Arc<dyn Tree>,
        path("os/file/deep/er"),
        mem(&["inner"]),
    );
    let at_file = at_file.expect("below the root");
    assert_eq!(
        read(&at_file, "os/file/deep/er/inner").await,
        Ok("inner".into())
    );
    assert_eq!(names(&at_file, "os").await, ["debian", "file"]);
    assert_eq!(names(&at_file, "os/file").await, ["deep"]);
    let root = Subtree::new(outer, TreePath::ROOT, mem(&[]));
    assert_eq!(root.err(), Some(ErrorKind::Unsupported));
}

#[tokio::test]
async fn the_outer_tree_may_change_around_a_mount() {
    let outer = mem(&["x"]);
    let tree = Subtree::new(
        Arc::clone(&outer) as Arc<dyn Tree>,
        path("a/b"),
        mem(&["inner"]),
    )
    .expect("below the root");
    let way = resolve(&tree, &path("a"))
        .await
        .expect("made up")
        .attributes;
    assert_eq!(names(&tree, "a").await, ["b"]);
    outer.insert_file("a/beside", "1").expect("free");
    assert_eq!(names(&tree, "a").await, ["b", "beside"]);
    assert_eq!(read(&tree, "a/beside").await, Ok("1".into()));
    assert_eq!(
        tree.attributes(way.node).await.expect("there").kind,
        NodeKind::Directory
    );
    outer.remove("a").expect("there");
    outer.insert_file("a", "a file in the way").expect("free");
    assert_eq!(names(&tree, "a").await, ["b"]);
    assert_eq!(read(&tree, "a/b/inner").await, Ok("inner".into()));
    assert_eq!(read(&tree, "a/beside").await, Err(ErrorKind::NotFound));
}

/// The key of a directory, made while another one was the mount point.
#[tokio::test]
async fn no_key_leads_past_a_mount() {
    let outer = mem(&["a/b/hidden", "a/x"]);
    let mount = |at| {
        let outer = Arc::clone(&outer) as Arc<dyn Tree>;
        Subtree::new(outer, path(at), mem(&["inner"])).expect("below the root")
    };
    let (old, new) = (mount("c"), mount("a/b"));
    let found = resolve(&old, &path("a")).await.expect("there").attributes;
    let key = old.key(found.node).expect("shallow");
    let found = resolve(&new, &path("a")).await.expect("there").attributes;
    assert_eq!(new.resolve_key(&key).await.expect("there"), found.node);
    let found = resolve(&old, &path("a/x")).await.expect("there").attributes;
    let key = old.key(found.node).expect("shallow");
    let found = resolve(&new, &path("a/x")).await.expect("there").attributes;
    assert_eq!(new.resolve_key(&key).await.expect("there"), found.node);
}

/// The upper layer gets its half of a directory on the way only after it was walked.
#[tokio::test]
async fn an_overlay_may_change_around_a_mount() {
    let (top, low) = (mem(&["x"]), mem(&["os/a"]));
    let layers = Arc::new(overlay(&[&top, &low]));
    let tree = Subtree::new(layers, path("os/image"), mem(&["inner"])).expect("below the root");
    assert_eq!(read(&tree, "os/a").await, Ok("os/a".into()));
    top.insert_file("os/b", "new").expect("free");
    assert_eq!(read(&tree, "os/b").await, Ok("new".into()));
    assert_eq!(names(&tree, "os").await, ["a", "b", "image"]);
}

/// Two trees in memory have the same file numbers; mounted, they are two file systems.
#[tokio::test]
async fn mounted_trees_are_told_apart() {
    let mount = |outer: Arc<dyn Tree>, at| {
        let tree = Subtree::new(outer, path(at), mem(&["f"])).expect("below the root");
        Arc::new(tree) as Arc<dyn Tree>
    };
    let tree = mount(mount(mount(mem(&["f"]), "a"), "b"), "a/c");
    let mut seen = std::collections::HashSet::new();
    for asked in ["f", "a/f", "b/f", "a/c/f"] {
        let found = resolve(&*tree, &path(asked))
            .await
            .expect("there")
            .attributes;
        assert!(
            seen.insert(found.fsid),
            "{asked}: fsid {:x} twice",
            found.fsid
        );
    }
}

#[tokio::test]
async fn any_case_through_mounts_and_layers() {
    let top = mem(&["Boot/Fonts/wgl4.ttf"]);
    let image = mem(&["sources/boot.wim"]);
    let tree = Subtree::new(Arc::new(overlay(&[&top])), path("boot/Image"), image);
    let tree = CaseFold::new(Arc::new(tree.expect("below the root")));
    // The mount made a directory `boot` beside `Boot`: that name is not unique any more.
    assert_eq!(
        read(&tree, "BOOT/fonts/WGL4.TTF").await,
        Err(ErrorKind::NotFound)
    );
    assert_eq!(
        read(&tree, "Boot/fonts/WGL4.TTF").await,
        Ok("Boot/Fonts/wgl4.ttf".into())
    );
    let wim = read(&tree, "boot/IMAGE/Sources/BOOT.WIM").await;
    assert_eq!(wim, Ok("sources/boot.wim".into()));
}

/// A directory that was changed just now is not remembered: its clock may not have ticked since.
#[tokio::test]
async fn new_names_are_found_at_once_in_any_case() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = Arc::new(DirTree::new(dir.path()).expect("a directory"));
    let folded = CaseFold::new(Arc::clone(&files) as Arc<dyn Tree>);
    let layered = Overlay::new([files as Arc<dyn Tree>]).expect("a layer");
    for number in 0..200 {
        let absent = read(&folded, &format!("NAME{number}")).await;
        assert_eq!(absent, Err(ErrorKind::NotFound));
        fs::write(dir.path().join(format!("name{number}")), "x").expect("write");
        assert_eq!(
            read(&folded, &format!("NAME{number}")).await,
            Ok("x".into())
        );
        assert_eq!(names(&layered, "").await.len(), number + 1);
    }
}

#[tokio::test]
async fn files_of_both_trees_are_opened_again_through_a_mount() {
    let [outer_dir, inner_dir] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    for (dir, name) in [
        (&outer_dir, "menu"),
        (&outer_dir, "os"),
        (&inner_dir, "linux"),
    ] {
        fs::write(dir.path().join(name), name).expect("write");
    }
    let [outer, inner] = [&outer_dir, &inner_dir]
        .map(|dir| Arc::new(DirTree::new(dir.path()).expect("a directory")));
    let tree =
        Subtree::new(Arc::clone(&outer) as _, path("os/live"), inner).expect("below the root");
    for name in ["menu", "os/live/linux"] {
        read(&tree, name).await.expect("there");
        assert!(tree.open_again(&path(name)).is_some(), "{name}");
    }
    // What the way to the inner tree hides stays hidden.
    read(&*outer, "os").await.expect("there");
    assert!(outer.open_again(&path("os")).is_some());
    for name in ["os", "os/live", "other"] {
        assert!(tree.open_again(&path(name)).is_none(), "{name}");
    }
}
