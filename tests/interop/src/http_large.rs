//! A file of 4 GiB and one byte: lengths and offsets beyond 32 bits.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use crate::Test;
use crate::client::{client, ensure};
use crate::site::{SERVER, Site};

pub(crate) const TESTS: &[Test] = &[("curl_fetches_four_gibibytes_and_a_byte", fetches)];

const LEN: u64 = (4 << 30) + 1;
/// Where the file is not all zero: at its beginning, where a single call of sendfile(2) ends
/// (2^31 - 4096), across what 31 bits can count, and across what 32 bits can, which is its end.
const MARKS: [u64; 4] = [0, (1 << 31) - 4100, (1 << 31) - 4, LEN - 8];
const MARK: [u8; 8] = *b"\x01\xffmark\xfe\x02";

fn fetches(site: &Site) -> Result<(), String> {
    let file = site.served("os/large.bin");
    let made = File::create(&file).and_then(|file| {
        file.set_len(LEN)?;
        MARKS
            .iter()
            .try_for_each(|at| file.write_all_at(&MARK, *at))
    });
    made.map_err(|error| error.to_string())?;
    let url = format!("http://{SERVER}/large.bin");
    let mut curl = site.client.command("curl");
    curl.args(["-sS", "-f", "--max-time", "300", &url]);
    let child = curl.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot run curl: {error}"))?;
    let output = child.stdout.take().ok_or("no output")?;
    let compared = compare(output);
    let status = child.wait().map_err(|error| error.to_string())?;
    compared?;
    ensure(status.success(), || format!("curl: {status}"))?;
    // Across 2^32, and the last byte alone.
    let bytes = expected(LEN - 16, 16);
    let range = format!("{}-", LEN - 16);
    let to = site.scratch("tail");
    let path = to.display().to_string();
    let fetch = [
        "-sS",
        "-f",
        "-r",
        &range,
        "-o",
        &path,
        "-w",
        "%{http_code}",
        &url,
    ];
    client(&site.client, "curl", &fetch)?
        .succeeds()?
        .says("206")?;
    let tail = std::fs::read(&to).map_err(|error| error.to_string())?;
    ensure(tail == bytes, || format!("the tail is {tail:?}"))
}

/// The bytes of the file from here.
fn expected(at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for mark in MARKS {
        for (index, byte) in (mark..).zip(MARK) {
            let place = index
                .checked_sub(at)
                .and_then(|it| usize::try_from(it).ok());
            if let Some(slot) = place.and_then(|place| bytes.get_mut(place)) {
                *slot = byte;
            }
        }
    }
    bytes
}

/// Demands that this is the file, to its last byte.
fn compare(mut from: impl Read) -> Result<(), String> {
    let mut buffer = vec![0; 1 << 20];
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let len = from.read(&mut buffer).map_err(|error| error.to_string())?;
        if len == 0 {
            return ensure(at == LEN, || format!("{at} bytes came of {LEN}"));
        }
        let end = at + len as u64;
        let is_marked = MARKS.iter().any(|mark| *mark < end && mark + 8 > at);
        let is_same = match is_marked {
            true => buffer[..len] == expected(at, len),
            false => buffer[..len] == zeros[..len],
        };
        ensure(is_same, || format!("other bytes between {at} and {end}"))?;
        at = end;
    }
}
