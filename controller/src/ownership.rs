//! Who owns a host: one pure function, for every kind that can claim one. Nothing else in the program decides it.
//!
//! A host belongs to the namespace that claimed it first (see [`Age`]); the holder's namespace may use it as often as it likes. A wildcard stands for its
//! base and for everything below the base, at any depth. Claims are heard from the oldest to the youngest; below, A and B are namespaces, A is the
//! older, `zone` is served here, `lab.org` is any other domain.
//!
//! | A holds            | B asks for            | B gets it | why                                                             |
//! |--------------------|-----------------------|-----------|-----------------------------------------------------------------|
//! | `app.zone`         | `app.zone`            | no        | one host, one namespace                                         |
//! | `app.zone`         | `www.zone`            | yes       | different hosts                                                 |
//! | `app.zone`         | `x.app.zone`          | yes       | an exact host holds just itself                                 |
//! | `app.zone`         | `*.app.zone`          | no        | a wildcard stands for its base, which A holds                   |
//! | `x.lab.zone`       | `*.lab.zone`          | yes       | A's exact host stays A's: exact beats wildcard                  |
//! | `*.lab.zone`       | `x.lab.zone`          | no        | it is below A's wildcard                                        |
//! | `*.lab.zone`       | `x.y.lab.zone`        | no        | below, at any depth                                             |
//! | `*.lab.zone`       | `*.y.lab.zone`        | no        | below, at any depth                                             |
//! | `*.lab.zone`       | `lab.zone`            | no        | the base of A's wildcard                                        |
//! | `*.y.lab.zone`     | `*.lab.zone`          | yes       | A's part stays A's                                              |
//! | the catch-all      | the catch-all         | no        | one holder, as for a host                                       |
//! | nothing            | `zone`                | no        | the apex is the platform's                                      |
//! | nothing            | `ns1.zone`            | no        | so are the names of its name servers and of the zone file       |
//! | nothing            | `x.sub.zone`          | no        | … and all below a name that the zone file delegates (`sub`)     |
//! | nothing            | `_acme-challenge.…`   | no        | reserved for challenges                                         |
//! | nothing            | `*.zone`              | no        | it would catch every name that nobody claimed yet               |
//! | nothing            | `*.parent-of-zone`    | no        | the same                                                        |
//! | nothing            | `*.org`               | no        | a wildcard below a top-level domain                             |
//! | nothing            | `*.lab.zone`          | yes       | first come, first served                                        |
//!
//! Before all that stands the operator's [`Policy`]: what it does not let a namespace hold, that namespace does not get, however early it came.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::objects::Age;
use crate::problem::ObjectRef;

mod pattern;
mod policy;

pub use policy::{Policy, PolicyFault};

/// The host of Ingress rules that name none.
pub const CATCH_ALL: &str = "*";

/// An object asks for a host.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Lower case, without a trailing dot, `*.` wildcards allowed; or [`CATCH_ALL`].
    pub host: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Seniority of the object.
    pub age: &'a Age,
    /// The object.
    pub object: &'a ObjectRef,
}

/// Names that no tenant can hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Apexes of the zones that are served, lower case, without a trailing dot.
    pub zones: BTreeSet<String>,
    /// Names in these zones that the platform uses itself, wildcards as they are.
    pub names: BTreeSet<String>,
    /// Names in these zones that are delegated to other servers.
    pub delegations: BTreeSet<String>,
}

/// What decides before seniority does: the platform's own names and the operator's policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// What the platform keeps for itself.
    pub reserved: Reserved,
    /// The operator's policy; `None`: there is one and it cannot be read, so nobody gets a host.
    pub policy: Option<Arc<Policy>>,
}

/// Who holds what, for [`Rules::permit`]: a pass knows it while it decides, what is published tells it afterwards.
pub trait Holdings {
    /// The namespace that holds just this host.
    fn holder(&self, host: &str) -> Option<&str>;

    /// The namespace that holds the wildcard of this base.
    fn wildcard(&self, base: &str) -> Option<&str>;
}

/// Who holds what.
#[derive(Debug, Clone, Default)]
pub struct Ownership<'a> {
    holders: HashMap<&'a str, Holder<'a>>,
    /// Namespaces that hold wildcards, by their bases: found without putting a `*.` before each suffix of every host.
    wildcards: HashMap<&'a str, &'a str>,
    rules: Arc<Rules>,
}

