//! Names of hosts as keys: lookups that neither allocate nor depend on how many names there are. Pure.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table};
use smallvec::SmallVec;

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
#[derive(Debug)]
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

/// Values by name.
///
/// Where hosts are many, what a lookup reads has left the processor's cache, and each step to elsewhere in memory is waited for: so a name lies beside its
/// value, and both in one cache line.
#[derive(Debug)]
struct Names<T> {
    entries: HashTable<Entry<T>>,
    hashing: RandomState,
}

/// A name and its value. Longer names than fit are kept elsewhere.
#[derive(Debug)]
#[repr(align(64))]
struct Entry<T> {
    name: SmallVec<[u8; 40]>,
    value: T,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T> Names<T> {
    /// Empty, with room for so many.
    fn with_capacity(capacity: usize) -> Self {
        Self { entries: HashTable::with_capacity(capacity), hashing: RandomState::default() }
    }

    fn get(&self, name: &[u8]) -> Option<&T> {
        self.entries.find(self.hashing.hash_one(name), |entry| *entry.name == *name).map(|entry| &entry.value)
    }

    /// Adds a value, made when the name has none yet.
    fn add(&mut self, name: &[u8], make: impl FnOnce() -> T) {
        let Self { entries, hashing } = self;
        let entry = entries.entry(hashing.hash_one(name), |entry| *entry.name == *name, |entry| hashing.hash_one(&*entry.name));
        if let hash_table::Entry::Vacant(vacant) = entry {
            vacant.insert(Entry { name: name.into(), value: make() });
        }
    }

    fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.value)
    }
}

/// Values by exact host and by one-label wildcard.
#[derive(Debug)]
pub(crate) struct HostMap<T> {
    exact: Names<T>,
    wildcard: Names<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: Names::default(), wildcard: Names::default() }
    }
}

impl<T> HostMap<T> {
    /// Empty, with room for so many of each.
    pub(crate) fn with_capacity(exact: usize, wildcard: usize) -> Self {
        Self { exact: Names::with_capacity(exact), wildcard: Names::with_capacity(wildcard) }
    }

    /// The value of the exact host, else of the wildcard one label up.
    pub(crate) fn get(&self, host: &FoldedHost) -> Option<&T> {
        self.exact.get(host.as_bytes()).or_else(|| self.wildcard.get(host.parent()?))
    }

    /// Adds a value, made when its key has none yet.
    pub(crate) fn add(&mut self, key: &HostKey, make: impl FnOnce() -> T) {
        match key {
            HostKey::Exact(name) => self.exact.add(name, make),
            HostKey::Wildcard(suffix) => self.wildcard.add(suffix, make),
        }
    }

    /// All values, in no particular order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::paths::HostRules;

    /// Of many lengths.
    fn name(n: usize) -> String {
        format!("{n}.{}", "x".repeat(n % 240))
    }

    #[test]
    fn a_common_host_and_its_rules_share_a_cache_line() {
        assert_eq!(size_of::<Entry<HostRules>>(), 64);
        assert!(!SmallVec::<[u8; 40]>::from(&*name(30).into_bytes()).spilled());
    }

    #[test]
    fn names_are_found_after_any_growth_and_the_first_value_of_each_stays() {
        let mut map = HostMap::default();
        for (round, n) in (0..2).flat_map(|round| (0..3000).map(move |n| (round, n))) {
            let pattern = |name: String| if n % 2 == 0 { HostPattern::Exact(name.into()) } else { HostPattern::Wildcard(name.into()) };
            map.add(&HostKey::new(&pattern(name(n))).unwrap(), || (round, n));
        }
        assert_eq!(map.values().count(), 3000);
        for n in 0..3000 {
            let host = if n % 2 == 0 { name(n) } else { format!("a.{}", name(n)) };
            assert_eq!(map.get(&FoldedHost::new(&host).unwrap()), Some(&(0, n)), "{host}");
            assert_eq!(map.get(&FoldedHost::new(&format!("{host}y")).unwrap()), None, "{host}");
        }
    }
}
