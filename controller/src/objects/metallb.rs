//! metallb.io/v1beta1 IPAddressPool, as far as it is understood.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};

/// The spec of an IPAddressPool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolSpec {
    /// CIDRs and ranges.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Whether Services that do not name it may get an address from it; so by default.
    pub auto_assign: Option<bool>,
    /// Whether IPv4 addresses that end in .0 or .255 are kept back.
    #[serde(rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: Option<bool>,
    /// For whom it is.
    pub service_allocation: Option<ServiceAllocation>,
}

/// `spec.serviceAllocation`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// The lower number is asked first; 0 and none come last.
    pub priority: Option<i64>,
    /// Namespaces that may use it.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Namespaces with these labels may, too.
    #[serde(default)]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Only Services with these labels may.
    #[serde(default)]
    pub service_selectors: Vec<LabelSelector>,
}
