//! Where clients reach the gateway. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;

use super::Settings;
use crate::objects::Objects;

/// Addresses and names under which clients reach the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicAddresses {
    /// Addresses, for DNS and for status.
    pub addresses: Vec<IpAddr>,
    /// Host names, for status.
    pub hostnames: Vec<String>,
}

/// Those of the published Service, as ingress-nginx's `--publish-service` takes them; the configured ones where there is none or it has none yet.
pub(super) fn addresses(objects: &Objects, settings: &Settings) -> PublicAddresses {
    let service = settings.publish_service.as_ref().and_then(|key| objects.services.get(key));
    service
        .map(|stored| published(&stored.object))
        .filter(|public| *public != PublicAddresses::default())
        .unwrap_or_else(|| PublicAddresses { addresses: settings.public_addresses.clone(), hostnames: Vec::new() })
}

fn published(service: &Service) -> PublicAddresses {
    let spec = service.spec.as_ref();
    if let Some(name) = spec.filter(|spec| spec.type_.as_deref() == Some("ExternalName")).and_then(|spec| spec.external_name.clone()) {
        return PublicAddresses { addresses: Vec::new(), hostnames: vec![name] };
    }
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    PublicAddresses {
        addresses: entries.iter().filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect(),
        hostnames: entries.iter().filter(|entry| entry.ip.is_none()).filter_map(|entry| entry.hostname.clone()).collect(),
    }
}
