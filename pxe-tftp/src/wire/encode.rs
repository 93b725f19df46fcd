//! Packets to bytes, appended to a buffer of the caller's.

use super::{ErrorCode, Opcode, Request};

/// Appends a request. NULs within a string would end it early, so they are left out.
pub fn encode_request(out: &mut Vec<u8>, opcode: Opcode, request: &Request<'_>) {
    out.extend_from_slice(&opcode.0.to_be_bytes());
    push_string(out, request.filename);
    push_string(out, request.mode);
    for (name, value) in request.options.iter() {
        push_string(out, name);
        push_string(out, value);
    }
}

/// Appends the first four octets of a DATA packet; the caller appends the payload.
pub fn encode_data_header(out: &mut Vec<u8>, block: u16) {
    push_pair(out, Opcode::DATA, block);
}

/// Appends an ACK.
pub fn encode_ack(out: &mut Vec<u8>, block: u16) {
    push_pair(out, Opcode::ACK, block);
}

/// Appends an ERROR. The message is for a person; NULs in it are left out.
pub fn encode_error(out: &mut Vec<u8>, code: ErrorCode, message: &[u8]) {
    push_pair(out, Opcode::ERROR, code.0);
    push_string(out, message);
}

/// Appends an OACK of these names and values (RFC 2347).
pub fn encode_oack<'a>(out: &mut Vec<u8>, options: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    out.extend_from_slice(&Opcode::OACK.0.to_be_bytes());
    for (name, value) in options {
        push_string(out, name);
        push_string(out, value);
    }
}

fn push_pair(out: &mut Vec<u8>, opcode: Opcode, number: u16) {
    let [op_high, op_low] = opcode.0.to_be_bytes();
    let [high, low] = number.to_be_bytes();
    out.extend_from_slice(&[op_high, op_low, high, low]);
}

fn push_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend(string.iter().filter(|&&byte| byte != 0));
    out.push(0);
}
