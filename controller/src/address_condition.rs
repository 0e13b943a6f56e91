//! The condition by which a Service tells whether it has its addresses: people look at the object that they wrote. Pure.
//!
//! It is ours whoever writes the addresses: where another controller writes over them, it is what remembers them.

use std::net::IpAddr;

use acme::listed;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use crate::compile::RefusedAddress;

/// Its type; the prefix keeps it apart from those of Kubernetes and of other controllers.
pub const TYPE: &str = "vrata.io/AddressAllocated";

/// Its reason where another controller writes the status.
const CONFLICT: &str = "StatusConflict";
/// The same where that controller allocates, and its addresses are served.
const ELSEWHERE: &str = "AllocatedElsewhere";
/// What comes behind addresses that are the Service's although it has not all that it asks for.
const STAYS: &str = " stays";
/// What comes before the rest of the message.
const BEHIND: &str = "; ";

/// What it says, but for since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    allocated: bool,
    reason: String,
    /// The addresses that are the Service's. They come first in the message, before anything that a tenant wrote.
    has: Vec<IpAddr>,
    rest: String,
}

impl Told {
    /// That a Service has these addresses, or why it has not all that it asks for; `None` when it asks for none.
    #[must_use]
    pub fn of(addresses: &[IpAddr], refused: Option<&RefusedAddress>) -> Option<Self> {
        match refused {
            Some(RefusedAddress { field, reason, message }) => Some(Self::lacks(&reason.to_string(), addresses, format!("{field}: {message}"))),
            None if addresses.is_empty() => None,
            None => Some(Self::allocated("Allocated", addresses, String::new())),
        }
    }

    /// That another controller has written over these addresses, which are served all the same.
    #[must_use]
    pub fn overwritten(addresses: &[IpAddr], by: &str) -> Self {
        Self::allocated(CONFLICT, addresses, format!("served here, although {by} writes status.loadBalancer.ingress"))
    }

    /// That another controller has written these addresses, which are served as long as they stand there.
    #[must_use]
    pub fn elsewhere(addresses: &[IpAddr], by: &str) -> Self {
        Self::allocated(ELSEWHERE, addresses, format!("served as long as {by} leaves this in status.loadBalancer.ingress"))
    }

    /// That some addresses are the Service's, and others are not served, since another controller keeps them out of its status.
    #[must_use]
    pub fn kept_out(has: &[IpAddr], lacks: &[IpAddr], by: &str) -> Self {
        let what = format!("{} waits to be written here, and is not served before: {by} owns this field", listed(lacks));
        let rest = format!("status.loadBalancer.ingress: {what}; remove that controller, or give the object's class to one of the two");
        Self::lacks(CONFLICT, has, rest)
    }

    /// That an address is allocated and another Service has yet to give it up.
    #[must_use]
    pub fn waits_for(has: &[IpAddr], address: IpAddr) -> Self {
        Self::lacks("AddressStillHeld", has, format!("{address} is this Service's as soon as another Service's status no longer has it"))
    }

    fn allocated(reason: &str, has: &[IpAddr], rest: String) -> Self {
        Self { allocated: true, reason: reason.to_owned(), has: has.to_vec(), rest }
    }

    fn lacks(reason: &str, has: &[IpAddr], rest: String) -> Self {
        Self { allocated: false, reason: reason.to_owned(), has: has.to_vec(), rest }
    }

    /// The same of a Service that has of its addresses only those.
    #[must_use]
    pub fn with_only(mut self, addresses: &[IpAddr]) -> Self {
        self.has.retain(|address| addresses.contains(address));
        self
    }

    /// The addresses that this program had allocated to the Service when its condition was written.
    #[must_use]
    pub fn remembered(service: &Service) -> Vec<IpAddr> {
        let told = current(service).filter(|told| told.reason != ELSEWHERE);
        let first = told.and_then(|told| told.message.split(BEHIND).next()).unwrap_or_default();
        let addresses: Result<Vec<IpAddr>, _> = first.strip_suffix(STAYS).unwrap_or(first).split(", ").map(str::parse).collect();
        addresses.unwrap_or_default()
    }

