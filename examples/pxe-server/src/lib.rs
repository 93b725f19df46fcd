//! The network-boot server: DHCP, TFTP, HTTP, NFS and DNS from one tree of files and one
//! configuration, composed of the `pxe-*` crates.
//!
//! Everything is in this library, so that tests and the demo can start a server in their own
//! process; the program only calls [`main`]. What is here, in the order in which it is met:
//!
//! - [`Config`] is read, and checked as a whole (`config/`);
//! - [`Bound::bind`] binds every port, then [`Bound::drop_privileges`] gives root up (`bind`,
//!   `privileges`, `port_holder`, `open_files`);
//! - [`Running`] serves (`running`, `assemble`, `source`); its [`Handle`] reloads and stops it
//!   (`reload`), and answers the control socket (`control/`, `status`);
//! - leased machines have names in the DNS (`names/`);
//! - what is decided about a machine holds for every protocol (`decisions/`, `addresses`);
//! - the crates' events become [`Fact`]s (`observe/`), which the hub logs, counts, and keeps with
//!   their [`Machine`] (`hub`, `log/`, `machines`, `timeline`);
//! - zones are read from files or made of the configuration (`dns/`), and leased machines are named
//!   in them (`names/`);
//! - the commands: `serve`, `client_commands`, `doctor/`, `init/`, `demo/`, `menu_commands/`,
//!   `dns_commands/`, `image_commands/`, all listed in `cli`; `menus/` reads boot menus out of the tree.
//!
//! # Example
//!
//! A server on a free port of loopback, with files from memory:
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use pxe_server::{Bound, Config, Protocol};
//! use pxe_tree::MemTree;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//!     server = { control = "" }
//!     tree = { root = "/srv/tftp" }
//!     tftp = { listen = "127.0.0.1:0" }
//! "#;
//! let config = Config::parse(text, Path::new("example.toml"))?;
//! let tree = MemTree::new();
//! tree.insert_file("hello", "hello, world")?;
//! let running = Bound::bind(config)?.start_with_tree(Arc::new(tree)).await?;
//! println!("tftp://{}/hello", running.addresses(Protocol::Tftp)[0]);
//! running.stop().await?;
//! # Ok(()) }
//! ```
//!
//! # What it does not do
//!
//! Nothing that belongs to one protocol: that is the crates' part. What joins two protocols is
//! here.
#![deny(unsafe_code)]

mod addresses;
mod assemble;
mod bind;
mod capabilities;
mod cli;
mod client_commands;
mod config;
mod control;
mod decisions;
mod demo;
mod dns;
mod dns_commands;
mod doctor;
mod explain;
mod fact;
mod folder;
mod host_policy;
mod http_servers;
mod https;
mod hub;
mod image_commands;
mod images;
mod init;
mod lease_commands;
mod lease_store;
mod log;
mod machines;
mod menu_commands;
mod menus;
mod meter;
mod names;
mod nfs;
mod observe;
mod open_files;
mod port_holder;
mod privileges;
mod reload;
mod rewriting;
mod running;
mod serve;
mod source;
mod status;
mod timeline;
mod trees;
mod user_tree;

pub use crate::bind::{Bound, StartError};
pub use crate::cli::main;
pub use crate::config::{
    Boot, CONTROL_DEFAULT, Config, ConfigError, Dhcp, Dns, DnsAddress, DnsClients, DnsForward,
    DnsWho, DnsZone, ExportedFiles, HANDLE_KEY_DEFAULT, Host, HostBoot, Http, Images,
    LEASES_DEFAULT, Leases, Log, LogFormat, LogLevel, Menu, MenuFileProtocol, Nfs, NfsExport,
    Place, Portmap, Problem, Server, Store, Subnet, Tftp, Tree, ZoneContent,
};
pub use crate::control::{
    Answer, Client as ControlClient, ClientError, Command as ControlCommand, Failure,
    VERSION as CONTROL_VERSION,
};
pub use crate::fact::{Fact, Protocol, What, printable};
pub use crate::machines::{Limits as MachineLimits, Machine, MachineId, Machines};
pub use crate::running::{Handle, Running};
