//! What arguments and results look like (RFC 1813 section 3.3 and appendices), a letter a part.

use super::Input;
use crate::handle::HANDLE_LEN_MAX;
use crate::xdr::{Malformed, Reader, Write};

/// A procedure: its arguments, its results, and its results if it failed.
///
/// | letter | part |
/// |---|---|
/// | `u`, `q`, `b` | 32 bits, 64 bits, a bool |
/// | `v` | a verifier: 8 bytes |
/// | `o`, `n` | bytes with a length; a name |
/// | `H`, `h` | a handle; one that may lack |
/// | `a`, `p`, `w` | `fattr3`, `post_op_attr`, `wcc_data` |
/// | `s`, `g`, `c`, `k` | `sattr3`, `sattrguard3`, `createhow3`, `mknoddata3` |
/// | `d`, `D` | the entries of READDIR, of READDIRPLUS, with `eof` |
/// | `m`, `e`, `f` | the lists of DUMP and EXPORT, of auth flavors |
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) args: &'static str,
    pub(super) done: &'static str,
    pub(super) failed: &'static str,
}

const fn shape(args: &'static str, done: &'static str, failed: &'static str) -> Shape {
    Shape { args, done, failed }
}

/// NFS; the status comes before the results, but for NULL.
pub(super) const NFS: [Shape; 22] = [
    shape("", "", ""),
    shape("H", "a", ""),
    shape("Hsg", "w", "w"),
    shape("Hn", "Hpp", "p"),
    shape("Hu", "pu", "p"),
    shape("H", "po", "p"),
    shape("Hqu", "pubo", "p"),
    shape("Hquuo", "wuuv", "w"),
    shape("Hnc", "hpw", "w"),
    shape("Hns", "hpw", "w"),
    shape("Hnso", "hpw", "w"),
    shape("Hnk", "hpw", "w"),
    shape("Hn", "w", "w"),
    shape("Hn", "w", "w"),
    shape("HnHn", "ww", "ww"),
    shape("HHn", "pw", "pw"),
    shape("Hqvu", "pvd", "p"),
    shape("Hqvuu", "pvD", "p"),
    shape("H", "pqqqqqqu", "p"),
    shape("H", "puuuuuuuqqu", "p"),
    shape("H", "puubbbb", "p"),
    shape("Hqu", "wv", "w"),
];

/// MOUNT; the status comes before the results of MNT alone.
pub(super) const MOUNT: [Shape; 6] = [
    shape("", "", ""),
    shape("n", "Hf", ""),
    shape("", "m", ""),
    shape("n", "", ""),
    shape("", "", ""),
    shape("", "e", ""),
];

/// The portmapper; no status.
pub(super) const PORTMAP: [Shape; 5] = [
    shape("", "", ""),
    shape("uuuu", "b", ""),
    shape("uuuu", "b", ""),
    shape("uuuu", "u", ""),
    shape("", "l", ""),
];

/// NLM, of whose arguments the cookie is all that is read; its status is a result among others.
pub(super) const LOCK: [Shape; 5] = [
    shape("", "", ""),
    shape("o", "ou", ""),
    shape("o", "ou", ""),
    shape("o", "ou", ""),
    shape("o", "ou", ""),
];

/// Names that are there, and such as harm some servers.
const NAMES: [&[u8]; 12] = [
    b"file",
    b"dir",
    b"link",
    b"many",
    b"..",
    b".",
    b"",
    b"a/b",
    b"nul\0",
    b"\xff\xfe",
    b"deep",
    b"/",
];

/// Writes arguments that the input chooses; handles come from those that are known.
pub(super) fn write(shape: &str, input: &mut Input<'_>, handles: &[Vec<u8>]) -> Vec<u8> {
    let mut args = Vec::new();
    for part in shape.chars() {
        match part {
            'u' => args.put_u32(input.number32()),
            'q' => args.put_u64(input.number64()),
            'v' => args.put_bytes(&[input.byte() & 1; 8]),
            'o' => {
                let len = usize::from(input.byte());
                args.put_opaque(&vec![b'o'; len]);
            }
            'n' => args.put_opaque(&name(input)),
            'H' => args.put_opaque(&handle(input, handles)),
            's' => attributes(input, &mut args),
            'g' => match input.byte() & 1 {
                0 => args.put_bool(false),
                _ => {
                    args.put_bool(true);
                    args.put_u64(input.number64());
                }
            },
            'c' => match input.byte() % 3 {
                2 => {
                    args.put_u32(2);
                    args.put_u64(input.number64());
                }
                mode => {
                    args.put_u32(mode.into());
                    attributes(input, &mut args);
                }
            },
            'k' => {
                let kind = u32::from(input.byte() % 9);
                args.put_u32(kind);
                match kind {
                    3 | 4 => {
                        attributes(input, &mut args);
                        args.put_u64(input.number64());
                    }
                    6 | 7 => attributes(input, &mut args),
                    _ => {}
                }
            }
            other => panic!("no argument: {other}"),
        }
    }
    args
}

