//! The operator's policy: which namespaces may hold which names at all, whoever came first. Read and checked once. Pure.

use crate::config;

use super::pattern::{HostPattern, Namespaces, SuffixPattern};
use super::{CATCH_ALL, Refusal, Reserved, is_within};

/// The policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// As it was written, which is how it is kept.
    written: config::Ownership,
    reserved: Vec<(HostPattern, Namespaces)>,
    suffixes: Vec<Bound>,
    wildcards: Namespaces,
    foreign: Namespaces,
    shared: Vec<(HostPattern, Namespaces)>,
}

/// A suffix and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    suffix: SuffixPattern,
    namespaces: Namespaces,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// Path of the key below `ownership`.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl Default for Policy {
    /// Whoever comes first.
    fn default() -> Self {
        let everybody = || Namespaces::new(vec!["*".into()]);
        Self {
            written: config::Ownership::default(),
            reserved: Vec::new(),
            suffixes: Vec::new(),
            wildcards: everybody(),
            foreign: everybody(),
            shared: Vec::new(),
        }
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// Everything that is wrong with it: half a policy would open what the other half was to close.
    pub fn read(written: &config::Ownership) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let policy = Self {
            reserved: hosts("reserved", &written.reserved, &mut faults),
            suffixes: suffixes(&written.suffixes, &mut faults),
            wildcards: namespaces("wildcardNamespaces", &written.wildcard_namespaces, &mut faults),
            foreign: namespaces("foreignDomainNamespaces", &written.foreign_domain_namespaces, &mut faults),
            shared: hosts("sharedHosts", &written.shared_hosts, &mut faults),
            written: written.clone(),
        };
        if faults.is_empty() { Ok(policy) } else { Err(faults) }
    }

    /// As it was written.
    #[must_use]
    pub const fn written(&self) -> &config::Ownership {
        &self.written
    }

    /// Whether the two namespaces may share the host.
    pub(super) fn shares(&self, host: &str, one: &str, other: &str) -> bool {
        self.shared.iter().any(|(pattern, namespaces)| pattern.matches(host) && namespaces.admit(one) && namespaces.admit(other))
    }

    /// Whether the namespace may hold the host, if nobody does.
    pub(super) fn permit(&self, namespace: &str, host: &str, platform: &Reserved) -> Result<(), Refusal> {
        let base = host.strip_prefix("*.");
        let name = base.unwrap_or(host);
        if (base.is_some() || host == CATCH_ALL) && !self.wildcards.admit(namespace) {
            return Err(Refusal::WildcardNotAllowed { host: host.to_owned() });
        }
        if host == CATCH_ALL {
            return Ok(());
        }
        let closed = |entry: &&(HostPattern, Namespaces)| !entry.1.admit(namespace);
        if self.reserved.iter().filter(closed).any(|(pattern, _)| pattern.matches(name)) {
            return Err(Refusal::Reserved { host: host.to_owned() });
        }
        let bound = self.suffixes.iter().filter(|bound| bound.suffix.matches(name)).max_by_key(|bound| bound.suffix.weight());
        let named = self.named(namespace, host, name);
        if let Some(bound) = bound.filter(|bound| named < Some(bound.suffix.weight()) && !bound.is_of(namespace, name)) {
            return Err(Refusal::BoundToAnother { host: host.to_owned(), suffix: bound.suffix.to_string() });
        }
        if base.is_some_and(|base| self.catches_others_names(namespace, base)) {
            return Err(Refusal::TooWide { host: host.to_owned() });
        }
        if !self.foreign.admit(namespace) && !platform.zones.iter().any(|zone| is_within(name, zone)) {
            return Err(Refusal::ForeignDomain { host: host.to_owned() });
        }
        Ok(())
    }

    /// How closely an entry names the host as one that this namespace may hold, or share.
    fn named(&self, namespace: &str, host: &str, name: &str) -> Option<(usize, usize)> {
        let reserved = self.reserved.iter().filter(|(pattern, _)| pattern.matches(name));
        let shared = self.shared.iter().filter(|(pattern, _)| pattern.matches(host));
        reserved.chain(shared).filter(|(_, namespaces)| namespaces.admit(namespace)).map(|(pattern, _)| pattern.weight()).max()
    }

    /// Whether a wildcard would catch names that the policy keeps for others.
    fn catches_others_names(&self, namespace: &str, base: &str) -> bool {
        self.reserved.iter().any(|(pattern, namespaces)| pattern.is_below(base) && !namespaces.admit(namespace))
            || self.suffixes.iter().any(|bound| bound.suffix.is_below(base) && !bound.is_listed(namespace))
    }
}

impl Bound {
    /// Whether a name that the suffix matches is this namespace's.
    fn is_of(&self, namespace: &str, name: &str) -> bool {
        self.suffix.namespace_of(name).map_or_else(|| self.namespaces.admit(namespace), |owner| owner == namespace)
    }

    /// Whether all of the suffix is this namespace's.
    fn is_listed(&self, namespace: &str) -> bool {
        !self.suffix.names_namespace() && self.namespaces.admit(namespace)
    }
}

fn fault(key: String, message: impl Into<String>) -> PolicyFault {
    PolicyFault { key, message: message.into() }
}

fn hosts(key: &str, written: &[config::Names], faults: &mut Vec<PolicyFault>) -> Vec<(HostPattern, Namespaces)> {
    let mut read = Vec::new();
    for (index, entry) in written.iter().enumerate() {
        let namespaces = namespaces(&format!("{key}[{index}].namespaces"), &entry.namespaces, faults);
        match HostPattern::read(&entry.host) {
            Some(pattern) => read.push((pattern, namespaces)),
            None => {
                let message = format!("{:?} is neither a host nor *.SUFFIX", entry.host);
                faults.push(fault(format!("{key}[{index}].host"), message));
            }
        }
    }
    read
}

fn suffixes(written: &[config::Suffix], faults: &mut Vec<PolicyFault>) -> Vec<Bound> {
    let mut read = Vec::new();
    for (index, entry) in written.iter().enumerate() {
        let key = |name: &str| format!("suffixes[{index}].{name}");
        let listed = namespaces(&key("namespaces"), &entry.namespaces, faults);
        let Some(suffix) = SuffixPattern::read(&entry.suffix) else {
            let message = format!("{:?} is no suffix; write a domain, in which one label may have {{namespace}} in it once", entry.suffix);
            faults.push(fault(key("suffix"), message));
            continue;
        };
        match (suffix.names_namespace(), entry.namespaces.is_empty()) {
            (true, false) => faults.push(fault(key("namespaces"), "the suffix says itself to whom it belongs; remove one of the two")),
            (false, true) => faults.push(fault(key("namespaces"), "nobody could hold this suffix; name its namespaces, or reserve it")),
            _ => read.push(Bound { suffix, namespaces: listed }),
        }
    }
    read
}

fn namespaces(key: &str, written: &[String], faults: &mut Vec<PolicyFault>) -> Namespaces {
    for (index, text) in written.iter().enumerate() {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte)) {
            faults.push(fault(format!("{key}[{index}]"), format!("{text:?} is no namespace; write its name, in which * stands for any characters")));
        }
    }
    Namespaces::new(written.to_vec())
}
