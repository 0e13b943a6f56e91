//! Services of type LoadBalancer: the address that MetalLB or PureLB gave them, and whether they keep it. Pure.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Service;
use serde::Serialize;

use super::{Change, Scene, has_pools};
use crate::compile::ServiceReport;
use crate::objects::ObjectKey;

/// A Service of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRow {
    /// `namespace/name`.
    pub service: String,
    /// Its `spec.loadBalancerClass`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Addresses and host names in its status.
    pub today: Vec<String>,
    /// Addresses that it would have.
    pub then: Vec<String>,
    /// The pool that they are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What becomes of it.
    pub change: Change,
    /// Why it is refused, or left to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A row for each.
pub(super) fn rows(scene: &Scene<'_>) -> Vec<ServiceRow> {
    let reports: HashMap<(&str, &str), &ServiceReport> =
        scene.compiled.report.services.iter().map(|report| ((&*report.namespace, &*report.name), &**report)).collect();
    let services = scene.cluster.objects.services.iter().filter(|(_, stored)| is_balancer(&stored.object));
    services.map(|(key, stored)| row(scene, key, &stored.object, reports.get(&(&*key.namespace, &*key.name)).copied())).collect()
}

fn row(scene: &Scene<'_>, key: &ObjectKey, service: &Service, report: Option<&ServiceReport>) -> ServiceRow {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.clone()).filter(|class| !class.is_empty());
    let today = today(service);
    let allocation = scene.compiled.allocations.services.get(key);
    let then: Vec<String> = allocation.into_iter().flat_map(|allocation| &allocation.addresses).map(ToString::to_string).collect();
    let refused = report.and_then(|report| report.refused.as_ref()).map(|refused| format!("{}: {}", refused.field, refused.message));
    let (change, why) = match refused {
        _ if !scene.settings.service_class.is_ours(service) => (Change::Elsewhere, Some(elsewhere(class.as_deref()))),
        _ if !has_pools(scene.cluster.objects, scene.settings) => (Change::Unknown, None),
        Some(refused) => (Change::Refused, Some(refused)),
        None => (Change::between(&today, &then), None),
    };
    ServiceRow { service: key.to_string(), class, today, then, pool: allocation.map(|allocation| allocation.pool.clone()), change, why }
}

fn elsewhere(class: Option<&str>) -> String {
    match class {
        Some(class) => format!("of the class {class}, which is not addresses.loadBalancerClass; its allocator keeps it"),
        None => "without a class, and addresses.defaultClass is false; the cluster's default allocator keeps it".to_owned(),
    }
}

/// Whether it is of type LoadBalancer.
pub(super) fn is_balancer(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"))
}

/// Addresses and host names in its status.
pub(super) fn today(service: &Service) -> Vec<String> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone())).collect()
}
