//! What a response costs before anything is sent: `cargo bench -p pxe-http --bench plan`.
//!
//! Prints nanoseconds a call, the best of several rounds, since whatever else runs on the machine
//! only ever adds to it.

#![allow(clippy::print_stdout)] // it is all that this is for

use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Version};
use pxe_http::{Listing, ListingEntry, MediaTypes, Outcome, RequestHead, plan};
use pxe_tree::{Attributes, ErrorKind, NameBuf, NodeId, NodeKind, Timestamp, TreePath};

/// So few that most rounds are not interrupted.
const CALLS: u32 = 100;
const ROUNDS: u32 = 2000;

fn main() {
    let now = Timestamp::from_seconds(1_780_000_000);
    let mut attributes = Attributes::new(NodeId::new(NonZeroU64::MIN), NodeKind::File, 1 << 20);
    attributes.change = 0x1234_5678_9abc;
    attributes.modified = Timestamp::from_seconds(1_770_000_000);
    let types = MediaTypes::new();
    let path = TreePath::parse("os/debian/linux").expect("a path");
    let file = Outcome::File {
        attributes: &attributes,
        media_type: types.of(&path),
    };
    let names = (0..1000).map(|number| NameBuf::new(format!("file-{number}")));
    let entries = names.map(|name| {
        let mut entry = ListingEntry::new(name.expect("a name"), NodeKind::File);
        entry.len = Some(123_456);
        entry.modified = Some(now);
        entry
    });
    let listing = Listing::new(entries.collect());

    let ask = |label: &str, fields: &[(&'static str, &'static str)], outcome: Outcome<'_>| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("10.0.0.1"));
        headers.insert("user-agent", HeaderValue::from_static("iPXE/1.21"));
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let target = match outcome {
            Outcome::Directory(_) => "/os/debian/",
            _ => "/os/debian/linux",
        };
        let head = RequestHead::new(&Method::GET, target, Version::HTTP_11, &headers);
        measure(label, || plan(black_box(&head), black_box(outcome), now));
    };
    ask("a whole file", &[], file);
    ask("a range", &[("range", "bytes=65536-131071")], file);
    ask(
        "ten ranges",
        &[(
            "range",
            "bytes=0-1,10-11,20-21,30-31,40-41,50-51,60-61,70-71,80-81,90-91",
        )],
        file,
    );
    ask("304", &[("if-none-match", "*")], file);
    ask("404", &[], Outcome::Failed(ErrorKind::NotFound));
    ask("1,000 entries", &[], Outcome::Directory(Some(&listing)));

    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("10.0.0.1"));
    let head = RequestHead::new(&Method::GET, "/os/debian/linux", Version::HTTP_11, &headers);
    measure("route()", || black_box(&head).route());
    measure("media type", || types.of(black_box(&path)).clone());
}

fn measure<T>(label: &str, call: impl Fn() -> T) {
    let round = || {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        started.elapsed() / CALLS
    };
    // Once for the caches.
    black_box(call());
    // Long calls are not worth so many rounds.
    let first = round();
    let rounds = if first.as_micros() > 50 { 5 } else { ROUNDS };
    let best = (0..rounds).map(|_| round()).min().unwrap_or(first);
    println!("{label:<16}{:>10} ns", best.min(first).as_nanos());
}
