//! Configurations, good and bad, as people write them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pxe_dhcp::{ClientArch, Mode, ReservedFor};
use pxe_server::{Config, LogFormat, LogLevel};

const TUTORIAL: &str = include_str!("../tutorial.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("tutorial.toml")).map_err(|error| error.to_string())
}

/// The tutorial's configuration with one thing replaced, and the one error that this gives.
#[track_caller]
fn error(from: &str, to: &str) -> String {
    assert_eq!(TUTORIAL.matches(from).count(), 1, "{from} is there once");
    parse(&TUTORIAL.replace(from, to)).expect_err("invalid")
}

#[test]
fn the_tutorial_takes_25_lines_and_means_what_its_six_daemons_do() {
    assert!(TUTORIAL.lines().count() <= 25);
    let config = parse(TUTORIAL).expect("valid");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let server = Ipv4Addr::new(192, 168, 150, 1);
    let dhcp = config.dhcp.expect("configured");
    assert_eq!((dhcp.interfaces, dhcp.port), (vec!["br1".to_owned()], 67));
    let [subnet] = &dhcp.subnets[..] else {
        panic!("one subnet");
    };
    assert_eq!(subnet.network.to_string(), "192.168.150.0/24");
    let pool = Ipv4Addr::new(192, 168, 150, 30)..=Ipv4Addr::new(192, 168, 150, 50);
    assert_eq!(subnet.pools, [pool]);
    assert_eq!(
        (&subnet.routers[..], &subnet.dns_servers[..]),
        (&[server][..], &[server][..])
    );
    assert_eq!(subnet.domain_name.as_deref(), Some("matrix.lan"));
    assert_eq!(
        (subnet.lease_seconds, subnet.lease_seconds_max),
        (600, 7200)
    );
    let boot = config.boot.expect("configured");
    assert_eq!(boot.next_server, Some(server));
    assert_eq!(boot.configfile.as_deref(), Some("pxelinux.cfg/default"));
    assert_eq!(boot.files[&ClientArch::UEFI_X86], "efi32/syslinux.efi");
    assert_eq!(boot.files[&ClientArch::UEFI_X64], "efi64/syslinux.efi");
    assert_eq!(boot.default_file.as_deref(), Some("bios/lpxelinux.0"));
    let tftp = config.tftp.expect("configured");
    assert_eq!(tftp.listen, ["192.168.150.1:69".parse().expect("valid")]);
    let [http] = &config.http[..] else {
        panic!("one root");
    };
    let listen: Vec<String> = http.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["192.168.150.1:80", "192.168.150.1:8080"]);
    assert_eq!(http.root.to_string(), "/os");
    assert_eq!(config.tree.root, Path::new("/srv/tftp"));
    let [export] = &config.nfs.expect("configured").exports[..] else {
        panic!("one export");
    };
    assert_eq!(export.path, "/srv/tftp");
    assert_eq!(config.server.user.as_deref(), Some("nobody"));
    assert_eq!(config.server.grace, Duration::from_secs(30));
    assert_eq!(
        (config.log.format, config.log.level),
        (LogFormat::Text, LogLevel::Info)
    );
}

#[test]
fn an_error_names_file_line_value_and_remedy() {
    assert_eq!(
        error("150.30-192.168.150.50", "151.30-192.168.151.50"),
        "tutorial.toml:9:10: dhcp.subnet.pools: 192.168.151.30 is outside 192.168.150.0/24; \
         choose addresses of that network"
    );
}

#[test]
fn impossible_pools_are_refused() {
    let pool = "\"192.168.150.30-192.168.150.50\"";
    for (to, said) in [
        (
            "\"192.168.150.1-192.168.150.50\"",
            "contains 192.168.150.1, which ",
        ),
        (
            "\"192.168.150.0-192.168.150.50\"",
            "contains 192.168.150.0, the network's own address",
        ),
        (
            "\"192.168.150.30-192.168.150.255\"",
            "contains 192.168.150.255, the broadcast address",
        ),
        (
            "\"192.168.150.50-192.168.150.30\"",
            "write 192.168.150.30-192.168.150.50",
        ),
        (
            "\"192.168.150.30-192.168.160.50\"",
            "192.168.160.50 is outside 192.168.150.0/24",
        ),
        (
            "\"192.168.150.30..50\"",
            "is no range of IPv4 addresses; write it as",
        ),
        ("", "there are no addresses to give; add pools"),
        (
            "\"192.168.150.30-192.168.150.50\", \"192.168.150.50\"",
            "192.168.150.50 overlaps 192.168.150.30-192.168.150.50; give each address once",
        ),
    ] {
        let error = error(pool, to);
        assert!(
            error.starts_with("tutorial.toml:9:") && error.contains(said),
            "{to}: {error}"
        );
    }
}

