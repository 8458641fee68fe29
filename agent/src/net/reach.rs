//! Which addresses may be reached on somebody's behalf.
//!
//! Whoever names a URL makes this process ask there, from where it stands in the network. The services that hand
//! out credentials to a machine just because it asks are refused always; what else is near, when that is wanted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What may be reached. Without further word, everything.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Refuse link-local addresses and those where clouds serve metadata.
    pub guarded: bool,
    /// Refuse loopback and private networks as well.
    pub deny_private: bool,
    /// Where this server listens: nobody shall reach it by another name.
    pub own: Vec<SocketAddr>,
}

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// Link-local, or where a cloud serves metadata; or an address that is nobody's.
    Metadata,
    /// Loopback or private.
    Private,
    /// This server itself.
    Own,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => {
                "its address is link-local or one where clouds serve metadata, which is never looked up"
            }
            Self::Private => "its address is private, and --lookup-deny-private is set",
            Self::Own => {
                "it leads to this server by another name; use the name that the server was started with, or \
                 set OH_INTERNAL_SERVER_URL"
            }
        })
    }
}

impl Reach {
    /// Whether this may be reached.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let ip = plain(address.ip());
        if self.guarded && is_metadata(ip) {
            return Err(Forbidden::Metadata);
        }
        let ours = |own: &SocketAddr| {
            own.port() == address.port()
                && (plain(own.ip()) == ip || own.ip().is_unspecified() && is_of_this_machine(ip))
        };
        if self.own.iter().any(ours) {
            return Err(Forbidden::Own);
        }
        if self.deny_private && is_private(ip) {
            return Err(Forbidden::Private);
        }
        Ok(())
    }
}

/// The address that is meant: IPv4 comes in several disguises.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let embedded = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, a, b] => Some((a, b)), // mapped
        [0, 0, 0, 0, 0, 0, a, b] if (a, b) > (0, 1) => Some((a, b)), // compatible, long obsolete
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x64, 0xff9b, 1, .., a, b] => Some((a, b)), // NAT64
        [0x2002, a, b, ..] => Some((a, b)),            // 6to4
        _ => None,
    };
    match embedded {
        Some((a, b)) => {
            let [a, b, c, d] = (u32::from(a) << 16 | u32::from(b)).to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
        None => ip,
    }
}

fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            const ELSEWHERE: [Ipv4Addr; 3] = [
                Ipv4Addr::new(100, 100, 100, 200), // Alibaba
                Ipv4Addr::new(168, 63, 129, 16),   // Azure
                Ipv4Addr::new(192, 0, 0, 192),     // Oracle
            ];
            ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ELSEWHERE.contains(&ip)
        }
        IpAddr::V6(ip) => {
            const AMAZON: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            const GOOGLE: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);
            ip.is_unicast_link_local() || ip.is_multicast() || [AMAZON, GOOGLE].contains(&ip)
        }
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let reserved = matches!((a, b, c), (0, ..) | (192, 0, 0) | (240.., ..));
            let shared = a == 100 && b & 0xc0 == 64;
            let benchmark = a == 198 && b & 0xfe == 18;
            ip.is_private() || ip.is_loopback() || reserved || shared || benchmark
        }
        IpAddr::V6(ip) => {
            let site_local = matches!(ip.segments(), [0xfec0..=0xfeff, ..]);
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || site_local
        }
    }
}

/// Whether packets to this address stay on this machine: only its own can be listened on.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reach: &Reach, ip: &str, expected: Result<(), Forbidden>) {
        let address = SocketAddr::new(ip.parse().unwrap(), 80);
        assert_eq!(reach.allows(address), expected, "{ip}");
    }

    #[test]
    fn metadata_is_refused_in_every_disguise() {
        let reach = Reach {
            guarded: true,
            ..Reach::default()
        };
        let refused = [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ];
        for ip in refused {
            check(&reach, ip, Err(Forbidden::Metadata));
        }
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "::1",
            "8.8.8.8",
            "fd00::1",
            "2606:4700::1",
        ] {
            check(&reach, ip, Ok(()));
        }
    }

    #[test]
    fn private_networks_are_refused_on_demand() {
        let reach = Reach {
            guarded: true,
            deny_private: true,
            ..Reach::default()
        };
        let private = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "250.1.1.1",
            "::1",
            "::",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
        ];
        for ip in private {
            check(&reach, ip, Err(Forbidden::Private));
        }
        for ip in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "192.0.2.1",
        ] {
            check(&reach, ip, Ok(()));
        }
    }

    #[test]
    fn this_server_is_known_by_every_address_it_has() {
        let own = |address: &str| Reach {
            own: vec![address.parse().unwrap()],
            ..Reach::default()
        };
        check(&own("127.0.0.1:80"), "127.0.0.1", Err(Forbidden::Own));
        check(
            &own("127.0.0.1:80"),
            "::ffff:127.0.0.1",
            Err(Forbidden::Own),
        );
        check(&own("127.0.0.1:81"), "127.0.0.1", Ok(()));
        for ip in ["127.0.0.1", "127.0.0.2", "0.0.0.0"] {
            check(&own("0.0.0.0:80"), ip, Err(Forbidden::Own));
        }
        check(&own("0.0.0.0:80"), "192.0.2.1", Ok(()));
    }
}