    fn message(&self) -> String {
        let (has, stays) = (listed(&self.has), if self.allocated { "" } else { STAYS });
        match (self.has.is_empty(), self.rest.is_empty()) {
            (true, _) => self.rest.clone(),
            (false, true) => format!("{has}{stays}"),
            (false, false) => format!("{has}{stays}{BEHIND}{}", self.rest),
        }
    }

    /// Whether the Service has what it asks for.
    #[must_use]
    pub const fn is_allocated(&self) -> bool {
        self.allocated
    }

    /// Whether the Service's status says anything of it.
    #[must_use]
    pub fn is_told(service: &Service) -> bool {
        current(service).is_some()
    }

    /// Whether the Service's status says this, or says nothing where there is nothing to say.
    #[must_use]
    pub fn is_shown(told: Option<&Self>, service: &Service) -> bool {
        match (told, current(service)) {
            (None, current) => current.is_none(),
            (Some(told), Some(current)) => (told.state(), &told.reason, &told.message()) == (&*current.status, &current.reason, &current.message),
            (Some(_), None) => false,
        }
    }

    /// The condition for a Service; since when it holds is kept while it holds.
    #[must_use]
    pub fn condition(&self, service: &Service, now: Timestamp) -> Value {
        let before = current(service).filter(|current| current.status == self.state());
        // Times of the API are of another version of the library; the text is the same.
        let since = before.and_then(|current| serde_json::to_value(&current.last_transition_time).ok());
        let mut condition = self.value();
        condition["lastTransitionTime"] = since.unwrap_or_else(|| format!("{now:.0}").into());
        condition
    }

    /// The same without since when.
    #[must_use]
    pub fn value(&self) -> Value {
        json!({"type": TYPE, "status": self.state(), "reason": self.reason, "message": self.message()})
    }

    const fn state(&self) -> &'static str {
        if self.allocated { "True" } else { "False" }
    }
}

fn current(service: &Service) -> Option<&Condition> {
    service.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Reason;

    fn told(told: &Told) -> Service {
        let mut condition = told.value();
        condition["lastTransitionTime"] = "2026-11-24T06:00:00Z".into();
        serde_json::from_value(json!({"status": {"conditions": [condition]}})).expect("a Service")
    }

    #[test]
    fn a_condition_remembers_what_was_allocated_and_nothing_that_a_tenant_wrote() {
        let addresses: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().expect("an address")];
        let refused = |message: &str| RefusedAddress { field: "f".into(), reason: Reason::AddressNotAllowed, message: message.into() };
        let both = || addresses.clone();
        let table = [
            (Told::of(&addresses, None), "192.0.2.1, 2001:db8::1", both()),
            (Told::of(&addresses, Some(&refused("why"))), "192.0.2.1, 2001:db8::1 stays; f: why", both()),
            (Told::of(&[], Some(&refused("\"x; 192.0.2.9 stays; 192.0.2.9\""))), "f: \"x; 192.0.2.9 stays; 192.0.2.9\"", vec![]),
            (Told::of(&[], Some(&refused("\"x, 192.0.2.9 stays; y\""))), "f: \"x, 192.0.2.9 stays; y\"", vec![]),
            (Some(Told::overwritten(&addresses, "x")), "192.0.2.1, 2001:db8::1; served here, although x writes status.loadBalancer.ingress", both()),
            (Some(Told::elsewhere(&addresses[..1], "x")), "192.0.2.1; served as long as x leaves this in status.loadBalancer.ingress", vec![]),
            (
                Some(Told::waits_for(&addresses[..1], addresses[1])),
                "192.0.2.1 stays; 2001:db8::1 is this Service's as soon as another Service's status no longer has it",
                addresses[..1].to_vec(),
            ),
        ];
        for (said, message, remembered) in table {
            let service = told(said.as_ref().expect("something to say"));
            assert_eq!((current(&service).map(|told| &*told.message), Told::remembered(&service)), (Some(message), remembered));
            assert!(Told::is_shown(said.as_ref(), &service));
        }
    }
}