#[test]
fn impossible_networks_are_refused() {
    for (to, said) in [
        (
            "192.168.150.1/24",
            "192.168.150.1/24 is an address in a network, not a network; write 192.168.150.0/24",
        ),
        (
            "192.168.150.0",
            "is no IPv4 network; write it as 192.168.150.0/24",
        ),
        ("192.168.150.0/33", "is no IPv4 network"),
        (
            "192.168.150.30/32",
            "192.168.150.30/32 cannot be served; choose a prefix length of 1 to 30",
        ),
    ] {
        let error = error("192.168.150.0/24\"", &format!("{to}\""));
        assert!(
            error.starts_with("tutorial.toml:8:11: dhcp.subnet.network: "),
            "{error}"
        );
        assert!(error.contains(said), "{to}: {error}");
    }
    let twice = TUTORIAL.replace(
        "[boot]",
        "[[dhcp.subnet]]\nnetwork = \"192.168.0.0/16\"\npools = \"192.168.1.1\"\n[boot]",
    );
    let error = parse(&twice).expect_err("they overlap");
    assert!(
        error.contains("192.168.0.0/16 overlaps 192.168.150.0/24"),
        "{error}"
    );
}

#[test]
fn a_wrong_architecture_gets_a_suggestion() {
    for (name, meant) in [
        ("uefi-64", "did you mean uefi-x64?"),
        ("bios", "did you mean x86-bios?"),
        ("EFI64", "did you mean uefi-x64?"),
        ("defautl", "did you mean default?"),
        ("toaster", "valid: default, x86-bios, "),
    ] {
        let error = error("uefi-x86 =", &format!("{name} ="));
        let said = format!("boot.files.{name}: {name} is no architecture; {meant}");
        assert!(
            error.starts_with("tutorial.toml:18:") && error.contains(&said),
            "{error}"
        );
    }
}

#[test]
fn firmware_that_boots_by_http_needs_a_url() {
    assert_eq!(
        error("uefi-x86 =", "uefi-x64-http ="),
        "tutorial.toml:18:27: boot.files.uefi-x64-http: \"efi32/syslinux.efi\" is no URL, and such \
         firmware boots by HTTP only; write http://{server}/efi32/syslinux.efi"
    );
    let two = error("uefi-x86 =", "uefi-ebc =");
    assert!(two.contains("is treated as uefi-x64, which has"), "{two}");
}

#[test]
fn lease_times_must_not_cross() {
    assert_eq!(
        error("lease_seconds_max = 7200", "lease_seconds_max = 300"),
        "tutorial.toml:14:21: dhcp.subnet.lease_seconds_max: 300 is less than lease_seconds, \
         which is 600; make it at least as long"
    );
    assert!(error("lease_seconds = 600", "lease_seconds = 0").contains("0 is out of range"));
    // Where one is given, the other follows.
    let only = |line: &str| {
        let text = TUTORIAL.replace("lease_seconds = 600\nlease_seconds_max = 7200", line);
        let config = parse(&text).expect("valid");
        let subnet = &config.dhcp.expect("configured").subnets[0];
        (subnet.lease_seconds, subnet.lease_seconds_max)
    };
    assert_eq!(only(""), (3600, 86_400));
    assert_eq!(only("lease_seconds = 100000"), (100_000, 100_000));
    assert_eq!(only("lease_seconds_max = 600"), (600, 600));
}

