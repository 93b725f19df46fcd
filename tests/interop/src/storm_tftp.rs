//! Those who ask by TFTP and never answer, and those who send what is no TFTP: good clients are
//! answered meanwhile, and the server's memory stays within bounds.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, Process, run, unique_name};
use tempfile::TempDir;

use crate::LoneTest;
use crate::client::{client, ensure, same};
use crate::site::await_ports;

pub(crate) const TESTS: &[LoneTest] = &[
    (
        "ten_thousand_half_open_transfers_leave_good_clients_served",
        half_open,
    ),
    (
        "requests_without_end_that_nobody_answers_lock_nobody_out",
        unanswered,
    ),
    ("a_flood_of_garbage_leaves_good_clients_served", garbage),
];

const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const FILE_LEN: usize = 1_000_003;
const HALF_OPEN: usize = 10_000;
/// Of one address, fewer than the server lets one have.
const PER_ADDRESS: usize = 100;
/// What a half-open transfer may cost: its state, its socket's descriptor, and its file's share.
const TRANSFER_KIB_MAX: u64 = 16;
/// What a flood may cost in all: queues, and chunks of files for good clients.
const FLOOD_KIB_MAX: u64 = 64 * 1024;
/// Good clients fetch so often, one after the other.
const FETCHES: usize = 20;
/// Sockets of all storms together, which run at once.
const OPEN_FILES: u64 = 16_000;
/// The server has so many addresses: one socket of a client has a transfer with each.
const SERVERS: usize = 4;
/// Sockets of clients that never answer: those of the last 200 ms, after which a place is free.
const UNANSWERED_OPEN: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on the loopback interface of a namespace of its own: clients there have any address of
/// 127.0.0.0/8. Dropped, everything is gone.
struct Storm {
    // Dropped in this order: the process, then the namespace, then files.
    server: Process,
    at: Namespace,
    directory: TempDir,
    idle_kib: u64,
}

impl Storm {
    fn new(server: &Path, transfers_max: usize) -> Result<Self, String> {
        pxe_test_lab::raise_open_files(OPEN_FILES)?;
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        // The server runs as nobody.
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        let path = |name: &str| directory.path().join(name);
        let lay_out = || -> io::Result<()> {
            fs::create_dir(path("tree"))?;
            // Each word is another, so that a block in the wrong place is noticed.
            let words = (0..FILE_LEN as u32 / 4 + 1).flat_map(u32::to_be_bytes);
            fs::write(
                path("tree/good.bin"),
                words.take(FILE_LEN).collect::<Vec<u8>>(),
            )?;
            let listen: Vec<String> = (0..SERVERS).map(|at| address(at).to_string()).collect();
            let listen = format!("{listen:?}");
            let text = format!(
                "[server]\nuser = \"nobody\"\ncontrol = \"\"\ngrace_seconds = 0\n[tree]\nroot = \"tree\"\n\
                 [tftp]\nlisten = {listen}\ntransfers_max = {transfers_max}\n[log]\nlevel = \"error\"\n"
            );
            fs::write(path("server.toml"), text)
        };
        lay_out().map_err(|error| error.to_string())?;
        let at = Namespace::new(&unique_name())?;
        let mut command = at.command(&server.display().to_string());
        command.arg("serve").arg(path("server.toml"));
        let log: PathBuf = path("server.log");
        let mut server = Process::spawn(command, "pxe-server", &log, Output::Log)?;
        await_ports(&at, &mut server, &log, &[69])?;
        let mut storm = Self {
            server,
            at,
            directory,
            idle_kib: 0,
        };
        storm.good_clients(2)?;
        storm.idle_kib = storm.memory_kib()?;
        Ok(storm)
    }

