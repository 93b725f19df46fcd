//! Names of leased machines: DHCP clients of Linux systems say who they are, and resolvers ask.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pxe_test_lab::{Output, Process, run};

use crate::LoneTest;
use crate::client::{client, ensure};
use crate::dhcp_link::{Lan, PATIENCE, SERVER, add_address, mac, text};
use crate::site::await_text;

pub(crate) const TESTS: &[LoneTest] = &[
    ("a_leased_machine_has_a_name_at_once", host_name),
    ("a_leased_machine_has_the_name_of_its_option_81", fqdn),
    ("dhclient_is_told_its_name", dhclient),
    ("a_name_is_one_machines_and_outlives_the_server", conflict),
];

/// A link whose server names what it leases.
fn named(program: &Path) -> Result<Lan, String> {
    let mut lan = Lan::new(program)?;
    let config = lan.configure("10.77.0.30-10.77.0.50")?;
    let mut content = fs::read_to_string(&config).map_err(text)?;
    content.push_str(
        "[[dhcp.host]]\nname = \"printer\"\nmac = \"52:54:00:77:00:09\"\n\
         [dns]\ndomain = \"matrix.lan\"\nserver_name = \"pxe\"\nforward = []\n",
    );
    fs::write(&config, content).map_err(text)?;
    lan.serve_by(&[])?;
    add_address(&lan.other, "10.77.0.200", "eth0")?;
    Ok(lan)
}

/// What dig says in short, asked from the other machine.
fn dig(lan: &Lan, question: &[&str]) -> Result<String, String> {
    let server = format!("@{SERVER}");
    let arguments = [
        &[server.as_str(), "+short", "+tries=1", "+time=2"],
        question,
    ]
    .concat();
    let ran = client(&lan.other, "dig", &arguments)?.succeeds()?;
    Ok(ran.text.trim().to_owned())
}

/// Demands that name and address lead to one another.
fn answers(lan: &Lan, name: &str, address: Ipv4Addr) -> Result<(), String> {
    let found = dig(lan, &[name, "A"])?;
    ensure(found == address.to_string(), || {
        format!("{name} is {found:?}, not {address}:\n{}", lan.log())
    })?;
    let found = dig(lan, &["-x", &address.to_string()])?;
    ensure(found == format!("{name}."), || {
        format!("{address} is {found:?}, not {name}:\n{}", lan.log())
    })
}

/// Demands that there is no such name.
fn is_gone(lan: &Lan, name: &str) -> Result<(), String> {
    let server = format!("@{SERVER}");
    let ran = client(&lan.other, "dig", &[&server, name, "A"])?;
    ran.succeeds()?.says("status: NXDOMAIN").map(drop)
}

fn host_name(program: &Path) -> Result<(), String> {
    let lan = named(program)?;
    let name = "pc-7.matrix.lan";
    is_gone(&lan, name)?;
    let (address, _) = lan.lease(&mac(1), &["-x", "hostname:PC_7"])?;
    // The client ends when it has its ACK, and each question is asked once.
    answers(&lan, name, address)?;
    client(&lan.other, "host", &[name, SERVER])?
        .succeeds()?
        .says(&format!("{name} has address {address}"))?;
    lan.await_log(&["\"named\"", &format!("name {name} -> {address}")])?;
    // The operator's word counts more than the machine's, and of nobody's word is made a WPAD.
    let (printer, _) = lan.lease(&mac(9), &["-x", "hostname:pc-9"])?;
    answers(&lan, "printer.matrix.lan", printer)?;
    is_gone(&lan, "pc-9.matrix.lan")?;
    lan.lease(&mac(3), &["-x", "hostname:wpad"])?;
    is_gone(&lan, "wpad.matrix.lan")?;
    lan.await_log(&["name_refused", "wpad"])?;
    // It gives the address back when it ends.
    lan.lease(&mac(1), &["-x", "hostname:PC_7", "-R"])?;
    lan.await_log(&["\"unnamed\"", name])?;
    is_gone(&lan, name)?;
    lan.end()
}

fn fqdn(program: &Path) -> Result<(), String> {
    let lan = named(program)?;
    for (last, said, name) in [
        (1, "pc1.example.com", "pc1.matrix.lan"),
        (2, "pc2.matrix.lan", "pc2.matrix.lan"),
        (3, "pc3", "pc3.matrix.lan"),
    ] {
        let (address, _) = lan.lease(&mac(last), &["-F", said, "-x", "hostname:other"])?;
        answers(&lan, name, address)?;
    }
    is_gone(&lan, "other.matrix.lan")?;
    lan.end()
}