#[test]
fn addresses_to_listen_at_for_dhcp_are_ours_alone() {
    let listen = |addresses: &str| error("interface = \"br1\"", &format!("listen = [{addresses}]"));
    assert_eq!(
        listen("\"192.168.150.40\""),
        "tutorial.toml:9:10: dhcp.subnet.pools: 192.168.150.30-192.168.150.50 contains \
         192.168.150.40, which dhcp.listen says is taken; leave it out, or a machine may get it"
    );
    assert_eq!(
        listen("\"192.168.150.2\", \"192.168.150.2\""),
        "tutorial.toml:6:28: dhcp.listen: 192.168.150.2 is named twice; name it once"
    );
    let broadcast = listen("\"255.255.255.255\"");
    assert!(broadcast.contains("dhcp.listen: 255.255.255.255 is no machine's address; "));
}

#[test]
fn two_listeners_cannot_share_an_address() {
    let http = "\"192.168.150.1:80\", \"192.168.150.1:8080\"";
    let same = error(http, "\"192.168.150.1:80\", \"192.168.150.1:80\"");
    assert_eq!(
        same,
        "tutorial.toml:22:31: http.listen: two listeners have 192.168.150.1:80; remove one of them"
    );
    let wildcard = error(http, "\"192.168.150.1:80\", \"0.0.0.0:80\"");
    assert!(
        wildcard.contains("0.0.0.0:80 and 192.168.150.1:80 cannot both"),
        "{wildcard}"
    );
    let both_families = error(http, "\"192.168.150.1:80\", \"[::]:80\"");
    assert!(both_families.contains("[::]:80 and 192.168.150.1:80 cannot both"));
    assert!(parse(&TUTORIAL.replace(http, "\"0.0.0.0:80\", \"[fe80::1]:80\"")).is_ok());
    // In two tables as well; while TFTP and HTTP may have one number.
    let tables = TUTORIAL.replace("[http]", "[[http]]").replace(":69", ":80")
        + "[[http]]\nlisten = \"192.168.150.1:8080\"\n";
    let error = parse(&tables).expect_err("twice");
    assert!(error.starts_with("tutorial.toml:27:"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(parse(&TUTORIAL.replace(":69", ":80")).is_ok());
}

#[test]
fn listeners_need_address_and_port() {
    let error = error("192.168.150.1:69", "192.168.150.1");
    assert!(
        error.ends_with("192.168.150.1 has no port; write 192.168.150.1:69"),
        "{error}"
    );
    let error = self::error("192.168.150.1:69", "tftp.matrix.lan:69");
    assert!(
        error.contains("is no address and port; write it as"),
        "{error}"
    );
}

#[test]
fn unknown_keys_are_named_with_the_nearest_valid_one() {
    assert_eq!(
        error("dns_servers", "dns_server"),
        "tutorial.toml:11:1: dhcp.subnet.dns_server: unknown key dns_server; \
         did you mean dns_servers?"
    );
    let error = error("[tftp]", "[tfpt]");
    assert_eq!(
        error,
        "tutorial.toml:19:2: tfpt: unknown key tfpt; did you mean tftp?"
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
    let text = TUTORIAL
        .replace("br1\"", "bridge number one\"")
        .replace("root = \"/os\"", "root = \"/../os\"")
        .replace("lease_seconds = 600", "lease_seconds = -1")
        .replace("matrix.lan", "matrix..lan");
    let error = parse(&text).expect_err("invalid");
    let keys: Vec<&str> = error
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(
        keys,
        [
            "dhcp.interface",
            "dhcp.subnet.domain_name",
            "dhcp.subnet.lease_seconds",
            "http.root"
        ]
    );
}

#[test]
fn what_cannot_work_together_is_refused() {
    let error = parse("[tree]\nroot = \"x\"\n").expect_err("serves nothing");
    assert_eq!(
        error,
        "tutorial.toml: nothing to serve; add [dhcp], [tftp], [http], [nfs] or [dns]"
    );
    let text = "[tree]\nroot = \"x\"\n[tftp]\n[boot]\nfiles = { default = \"x\" }\n";
    let error = parse(text).expect_err("no DHCP");
    assert!(
        error.starts_with("tutorial.toml:4:2: boot: boot files are told by DHCP"),
        "{error}"
    );
    let text = "[tree]\nroot = \"x\"\n[tftp]\nsingle_port = true\nport_range = \"1-2\"\n";
    let error = parse(text).expect_err("contradiction");
    assert!(
        error.contains("has no meaning with single_port = true"),
        "{error}"
    );
    let error = parse("[tftp]\n").expect_err("no tree");
    assert!(
        error.contains("add root = \"/srv/tftp\" to [tree]"),
        "{error}"
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let warned = |from: &str, to: &str, said: &str| {
        let config = parse(&TUTORIAL.replace(from, to)).expect("valid");
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings.iter().any(|warning| warning.contains(said)),
            "{warnings:?}"
        );
    };
    warned(
        "routers = [\"192.168.150.1\"]",
        "routers = \"10.0.0.1\"",
        "outside 192.168.150.0/24",
    );
    let long = format!("uefi-x86 = \"{}\"", "x".repeat(128));
    warned(
        "uefi-x86 = \"efi32/syslinux.efi\"",
        &long,
        "128 bytes do not fit the field",
    );
    warned(
        "configfile =",
        "path_prefix =",
        "end it with a slash: pxelinux.cfg/default/",
    );
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n[tftp]\n";
    let config = Config::parse(text, Path::new("/etc/pxe/server.toml")).expect("valid");
    assert_eq!(config.tree.root, Path::new("/etc/pxe/tree"));
    assert_eq!(
        config.server.control,
        Some(PathBuf::from("/etc/pxe/control.sock"))
    );
    let none = text.replace("control.sock", "");
    let config = Config::parse(&none, Path::new("server.toml")).expect("valid");
    assert_eq!(
        (config.server.control, config.tree.root),
        (None, PathBuf::from("tree"))
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/server.toml")).expect_err("missing");
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/server.toml: cannot read the configuration")
    );
}

/// The README's reference shows every key with its default: it must be one, and be complete.
#[test]
fn the_readmes_reference_shows_every_default() {
    let readme = include_str!("../README.md");
    let reference = readme
        .split("```toml\n")
        .filter_map(|part| part.split("```").next())
        .find(|block| block.contains("grace_seconds"))
        .expect("the README has the reference");
    let full = parse(reference).expect("valid");
    let bare = "[tree]\nroot = \"/srv/tftp\"\n[dhcp]\ninterface = \"br1\"\n[[dhcp.subnet]]\n\
        network = \"192.168.150.0/24\"\npools = [\"192.168.150.30-192.168.150.50\"]\n[boot]\n\
        files = { default = \"bios/lpxelinux.0\" }\n[tftp]\n[http]\n";
    let bare = parse(bare).expect("valid");
    assert_eq!(full.server, bare.server);
    assert_eq!(full.tree, bare.tree);
    assert_eq!(full.dhcp, bare.dhcp);
    assert_eq!(full.boot, bare.boot);
    assert_eq!(full.tftp, bare.tftp);
    assert_eq!(full.http, bare.http);
    assert_eq!(full.menu, bare.menu);
    assert_eq!(full.log, bare.log);
}

/// Whoever takes the marks of comments away gets a valid configuration, too.
#[test]
fn what_the_readmes_reference_comments_out_is_valid() {
    let readme = include_str!("../README.md");
    let blocks = readme.split("```toml\n");
    let reference = blocks
        .filter_map(|part| part.split("```").next())
        .find(|block| block.contains("grace_seconds"))
        .expect("the README has the reference");
    let key = |line: &str| {
        let name = line.split([' ', '=']).next().unwrap_or_default();
        let is_key = line.contains(" = ")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        is_key || line.starts_with("[[")
    };
    // These say something else than another key.
    let others = [
        "interfaces",
        "deny",
        "none",
        "menu",
        "bootp_lease_seconds",
        "client_id",
        "uuid",
        "circuit_id",
        "remote_id",
    ];
    let all: Vec<&str> = reference
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if key(rest) && !others.iter().any(|other| rest.starts_with(other)) => rest,
            _ => line,
        })
        .collect();
    let config = parse(&all.join("\n")).expect("valid");
    let dhcp = config.dhcp.expect("configured");
    let [host] = &dhcp.hosts[..] else {
        panic!("one host");
    };
    assert_eq!(host.boot.file.as_deref(), Some("pc-7/grubx64.efi"));
    assert_eq!(host.boot.next_server, Some([192, 168, 150, 2].into()));
    let codes: Vec<u8> = host.options.iter().map(|option| option.code.0).collect();
    assert_eq!((codes, host.lease_seconds), (vec![26, 17], Some(86_400)));
}

#[test]
fn a_host_is_one_machine_with_one_address() {
    let host = |keys: &str| {
        let text = format!("{TUTORIAL}\n[[dhcp.host]]\nname = \"first\"\n{keys}\n");
        parse(&text).map(|config| config.dhcp.expect("configured").hosts)
    };
    let mac = "mac = \"52:54:00:12:34:56\"\n";
    let hosts = host(&format!("{mac}address = \"192.168.150.7\"")).expect("valid");
    assert_eq!(hosts[0].address, Some([192, 168, 150, 7].into()));
    let both = host("circuit_id = \"port 7\"\nremote_id = \"hex:0a0b\"").expect("valid");
    let port = ReservedFor::RelayPort {
        circuit_id: b"port 7".to_vec(),
        remote_id: vec![10, 11],
    };
    assert_eq!(both[0].client, port);
    for (keys, expected) in [
        ("", "dhcp.host: nothing says which machine it is"),
        (
            "mac = \"52:54\"",
            "dhcp.host.mac: \"52:54\" is no hardware address",
        ),
        ("uuid = \"7e57\"", "dhcp.host.uuid: \"7e57\" is not a UUID"),
        (
            "mac = \"52:54:00:12:34:56\"\nuuid = \"7e57\"",
            "dhcp.host.uuid: mac says which machine it is already",
        ),
        (
            "client_id = \"hex:0\"",
            "dhcp.host.client_id: \"hex:0\" is no identifier",
        ),
        (
            &format!("{mac}address = \"10.0.0.1\""),
            "dhcp.host.address: 10.0.0.1 is no machine's address in any dhcp.subnet",
        ),
        (
            &format!("{mac}address = \"192.168.150.1\""),
            "dhcp.host.address: 192.168.150.1 is taken, boot.next_server says",
        ),
        (
            &format!("{mac}group = \"lab\""),
            "dhcp.host.group: there is no group lab; add",
        ),
        (
            &format!("{mac}boot = \"x\"\ndeny = true"),
            "dhcp.host.boot: deny says that it boots nothing",
        ),
        (
            &format!("{mac}host_name = \"a b\""),
            "dhcp.host.host_name: \"a b\" is no name",
        ),
        (
            &format!("{mac}[[dhcp.host]]\n{mac}"),
            "dhcp.host: 52:54:00:12:34:56 is that of host first, too",
        ),
        (
            &format!("{mac}[dhcp.host.options]\nroutres = \"10.0.0.1\""),
            "dhcp.host.options.routres: routres is the name of no option; did you mean routers?",
        ),
        (
            &format!("{mac}host_name = \"pc\"\noptions = {{ host-name = \"other\" }}"),
            "dhcp.host.options: option 12 is written twice: host_name is that, too",
        ),
        (
            &format!("{mac}group = \"lan\"\n[[dhcp.group]]\nname = \"lab\""),
            "dhcp.host.group: there is no group lan; did you mean lab?",
        ),
    ] {
        let error = host(keys).expect_err("invalid");
        assert!(error.contains(expected), "{keys}: {error}");
    }
}

#[test]
fn another_server_may_give_the_addresses() {
    let proxy = "[tree]\nroot = \"/srv/tftp\"\n[dhcp]\nmode = \"proxy\"\ninterface = \"br1\"\n\
        [boot]\nfiles = { default = \"bios/lpxelinux.0\" }\n[tftp]\n";
    let config = parse(proxy).expect("complete");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.dhcp.expect("configured").mode, Mode::Proxy);
    let network = "[[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\n";
    parse(&format!("{proxy}{network}")).expect("a network may be told to the policy");
    let pools = parse(&format!("{proxy}{network}pools = \"10.0.0.9\"\n")).expect_err("invalid");
    assert!(
        pools.contains("dhcp.subnet.pools: another server gives the addresses in proxy mode"),
        "{pools}"
    );
    let host = "[[dhcp.host]]\nmac = \"52:54:00:12:34:56\"\n";
    parse(&format!("{proxy}{host}boot = \"x\"\n")).expect("it boots something else");
    let address = parse(&format!("{proxy}{host}address = \"10.0.0.9\"\n")).expect_err("invalid");
    assert!(
        address.contains("dhcp.host.address: another server gives the addresses in proxy mode"),
        "{address}"
    );
    let slip = parse(&proxy.replace("\"proxy\"", "\"proxi\"")).expect_err("invalid");
    assert!(
        slip.contains("dhcp.mode: \"proxi\" is not known; did you mean proxy?"),
        "{slip}"
    );
}

