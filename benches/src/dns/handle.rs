//! How long the engine alone takes for a query: no socket, no thread, no clock.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use pxe_core::{Now, UnixTime};
use pxe_dns::{Outcome, Peer, ServedZone, Service, Transport, ZoneFile, ZoneFileLimits};

use super::message::Exchange;
use super::names::{self, FORWARD, REVERSE, Zone};
use crate::statistics::median;

/// Queries of each measurement.
const DRAWN: usize = 200_000;
const ROUNDS: usize = 5;
const SIZES: [u16; 3] = [10, 10_000, 30_000];

/// Prints nanoseconds per query, for several sizes of the zones.
///
/// # Errors
/// A text: a zone is not read, or a response is wrong.
pub(crate) fn run() -> Result<(), String> {
    println!("| names | read, ns per name | A, ns | PTR, ns |\n|---|---|---|---|");
    for names in SIZES {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        names::write_files(directory.path(), names)?;
        let start = Instant::now();
        let service = service(directory.path())?;
        let read = start.elapsed().as_nanos() as f64 / f64::from(names);
        let mut cells = Vec::new();
        for zone in [Zone::Forward, Zone::Reverse] {
            let drawn = names::drawn(zone, names, DRAWN, 1);
            let exchanges: Vec<Exchange> = drawn.iter().map(Exchange::new).collect();
            let rounds: Result<Vec<f64>, String> = (0..ROUNDS)
                .map(|_| nanoseconds(&service, &exchanges))
                .collect();
            cells.push(median(&rounds?).unwrap_or_default());
        }
        let [forward, reverse] = *cells else { continue };
        println!("| {names} | {read:.0} | {forward:.0} | {reverse:.0} |");
    }
    Ok(())
}

/// Each query once; all responses are checked before the time is taken.
fn nanoseconds(service: &Service, exchanges: &[Exchange]) -> Result<f64, String> {
    let remote = (IpAddr::V4(Ipv4Addr::LOCALHOST), 53_000).into();
    let peer = Peer::new(remote, Transport::Udp);
    let now = Now::new(
        pxe_core::Instant::EPOCH,
        UnixTime::from_seconds(1_795_000_000),
    );
    let mut reply = Vec::new();
    for exchange in exchanges {
        reply.clear();
        match service.handle(now, &peer, &exchange.query, &mut reply) {
            Outcome::Replied => exchange.check(0, &reply)?,
            other => return Err(format!("{other:?}")),
        }
    }
    let start = Instant::now();
    let mut octets = 0;
    for exchange in exchanges {
        reply.clear();
        let _ = service.handle(now, &peer, &exchange.query, &mut reply);
        octets += reply.len();
    }
    let elapsed = start.elapsed();
    std::hint::black_box(octets);
    Ok(elapsed.as_nanos() as f64 / exchanges.len() as f64)
}

/// Serves the zones of a directory, without limits on rates.
///
/// # Errors
/// A text that says what was found in a zone's file.
pub(crate) fn service(directory: &std::path::Path) -> Result<Service, String> {
    let mut builder = Service::builder();
    for (origin, file) in [(FORWARD, "forward.zone"), (REVERSE, "reverse.zone")] {
        let origin = origin
            .parse()
            .map_err(|error| format!("{origin}: {error}"))?;
        let files = |path: &str, _: usize| {
            std::fs::read(directory.join(path)).map_err(|error| error.to_string())
        };
        let read = ZoneFile::read(&origin, file, &files, &ZoneFileLimits::default());
        let zone = read
            .zone
            .ok_or_else(|| format!("{file}: {:?}", read.findings))?;
        builder = builder.zone(ServedZone::new(zone));
    }
    Ok(builder.build())
}
