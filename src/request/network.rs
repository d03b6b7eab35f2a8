//! A range of addresses: of terminators, and of those a signed URL is bound to.

use std::fmt;
use std::net::IpAddr;

/// An address with the number of its bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `address` or `address/bits`. The bits that do not count must be zero: otherwise it is not certain what was meant.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        if address != address.to_canonical() {
            return None;
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => {
                let plain = bits.bytes().all(|b| b.is_ascii_digit()) && !bits.starts_with('0');
                bits.parse().ok().filter(|bits| plain && *bits <= most)?
            }
        };
        let network = Self { address, bits };
        (network.masked(address) == number(address)).then_some(network)
    }

    /// One address.
    pub fn one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The address, when it is a network of one.
    pub fn single(self) -> Option<IpAddr> {
        (self == Self::one(self.address)).then_some(self.address)
    }

    /// Whether an address is in it. One that is IPv4 in IPv6 clothes is the IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.masked(address) == self.masked(self.address)
    }

    fn masked(self, address: IpAddr) -> u128 {
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let ignored = width.saturating_sub(self.bits);
        number(address).checked_shr(ignored).unwrap_or(0).checked_shl(ignored).unwrap_or(0)
    }
}

impl fmt::Display for Network {
    /// Always with the number of bits: `192.0.2.7/32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn a_network_holds_the_addresses_that_share_its_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..], &["11.0.0.0", "9.255.255.255", "::a00:0"][..]),
            ("192.0.2.7", &["192.0.2.7", "::ffff:192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]),
            ("::1", &["::1"], &["::2", "0.0.0.1", "127.0.0.1"]),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::", "32.1.13.184"]),
            ("8000::/1", &["ffff::1"], &["7fff::1"]),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(inside.iter().all(|address| parsed.contains(address.parse().unwrap())), "{network}");
            assert!(!outside.iter().any(|address| parsed.contains(address.parse().unwrap())), "{network}");
        }
    }

    #[test]
    fn a_network_is_written_in_one_way() {
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/0",
            "::/0",
            "::/129",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "010.0.0.1",
            "localhost",
            "10.0.0.0/8/8",
            "[::1]",
            "fe80::1%eth0",
            " ::1",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
