//! Menus that the server makes and fills in: curl and tftp-hpa ask for what GRUB, iPXE and pxelinux do.

use std::fs;

use crate::Test;
use crate::client::{client, ensure, same};
use crate::site::{SERVER, SERVER_FAR, Setup, Site};

/// A server of everything that has a template.
pub(crate) const SETUP: Setup = Setup {
    configuration: include_str!("../menus.toml"),
    ports: &[67, 69, 80, 8080],
};

pub(crate) const TESTS: &[Test] = &[
    (
        "grub_and_ipxe_get_a_menu_of_a_tree_that_has_pxelinuxs",
        converted,
    ),
    ("each_client_gets_the_menu_of_its_own_mac", by_mac),
    (
        "every_file_that_a_script_names_is_fetched_by_its_url",
        every_url,
    ),
    ("two_clients_get_a_template_filled_in_for_each", filled_in),
];

const MENU: &str = "UI menu.c32\nLABEL one\n  LINUX os/small.bin\n  APPEND for-all\n\
    LABEL locked\n  MENU PASSWD $1$salt$oFKJcXEnJSGJlGHDCZ5kZ.\n  LINUX os/big.bin\n";

fn write(site: &Site, path: &str, content: &str) -> Result<(), String> {
    fs::write(site.served(path), content).map_err(|error| format!("{path}: {error}"))
}

fn converted(site: &Site) -> Result<(), String> {
    write(site, "pxelinux.cfg/default", MENU)?;
    let (by_curl, by_hpa) = (site.scratch("curl"), site.scratch("hpa"));
    let (curl_to, hpa_to) = (by_curl.display().to_string(), by_hpa.display().to_string());
    for (path, words) in [
        (
            "grub/grub.cfg",
            ["menuentry", "(tftp,10.78.0.1)/bios/os/small.bin"],
        ),
        ("boot.ipxe", ["#!ipxe", "http://10.78.0.1/small.bin"]),
        (
            "ipxe/autoexec.ipxe",
            ["#!ipxe", "http://10.78.0.1/small.bin"],
        ),
    ] {
        let url = format!("tftp://{SERVER}/{path}");
        client(&site.client, "curl", &["-sS", "-f", "-o", &curl_to, &url])?.succeeds()?;
        let menu = fs::read_to_string(&by_curl).map_err(|error| error.to_string())?;
        for word in words {
            ensure(menu.contains(word), || {
                format!("{path} has no {word}:\n{menu}")
            })?;
        }
        ensure(!menu.contains("big.bin"), || {
            format!("{path} has the locked entry:\n{menu}")
        })?;
        let arguments = ["-m", "binary", SERVER, "-c", "get", path, &hpa_to];
        client(&site.client, "tftp", &arguments)?.succeeds()?;
        same(&by_hpa, &by_curl)?;
        // The kernel that it names is there: the same bytes as by any other name.
        if let Some(at) = menu.find("http://") {
            let url = menu[at..].split_whitespace().next().unwrap_or_default();
            client(&site.client, "curl", &["-sS", "-f", "-o", &hpa_to, url])?.succeeds()?;
            same(&by_hpa, &site.served("os/small.bin"))?;
        }
    }
    site.await_log(&["menu_incomplete", "locked"])?;
    site.await_log(&["menu_made", "grub/grub.cfg", "/pxelinux.cfg/default"])?;
    by_http(site)
}

/// A probe of its size, a range and the whole are of one version.
fn by_http(site: &Site) -> Result<(), String> {
    let url = format!("http://{SERVER}/boot.ipxe");
    let (all, begin, rest) = (
        site.scratch("all"),
        site.scratch("begin"),
        site.scratch("rest"),
    );
    let [all_to, begin_to, rest_to] = [&all, &begin, &rest].map(|path| path.display().to_string());
    client(&site.client, "curl", &["-sS", "-f", "-o", &all_to, &url])?.succeeds()?;
    let read = |path| fs::read(path).map_err(|error| error.to_string());
    let content = read(&all)?;
    let head = client(&site.client, "curl", &["-sS", "-I", &url])?.succeeds()?;
    let head = head.text.to_ascii_lowercase();
    let length = format!("content-length: {}", content.len());
    ensure(head.contains(&length), || format!("not {length}: {head}"))?;
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    let tag = tag.ok_or_else(|| format!("no tag: {head}"))?.to_owned();
    let condition = format!("If-Match: {tag}");
    for (range, to) in [("0-9", &begin_to), ("10-", &rest_to)] {
        let arguments = ["-sS", "-f", "-H", &condition, "-r", range, "-o", to, &url];
        client(&site.client, "curl", &arguments)?.succeeds()?;
    }
    let joined = [read(&begin)?, read(&rest)?].concat();
    ensure(joined == content, || {
        "the ranges do not make the menu".into()
    })
}

