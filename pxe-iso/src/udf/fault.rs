//! Why a structure of UDF is not read.

use crate::{Damage, ImageError, Unsupported};

/// What the parsers of this module say: damage, or a part of UDF that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged(Damage),
    Unsupported(Unsupported),
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<Unsupported> for Fault {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

impl From<Fault> for ImageError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Damaged(damage) => damage.into(),
            Fault::Unsupported(unsupported) => unsupported.into(),
        }
    }
}
