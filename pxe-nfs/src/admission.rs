//! Whether a client is admitted at all.

use std::fmt;
use std::pin::Pin;

/// What says yes or no later, if it has to look first: into a table of neighbours, say.
pub type AdmissionFuture = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Whether a client is admitted. It is asked for each call, so most answers should be there at
/// once.
#[non_exhaustive]
pub enum Admission {
    /// It may have what exports allow it.
    Admitted,
    /// It gets nothing, not even the names of exports.
    Refused,
    /// That is not known yet; its call waits.
    Pending(AdmissionFuture),
}

impl From<bool> for Admission {
    fn from(is_admitted: bool) -> Self {
        match is_admitted {
            true => Self::Admitted,
            false => Self::Refused,
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admitted => "Admitted",
            Self::Refused => "Refused",
            Self::Pending(_) => "Pending(..)",
        })
    }
}
