//! From the protocols' events to facts: one small translation per crate.

mod dhcp;
mod dns;
mod http;
mod nfs;
mod tftp;

pub(crate) use self::dhcp::observe as dhcp;
pub(crate) use self::dns::DnsObserver;
pub(crate) use self::http::observe as http;
pub(crate) use self::nfs::NfsObserver;
pub(crate) use self::tftp::observe as tftp;
