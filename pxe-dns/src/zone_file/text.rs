//! Records and zones as zone files have them.

use std::fmt;

use super::data;
use crate::{Record, Zone};

impl fmt::Display for Record {
    /// As zone files and `dig` have it, with whole names: `pxe.matrix.lan. 3600 IN A 192.0.2.1`.
    ///
    /// Data that is not what its type wants is written as RFC 3597 has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (owner, ttl, kind) = (&self.owner, self.ttl_seconds, self.kind);
        let data = data::text(kind, &self.data);
        // A `$` would be a directive at the beginning of a line; names are written with `\$`.
        write!(f, "{owner} {ttl} IN {kind} {data}")
    }
}

impl fmt::Display for Zone {
    /// A zone file that is read as the same zone: the SOA record first, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records()
            .try_for_each(|record| writeln!(f, "{record}"))
    }
}
