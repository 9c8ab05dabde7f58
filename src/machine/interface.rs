//! The network interface for outgoing traffic, determined without sending any.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use crate::model::InterfaceFacts;

/// A local and a public address for IPv4 and for IPv6. The local one stands for any address of this machine. Nothing is
/// sent to the public one, which is the same as in `ArchiveBox`; any other would do.
const PUBLIC_ROUTES: [(&str, &str); 2] =
    [("0.0.0.0:0", "1.1.1.1:80"), ("[::]:0", "[2606:4700:4700::1111]:80")];

/// The name server that the resolver uses if resolv.conf(5) has none, and the source address of a machine without a
/// route.
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An IP address or link-layer address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    iface: String,
    ip: Option<IpAddr>,
    mac: Option<[u8; 6]>,
}

/// Gathers the local facts; those that need traffic (`ip_public`, `isp`, `city`, `region`, `country`) are empty.
/// `ip_local` is `127.0.0.1` if the machine is offline. `dns_server` is the first name server in `/etc/resolv.conf`, or
/// `127.0.0.1` if there is none, which is also the default of the resolver. The MAC address of a tunnel or the loopback
/// interface is empty.
pub(crate) fn gather(hostname: &str) -> InterfaceFacts {
    let ip = PUBLIC_ROUTES
        .into_iter()
        .find_map(|(local, public)| source_address(local, public).ok())
        .unwrap_or(LOCALHOST);
    let (iface, mac_address) = owner(&addresses(), ip);
    let resolv_conf = fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default();
    InterfaceFacts {
        mac_address,
        ip_local: ip.to_string(),
        dns_server: name_server(&resolv_conf).map_or_else(|| LOCALHOST.to_string(), str::to_owned),
        hostname: hostname.to_owned(),
        iface,
        ..InterfaceFacts::default()
    }
}

/// Returns the source address of traffic to `target`. Connecting a UDP socket only consults the routing table.
fn source_address(local: &str, target: &str) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(local)?;
    socket.connect(target)?;
    match socket.local_addr()?.ip() {
        ip if ip.is_unspecified() => Err(io::ErrorKind::AddrNotAvailable.into()),
        ip => Ok(ip),
    }
}

fn addresses() -> Vec<Address> {
    let all = getifaddrs().into_iter().flatten();
    all.map(|InterfaceAddress { interface_name: iface, address, .. }| {
        let v4 = address.as_ref().and_then(|address| Some(address.as_sockaddr_in()?.ip().into()));
        let v6 = || address.as_ref().and_then(|address| Some(address.as_sockaddr_in6()?.ip().into()));
        let mac = address.as_ref().and_then(|address| address.as_link_addr()?.addr());
        Address { iface, ip: v4.or_else(v6), mac }
    })
    .collect()
}

/// Returns the name and the MAC address of the interface that has this IP address; both are empty if they are unknown.
fn owner(addresses: &[Address], ip: IpAddr) -> (String, String) {
    let Some(Address { iface, .. }) = addresses.iter().find(|address| address.ip == Some(ip)) else {
        return Default::default();
    };
    // `eth0:1` is a second address of `eth0`.
    let iface = iface.split(':').next().unwrap_or_default();
    let macs = addresses.iter().filter(|address| address.iface == iface).filter_map(|address| address.mac);
    let mac = macs.into_iter().find(|mac| *mac != [0; 6]);
    let mac = mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
    (iface.to_owned(), mac.unwrap_or_default())
}

/// Returns the first name server in a resolv.conf(5), or `None` if there is none. Its line begins with the keyword,
/// blanks and the address.
fn name_server(resolv_conf: &str) -> Option<&str> {
    let rests = resolv_conf.lines().filter_map(|line| line.strip_prefix("nameserver"));
    let servers = rests.filter_map(|rest| rest.strip_prefix([' ', '\t'])?.split_whitespace().next());
    servers.into_iter().find(|server| is_address(server))
}

