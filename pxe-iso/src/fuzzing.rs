//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

pub use crate::udf::fuzzing::fuzz_udf;
