//! `[nfs]`, good and bad, as people write it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use pxe_nfs::{ExportOptions, Network, Squash};
use pxe_server::{Config, ExportedFiles, Nfs, Portmap};

const TUTORIAL: &str = "[tree]
root = \"/srv/tftp\"
[nfs]
[[nfs.export]]
clients = \"192.168.150.0/24(ro,insecure,no_root_squash,no_subtree_check)\"
";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/boot.toml")).map_err(|error| error.to_string())
}

fn nfs(more: &str) -> Nfs {
    let config = parse(&TUTORIAL.replace("[nfs]\n", &format!("[nfs]\n{more}\n")));
    config.expect("valid").nfs.expect("configured")
}

/// The one error that a key of `[nfs]` gives.
#[track_caller]
fn error(more: &str) -> String {
    let text = TUTORIAL.replace("[nfs]\n", &format!("[nfs]\n{more}\n"));
    let error = parse(&text).expect_err("invalid");
    error.replacen("/etc/boot.toml:4:", "", 1)
}

/// The one error that an export with these keys gives.
#[track_caller]
fn export_error(keys: &str) -> String {
    let text = format!("[tree]\nroot = \"/srv/tftp\"\n[[nfs.export]]\n{keys}\n");
    let error = parse(&text).expect_err("invalid");
    error.replacen("/etc/boot.toml:", "", 1)
}

fn export_warnings(keys: &str) -> Vec<String> {
    let text = format!("[tree]\nroot = \"/srv/tftp\"\n[[nfs.export]]\n{keys}\n");
    let warnings = parse(&text).expect("valid").warnings;
    warnings.iter().map(ToString::to_string).collect()
}

/// `pxe-server serve boot.toml`, where that says `root = "tree"`.
#[test]
fn a_tree_that_is_named_relatively_is_mounted_by_its_whole_path() {
    let text = TUTORIAL.replace("/srv/tftp", "tree");
    let config = Config::parse(&text, Path::new("boot.toml")).expect("valid");
    let path = &config.nfs.expect("configured").exports[0].path;
    let whole = std::env::current_dir().expect("one").join("tree");
    assert_eq!(Path::new(path), whole);
}

/// A client that asks at 10.0.0.2 would be refused at port 2049.
#[test]
fn ports_that_differ_by_address_are_warned_of() {
    let warned_of = |listen: &str| {
        let more = format!("[nfs]\nlisten = {listen}\n");
        let config = parse(&TUTORIAL.replace("[nfs]\n", &more));
        let warnings = config.expect("valid").warnings;
        warnings.iter().any(|warning| {
            let text = warning.to_string();
            text.contains("nfs.listen") && text.contains("are told port 2049 at each address")
        })
    };
    assert!(warned_of("[\"10.0.0.1:2049\", \"10.0.0.2:2050\"]"));
    assert!(!warned_of("[\"10.0.0.1:2049\", \"10.0.0.2:2049\"]"));
}

#[test]
fn a_key_that_is_where_it_is_by_default_is_not_served_either() {
    assert_eq!(
        export_error("directory = \"/var\"\nclients = \"*(ro,no_root_squash)\""),
        "3:3: nfs.handle_key: /var/lib/pxe-server/nfs.key is served: it lies in /var; name a file \
         that no machine can read, or export another directory"
    );
}

#[test]
fn the_tutorials_exports_line_means_what_it_did() {
    let config = parse(TUTORIAL).expect("valid");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let nfs = config.nfs.expect("configured");
    assert_eq!(nfs.listen, ["0.0.0.0:2049".parse().expect("valid")]);
    assert_eq!((nfs.portmap, nfs.mount_ports), (Portmap::Auto, Vec::new()));
    assert_eq!(nfs.handle_key, None);
    let [export] = &nfs.exports[..] else {
        panic!("one export");
    };
    assert_eq!(export.path, "/srv/tftp");
    assert_eq!(
        export.files,
        ExportedFiles::InTree("/".parse().expect("valid"))
    );
    assert!(!export.is_hidden && !export.is_writable());
    let [client] = &export.clients[..] else {
        panic!("one network");
    };
    assert!(client.network.contains(IpAddr::from([192, 168, 150, 7])));
    assert!(!client.network.contains(IpAddr::from([192, 168, 151, 7])));
    let options: &ExportOptions = &client.options;
    assert!(!options.is_writable && !options.is_secure);
    assert_eq!(options.squash, Squash::None);
}

