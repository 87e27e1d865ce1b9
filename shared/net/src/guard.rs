//! Where outbound calls may go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::ErrorKind;
use url::Host;

/// Decides where outbound calls may go: not to this machine (unless allowed), not to the link (where clouds keep the
/// credentials of a machine), not to many at once. Addresses of private networks are allowed: people run their chat and
/// mail servers there.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    allow_loopback: bool,
}

/// Why a call may not go out.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The address is one that calls must not reach. Does not name it: it may tell about the inside of a network.
    #[error("the destination is {what}, which outbound calls must not reach")]
    Refused {
        /// Which kind of address it is.
        what: &'static str,
    },
    /// The name has no address, or the name server does not answer.
    #[error("the name of the destination cannot be resolved: {0}")]
    Unresolved(io::Error),
}

impl GuardError {
    /// What the failure asks of the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } => ErrorKind::Invalid,
            Self::Unresolved(_) => ErrorKind::Unavailable,
        }
    }
}

impl Guard {
    /// A guard that lets calls to this machine pass, or not.
    pub const fn new(allow_loopback: bool) -> Self {
        Self { allow_loopback }
    }

    /// Resolves a destination and checks all its addresses; the call must go to one of these and not resolve again.
    ///
    /// # Errors
    /// When one of the addresses must not be reached, or there is none.
    pub async fn resolve(&self, host: &Host<&str>, port: u16) -> Result<Vec<SocketAddr>, GuardError> {
        let found: Vec<SocketAddr> = match *host {
            Host::Ipv4(address) => vec![(address, port).into()],
            Host::Ipv6(address) => vec![(address, port).into()],
            Host::Domain(name) => {
                tokio::net::lookup_host((name, port)).await.map_err(GuardError::Unresolved)?.collect()
            }
        };
        if found.is_empty() {
            return Err(GuardError::Unresolved(io::ErrorKind::NotFound.into()));
        }
        for address in &found {
            self.check(address.ip())?;
        }
        Ok(found)
    }

    /// Checks one address.
    ///
    /// # Errors
    /// When it must not be reached.
    pub fn check(&self, address: IpAddr) -> Result<(), GuardError> {
        let refused = match address {
            IpAddr::V4(address) => self.refused_v4(address),
            IpAddr::V6(address) => self.refused_v6(address),
        };
        refused.map_or(Ok(()), |what| Err(GuardError::Refused { what }))
    }

    fn refused_v4(&self, address: Ipv4Addr) -> Option<&'static str> {
        /// Addresses outside of the link at which clouds answer with credentials.
        const METADATA: [Ipv4Addr; 3] =
            [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
        if address.is_loopback() {
            return (!self.allow_loopback).then_some("a loopback address");
        }
        if address.octets()[0] == 0 {
            Some("an unspecified address")
        } else if address.is_link_local() {
            Some("a link-local address")
        } else if METADATA.contains(&address) {
            Some("a metadata address")
        } else if address.is_multicast() || address.is_broadcast() {
            Some("a multicast address")
        } else {
            None
        }
    }

    fn refused_v6(&self, address: Ipv6Addr) -> Option<&'static str> {
        if let Some(inside) = embedded_v4(address) {
            return self.refused_v4(inside);
        }
        let segments = address.segments();
        if address.is_loopback() {
            (!self.allow_loopback).then_some("a loopback address")
        } else if address.is_unspecified() {
            Some("an unspecified address")
        } else if segments[0] & 0xffc0 == 0xfe80 {
            Some("a link-local address")
        } else if segments[..2] == [0xfd00, 0x0ec2] {
            Some("a metadata address")
        } else if address.is_multicast() {
            Some("a multicast address")
        } else {
            None
        }
    }
}

/// The IPv4 address inside of an IPv6 one: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_address_is_judged() {
        let cases = [
            ("93.184.216.34", None),
            ("10.1.2.3", None),
            ("192.168.0.10", None),
            ("172.16.0.1", None),
            ("127.0.0.1", Some("a loopback address")),
            ("127.255.0.9", Some("a loopback address")),
            ("0.0.0.0", Some("an unspecified address")),
            ("0.1.2.3", Some("an unspecified address")),
            ("169.254.169.254", Some("a link-local address")),
            ("169.254.100.1", Some("a link-local address")),
            ("100.100.100.200", Some("a metadata address")),
            ("224.0.0.1", Some("a multicast address")),
            ("255.255.255.255", Some("a multicast address")),
            ("2606:2800:220:1::1", None),
            ("fd12:3456::1", None),
            ("::1", Some("a loopback address")),
            ("::", Some("an unspecified address")),
            ("fe80::1", Some("a link-local address")),
            ("febf::1", Some("a link-local address")),
            ("fd00:ec2::254", Some("a metadata address")),
            ("ff02::1", Some("a multicast address")),
            ("::ffff:127.0.0.1", Some("a loopback address")),
            ("::ffff:169.254.169.254", Some("a link-local address")),
            ("::127.0.0.1", Some("a loopback address")),
            ("64:ff9b::a9fe:a9fe", Some("a link-local address")),
            ("2002:7f00:1::", Some("a loopback address")),
            ("::ffff:93.184.216.34", None),
        ];
        for (text, expected) in cases {
            let address: IpAddr = text.parse().unwrap();
            let refused = match Guard::new(false).check(address) {
                Ok(()) => None,
                Err(GuardError::Refused { what }) => Some(what),
                Err(error @ GuardError::Unresolved(_)) => panic!("{error}"),
            };
            assert_eq!(refused, expected, "{text}");
            let of_this_machine = expected == Some("a loopback address");
            assert_eq!(Guard::new(true).check(address).is_ok(), expected.is_none() || of_this_machine, "{text}");
        }
    }

    #[tokio::test]
    async fn names_are_resolved_before_they_are_judged() {
        let error = Guard::new(false).resolve(&Host::Domain("localhost"), 80).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let found = Guard::new(true).resolve(&Host::Domain("localhost"), 80).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        let error = Guard::new(true).resolve(&Host::Domain("name.invalid"), 80).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}
