//! A guest that is started without firmware: QEMU loads its kernel. What it does, it says line by line on its second serial port.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use pxe_test_lab::Namespace;

use crate::matrix::Firmware;
use crate::qemu::Machine;
use crate::serial::Screen;
use crate::server::Server;
use crate::signals;

/// How often a guest is looked after while it says nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What no guest that goes on shows.
const FAILURES: [&str; 3] = ["Kernel panic", "Unable to mount root fs", "(initramfs)"];

/// What is booted.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: Vec<u8>,
    /// The kernel's arguments but that for its console.
    pub(crate) append: String,
    pub(crate) memory_mib: u32,
}

/// A running guest.
#[derive(Debug)]
pub(crate) struct Guest {
    machine: Machine,
    screen: Screen,
    reports: Receiver<String>,
    deadline: Instant,
}

impl Guest {
    /// Switches it on. What it reports is waited for up to the time limit, from now on.
    pub(crate) fn start(
        namespace: &Namespace,
        image: &Image,
        work: &Path,
        time_limit: Duration,
    ) -> Result<Guest, String> {
        let initrd = work.join("initrd.fd");
        fs::write(&initrd, &image.initrd)
            .map_err(|error| format!("{}: {error}", initrd.display()))?;
        let socket = work.join("reports.sock");
        let reports = listen(&socket)?;
        let arguments = [
            "-kernel",
            &image.kernel.display().to_string(),
            "-initrd",
            &initrd.display().to_string(),
            "-append",
            &format!("console=ttyS0,115200n8 {}", image.append),
            "-chardev",
            &format!("socket,id=reports,path={}", socket.display()),
            "-serial",
            "chardev:reports",
        ];
        let hardware = Firmware {
            about: String::new(),
            packages: Vec::new(),
            emulator: "qemu-system-x86_64".to_owned(),
            machine: "q35".to_owned(),
            nic: "virtio-net-pci,romfile=".to_owned(),
            flash: None,
            arguments: arguments.map(str::to_owned).to_vec(),
            nftables: None,
            vendor_class: String::new(),
            user_class: None,
            failures: Vec::new(),
        };
        Ok(Guest {
            machine: Machine::start(namespace, &hardware, image.memory_mib, work)?,
            screen: Screen::default(),
            reports,
            deadline: Instant::now() + time_limit,
        })
    }

    /// Waits for what it reports next, while the server runs.
    pub(crate) fn next(&mut self, server: &mut Server) -> Result<String, String> {
        loop {
            self.read_console();
            match self.reports.recv_timeout(LOOK_INTERVAL) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) if self.machine.process.ended().is_none() => {}
                Err(_) => {
                    return Err("the guest switched itself off or reset".to_owned());
                }
            }
            if let Some(text) = FAILURES.iter().find(|text| self.screen.shows(text)) {
                return Err(format!("the console shows {text:?}"));
            }
            if let Some(reason) = server.ended() {
                return Err(reason);
            }
            if signals::interrupted() {
                return Err("interrupted".to_owned());
            }
            if Instant::now() > self.deadline {
                return Err("the guest takes too long".to_owned());
            }
        }
    }

    /// What it has reported and nobody has waited for yet.
    pub(crate) fn waiting(&mut self) -> Vec<String> {
        self.reports.try_iter().collect()
    }

    /// The last lines of its console.
    pub(crate) fn last_lines(&mut self, count: usize) -> Vec<String> {
        self.read_console();
        let lines = self.screen.last_lines(count);
        lines.into_iter().map(str::to_owned).collect()
    }

    /// Switches it off.
    pub(crate) fn switch_off(mut self) {
        let _ = self.machine.process.terminate();
    }

    fn read_console(&mut self) {
        while let Ok(chunk) = self.machine.console.try_recv() {
            self.screen.add(&chunk.bytes);
        }
    }
}

/// Waits for QEMU on the socket, and hands on what comes, line by line.
fn listen(socket: &Path) -> Result<Receiver<String>, String> {
    let listener =
        UnixListener::bind(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            line.clear();
            if !text.is_empty() && sender.send(text).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}
