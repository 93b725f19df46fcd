//! HTTP clients: curl, busybox wget.

use crate::Test;
use crate::client::{client, ensure, same};
use crate::site::{SERVER, Site};

pub(crate) const TESTS: &[Test] = &[
    ("curl_fetches_by_http", curl_fetches),
    ("curl_resumes_by_range", curl_resumes),
    ("curl_speaks_http_1_0_as_lpxelinux_does", curl_http_1_0),
    ("curl_learns_that_a_file_is_missing", curl_misses),
    ("busybox_wget_fetches", busybox_fetches),
];

fn curl_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("curl");
    let to = fetched.display().to_string();
    for port in ["80", "8080"] {
        for file in ["big.bin", "small.bin"] {
            let url = format!("http://{SERVER}:{port}//{file}");
            client(&site.client, "curl", &["-sS", "-f", "-o", &to, &url])?.succeeds()?;
            same(&fetched, &site.served(&format!("os/{file}")))?;
        }
    }
    let url = format!("http://{SERVER}/small.bin");
    client(&site.client, "curl", &["-sS", "-I", &url])?
        .succeeds()?
        .says("HTTP/1.1 200 OK")?
        .says("100001")?;
    site.await_log(&["http", "big.bin", "sent"])
}

fn curl_resumes(site: &Site) -> Result<(), String> {
    let (head, tail) = (site.scratch("head"), site.scratch("tail"));
    let url = format!("http://{SERVER}/big.bin");
    for (range, to) in [("0-999999", &head), ("1000000-", &tail)] {
        let to = to.display().to_string();
        client(
            &site.client,
            "curl",
            &["-sS", "-f", "-r", range, "-o", &to, &url],
        )?
        .succeeds()?;
    }
    let read = |path| std::fs::read(path).map_err(|error| error.to_string());
    let joined = [read(head)?, read(tail)?].concat();
    ensure(joined == read(site.served("os/big.bin"))?, || {
        "the ranges do not make the file".into()
    })
}

fn curl_http_1_0(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("curl");
    let to = fetched.display().to_string();
    let url = format!("http://{SERVER}:8080/small.bin");
    let ran = client(
        &site.client,
        "curl",
        &["-sS", "-0", "-D", "-", "-o", &to, &url],
    )?
    .succeeds()?;
    same(&fetched, &site.served("os/small.bin"))?;
    let head: Vec<_> = ran.text.lines().map(str::to_ascii_lowercase).collect();
    let place = |name: &str| head.iter().position(|line| line.starts_with(name));
    let length = place("content-length:").ok_or("no Content-Length")?;
    let fields = head.iter().take_while(|line| !line.is_empty()).count();
    ensure(head[0].contains(" 200"), || format!("not 200: {}", head[0]))?;
    ensure(length + 1 < fields, || {
        format!("Content-Length is the last field: {head:?}")
    })?;
    ensure(place("transfer-encoding:").is_none(), || "chunked".into())
}

fn curl_misses(site: &Site) -> Result<(), String> {
    let url = format!("http://{SERVER}/debian/linux");
    client(&site.client, "curl", &["-sS", &url])?
        .succeeds()?
        .says("/debian/linux")?;
    client(&site.client, "curl", &["-sS", "-f", &url])?
        .exits_with(22)?
        .says("404")?;
    site.await_log(&["http", "missing", "debian/linux"])
}

fn busybox_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("wget");
    let to = fetched.display().to_string();
    let url = format!("http://{SERVER}/big.bin");
    client(&site.client, "busybox", &["wget", "-q", "-O", &to, &url])?.succeeds()?;
    same(&fetched, &site.served("os/big.bin"))
}
