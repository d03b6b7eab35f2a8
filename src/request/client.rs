//! The address of the client, as far as those who tell it are trusted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Proxies;
use crate::decision::{Denial, Reason};

/// The address of the client: the runtime's peer, or what the outermost trusted proxy saw.
///
/// SECURITY: `x-forwarded-for` is counted from the right. Each trusted proxy appends the peer it saw, so the last
/// `trusted_hops` entries are theirs; everything to the left of them is whatever the client wrote.
pub(super) fn address(peer: Option<&[u8]>, headers: &[(String, Vec<u8>)], proxies: Proxies) -> Result<Option<IpAddr>, Denial> {
    let invalid = |what: &str| Denial::new(Reason::RequestClientAddressInvalid, what);
    let Some(skip) = proxies.trusted_hops.checked_sub(1) else {
        return peer.map(|peer| parse(peer).ok_or_else(|| invalid("`spin-client-addr` is not an address"))).transpose();
    };
    let fields = headers.iter().rev().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    // Empty entries count: skipping them would let a left entry move into a place that is trusted.
    let mut entries = fields.flat_map(|(_, value)| value.rsplit(|byte| *byte == b','));
    let entry = entries.nth(skip).ok_or_else(|| invalid("`x-forwarded-for` has fewer entries than there are trusted proxies"))?;
    parse(entry).map(Some).ok_or_else(|| invalid("the entry of `x-forwarded-for` that counts is not an address"))
}

/// The address of who holds the connection, where the runtime tells it.
pub(super) fn peer(peer: Option<&[u8]>) -> Option<IpAddr> {
    peer.and_then(parse)
}

/// Reads `ip`, `ip:port`, `[v6]` or `[v6]:port`. An IPv4 address in IPv6 clothes is the IPv4 address: a rule about
/// `10.0.0.0/8` must see `::ffff:10.0.0.1`.
fn parse(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| text.parse::<IpAddr>()).ok().or_else(bracketed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{address, parse};
    use crate::decision::Reason;
    use crate::request::Proxies;

    fn forwarded(fields: &[&str], trusted_hops: usize) -> Result<Option<String>, Reason> {
        let headers: Vec<_> = fields.iter().map(|value| ("X-Forwarded-For".to_owned(), value.as_bytes().to_vec())).collect();
        address(Some(b"192.0.2.99:1"), &headers, Proxies { trusted_hops })
            .map(|ip| ip.map(|ip| ip.to_string()))
            .map_err(|denial| denial.reason)
    }

    fn found(ip: &str) -> Result<Option<String>, Reason> {
        Ok(Some(ip.to_owned()))
    }

    const INVALID: Result<Option<String>, Reason> = Err(Reason::RequestClientAddressInvalid);

    #[test]
    fn the_peer_counts_when_no_proxy_is_trusted() {
        assert_eq!(forwarded(&["6.6.6.6"], 0), found("192.0.2.99"));
        assert_eq!(address(None, &[], Proxies::default()), Ok(None));
        for bad in ["", "unknown", "1.2.3", "1.2.3.4:", "1.2.3.4:99999", "01.2.3.4", "1.2.3.4, 5.6.7.8", "[1.2.3.4]", "example.com:80"] {
            let denial = address(Some(bad.as_bytes()), &[], Proxies::default()).unwrap_err();
            assert_eq!(denial.reason, Reason::RequestClientAddressInvalid, "{bad}");
        }
    }

    #[test]
    fn proxies_are_counted_from_the_right() {
        assert_eq!(forwarded(&["6.6.6.6, 10.0.0.1"], 1), found("10.0.0.1"));
        assert_eq!(forwarded(&["6.6.6.6, 10.0.0.1"], 2), found("6.6.6.6"));
        assert_eq!(forwarded(&["6.6.6.6, 10.0.0.1"], 3), INVALID);
        assert_eq!(forwarded(&["6.6.6.6", "10.0.0.1,10.0.0.2"], 1), found("10.0.0.2"));
        assert_eq!(forwarded(&["6.6.6.6", "10.0.0.1,10.0.0.2"], 3), found("6.6.6.6"));
        assert_eq!(forwarded(&["not an address", "10.0.0.1"], 1), found("10.0.0.1"));
        assert_eq!(forwarded(&["10.0.0.1", "unknown"], 1), INVALID);
        assert_eq!(forwarded(&["10.0.0.1,"], 1), INVALID);
        assert_eq!(forwarded(&["10.0.0.1,"], 2), found("10.0.0.1"));
        assert_eq!(forwarded(&[""], 1), INVALID);
        assert_eq!(forwarded(&[], 1), INVALID);
        assert_eq!(forwarded(&["10.0.0.1"], usize::MAX), INVALID);
        assert_eq!(forwarded(&["_hidden"], 1), INVALID);
    }

    #[test]
    fn addresses_come_in_four_forms() {
        for (text, ip) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            (" \t192.0.2.1 ", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[fe80::1%2]:80", "fe80::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), ip, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_never_moves_what_a_proxy_wrote(client in prop::collection::vec(any::<Vec<u8>>(), 0..4), hops in 1_usize..4) {
            let mut headers: Vec<_> = client.into_iter().map(|value| ("x-forwarded-for".to_owned(), value)).collect();
            for hop in 0..hops {
                headers.push(("x-forwarded-for".to_owned(), format!("10.0.0.{}", hop + 1).into_bytes()));
            }
            let ip = address(None, &headers, Proxies { trusted_hops: hops }).unwrap().unwrap();
            prop_assert_eq!(ip.to_string(), "10.0.0.1");
        }

        #[test]
        fn an_address_reads_back_as_itself(bytes in prop_oneof![any::<Vec<u8>>(), "[0-9a-f:.\\[\\]%]{0,16}".prop_map(String::into_bytes)]) {
            if let Some(ip) = parse(&bytes) {
                prop_assert_eq!(parse(ip.to_string().as_bytes()), Some(ip));
            }
        }
    }
}
