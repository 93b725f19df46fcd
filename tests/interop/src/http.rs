//! curl: whole files and parts of them, conditions, one connection for many.

use std::fs;
use std::path::Path;

use crate::Test;
use crate::client::{Ran, client, ensure, same};
use crate::site::{SERVER, Site, noise};

pub(crate) const TESTS: &[Test] = &[
    ("curl_fetches_by_http", curl_fetches),
    ("curl_resumes_by_range", curl_resumes),
    ("curl_speaks_http_1_0_as_lpxelinux_does", curl_http_1_0),
    ("curl_learns_that_a_file_is_missing", curl_misses),
    ("curl_fetches_edges_over_one_connection", curl_edges),
    ("curl_continues_where_it_stopped", curl_continues),
    ("curl_is_told_what_it_has_already", curl_conditions),
    ("curl_gets_several_ranges_at_once", curl_ranges),
];

/// Where copying ends and sending from the file begins, chunks end, and a body is empty.
const EDGES: [usize; 9] = [
    0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 1_048_577,
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
    let read = |path| fs::read(path).map_err(|error| error.to_string());
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

/// What curl says of a transfer: `%{..}` of its `-w`.
fn written(site: &Site, write_out: &str, arguments: &[&str]) -> Result<Ran, String> {
    let mut all = vec!["-sS", "-w", write_out];
    all.extend(arguments);
    client(&site.client, "curl", &all)?.succeeds()
}

fn curl_edges(site: &Site) -> Result<(), String> {
    let mut arguments = Vec::new();
    for len in EDGES {
        let file = site.served(&format!("os/edge-{len}"));
        fs::write(file, noise(len, len as u64)).map_err(|error| error.to_string())?;
        let to = site.scratch(&format!("edge-{len}")).display().to_string();
        let url = format!("http://{SERVER}/edge-{len}");
        arguments.extend(["-o".to_owned(), to, url]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = written(site, "%{http_code} %{num_connects}\\n", &arguments)?;
    let told: Vec<&str> = ran.text.lines().collect();
    let mut expected = vec!["200 0"; EDGES.len()];
    expected[0] = "200 1";
    ensure(told == expected, || format!("not one connection: {told:?}"))?;
    for len in EDGES {
        let fetched = site.scratch(&format!("edge-{len}"));
        same(&fetched, &site.served(&format!("os/edge-{len}")))?;
    }
    Ok(())
}

/// The first bytes of a file, in another one.
fn begun(from: &Path, to: &Path, len: usize) -> Result<(), String> {
    let bytes = fs::read(from).map_err(|error| error.to_string())?;
    fs::write(to, &bytes[..len]).map_err(|error| error.to_string())
}

fn curl_continues(site: &Site) -> Result<(), String> {
    let (part, whole) = (site.scratch("part"), site.served("os/big.bin"));
    let to = part.display().to_string();
    let url = format!("http://{SERVER}/big.bin");
    for len in [1, 1_000_001, 37_000_000] {
        begun(&whole, &part, len)?;
        let ran = written(site, "%{http_code}", &["-C", "-", "-o", &to, &url])?;
        ensure(ran.text.trim() == "206", || ran.text.clone())?;
        same(&part, &whole)?;
    }
    // It has all of it, and the server says so (416, and how long the file is).
    let ran = client(
        &site.client,
        "curl",
        &["-sS", "-C", "-", "-D", "-", "-o", &to, &url],
    )?;
    let ran = ran.says(" 416 ")?;
    ran.says(&format!(
        "bytes */{}",
        part.metadata().map_or(0, |it| it.len())
    ))?;
    same(&part, &whole)
}

fn curl_conditions(site: &Site) -> Result<(), String> {
    let (copy, tag) = (site.scratch("copy"), site.scratch("etag"));
    let (to, tag) = (copy.display().to_string(), tag.display().to_string());
    let url = format!("http://{SERVER}/small.bin");
    let code = |arguments: &[&str]| {
        let ran = written(site, "%{http_code} %{size_download}", arguments)?;
        Ok::<String, String>(ran.text.trim().to_owned())
    };
    let first = code(&["--etag-save", &tag, "-R", "-o", &to, &url])?;
    ensure(first == "200 100001", || first.clone())?;
    // By its date, which `-R` gave the copy, and by its entity tag.
    for condition in [["-z", &to], ["--etag-compare", &tag]] {
        let again = code(&[condition[0], condition[1], "-o", "/dev/null", &url])?;
        ensure(again == "304 0", || format!("{condition:?}: {again}"))?;
    }
    // Another file of that name, an hour younger.
    let new = site.served("os/small.new");
    fs::write(&new, noise(70_000, 9)).map_err(|error| error.to_string())?;
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(&new);
    (file.and_then(|file| file.set_modified(later))).map_err(|error| error.to_string())?;
    fs::rename(&new, site.served("os/small.bin")).map_err(|error| error.to_string())?;
    for condition in [["-z", &to], ["--etag-compare", &tag]] {
        let changed = code(&[condition[0], condition[1], "-o", "/dev/null", &url])?;
        ensure(changed == "200 70000", || {
            format!("{condition:?}: {changed}")
        })?;
    }
    Ok(())
}

fn curl_ranges(site: &Site) -> Result<(), String> {
    let (head, body) = (site.scratch("head"), site.scratch("body"));
    let url = format!("http://{SERVER}/big.bin");
    let (head_to, body_to) = (head.display().to_string(), body.display().to_string());
    let ranges = ["0-9", "100000-299999", "-7"];
    let asked = ranges.join(",");
    client(
        &site.client,
        "curl",
        &[
            "-sS", "-f", "-r", &asked, "-D", &head_to, "-o", &body_to, &url,
        ],
    )?
    .succeeds()?;
    let read = |path: &Path| fs::read(path).map_err(|error| error.to_string());
    let head = String::from_utf8_lossy(&read(&head)?).to_lowercase();
    let boundary = head
        .split_once("multipart/byteranges; boundary=")
        .and_then(|(_, rest)| rest.lines().next())
        .ok_or_else(|| format!("no multipart/byteranges: {head}"))?;
    let whole = read(&site.served("os/big.bin"))?;
    let body = read(&body)?;
    // The parts, as RFC 2046 section 5.1.1 has them; a range's bytes may hold anything.
    let mut rest = &body[..];
    for (first, last) in [
        (0, 9),
        (100_000, 299_999),
        (whole.len() - 7, whole.len() - 1),
    ] {
        let end = find(rest, b"\r\n\r\n").ok_or("a part without a head")?;
        let part = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        let said = format!("content-range: bytes {first}-{last}/{}", whole.len());
        ensure(part.contains(boundary) && part.contains(&said), || {
            part.clone()
        })?;
        let (bytes, more) = rest[end + 4..]
            .split_at_checked(last + 1 - first)
            .ok_or("a part is short")?;
        ensure(bytes == &whole[first..=last], || {
            format!("{said}: other bytes")
        })?;
        rest = more;
    }
    let end = String::from_utf8_lossy(rest).to_lowercase();
    ensure(end.trim() == format!("--{boundary}--"), || end.clone())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
