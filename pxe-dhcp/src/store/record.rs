//! A lease record as bytes.
//!
//! ```text
//! checksum   4 bytes: CRC-32 (IEEE 802.3) of the key and of all that follows
//! format     1 byte: 1
//! fixed part address, version, state, times, hardware type
//! fields     tag (1 byte), length (2 bytes), value; absent ones are left out
//! ```
//!
//! Numbers are big-endian. The checksum finds every change of up to 32 bits in a row, so each
//! flipped bit, and a record that ended up under another key. The pages of the database have
//! checksums of their own, but those are looked at when it is opened, and not at each read.

use core::net::Ipv4Addr;

use pxe_core::{MacAddr, UnixTime};
use thiserror::Error;

use crate::wire::{ClientFqdn, MachineUuid};
use crate::{ClientArch, ClientKey, LeaseRecord, LeaseState, ReservedFor};

const FORMAT: u8 = 1;

/// What a field is. A number is never given a second meaning.
mod tag {
    pub(super) const CLIENT_ETHERNET: u8 = 1;
    pub(super) const CLIENT_ID_KEY: u8 = 2;
    pub(super) const CLIENT_HARDWARE: u8 = 3;
    pub(super) const CHADDR: u8 = 4;
    pub(super) const CLIENT_ID: u8 = 5;
    pub(super) const HOST_NAME: u8 = 6;
    pub(super) const FQDN: u8 = 7;
    pub(super) const VENDOR_CLASS: u8 = 8;
    pub(super) const CIRCUIT_ID: u8 = 9;
    pub(super) const REMOTE_ID: u8 = 10;
    pub(super) const UUID: u8 = 11;
    pub(super) const ARCH: u8 = 12;
    pub(super) const GIADDR: u8 = 13;
    pub(super) const RESERVED_MAC: u8 = 14;
    pub(super) const RESERVED_HARDWARE: u8 = 15;
    pub(super) const RESERVED_CLIENT_ID: u8 = 16;
    pub(super) const RESERVED_UUID: u8 = 17;
    pub(super) const RESERVED_RELAY_PORT: u8 = 18;
    pub(super) const RESERVED_CIRCUIT_ID: u8 = 19;
    pub(super) const RESERVED_REMOTE_ID: u8 = 20;
    pub(super) const NAMED_SINCE: u8 = 21;
}

/// A field of a record is longer than a record can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a field of {0} bytes exceeds 65535")]
pub(super) struct FieldTooLong(usize);

/// Bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its format {0} is not known to this version of the program")]
    Format(u8),
    #[error("its field {0} is not known to this version of the program")]
    Field(u8),
    #[error("it is incomplete")]
    Incomplete,
}

