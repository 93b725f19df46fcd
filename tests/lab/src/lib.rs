//! What tests on real networks share: namespaces that vanish with their test, child processes that
//! never outlive it, and packages that are installed where they are missing.
#![forbid(unsafe_code)]

mod namespace;
mod packages;
mod process;

pub use crate::namespace::{Namespace, remove_stale, unique_name};
pub use crate::packages::ensure;
pub use crate::process::{Output, POLL_INTERVAL, Process, raise_open_files, run, tied_command};
