//! DNS-OARC's dnsperf: a load that nobody here wrote. It knows of a response only its code.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use super::names::{Answer, Question, TYPE_PTR};
use super::server::ADDRESS;
use super::{Clients, Outcome};

/// Writes the questions as dnsperf reads them.
///
/// # Errors
/// A text that names the file.
pub(super) fn write_file(path: &Path, questions: &[Question]) -> Result<(), String> {
    let mut text = String::new();
    for question in questions {
        let kind = if question.kind == TYPE_PTR {
            "PTR"
        } else {
            "A"
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {kind}", question.name);
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs dnsperf in the namespace of the calling thread.
///
/// # Errors
/// A text: it cannot be run, says something else than expected, or a query is lost, or the codes
/// are not those that the questions lead to.
pub(super) fn run(
    file: &Path,
    questions: &[Question],
    clients: Clients,
    time: Duration,
    cpus: &[usize],
    first_port: u16,
) -> Result<Outcome, String> {
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &cpus.join(","), "dnsperf", "-W"]);
    command.args([
        "-s",
        &ADDRESS.ip().to_string(),
        "-p",
        &ADDRESS.port().to_string(),
    ]);
    command.args([
        "-x",
        &first_port.to_string(),
        "-c",
        &clients.count.to_string(),
    ]);
    let outstanding = clients.count * clients.outstanding;
    command.args(["-q", &outstanding.to_string(), "-t", "2"]);
    command
        .args(["-l", &time.as_secs_f64().to_string(), "-d"])
        .arg(file);
    let before = cpu_of_children()?;
    let output = command
        .output()
        .map_err(|error| format!("dnsperf: {error}"))?;
    let cpu = cpu_of_children()? - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = || format!("dnsperf {}, {clients:?}:\n{text}", output.status);
    let number = |label: &str| -> Option<f64> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let sent = number("Queries sent:").ok_or_else(said)?;
    let answered = number("Queries completed:").ok_or_else(said)?;
    let seconds = number("Run time (s):").ok_or_else(said)?;
    if !output.status.success() || sent != answered || number("Queries lost:") != Some(0.0) {
        return Err(said());
    }
    let absent = |question: &&Question| question.answer == Answer::Nothing;
    let wanted = questions
        .iter()
        .cycle()
        .take(answered as usize)
        .filter(absent);
    let code = |label: &str| {
        let codes = text.split_once("Response codes:")?.1.lines().next()?;
        let rest = codes.split_once(label)?.1;
        rest.split_whitespace().next()?.parse::<usize>().ok()
    };
    let (wanted, given) = (wanted.count(), code("NXDOMAIN").unwrap_or_default());
    let others = code("NOERROR").unwrap_or_default() + given;
    if wanted != given || others != answered as usize {
        return Err(format!("{wanted} names do not exist; {}", said()));
    }
    Ok(Outcome {
        answered: answered as usize,
        elapsed: Duration::from_secs_f64(seconds),
        busy: cpu.as_secs_f64() / seconds,
    })
}

fn cpu_of_children() -> Result<Duration, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    let usage = usage.map_err(|errno| format!("getrusage: {errno}"))?;
    let micros = |time: nix::sys::time::TimeVal| {
        use nix::sys::time::TimeValLike;
        Duration::from_micros(time.num_microseconds().unsigned_abs())
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}
