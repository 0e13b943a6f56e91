//! What is decided for all namespaces at once, before any of them is compiled: the platform's own part, and who holds which address. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use acme::{SecretName, Wanted};
use dns::RecordSet;
use k8s_openapi::api::core::v1::Service;

use super::certificates::{self, Served};
use super::findings::Findings;
use super::issuers::{self, Issuers};
use super::l4::{self, Addresses};
use super::parsed::Parser;
use super::report::RefusedAddress;
use super::summary::{self, Certificates};
use super::{Facts, Input, PublicAddresses, ServedCertificate, Settings, policy, public, zones};
use crate::addresses::{Allocations, Standing};
use crate::objects::{Kind, ObjectKey, Objects};
use crate::ownership::Rules;
use crate::problem::Problem;

/// What the namespaces are compiled with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Common {
    /// Where clients reach the gateway.
    pub(super) public: PublicAddresses,
    /// What decides about hosts beside seniority.
    pub(super) rules: Arc<Rules>,
    /// ClusterIssuers.
    pub(super) issuers: Issuers,
}

/// Who holds which address.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    /// What is served: what was held before where only that may be.
    pub(super) served: Allocations,
    /// What is to be served once it is in the status of its Service.
    pub(super) pending: BTreeMap<ObjectKey, Vec<IpAddr>>,
    /// Why others hold none.
    pub(super) without: BTreeMap<ObjectKey, RefusedAddress>,
}

/// All that is decided at once.
pub(super) struct Whole {
    pub(super) common: Common,
    pub(super) held: Held,
    /// Who holds addresses from now on.
    pub(super) allocations: Allocations,
    pub(super) standing: Standing,
    /// The wildcards of the zones: wanted, told of, served.
    pub(super) wanted: BTreeMap<SecretName, Wanted>,
    pub(super) certificates: Certificates,
    pub(super) served: Vec<ServedCertificate>,
    /// What each zone holds that is no namespace's.
    pub(super) records: Vec<Arc<[RecordSet]>>,
    pub(super) problems: Vec<Problem>,
}

impl Whole {
    /// Decides.
    pub(super) fn decide(objects: &Objects, settings: &Settings, facts: &Facts, balancers: &Kind<Service>, parser: &mut Parser<'_>) -> Self {
        let mut findings = Findings::default();
        let public = public::addresses(objects, settings);
        let input = Input { objects, settings, facts, public: &public, balancers, namespaces: &[] };
        let rules = Arc::new(policy::rules(input, &mut findings));
        let issuers = issuers::of_cluster(input, parser, &mut findings);
        let wanted = certificates::platform(input, &issuers).into_iter().collect();
        certificates::report_platform_failures(input, &mut findings);
        let Addresses { allocations, refused: without, standing } = l4::addresses(input, &mut findings);
        let served = if settings.serves_held_only { facts.allocations.common(&allocations) } else { allocations.clone() };
        Self {
            certificates: summary::certificates(input, &wanted, parser),
            served: Served::platform(input, parser).certificates(),
            records: zones::platform(input),
            problems: findings.into_problems(),
            held: Held { pending: pending(&allocations, &served), served, without },
            common: Common { public, rules, issuers },
            allocations,
            standing,
            wanted,
        }
    }
}

/// The allocated addresses that are not served yet.
fn pending(allocations: &Allocations, served: &Allocations) -> BTreeMap<ObjectKey, Vec<IpAddr>> {
    let pending = allocations.services.iter().map(|(key, allocation)| {
        let is_served = |address: &IpAddr| served.services.get(key).is_some_and(|served| served.addresses.contains(address));
        (key.clone(), allocation.addresses.iter().copied().filter(|address| !is_served(address)).collect::<Vec<_>>())
    });
    pending.filter(|(_, addresses)| !addresses.is_empty()).collect()
}
