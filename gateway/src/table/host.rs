//! Names of hosts as keys: lookups that neither allocate nor depend on how many names there are. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::HostPattern;

/// Longest name that DNS can hold, in text form without the trailing dot (RFC 1035 section 2.3.4).
const LONGEST: usize = 253;

/// A host in the form in which hosts are compared: ASCII lower case, without a trailing dot.
pub(crate) struct FoldedHost {
    bytes: [u8; LONGEST],
    length: usize,
}

impl FoldedHost {
    /// Folds a host. `None` when it is longer than any name can be.
    pub(crate) fn new(host: &str) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let mut bytes = [0; LONGEST];
        let target = bytes.get_mut(..host.len())?;
        for (to, from) in target.iter_mut().zip(host) {
            *to = from.to_ascii_lowercase();
        }
        Some(Self { bytes, length: host.len() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// What follows the first label, when there is a first label and something follows.
    fn parent(&self) -> Option<&[u8]> {
        let name = self.as_bytes();
        let dot = name.iter().position(|byte| *byte == b'.')?;
        (dot > 0 && dot + 1 < name.len()).then(|| &name[dot + 1..])
    }
}

/// A pattern in the form in which it is looked for.
#[derive(Debug, Clone)]
pub(crate) enum HostKey {
    /// A whole name.
    Exact(Arc<[u8]>),
    /// What follows the first label.
    Wildcard(Arc<[u8]>),
}

impl HostKey {
    /// `None` for [`HostPattern::Any`] and for names that no host can match.
    pub(crate) fn new(pattern: &HostPattern) -> Option<Self> {
        match pattern {
            HostPattern::Exact(name) => folded(name).map(Self::Exact),
            HostPattern::Wildcard(suffix) => folded(suffix).map(Self::Wildcard),
            HostPattern::Any => None,
        }
    }
}

/// The name itself, shared, where it is folded already.
fn folded(name: &Arc<str>) -> Option<Arc<[u8]>> {
    let folded = FoldedHost::new(name)?;
    Some(if folded.as_bytes() == name.as_bytes() { Arc::clone(name).into() } else { folded.as_bytes().into() })
}

type Names<T> = HashMap<Arc<[u8]>, T, RandomState>;

/// Values by exact host and by one-label wildcard.
#[derive(Debug)]
pub(crate) struct HostMap<T> {
    exact: Names<T>,
    wildcard: Names<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcard: HashMap::default() }
    }
}

impl<T> HostMap<T> {
    /// Empty, with room for so many of each.
    pub(crate) fn with_capacity(exact: usize, wildcard: usize) -> Self {
        let names = |capacity| HashMap::with_capacity_and_hasher(capacity, RandomState::default());
        Self { exact: names(exact), wildcard: names(wildcard) }
    }

    /// The value of the exact host, else of the wildcard one label up.
    pub(crate) fn get(&self, host: &FoldedHost) -> Option<&T> {
        self.exact.get(host.as_bytes()).or_else(|| self.wildcard.get(host.parent()?))
    }

    /// Adds a value, made when its key has none yet.
    pub(crate) fn add(&mut self, key: HostKey, make: impl FnOnce() -> T) {
        match key {
            HostKey::Exact(name) => self.exact.entry(name).or_insert_with(make),
            HostKey::Wildcard(suffix) => self.wildcard.entry(suffix).or_insert_with(make),
        };
    }

    /// All values, in no particular order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values())
    }
}
