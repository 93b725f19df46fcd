//! Runs client programs, and compares what they fetched.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use pxe_test_lab::Namespace;

/// A client may take this long, in seconds; curl and the like would wait for minutes.
const TIME_LIMIT_SECONDS: &str = "40";

/// How a client ended.
#[derive(Debug)]
pub(crate) struct Ran {
    shown: String,
    status: ExitStatus,
    /// Standard output and standard error.
    pub(crate) text: String,
}

/// Runs a client to its end in a namespace.
pub(crate) fn client(
    namespace: &Namespace,
    program: &str,
    arguments: &[&str],
) -> Result<Ran, String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let mut command = namespace.command("timeout");
    command
        .args(["--kill-after=2", TIME_LIMIT_SECONDS, program])
        .args(arguments);
    let output = command
        .output()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Ran {
        shown,
        status: output.status,
        text,
    })
}

impl Ran {
    /// Its exit status, if it ended by itself.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Demands exit status 0.
    pub(crate) fn succeeds(self) -> Result<Self, String> {
        self.exits_with(0)
    }

    /// Demands this exit status.
    pub(crate) fn exits_with(self, code: i32) -> Result<Self, String> {
        match self.status.code() {
            Some(found) if found == code => Ok(self),
            Some(124) => Err(format!(
                "{}: not done in {TIME_LIMIT_SECONDS} s",
                self.shown
            )),
            Some(found) => Err(format!(
                "{}: exit status {found}, not {code}: {}",
                self.shown, self.text
            )),
            None => Err(format!("{}: signal {:?}", self.shown, self.status.signal())),
        }
    }

    /// Demands that the output holds this text.
    pub(crate) fn says(self, part: &str) -> Result<Self, String> {
        if self.text.contains(part) {
            return Ok(self);
        }
        Err(format!(
            "{}: {part:?} is not in its output: {}",
            self.shown, self.text
        ))
    }
}

/// Demands that both files have the same bytes.
pub(crate) fn same(fetched: &Path, served: &Path) -> Result<(), String> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let (fetched_bytes, served_bytes) = (read(fetched)?, read(served)?);
    if fetched_bytes == served_bytes {
        return Ok(());
    }
    let first = fetched_bytes
        .iter()
        .zip(&served_bytes)
        .position(|(one, other)| one != other);
    Err(format!(
        "{} has {} bytes, {} has {}; first difference: {first:?}",
        fetched.display(),
        fetched_bytes.len(),
        served.display(),
        served_bytes.len()
    ))
}

/// Demands a truth.
pub(crate) fn ensure(truth: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if truth { Ok(()) } else { Err(otherwise()) }
}