/// Who holds a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The object that claimed it first.
    pub object: &'a ObjectRef,
    /// Seniority of that object.
    pub age: &'a Age,
}

/// Why a namespace may not use a host. The words are for its tenant: they tell no other namespace's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is the platform's.
    #[error("{host:?} is reserved for the platform; choose another name")]
    Reserved {
        /// The host.
        host: String,
    },
    /// The wildcard is too wide.
    #[error("{host:?} would catch names of everybody; claim the hosts that you need one by one, or a wildcard below a name of yours")]
    TooWide {
        /// The host.
        host: String,
    },
    /// The policy keeps it for another namespace.
    #[error(
        "{host:?} is kept by the platform's policy for the namespace that {suffix:?} belongs to; choose a name of your own, or ask the platform's operators"
    )]
    BoundToAnother {
        /// The host.
        host: String,
        /// The suffix as the policy has it.
        suffix: String,
    },
    /// The policy lets this namespace hold no wildcards.
    #[error(
        "{host:?} is a wildcard, which the platform's policy does not let this namespace have; claim hosts one by one, or ask the platform's operators"
    )]
    WildcardNotAllowed {
        /// The host.
        host: String,
    },
    /// The policy lets this namespace hold names of the platform's zones only.
    #[error(
        "{host:?} is outside the platform's zones, where its policy does not let this namespace have names; choose one in a zone, or ask the platform's operators"
    )]
    ForeignDomain {
        /// The host.
        host: String,
    },
    /// There is a policy, and it cannot be read.
    #[error("{host:?} cannot be given to anybody: the platform's policy cannot be read; its operators have been told")]
    PolicyUnreadable {
        /// The host.
        host: String,
    },
    /// Another namespace holds it.
    #[error(
        "{host:?} is held by another namespace, which claimed it first; choose another name, or ask the platform's operators, who can see the holder"
    )]
    HeldByAnother {
        /// The host.
        host: String,
    },
    /// It is below, or the base of, a wildcard that another namespace holds.
    #[error(
        "{host:?} belongs to {wildcard:?}, which another namespace claimed first; choose another name, or ask the platform's operators, who can see the holder"
    )]
    UnderWildcard {
        /// The host.
        host: String,
        /// The wildcard.
        wildcard: String,
    },
    /// The base of the wildcard is held by another namespace.
    #[error(
        "{host:?} stands for {base:?} too, which another namespace claimed first; choose another name, or ask the platform's operators, who can see the holder"
    )]
    BaseHeldByAnother {
        /// The host.
        host: String,
        /// Its base.
        base: String,
    },
}

impl<'a> Ownership<'a> {
    /// Hears the claims, the oldest first; the order in which they are given does not matter.
    #[must_use]
    pub fn decide(mut claims: Vec<Claim<'a>>, rules: Arc<Rules>) -> Self {
        claims.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
        let mut ownership = Self { holders: HashMap::with_capacity(claims.len()), wildcards: HashMap::new(), rules };
        for claim in claims {
            if ownership.permit(claim.namespace, claim.host).is_ok() {
                let holder = Holder { namespace: claim.namespace, object: claim.object, age: claim.age };
                ownership.holders.entry(claim.host).or_insert(holder);
                if let Some(base) = claim.host.strip_prefix("*.") {
                    ownership.wildcards.entry(base).or_insert(claim.namespace);
                }
            }
        }
        ownership
    }

    /// Who holds just this host.
    #[must_use]
    pub fn holder(&self, host: &str) -> Option<&Holder<'a>> {
        self.holders.get(host)
    }

    /// All hosts that are held, in no particular order.
    pub fn hosts(&self) -> impl Iterator<Item = (&'a str, &Holder<'a>)> {
        self.holders.iter().map(|(host, holder)| (*host, holder))
    }

    /// What the platform keeps for itself.
    #[must_use]
    pub fn reserved(&self) -> &Reserved {
        &self.rules.reserved
    }

    /// Whether the namespace may use the host: it holds it, or shares it, or nobody does and nothing is against it.
    ///
    /// # Errors
    /// Why not.
    pub fn permit(&self, namespace: &str, host: &str) -> Result<(), Refusal> {
        self.rules.permit(self, namespace, host)
    }

    /// The same for a certificate: who shares a host by path must not have its key.
    ///
    /// # Errors
    /// Why not.
    pub fn permit_key(&self, namespace: &str, host: &str) -> Result<(), Refusal> {
        match self.holders.get(host) {
            Some(holder) if holder.namespace != namespace => Err(Refusal::HeldByAnother { host: host.to_owned() }),
            _ => self.permit(namespace, host),
        }
    }

    /// The same for a name that only a private CA signs and nobody needs to claim: the policy is about names that clients everywhere look up.
    ///
    /// # Errors
    /// Why not.
    pub fn permit_private(&self, namespace: &str, host: &str) -> Result<(), Refusal> {
        self.rules.permit_by_seniority(self, namespace, host)
    }
}

