//! The bodies of the fuzz targets, which the property tests run too.

mod message;

#[cfg(test)]
pub(crate) use self::message::Message;
