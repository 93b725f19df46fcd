//! The bodies of the fuzz targets, which the property tests run too. They panic if a promise is
//! broken.

mod message;
mod zone_file;

#[cfg(test)]
pub(crate) use self::message::Message;
pub use self::zone_file::zone_file;
