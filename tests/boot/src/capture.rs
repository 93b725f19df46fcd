//! Captures what passes the bridge.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process};

use crate::network::BRIDGE;
use crate::wire::Conversations;

/// Enough for every DHCP message and request line; of file contents only the beginning of each packet.
const SNAP_BYTES: &str = "700";

const START_PATIENCE: Duration = Duration::from_secs(10);

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts it, and returns when it captures.
    pub(crate) fn start(namespace: &Namespace, work: &Path) -> Result<Capture, String> {
        let file = work.join("capture.pcap");
        let log = work.join("tcpdump.log");
        let mut command = namespace.command("tcpdump");
        command.args(["-i", BRIDGE, "-s", SNAP_BYTES, "-B", "16384", "-Z", "root"]);
        command.args(["--immediate-mode", "-U", "-w"]);
        command.arg(&file);
        let process = Process::spawn(command, "tcpdump", &log, Output::Log)?;
        let mut capture = Capture { process, file };
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("listening on") {
                return Ok(capture);
            }
            if let Some(status) = capture.process.ended() {
                return Err(format!("tcpdump ended with {status}: {}", said.trim()));
            }
            if Instant::now() > deadline {
                return Err(format!("tcpdump does not listen after {START_PATIENCE:?}"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Ends it and reads what it captured.
    pub(crate) fn finish(mut self) -> Result<Conversations, String> {
        self.process.terminate()?;
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", self.file.display());
        let capture = fs::read(&self.file).map_err(|error| at(&error))?;
        Conversations::read(&capture).map_err(|error| at(&error))
    }
}
