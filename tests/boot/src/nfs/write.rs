//! A guest writes: what the reply says is on disk was flushed before it, and fsx and pjdfstest find nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::nfs::Run;
use crate::nfs::calls::{COMMIT, Call, NFS, WRITE};
use crate::nfs::exercisers::Exercisers;
use crate::nfs::guest::Image;
use crate::nfs::initramfs::{self, Extra};
use crate::nfs::trace::{Flush, Trace};
use crate::tree;

/// Users of pjdfstest beside root.
const PASSWD: &str = "\
root:x:0:0:root:/:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/sh
tests:x:2000:2000:tests:/:/bin/sh
";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:nobody\ntests:x:2000:tests\n";

const FSX_OPERATIONS: &str = "1500";

/// The tests of pjdfstest that pass at least; the others are in pjdfstest.toml.
const TESTS_MIN: usize = 380;

/// What changes names, and of how many directories: CREATE, MKDIR, SYMLINK, REMOVE, RMDIR, RENAME (between two) and LINK (RFC 1813
/// section 3.3).
const CHANGES_OF_NAMES: [(u32, usize); 7] =
    [(8, 1), (9, 1), (10, 1), (12, 1), (13, 1), (14, 2), (15, 1)];

/// The directories whose names the traced part changes, as the server's paths end.
const DIRECTORIES: [&str; 3] = ["/store", "/store/sync", "/store/sync/names"];

/// C libraries know the greatest number of links of some file systems only, which NFS is not of.
const SKIPPED: &str = "link::link_count_max";

pub(super) fn run(run: &mut Run<'_>) -> Result<(), String> {
    tree::make_directory(&run.work.join("store"))?;
    run.variables
        .insert("fsx_operations".to_owned(), FSX_OPERATIONS.to_owned());
    let exercisers = Exercisers::ensure()?;
    let (fsx, pjdfstest) = (run.script("fsx.toml")?, run.script("pjdfstest.toml")?);
    let extra = Extra {
        programs: vec![
            ("bin/fsx", &exercisers.fsx),
            ("bin/pjdfstest", &exercisers.pjdfstest),
        ],
        texts: vec![
            ("fsx.toml", &fsx),
            ("pjdfstest.toml", &pjdfstest),
            ("etc/passwd", PASSWD),
            ("etc/group", GROUP),
        ],
    };
    let (init, script) = (run.script("init")?, run.script("write.sh")?);
    let image = Image {
        kernel: run.debian.kernel(),
        initrd: initramfs::make(run.debian, &init, &script, &extra)?,
        append: "quiet".to_owned(),
        memory_mib: 512,
    };
    run.start(&image)?;
    let pid = run.server.as_ref().and_then(|server| server.pid());
    let trace = Trace::start(&run.namespace, pid.ok_or("no server runs")?, run.work)?;
    run.expect("written")?;
    let flushes = trace.finish()?;
    run.note(format!("{} flushes are traced", flushes.len()));
    exercise(run)?;
    let calls = run.finish()?;
    let stable = check_flushes(&calls, &flushes)?;
    let names = check_names(&calls, &flushes)?;
    run.note(format!(
        "{names} changes of names were flushed with their directories before their replies"
    ));
    run.note(format!(
        "{} FILE_SYNC WRITEs and {} COMMITs were flushed before their replies",
        stable.writes, stable.commits
    ));
    Ok(())
}

/// Listens to what the exercisers find.
fn exercise(run: &mut Run<'_>) -> Result<(), String> {
    let mut ended = Vec::new();
    let mut failed = Vec::new();
    loop {
        let line = run.next()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ended", "0"] => break,
            ["status", name, "0"] => ended.push((name.to_owned(), 0)),
            ["status", name, status] => failed.push(format!("{name} ended with {status}")),
            // `Summary: 0 failed, 1 skipped, 381 passed, 16 expected failures, 398 total`.
            [
                "said",
                "Summary:",
                ..,
                passed,
                "passed,",
                _,
                "expected",
                "failures,",
                _,
                "total",
            ] => {
                let (_, count) = ended.last_mut().ok_or("a summary of nothing")?;
                *count = passed.parse().map_err(|_| line.clone())?;
            }
            ["said", test, "skipped"] => {
                let is_erofs = test.contains("::erofs_");
                let is_first = ended
                    .last()
                    .is_some_and(|(name, _)| name == "pjdfstest-erofs");
                if test != SKIPPED && (is_first || !is_erofs) {
                    failed.push(format!("{test} was skipped"));
                }
            }
            ["said", ..] => {}
            _ => return Err(format!("the guest reports {line:?}")),
        }
    }
    if !failed.is_empty() {
        return Err(failed.join(", "));
    }
    let fsx = ended
        .iter()
        .filter(|(name, _)| name.starts_with("fsx-"))
        .count();
    let tests: usize = ended.iter().map(|(_, passed)| passed).sum();
    run.note(format!(
        "fsx ran {fsx} times, and {tests} tests of pjdfstest passed"
    ));
    if fsx != 3 || tests < TESTS_MIN {
        return Err("the exercisers did less than they should".to_owned());
    }
    Ok(())
}

