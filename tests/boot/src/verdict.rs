//! What must be true of a boot's traffic, beyond the phases: a boot that reached its system in spite of a fault is no success.

use serde_json::Value;

use crate::matrix::{Expect, Firmware, Protocol, ServerDefinition};
use crate::network::ADDRESS;
use crate::wire::{Conversations, Request};

/// Says what was wrong with the traffic, if something was.
pub(crate) fn judge(
    firmware: &Firmware,
    server: &ServerDefinition,
    expect: &Expect,
    names: &[String],
    conversations: &Conversations,
) -> Result<(), String> {
    let faults = [
        impostor(firmware, conversations),
        unanswered(conversations),
        repetition(expect, conversations),
        interference(server, conversations),
        unnamed(names, conversations),
    ];
    match faults.into_iter().flatten().next() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Why the machine that asked is not the firmware of the cell.
fn impostor(firmware: &Firmware, conversations: &Conversations) -> Option<String> {
    let discover = conversations.discover.as_ref()?;
    let wrong = |option: u8, wanted: Option<&str>, seen: Option<&str>| {
        (wanted != seen).then(|| {
            format!("DHCPDISCOVER option {option} is {seen:?}, this firmware sends {wanted:?}")
        })
    };
    wrong(
        60,
        Some(&firmware.vendor_class),
        discover.vendor_class.as_deref(),
    )
    .or_else(|| {
        wrong(
            77,
            firmware.user_class.as_deref(),
            discover.user_class.as_deref(),
        )
    })
}

/// A client that waits for an answer in vain waits for minutes: it may boot all the same, but not from a good server.
fn unanswered(conversations: &Conversations) -> Option<String> {
    let mut requests = conversations.requests.iter();
    let request = requests.find(|request| request.answer.is_none())?;
    Some(request.to_string())
}

/// Which file was not sent that the wire tells nothing of, by the log of the server, a JSON object a line. What came in
/// clear is seen on the wire, so a file that is in the log alone came over TLS.
pub(crate) fn unlogged(
    expect: &Expect,
    conversations: &Conversations,
    log: &str,
) -> Result<(), String> {
    let hidden = expect.steps().into_iter();
    for step in hidden.filter(|step| step.protocol == Protocol::Https) {
        let is_path = |path: &str| step.is_for(path);
        let in_clear =
            |request: &Request| request.protocol != Protocol::Https && is_path(&request.path);
        if let Some(request) = conversations
            .requests
            .iter()
            .find(|request| in_clear(request))
        {
            return Err(format!("{step} was asked for in clear: {request}"));
        }
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let is_sent =
            |line: Value| line["event"] == "sent" && line["file"].as_str().is_some_and(is_path);
        if !lines.into_iter().any(is_sent) {
            return Err(format!("{step} is not in the server's log"));
        }
    }
    Ok(())
}

/// Why the machine did not find a name by our own server.
fn unnamed(names: &[String], conversations: &Conversations) -> Option<String> {
    let lookups = &conversations.lookups;
    if let Some(lookup) = lookups.iter().find(|lookup| lookup.answer.is_none()) {
        return Some(lookup.to_string());
    }
    let is_found = |name: &&String| {
        let mut ours = lookups
            .iter()
            .filter(|lookup| *lookup.server.ip() == ADDRESS);
        ours.any(|lookup| lookup.finds(name))
    };
    let missing = names.iter().find(|name| !is_found(name))?;
    let asked: Vec<String> = lookups.iter().map(ToString::to_string).collect();
    Some(format!(
        "the address of {missing} was not asked for and told: {asked:?}"
    ))
}

/// iPXE that is told to load iPXE goes round in a circle, for ever or until somebody presses a key.
fn repetition(expect: &Expect, conversations: &Conversations) -> Option<String> {
    let served = |step| {
        let requests = conversations.requests.iter();
        requests
            .filter(|request| request.is(step) && request.is_served())
            .count()
    };
    let times = served(&expect.loader);
    (times > 1).then(|| format!("{} was loaded {times} times", expect.loader))
}

/// Each server must keep to its part: one gives addresses, and ours alone says what to boot.
fn interference(server: &ServerDefinition, conversations: &Conversations) -> Option<String> {
    let lessor = server.leases_from.unwrap_or(ADDRESS);
    conversations.replies.iter().find_map(|reply| {
        let from = reply.from;
        if reply.leases && from != lessor {
            Some(format!("{from} gives addresses, and only {lessor} may"))
        } else if reply.boots && from != ADDRESS {
            Some(format!("{from} says what to boot, and only {ADDRESS} may"))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Step;
    use crate::wire::Reply;
    use crate::wire::tests::{CLIENT, Script, TFTP};
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    const DNSMASQ: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    const ROM: &[u8] = b"PXEClient:Arch:00000:UNDI:002001";

    fn firmware() -> Firmware {
        Firmware {
            about: String::new(),
            packages: Vec::new(),
            emulator: String::new(),
            machine: String::new(),
            nic: String::new(),
            flash: None,
            arguments: Vec::new(),
            nftables: None,
            vendor_class: String::from_utf8_lossy(ROM).into_owned(),
            user_class: None,
            failures: Vec::new(),
        }
    }

    fn server(leases_from: Option<Ipv4Addr>) -> ServerDefinition {
        ServerDefinition {
            about: String::new(),
            packages: Vec::new(),
            leases_from,
            files: BTreeMap::new(),
            prepare: Vec::new(),
            process: Vec::new(),
        }
    }

    fn expect() -> Expect {
        let step = |text: &str| Step::try_from(text.to_owned()).unwrap();
        Expect {
            loader: step("tftp ipxe/undionly.kpxe"),
            menu: step("http boot.ipxe"),
            kernel: step("http linux"),
            initrd: step("http initrd"),
        }
    }

    fn verdict(script: &Script, leases_from: Option<Ipv4Addr>) -> Result<(), String> {
        judge(
            &firmware(),
            &server(leases_from),
            &expect(),
            &[],
            &script.conversations,
        )
    }

    /// A question for an A record, and the header of an answer with so many.
    fn lookup(script: &mut Script, name: &str, server: &str, answers: Option<u8>) {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(label.len() as u8);
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(&[0, 0, 1, 0, 1]);
        script.udp(CLIENT, server, &question);
        if let Some(count) = answers {
            script.udp(server, CLIENT, &[0, 7, 0x81, 0, 0, 1, 0, count, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn names_have_to_be_asked_for_and_told() {
        const OURS: &str = "10.77.0.1:53";
        const OTHERS: &str = "10.77.0.2:53";
        for (name, server, answers, complaint) in [
            ("pxe.lan", OURS, Some(1), None),
            ("PXE.lan", OURS, Some(2), None),
            (
                "pxe.lan",
                OURS,
                None,
                Some("dns pxe.lan type 1 at 10.77.0.1:53: no answer"),
            ),
            ("pxe.lan", OURS, Some(0), Some("the address of pxe.lan")),
            ("pxe.lan", OTHERS, Some(1), Some("the address of pxe.lan")),
            ("pxe", OURS, Some(1), Some("the address of pxe.lan")),
        ] {
            let mut script = Script::default();
            lookup(&mut script, name, server, answers);
            let fault = unnamed(&["pxe.lan".to_owned()], &script.conversations);
            match (fault, complaint) {
                (None, None) => {}
                (Some(said), Some(complaint)) => assert!(said.starts_with(complaint), "{said}"),
                (said, complaint) => panic!("{said:?} instead of {complaint:?}"),
            }
        }
    }

    #[test]
    fn the_firmware_is_known_by_its_discover() {
        let mut script = Script::default();
        script.dhcp(1, &[(60, ROM)]);
        assert_eq!(verdict(&script, None), Ok(()));
        let mut script = Script::default();
        script.dhcp(1, &[(60, ROM), (77, b"iPXE")]);
        let reason = verdict(&script, None).unwrap_err();
        assert!(
            reason.starts_with("DHCPDISCOVER option 77 is Some(\"iPXE\")"),
            "{reason}"
        );
    }

    #[test]
    fn a_request_without_an_answer_fails_the_boot() {
        let mut script = Script::default();
        script.udp(CLIENT, TFTP, b"\0\x01x\0octet\0");
        assert_eq!(verdict(&script, None).unwrap_err(), "tftp x: no answer");
    }

    #[test]
    fn a_loader_that_loads_itself_fails_the_boot() {
        let mut script = Script::default();
        script.tftp_file("ipxe/undionly.kpxe");
        script.http_file("/boot.ipxe");
        assert_eq!(verdict(&script, None), Ok(()));
        script.tftp_file("ipxe/undionly.kpxe");
        assert_eq!(
            verdict(&script, None).unwrap_err(),
            "tftp ipxe/undionly.kpxe was loaded 2 times"
        );
    }

    #[test]
    fn what_comes_by_https_is_in_the_log_and_not_on_the_wire() {
        let mut expect = expect();
        expect.loader = Step::try_from("https ipxe/snponly.efi".to_owned()).unwrap();
        let sent = r#"{"event":"sent","file":"/ipxe/snponly.efi"}"#;
        let script = Script::default();
        let judged = |log: &str| unlogged(&expect, &script.conversations, log);
        assert_eq!(judged(&format!("no JSON\n{sent}\n")), Ok(()));
        for log in [
            "",
            r#"{"event":"missing","file":"/ipxe/snponly.efi"}"#,
            r#"{"event":"sent","file":"/boot.ipxe"}"#,
        ] {
            let fault = judged(log).unwrap_err();
            assert_eq!(fault, "https ipxe/snponly.efi is not in the server's log");
        }
        let mut script = Script::default();
        script.http_file("/ipxe/snponly.efi");
        let fault = unlogged(&expect, &script.conversations, sent).unwrap_err();
        assert!(fault.contains("was asked for in clear"), "{fault}");
    }

    #[test]
    fn each_server_keeps_to_its_part() {
        let reply = |from, leases, boots| Reply {
            from,
            leases,
            boots,
        };
        for (replies, leases_from, complaint) in [
            (vec![reply(ADDRESS, true, true)], None, None),
            (
                vec![reply(DNSMASQ, true, false), reply(ADDRESS, false, true)],
                Some(DNSMASQ),
                None,
            ),
            (
                vec![reply(ADDRESS, true, true)],
                Some(DNSMASQ),
                Some("10.77.0.1 gives addresses"),
            ),
            (
                vec![reply(DNSMASQ, true, true)],
                Some(DNSMASQ),
                Some("10.77.0.2 says what to boot"),
            ),
        ] {
            let mut script = Script::default();
            script.conversations.replies = replies;
            match (verdict(&script, leases_from), complaint) {
                (Ok(()), None) => {}
                (Err(said), Some(complaint)) => assert!(said.starts_with(complaint), "{said}"),
                (said, complaint) => panic!("{said:?} instead of {complaint:?}"),
            }
        }
    }
}
