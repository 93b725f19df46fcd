//! The program as an administrator runs it.

mod network;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use network::{TftpTransfer, tftp_get};

const CONFIG: &str = "[server]\ncontrol = \"run/control.sock\"\n[tree]\nroot = \"tree\"\n\
    [tftp]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n";

/// A server in a process of its own, whose log is read line by line.
struct Server {
    directory: TempDir,
    child: Child,
    log: BufReader<ChildStderr>,
    tftp: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(directory.path().join("tree")).expect("writable");
        std::fs::write(directory.path().join("tree/hello"), "hello\n").expect("writable");
        std::fs::write(directory.path().join("tree/big"), vec![7; 4000]).expect("writable");
        open_to_all(directory.path());
        std::fs::write(directory.path().join("server.toml"), CONFIG).expect("writable");
        let mut child = program(&["serve"])
            .arg(directory.path().join("server.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("built");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let mut server = Self {
            directory,
            child,
            log,
            tftp: ([0; 4], 0).into(),
        };
        let tftp = server.until("listening");
        assert_eq!(tftp["protocol"], "tftp");
        server.tftp = tftp["address"]
            .as_str()
            .and_then(|at| at.parse().ok())
            .expect("an address");
        server.until("ready");
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Reads the log until this event.
    fn until(&mut self, event: &str) -> Value {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            self.log.read_line(&mut line).expect("UTF-8");
            assert!(!line.is_empty(), "the log ended before {event}:\n{seen}");
            let value: Value = serde_json::from_str(&line).expect("each line is JSON");
            if value["event"] == event {
                return value;
            }
            seen += &line;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    fn ask(&self, command: &[&str]) -> Output {
        let control = self.path("run/control.sock");
        program(command)
            .arg("--control")
            .arg(control)
            .output()
            .expect("built")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
    command.args(arguments);
    command
}

/// Whoever runs the tests, the server may have become nobody.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("ours");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn sigterm_lets_a_running_transfer_end() {
    let mut server = Server::start();
    let local = Ipv4Addr::LOCALHOST.into();
    let mut transfer = TftpTransfer::begin(server.tftp, local, "big").expect("found");
    server.signal(Signal::SIGTERM);
    server.until("stopping");
    // Nothing new begins: its task may take a turn or two to hear of it ..
    let refused = (0..1000).find_map(|_| tftp_get(server.tftp, "hello").err());
    assert_eq!(refused.expect("refused").code, 0);
    // .. and what had begun goes on.
    while !transfer.is_complete {
        transfer.step().expect("it goes on");
    }
    transfer.step().expect("sent");
    assert_eq!(transfer.content, vec![7; 4000]);
    server.until("sent");
    server.until("stopped");
    assert_eq!(server.child.wait().expect("ours").code(), Some(0));
    assert!(!server.path("run/control.sock").exists());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start();
    let local = Ipv4Addr::LOCALHOST.into();
    let _transfer = TftpTransfer::begin(server.tftp, local, "big").expect("found");
    server.signal(Signal::SIGINT);
    server.until("stopping");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.until("stopped")["signal"], "SIGTERM");
    assert_eq!(server.child.wait().expect("ours").code(), Some(0));
}

#[test]
fn reload_by_signal_and_by_command() {
    let mut server = Server::start();
    let file = server.path("server.toml");
    std::fs::create_dir(server.path("other")).expect("writable");
    std::fs::write(server.path("other/hello"), "another\n").expect("writable");
    std::fs::write(&file, CONFIG.replace("root = \"tree\"", "root = \"other\"")).expect("writable");
    server.signal(Signal::SIGHUP);
    server.until("reloaded");
    assert_eq!(tftp_get(server.tftp, "hello").expect("found"), b"another\n");

    std::fs::write(&file, CONFIG.replace("[tftp]", "[tfpt]")).expect("writable");
    server.signal(Signal::SIGHUP);
    let refused = server.until("reload_refused");
    assert_eq!(refused["reason"], "invalid_config");
    let output = server.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("server.toml:5:2: tfpt: unknown key tfpt; did you mean tftp?"),
        "{said}"
    );
    assert_eq!(tftp_get(server.tftp, "hello").expect("found"), b"another\n");