/// dhclient sends option 81 in wire form or as text, and hands its script what came back.
fn dhclient(program: &Path) -> Result<(), String> {
    let lan = named(program)?;
    for (last, encoded, wants_update) in [(1, "on", "on"), (2, "off", "on"), (3, "on", "off")] {
        let hardware = mac(last);
        lan.client
            .ip(&["link", "set", "eth0", "address", &hardware])?;
        let folder = lan.path(&format!("dhclient{last}"));
        fs::create_dir(&folder).map_err(text)?;
        let path = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "timeout 10;\ninitial-interval 1;\nrequest subnet-mask, fqdn;\n\
             send fqdn.fqdn \"pc{last}.example.com.\";\nsend fqdn.encoded {encoded};\n\
             send fqdn.server-update {wants_update};\n"
        );
        fs::write(path("conf"), config).map_err(text)?;
        let script = format!(
            "#!/bin/sh\ncase $reason in BOUND|REBOOT) ;; *) exit 0 ;; esac\n\
             echo \"bound=$new_ip_address host=$new_fqdn_hostname domain=$new_fqdn_domainname \
             server=$new_fqdn_server_update\" >>{}\n",
            path("report")
        );
        fs::write(path("script"), script).map_err(text)?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path("script"), executable).map_err(text)?;
        let mut command = lan.client.command("dhclient");
        command.args([
            "-4",
            "-d",
            "-v",
            "-cf",
            &path("conf"),
            "-lf",
            &path("leases"),
        ]);
        command.args(["-pf", &path("pid"), "-sf", &path("script"), "eth0"]);
        let log = folder.join("log");
        let mut dhclient = Process::spawn(command, "dhclient", &log, Output::Log)?;
        await_text(&mut dhclient, &log, "bound to ")?;
        let report = fs::read_to_string(path("report")).map_err(text)?;
        let told = format!(" host=pc{last} domain=matrix.lan server=true");
        // dhclient 4.4.3 leaves the dot before the domain of a name in wire form.
        let report = report.replace("domain=.", "domain=");
        ensure(report.contains(&told), || {
            format!("dhclient was told {report}")
        })?;
        let address = report
            .strip_prefix("bound=")
            .and_then(|rest| rest.split(' ').next());
        let address = address.ok_or("no address")?.parse().map_err(text)?;
        answers(&lan, &format!("pc{last}.matrix.lan"), address)?;
        dhclient.terminate()?;
    }
    lan.end()
}

fn conflict(program: &Path) -> Result<(), String> {
    let mut lan = named(program)?;
    let name = "pc7.matrix.lan";
    let says = ["-x", "hostname:pc7"];
    let (first, _) = lan.lease(&mac(1), &says)?;
    // Of two that come in one second the lower address is the first.
    let second_after = Instant::now() + Duration::from_millis(1100);
    while Instant::now() < second_after {
        answers(&lan, name, first)?;
    }
    let (second, _) = lan.lease(&mac(2), &says)?;
    lan.await_log(&["name_conflict", &second.to_string()])?;
    answers(&lan, name, first)?;
    ensure(dig(&lan, &["-x", &second.to_string()])?.is_empty(), || {
        format!("{second} has a name")
    })?;
    restart(&mut lan)?;
    answers(&lan, name, first)?;
    // Its holder goes, and the next in line has it.
    lan.lease(&mac(1), &[&says[..], &["-R"]].concat())?;
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = answers(&lan, name, second) {
        ensure(Instant::now() < deadline, || error)?;
    }
    restart(&mut lan)?;
    answers(&lan, name, second)?;
    let control = lan.path("control.sock").display().to_string();
    let mut release = lan.at_server.command(&program.display().to_string());
    run(release.args([
        "leases",
        "--control",
        &control,
        "release",
        &second.to_string(),
    ]))?;
    is_gone(&lan, name)?;
    lan.end()
}

fn restart(lan: &mut Lan) -> Result<(), String> {
    if let Some(mut server) = lan.server.take() {
        server.terminate()?;
    }
    lan.serve_by(&[])
}
