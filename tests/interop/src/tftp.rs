//! TFTP clients: curl, tftp-hpa, atftp, busybox, Perl's Net::TFTP.

use std::fs;

use crate::Test;
use crate::client::{client, ensure, same};
use crate::site::{SERVER, SERVER_FAR, Site};

pub(crate) const TESTS: &[Test] = &[
    ("curl_fetches_by_tftp", curl_fetches),
    ("curl_learns_at_once_that_a_file_is_missing", curl_misses),
    (
        "curl_fetches_across_a_link_of_mtu_1400",
        curl_fetches_across_small_mtu,
    ),
    (
        "curl_is_answered_from_the_address_that_it_asked",
        curl_asks_other_address,
    ),
    ("tftp_hpa_fetches_octet_and_netascii", tftp_hpa_fetches),
    ("tftp_hpa_may_not_write", tftp_hpa_writes),
    ("atftp_fetches_with_window_and_blksize", atftp_fetches),
    (
        "atftp_fetches_in_windows_across_a_link_of_mtu_1400",
        atftp_fetches_across_small_mtu,
    ),
    ("busybox_tftp_fetches", busybox_fetches),
    ("perls_net_tftp_fetches", perl_fetches),
    ("names_of_loaders_lead_to_files", names_of_loaders),
];

/// Files of every kind of end: none, a full last block, a short one, and a block number that wraps.
const FILES: [&str; 4] = ["os/empty.bin", "os/block.bin", "os/small.bin", "os/big.bin"];

fn curl_fetches(site: &Site) -> Result<(), String> {
    for file in FILES {
        for options in [&["--tftp-no-options"][..], &[], &["--tftp-blksize", "1468"]] {
            // curl takes a tsize of 0 in an OACK for an error (lib/tftp.c, tftp_parse_option_ack).
            if file == "os/empty.bin" && *options != ["--tftp-no-options"] {
                continue;
            }
            let url = format!("tftp://{SERVER}/{file}");
            let fetched = site.scratch("curl");
            let to = fetched.display().to_string();
            let all = [options, &["-sS", "-o", &to, &url]].concat();
            client(&site.client, "curl", &all)?.succeeds()?;
            // curl writes no file where there is no byte.
            if file != "os/empty.bin" {
                same(&fetched, &site.served(file))?;
                fs::remove_file(&fetched).map_err(|error| error.to_string())?;
            }
        }
    }
    site.await_log(&["tftp", "os/big.bin", "sent"])
}

fn curl_misses(site: &Site) -> Result<(), String> {
    let url = format!("tftp://{SERVER}/pxelinux.cfg/01-52-54-00-00-00-01");
    // 68: "File not found on TFTP server". A silent server would be 28, a time-out.
    client(&site.client, "curl", &["-sS", "-m", "5", &url])?.exits_with(68)?;
    site.await_log(&["missing", "01-52-54-00-00-00-01"])
}

fn curl_fetches_across_small_mtu(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("far");
    let to = fetched.display().to_string();
    let url = format!("tftp://{SERVER_FAR}/os/small.bin");
    // 1468 bytes of content are 1500 of IP packet: the router has to fragment, so DF must not be set.
    let arguments = ["-sS", "--tftp-blksize", "1468", "-o", &to, &url];
    client(&site.far_client, "curl", &arguments)?.succeeds()?;
    same(&fetched, &site.served("os/small.bin"))?;
    // 68 full blocks of two fragments each: the block size was granted, and fragments came through.
    let fragments = site.fragments()?;
    ensure(fragments >= 2 * 68, || {
        format!("the router made {fragments} fragments only")
    })?;
    site.await_log(&["tftp", "os/small.bin", "sent"])
}

fn curl_asks_other_address(site: &Site) -> Result<(), String> {
    // The server listens on 0.0.0.0; curl sends from a connected socket after the first answer, and
    // the route to the far client would choose the server's other address.
    let fetched = site.scratch("other");
    let to = fetched.display().to_string();
    let url = format!("tftp://{SERVER}/os/small.bin");
    client(&site.far_client, "curl", &["-sS", "-o", &to, &url])?.succeeds()?;
    same(&fetched, &site.served("os/small.bin"))
}