/// The record as bytes, to be kept under this key.
pub(super) fn encode(key: u64, record: &LeaseRecord) -> Result<Vec<u8>, FieldTooLong> {
    // Without `..`: a new field of a record is to be kept too.
    let LeaseRecord {
        address,
        version,
        client,
        htype,
        chaddr,
        client_id,
        state,
        first_seen,
        named_since,
        last_seen,
        host_name,
        fqdn,
        vendor_class,
        giaddr,
        circuit_id,
        remote_id,
        uuid,
        arch,
        reserved_for,
    } = record;
    let mut bytes = Vec::with_capacity(192);
    bytes.extend([0; 4]);
    bytes.push(FORMAT);
    bytes.extend(address.octets());
    bytes.extend(version.to_be_bytes());
    let (state, until) = match state {
        LeaseState::Bound { expires } => (1, expires),
        LeaseState::Released { at } => (2, at),
        LeaseState::Declined { until } => (3, until),
    };
    bytes.push(state);
    for time in [until, first_seen, last_seen] {
        bytes.extend(time.as_seconds().to_be_bytes());
    }
    bytes.push(*htype);
    match client {
        ClientKey::Ethernet(mac) => field(&mut bytes, tag::CLIENT_ETHERNET, &[&mac.octets()])?,
        ClientKey::ClientId(id) => field(&mut bytes, tag::CLIENT_ID_KEY, &[id])?,
        ClientKey::Hardware { htype, address } => {
            field(&mut bytes, tag::CLIENT_HARDWARE, &[&[*htype], address])?;
        }
    }
    field(&mut bytes, tag::CHADDR, &[chaddr])?;
    let texts = [
        (tag::CLIENT_ID, client_id),
        (tag::HOST_NAME, host_name),
        (tag::VENDOR_CLASS, vendor_class),
        (tag::CIRCUIT_ID, circuit_id),
        (tag::REMOTE_ID, remote_id),
    ];
    for (tag, text) in texts {
        if let Some(text) = text {
            field(&mut bytes, tag, &[text])?;
        }
    }
    if let Some(fqdn) = fqdn {
        field(
            &mut bytes,
            tag::FQDN,
            &[&[fqdn.flags], fqdn.name.as_bytes()],
        )?;
    }
    if let Some(uuid) = uuid {
        field(&mut bytes, tag::UUID, &[&uuid.to_wire()])?;
    }
    if let Some(arch) = arch {
        field(&mut bytes, tag::ARCH, &[&arch.0.to_be_bytes()])?;
    }
    if let Some(giaddr) = giaddr {
        field(&mut bytes, tag::GIADDR, &[&giaddr.octets()])?;
    }
    // It is the same in most records, and was in all before there was this field.
    if named_since != first_seen {
        let seconds = named_since.as_seconds().to_be_bytes();
        field(&mut bytes, tag::NAMED_SINCE, &[&seconds])?;
    }
    if let Some(reserved_for) = reserved_for {
        reserved_for_field(&mut bytes, reserved_for)?;
    }
    let (checksum, rest) = bytes.split_at_mut(4);
    checksum.copy_from_slice(&checksum_of(key, rest).to_be_bytes());
    Ok(bytes)
}

/// The record that was kept under this key.
pub(super) fn decode(key: u64, bytes: &[u8]) -> Result<LeaseRecord, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let checksum = u32::from_be_bytes(reader.array()?);
    if checksum != checksum_of(key, reader.rest) {
        return Err(DecodeError::Checksum);
    }
    match reader.u8()? {
        FORMAT => {}
        other => return Err(DecodeError::Format(other)),
    }
    let address = Ipv4Addr::from(reader.array::<4>()?);
    let version = reader.u64()?;
    let state = reader.u8()?;
    let until = reader.time()?;
    let state = match state {
        1 => LeaseState::Bound { expires: until },
        2 => LeaseState::Released { at: until },
        3 => LeaseState::Declined { until },
        _ => return Err(DecodeError::Incomplete),
    };
    let (first_seen, last_seen) = (reader.time()?, reader.time()?);
    let htype = reader.u8()?;
    let (tag, value) = reader.field()?;
    let mut value = Reader { rest: value };
    let client = match tag {
        tag::CLIENT_ETHERNET => ClientKey::Ethernet(MacAddr::new(value.array()?)),
        tag::CLIENT_ID_KEY => ClientKey::ClientId(value.rest.to_vec()),
        tag::CLIENT_HARDWARE => ClientKey::Hardware {
            htype: value.u8()?,
            address: value.rest.to_vec(),
        },
        other => return Err(DecodeError::Field(other)),
    };
    let mut record = LeaseRecord::new(address, client, state, first_seen);
    (record.version, record.last_seen, record.htype) = (version, last_seen, htype);
    while !reader.rest.is_empty() {
        let (tag, data) = reader.field()?;
        let mut value = Reader { rest: data };
        match tag {
            tag::CHADDR => record.chaddr = data.to_vec(),
            tag::CLIENT_ID => record.client_id = Some(data.to_vec()),
            tag::HOST_NAME => record.host_name = Some(data.to_vec()),
            tag::VENDOR_CLASS => record.vendor_class = Some(data.to_vec()),
            tag::CIRCUIT_ID => record.circuit_id = Some(data.to_vec()),
            tag::REMOTE_ID => record.remote_id = Some(data.to_vec()),
            tag::FQDN => {
                let flags = value.u8()?;
                let name = core::str::from_utf8(value.rest);
                let name = name.map_err(|_| DecodeError::Incomplete)?;
                record.fqdn = Some(ClientFqdn::new(flags, name));
            }
            tag::UUID => record.uuid = Some(MachineUuid::from_wire(value.array()?)),
            tag::ARCH => record.arch = Some(ClientArch(u16::from_be_bytes(value.array()?))),
            tag::GIADDR => record.giaddr = Some(Ipv4Addr::from(value.array::<4>()?)),
            tag::NAMED_SINCE => record.named_since = value.time()?,
            other => record.reserved_for = Some(reserved_for(other, value)?),
        }
    }
    Ok(record)
}

