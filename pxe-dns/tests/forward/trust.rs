//! What is not believed.

use pxe_dns::wire::Section;
use pxe_dns::{ForwardError, Rcode, Record, RecordType, Resolved, Transport};

use crate::fake::{Fake, name, push, push_alias, respond, soa, wire};
use crate::{addresses, ask, asking, forwarder};

/// RFC 5452 section 9.1: a response has to have the query's identifier and question.
#[tokio::test]
async fn responses_to_something_else_are_not_believed() {
    let fake = Fake::start(|query, _| {
        let answer = |address: [u8; 4]| {
            respond(query, |response| {
                push(
                    response,
                    Section::Answer,
                    "a.example",
                    RecordType::A,
                    60,
                    &address,
                );
            })
        };
        let mut other_id = answer([6, 6, 6, 1]);
        other_id[0] ^= 0xff;
        let mut other_question = answer([6, 6, 6, 2]);
        other_question[13] = b'b';
        let mut no_response = answer([6, 6, 6, 3]);
        no_response[2] &= 0x7f;
        no_response[0] ^= 0xff;
        vec![
            other_id,
            other_question,
            no_response,
            vec![0],
            answer([192, 0, 2, 1]),
        ]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(addresses(&resolved), [[192, 0, 2, 1]]);
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn records_that_nobody_asked_for_are_not_passed_on() {
    let fake = Fake::start(|query, _| {
        vec![respond(query, |response| {
            let a = RecordType::A;
            push(
                response,
                Section::Answer,
                "a.example",
                a,
                60,
                &[192, 0, 2, 1],
            );
            push(
                response,
                Section::Answer,
                "bank.example",
                a,
                60,
                &[6, 6, 6, 6],
            );
            push(
                response,
                Section::Answer,
                "a.example",
                RecordType::TXT,
                60,
                b"\x01x",
            );
            push_alias(response, "bank.example", 60, "evil.example");
            push(
                response,
                Section::Authority,
                "example",
                RecordType::NS,
                60,
                &wire("evil.example"),
            );
            push(
                response,
                Section::Authority,
                "other",
                RecordType::SOA,
                60,
                &soa(5),
            );
            push(
                response,
                Section::Additional,
                "bank.example",
                a,
                60,
                &[6, 6, 6, 6],
            );
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    let record = Record::new(name("a.example"), RecordType::A, 60, vec![192, 0, 2, 1]);
    assert_eq!(resolved, Resolved::new(Rcode::NOERROR, vec![record]));
    // Nor is anything of it kept under its name.
    let other = ask(&forwarder, "bank.example", RecordType::CNAME)
        .await
        .expect("an answer");
    assert_eq!(fake.asked().len(), 2);
    assert_eq!(other.answers.len(), 1);
}

#[tokio::test]
async fn aliases_without_end_are_no_answer() {
    let endless = Fake::start(|query, _| {
        let label = query.name.labels().next().unwrap_or_default();
        let number: u32 = String::from_utf8_lossy(label).parse().unwrap_or(0);
        let target = format!("{}.example", number + 1);
        let owner = query.name.to_string();
        vec![respond(query, |response| {
            push_alias(response, &owner, 60, &target);
        })]
    })
    .await;
    let forwarder_ = forwarder(&[&endless]);
    let answer = ask(&forwarder_, "0.example", RecordType::A).await;
    assert!(matches!(answer, Err(ForwardError::Failed(_))), "{answer:?}");
    assert!(endless.asked().len() <= 8, "{}", endless.asked().len());

    let circle = Fake::start(|query, _| {
        vec![respond(query, |response| {
            push_alias(response, "a.example", 60, "b.example");
            push_alias(response, "b.example", 60, "a.example");
        })]
    })
    .await;
    let long = Fake::start(|query, _| {
        vec![respond(query, |response| {
            for number in 0..100 {
                let owner = if number == 0 {
                    "a".to_owned()
                } else {
                    number.to_string()
                };
                let target = (number + 1).to_string();
                push_alias(response, &owner, 60, &target);
            }
        })]
    })
    .await;
    for (fake, text) in [(&circle, "a.example"), (&long, "a")] {
        let answer = ask(&forwarder(&[fake]), text, RecordType::A).await;
        assert!(matches!(answer, Err(ForwardError::Failed(_))), "{answer:?}");
        assert_eq!(fake.asked().len(), 1);
    }
}

#[tokio::test]
async fn private_addresses_are_removed_where_that_is_wished() {
    let answer = |query: &pxe_dns::wire::Query<'_>, _: Transport| {
        let owner = query.name.to_string();
        vec![respond(query, |response| {
            for address in [
                [10, 0, 0, 1],
                [127, 0, 0, 1],
                [100, 64, 0, 1],
                [192, 0, 2, 1],
            ] {
                push(
                    response,
                    Section::Answer,
                    &owner,
                    RecordType::A,
                    60,
                    &address,
                );
            }
        })]
    };
    let (outside, corp) = (Fake::start(answer).await, Fake::start(answer).await);
    let build = |stop| {
        asking(&[&outside])
            .zone(name("corp.example"), [corp.upstream()])
            .stop_rebinding(stop)
            .build()
            .expect("a forwarder")
    };
    for (stop, text, count) in [
        (false, "www.example", 4),
        (true, "www.example", 1),
        (true, "www.corp.example", 4),
    ] {
        let resolved = ask(&build(stop), text, RecordType::A)
            .await
            .expect("an answer");
        assert_eq!(addresses(&resolved).len(), count, "{text}");
    }
}

#[tokio::test]
async fn the_case_of_letters_is_drawn_by_lot_where_that_is_wished() {
    let text = "abcdefghijklmnopqrstuvwxyz.example.";
    let keeping = Fake::with_address([192, 0, 2, 1]).await;
    let forgetting = Fake::start(move |query, transport| {
        let mut said = respond(query, |response| {
            push(
                response,
                Section::Answer,
                text,
                RecordType::A,
                60,
                &[192, 0, 2, 1],
            );
        });
        if transport == Transport::Udp {
            said[12..12 + 36].make_ascii_lowercase();
        }
        vec![said]
    })
    .await;
    for (fake, transports) in [
        (&keeping, vec![Transport::Udp]),
        (&forgetting, vec![Transport::Udp, Transport::Tcp]),
    ] {
        let builder = asking(&[fake]).case_randomization(true);
        let forwarder = builder.build().expect("a forwarder");
        let resolved = ask(&forwarder, text, RecordType::A)
            .await
            .expect("an answer");
        let owners: Vec<String> = resolved
            .answers
            .iter()
            .map(|r| r.owner.to_string())
            .collect();
        assert_eq!(owners, [text]);
        assert_eq!(fake.transports(), transports);
        assert_ne!(fake.asked()[0].name, text);
    }
}
