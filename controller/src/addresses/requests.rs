//! Reads what one Service asks for: annotations of MetalLB and PureLB, and its spec. Pure.

use k8s_openapi::api::core::v1::Service;

use crate::objects::Stored;
use crate::problem::{Reason, Severity};

use super::Claim;

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A list of addresses with something else in it.
    #[error("{value:?} is not an IP address; write up to two addresses separated by a comma, one of each family")]
    BadAddress {
        /// The field.
        field: String,
        /// The part that is no address.
        value: String,
    },
    /// Two addresses of one family, or more than two.
    #[error("{value:?} names more than one address of a family; a Service has at most one IPv4 and one IPv6 address")]
    TooManyAddresses {
        /// The field.
        field: String,
        /// The whole value.
        value: String,
    },
    /// Two fields that ask for the same thing.
    #[error("{field} and {other} are both set; keep one of them")]
    Conflicting {
        /// The field.
        field: String,
        /// The other one.
        other: String,
    },
    /// A field of the spec that has no such value.
    #[error("{value:?} is not allowed here; {expected}")]
    BadField {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What may be written.
        expected: &'static str,
    },
    /// An annotation of these prefixes that is not known.
    #[error("this annotation is not known and has no effect{}", .suggestion.map_or_else(String::new, |key| format!("; did you mean {key}?")))]
    UnknownAnnotation {
        /// The field.
        field: String,
        /// The known one that it resembles.
        suggestion: Option<&'static str>,
    },
}

impl RequestError {
    /// The field that is wrong.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::BadAddress { field, .. }
            | Self::TooManyAddresses { field, .. }
            | Self::Conflicting { field, .. }
            | Self::BadField { field, .. }
            | Self::UnknownAnnotation { field, .. } => field,
        }
    }

    /// The reason that goes into the [`crate::problem::Problem`].
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownAnnotation { .. } => Reason::NoEffect,
            Self::BadField { .. } => Reason::InvalidField,
            _ if self.field().starts_with("spec.") => Reason::InvalidField,
            _ => Reason::InvalidAnnotation,
        }
    }

    /// Whether the Service gets no address for it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::UnknownAnnotation { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// What was read of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it asks for.
    pub claim: Claim,
    /// What is wrong with it.
    pub errors: Vec<RequestError>,
}

/// What a Service asks for. `None` when it is not for us: another type, or another `spec.loadBalancerClass` than `class` (by `None`, any class at all).
#[must_use]
pub fn claim_of(_service: &Stored<Service>, _class: Option<&str>) -> Option<Reading> {
    None
}
