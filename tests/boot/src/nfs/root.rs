//! A machine whose root is on NFS: initramfs-tools' klibc nfsmount mounts it, systemd boots from it, and the server dies meanwhile.

use crate::nfs::Run;
use crate::nfs::calls::{Call, MOUNT, NFS, PORTMAP};
use crate::nfs::cpio::Archive;
use crate::nfs::guest::Image;

/// The small files beside the script.
const FILES: [&str; 2] = ["pxe-test-early.service", "pxe-test.service"];

/// Without any option of nfsmount, as the tutorial writes it, and killed on the way to multi-user.target.
pub(super) fn run(run: &mut Run<'_>) -> Result<(), String> {
    let image = image(run, "root.sh", "")?;
    run.start(&image)?;
    run.expect("sysinit")?;
    let outage = run.restart_server()?;
    let early = run.guest.as_mut().map(|guest| guest.waiting());
    if let Some(line) = early.unwrap_or_default().first() {
        return Err(format!(
            "the guest reports {line:?} before the server is back"
        ));
    }
    run.expect("multi-user")?;
    run.expect("system running")?;
    let mounted = run.value("root")?;
    run.value("verified")?;
    run.expect("ended 0")?;
    if !mounted.split([' ', ',']).any(|option| option == "ro") {
        return Err(format!("the root is not read-only: {mounted}"));
    }
    let calls = run.finish()?;
    let interrupted = outage.interrupted(&calls);
    run.note(format!(
        "{interrupted} calls were sent before the server died and answered after"
    ));
    if interrupted == 0 {
        return Err("the restart of the server interrupted no call".to_owned());
    }
    let asked = |program, port_of: &str| {
        let is_mount = |call: &&Call| call.program == program && call.replied.is_some();
        match calls.iter().find(is_mount) {
            Some(_) => Ok(()),
            None => Err(format!("nfsmount did not ask for {port_of}")),
        }
    };
    asked(PORTMAP, "ports")?;
    asked(MOUNT, "the directory")?;
    asked(NFS, "a file")
}

/// The Debian root's own kernel and initramfs, and beside it what has the script run once the system is up.
pub(super) fn image(run: &Run<'_>, script: &str, options: &str) -> Result<Image, String> {
    let mut initrd = run
        .debian
        .read(&run.debian.initrd().display().to_string())?;
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    let mut archive = Archive::default();
    for directory in ["scripts", "scripts/nfs-premount", "pxe-test"] {
        archive.directory(directory);
    }
    let premount = run.script("debian/premount")?;
    archive.program("scripts/nfs-premount/pxe-test", premount.as_bytes());
    archive.file(
        "scripts/nfs-premount/ORDER",
        b"/scripts/nfs-premount/pxe-test \"$@\"\n",
    );
    for file in FILES {
        let text = run.script(&format!("debian/{file}"))?;
        archive.file(&format!("pxe-test/{file}"), text.as_bytes());
    }
    let text = run.script("debian/functions.sh")? + &run.script(script)?;
    archive.file("pxe-test/guest.sh", text.as_bytes());
    initrd.extend(archive.finish());
    let append = format!(
        "root=/dev/nfs nfsroot=@address@:@debian@{options} ip=@machine@::@address@:255.255.255.0::eth0:off \
         net.ifnames=0 ro systemd.show_status=true"
    );
    Ok(Image {
        kernel: run.debian.kernel(),
        initrd,
        append: run.fill(&append)?,
        memory_mib: 768,
    })
}
