//! Child processes that never outlive the harness.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a condition is looked at while it is awaited.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a process may take to end after SIGTERM.
const TERM_PATIENCE: Duration = Duration::from_secs(10);

/// A child. Dropped while it runs, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

/// Where a child's standard output goes, and where its input comes from. Standard error always goes to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // both ends of a choice
pub enum Output {
    /// To the log, with standard error; the input is empty.
    Log,
    /// To [`Process::take_output`]; the input is [`Process::take_input`].
    Pipe,
}

/// A command that the kernel kills when the thread that starts it ends, so that no harness, however it dies, leaves a child.
/// A child that changes its user loses this: such children die with their namespace (see `namespace`).
pub fn tied_command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

impl Process {
    /// Starts the command in a process group of its own: ^C reaches the harness alone, which then ends its children in order.
    ///
    /// # Errors
    /// A text that names the process.
    pub fn spawn(
        mut command: Command,
        name: &str,
        log: &Path,
        output: Output,
    ) -> Result<Process, String> {
        let at = |error: std::io::Error| format!("cannot start {name}: {error}");
        let errors = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(at)?;
        let (stdin, stdout) = match output {
            Output::Log => (Stdio::null(), errors.try_clone().map_err(at)?.into()),
            Output::Pipe => (Stdio::piped(), Stdio::piped()),
        };
        let child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(at)?;
        Ok(Process {
            name: name.to_owned(),
            child,
        })
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The read end of standard output, once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The write end of standard input, once.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends SIGTERM and waits. What does not end then is killed, and that is the error.
    ///
    /// # Errors
    /// A text, if it had to be killed.
    pub fn terminate(&mut self) -> Result<ExitStatus, String> {
        if let Some(status) = self.ended() {
            return Ok(status);
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It has not been waited for, so the number is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + TERM_PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        self.kill();
        Err(format!(
            "{} did not end within {TERM_PATIENCE:?} of SIGTERM",
            self.name
        ))
    }

    /// Stops it where it is (SIGSTOP): it answers nobody, and can only be killed.
    ///
    /// # Errors
    /// A text, if it has ended.
    pub fn freeze(&mut self) -> Result<(), String> {
        if let Some(status) = self.ended() {
            return Err(format!("{} ended by itself: {status}", self.name));
        }
        // It has not been waited for, so the number is still its own.
        let pid = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(pid), Signal::SIGSTOP)
            .map_err(|error| format!("cannot stop {}: {error}", self.name))
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
    }
}

/// Lets this process and its children have so many files and sockets open at once, at least.
///
/// # Errors
/// A text, if the system does not allow it.
pub fn raise_open_files(wanted: u64) -> Result<(), String> {
    let raise = || {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        match soft >= wanted {
            true => Ok(()),
            false => setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)),
        }
    };
    raise().map_err(|error: nix::Error| format!("cannot open {wanted} files: {error}"))
}

/// Runs a command to its end.
///
/// # Errors
/// The command line with its standard error, if it cannot be run or does not succeed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{shown}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
