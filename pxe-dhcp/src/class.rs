//! Clients that are alike.

use crate::{Condition, DhcpOption, LeaseTimes};

/// Clients that have something in common, and what they are told.
///
/// ```
/// use pxe_dhcp::{Class, ClientArch, Condition, Config, DhcpOption, LeaseTimes};
/// use pxe_dhcp::wire::OptionCode;
///
/// let phones = Class::new("phones", Condition::VendorClass("Acme*".parse()?))
///     .with_option(DhcpOption::new(OptionCode(66), "tftp.lab.lan"))
///     .with_lease(LeaseTimes::exactly(600));
/// let config = Config::new().with_class(phones);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// Its name, for explanations.
    pub name: String,
    /// Which clients are of it.
    pub when: Condition,
    /// Options for its clients. They come after those of a decision and of a reservation, and
    /// before those of the subnet. A client may be of several classes: then those of the class
    /// that is named first come first.
    pub options: Vec<DhcpOption>,
    /// Lease times for its clients; what is not said here is a later class's or the subnet's.
    pub lease: LeaseTimes,
}

impl Class {
    /// Clients of which this is true, and nothing to tell them.
    pub fn new(name: impl Into<String>, when: Condition) -> Self {
        Self {
            name: name.into(),
            when,
            options: Vec::new(),
            lease: LeaseTimes::new(),
        }
    }

    /// The same, with an option for its clients.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// The same, with lease times for its clients.
    #[must_use]
    pub const fn with_lease(mut self, lease: LeaseTimes) -> Self {
        self.lease = lease;
        self
    }
}
