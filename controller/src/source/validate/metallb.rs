//! metallb.io/v1beta1 IPAddressPool: what its CRD and MetalLB's webhook would refuse, so that the last good version of a pool stays. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::names::is_label;
use crate::addresses::{PoolRange, Selector};
use crate::objects::AddressPoolSpec;
use crate::source::finding::Findings;

/// An IPAddressPool. That it overlaps others is told where all of them are known.
pub(in crate::source) fn address_pool(spec: &AddressPoolSpec, found: &mut Findings) {
    if spec.addresses.is_empty() {
        found.refuse("spec.addresses", "There is no address. Write a CIDR (192.0.2.0/24) or a range (192.0.2.10-192.0.2.20).");
    }
    for (index, text) in spec.addresses.iter().enumerate() {
        if let Err(error) = PoolRange::lenient(text) {
            found.refuse(format!("spec.addresses[{index}]"), format!("{text:?} {error}."));
        }
    }
    let Some(allocation) = &spec.service_allocation else { return };
    if allocation.priority.is_some_and(|priority| priority < 0) {
        found.refuse("spec.serviceAllocation.priority", "The priority is negative. Write 1 or more; the lower number comes first, 0 last.");
    }
    for (index, namespace) in allocation.namespaces.iter().enumerate().filter(|(_, name)| !is_label(name)) {
        found.refuse(format!("spec.serviceAllocation.namespaces[{index}]"), format!("{namespace:?} is no name of a namespace."));
    }
    selectors("namespaceSelectors", &allocation.namespace_selectors, found);
    selectors("serviceSelectors", &allocation.service_selectors, found);
}

fn selectors(name: &str, selectors: &[LabelSelector], found: &mut Findings) {
    for (index, selector) in selectors.iter().enumerate() {
        if let Err(error) = Selector::read(selector) {
            let (place, message) = (&error.field, &error.message);
            found.refuse(format!("spec.serviceAllocation.{name}[{index}].{place}"), format!("{message}."));
        }
    }
}