#[test]
fn an_interface_needs_no_network_where_another_server_gives_the_addresses() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().display();
    let warnings = |dhcp: &str| {
        let text = format!(
            "[tree]\nroot = \"{root}\"\n[dhcp]\ninterface = \"lo\"\n{dhcp}[boot]\nfiles = {{}}\n\
             ipxe = \"http://10.0.0.1/boot.ipxe\"\n"
        );
        let config = parse(&text).expect("complete");
        let warnings = config.check_machine().expect("no error");
        let warnings = warnings.iter().map(ToString::to_string);
        warnings
            .filter(|warning| warning.starts_with("dhcp.interface"))
            .collect::<Vec<_>>()
    };
    let network = "[[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\npools = \"10.0.0.9\"\n";
    let said = warnings(network).concat();
    assert!(said.contains("lo has no address in any network"), "{said}");
    assert_eq!(warnings("mode = \"proxy\"\n"), [""; 0]);
}

#[test]
fn times_and_ranges_of_a_subnet_are_compared() {
    for (key, expected) in [
        (
            "lease_seconds_min = 601",
            "dhcp.subnet.lease_seconds_min: 601 is more than lease_seconds",
        ),
        (
            "t1_seconds = 700",
            "dhcp.subnet.t1_seconds: t1 is 700, t2 is 525, and lease_seconds is 600",
        ),
        (
            "bootp = \"dynamik\"",
            "dhcp.subnet.bootp: \"dynamik\" is not known; did you mean dynamic?",
        ),
        (
            "server_ip = \"0.0.0.0\"",
            "dhcp.subnet.server_ip: 0.0.0.0 is no server's address",
        ),
        (
            "exclude = \"10.0.0.1\"",
            "dhcp.subnet.exclude: 10.0.0.1 is outside 192.168.150.0/24",
        ),
        (
            "options = { routers = \"192.168.150.1\" }",
            "dhcp.subnet.options: option 3 is written twice: routers is that, too",
        ),
    ] {
        let error = error(
            "lease_seconds = 600",
            &format!("lease_seconds = 600\n{key}"),
        );
        assert!(error.contains(expected), "{key}: {error}");
    }
    let excluded = "lease_seconds = 600\nexclude = \"192.168.150.40-192.168.150.44\"";
    let config = parse(&TUTORIAL.replace("lease_seconds = 600", excluded)).expect("valid");
    assert_eq!(
        config.dhcp.expect("configured").subnets[0].exclusions.len(),
        1
    );
}

