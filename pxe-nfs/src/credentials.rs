//! On whose behalf a call is made.

/// The groups of AUTH_SYS (RFC 5531 section 14) at most.
pub(crate) const GROUPS_MAX: usize = 16;

/// The user on whose behalf a call is made, after an export's squash rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// The user's other groups, at most 16.
    pub groups: Vec<u32>,
}

impl Credentials {
    /// A user with one group.
    pub const fn new(uid: u32, gid: u32) -> Self {
        Self {
            uid,
            gid,
            groups: Vec::new(),
        }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// Which users become the anonymous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Squash {
    /// User 0, and group 0 wherever it is named: `root_squash` of exports(5).
    #[default]
    Root,
    /// Nobody: `no_root_squash`.
    None,
    /// All: `all_squash`.
    All,
}
