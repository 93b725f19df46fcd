//! What a caller can do wrong.

/// Why a service could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An export's path does not begin with a slash.
    #[error("export {path}: not an absolute path")]
    NotAbsolute {
        /// The path.
        path: String,
    },
    /// Two exports have the same path.
    #[error("export {path}: exported twice")]
    Twice {
        /// The path.
        path: String,
    },
}

/// Why a text is no client of an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseClientError {
    /// Options alone.
    #[error("{text:?}: no client before the options; for everybody, write *{text}")]
    NoClient {
        /// The whole text.
        text: String,
    },
    /// There is white space, as between a client and its options.
    #[error("{text:?}: white space; to exports(5) that begins another client")]
    Space {
        /// The whole text.
        text: String,
    },
    /// The options are not between one pair of parentheses at the end.
    #[error("{text:?}: options stand between ( and ) at the end")]
    Parentheses {
        /// The whole text.
        text: String,
    },
    /// The client is a name.
    #[error("client {client}: names of hosts are not looked up; write the address")]
    HostName {
        /// The client.
        client: String,
    },
    /// The client is a name with wildcards.
    #[error("client {client}: names are not looked up; write a network such as 192.168.1.0/24")]
    Wildcard {
        /// The client.
        client: String,
    },
    /// The client is a netgroup.
    #[error(
        "client {client}: netgroups are not known here; write a network such as 192.168.1.0/24"
    )]
    Netgroup {
        /// The client.
        client: String,
    },
    /// The client is a security flavor of the old syntax.
    #[error("client {client}: Kerberos is not spoken; write a network such as 192.168.1.0/24")]
    Kerberos {
        /// The client.
        client: String,
    },
    /// An address of IPv6 is in brackets, which are for wildcards in exports(5).
    #[error("client {client}: addresses of IPv6 stand without brackets in exports(5)")]
    Brackets {
        /// The client.
        client: String,
    },
    /// It looks like an address, but is none.
    #[error("client {client}: not an address of IPv4 or IPv6")]
    Address {
        /// The client.
        client: String,
    },
    /// What follows the slash is no length, or no mask, of this kind of address.
    #[error(
        "client {client}: after / stands how many bits the addresses share: 0 to 32, or to 128 with \
         IPv6; or a mask such as 255.255.255.0 with IPv4"
    )]
    Mask {
        /// The client.
        client: String,
    },
    /// No such option is known.
    #[error("option {option}: unknown{}", meant.map_or(String::new(), |meant| format!("; {meant}?")))]
    Unknown {
        /// The option.
        option: String,
        /// The option that is most like it.
        meant: Option<&'static str>,
    },
    /// The option's value is no number of a user or group.
    #[error("option {option}: not a number of a user or group")]
    Number {
        /// The option.
        option: String,
    },
    /// The option is one of exports(5), but would not be kept here.
    #[error("option {option}: {why}")]
    Unsupported {
        /// The option.
        option: String,
        /// Why not, and what to do.
        why: &'static str,
    },
}
