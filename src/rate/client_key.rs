//! The key by which limits count clients.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 network of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(IpAddr);

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> ClientKey {
        ClientKey(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            // Networks assign a /64 to one host or customer, who can use any address of it (RFC
            // 7421): a limit for single addresses would be no limit.
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                Ipv6Addr::from_bits(network).into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, are_same: bool) {
        let key = |address: &str| ClientKey::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(key(one) == key(other), are_same, "{one} and {other}");
    }

    #[test]
    fn ipv6_addresses_of_one_64_are_one_client() {
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("::ffff:10.0.0.1", "10.0.0.1", true);
        check("2001:db8::1", "2001:db8::ffff:0:0:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
    }
}