fn name(input: &mut Input<'_>) -> Vec<u8> {
    let choice = usize::from(input.byte());
    match NAMES.get(choice) {
        Some(name) => name.to_vec(),
        None if choice < 64 => format!("{choice:03}").into_bytes(),
        None if choice < 96 => b"/export/dir/../link".to_vec(),
        None => {
            let len = choice + usize::from(input.byte());
            vec![b'n'; len]
        }
    }
}

/// A known handle, or one that was tampered with.
fn handle(input: &mut Input<'_>, handles: &[Vec<u8>]) -> Vec<u8> {
    let choice = usize::from(input.byte());
    let mut handle = match handles.get(choice % handles.len().max(1)) {
        Some(handle) => handle.clone(),
        None => vec![0; HANDLE_LEN_MAX],
    };
    if choice >= 240 {
        let at = usize::from(input.byte());
        match handle.get_mut(at) {
            Some(byte) => *byte ^= input.byte(),
            None => handle.resize(at % (2 * HANDLE_LEN_MAX), 0),
        }
    }
    handle
}

/// `sattr3`.
fn attributes(input: &mut Input<'_>, args: &mut Vec<u8>) {
    let given = input.byte();
    for bit in 0..3 {
        args.put_bool(given >> bit & 1 == 1);
        if given >> bit & 1 == 1 {
            args.put_u32(input.number32());
        }
    }
    args.put_bool(given >> 3 & 1 == 1);
    if given >> 3 & 1 == 1 {
        args.put_u64(input.number64());
    }
    for shift in [4, 6] {
        let how = u32::from(given >> shift & 3);
        args.put_u32(how);
        if how == 2 {
            args.put_u64(input.number64());
        }
    }
}

/// What was found in results.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) handles: Vec<&'a [u8]>,
    /// The data of READ, or the target of READLINK.
    pub(super) data: Option<&'a [u8]>,
    /// Numbers of 32 bits, as `count` of READ.
    pub(super) numbers: Vec<u32>,
}

/// Reads results, of which nothing may be left.
pub(super) fn read<'a>(shape: &str, results: &'a [u8]) -> Result<Found<'a>, Malformed> {
    let mut reader = Reader::new(results);
    let mut found = Found::default();
    for part in shape.chars() {
        read_part(part, &mut reader, &mut found)?;
    }
    match reader.rest() {
        [] => Ok(found),
        _ => Err(Malformed),
    }
}

fn read_part<'a>(
    part: char,
    reader: &mut Reader<'a>,
    found: &mut Found<'a>,
) -> Result<(), Malformed> {
    match part {
        'u' => found.numbers.push(reader.u32()?),
        'q' => drop(reader.u64()?),
        'b' => drop(reader.bool()?),
        'v' => drop(reader.fixed::<8>()?),
        'o' => found.data = Some(reader.opaque(usize::MAX)?),
        'H' => found.handles.push(reader.opaque(HANDLE_LEN_MAX)?),
        'h' => found
            .handles
            .extend(reader.optional(|reader| reader.opaque(HANDLE_LEN_MAX))?),
        'a' => drop(reader.fixed::<84>()?),
        'p' => drop(reader.optional(Reader::fixed::<84>)?),
        'w' => {
            reader.optional(Reader::fixed::<24>)?;
            reader.optional(Reader::fixed::<84>)?;
        }
        'd' | 'D' => {
            while reader.bool()? {
                let (_fileid, name) = (reader.u64()?, reader.opaque(255)?);
                assert!(!name.is_empty() && !name.contains(&b'/'), "{name:?}");
                let _cookie = reader.u64()?;
                if part == 'D' {
                    read_part('p', reader, found)?;
                    read_part('h', reader, found)?;
                }
            }
            reader.bool()?;
        }
        'm' => {
            while reader.bool()? {
                reader.opaque(255)?;
                reader.opaque(1024)?;
            }
        }
        'e' => {
            while reader.bool()? {
                reader.opaque(1024)?;
                while reader.bool()? {
                    reader.opaque(255)?;
                }
            }
        }
        'f' => {
            for _ in 0..reader.u32()? {
                reader.u32()?;
            }
        }
        'l' => {
            while reader.bool()? {
                reader.fixed::<16>()?;
            }
        }
        other => panic!("no result: {other}"),
    }
    Ok(())
}
