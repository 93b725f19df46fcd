//! A Debian with nfs-common: the tutorial's mount without an option, and the other programs that ask an NFS server.

use crate::nfs::calls::{Call, LOCK_MANAGER, MOUNT, NFS, PORTMAP};
use crate::nfs::root;
use crate::nfs::{EXPORT, Run, sh};
use crate::tree;

/// Its root is mounted with options, as a kernel's command line may have them for nfsmount.
const ROOT_OPTIONS: &str = ",v3,tcp,nolock,rsize=65536,wsize=65536,timeo=600,hard";

/// `EX_OSERR` of sysexits.h, with which flock(1) ends where it is no conflict that a lock fails of.
const LOCK_FAILED: i32 = 71;
/// Of mount(8): the mount failed.
const MOUNT_FAILED: i32 = 32;

/// A command of the guest: how it has to end, and what its lines have to have.
type Wanted<'a> = (&'a str, i32, &'a [&'a str]);

/// What a command of the guest said.
#[derive(Debug)]
struct Said {
    name: String,
    status: i32,
    lines: Vec<String>,
}

pub(super) fn run(run: &mut Run<'_>) -> Result<(), String> {
    for directory in ["casper", ".disk"] {
        tree::make_directory(&run.export.join(directory))?;
    }
    tree::write(&run.export.join(".disk/info"), b"Ubuntu 18.04\n")?;
    tree::write(&run.export.join("README"), b"A file to lock\n")?;
    let content: Vec<u8> = (0..1_250_000_u32).flat_map(u32::to_le_bytes).collect();
    tree::write(&run.export.join("casper/filesystem.squashfs"), &content)?;
    let sum = sh(&run.export, "sha256sum casper/filesystem.squashfs")?;
    let sum = sum.split(' ').next().unwrap_or_default();

    let image = root::image(run, "common.sh", ROOT_OPTIONS)?;
    run.start(&image)?;
    run.expect("sysinit")?;
    run.expect("multi-user")?;
    let said = listen(run)?;
    let calls = run.finish()?;

    let source = format!("10.77.0.1:{EXPORT} /mnt nfs ");
    let exported = format!("{EXPORT} ");
    let wanted: [Wanted<'_>; 34] = [
        // Version 4 is tried first, three times, and then the portmapper is asked for version 3.
        (
            "mount",
            0,
            &[
                "vers=4.2,",
                "vers=4,minorversion=1,",
                "vers=4,addr=",
                "mount(2): Protocol not supported",
                "prog 100003, trying vers=3, prot=6",
                "prog 100005, trying vers=3, prot=17",
            ],
        ),
        (
            "options",
            0,
            &[
                &source,
                "vers=3,",
                "rsize=1048576,",
                ",hard,",
                "proto=tcp,",
                "local_lock=none,",
            ],
        ),
        ("listing", 0, &[".disk", "README", "casper"]),
        ("sum", 0, &[sum]),
        ("touch", 1, &["Read-only file system"]),
        ("statd", 0, &["active"]),
        ("directories", 0, &[EXPORT]),
        ("lock", LOCK_FAILED, &["No locks available"]),
        ("lock-wait", LOCK_FAILED, &["No locks available"]),
        ("umount", 0, &[]),
        ("exports", 0, &[&exported, " 10.77.0.0/24"]),
        (
            "programs",
            0,
            &[
                "100000 2 tcp 111 portmapper",
                "100000 2 udp 111 portmapper",
                "100003 3 tcp 2049 nfs",
                "100003 3 udp 2049 nfs",
                "100005 3 tcp 2049 mountd",
                "100005 3 udp 2049 mountd",
                "100021 1 tcp 2049 nlockmgr",
                "100021 3 tcp 2049 nlockmgr",
                "100021 4 tcp 2049 nlockmgr",
                "100021 4 udp 2049 nlockmgr",
            ],
        ),
        (
            "version-3",
            0,
            &["program 100003 version 3 ready and waiting"],
        ),
        ("version-4", 1, &["low version = 3, high version = 3"]),
        ("nolock", 0, &[]),
        ("nolock-lock", 0, &[]),
        ("nolock-umount", 0, &[]),
        ("by-4.2", MOUNT_FAILED, &["Protocol not supported"]),
        // mount.nfs tells why version 4 failed, and not why version 3 did (utils/mount/stropts.c, nfs_autonegotiate).
        ("absent", MOUNT_FAILED, &["Protocol not supported"]),
        ("absent-3", MOUNT_FAILED, &["No such file or directory"]),
        ("foreign", MOUNT_FAILED, &["access denied by server"]),
        ("tcp", 0, &[]),
        ("tcp-umount", 0, &[]),
        ("busybox", 0, &[]),
        ("busybox-sum", 0, &[sum]),
        ("busybox-umount", 0, &[]),
        ("klibc", 0, &[]),
        (
            "klibc-options",
            0,
            &[&source, "vers=3,", ",hard,", ",nolock,", "proto=tcp,"],
        ),
        ("klibc-sum", 0, &[sum]),
        ("klibc-umount", 0, &[]),
        ("klibc-ro", 0, &[]),
        (
            "klibc-ro-options",
            0,
            &[&source, " ro,", "rsize=32768,", "timeo=50,", "retrans=5,"],
        ),
        ("klibc-ro-sum", 0, &[sum]),
        ("klibc-ro-umount", 0, &[]),
    ];
    compare(&said, &wanted)?;
    run.note(format!(
        "{} commands ended and said what they should",
        said.len()
    ));
    check_calls(&calls)
}