    // Each problem is a line of its own.
    server.until("reload_refused");
    let two = CONFIG.replace("[tftp]", "[tftp]\nblksize_max = 1\nwindowsize_max = 0");
    std::fs::write(&file, two).expect("writable");
    server.signal(Signal::SIGHUP);
    for key in ["tftp.blksize_max", "tftp.windowsize_max"] {
        let refused = server.until("reload_refused");
        let message = refused["message"].as_str().expect("a text");
        assert!(
            message.contains(key) && !message.contains('\n'),
            "{message}"
        );
    }

    std::fs::write(&file, CONFIG).expect("writable");
    let output = server.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(tftp_get(server.tftp, "hello").expect("found"), b"hello\n");
}

#[test]
fn an_address_of_another_machine_is_named() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("server.toml");
    // RFC 5737 gives 192.0.2.0/24 to documentation, so no machine has it.
    let config = "[server]\ncontrol = \"\"\n[tree]\nroot = \".\"\n\
        [leases]\nstore = \":memory:\"\n[dhcp]\nlisten = \"192.0.2.1\"\n\
        port = 10067\n[dhcp.subnet]\nnetwork = \"192.0.2.0/24\"\npools = \"192.0.2.9\"\n";
    std::fs::write(&file, config).expect("writable");
    let output = program(&["serve"]).arg(&file).output().expect("built");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let expected = "this machine does not have the address 192.0.2.1; choose one";
    assert!(said.contains(expected), "{said}");
}