fn fetched(site: &Site, from_far: bool, path: &str) -> Result<String, String> {
    let (from, server) = match from_far {
        true => (&site.far_client, SERVER_FAR),
        false => (&site.client, SERVER),
    };
    let url = format!("tftp://{server}/{path}");
    Ok(client(from, "curl", &["-sS", "-f", &url])?.succeeds()?.text)
}

fn by_mac(site: &Site) -> Result<(), String> {
    write(site, "pxelinux.cfg/default", MENU)?;
    let own = client(&site.client, "cat", &["/sys/class/net/eth0/address"])?.succeeds()?;
    let own = own.text.trim().replace(':', "-");
    let menu = "LABEL own\n  LINUX os/small.bin\n  APPEND for-this-one\n";
    write(site, &format!("pxelinux.cfg/01-{own}"), menu)?;
    // GRUB says its address; one that asks for the last name alone is known by the neighbour table.
    for path in [
        format!("grub/grub.cfg-01-{own}"),
        "grub/grub.cfg".to_owned(),
    ] {
        let menu = fetched(site, false, &path)?;
        ensure(menu.contains("for-this-one"), || format!("{path}:\n{menu}"))?;
    }
    let menu = fetched(site, true, "grub/grub.cfg")?;
    ensure(menu.contains("for-all"), || {
        format!("the far client's:\n{menu}")
    })?;
    let url = format!("tftp://{SERVER_FAR}/grub/grub.cfg-0A500002");
    client(&site.far_client, "curl", &["-sS", &url])?.exits_with(68)?;
    Ok(())
}

fn filled_in(site: &Site) -> Result<(), String> {
    write(site, "pxelinux.cfg/who", "APPEND ip=${ip}\n")?;
    for (from_far, expected) in [
        (false, "APPEND ip=10.78.0.100"),
        (true, "APPEND ip=10.80.0.2"),
    ] {
        let text = fetched(site, from_far, "bios/pxelinux.cfg/who")?;
        ensure(text.trim_end() == expected, || {
            format!("{text:?} is not {expected}")
        })?;
    }
    write(site, "pxelinux.cfg/who", "APPEND ${banana}\n")?;
    let url = format!("tftp://{SERVER}/pxelinux.cfg/who");
    let told = client(&site.client, "curl", &["-sS", "-m", "5", &url])?;
    ensure(told.exits_with(0).is_err(), || "it was served".into())?;
    site.await_log(&[
        "template_failed",
        "/pxelinux.cfg/who: line 1",
        "banana",
        "net0/mac",
    ])
}

/// Names as menus have them, and files whose names need escapes in a URL.
fn every_url(site: &Site) -> Result<(), String> {
    let names = [
        "os/small.bin",
        "/os/small.bin",
        "::os/small.bin",
        "../os/small.bin",
        "../../os/./small.bin",
        "10.78.0.1::os/small.bin",
        "http://10.78.0.1/small.bin",
        "tftp://10.78.0.1/os/small.bin",
        "os/a#b%25c?d",
        "os/+x~",
        // HTTP shows os alone.
        "::pxelinux.cfg/memtest#1",
    ];
    let mut menu = String::new();
    for (number, name) in names.iter().enumerate() {
        menu.push_str(&format!("LABEL l{number}\n  LINUX {name}\n"));
    }
    let small = fs::read(site.served("os/small.bin")).map_err(|error| error.to_string())?;
    for path in ["os/a#b%25c?d", "os/+x~", "pxelinux.cfg/memtest#1"] {
        fs::write(site.served(path), &small).map_err(|error| format!("{path}: {error}"))?;
    }
    write(site, "pxelinux.cfg/default", &menu)?;
    let to = site.scratch("file");
    let file_to = to.display().to_string();
    for scheme in ["http", "tftp"] {
        let script = format!("{scheme}://{SERVER}/boot.ipxe");
        let script = client(&site.client, "curl", &["-sS", "-f", &script])?.succeeds()?;
        let words = script.text.split_whitespace();
        let urls: Vec<&str> = words.filter(|word| word.contains("://")).collect();
        ensure(urls.len() == names.len(), || {
            format!(
                "{} URLs of {} names: {}",
                urls.len(),
                names.len(),
                script.text
            )
        })?;
        for url in urls {
            client(
                &site.client,
                "curl",
                &["-sS", "-f", "-g", "-o", &file_to, url],
            )?
            .succeeds()?;
            same(&to, &site.served("os/small.bin"))?;
        }
    }
    Ok(())
}
