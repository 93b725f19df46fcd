//! SIGINT, SIGTERM and SIGHUP: the boots end, clean up after themselves, and the run fails.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What shells report of a program that SIGINT ended.
const STATUS_INTERRUPTED: i32 = 130;

/// Whether a signal has come.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Begins to listen. The second signal ends the process at once; what it leaves, the next run removes.
pub(crate) fn listen() -> Result<(), String> {
    try_listen().map_err(|error| format!("cannot listen for signals: {error}"))
}

fn try_listen() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let _entered = runtime.enter();
        let mut arrivals = signal(kind)?;
        runtime.spawn(async move {
            while arrivals.recv().await.is_some() {
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(STATUS_INTERRUPTED);
                }
                eprintln!("interrupted: ending the boots; once more ends at once");
            }
        });
    }
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(())
}
