//! What is in files: WRITE and COMMIT.

use std::hash::Hasher;

use pxe_tree::{Attributes, NodeKind, SetAttributes, Stability, WriteTree};
use siphasher::sip::SipHasher13;

use super::super::attributes::{WCC_LEN, put_wcc};
use super::super::node::{Answer, Context, Object};
use super::super::permission::may_write;
use super::super::status::Status;
use super::{failed, is_root, is_stale, without_set_id, writable};
use crate::xdr::{Malformed, Write as _};

/// WRITE (RFC 1813 section 3.3.7).
pub(super) async fn write(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let (offset, count, stable) = (args.u64()?, args.u32()?, args.u32()?);
    let stability = match stable {
        0 => Stability::Unstable,
        1 => Stability::Data,
        2 => Stability::File,
        _ => return Err(Malformed.into()),
    };
    let data = args.opaque(usize::MAX)?;
    if usize::try_from(count) != Ok(data.len()) {
        return Err(Malformed.into());
    }
    // More than FSINFO offers is written in part, and the client sends the rest.
    let count = count.min(context.service.limits.write_bytes_max);
    let len = usize::try_from(count).unwrap_or(data.len());
    let data = data.get(..len).unwrap_or(data);
    let mut file = context.object(handle).await?;
    let done = put(context, &mut file, offset, data, stability).await;
    match done {
        Ok((after, verifier)) => {
            let mut reply = context.results(Status::OK, WCC_LEN + 16);
            put_wcc(&mut reply, file.export.id, Some(&after));
            reply.put_u32(count);
            reply.put_u32(stable);
            reply.put_bytes(&verifier);
            Ok(reply.into())
        }
        Err(status) => Err(failed(context, status, &file).await),
    }
}

async fn put(
    context: &Context<'_>,
    file: &mut Object,
    offset: u64,
    data: &[u8],
    stability: Stability,
) -> Result<(Attributes, [u8; 8]), Status> {
    let tree = writable(file)?;
    // No copy: the message itself is written.
    let data = context.message.slice_ref(data);
    loop {
        check(file)?;
        // Taken before: if something is lost from now on, the verifier of COMMIT is another one.
        let verifier = verifier(context, &*tree);
        let mode = without_set_id(file.attributes.mode);
        let done = match mode == file.attributes.mode || is_root(&file.user) || data.is_empty() {
            true => {
                tree.write(file.node(), offset, data.clone(), stability)
                    .await
            }
            // Whoever runs it next shall not be its owner with what another user wrote.
            false => {
                let mut plain = SetAttributes::default();
                plain.mode = Some(mode);
                match tree.set_attributes(file.node(), &plain).await {
                    Ok(_) => {
                        tree.write(file.node(), offset, data.clone(), stability)
                            .await
                    }
                    failed => failed,
                }
            }
        };
        match done {
            Err(error) if is_stale(&error) => context.refresh(file).await?,
            done => {
                let after = done.map_err(|error| context.status(&error))?;
                return Ok((after, verifier));
            }
        }
    }
}

/// COMMIT (RFC 1813 section 3.3.21): all of the file, whatever range is asked for.
pub(super) async fn commit(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let (_offset, _count) = (args.u64()?, args.u32()?);
    let mut file = context.object(handle).await?;
    match flush(context, &mut file).await {
        Ok((after, verifier)) => {
            let mut reply = context.results(Status::OK, WCC_LEN + 8);
            put_wcc(&mut reply, file.export.id, Some(&after));
            reply.put_bytes(&verifier);
            Ok(reply.into())
        }
        Err(status) => Err(failed(context, status, &file).await),
    }
}

async fn flush(context: &Context<'_>, file: &mut Object) -> Result<(Attributes, [u8; 8]), Status> {
    let tree = writable(file)?;
    loop {
        check(file)?;
        match tree.commit(file.node()).await {
            Err(error) if is_stale(&error) => context.refresh(file).await?,
            done => {
                let after = done.map_err(|error| context.status(&error))?;
                // Taken afterwards: what was lost meanwhile is lost to this client, too.
                return Ok((after, verifier(context, &*tree)));
            }
        }
    }
}

fn check(file: &Object) -> Result<(), Status> {
    match file.attributes.kind {
        NodeKind::File if may_write(&file.attributes, &file.user) => Ok(()),
        NodeKind::File => Err(Status::ACCES),
        NodeKind::Directory => Err(Status::ISDIR),
        _ => Err(Status::INVAL),
    }
}

/// The `writeverf3`: another one after a restart, and after unstable writes were lost.
fn verifier(context: &Context<'_>, tree: &dyn WriteTree) -> [u8; 8] {
    let mut hasher = SipHasher13::new_with_key(b"pxe-nfs verifier");
    hasher.write(&context.service.write_verifier);
    hasher.write_u64(tree.writes_lost().to_be());
    hasher.finish().to_be_bytes()
}
