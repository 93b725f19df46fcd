//! The servers that the system asks (resolv.conf(5)).

use std::net::SocketAddr;

use hickory_resolver::system_conf::parse_resolv_conf;

use super::Upstream;

/// The servers of this file, in its order; none if there are none.
pub(super) fn upstreams(text: &[u8]) -> Vec<Upstream> {
    let Ok((config, _)) = parse_resolv_conf(text) else {
        return Vec::new();
    };
    let mut upstreams: Vec<Upstream> = Vec::new();
    for server in config.name_servers() {
        let is_of_link = match server.ip.to_canonical() {
            std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
            std::net::IpAddr::V4(_) => false,
        };
        let upstream = Upstream::plain(SocketAddr::new(server.ip, 53));
        if !is_of_link && !server.ip.is_unspecified() && !upstreams.contains(&upstream) {
            upstreams.push(upstream);
        }
    }
    upstreams
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let upstreams = upstreams(text.as_bytes());
        upstreams.iter().map(Upstream::to_string).collect()
    }

    #[test]
    fn name_servers_are_read_and_nothing_else() {
        let text = "# made by hand\nsearch matrix.lan example\nnameserver 192.0.2.1\n\
                    options ndots:5 edns0 trust-ad\nnameserver 2001:db8::1\nnameserver 127.0.0.53\n\
                    nameserver 192.0.2.1\nnameserver fe80::1%eth0\nsortlist 10.0.0.0\n";
        assert_eq!(shown(text), ["192.0.2.1", "[2001:db8::1]", "127.0.0.53"]);
    }

    #[test]
    fn a_file_without_servers_has_none() {
        for text in [
            "",
            "search matrix.lan\n",
            "nameserver\n",
            "nameserver x\n\u{0}\u{1}",
        ] {
            assert_eq!(shown(text), Vec::<String>::new(), "{text:?}");
        }
    }
}
