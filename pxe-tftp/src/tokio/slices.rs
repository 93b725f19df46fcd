//! The pieces of a send, as the system takes them.

use std::io::IoSlice;

use crate::send_buffer::SendBuffer;

/// Pieces of one block that is not copied: its header, and data from two chunks at an edge.
const FEW: usize = 4;
/// Pieces that a window in one send has, but for edges of chunks.
const MANY: usize = 132;

/// Calls this with the slices of a buffer, without an allocation where it can.
pub(super) fn with_slices<T>(buffer: &SendBuffer, send: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
    let slices = buffer.slices();
    match slices.len() {
        1 => gathered::<1, T>(slices, send),
        count if count <= FEW => gathered::<FEW, T>(slices, send),
        count if count <= MANY => gathered::<MANY, T>(slices, send),
        _ => send(&slices.map(IoSlice::new).collect::<Vec<_>>()),
    }
}

fn gathered<'a, const N: usize, T>(
    slices: impl ExactSizeIterator<Item = &'a [u8]>,
    send: impl FnOnce(&[IoSlice<'_>]) -> T,
) -> T {
    let count = slices.len();
    let mut gathered = [IoSlice::new(&[]); N];
    for (place, slice) in gathered.iter_mut().zip(slices) {
        *place = IoSlice::new(slice);
    }
    send(gathered.get(..count).unwrap_or_default())
}