fn reserved_for_field(bytes: &mut Vec<u8>, reserved_for: &ReservedFor) -> Result<(), FieldTooLong> {
    match reserved_for {
        ReservedFor::Mac(mac) => field(bytes, tag::RESERVED_MAC, &[&mac.octets()]),
        ReservedFor::Hardware { htype, address } => {
            field(bytes, tag::RESERVED_HARDWARE, &[&[*htype], address])
        }
        ReservedFor::ClientId(id) => field(bytes, tag::RESERVED_CLIENT_ID, &[id]),
        ReservedFor::Uuid(uuid) => field(bytes, tag::RESERVED_UUID, &[&uuid.to_wire()]),
        ReservedFor::RelayPort {
            circuit_id,
            remote_id,
        } => {
            let len = circuit_id.len();
            let len = u16::try_from(len).map_err(|_| FieldTooLong(len))?;
            let parts = [&len.to_be_bytes(), circuit_id.as_slice(), remote_id];
            field(bytes, tag::RESERVED_RELAY_PORT, &parts)
        }
        ReservedFor::CircuitId(id) => field(bytes, tag::RESERVED_CIRCUIT_ID, &[id]),
        ReservedFor::RemoteId(id) => field(bytes, tag::RESERVED_REMOTE_ID, &[id]),
    }
}

fn reserved_for(tag: u8, mut value: Reader<'_>) -> Result<ReservedFor, DecodeError> {
    Ok(match tag {
        tag::RESERVED_MAC => ReservedFor::Mac(MacAddr::new(value.array()?)),
        tag::RESERVED_HARDWARE => ReservedFor::Hardware {
            htype: value.u8()?,
            address: value.rest.to_vec(),
        },
        tag::RESERVED_CLIENT_ID => ReservedFor::ClientId(value.rest.to_vec()),
        tag::RESERVED_UUID => ReservedFor::Uuid(MachineUuid::from_wire(value.array()?)),
        tag::RESERVED_RELAY_PORT => {
            let len = usize::from(u16::from_be_bytes(value.array()?));
            let parts = value.rest.split_at_checked(len);
            let (circuit, remote) = parts.ok_or(DecodeError::Incomplete)?;
            ReservedFor::RelayPort {
                circuit_id: circuit.to_vec(),
                remote_id: remote.to_vec(),
            }
        }
        tag::RESERVED_CIRCUIT_ID => ReservedFor::CircuitId(value.rest.to_vec()),
        tag::RESERVED_REMOTE_ID => ReservedFor::RemoteId(value.rest.to_vec()),
        other => return Err(DecodeError::Field(other)),
    })
}