impl Holdings for Ownership<'_> {
    fn holder(&self, host: &str) -> Option<&str> {
        self.holders.get(host).map(|holder| holder.namespace)
    }

    fn wildcard(&self, base: &str) -> Option<&str> {
        self.wildcards.get(base).copied()
    }
}

impl<'a> Claim<'a> {
    /// The lesser is heard first.
    fn seniority(&self) -> (&'a Age, &'a ObjectRef, &'a str) {
        (self.age, self.object, self.host)
    }
}

impl Rules {
    /// Whether a namespace may use a host, given who holds what: the one place where it is decided.
    ///
    /// # Errors
    /// Why not.
    pub fn permit(&self, held: &impl Holdings, namespace: &str, host: &str) -> Result<(), Refusal> {
        let Some(policy) = &self.policy else { return Err(Refusal::PolicyUnreadable { host: host.to_owned() }) };
        match held.holder(host) {
            // It was asked when the namespace got it.
            Some(holder) if holder == namespace => return Ok(()),
            Some(holder) if policy.shares(host, holder, namespace) => return policy.permit(namespace, host, &self.reserved),
            _ => {}
        }
        self.permit_by_seniority(held, namespace, host)?;
        policy.permit(namespace, host, &self.reserved)
    }

    fn permit_by_seniority(&self, held: &impl Holdings, namespace: &str, host: &str) -> Result<(), Refusal> {
        match held.holder(host) {
            Some(holder) if holder == namespace => return Ok(()),
            Some(_) => return Err(Refusal::HeldByAnother { host: host.to_owned() }),
            None if host == CATCH_ALL => return Ok(()),
            None => {}
        }
        self.reserved.permit(host)?;
        let base = host.strip_prefix("*.").unwrap_or(host);
        if base.len() < host.len() && held.holder(base).is_some_and(|holder| holder != namespace) {
            return Err(Refusal::BaseHeldByAnother { host: host.to_owned(), base: base.to_owned() });
        }
        match wildcard_of_another(held, namespace, base) {
            Some(wildcard) => Err(Refusal::UnderWildcard { host: host.to_owned(), wildcard }),
            None => Ok(()),
        }
    }
}

/// The wildcard of another namespace that `name` is below, or the base of.
fn wildcard_of_another(held: &impl Holdings, namespace: &str, name: &str) -> Option<String> {
    suffixes(name).find(|suffix| held.wildcard(suffix).is_some_and(|holder| holder != namespace)).map(|base| format!("*.{base}"))
}

impl Reserved {
    /// Whether a tenant may hold the host at all.
    ///
    /// # Errors
    /// Why not.
    pub fn permit(&self, host: &str) -> Result<(), Refusal> {
        let base = host.strip_prefix("*.");
        let name = base.unwrap_or(host);
        if base.is_some_and(|base| !base.contains('.') || self.zones.iter().any(|zone| is_within(zone, base))) {
            return Err(Refusal::TooWide { host: host.to_owned() });
        }
        let reserved = self.zones.contains(host)
            || self.names.contains(host)
            || name.split('.').any(|label| label == "_acme-challenge")
            || (!self.delegations.is_empty() && suffixes(name).any(|suffix| self.delegations.contains(suffix)));
        if reserved { Err(Refusal::Reserved { host: host.to_owned() }) } else { Ok(()) }
    }
}

/// The name and all names that it is below, the nearest first.
pub(crate) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |suffix| suffix.split_once('.').map(|(_, parent)| parent))
}

fn is_within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests;
