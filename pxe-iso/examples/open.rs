//! How long it takes to open an image, to list all of it, and how much memory that needs:
//! `cargo run --release -p pxe-iso --example open -- IMAGE..`.

use std::path::PathBuf;
use std::time::Instant;

use pxe_iso::Image;
use pxe_tree::{Cookie, DirTree, Name, NodeKind, Tree};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    println!("before: {} KiB at most", memory()?);
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        let path = path.canonicalize()?;
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err("an image is a file".into());
        };
        let dir = DirTree::new(dir)?;
        let found = dir.lookup(dir.root(), Name::new(name.as_encoded_bytes())?);
        let image = dir.open(found.await?.node).await?;
        let len = image.attributes().len;
        let start = Instant::now();
        let tree = Image::open(image).await?;
        let opened = start.elapsed();
        println!("{}: {len} bytes, {}", path.display(), tree.format_name());
        println!("  opened in {opened:?}, {} KiB at most", memory()?);

        let mut directories = vec![tree.root()];
        let mut nodes = 0_usize;
        while let Some(dir) = directories.pop() {
            let page = tree.read_dir_attributes(dir, Cookie::START, usize::MAX);
            for listed in page.await?.entries {
                nodes += 1;
                let found = listed.attributes.ok_or("no attributes")?;
                if found.kind == NodeKind::Directory {
                    directories.push(found.node);
                }
            }
        }
        let listed = start.elapsed() - opened;
        println!(
            "  {nodes} nodes listed in {listed:?}, {} KiB at most",
            memory()?
        );
    }
    Ok(())
}

/// The most memory that this process has had so far, in KiB.
fn memory() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = peak.and_then(|peak| peak.split_whitespace().next());
    Ok(number.ok_or("no VmHWM")?.parse()?)
}