#[test]
fn a_class_is_some_machines_and_tells_them_something() {
    let class = |keys: &str| {
        let text = format!("{TUTORIAL}\n[[dhcp.class]]\n{keys}\n");
        parse(&text).map(|config| config.dhcp.expect("configured").classes)
    };
    let (name, when) = (
        "name = \"phones\"\n",
        "when = { vendor_class = \"Acme*\" }\n",
    );
    let classes = class(&format!("{name}{when}lease_seconds = 600")).expect("valid");
    assert_eq!((classes.len(), classes[0].name.as_str()), (1, "phones"));
    for (keys, expected) in [
        (when.to_owned(), "dhcp.class.name: the class has no name"),
        (
            format!("{name}lease_seconds = 600"),
            "dhcp.class.when: every machine is of this class",
        ),
        (
            format!("{name}{when}"),
            "dhcp.class: the class says nothing to its machines",
        ),
        (
            format!("{name}lease_seconds = 5\nwhen = {{ vendor = \"x\" }}"),
            "dhcp.class.when.vendor: ",
        ),
    ] {
        let error = class(&keys).expect_err("invalid");
        assert!(error.contains(expected), "{keys}: {error}");
    }
}

/// The translation of a dhcpd.conf means what that says.
#[test]
fn the_translation_of_a_dhcpd_conf_is_valid() {
    let page = include_str!("../../../docs/from-dhcpd.md");
    let blocks = page.split("```toml\n").skip(1);
    let translation = blocks.filter_map(|part| part.split("```").next()).next();
    let config = parse(translation.expect("the page has one")).expect("valid");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let dhcp = config.dhcp.expect("configured");
    let [host] = &dhcp.hosts[..] else {
        panic!("one host");
    };
    assert_eq!(host.address, Some([192, 168, 150, 7].into()));
    assert_eq!(host.boot.file.as_deref(), Some("lab/pxelinux.0"));
}

