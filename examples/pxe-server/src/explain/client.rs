//! The request that a machine sends.

use std::net::Ipv4Addr;

use pxe_dhcp::wire::{Header, MessageType, OptionCode, Priority, Reply};
use pxe_dhcp::{ClientArch, Stage};

use super::Args;

/// What firmware asks for (captured from EDK2 2022.11, an Intel-like boot ROM and iPXE): it
/// decides which of a subnet's options are sent.
const EDK2_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66,
    67, 97, 128, 129, 130, 131, 132, 133, 134, 135,
];
const EDK2_HTTP_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 235,
    67, 97,
];
const ROM_LIST: &[u8] = &[
    1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134,
    135,
];
const IPXE_LIST: &[u8] = &[
    1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175,
    203,
];

/// The stage that is asked for, or that the other arguments tell.
pub(super) fn stage_of(args: &Args) -> Stage {
    let class = args.vendor_class.as_deref().map(str::as_bytes);
    let user: Vec<&[u8]> = args.user_class.iter().map(|one| one.as_bytes()).collect();
    let by_http = args.arch.first().is_some_and(|arch| arch.is_http());
    args.stage.unwrap_or_else(|| {
        let told = Stage::of(&args.arch, class, &user, !args.ipxe_feature.is_empty());
        match told {
            // It says so by its vendor class, which is filled in.
            Stage::Pxe if class.is_none() && by_http => Stage::Http,
            told => told,
        }
    })
}

/// What the machine broadcasts at its stage, to get an address and its boot.
pub(super) fn discover(args: &Args) -> Result<Vec<u8>, String> {
    request(args, MessageType::DISCOVER, None)
}

/// What the machine with this address asks a boot server at port 4011: by itself, without a relay.
pub(super) fn binl_request(args: &Args, address: Ipv4Addr) -> Result<Vec<u8>, String> {
    request(args, MessageType::REQUEST, Some(address))
}

fn request(
    args: &Args,
    message_type: MessageType,
    ciaddr: Option<Ipv4Addr>,
) -> Result<Vec<u8>, String> {
    let stage = stage_of(args);
    let mut header = Header::request();
    header.xid = 1;
    header.chaddr[..6].copy_from_slice(&args.mac.octets());
    header.ciaddr = ciaddr.unwrap_or(Ipv4Addr::UNSPECIFIED);
    if let (Some(relay), None) = (args.relay, ciaddr) {
        (header.giaddr, header.hops) = (relay, 1);
    }
    let mut request = Reply::new(header);
    let mut push = |code, data: &[u8]| request.push(code, data, Priority::Required);
    push(OptionCode::MESSAGE_TYPE, &[message_type.0]);
    push(OptionCode::MAX_MESSAGE_SIZE, &1472_u16.to_be_bytes());
    let architectures = architectures(args, stage);
    let numbers: Vec<u8> = architectures
        .iter()
        .flat_map(|arch| arch.0.to_be_bytes())
        .collect();
    if !numbers.is_empty() {
        push(OptionCode::CLIENT_ARCH, &numbers);
    }
    if let Some(class) = vendor_class(args, stage, &architectures) {
        push(OptionCode::VENDOR_CLASS, class.as_bytes());
    }
    let user_class = args.user_class.as_deref();
    if let Some(class) = user_class.or((stage == Stage::Ipxe).then_some("iPXE")) {
        push(OptionCode::USER_CLASS, class.as_bytes());
    }
    if !args.ipxe_feature.is_empty() {
        let features = args.ipxe_feature.iter();
        let data: Vec<u8> = features.flat_map(|feature| [feature.0, 1, 1]).collect();
        push(OptionCode::IPXE, &data);
    }
    if let Some(uuid) = args.uuid {
        let mut data = vec![0];
        data.extend(uuid.to_wire());
        push(OptionCode::CLIENT_MACHINE_ID, &data);
    }
    if let Some(id) = &args.client_id {
        push(OptionCode::CLIENT_ID, &id.0);
    }
    if let Some(name) = &args.host_name {
        push(OptionCode::HOST_NAME, name.as_bytes());
    }
    if let (Some(address), None) = (args.address, ciaddr) {
        push(OptionCode::REQUESTED_ADDRESS, &address.octets());
    }
    if let Some(list) = parameter_list(stage, &architectures) {
        push(OptionCode::PARAMETER_REQUEST_LIST, list);
    }
    let mut relayed = Vec::new();
    for (number, id) in [(1, &args.circuit_id), (2, &args.remote_id)] {
        if let Some(id) = id {
            let len = u8::try_from(id.0.len()).map_err(|_| "an identifier is too long")?;
            relayed.extend([number, len]);
            relayed.extend(&id.0);
        }
    }
    if !relayed.is_empty() && ciaddr.is_none() {
        push(OptionCode::RELAY_AGENT_INFO, &relayed);
    }
    let mut bytes = Vec::new();
    request
        .write(usize::from(u16::MAX), &mut bytes)
        .map_err(|error| format!("no machine sends so much: {error}"))?;
    Ok(bytes)
}

/// An operating system says none; firmware of which nothing is known is a BIOS.
pub(super) fn architectures(args: &Args, stage: Stage) -> Vec<ClientArch> {
    match stage {
        Stage::System => Vec::new(),
        Stage::Http if args.arch.is_empty() => vec![ClientArch::UEFI_X64_HTTP],
        _ if args.arch.is_empty() => vec![ClientArch::X86_BIOS],
        _ => args.arch.clone(),
    }
}

fn vendor_class(args: &Args, stage: Stage, architectures: &[ClientArch]) -> Option<String> {
    if let Some(class) = &args.vendor_class {
        return Some(class.clone());
    }
    let name = match stage {
        Stage::System => return None,
        Stage::Http => "HTTPClient",
        _ => "PXEClient",
    };
    let arch = architectures.first().map_or(0, |arch| arch.0);
    let undi = if arch == 0 { "002001" } else { "003000" };
    Some(format!("{name}:Arch:{arch:05}:UNDI:{undi}"))
}

/// An operating system's is not known: without one it is told all there is.
fn parameter_list(stage: Stage, architectures: &[ClientArch]) -> Option<&'static [u8]> {
    match stage {
        Stage::Ipxe => Some(IPXE_LIST),
        Stage::Http => Some(EDK2_HTTP_LIST),
        Stage::Pxe if architectures.first() == Some(&ClientArch::X86_BIOS) => Some(ROM_LIST),
        Stage::Pxe => Some(EDK2_LIST),
        _ => None,
    }
}
