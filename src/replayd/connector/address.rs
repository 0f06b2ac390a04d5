//! Which addresses are on the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tells whether `address` is one that anybody could be given; what carries an IPv4 address inside counts as that.
///
/// Source: IANA special-purpose address registries, read 2026-11.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => inside(six).map_or_else(|| is_public_v6(six), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    let relay = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 224
        || shared
        || protocol
        || benchmark
        || relay
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // 2000::/3 is what is given out; 2001::/23 and the documentation's ranges are special.
    let special = first == 0x2001 && (second < 0x0200 || second == 0x0db8);
    first & 0xe000 == 0x2000 && !special && first != 0x3fff
}

/// Finds the IPv4 address in one that is mapped, compatible, translated (NAT64) or relayed (6to4).
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let whole = address.octets();
    let at = |from: usize| {
        let four: [u8; 4] = whole.get(from..from.saturating_add(4))?.try_into().ok()?;
        Some(Ipv4Addr::from(four))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => at(12),
        [0x2002, ..] => at(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], public: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        check(
            &[
                "1.1.1.1",
                "100.63.255.255",
                "100.128.0.0",
                "172.15.0.1",
                "223.255.255.255",
            ],
            true,
        );
        check(
            &[
                "2606:4700::1111",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
                "2002:808:808::1",
            ],
            true,
        );
    }

    #[test]
    fn this_machine_and_private_networks_are_not_public() {
        check(
            &[
                "127.0.0.1",
                "0.0.0.0",
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "169.254.169.254",
            ],
            false,
        );
        check(&["::1", "::", "fe80::1", "fc00::1", "fd00::8", "ff02::1"], false);
    }

    #[test]
    fn what_nobody_is_given_is_not_public() {
        check(
            &[
                "100.64.0.1",
                "198.18.0.1",
                "192.0.2.1",
                "224.0.0.1",
                "255.255.255.255",
                "192.0.0.8",
            ],
            false,
        );
        check(&["2001:db8::1", "2001::1", "3fff::1"], false);
    }

    #[test]
    fn an_address_inside_another_is_what_counts() {
        check(
            &[
                "::ffff:127.0.0.1",
                "::ffff:0:10.0.0.1",
                "::127.0.0.1",
                "64:ff9b::10.0.0.1",
                "2002:7f00:1::1",
            ],
            false,
        );
    }
}