/// `pxe-server leases | head -1`, where head has gone already.
#[test]
fn a_reader_that_went_away_is_no_panic() {
    let server = Server::start();
    for command in ["check", "status"] {
        let (reader, writer) = UnixStream::pair().expect("a pair");
        drop(reader);
        let mut program = program(&[command]);
        match command {
            "check" => program.arg(server.path("server.toml")),
            _ => program
                .arg("--control")
                .arg(server.path("run/control.sock")),
        };
        program.stdout(Stdio::from(OwnedFd::from(writer)));
        let output = program.output().expect("built");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
}

#[test]
fn status_leases_and_stop() {
    let mut server = Server::start();
    tftp_get(server.tftp, "hello").expect("found");
    tftp_get(server.tftp, "missing").expect_err("missing");
    server.until("missing");
    let output = server.ask(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(status["pid"], server.child.id());
    assert_ne!(status["uid"], 0, "root is given up, whoever started it");
    assert_eq!(status["counters"]["tftp"]["sent"], 1);
    assert_eq!(status["counters"]["tftp"]["bytes"], 6);
    assert_eq!(status["counters"]["tftp"]["missing"], 1);
    assert_eq!(status["listeners"][0]["address"], server.tftp.to_string());
    let output = server.ask(&["status"]);
    let said = text(&output.stdout);
    assert!(
        said.contains(&format!("\ntftp           {}\n", server.tftp)),
        "{said}"
    );
    let output = server.ask(&["leases", "--json"]);
    assert_eq!(text(&output.stdout), "{\n  \"leases\": []\n}\n");
    let output = server.ask(&["stop"]);
    assert_eq!(output.status.code(), Some(0));
    server.until("stopped");
    assert_eq!(server.child.wait().expect("ours").code(), Some(0));
    let output = server.ask(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("no server runs at ") && said.contains("--control"),
        "{said}"
    );
}

#[test]
fn the_timeline_of_a_machine() {
    let mut server = Server::start();
    tftp_get(server.tftp, "hello").expect("found");
    server.until("sent");
    tftp_get(server.tftp, "menu.cfg").expect_err("missing");
    server.until("missing");
    let output = server.ask(&["machines"]);
    let said = text(&output.stdout);
    let line = said.lines().nth(1).expect("a machine");
    assert!(line.starts_with("-                 127.0.0.1 "), "{said}");
    assert!(
        line.ends_with("(menu): menu.cfg is not in the tree"),
        "{said}"
    );
    let output = server.ask(&["machines", "127.0.0.1"]);
    let said = text(&output.stdout);
    assert!(
        said.starts_with("- 127.0.0.1\n") && said.contains("  tftp  sent hello "),
        "{said}"
    );
    let output = server.ask(&["machines", "127.0.0.9"]);
    assert_eq!(
        text(&output.stderr),
        "pxe-server: 127.0.0.9 was not seen yet\n"
    );
}

#[test]
fn a_running_transfer_is_listed() {
    let server = Server::start();
    let local = Ipv4Addr::LOCALHOST.into();
    let _transfer = TftpTransfer::begin(server.tftp, local, "big").expect("found");
    let output = server.ask(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(status["transfers_running"], 1);
    assert_eq!(status["transfers"][0]["file"], "big");
    assert_eq!(status["transfers"][0]["bytes"], 4000);
    assert_eq!(status["transfers"][0]["ip"], "127.0.0.1");
}

#[test]
fn the_control_socket_speaks_json_lines() {
    let server = Server::start();
    let mut stream = UnixStream::connect(server.path("run/control.sock")).expect("listening");
    stream
        .write_all(b"{\"version\":1,\"command\":\"machines\"}\n{\"version\":7}\n")
        .expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("open");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("UTF-8");
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(
        answers[0],
        serde_json::json!({ "ok": true, "version": 1, "machines": [] })
    );
    assert_eq!(answers[1]["error"]["code"], "unsupported_version");
}

#[test]
fn the_json_log_has_the_documented_fields() {
    let mut server = Server::start();
    tftp_get(server.tftp, "hello").expect("found");
    let sent = server.until("sent");
    assert_eq!(sent["level"], "INFO");
    assert_eq!(sent["protocol"], "tftp");
    assert_eq!(sent["ip"], "127.0.0.1");
    assert_eq!(sent["file"], "hello");
    assert_eq!(sent["bytes"], 6);
    assert!(
        sent["duration_ms"].is_u64() && sent["timestamp"].is_string(),
        "{sent}"
    );
    assert!(
        sent["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("sent hello, 6 bytes"))
    );
}

#[test]
fn a_port_in_use_is_told_with_its_holder() {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir(directory.path().join("tree")).expect("writable");
    let held = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("bound").to_string();
    let file = directory.path().join("server.toml");
    let text_config = CONFIG
        .replacen("127.0.0.1:0", &address, 1)
        .replace("json", "text");
    std::fs::write(&file, text_config).expect("writable");
    let output = program(&["serve"]).arg(&file).output().expect("built");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let expected =
        format!("server.toml:6:10: tftp.listen: cannot bind {address}: address in use (");
    assert!(said.contains(&expected), "{said}");
    let pid = format!(
        ", pid {}); stop it, or choose another address",
        std::process::id()
    );
    assert!(said.contains(&pid), "{said}");
}

#[test]
fn check_says_what_is_wrong_and_starts_nothing() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("server.toml");
    std::fs::write(&file, CONFIG).expect("writable");
    let output = program(&["check"]).arg(&file).output().expect("built");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error: ") && said.contains("server.toml:4:8: tree.root: "),
        "{said}"
    );
    std::fs::create_dir(directory.path().join("tree")).expect("writable");
    let output = program(&["check"]).arg(&file).output().expect("built");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with("server.toml: valid\n"));
    assert!(!directory.path().join("run/control.sock").exists());
}

#[test]
fn an_unknown_interface_gets_a_suggestion() {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir(directory.path().join("tree")).expect("writable");
    let file = directory.path().join("server.toml");
    let dhcp = "[dhcp]\ninterface = \"l0\"\n[dhcp.subnet]\nnetwork = \"10.0.0.0/24\"\n\
        pools = \"10.0.0.9\"\n";
    std::fs::write(&file, format!("{CONFIG}{dhcp}")).expect("writable");
    let output = program(&["check"]).arg(&file).output().expect("built");
    let said = text(&output.stderr);
    let expected = "dhcp.interface: this machine has no interface l0; did you mean lo?";
    assert!(said.contains(expected), "{said}");
}
