//! The network-boot server, composed of the `pxe-*` crates.
#![deny(unsafe_code)]

mod assemble;
mod bind;
mod cli;
mod client_commands;
mod config;
mod control;
mod demo;
mod fact;
mod hub;
mod init;
mod log;
mod machines;
mod observe;
mod port_holder;
mod privileges;
mod reload;
mod running;
mod serve;
mod source;
mod status;
mod timeline;

pub use crate::bind::{Bound, StartError};
pub use crate::cli::main;
pub use crate::config::{
    Boot, CONTROL_DEFAULT, Config, ConfigError, Dhcp, Http, Log, LogFormat, LogLevel, Place, Problem,
    Server, Subnet, Tftp, Tree,
};
pub use crate::control::{
    Answer, Client as ControlClient, ClientError, Command as ControlCommand, Failure,
    VERSION as CONTROL_VERSION,
};
pub use crate::fact::{Fact, Protocol, What, printable};
pub use crate::machines::{Limits as MachineLimits, Machine, MachineId, Machines};
pub use crate::running::{Handle, Running};
