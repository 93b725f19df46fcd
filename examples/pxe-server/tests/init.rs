//! `init` as a user runs it; what it does in detail is tested beside it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn init(root: &Path, tree: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
    command.arg("init").arg(tree).arg("--from").arg(root);
    command.output().expect("started")
}

#[test]
fn init_exits_0_once_a_family_is_complete() {
    let root = TempDir::new().expect("a folder");
    let place = TempDir::new().expect("a folder");
    let tree = place.path().join("tftp");

    let output = init(root.path(), &tree);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        stderr.starts_with("error: no loader family is complete"),
        "{stderr}"
    );
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        stdout.contains("missing: bios/lpxelinux.0: apt install pxelinux\n"),
        "{stdout}"
    );

    let loader = root.path().join("usr/lib/ipxe/undionly.kpxe");
    fs::create_dir_all(loader.parent().expect("a folder")).expect("made");
    fs::write(&loader, "loader").expect("written");
    let output = init(root.path(), &tree);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
    assert_eq!(
        fs::read(tree.join("ipxe/undionly.kpxe")).expect("laid"),
        b"loader"
    );
}

#[test]
fn init_refuses_a_file() {
    let place = TempDir::new().expect("a folder");
    let file = place.path().join("file");
    fs::write(&file, "mine").expect("written");
    let output = init(place.path(), &file);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read(&file).expect("there"), b"mine");
}
