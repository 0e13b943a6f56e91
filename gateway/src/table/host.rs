//! Names of hosts as keys: lookups that neither allocate nor depend on how many names there are. Pure.

use std::collections::HashMap;

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

/// Values by exact host and by one-label wildcard.
#[derive(Debug)]
pub(crate) struct HostMap<T> {
    exact: HashMap<Box<[u8]>, T, RandomState>,
    wildcard: HashMap<Box<[u8]>, T, RandomState>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcard: HashMap::default() }
    }
}

impl<T> HostMap<T> {
    /// The value of the exact host, else of the wildcard one label up.
    pub(crate) fn get(&self, host: &FoldedHost) -> Option<&T> {
        self.exact.get(host.as_bytes()).or_else(|| self.wildcard.get(host.parent()?))
    }

    /// The value of a pattern, made when it is not there yet. `None` for [`HostPattern::Any`] and for names that no host can match.
    pub(crate) fn entry(&mut self, pattern: &HostPattern, make: impl FnOnce() -> T) -> Option<&mut T> {
        let (map, name) = match pattern {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Wildcard(suffix) => (&mut self.wildcard, suffix),
            HostPattern::Any => return None,
        };
        Some(map.entry(FoldedHost::new(name)?.as_bytes().into()).or_insert_with(make))
    }

    /// All values, in no particular order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values())
    }
}
