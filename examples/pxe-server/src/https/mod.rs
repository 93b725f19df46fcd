//! HTTPS: certificates and keys in files, before they are served and while.

mod doubts;
mod files;
mod renewal;

pub(crate) use self::doubts::doubts;
pub(crate) use self::files::read;
pub(crate) use self::renewal::{Renewal, civil_time};
