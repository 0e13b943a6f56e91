//! What a Service asks for, as a value. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::objects::{Age, ObjectKey};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Which families a Service wants (`spec.ipFamilyPolicy`, `spec.ipFamilies`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// One address of whichever family there is, IPv4 first: a SingleStack Service that names no family.
    Any,
    /// One address of this family (SingleStack).
    Single(Family),
    /// One address of each family where a pool has both, else one, preferably of this family (PreferDualStack).
    PreferDual(Family),
    /// One address of each family, or nothing (RequireDualStack). The family comes first in the Service's status.
    RequireDual(Family),
}

/// Protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// A port of a Service: Services that share an address must not have one in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// Protocol.
    pub protocol: Protocol,
    /// Number.
    pub port: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// How its traffic reaches its pods, as far as it stands in the way of sharing: MetalLB's "backend key".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// `externalTrafficPolicy: Cluster`: from any node.
    #[default]
    Cluster,
    /// `externalTrafficPolicy: Local`: only from the nodes that run these pods, so that Services share an address only if they select the same ones.
    Local(BTreeMap<String, String>),
}

/// A value and the field of the Service that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    /// What is asked for.
    pub value: T,
    /// `spec.loadBalancerIP` or `metadata.annotations[…]`.
    pub field: String,
}

/// What a Service asks for beyond any address that is free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Only from this pool.
    pub pool: Option<Asked<String>>,
    /// Exactly these addresses: at most one of each family.
    pub addresses: Option<Asked<Vec<IpAddr>>>,
    /// Services with the same key may share an address: those of one namespace, and those of namespaces that name each other.
    pub sharing_key: Option<String>,
}

/// One Service of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The Service.
    pub service: ObjectKey,
    /// Its seniority: the older one is served first.
    pub age: Age,
    /// Families it wants.
    pub families: Families,
    /// Its ports.
    pub ports: BTreeSet<Port>,
    /// Its labels: pools may be for Services with certain ones.
    pub labels: BTreeMap<String, String>,
    /// How its traffic reaches its pods.
    pub traffic: TrafficPolicy,
    /// Namespaces with which it agrees to share its addresses; they have to agree, too.
    pub shares_with: BTreeSet<String>,
    /// What it asks for; `None` when that could not be read: then it keeps the address it holds and gets no other.
    pub request: Option<Request>,
}
