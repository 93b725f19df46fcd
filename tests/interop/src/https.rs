//! HTTPS clients: curl (OpenSSL) and GNU wget (GnuTLS), which know the CA of the site, or do not.

use std::fs;
use std::path::Path;
use std::process::Command;

use pxe_test_lab::run;

use crate::Test;
use crate::client::{Ran, client, same};
use crate::site::{SERVER, Setup, Site};

pub(crate) const SETUP: Setup = Setup {
    configuration: include_str!("../https.toml"),
    ports: &[80, 443],
};

pub(crate) const TESTS: &[Test] = &[
    ("curl_fetches_by_https", curl_fetches),
    ("curl_without_elliptic_curves_fetches", curl_finite_field),
    ("curl_without_the_ca_refuses_and_is_logged", curl_strange),
    ("curl_in_clear_at_the_https_port_is_told", curl_in_clear),
    ("wget_fetches_by_https", wget_fetches),
    ("a_renewed_certificate_is_served_without_a_restart", renewal),
];

/// Makes a CA, and a certificate of it for the server, as docs/https.md says.
pub(crate) fn make_certificate(directory: &Path) -> Result<(), String> {
    let at = |name: &str| directory.join(name).display().to_string();
    let openssl = |words: &[&str]| run(Command::new("openssl").args(words));
    let names = at("names");
    let text = format!("subjectAltName=IP:{SERVER}\nextendedKeyUsage=serverAuth\n");
    fs::write(&names, text).map_err(|error| error.to_string())?;
    let (ca_key, ca) = (at("ca.key"), at("ca.crt"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=Site CA",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ])?;
    let (key, request, certificate) = (at("https.key"), at("https.csr"), at("https.crt"));
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=server",
        "-keyout",
        &key,
        "-out",
        &request,
    ])?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &names,
        "-out",
        &certificate,
    ])?;
    // The server's user reads what is renewed.
    run(Command::new("chmod").args(["0644", &key]))
}

fn curl(site: &Site, arguments: &[&str]) -> Result<Ran, String> {
    let ca = site.beside_tree("ca.crt").display().to_string();
    let known = ["-sS", "-f", "--cacert", &ca];
    client(&site.client, "curl", &[&known, arguments].concat())
}

fn url(file: &str) -> String {
    format!("https://{SERVER}/{file}")
}

fn curl_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("curl");
    let to = fetched.display().to_string();
    for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        for file in ["big.bin", "small.bin"] {
            curl(site, &[version, &["-o", &to, &url(file)]].concat())?.succeeds()?;
            same(&fetched, &site.served(&format!("os/{file}")))?;
        }
    }
    curl(
        site,
        &[
            "-r",
            "5-9",
            "-o",
            &to,
            "-w",
            "%{http_code}",
            &url("big.bin"),
        ],
    )?
    .succeeds()?
    .says("206")?;
    site.await_log(&["http", "big.bin", "sent"])
}

/// As OVMF of Debian 12 does (see docs/quirks.md).
fn curl_finite_field(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("curl");
    let to = fetched.display().to_string();
    for cipher in ["DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256"] {
        let old = ["--tls-max", "1.2", "--ciphers", cipher];
        curl(
            site,
            &[&old[..], &["-v", "-o", &to, &url("small.bin")]].concat(),
        )?
        .succeeds()?
        .says(cipher)?;
        same(&fetched, &site.served("os/small.bin"))?;
    }
    Ok(())
}

fn curl_strange(site: &Site) -> Result<(), String> {
    client(&site.client, "curl", &["-sS", "-f", &url("small.bin")])?.exits_with(60)?;
    site.await_log(&["handshake_failed", "does not know the CA"])
}

fn curl_in_clear(site: &Site) -> Result<(), String> {
    let in_clear = format!("http://{SERVER}:443/small.bin");
    client(&site.client, "curl", &["-sS", &in_clear])?
        .succeeds()?
        .says("https://")?;
    site.await_log(&["malformed", "in clear"])
}

fn wget_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("wget");
    let to = fetched.display().to_string();
    let ca = format!("--ca-certificate={}", site.beside_tree("ca.crt").display());
    client(
        &site.client,
        "wget",
        &["-q", &ca, "-O", &to, &url("big.bin")],
    )?
    .succeeds()?;
    same(&fetched, &site.served("os/big.bin"))?;
    // 5: the certificate was not verified.
    client(&site.client, "wget", &["-q", "-O", &to, &url("big.bin")])?.exits_with(5)?;
    Ok(())
}

fn renewal(site: &Site) -> Result<(), String> {
    let to = site.scratch("curl").display().to_string();
    let former = site.beside_tree("former.crt");
    let copied = fs::copy(site.beside_tree("ca.crt"), &former);
    copied.map_err(|error| error.to_string())?;
    make_certificate(&site.beside_tree(""))?;
    site.await_log(&["certificate_renewed"])?;
    curl(site, &["-o", &to, &url("small.bin")])?.succeeds()?;
    same(&site.scratch("curl"), &site.served("os/small.bin"))?;
    let former = former.display().to_string();
    let knows_former = ["-sS", "-f", "--cacert", &former, &url("small.bin")];
    client(&site.client, "curl", &knows_former)?.exits_with(60)?;
    Ok(())
}
