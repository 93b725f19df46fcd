//! `pxe-server dns check`, and `check` of a configuration with zones.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = "$TTL 3d\n@ IN SOA pxe root 20230401 604800 86400 2419200 3600\n IN NS pxe\n\
    pxe IN A 192.168.150.1\n";

fn run(directory: &Path, arguments: &[&str]) -> (bool, String, String) {
    let program = Command::new(env!("CARGO_BIN_EXE_pxe-server"))
        .args(arguments)
        .current_dir(directory)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = program.expect("built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.success(), text(stdout), text(stderr))
}

#[test]
fn a_zone_file_is_checked_as_named_checkzone_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let put = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("writable");
    };
    let run = |arguments: &[&str]| run(directory.path(), arguments);
    put("db.matrix.lan", GOOD);
    let (is_good, out, _) = run(&["dns", "check", "db.matrix.lan"]);
    assert!(is_good);
    assert_eq!(out, "zone matrix.lan. OK, serial 20230401, 3 records\n");
    put("more", "nas A 192.168.150\n");
    put("bad", &format!("{GOOD}$INCLUDE more\n"));
    let (is_good, _, error) = run(&["dns", "check", "bad", "--zone", "matrix.lan"]);
    assert!(!is_good);
    assert!(error.contains("more:1: error: "), "{error}");
    assert!(
        error.contains("zone matrix.lan.: not loaded, 1 error"),
        "{error}"
    );
    let (is_good, out, _) = run(&["dns", "check", "db.matrix.lan", "--print"]);
    assert!(is_good);
    assert!(
        out.contains("pxe.matrix.lan. 259200 IN A 192.168.150.1\n"),
        "{out}"
    );
}

#[test]
fn the_zones_of_a_configuration_are_checked_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("tree")).expect("writable");
    let check = |zone: &str| {
        let text = format!(
            "[tree]\nroot = \"tree\"\n[dns]\nlisten = \"127.0.0.1:0\"\n[dns.zone]\n\
             name = \"lab.lan\"\n{zone}\n"
        );
        std::fs::write(directory.path().join("s.toml"), text).expect("writable");
        run(directory.path(), &["check", "s.toml"])
    };
    let (is_good, _, error) = check("records = [\"www A 10.0.0.1\"]");
    assert!(is_good, "{error}");
    let (is_good, _, error) = check("records = [\"www A 10.0.0.1\", \"ftp A 10.0\"]");
    assert!(!is_good);
    assert!(error.contains("s.toml:7:30: dns.zone.records: "), "{error}");
    // As the server's user reads it, whoever checks.
    let set_mode = |name: &str, mode| {
        let file = directory.path().join(name);
        std::fs::set_permissions(file, Permissions::from_mode(mode)).expect("ours");
    };
    set_mode("", 0o755);
    std::fs::write(directory.path().join("db.secret"), GOOD).expect("writable");
    set_mode("db.secret", 0);
    let (is_good, _, error) = check("file = \"db.secret\"");
    assert!(!is_good);
    assert!(
        error.contains("the server's user may not read it"),
        "{error}"
    );
    let (is_good, _, error) = check("file = \"db.lab\"");
    assert!(!is_good);
    assert!(error.contains("there is no such file"), "{error}");
}
