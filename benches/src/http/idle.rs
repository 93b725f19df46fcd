//! Connections that are open and ask for nothing: what each costs, and whether it is still there.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use super::client::{Asked, Check, Client};
use super::content::Files;
use super::server::ADDRESS;
use crate::running::Running;

/// How many there are, at each of which it is looked at.
pub(super) const COUNTS: [usize; 2] = [1_000, 10_000];
/// How long they do nothing.
const IDLE: Duration = Duration::from_secs(1);
/// Connections from one address: machines have one each, and servers may bound those of one.
const PER_ADDRESS: usize = 50;
/// The first of the addresses.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// Opens more and more connections, each of which asks once, waits, and asks once again. Returns the
/// bytes of memory that a connection costs at each of the counts.
///
/// # Errors
/// A text: a connection is lost, or a response is wrong.
pub(super) fn measure(
    running: &Running,
    files: &Files,
    counts: &[usize],
) -> Result<Vec<f64>, String> {
    let mut scratch = vec![0; 1 << 16];
    let asked = |index: usize| {
        let file = files.small.get(index % files.small.len());
        file.map(|file| Asked::whole(file, Check::Whole))
            .ok_or("no small file")
    };
    // Until all that is made once is there.
    for index in 0..files.small.len() {
        let mut client = Client::connect(FROM, ADDRESS)?;
        client.get(asked(index)?, &mut scratch)?;
    }
    sleep(IDLE / 10);
    let before = running.memory_bytes() as f64;
    let mut clients: Vec<Client<'_>> = Vec::new();
    let mut each = Vec::new();
    for &count in counts {
        for index in clients.len()..count {
            let more = u32::try_from(index / PER_ADDRESS).map_err(|error| error.to_string())?;
            let from = Ipv4Addr::from_bits(FROM.to_bits() + more);
            let at = |error: String| format!("connection {index}: {error}");
            let mut client = Client::connect(from, ADDRESS).map_err(at)?;
            client.get(asked(index)?, &mut scratch).map_err(at)?;
            clients.push(client);
        }
        sleep(IDLE);
        each.push((running.memory_bytes() as f64 - before) / count as f64);
        for (index, client) in clients.iter_mut().enumerate() {
            let again = client.get(asked(index + 1)?, &mut scratch);
            again.map_err(|error| format!("idle connection {index} of {count}: {error}"))?;
        }
    }
    Ok(each)
}