    /// The server's memory, in KiB.
    fn memory_kib(&self) -> Result<u64, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id()));
        let status = status.map_err(|error| format!("the server is gone: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let number = number.and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("no VmRSS in {status}"))
    }

    /// Good clients, whose every byte is compared.
    fn good_clients(&self, times: usize) -> Result<(), String> {
        let to = self.directory.path().join("fetched");
        let arguments = |options: &[&str]| {
            let to = to.display().to_string();
            let mut all: Vec<String> = options.iter().map(ToString::to_string).collect();
            all.extend(["-g", "-r", "good.bin", "-l", &to].map(String::from));
            all.push(SERVER.to_string());
            all
        };
        for number in 0..times {
            // In lock-step, and in windows.
            let windows = ["--option", "blksize 1428", "--option", "windowsize 8"];
            let all = match number % 2 {
                0 => arguments(&["--option", "blksize 1428"]),
                _ => arguments(&windows),
            };
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            client(&self.at, "atftp", &all)?.succeeds()?;
            same(&to, &self.directory.path().join("tree/good.bin"))?;
            fs::remove_file(&to).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Tells what memory a flood took, and demands that it is little.
    fn judge_flood(&self, what: &str) -> Result<(), String> {
        let (before_kib, after_kib) = (self.idle_kib, self.memory_kib()?);
        println!("        {what}: {before_kib} KiB before, {after_kib} KiB after");
        let growth = after_kib.saturating_sub(before_kib);
        ensure(growth < FLOOD_KIB_MAX, || {
            format!("{growth} KiB for a flood")
        })
    }

    /// Ends the server well.
    fn judge(mut self) -> Result<(), String> {
        let log = fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
        let end = self.server.terminate()?;
        ensure(end.success(), || {
            format!("the server ended with {end}\n{log}")
        })
    }
}

/// Where the server is asked.
fn address(at: usize) -> SocketAddr {
    let [a, b, c, d] = SERVER.octets();
    SocketAddr::from(([a, b, c, d + at as u8], 69))
}

/// A socket for a client of the storm.
fn socket(number: usize) -> io::Result<UdpSocket> {
    let address = Ipv4Addr::from(0x7f01_0001 + (number / PER_ADDRESS) as u32);
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Asks for the file at one of the server's addresses.
fn ask(socket: &UdpSocket, at: usize) -> io::Result<()> {
    let request: &[u8] = match at % 3 {
        0 => b"\0\x01good.bin\0octet\0",
        1 => b"\0\x01good.bin\0octet\0blksize\x001432\0tsize\x000\0",
        _ => b"\0\x01good.bin\0octet\0blksize\x001468\0windowsize\x0016\0",
    };
    socket.send_to(request, address(at))?;
    Ok(())
}

/// Acknowledges the first packet of a transfer, so that the client is known to exist.
fn acknowledge(socket: &UdpSocket, at: usize) -> io::Result<()> {
    let mut packet = [0; 2048];
    let from = loop {
        let (_, from) = socket.recv_from(&mut packet)?;
        // The blocks of its other transfers come in, too.
        if from.ip() == address(at).ip() {
            break from;
        }
    };
    match packet[1] {
        3 => socket.send_to(&[0, 4, packet[2], packet[3]], from),
        6 => socket.send_to(&[0, 4, 0, 0], from),
        code => return Err(io::Error::other(format!("opcode {code} was sent"))),
    }?;
    Ok(())
}

/// Ten thousand clients ask, acknowledge once, and say no more: each has a place for a minute.
fn half_open(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, 16_384)?;
    let begin = || -> io::Result<Vec<UdpSocket>> {
        let mut sockets = Vec::with_capacity(HALF_OPEN / SERVERS);
        for number in 0..HALF_OPEN / SERVERS {
            let socket = socket(number)?;
            for at in 0..SERVERS {
                ask(&socket, at)?;
                acknowledge(&socket, at)?;
            }
            sockets.push(socket);
        }
        Ok(sockets)
    };
    let sockets = storm.at.enter(begin)?;
    let sockets = sockets.map_err(|error| format!("the storm itself failed: {error}"))?;
    let begun = Instant::now();
    let held_kib = storm.memory_kib()?;
    storm.good_clients(FETCHES)?;
    let busy_kib = storm.memory_kib()?;
    println!(
        "        {HALF_OPEN} half-open transfers: {} KiB before, {held_kib} KiB with them, {busy_kib} KiB after {FETCHES} good \
         clients, who took {:?}",
        storm.idle_kib,
        begun.elapsed()
    );
    drop(sockets);
    let growth = busy_kib.saturating_sub(storm.idle_kib);
    ensure(growth < HALF_OPEN as u64 * TRANSFER_KIB_MAX, || {
        format!("{growth} KiB for {HALF_OPEN} half-open transfers")
    })?;
    storm.judge()
}

/// Clients ask without end and never answer, more than there are places: whoever does answer is
/// served nevertheless.
fn unanswered(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, 500)?;
    // A socket that is closed would answer by ICMP.
    let open = Mutex::new(VecDeque::new());
    let flood = |number: usize| {
        let socket = socket(number)?;
        ask(&socket, number % SERVERS)?;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(socket);
        if open.len() > UNANSWERED_OPEN {
            open.pop_front();
        }
        drop(open);
        // A thousand in a second: all places are taken by the first half of them.
        thread::sleep(Duration::from_millis(2));
        Ok(())
    };
    let (served, sent) = during(&storm, flood, || storm.good_clients(3 * FETCHES))?;
    served?;
    storm.judge_flood(&format!("{sent} requests that nobody answered"))?;
    storm.judge()
}

/// What is no TFTP, or makes no sense, at the server's port and at others.
fn garbage(server: &Path) -> Result<(), String> {
    let storm = Storm::new(server, 4096)?;
    let flood = |number: usize| {
        let address = Ipv4Addr::from(0x7f02_0001 + (number % 1000) as u32);
        let socket = UdpSocket::bind((address, 0))?;
        let long = [0xff; 1400];
        for packet in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\x01\0\0",
            b"\0\x01good.bin\0mail\0",
            b"\0\x01no/such/file\0octet\0",
            b"\0\x02good.bin\0octet\0",
            b"\0\x03\0\x01data",
            b"\0\x04\0\x01",
            b"\0\x05\0\0text",
            b"\0\x06blksize\0",
            &long,
        ] {
            socket.send_to(packet, (SERVER, 69))?;
        }
        // 6,000 packets in a second. As many as there is time for would fill the queue of the port, and
        // nobody can tell then whose packets the system drops.
        thread::sleep(Duration::from_millis(4));
        Ok(())
    };
    let (served, sent) = during(&storm, flood, || storm.good_clients(3 * FETCHES))?;
    served?;
    storm.judge_flood(&format!("{} packets of garbage", sent * 12))?;
    storm.judge()
}

/// Does something while two threads attack; what came of it, and how often they did.
fn during<T>(
    storm: &Storm,
    attack: impl Fn(usize) -> io::Result<()> + Sync,
    work: impl FnOnce() -> T,
) -> Result<(T, u64), String> {
    let (is_over, attacks) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = thread::scope(|scope| {
        let attackers: Vec<_> = (0..2)
            .map(|thread| {
                let (is_over, attacks, attack) = (&is_over, &attacks, &attack);
                scope.spawn(move || {
                    storm.at.enter(|| {
                        let mut number = thread;
                        while !is_over.load(Ordering::Relaxed) {
                            attack(number)?;
                            attacks.fetch_add(1, Ordering::Relaxed);
                            number = (number + 2) % 100_000;
                        }
                        io::Result::Ok(())
                    })
                })
            })
            .collect();
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        for attacker in attackers {
            let ended = attacker.join().map_err(|_| "an attacker panicked")?;
            ended?.map_err(|error| format!("the storm itself failed: {error}"))?;
        }
        Ok::<_, String>(done)
    })?;
    Ok((done, attacks.into_inner()))
}
