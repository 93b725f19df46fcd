//! `[http]`, good and bad, as people write it.

use std::path::Path;
use std::time::Duration;

use pxe_server::{Config, Http};

fn parse(more: &str) -> Result<Config, String> {
    let text = format!("[tree]\nroot = \"/srv/tftp\"\n{more}\n");
    Config::parse(&text, Path::new("/etc/boot.toml")).map_err(|error| error.to_string())
}

fn http(more: &str) -> Vec<Http> {
    parse(more).expect("valid").http
}

#[test]
fn each_table_has_limits_of_its_own() {
    let all = http(
        "[[http]]\nconnections_max = 7\nconnections_per_client_max = 2\n\
         requests_per_client_per_second = 0\nidle_seconds = 5\nstall_seconds = 6\n\
         [[http]]\nlisten = \"127.0.0.1:8080\"\nrequests_per_client_burst = 50",
    );
    let limits = &all[0].limits;
    assert_eq!(
        (limits.connections_max, limits.connections_per_client_max),
        (7, 2)
    );
    assert_eq!(limits.requests_per_client_per_second, None);
    assert_eq!(limits.idle_timeout, Duration::from_secs(5));
    assert_eq!(limits.stall_timeout, Duration::from_secs(6));
    let mut others = pxe_http::Limits::default();
    others.requests_per_client_burst = 50;
    assert_eq!(all[1].limits, others);
}

#[test]
fn directories_are_listed_unless_that_is_unwanted() {
    let [plain] = &http("[http]")[..] else {
        panic!("one");
    };
    let index = plain.index.as_ref().map(ToString::to_string);
    assert_eq!(
        (plain.has_listings, index.as_deref()),
        (true, Some("index.html"))
    );
    let [bare] = &http("[http]\nlistings = false\nindex = \"\"")[..] else {
        panic!("one");
    };
    assert_eq!((bare.has_listings, &bare.index), (false, &None));
}

#[test]
fn clients_without_elliptic_curves_are_served_unless_that_is_unwanted() {
    for (more, expected) in [("", true), (", finite_field = false", false)] {
        let all = http(&format!(
            "[http]\ntls = {{ certificate = \"a\", key = \"b\"{more} }}"
        ));
        let tls = all[0].tls.as_ref().expect("HTTPS");
        assert_eq!(tls.finite_field, expected);
    }
}

#[test]
fn errors_say_where_and_what_to_do() {
    for (more, expected) in [
        (
            "connections_max = 0",
            "4:19: http.connections_max: 0 is out of range; choose 1 to 1000000",
        ),
        (
            "idle_seconds = 100000",
            "4:16: http.idle_seconds: 100000 is out of range; choose 1 to 86400",
        ),
        (
            "requests_per_client_per_second = -1",
            "4:34: http.requests_per_client_per_second: -1 is out of range; choose 0 to 4294967295",
        ),
        (
            "index = \"a/b\"",
            "4:9: http.index: \"a/b\" is no name; write the name of a file, such as index.html, or \
             \"\" for none",
        ),
        (
            "listing = true",
            "4:1: http.listing: unknown key listing; did you mean listings?",
        ),
    ] {
        let error = parse(&format!("[http]\n{more}")).expect_err("invalid");
        assert_eq!(error.replacen("/etc/boot.toml:", "", 1), expected);
    }
}
