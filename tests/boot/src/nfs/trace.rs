//! What the server asked of the kernel, as strace(1) wrote it down: when files were flushed to their disk.

use std::path::Path;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process};

/// How long strace may take to hold all of the server's threads.
const ATTACH_PATIENCE: Duration = Duration::from_secs(15);

/// A trace that is being written.
#[derive(Debug)]
pub(crate) struct Trace {
    process: Process,
    file: std::path::PathBuf,
}

/// One flush of a file that succeeded, since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flush {
    pub(crate) path: String,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
}

impl Trace {
    /// Begins to trace the process with all its threads, and returns when it does.
    pub(crate) fn start(namespace: &Namespace, pid: u32, work: &Path) -> Result<Trace, String> {
        let file = work.join("strace.txt");
        let log = work.join("strace.log");
        let mut command = namespace.command("strace");
        command.args(["-f", "-ttt", "-T", "-y", "-s", "0"]);
        command.args(["-e", "trace=fsync,fdatasync,pwritev2"]);
        command.args(["-p", &pid.to_string(), "-o"]).arg(&file);
        let process = Process::spawn(command, "strace", &log, Output::Log)?;
        let mut trace = Trace { process, file };
        let deadline = Instant::now() + ATTACH_PATIENCE;
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains(" attached") {
                return Ok(trace);
            }
            if let Some(status) = trace.process.ended() {
                return Err(format!("strace ended with {status}: {}", said.trim()));
            }
            if Instant::now() > deadline {
                return Err("strace does not hold the server".to_owned());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Lets the server go, and reads what was flushed.
    pub(crate) fn finish(mut self) -> Result<Vec<Flush>, String> {
        self.process.terminate()?;
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| format!("{}: {error}", self.file.display()))?;
        Ok(flushes(&text))
    }
}

/// The flushes of a trace: a call that another thread's line came into is in two lines, and its end has its time.
fn flushes(text: &str) -> Vec<Flush> {
    // Thread -> the path of the call that it has begun.
    let mut begun: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    let mut flushes = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(char::is_whitespace) else {
            continue;
        };
        let Some((at, rest)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let Some(at) = seconds(at) else { continue };
        let path = || {
            rest.split_once('<')?
                .1
                .split_once('>')
                .map(|(path, _)| path)
        };
        if rest.ends_with("<unfinished ...>") {
            begun.insert(thread, path().unwrap_or_default());
            continue;
        }
        let (path, is_end) = match rest.starts_with("<...") {
            true => (begun.remove(thread), true),
            false => (path(), false),
        };
        let (Some(path), Some(took)) = (path, took(rest)) else {
            continue;
        };
        let is_write = rest.starts_with("pwritev2") || rest.contains("pwritev2 resumed");
        if is_write && !rest.contains("SYNC") || failed(rest) {
            continue;
        }
        let (began, ended) = if is_end {
            (at.saturating_sub(took), at)
        } else {
            (at, at + took)
        };
        flushes.push(Flush {
            path: path.to_owned(),
            began,
            ended,
        });
    }
    flushes
}

/// `1700000000.123456`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.')?;
    let micros: u64 = fraction.get(..6)?.parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_micros(micros))
}

/// `<0.000123>` at the end of a line.
fn took(line: &str) -> Option<Duration> {
    let (_, time) = line.strip_suffix('>')?.rsplit_once('<')?;
    seconds(time)
}

/// Whether the result, before the time, is an error.
fn failed(line: &str) -> bool {
    line.rsplit_once("= ")
        .is_none_or(|(_, result)| result.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_found_in_one_line_and_in_two() {
        let text = "\
100 1700000000.500000 fdatasync(9</srv/a>) = 0 <0.250000>
101  1700000001.000000 fsync(10</srv/b> <unfinished ...>
100 1700000001.100000 fdatasync(9</srv/a>) = -1 EIO (Input/output error) <0.100000>
101 1700000003.000000 <... fsync resumed>) = 0 <2.000000>
102 1700000004.000000 +++ exited with 0 +++
102 1700000005.000000 pwritev2(9</srv/c>, [{iov_base=\"\"..., iov_len=4}], 1, 0, 0) = 4 <0.000100>
102 1700000006.000000 pwritev2(9</srv/d>, [{iov_base=\"\"..., iov_len=4}], 1, 0, RWF_DSYNC) = 4 <0.000100>
";
        let found = flushes(text);
        let paths: Vec<&str> = found.iter().map(|flush| flush.path.as_str()).collect();
        assert_eq!(paths, ["/srv/a", "/srv/b", "/srv/d"]);
        let second = Duration::from_secs(1_700_000_000);
        assert_eq!(found[0].ended - second, Duration::from_millis(750));
        assert_eq!(found[1].began - second, Duration::from_secs(1));
        assert_eq!(found[1].ended - second, Duration::from_secs(3));
    }
}