#[test]
fn ports_and_bounds_are_told() {
    let nfs = nfs(
        "listen = [\"10.0.0.1:2049\", \"[::1]:2050\"]\nportmap = \"10.0.0.1:111\"\n\
        mount_ports = [628, 627]\nhandle_key = \"state/nfs.key\"\nconnections_max = 5\n\
        connections_per_client_max = 2\nread_bytes_max = 65536",
    );
    assert_eq!(nfs.listen.len(), 2);
    assert_eq!(
        nfs.portmap,
        Portmap::At(vec!["10.0.0.1:111".parse().expect("valid")])
    );
    assert_eq!(nfs.mount_ports, [627, 628]);
    assert_eq!(nfs.handle_key, Some(PathBuf::from("/etc/state/nfs.key")));
    assert_eq!(
        (nfs.connections_max, nfs.connections_per_client_max),
        (5, 2)
    );
    assert_eq!(nfs.read_bytes_max, 65536);
}

#[test]
fn several_exports_and_several_clients() {
    let config = parse(
        "[tree]\nroot = \"/srv/tftp\"\n[nfs]\nportmap = \"off\"\n\
         [[nfs.export]]\nroot = \"/os\"\nclients = [\"10.0.0.0/24(ro) 10.0.1.1(ro, insecure)\", \"*\"]\n\
         [[nfs.export]]\npath = \"/home//alpine/\"\ndirectory = \"alpine\"\nhidden = true\n\
         clients = \"10.0.0.0/255.255.255.0(rw,anonuid=1000)\"\n",
    );
    let nfs = config.expect("valid").nfs.expect("configured");
    assert_eq!(nfs.portmap, Portmap::Off);
    let [os, alpine] = &nfs.exports[..] else {
        panic!("two exports");
    };
    assert_eq!(os.path, "/srv/tftp/os");
    assert_eq!(os.clients.len(), 3);
    assert_eq!(os.clients[2].network, Network::Any);
    assert_eq!(alpine.path, "/home/alpine");
    assert_eq!(alpine.files, ExportedFiles::Directory("/etc/alpine".into()));
    assert!(alpine.is_hidden && alpine.is_writable());
    assert_eq!(alpine.clients[0].options.anonymous_uid, 1000);
}

#[test]
fn an_error_names_line_value_and_remedy() {
    assert_eq!(
        error("portmap = \"on\""),
        "11: nfs.portmap: \"on\" is not known; write \"auto\", \"off\", or where to answer: \
         \"0.0.0.0:111\""
    );
    assert_eq!(
        error("portmap = [\"auto\"]\nlisten = \"2049\""),
        "/etc/boot.toml:5:10: nfs.listen: \"2049\" is no address and port; write it as \
         192.168.150.1:2049"
    );
    assert_eq!(
        error("mount_ports = [0]"),
        "16: nfs.mount_ports: 0 is out of range; choose 1 to 65535"
    );
    assert_eq!(
        error("handle_key = \"\""),
        "14: nfs.handle_key: \"\" is no file; name a file, such as \
         /var/lib/pxe-server/nfs.key; it is made if it is missing"
    );
    assert_eq!(
        error("handle_key = \"/srv/tftp/nfs.key\""),
        "14: nfs.handle_key: /srv/tftp/nfs.key is served: it lies in /srv/tftp; keep it where \
         no machine can read it, such as /var/lib/pxe-server/nfs.key"
    );
    assert_eq!(
        error("handles = \"path\""),
        "11: nfs.handles: \"path\" is neither \"inode\" nor \"name\"; write \"inode\", or \"name\" for \
         copies of the files on several servers"
    );
    assert_eq!(
        error("read_bytes_max = 512"),
        "18: nfs.read_bytes_max: 512 is out of range; choose 4096 to 1048576"
    );
    assert_eq!(
        error("exports = []"),
        "1: nfs.exports: unknown key exports; did you mean export?"
    );
}

/// A file that is renamed, or made anew, would be lost to who has it open.
#[test]
fn what_is_written_to_is_not_named_by_its_path() {
    let text = "[tree]\nroot = \"/srv/tftp\"\n[nfs]\nhandles = \"name\"\n[nfs.export]\n\
                clients = \"*(rw)\"\n";
    let error = parse(text).expect_err("invalid");
    assert_eq!(
        error,
        "/etc/boot.toml:4:11: nfs.handles: \"name\" is for files that nobody changes, and an \
         export is \"rw\"; leave it at \"inode\", or export with \"ro\""
    );
}

