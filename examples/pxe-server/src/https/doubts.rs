//! What clients may have against a certificate that can be served.

use pxe_http::{Certificate, KeyKind};
use pxe_tree::Timestamp;

use crate::config::{Config, Http};

const DAY: i64 = 86_400;

/// A month before its end somebody has to know it.
const DAYS_LEFT_MIN: i64 = 30;

/// What is doubtful about the certificate of these listeners, each with what to do about it.
pub(crate) fn doubts(
    config: &Config,
    http: &Http,
    certificate: &Certificate,
    now: Timestamp,
) -> Vec<(String, String)> {
    let mut doubts = Vec::new();
    let mut doubt = |message: String, remedy: &str| doubts.push((message, remedy.to_owned()));
    if let Some((message, remedy)) = end_of(certificate, now) {
        doubt(message, remedy);
    }
    if certificate.is_early(now) {
        let message = "the certificate is not valid yet";
        doubt(message.into(), "wait, or look whether the clock is right");
    }
    if certificate.dns_names.is_empty() && certificate.addresses.is_empty() {
        let message = "the certificate has no name and no address (subjectAltName)";
        doubt(
            message.into(),
            "have one made that has: clients read no other",
        );
    }
    for host in hosts(config, http) {
        if !certificate.is_for(&host) {
            let message = format!(
                "the certificate is not for {host}, by which clients are told \
                                   to find this server"
            );
            doubt(message, "have one made that names it, or change the URL");
        }
    }
    if certificate.key != KeyKind::Rsa {
        let message = "the certificate's key is not RSA";
        doubt(
            message.into(),
            "make one that is if firmware is to boot by it: EDK2 is often built without elliptic \
             curves",
        );
    }
    doubts
}

/// What is to be said of a certificate that is over, or will be within a month, and what to do. It is
/// another text each day.
pub(super) fn end_of(certificate: &Certificate, now: Timestamp) -> Option<(String, &'static str)> {
    let days_left = (certificate.not_after.seconds - now.seconds).div_euclid(DAY);
    if certificate.is_expired(now) {
        let message = format!("the certificate has expired {} days ago", -days_left);
        return Some((message, "have it renewed: most clients refuse it"));
    }
    (days_left < DAYS_LEFT_MIN).then(|| {
        let message = format!("the certificate expires in {days_left} days");
        (message, "have it renewed")
    })
}

/// The names and addresses that URLs of these listeners have, as far as the configuration tells.
fn hosts(config: &Config, http: &Http) -> Vec<String> {
    let next_server = config.boot.as_ref().and_then(|boot| boot.next_server);
    let mut hosts: Vec<String> = Vec::new();
    for url in config.boot_texts() {
        let Some(rest) = url.strip_prefix("https://") else {
            continue;
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(443)),
        };
        if !http.listen.iter().any(|listen| Some(listen.port()) == port) {
            continue;
        }
        match (host, next_server) {
            ("{server}", Some(server)) => hosts.push(server.to_string()),
            ("{server}", None) => {
                let own = http.listen.iter().map(std::net::SocketAddr::ip);
                hosts.extend(
                    own.filter(|ip| !ip.is_unspecified())
                        .map(|ip| ip.to_string()),
                );
            }
            (host, _) if host.contains('{') => {}
            (host, _) => hosts.push(host.to_owned()),
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::Tls;
    use crate::https::read;

    const NO_URL: &str = "ipxe = \"x.ipxe\"";

    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    fn told(
        boot: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let directory = tempfile::tempdir().expect("a directory");
        let tls = Tls {
            certificate: directory.path().join("crt"),
            key: directory.path().join("key"),
            finite_field: true,
        };
        let pem = params.self_signed(&key).expect("a certificate").pem();
        std::fs::write(&tls.certificate, pem).expect("a file");
        std::fs::write(&tls.key, key.serialize_pem()).expect("a file");
        let identity = read(&tls).expect("an identity");
        let text = format!(
            "[tree]\nroot = \"/srv\"\n[dhcp]\nlisten = \"10.77.0.1\"\nmode = \"proxy\"\n\
             [boot]\nnext_server = \"10.77.0.1\"\n{boot}\n\
             [http]\ntls = {{ certificate = \"crt\", key = \"key\" }}\n"
        );
        let config = Config::parse(&text, std::path::Path::new("x.toml")).expect("valid");
        let http = config.http.first().expect("a listener");
        let doubts = doubts(&config, http, identity.certificate(), NOW);
        let doubts = doubts.into_iter().map(|(message, _)| message);
        // Keys of RSA cannot be made here.
        doubts.filter(|message| !message.contains("RSA")).collect()
    }

    #[test]
    fn a_certificate_for_what_clients_are_told_is_beyond_doubt() {
        for url in [
            "https://{server}/x.efi",
            "https://10.77.0.1:443/x.efi",
            "https://a.lan/",
        ] {
            let boot = format!("ipxe = \"{url}\"");
            assert_eq!(
                told(&boot, &["10.77.0.1", "a.lan"], |_| {}),
                [""; 0],
                "{url}"
            );
        }
    }

    #[test]
    fn names_that_it_lacks_are_told() {
        for (url, name) in [
            ("https://{server}/x.efi", "10.77.0.1"),
            ("https://b.lan/x.efi", "b.lan"),
        ] {
            let doubts = told(&format!("ipxe = \"{url}\""), &["a.lan"], |_| {});
            assert_eq!(doubts.len(), 1, "{doubts:?}");
            assert!(
                doubts[0].contains(&format!("is not for {name}")),
                "{doubts:?}"
            );
        }
        // Not this server's, and not HTTPS.
        for url in ["https://b.lan:8443/x.efi", "http://b.lan/x.efi"] {
            assert_eq!(
                told(&format!("ipxe = \"{url}\""), &["a.lan"], |_| {}),
                [""; 0]
            );
        }
    }

    #[test]
    fn its_time_is_told() {
        let year = |year| rcgen::date_time_ymd(year, 6, 1);
        let expired = told(NO_URL, &["a"], |params| params.not_after = year(2026 - 1));
        assert!(
            expired[0].starts_with("the certificate has expired"),
            "{expired:?}"
        );
        let early = told(NO_URL, &["a"], |params| params.not_before = year(2026));
        assert_eq!(early, ["the certificate is not valid yet"]);
        let soon = told(NO_URL, &["a"], |params| params.not_after = year(2026));
        assert_eq!(soon, ["the certificate expires in 3 days"]);
        let nameless = told(NO_URL, &[], |_| {});
        assert!(
            nameless[0].contains("no name and no address"),
            "{nameless:?}"
        );
    }
}
