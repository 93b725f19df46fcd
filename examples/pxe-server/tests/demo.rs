//! `demo` as a user runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
    command.arg("demo").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn demo_boots_and_exits_0() {
    let Output {
        status,
        stdout,
        stderr,
    } = demo().output().expect("started");
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    let last = stdout.lines().last().expect("output");
    assert!(last.starts_with("booted: 2 machines, "), "{last}");
    assert!(last.ends_with("every byte verified"), "{last}");
    assert_eq!(stderr, "");
}

/// Leases are kept in memory, and yet a server that was restarted gives a machine its address again.
#[test]
fn a_machine_gets_the_same_address_from_the_next_server() {
    let leased = || {
        let output = demo().output().expect("started");
        let leased = |line: &&str| line.contains(" leased ");
        let lines = text(&output.stdout).lines().filter(leased);
        // Without the time in front.
        let facts = lines.map(|line| line.split(" leased ").last().unwrap_or(line).to_owned());
        facts.collect::<Vec<_>>()
    };
    let first = leased();
    assert_eq!(first.len(), 3, "{first:?}");
    assert_eq!(first, leased());
}

#[test]
fn demo_with_a_wrong_bit_names_the_step_and_exits_1() {
    let mut command = demo();
    let output = command
        .args(["--corrupt", "bios/ldlinux.c32"])
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr
            .starts_with("error: BIOS did not boot: tftp bios/ldlinux.c32: byte 59840 of 119680 "),
        "{stderr}"
    );
}

/// Ends the child whatever becomes of the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn demo_stays_until_it_is_told_to_end() {
    let mut command = demo();
    command.arg("--stay").stdout(Stdio::piped());
    let mut child = Ended(command.spawn().expect("started"));
    let stdout = child.0.stdout.take().expect("piped");
    let mut url = None;
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("UTF-8");
        if let Some((_, rest)) = line.split_once("/dev/null http://")
            && let Some((authority, path)) = rest.split_once('/')
        {
            url.get_or_insert((authority.to_owned(), format!("/{path}")));
        }
        if line == "Ctrl-C ends it." {
            break;
        }
    }
    let (authority, path) = url.expect("a command to fetch with");
    let mut stream = TcpStream::connect(&authority).expect("it still serves");
    write!(stream, "HEAD {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(
        answer.lines().next().expect("a line").ends_with("200 OK"),
        "{answer}"
    );
    let pid = Pid::from_raw(i32::try_from(child.0.id()).expect("a process id"));
    kill(pid, Signal::SIGTERM).expect("it still runs");
    assert!(child.0.wait().expect("ended").success());
}
