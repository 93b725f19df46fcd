//! Download tools and libraries: wget, aria2, busybox, Python, a text browser.

use std::fs;

use crate::Test;
use crate::client::{client, ensure, same};
use crate::site::{SERVER, Site};

pub(crate) const TESTS: &[Test] = &[
    ("busybox_wget_fetches_and_continues", busybox),
    ("wget_fetches_and_continues", wget),
    ("aria2_fetches_by_sixteen_connections", aria2),
    ("pythons_http_client_asks_over_one_connection", python_http),
    (
        "python_requests_streams_ranges_and_conditions",
        python_requests,
    ),
    ("w3m_shows_a_listing_that_people_can_read", w3m),
];

/// What it stopped at, before it goes on.
const BEGUN: usize = 1_234_567;

fn busybox(site: &Site) -> Result<(), String> {
    continues(site, "busybox", &["wget", "-q", "-c", "-O"])
}

fn wget(site: &Site) -> Result<(), String> {
    continues(site, "wget", &["-nv", "-c", "-O"])
}

/// Fetches from nothing, and from where an earlier run stopped.
fn continues(site: &Site, program: &str, arguments: &[&str]) -> Result<(), String> {
    let (fetched, whole) = (site.scratch("fetched"), site.served("os/big.bin"));
    let to = fetched.display().to_string();
    let url = format!("http://{SERVER}/big.bin");
    let all = [arguments, &[&to, &url]].concat();
    client(&site.client, program, &all)?.succeeds()?;
    same(&fetched, &whole)?;
    let bytes = fs::read(&whole).map_err(|error| error.to_string())?;
    fs::write(&fetched, &bytes[..BEGUN]).map_err(|error| error.to_string())?;
    client(&site.client, program, &all)?.succeeds()?;
    same(&fetched, &whole)?;
    // The second time it was the rest alone.
    let rest = format!("\"bytes\":{}", bytes.len() - BEGUN);
    site.await_log(&["\"event\":\"sent\"", "big.bin", &rest])
}

fn aria2(site: &Site) -> Result<(), String> {
    let to = site.scratch("").display().to_string();
    let url = format!("http://{SERVER}/big.bin");
    client(
        &site.client,
        "aria2c",
        &[
            "--no-conf",
            "--enable-dht=false",
            "-x16",
            "-s16",
            "-k1M",
            "--allow-overwrite=true",
            "-d",
            &to,
            "-o",
            "aria2.bin",
            &url,
        ],
    )?
    .succeeds()?;
    same(&site.scratch("aria2.bin"), &site.served("os/big.bin"))?;
    let log = site.log();
    let parts = log
        .lines()
        .filter(|line| line.contains("\"event\":\"sent\"") && line.contains("big.bin"));
    let parts = parts.count();
    ensure(parts >= 16, || format!("only {parts} parts were sent"))
}

/// Runs a script; it fails by itself if anything is wrong.
fn python(site: &Site, script: &str) -> Result<(), String> {
    let big = site.served("os/big.bin").display().to_string();
    let arguments = ["-c", script, SERVER, &big];
    client(&site.client, "/usr/bin/python3", &arguments)?
        .succeeds()?
        .says("intact")
        .map(drop)
}

fn python_http(site: &Site) -> Result<(), String> {
    python(site, include_str!("../fixtures/http_client.py"))
}

fn python_requests(site: &Site) -> Result<(), String> {
    python(site, include_str!("../fixtures/requests_client.py"))
}

fn w3m(site: &Site) -> Result<(), String> {
    fs::create_dir(site.served("os/debian")).map_err(|error| error.to_string())?;
    fs::write(site.served("os/a name & <more>.txt"), "x").map_err(|error| error.to_string())?;
    fs::write(site.served("os/.hidden"), "x").map_err(|error| error.to_string())?;
    let url = format!("http://{SERVER}/");
    let shown = client(&site.client, "w3m", &["-dump", "-cols", "100", &url])?.succeeds()?;
    let lines: Vec<&str> = shown.text.lines().collect();
    let place = |name: &str| {
        let found = lines.iter().position(|line| line.contains(name));
        found.ok_or_else(|| format!("{name} is not in:\n{}", shown.text))
    };
    // Each in a line of its own, with its size, in the order of names.
    let files = ["a name & <more>.txt", "big.bin", "empty.bin", "small.bin"];
    let places: Result<Vec<usize>, String> = files.into_iter().map(place).collect();
    let places = places?;
    ensure(places.is_sorted() && places[0] < places[1], || {
        shown.text.clone()
    })?;
    place("debian/")?;
    place(".hidden")?;
    ensure(lines[places[1]].contains("36"), || {
        lines[places[1]].to_owned()
    })
}
