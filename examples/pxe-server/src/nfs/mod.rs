//! NFS, joined to the rest of the server.
//!
//! The files are those of the tree that TFTP and HTTP serve, or directories of their own
//! (`exports`). Who may have any is decided for all protocols at once: `admission` asks the hub for
//! each call. Ports are bound and announced before root is given up (`ports`, `portmap`), and so is
//! the key read that signs file handles (`handle_key`).

mod admission;
mod exports;
pub(crate) mod handle_key;
mod ports;
mod unreadable;

pub(crate) use self::exports::{check_exports, exports};
pub(crate) use self::ports::{BoundNfs, PORTMAP_PORT, RunningNfs, addresses};
pub(crate) use self::unreadable::Unreadable;
