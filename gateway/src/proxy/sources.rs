//! Whether a client's address is among the networks that may ask. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether one of the networks holds the client. IPv4 clients that came in over an IPv6 socket (`::ffff:192.0.2.1`) count as IPv4.
pub(super) fn admits(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| canonical(*network).contains(&client))
}

/// `::ffff:192.0.2.0/120` written as `192.0.2.0/24`; others stay as they are.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(addr), Some(prefix)) => ipnet::Ipv4Net::new(addr, prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn client_has_to_be_in_one_of_the_networks() {
        for (networks, client, expected) in [
            (&[][..], "192.0.2.1", false),
            (&["192.0.2.0/24"][..], "192.0.2.1", true),
            (&["192.0.2.0/24"], "192.0.3.1", false),
            (&["192.0.2.0/24"], "::ffff:192.0.2.1", true),
            (&["::ffff:192.0.2.0/120"], "192.0.2.1", true),
            (&["::ffff:192.0.2.0/120"], "192.0.3.1", false),
            (&["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", true),
            (&["2001:db8::/32"], "192.0.2.1", false),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["0.0.0.0/0"], "::ffff:198.51.100.1", true),
            (&["::/0"], "2001:db8::1", true),
            (&["::/0"], "192.0.2.1", false),
        ] {
            let networks: Vec<IpNet> = networks.iter().map(|n| n.parse().unwrap()).collect();
            assert_eq!(admits(&networks, client.parse().unwrap()), expected, "{networks:?} {client}");
        }
    }
}