/// Returns whether a text is an IP address; a link-local one may have an interface: `fe80::1%eth0`.
fn is_address(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(iface: &str, ip: &str) -> Address {
        Address { iface: iface.to_owned(), ip: ip.parse().ok(), mac: None }
    }

    fn mac(iface: &str, mac: [u8; 6]) -> Address {
        Address { iface: iface.to_owned(), ip: None, mac: Some(mac) }
    }

    fn machine() -> Vec<Address> {
        vec![
            mac("lo", [0; 6]),
            mac("eth0", [2, 0xfc, 0, 0, 0, 1]),
            mac("wlan0", [2, 0xfc, 0, 0, 0, 2]),
            ip("lo", "127.0.0.1"),
            ip("eth0", "192.0.2.2"),
            ip("wlan0", "198.51.100.7"),
            ip("eth0:1", "192.0.2.3"),
            ip("tun0", "10.8.0.2"),
            ip("eth0", "2001:db8::2"),
        ]
    }

    fn owner_of(address: &str) -> (String, String) {
        owner(&machine(), address.parse().unwrap())
    }

    fn pair(iface: &str, mac: &str) -> (String, String) {
        (iface.to_owned(), mac.to_owned())
    }

    #[test]
    fn an_address_belongs_to_the_interface_that_has_it() {
        assert_eq!(owner_of("198.51.100.7"), pair("wlan0", "02:fc:00:00:00:02"));
        assert_eq!(owner_of("2001:db8::2"), pair("eth0", "02:fc:00:00:00:01"));
    }

    #[test]
    fn a_second_address_belongs_to_the_interface_itself() {
        assert_eq!(owner_of("192.0.2.3"), pair("eth0", "02:fc:00:00:00:01"));
    }

    #[test]
    fn an_interface_without_a_mac_address_has_a_name() {
        assert_eq!(owner_of("10.8.0.2"), pair("tun0", ""));
        assert_eq!(owner_of("127.0.0.1"), pair("lo", ""));
    }

    #[test]
    fn an_unknown_address_leaves_both_empty() {
        assert_eq!(owner_of("203.0.113.9"), pair("", ""));
        assert_eq!(owner(&[], LOCALHOST), pair("", ""));
    }

    #[test]
    fn the_first_name_server_wins() {
        let text = "# written by dhcp\nsearch example.org\noptions ndots:5\n\
                    nameserver\t10.0.0.53 # office\nnameserver 1.1.1.1\n";
        assert_eq!(name_server(text), Some("10.0.0.53"));
        assert_eq!(name_server("nameserver 2001:db8::53\r\n"), Some("2001:db8::53"));
        assert_eq!(name_server("nameserver fe80::1%eth0"), Some("fe80::1%eth0"));
    }

    #[test]
    fn lines_that_only_resemble_a_name_server_are_skipped() {
        for text in [
            "",
            "search example.org\noptions edns0\n",
            "# nameserver 1.1.1.1\n;nameserver 1.1.1.1\n",
            "nameserver\n",
            "nameserver1.1.1.1\n",
            "nameservers 1.1.1.1\n",
            "nameserver dns.example.org\n",
            "nameserver 1.1.1.1%eth0\n",
        ] {
            assert_eq!(name_server(text), None, "{text:?}");
        }
        assert_eq!(name_server("nameserver none\nnameserver 9.9.9.9\n"), Some("9.9.9.9"));
    }

    #[test]
    fn the_route_to_the_loopback_is_the_loopback() {
        // A new network namespace has no address at all.
        if let Ok(source) = source_address("0.0.0.0:0", "127.0.0.1:80") {
            assert_eq!(source, LOCALHOST);
            let (iface, mac) = owner(&addresses(), source);
            assert!(iface.starts_with("lo"), "{iface}");
            assert_eq!(mac, "");
        }
    }

    #[test]
    fn the_facts_need_no_traffic() {
        let facts = gather("box");
        assert_eq!(facts.hostname, "box");
        assert!(facts.ip_local.parse::<IpAddr>().is_ok());
        assert!(is_address(&facts.dns_server));
        for remote in [&facts.ip_public, &facts.isp, &facts.city, &facts.region, &facts.country] {
            assert_eq!(remote, "");
        }
    }
}