fn tftp_hpa_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("hpa");
    let to = fetched.display().to_string();
    for file in ["os/empty.bin", "os/block.bin", "os/small.bin", "os/big.bin"] {
        client(
            &site.client,
            "tftp",
            &["-m", "binary", SERVER, "-c", "get", file, &to],
        )?
        .succeeds()?;
        same(&fetched, &site.served(file))?;
        fs::remove_file(&fetched).map_err(|error| error.to_string())?;
    }
    let menu = "pxelinux.cfg/default";
    client(
        &site.client,
        "tftp",
        &["-m", "ascii", SERVER, "-c", "get", menu, &to],
    )?
    .succeeds()?;
    same(&fetched, &site.served(menu))
}

fn tftp_hpa_writes(site: &Site) -> Result<(), String> {
    let from = site.served("os/block.bin").display().to_string();
    let arguments = ["-m", "binary", SERVER, "-c", "put", &from, "os/new.bin"];
    // tftp-hpa ends with 0 whatever the server says, so its words and the tree are what counts.
    client(&site.client, "tftp", &arguments)?.says("Error code 2")?;
    ensure(!site.served("os/new.bin").exists(), || {
        "a file was written".into()
    })
}

fn atftp_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("atftp");
    let to = fetched.display().to_string();
    for options in [
        &[][..],
        &["--option", "blksize 1428", "--option", "tsize 0"],
        &["--option", "blksize 1428", "--option", "windowsize 8"],
        &["--option", "blksize 512", "--option", "windowsize 64"],
        // More than the link's MTU and the server's bound: less is granted.
        &["--option", "blksize 65464", "--option", "windowsize 1000"],
    ] {
        for file in ["os/block.bin", "os/small.bin", "os/big.bin"] {
            let all = [options, &["--get", "-r", file, "-l", &to, SERVER]].concat();
            client(&site.client, "atftp", &all)?.succeeds()?;
            same(&fetched, &site.served(file))?;
            fs::remove_file(&fetched).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn atftp_fetches_across_small_mtu(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("far-window");
    let to = fetched.display().to_string();
    for window in ["windowsize 1", "windowsize 16"] {
        let options = ["--option", "blksize 1468", "--option", window];
        let all = [
            &options[..],
            &["--get", "-r", "os/big.bin", "-l", &to, SERVER_FAR],
        ]
        .concat();
        client(&site.far_client, "atftp", &all)?.succeeds()?;
        same(&fetched, &site.served("os/big.bin"))?;
        fs::remove_file(&fetched).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn perl_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("perl");
    let to = fetched.display().to_string();
    for blksize in ["512", "1408"] {
        for file in ["os/block.bin", "os/small.bin"] {
            let script = "my ($host, $size, $from, $to) = @ARGV; \
                my $tftp = Net::TFTP->new($host, BlockSize => $size); $tftp->binary; \
                defined $tftp->get($from, $to) or die $tftp->error";
            let arguments = ["-MNet::TFTP", "-e", script, SERVER, blksize, file, &to];
            client(&site.client, "perl", &arguments)?.succeeds()?;
            same(&fetched, &site.served(file))?;
            fs::remove_file(&fetched).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn busybox_fetches(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("busybox");
    let to = fetched.display().to_string();
    for (file, blksize) in [
        ("os/small.bin", "512"),
        ("os/small.bin", "1468"),
        ("os/big.bin", "65464"),
    ] {
        let arguments = ["tftp", "-g", "-b", blksize, "-r", file, "-l", &to, SERVER];
        client(&site.client, "busybox", &arguments)?.succeeds()?;
        same(&fetched, &site.served(file))?;
        fs::remove_file(&fetched).map_err(|error| error.to_string())?;
    }
    let arguments = ["tftp", "-g", "-r", "no/such", "-l", &to, SERVER];
    client(&site.client, "busybox", &arguments)?.exits_with(1)?;
    Ok(())
}

/// The forms in which loaders name a file: with the root's own path, doubled slashes, backslashes, through a link.
fn names_of_loaders(site: &Site) -> Result<(), String> {
    let fetched = site.scratch("name");
    let to = fetched.display().to_string();
    let absolute = site.served("os/small.bin").display().to_string();
    for name in [
        &absolute,
        "//os//small.bin",
        "\\os\\small.bin",
        "bios/os/small.bin",
        "../../os/small.bin",
    ] {
        client(
            &site.client,
            "tftp",
            &["-m", "binary", SERVER, "-c", "get", name, &to],
        )?
        .succeeds()?;
        same(&fetched, &site.served("os/small.bin"))?;
        fs::remove_file(&fetched).map_err(|error| error.to_string())?;
    }
    Ok(())
}
