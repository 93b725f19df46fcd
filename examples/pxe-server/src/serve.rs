//! `pxe-server serve` and `pxe-server check`.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::bind::{Bound, StartError};
use crate::capabilities::Kept;
use crate::cli::print;
use crate::config::{Config, Store, located};
use crate::dns_commands::check_zones;
use crate::log::LogControl;
use crate::menus::TemplateFaults;
use crate::nfs::handle_key;
use crate::open_files;
use crate::privileges::{self, Identity};
use crate::running::Running;

/// Says whether a configuration is valid here.
pub(crate) fn check(file: &Path) -> ExitCode {
    let checked = Config::load(file).and_then(|config| {
        let mut warnings = config.warnings.clone();
        warnings.extend(config.check_machine()?);
        Ok((config, warnings))
    });
    match checked {
        Ok((config, warnings)) => {
            // The server starts with them all the same: a file more or less is no reason not to.
            let faults = TemplateFaults::of(&config).faults;
            for warning in &warnings {
                let level = match faults.contains(&warning.message) {
                    true => "error",
                    false => "warning",
                };
                eprintln!("{level}: {}", config.locate(warning));
            }
            if let Some(complaint) = crate::menu_commands::complaint(&config) {
                eprintln!("warning: {complaint}");
            }
            if let Some(complaint) = crate::image_commands::complaint(&config) {
                eprintln!("warning: {complaint}");
            }
            // The last that is read: there is no way back to root.
            if let Err(error) = become_user(&config) {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
            let zones = check_zones(&config);
            for warning in &zones.warnings {
                eprintln!("warning: {warning}");
            }
            for error in &zones.errors {
                eprintln!("error: {error}");
            }
            if !faults.is_empty() || !zones.errors.is_empty() {
                return ExitCode::FAILURE;
            }
            let mode = match &config.dhcp {
                Some(dhcp) => format!(", DHCP mode {}", dhcp.mode),
                None => String::new(),
            };
            print(&format!("{}: valid{mode}\n", file.display()))
        }
        Err(error) => {
            for problem in &error.problems {
                let mut line = String::new();
                // Writing to a String cannot fail.
                let _ = located(&mut line, &error.file, problem);
                eprintln!("error: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Becomes the server's user, as far as root has to: zone files are read as that one when it serves,
/// and root could read what that user cannot.
fn become_user(config: &Config) -> Result<(), String> {
    let user = config.server.user.as_deref();
    let Some(user) = user.filter(|_| config.dns.is_some() && privileges::is_root()) else {
        return Ok(());
    };
    // One that does not exist was told of.
    let Ok(Some(identity)) = Identity::of(user) else {
        return Ok(());
    };
    let assumed = identity.assume(Kept::NONE);
    assumed.map_err(|error| format!("cannot become {user}: {error}"))
}

/// Serves until a signal says to stop.
pub(crate) fn serve(file: &Path) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        // The log is not there yet: how it is to look was to be read from this file.
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let log = LogControl::install(config.log);
    let code = match run(config, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                tracing::error!(event = "failed", "{line}");
            }
            ExitCode::FAILURE
        }
    };
    log.flush();
    code
}

fn run(config: Config, log: &LogControl) -> Result<(), StartError> {
    let mut warnings = config.warnings.clone();
    warnings.extend(config.check_machine()?);
    for warning in &warnings {
        tracing::warn!(event = "config", "{}", config.locate(warning));
    }
    open_files::raise_limit(&config);
    let store = Store::of_service(&config);
    let handle_key = handle_key::of_service(&config);
    let bound = Bound::bind_with_state(config, store, handle_key.as_deref())?;
    // While there is one thread, and before anything is read or served.
    bound.drop_privileges()?;
    log.start_thread()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let signals = Signals::new()?;
        let running = bound.start_with_log(log.clone()).await?;
        until_stopped(running, signals).await
    });
    // A read from a dead disk may hang on a blocking thread; it must not keep us.
    runtime.shutdown_background();
    result
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

async fn until_stopped(running: Running, mut signals: Signals) -> Result<(), StartError> {
    let handle = running.handle();
    let mut is_stopping = false;
    let mut ended = std::pin::pin!(running.wait());
    loop {
        let name = tokio::select! {
            ended = &mut ended => {
                tracing::info!(event = "stopped", "stopped");
                return ended.map_err(StartError::Ended);
            }
            Some(()) = signals.hangup.recv() => {
                // What comes of it is in the log.
                let _ = handle.reload().await;
                continue;
            }
            Some(()) = signals.terminate.recv() => "SIGTERM",
            Some(()) = signals.interrupt.recv() => "SIGINT",
        };
        if is_stopping {
            tracing::warn!(event = "stopped", signal = name, "stopped at once");
            return Ok(());
        }
        is_stopping = true;
        handle.stop();
    }
}
