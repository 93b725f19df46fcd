//! DNS, joined to the rest of the server.
//!
//! Ports are bound before root is given up (`ports`); zones are read from their files, or made from
//! the configuration with the reverse names of their hosts (`zones`, `written`, `reverse`). What
//! the configuration leaves open is taken from this machine's interfaces (`interfaces`).

mod forwarder;
mod interfaces;
mod message;
mod name_servers;
mod ports;
mod question;
mod reverse;
mod written;
mod zones;

pub(crate) use self::forwarder::{RESOLV_CONF, system_name_servers};
pub(crate) use self::interfaces::Interfaces;
pub(crate) use self::message::query;
pub(crate) use self::name_servers::NameServers;
pub(crate) use self::ports::{BoundDns, Prepared, RunningDns, try_both};
pub(crate) use self::question::{OWN_PORT, Question};
pub(crate) use self::zones::{Zones, read_zone_file};
