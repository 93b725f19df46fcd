//! A server drops its privileges before it serves: so the tests of trees on disk run by root run
//! once more, in a process of user and group 65534. Run by anyone else, they ran unprivileged
//! already.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

const NOBODY: u32 = 65534;
const MARK: &str = "PXE_TREE_TESTS_AS_NOBODY";

/// The user that this process acts as, seen in what it makes.
pub(crate) fn acting_user() -> u32 {
    let probe = tempfile::NamedTempFile::new().expect("a temporary file");
    probe.as_file().metadata().expect("open").uid()
}

/// Runs this test program again as nobody, and expects at least that many tests to pass there.
pub(crate) fn run_again(tests_min: usize) {
    let me = acting_user();
    if std::env::var_os(MARK).is_some() {
        assert_eq!(me, NOBODY, "the child did not become nobody");
        return;
    }
    if me != 0 {
        return;
    }
    // The program itself may lie where nobody cannot go.
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let program = scratch.path().join("tests");
    std::fs::copy(std::env::current_exe().expect("a path"), &program).expect("copy");
    let temporary = scratch.path().join("tmp");
    std::fs::create_dir(&temporary).expect("create");
    chown(&temporary, Some(NOBODY), Some(NOBODY)).expect("chown");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), open.clone()).expect("chmod");
    std::fs::set_permissions(&program, open).expect("chmod");
    let run = Command::new(&program)
        // It takes long, and does not depend on who asks.
        .args(["--skip", "a_directory_of_100_000_entries"])
        .env("TMPDIR", &temporary)
        .env(MARK, "1")
        .current_dir(&temporary)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("the tests' own program");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "as nobody:\n{said}");
    let ran = said.matches("... ok").count();
    assert!(ran >= tests_min, "as nobody only {ran} tests ran:\n{said}");
}
