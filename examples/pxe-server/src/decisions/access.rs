//! Whether a machine may have files, by what was decided about its boot.

use std::fmt;
use std::sync::Arc;

use pxe_dhcp::{Boot, Explanation};

/// Whether a machine may have files. The same answer holds for every protocol and for every path:
/// a machine that may not boot gets nothing at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Allowed,
    Denied(Arc<Denial>),
}

/// Which rule denies a machine its boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    /// The rule, as its author would recognise it.
    pub(crate) rule: String,
    /// Why it matched.
    pub(crate) reason: String,
}

impl Access {
    /// What a decision means for files.
    pub(crate) fn of(boot: &Boot, explanation: &Explanation) -> Self {
        if *boot != Boot::Denied {
            return Self::Allowed;
        }
        // Those that matched before it said something, and left the boot to it.
        let decisive = explanation.tried().iter().rfind(|tried| tried.matched);
        Self::Denied(Arc::new(Denial {
            rule: decisive.map_or_else(|| "the policy".to_owned(), |tried| tried.rule.to_string()),
            reason: decisive.map_or_else(String::new, |tried| tried.reason.to_string()),
        }))
    }

    /// The rule that denies, if one does.
    pub(crate) fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Allowed => None,
            Self::Denied(denial) => Some(denial),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied(denial) => denial.fmt(f),
        }
    }
}

impl fmt::Display for Denial {
    /// `denied by rule quarantine: mac 52:54:00:00:00:01 is in 52:54:00:*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied by {}", self.rule)?;
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}
