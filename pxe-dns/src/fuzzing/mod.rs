//! The bodies of the fuzz targets, which the property tests run too. They panic if a promise is
//! broken.

mod message;
mod query;
mod zone_file;

pub(crate) use self::message::Message;
pub use self::query::query;
pub use self::zone_file::zone_file;