fn checksum_of(key: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&key.to_be_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn field(bytes: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) -> Result<(), FieldTooLong> {
    let len = parts.iter().map(|part| part.len()).sum();
    let short = u16::try_from(len).map_err(|_| FieldTooLong(len))?;
    bytes.push(tag);
    bytes.extend(short.to_be_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], DecodeError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Result<UnixTime, DecodeError> {
        self.u64().map(UnixTime::from_seconds)
    }

    fn field(&mut self) -> Result<(u8, &'a [u8]), DecodeError> {
        let tag = self.u8()?;
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let (value, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok((tag, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(client: ClientKey) -> LeaseRecord {
        let state = LeaseState::Declined {
            until: UnixTime::from_seconds(u64::MAX),
        };
        let seen = UnixTime::from_seconds(1_795_000_000);
        let address = Ipv4Addr::new(192, 168, 150, 7);
        let mut record = LeaseRecord::new(address, client, state, seen);
        record.version = 9;
        record.named_since = UnixTime::from_seconds(1_795_000_009);
        record.host_name = Some(b"p\xffc".to_vec());
        record.fqdn = Some(ClientFqdn::new(5, "pc.lab.lan"));
        record.circuit_id = Some(Vec::new());
        record.uuid = Some(MachineUuid::from_wire([9; 16]));
        record.arch = Some(ClientArch(7));
        record
    }

    #[test]
    fn every_kind_of_client_survives() {
        let clients = [
            ClientKey::Ethernet(MacAddr::new([2, 0, 0, 0, 0, 1])),
            ClientKey::ClientId(b"\x00infiniband".to_vec()),
            ClientKey::Hardware {
                htype: 32,
                address: vec![7; 16],
            },
        ];
        for client in clients {
            let record = record(client);
            let bytes = encode(3, &record).expect("short fields");
            assert_eq!(decode(3, &bytes), Ok(record));
        }
    }

    #[test]
    fn every_kind_of_reservation_survives() {
        let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
        let (circuit_id, remote_id) = (b"port".to_vec(), b"switch".to_vec());
        for reserved_for in [
            ReservedFor::Mac(mac),
            ReservedFor::Hardware {
                htype: 32,
                address: vec![7; 16],
            },
            ReservedFor::ClientId(b"\xffid".to_vec()),
            ReservedFor::Uuid(MachineUuid::from_wire([9; 16])),
            ReservedFor::CircuitId(circuit_id.clone()),
            ReservedFor::RemoteId(remote_id.clone()),
            ReservedFor::RelayPort {
                circuit_id,
                remote_id,
            },
        ] {
            let mut record = record(mac.into());
            record.giaddr = Some(Ipv4Addr::LOCALHOST);
            record.reserved_for = Some(reserved_for);
            let bytes = encode(3, &record).expect("short fields");
            assert_eq!(decode(3, &bytes), Ok(record));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let record = record(MacAddr::new([2, 0, 0, 0, 0, 1]).into());
        let bytes = encode(3, &record).expect("short fields");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(3, &flipped), Err(DecodeError::Checksum), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(3, &bytes[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(decode(4, &bytes), Err(DecodeError::Checksum), "another key");
    }

    #[test]
    fn what_a_later_version_wrote_is_not_misread() {
        let record = record(MacAddr::new([2, 0, 0, 0, 0, 1]).into());
        let mut bytes = encode(3, &record).expect("short fields");
        let reseal = |bytes: &mut Vec<u8>| {
            let checksum = checksum_of(3, &bytes[4..]).to_be_bytes();
            bytes[..4].copy_from_slice(&checksum);
        };
        field(&mut bytes, 99, &[b"new"]).expect("short");
        reseal(&mut bytes);
        assert_eq!(decode(3, &bytes), Err(DecodeError::Field(99)));
        bytes[4] = 2;
        reseal(&mut bytes);
        assert_eq!(decode(3, &bytes), Err(DecodeError::Format(2)));
    }

    #[test]
    fn a_field_beyond_its_length_is_refused() {
        let mut record = record(MacAddr::new([2, 0, 0, 0, 0, 1]).into());
        record.host_name = Some(vec![b'x'; 65_536]);
        assert_eq!(encode(3, &record), Err(FieldTooLong(65_536)));
    }
}
