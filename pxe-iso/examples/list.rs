//! Lists what is in an image: `cargo run -p pxe-iso --example list -- IMAGE [best|rock-ridge|joliet|plain|udf]`.

use std::path::PathBuf;
use std::sync::Arc;

use pxe_iso::{ImageOptions, ImageTree, NameSource};
use pxe_tree::{Cookie, DirTree, Name, NodeId, NodeKind, Tree};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: list IMAGE [NAMES]")?);
    let names = match arguments
        .next()
        .as_deref()
        .and_then(std::ffi::OsStr::to_str)
    {
        None | Some("best") => NameSource::Best,
        Some("rock-ridge") => NameSource::RockRidge,
        Some("joliet") => NameSource::Joliet,
        Some("plain") => NameSource::Plain,
        Some("udf") => NameSource::Udf,
        Some(other) => return Err(format!("there are no names called {other}").into()),
    };
    let path = path.canonicalize()?;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err("an image is a file".into());
    };
    let dir = DirTree::new(dir)?;
    let found = dir.lookup(dir.root(), Name::new(name.as_encoded_bytes())?);
    let image = dir.open(found.await?.node).await?;
    let tree = ImageOptions::new().with_names(names).open(image).await?;
    eprintln!("{}, volume {:?}", tree.format_name(), tree.volume_id());
    list(&tree).await
}

/// Kind, mode, size and path of each node; of a link its target too.
async fn list(tree: &Arc<ImageTree>) -> Result<(), Failure> {
    let mut pending: Vec<(NodeId, String)> = vec![(tree.root(), String::new())];
    while let Some((dir, above)) = pending.pop() {
        let page = tree.read_dir_attributes(dir, Cookie::START, usize::MAX);
        for listed in page.await?.entries {
            let Some(found) = listed.attributes else {
                continue;
            };
            let path = format!("{above}/{}", listed.entry.name);
            let (kind, target) = match found.kind {
                NodeKind::Directory => ('d', String::new()),
                NodeKind::Link => {
                    let target = tree.read_link(found.node).await?;
                    ('l', format!(" -> {}", String::from_utf8_lossy(&target)))
                }
                NodeKind::File => ('-', String::new()),
                _ => ('?', String::new()),
            };
            println!("{kind} {:04o} {:>11} {path}{target}", found.mode, found.len);
            if found.kind == NodeKind::Directory {
                pending.push((found.node, path));
            }
        }
    }
    Ok(())
}