#[test]
fn an_export_that_nobody_can_mount_is_refused() {
    assert_eq!(
        parse("[tree]\nroot = \"/srv/tftp\"\n[nfs]\n").expect_err("nothing is exported"),
        "/etc/boot.toml:3:2: nfs: nothing is exported; add [[nfs.export]] with clients = \
         \"192.168.150.0/24(ro,insecure)\", or remove [nfs]"
    );
    assert_eq!(
        export_error("path = \"/os\""),
        "3:1: nfs.export.clients: nobody may mount this export; say who: clients = \
         \"192.168.150.0/24(ro,insecure)\""
    );
    assert_eq!(
        export_error("path = \"os\"\nclients = \"*\""),
        "4:8: nfs.export.path: \"os\" is no absolute path; write what clients mount, such as \
         path = \"/srv/tftp\""
    );
    assert_eq!(
        export_error("path = \"/os/../etc\"\nclients = \"*\""),
        "4:8: nfs.export.path: \"/os/../etc\" has names that no client can ask for; write what \
         clients mount, such as path = \"/srv/tftp\""
    );
    assert_eq!(
        export_error("root = \"../etc\"\nclients = \"*\""),
        "4:8: nfs.export.root: ../etc leads out of the tree; name a directory below tree.root, \
         such as /os, or another one with directory"
    );
    assert_eq!(
        export_error("root = \"/os\"\ndirectory = \"/home\"\nclients = \"*\""),
        "4:8: nfs.export.root: /os has no meaning with directory = \"/home\"; remove one of the \
         two"
    );
    assert_eq!(
        export_error("clients = \"*\"\n[[nfs.export]]\npath = \"/srv/tftp/\"\nclients = \"*\""),
        "6:8: nfs.export.path: /srv/tftp is exported twice; put all its clients into one of \
         them, or give one another path"
    );
}

#[test]
fn clients_are_written_as_in_exports_5() {
    for (clients, said) in [
        (
            "10.0.0.0/24 (rw)",
            "\"10.0.0.0/24 (rw)\": (rw) is for everybody, as it stands alone",
        ),
        ("10.0.0.0/24(readonly)", "option readonly: unknown"),
        ("client.example.org(ro)", "names of hosts are not looked up"),
        ("10.0.0.0/33(ro)", "0 to 32"),
        ("10.0.0.0/24(ro", "options stand between"),
        (
            "10.0.0.1(ro) 10.0.0.1(rw)",
            "10.0.0.1 is there twice; remove one of the two",
        ),
    ] {
        let error = export_error(&format!("clients = \"{clients}\""));
        assert!(error.starts_with("4:11: nfs.export.clients: "), "{error}");
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(
        export_warnings("clients = \"*(rw)\"").len(),
        1,
        "everybody may write"
    );
    assert!(export_warnings("clients = \"10.0.0.0/24(rw)\"").is_empty());
}

/// What no mode lets anybody read, whoever runs the test.
#[test]
fn what_the_machine_lacks_for_an_export_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).expect("writable");
    for (name, mode) in [("", 0o755), ("open", 0o644), ("b", 0o000), ("a", 0o000)] {
        let path = tree.join(name);
        if !path.exists() {
            std::fs::write(&path, "x").expect("writable");
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("ours");
    }
    let file = directory.path().join("boot.toml");
    let checked = |export: &str| {
        let text = format!("[tree]\nroot = \"tree\"\n[nfs.export]\nclients = \"*\"\n{export}\n");
        let config = Config::parse(&text, &file).expect("valid");
        config.check_machine().map_err(|error| error.to_string())
    };
    let warnings = checked("").expect("it can be served");
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let warning = warning.to_string();
    let expected = "nfs.export: the server cannot read 2 files or directories (a, b) in ";
    assert!(warning.starts_with(expected), "{warning}");
    assert!(warning.contains("; chmod o+r files"), "{warning}");
    let error = checked("root = \"/os\"").expect_err("it is not there");
    assert!(
        error.contains(":5:8: nfs.export.root: /os is no directory of the tree; make "),
        "{error}"
    );
    let error = checked("directory = \"/nowhere at all\"").expect_err("it is not there");
    assert!(
        error.contains("nfs.export.directory: /nowhere at all is no directory; make it"),
        "{error}"
    );
}

#[test]
fn two_listeners_cannot_have_one_port() {
    let text = format!("{TUTORIAL}[http]\nlisten = \"0.0.0.0:2049\"\n");
    let error = parse(&text).expect_err("one port");
    assert!(error.contains("two listeners have 0.0.0.0:2049"), "{error}");
}
