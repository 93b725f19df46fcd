//! Messages that are no ordinary queries.

use super::message::{A, SOA};
use super::name::Name;

/// The number in the header of each: ordinary queries have others for long.
const ID: u16 = 0xbad;

/// What is odd, and the message.
pub(super) fn messages(origin: &Name) -> Vec<(&'static str, Vec<u8>)> {
    let question = |name: &Name, kind: u16| {
        let mut question = Vec::new();
        name.write(&mut question);
        question.extend([(kind >> 8) as u8, kind as u8, 0, 1]);
        question
    };
    let soa = question(origin, SOA);
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let opt_of = |owner: &[u8], data: &[u8]| {
        let mut opt = owner.to_vec();
        opt.extend([0, 41, 4, 208, 0, 0, 0, 0, 0, data.len() as u8]);
        opt.extend_from_slice(data);
        opt
    };
    // An A record of the zone's name, as prerequisites and the like have them.
    let record = [&question(origin, A)[..], &[0, 0, 0, 0, 0, 4, 10, 0, 0, 1]].concat();
    // A signature with a key that nobody knows (RFC 8945).
    let tsig = [
        &b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0"[..],
        &[0, 0, 0x65, 0, 0, 0, 1, 44, 0, 32],
        &[0; 32],
        &[(ID >> 8) as u8, ID as u8, 0, 0, 0, 0],
    ]
    .concat();
    let opcode = |opcode: u16| opcode << 11;
    let mut messages = Vec::new();
    let mut add = |what, flags: u16, counts: [u16; 4], body: &[&[u8]]| {
        let mut message = ID.to_be_bytes().to_vec();
        message.extend(flags.to_be_bytes());
        message.extend(counts.into_iter().flat_map(u16::to_be_bytes));
        message.extend(body.concat());
        messages.push((what, message));
    };
    add("a response", 0x8000, [1, 0, 0, 0], &[&soa]);
    add("a header alone", 0, [0, 0, 0, 0], &[]);
    add("a header alone with RD", 0x100, [0, 0, 0, 0], &[]);
    add("a header that promises a question", 0, [1, 0, 0, 0], &[]);
    add("an OPT record alone", 0, [0, 0, 0, 1], &[&opt]);
    add("two questions", 0, [2, 0, 0, 0], &[&soa, &soa]);
    add("two questions, one of them there", 0, [2, 0, 0, 0], &[&soa]);
    add(
        "octets after the question",
        0,
        [1, 0, 0, 0],
        &[&soa, b"xyz"],
    );
    add(
        "a question cut off",
        0,
        [1, 0, 0, 0],
        &[soa.get(..soa.len() - 1).unwrap_or_default()],
    );
    add(
        "a pointer to itself",
        0,
        [1, 0, 0, 0],
        &[b"\xc0\x0c\0\x06\0\x01"],
    );
    add(
        "a label of another kind",
        0,
        [1, 0, 0, 0],
        &[b"\x41x\0\0\x06\0\x01"],
    );
    add("an answer", 0, [1, 1, 0, 0], &[&soa, &record]);
    add("an authority", 0, [1, 0, 1, 0], &[&soa, &record]);
    add("an additional record", 0, [1, 0, 0, 1], &[&soa, &record]);
    add(
        "an additional record before EDNS",
        0,
        [1, 0, 0, 2],
        &[&soa, &record, &opt],
    );
    add("two OPT records", 0, [1, 0, 0, 2], &[&soa, &opt, &opt]);
    add(
        "an OPT record of a name",
        0,
        [1, 0, 0, 1],
        &[&soa, &opt_of(b"\x01x\0", b"")],
    );
    add(
        "an option cut off",
        0,
        [1, 0, 0, 1],
        &[&soa, &opt_of(b"\0", b"\0\x03\0\x09")],
    );
    add("an OPT record as answer", 0, [1, 1, 0, 0], &[&soa, &opt]);
    add("an OPT record cut off", 0, [1, 0, 0, 1], &[&soa, &opt[..9]]);
    add("a signature", 0, [1, 0, 0, 1], &[&soa, &tsig]);
    add(
        "a signature before EDNS",
        0,
        [1, 0, 0, 2],
        &[&soa, &tsig, &opt],
    );
    add("IQUERY", opcode(1), [1, 0, 0, 0], &[&soa]);
    add("STATUS", opcode(2), [1, 0, 0, 0], &[&soa]);
    add(
        "an opcode that is not assigned",
        opcode(3),
        [1, 0, 0, 0],
        &[&soa],
    );
    add("NOTIFY", opcode(4), [1, 0, 0, 0], &[&soa]);
    add("UPDATE", opcode(5), [1, 0, 0, 0], &[&soa]);
    add("UPDATE with EDNS", opcode(5), [1, 0, 0, 1], &[&soa, &opt]);
    add("an opcode of DSO", opcode(6), [0, 0, 0, 0], &[]);
    add("opcode 15", opcode(15), [1, 0, 0, 0], &[&soa]);
    messages.push(("an octet", vec![1]));
    messages.push(("nothing", Vec::new()));
    let mut short = ID.to_be_bytes().to_vec();
    short.extend([0; 9]);
    messages.push(("eleven octets", short));
    messages
}