/// A table with an unknown key says which keys it could have.
#[test]
fn the_readmes_reference_names_every_key() {
    let readme = include_str!("../README.md");
    for table in [
        "server",
        "tree",
        "dhcp",
        "dhcp.limits",
        "dhcp.subnet",
        "dhcp.class",
        "dhcp.group",
        "dhcp.host",
        "boot",
        "boot.rule",
        "tftp",
        "http",
        "nfs",
        "nfs.export",
        "dns",
        "dns.zone",
        "images",
        "menu",
        "log",
    ] {
        let error = parse(&format!("[{table}]\nqqqqqqqqqqqq = 1\n")).expect_err("unknown key");
        let (_, keys) = error.split_once("valid here: ").expect("no name is near");
        for key in keys.split(", ") {
            let is_named = readme.contains(&format!("\n{key} ="))
                || readme.contains(&format!("\n# {key} ="))
                || readme.contains(&format!("[[{table}.{key}]]"))
                || readme.contains(&format!("[dhcp.{key}]"));
            assert!(is_named, "{table}.{key}");
        }
    }
}

#[test]
fn what_a_menu_cannot_be_is_refused() {
    let menu = |menu: &str, http: &str| {
        parse(&format!(
            "[tree]\nroot = \"x\"\n[tftp]\n{http}[menu]\n{menu}\n"
        ))
    };
    for (text, said) in [
        ("files = \"http\"", "no file is served by http; add [http]"),
        ("files = \"nfs\"", "\"nfs\" is not known"),
        ("server = \"255.255.255.255\"", "is no server's address"),
        ("pxelinux = \"\"", "menu.pxelinux: is empty"),
        (
            "templates = [\"\"]",
            "menu.templates: \"\": a pattern cannot be empty",
        ),
        ("templates = [\"../x\"]", "leads out of the tree"),
        ("template = \"x\"", "did you mean templates?"),
    ] {
        let error = menu(text, "").expect_err(text);
        assert!(error.contains(said), "{error}");
    }
    let config = menu(
        "files = \"http\"\ntemplates = \"/pxelinux.cfg/*\"",
        "[http]\n",
    );
    let config = config.expect("valid");
    assert!(config.menu.templates[0].matches(b"pxelinux.cfg/default"));
    let config = menu("convert = false\npxelinux = \"x\"", "").expect("valid");
    let warning = config.warnings[0].to_string();
    assert!(warning.contains("as no menu is converted"), "{warning}");
}

/// Whatever an editor does to a file, it is valid or its errors can be shown.
#[test]
fn no_edit_of_a_configuration_panics() {
    let mut edits = Vec::new();
    for (at, char) in TUTORIAL.char_indices().step_by(5) {
        let (before, after) = (&TUTORIAL[..at], &TUTORIAL[at + char.len_utf8()..]);
        edits.push(format!("{before}{after}"));
        for other in ["0", "-", "\"", "\n", "é", "[", "\0"] {
            edits.push(format!("{before}{other}{after}"));
        }
        edits.push(before.to_owned());
    }
    let mut valid = 0;
    for text in &edits {
        match parse(text) {
            Ok(_) => valid += 1,
            Err(error) => assert!(error.starts_with("tutorial.toml:"), "{error}"),
        }
    }
    // Edits in comments and names leave it valid, most others do not.
    assert!(
        (edits.len() / 10..edits.len() / 2).contains(&valid),
        "{valid} of {}",
        edits.len()
    );
}
