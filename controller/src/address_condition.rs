//! The condition by which a Service tells whether it has its addresses: people look at the object that they wrote. Pure.
//!
//! It is ours whoever writes the addresses: where another controller writes over them, it is what remembers them.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use crate::compile::RefusedAddress;

/// Its type; the prefix keeps it apart from those of Kubernetes and of other controllers.
pub const TYPE: &str = "vrata.io/AddressAllocated";

/// Its reasons with which the addresses in its message are the Service's.
const ALLOCATED: &str = "Allocated";
const OVERWRITTEN: &str = "StatusConflict";
/// The reason where another controller allocates, and its addresses are served.
const ELSEWHERE: &str = "AllocatedElsewhere";
/// What comes behind the addresses in a message.
const BEHIND: &str = "; ";

/// What it says, but for since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    allocated: bool,
    reason: String,
    message: String,
}

impl Told {
    /// That a Service has these addresses, or why it has not all that it asks for; `None` when it asks for none.
    #[must_use]
    pub fn of(addresses: &[IpAddr], refused: Option<&RefusedAddress>) -> Option<Self> {
        match refused {
            Some(RefusedAddress { field, reason, message }) => {
                Some(Self { allocated: false, reason: reason.to_string(), message: format!("{field}: {message}") })
            }
            None if addresses.is_empty() => None,
            None => Some(Self { allocated: true, reason: ALLOCATED.to_owned(), message: list(addresses) }),
        }
    }

    /// That another controller has written over these addresses, which are served all the same.
    #[must_use]
    pub fn overwritten(addresses: &[IpAddr], by: &str) -> Self {
        let message = format!("{}{BEHIND}served here, although {by} writes status.loadBalancer.ingress", list(addresses));
        Self { allocated: true, reason: OVERWRITTEN.to_owned(), message }
    }

    /// That another controller has written these addresses, which are served as long as they stand there.
    #[must_use]
    pub fn elsewhere(addresses: &[IpAddr], by: &str) -> Self {
        let message = format!("{}{BEHIND}served as long as {by} leaves them in status.loadBalancer.ingress", list(addresses));
        Self { allocated: true, reason: ELSEWHERE.to_owned(), message }
    }

    /// That these addresses are the Service's and not served, since another controller keeps them out of its status.
    #[must_use]
    pub fn kept_out(addresses: &[IpAddr], by: &str) -> Self {
        let message = format!(
            "status.loadBalancer.ingress: {} waits to be written here, and is not served before: {by} owns this field; remove that controller, or give the object's class to one of the two",
            list(addresses)
        );
        Self { allocated: false, reason: OVERWRITTEN.to_owned(), message }
    }

    /// The addresses that were this Service's when the condition was written.
    #[must_use]
    pub fn remembered(service: &Service) -> Vec<IpAddr> {
        let told = current(service).filter(|told| told.status == "True" && [ALLOCATED, OVERWRITTEN].contains(&told.reason.as_str()));
        let addresses = told.and_then(|told| told.message.split(BEHIND).next()).into_iter().flat_map(|list| list.split(", "));
        addresses.filter_map(|address| address.parse().ok()).collect()
    }

    /// That an address is allocated and another Service has yet to give it up.
    #[must_use]
    pub fn waits_for(address: IpAddr) -> Self {
        let message = format!("{address} is this Service's as soon as another Service's status no longer has it");
        Self { allocated: false, reason: "AddressStillHeld".to_owned(), message }
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
            (Some(told), Some(current)) => (told.state(), &told.reason, &told.message) == (&*current.status, &current.reason, &current.message),
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
        json!({"type": TYPE, "status": self.state(), "reason": self.reason, "message": self.message})
    }

    const fn state(&self) -> &'static str {
        if self.allocated { "True" } else { "False" }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn current(service: &Service) -> Option<&Condition> {
    service.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == TYPE)
}
