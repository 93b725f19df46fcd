//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

use pxe_tree::conformance::Fixture;

pub use crate::iso9660::fuzzing::fuzz_iso;
pub use crate::udf::fuzzing::fuzz_udf;

/// An image of a fixture with Rock Ridge, for tests of what serves images. Its volume has this
/// identifier, of at most 32 bytes.
///
/// # Panics
/// If the fixture, or the identifier, does not fit.
pub fn image_of(fixture: &Fixture, volume_id: &str) -> Vec<u8> {
    crate::iso9660::image_builder::rock_ridge_named(fixture, volume_id)
}