/// How many calls were found to be as they should.
struct Stable {
    writes: usize,
    commits: usize,
}

/// Whether each reply that says that data are on disk was sent after a flush that began after its call. Only calls while the trace ran are looked at.
fn check_flushes(calls: &[Call], flushes: &[Flush]) -> Result<Stable, String> {
    let last = flushes
        .iter()
        .map(|flush| flush.ended)
        .max()
        .ok_or("nothing was flushed")?;
    let mut stable = Stable {
        writes: 0,
        commits: 0,
    };
    for call in calls {
        let is_write = call.is(NFS, WRITE) && is_file_sync(call);
        if !is_write && !call.is(NFS, COMMIT) {
            continue;
        }
        let (Some(sent), Some(replied)) = (call.sent.first().copied(), call.replied.as_ref())
        else {
            return Err(format!("procedure {} has no reply", call.procedure));
        };
        if sent > last {
            continue;
        }
        let within = |flush: &&Flush| {
            flush.began >= sent && flush.ended <= replied.at && flush.path.contains("/sync/")
        };
        if !flushes.iter().any(|flush| within(&flush)) {
            let after = replied.at.saturating_sub(sent);
            return Err(format!(
                "procedure {}, number {:08x}: answered after {after:?}, and nothing was flushed between",
                call.procedure, call.xid
            ));
        }
        if is_write {
            stable.writes += 1;
        } else {
            stable.commits += 1;
        }
    }
    if stable.writes == 0 || stable.commits == 0 {
        return Err(format!(
            "{} FILE_SYNC WRITEs and {} COMMITs were seen",
            stable.writes, stable.commits
        ));
    }
    Ok(stable)
}

/// Whether the directories of each change of names were flushed between its call and its reply, and how many changes that were; each
/// sort of change was made.
fn check_names(calls: &[Call], flushes: &[Flush]) -> Result<usize, String> {
    let last = flushes.iter().map(|flush| flush.ended).max();
    let last = last.ok_or("nothing was flushed")?;
    let mut seen = BTreeMap::new();
    for call in calls {
        let change = CHANGES_OF_NAMES
            .iter()
            .find(|(procedure, _)| call.is(NFS, *procedure));
        let (Some((procedure, directories)), Some(sent)) = (change, call.sent.first().copied())
        else {
            continue;
        };
        let Some(replied) = call.replied.as_ref().filter(|_| sent <= last) else {
            continue;
        };
        let within = |flush: &&Flush| flush.began >= sent && flush.ended <= replied.at;
        let flushed: BTreeSet<&str> = flushes
            .iter()
            .filter(within)
            .filter_map(|flush| {
                DIRECTORIES
                    .into_iter()
                    .find(|end| flush.path.ends_with(end))
            })
            .collect();
        if flushed.len() < *directories {
            return Err(format!(
                "procedure {procedure}, number {:08x}: answered, and of its directories only {flushed:?} were flushed between",
                call.xid
            ));
        }
        *seen.entry(*procedure).or_insert(0) += 1;
    }
    match CHANGES_OF_NAMES
        .iter()
        .find(|(procedure, _)| !seen.contains_key(procedure))
    {
        Some((procedure, _)) => Err(format!("procedure {procedure} was never seen")),
        None => Ok(seen.values().sum()),
    }
}

/// `stable_how` of WRITE3args (RFC 1813 section 3.3.7): handle, offset, count, then this.
fn is_file_sync(call: &Call) -> bool {
    const FILE_SYNC: u32 = 2;
    let word = |offset: usize| {
        let bytes = call.arguments.get(offset..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let handle = word(0).and_then(|len| usize::try_from(len).ok());
    let offset = handle.map(|len| 4 + len.next_multiple_of(4) + 8 + 4);
    offset.and_then(word) == Some(FILE_SYNC)
}
