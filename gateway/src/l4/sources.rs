//! Whether a client address may use a listener (`loadBalancerSourceRanges`). Pure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Length of the prefix of IPv4-mapped addresses, `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

/// Whether `client` is in one of the networks; without networks everybody is. Each family is matched by its own networks: `::/0` lets no IPv4 client in.
/// An IPv4-mapped client, or network, is what it maps.
pub(super) fn admits(allowed: Option<&[IpNet]>, client: IpAddr) -> bool {
    let Some(networks) = allowed else { return true };
    let client = client.to_canonical();
    networks.iter().any(|network| match (network, client) {
        (IpNet::V6(network), IpAddr::V4(client)) => network.prefix_len() >= MAPPED_PREFIX && network.contains(&client.to_ipv6_mapped()),
        _ => network.contains(&client),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn networks_decide_by_family() {
        let table = [
            (None, "203.0.113.9", true),
            (Some(""), "203.0.113.9", false),
            (Some("203.0.113.0/24"), "203.0.113.9", true),
            (Some("203.0.113.0/24"), "::ffff:203.0.113.9", true),
            (Some("203.0.113.0/24"), "203.0.114.9", false),
            (Some("203.0.113.0/24"), "2001:db8::1", false),
            (Some("10.0.0.0/8 2001:db8::/32"), "2001:db8::1", true),
            (Some("::/0"), "203.0.113.9", false),
            (Some("::/0"), "2001:db8::1", true),
            (Some("0.0.0.0/0"), "2001:db8::1", false),
            (Some("0.0.0.0/0"), "::ffff:203.0.113.9", true),
            (Some("::ffff:203.0.113.0/120"), "203.0.113.9", true),
            (Some("::ffff:203.0.113.0/120"), "::ffff:203.0.113.9", true),
            (Some("::ffff:203.0.113.0/120"), "203.0.114.9", false),
        ];
        for (networks, client, expected) in table {
            let parsed: Option<Vec<IpNet>> = networks.map(|text| text.split_whitespace().map(|network| network.parse().unwrap()).collect());
            assert_eq!(admits(parsed.as_deref(), client.parse().unwrap()), expected, "{networks:?} {client}");
        }
    }
}