/// What each command said, up to the script's end.
fn listen(run: &mut Run<'_>) -> Result<Vec<Said>, String> {
    let mut said: Vec<Said> = Vec::new();
    loop {
        let line = run.next()?;
        let mut words = line.splitn(2, ' ');
        match (words.next(), words.next()) {
            (Some("ended"), Some("0")) => return Ok(said),
            (Some("status"), Some(rest)) => {
                let bad = || format!("the guest reports {line:?}");
                let (name, status) = rest.split_once(' ').ok_or_else(bad)?;
                said.push(Said {
                    name: name.to_owned(),
                    status: status.parse().map_err(|_| bad())?,
                    lines: Vec::new(),
                });
            }
            // A line may be empty.
            (Some("said"), rest) if !said.is_empty() => {
                // Columns are aligned by as many spaces as it takes.
                let words: Vec<&str> = rest.unwrap_or_default().split_whitespace().collect();
                said.last_mut()
                    .ok_or("no command")?
                    .lines
                    .push(words.join(" "));
            }
            _ => return Err(format!("the guest reports {line:?}")),
        }
    }
}

/// Compares them with what they should have said.
fn compare(said: &[Said], wanted: &[Wanted<'_>]) -> Result<(), String> {
    if said.len() != wanted.len() {
        return Err(format!(
            "{} commands were run, not {}",
            said.len(),
            wanted.len()
        ));
    }
    for (said, (name, status, texts)) in said.iter().zip(wanted) {
        if said.name != *name {
            return Err(format!("{:?} was run where {name:?} should be", said.name));
        }
        if said.status != *status {
            return Err(format!(
                "{name} ended with {} and not {status}: {:?}",
                said.status, said.lines
            ));
        }
        for text in *texts {
            if !said.lines.iter().any(|line| line.contains(text)) {
                return Err(format!("{name} did not say {text:?}: {:?}", said.lines));
            }
        }
    }
    Ok(())
}

/// Each call but NFS's own was answered; what is not there was refused so that clients fall back.
fn check_calls(calls: &[Call]) -> Result<(), String> {
    const PROG_UNAVAIL: u32 = 1;
    const PROG_MISMATCH: u32 = 2;
    const NFS_ACL: u32 = 100_227;
    const LOCK: u32 = 2;
    // One for each lock, and none to give back what was not got.
    let asked: Vec<u32> = (calls.iter())
        .filter(|call| call.program == LOCK_MANAGER && call.procedure != 0)
        .map(|call| call.procedure)
        .collect();
    if asked != [LOCK, LOCK] {
        return Err(format!("the lock manager was asked for {asked:?}"));
    }
    for call in calls {
        let (program, version) = (call.program, call.version);
        // Of its replies the capture has the beginning of segments alone; what was read was right.
        if (program, version) == (NFS, 3) {
            continue;
        }
        let Some(replied) = &call.replied else {
            return Err(format!(
                "{program} version {version}, procedure {} has no reply",
                call.procedure
            ));
        };
        let range = |low: u32, high: u32| [low.to_be_bytes(), high.to_be_bytes()].concat();
        let (accept, results) = match (program, version) {
            (NFS, 4) => (PROG_MISMATCH, range(3, 3)),
            (PORTMAP, 3 | 4) => (PROG_MISMATCH, range(2, 2)),
            (NFS_ACL, _) => (PROG_UNAVAIL, Vec::new()),
            _ => continue,
        };
        if replied.accept != Some(accept) || replied.results != results {
            return Err(format!(
                "{program} version {version} is answered with {:?} and {:?}",
                replied.accept, replied.results
            ));
        }
    }
    for wanted in [
        (NFS, 4),
        (NFS, 3),
        (PORTMAP, 4),
        (PORTMAP, 3),
        (PORTMAP, 2),
        (MOUNT, 3),
        (NFS_ACL, 3),
        (LOCK_MANAGER, 4),
    ] {
        if !calls
            .iter()
            .any(|call| (call.program, call.version) == wanted)
        {
            return Err(format!("nobody called {} version {}", wanted.0, wanted.1));
        }
    }
    Ok(())
}
