//! Whether records make a sensible zone: what `named-checkzone` checks, and a little more.

use std::sync::Arc;

use super::Finding;
use super::reader::Place;
use crate::{Name, Record};

/// What is wrong with a zone, or looks so. Records that are there twice go.
pub(super) fn zone(
    _origin: &Name,
    _file: &Arc<str>,
    _records: &mut [Record],
    _places: &[Place],
) -> Vec<Finding> {
    Vec::new()
}
