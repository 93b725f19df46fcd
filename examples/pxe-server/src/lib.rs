//! The network-boot server, composed of the `pxe-*` crates.
#![deny(unsafe_code)]

mod cli;
mod demo;
mod fact;
mod init;
mod machines;
mod timeline;

pub use crate::cli::main;
pub use crate::fact::{Fact, Protocol, What, printable};
pub use crate::machines::{Limits as MachineLimits, Machine, MachineId, Machines};
