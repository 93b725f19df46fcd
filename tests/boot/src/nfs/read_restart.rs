//! A guest reads a large file and many small ones while the server is killed and started again, twice.

use std::path::{Path, PathBuf};

use crate::nfs::calls::{NFS, READ};
use crate::nfs::guest::Image;
use crate::nfs::initramfs::{self, Extra};
use crate::nfs::{Outage, Run, sh};
use crate::tree;

const LARGE_MIB: usize = 64;
const FILES: usize = 10_000;
/// So many are in one directory, whose listing takes many calls; the others are in directories of a hundred.
const FILES_TOGETHER: usize = 5_000;
/// When the server dies: in the large file, and in the tree.
const FIRST_AFTER: &str = "read 12 MiB";
const SECOND_AFTER: &str = "summed 3000";

pub(super) fn run(run: &mut Run<'_>) -> Result<(), String> {
    let sums = lay_out(&run.export)?;
    run.note(format!("{FILES} files are laid out"));
    run.variables.insert("files".to_owned(), FILES.to_string());
    let script = run.script("read-restart.sh")?;
    let init = run.script("init")?;
    let image = Image {
        kernel: run.debian.kernel(),
        initrd: initramfs::make(run.debian, &init, &script, &Extra::default())?,
        append: "quiet".to_owned(),
        memory_mib: 512,
    };
    run.start(&image)?;
    run.expect("mounted")?;
    let first = kill_after(run, FIRST_AFTER, &format!("read {LARGE_MIB} MiB"))?;
    let large = after_progress(run, "read", "large")?;
    if large != sums.large {
        return Err(format!(
            "the large file is {large}, and {} on the server",
            sums.large
        ));
    }
    run.expect(&format!("found {FILES}"))?;
    let second = kill_after(run, SECOND_AFTER, &format!("summed {FILES}"))?;
    let tree = after_progress(run, "summed", "tree")?;
    if tree != sums.tree {
        return Err(format!(
            "the tree is {tree}, and {} on the server",
            sums.tree
        ));
    }
    run.expect("ended 0")?;
    let calls = run.finish()?;
    let reads = calls.iter().filter(|call| call.is(NFS, READ)).count();
    for outage in [first, second] {
        let count = outage.interrupted(&calls);
        run.note(format!(
            "{count} calls were sent before the server died and answered after"
        ));
        if count == 0 {
            return Err("a restart of the server interrupted no call".to_owned());
        }
    }
    run.note(format!("{} calls, {reads} READs", calls.len()));
    Ok(())
}

/// Kills the server and starts it again once the guest has reported that. What it had reported by then must not be all.
fn kill_after(run: &mut Run<'_>, progress: &str, end: &str) -> Result<Outage, String> {
    while run.next()? != progress {}
    let outage = run.restart_server()?;
    let early = run.guest.as_mut().map(|guest| guest.waiting());
    for line in early.unwrap_or_default() {
        run.note(format!("{line} (while the server was away)"));
        if line == end {
            return Err("the guest was through before the server was back".to_owned());
        }
    }
    Ok(outage)
}

/// Passes over reports of progress, up to the one with the value.
fn after_progress(run: &mut Run<'_>, progress: &str, word: &str) -> Result<String, String> {
    loop {
        let line = run.next()?;
        match line.split_once(' ') {
            Some((first, value)) if first == word => return Ok(value.to_owned()),
            Some((first, _)) if first == progress => {}
            _ => {
                return Err(format!(
                    "the guest reports {line:?} where {word:?} should come"
                ));
            }
        }
    }
}

/// What the guest has to find.
struct Sums {
    large: String,
    /// Of the list of the sums of all files.
    tree: String,
}

/// Lays the export out, and says what sha256sum says of it.
fn lay_out(export: &Path) -> Result<Sums, String> {
    let mut numbers = Numbers(1);
    tree::write(&export.join("large"), &numbers.bytes(LARGE_MIB << 20))?;
    let files = export.join("tree");
    tree::make_directory(&files)?;
    tree::make_directory(&files.join("together"))?;
    for index in 0..FILES {
        let path = if index < FILES_TOGETHER {
            PathBuf::from(format!("together/file-{index:05}"))
        } else {
            let directory = format!("apart-{:02}", index % 50);
            if !files.join(&directory).is_dir() {
                tree::make_directory(&files.join(&directory))?;
            }
            Path::new(&directory).join(format!("file-{index:05}"))
        };
        // From none to four pages; each hundredth more than one READ.
        let len = if index % 100 == 7 {
            300_000
        } else {
            (index * 37) % 16_400
        };
        tree::write(&files.join(path), &numbers.bytes(len))?;
    }
    let large = sh(export, "sha256sum large")?;
    let list = sh(
        &files,
        "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum",
    )?;
    let sum = |line: String| line.split(' ').next().map(str::to_owned);
    let both = sum(large).zip(sum(list));
    let (large, tree) = both.ok_or("sha256sum says nothing")?;
    Ok(Sums { large, tree })
}

/// Content that repeats nowhere (xorshift64, G. Marsaglia).
struct Numbers(u64);

impl Numbers {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend(self.0.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
