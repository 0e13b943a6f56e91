//! Which addresses and names a tenant may have the gateway connect to. Pure.

use std::net::{IpAddr, Ipv4Addr};

/// Whether a tenant's address may be connected to. Loopback would reach what listens for this node only, the gateway's own administration among it, and
/// link-local the metadata service of a cloud.
#[must_use]
pub fn may_reach(address: IpAddr, allow_loopback: bool) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return allow_loopback;
    }
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_unspecified() || address.is_multicast())
}

/// Whether a tenant's host may be connected to, as far as it is known without asking a name server: names of the machine itself (RFC 6761 section 6.3) and
/// addresses in each form that a resolver takes may not all.
#[must_use]
pub fn may_reach_host(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") {
        return false;
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    literal.parse().ok().or_else(|| numeric(literal)).is_none_or(|address| may_reach(address, false))
}

/// An IPv4 address as inet_aton(3) reads it, and with it getaddrinfo(3): one to four numbers, decimal, octal or hexadecimal, the last of which fills what
/// is left.
fn numeric(text: &str) -> Option<IpAddr> {
    let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, before) = parts.split_last().filter(|(_, before)| before.len() < 4)?;
    let bits = 8 * (4 - u32::try_from(before.len()).ok()?);
    if before.iter().any(|part| *part > 255) || u64::from(*last) >> bits != 0 {
        return None;
    }
    let high = before.iter().fold(0, |address: u64, part| address << 8 | u64::from(*part));
    Some(Ipv4Addr::from_bits(u32::try_from(high << bits | u64::from(*last)).ok()?).into())
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_of_the_node_itself_are_not_allowed() {
        for (address, expected) in [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("::", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("ff02::1", false),
        ] {
            assert_eq!(may_reach(address.parse().unwrap(), false), expected, "{address}");
            assert_eq!(may_reach_host(address), expected, "{address}");
        }
        assert!(may_reach("127.0.0.1".parse().unwrap(), true) && may_reach("::1".parse().unwrap(), true));
        assert!(!may_reach("169.254.169.254".parse().unwrap(), true));
    }

    #[test]
    fn hosts_that_can_only_be_the_node_itself_are_not_allowed() {
        for (host, expected) in [
            ("auth.example.net", true),
            ("localhost.example.net", true),
            ("10.0.0.1", true),
            ("10.1", true),
            ("1.2.3.4.5", true),
            ("256.0.0.1", true),
            ("127.0.0.x", true),
            ("[2001:db8::1]", true),
            ("", true),
            ("localhost", false),
            ("LocalHost.", false),
            ("db.localhost", false),
            ("[::1]", false),
            ("127.1", false),
            ("127.0.1", false),
            ("2130706433", false),
            ("0x7f.1", false),
            ("0x7f000001", false),
            ("0177.0.0.1", false),
            ("0", false),
            ("169.254.43518", false),
        ] {
            assert_eq!(may_reach_host(host), expected, "{host}");
        }
    }
}
