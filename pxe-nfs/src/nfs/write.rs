//! Procedures that change something, and COMMIT.

use super::node::{Answer, Context};
use super::status::Status;

/// Answers SETATTR, WRITE, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK and COMMIT.
pub(super) async fn answer(context: &Context<'_>) -> Answer {
    let handle = context.args().handle()?;
    let _object = context.object(handle).await?;
    Err(Status::ROFS.into())
}
