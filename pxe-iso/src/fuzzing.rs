//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

pub use crate::iso9660::fuzzing::fuzz_iso;
pub use crate::udf::fuzzing::fuzz_udf;
