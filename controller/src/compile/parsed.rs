//! Certificates that were parsed, kept from one compilation to the next: checking a key against its chain is by far the dearest thing a compilation does.
//! A memory of pure results; it decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use acme::SecretName;
use gateway::certificates::{CertificateError, ParsedCertificate};

/// Parsed certificates by the Secret they are from.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParsedCertificates {
    entries: BTreeMap<SecretName, Arc<Entry>>,
}

struct Entry {
    chain: Vec<u8>,
    key: Vec<u8>,
    result: Result<Arc<ParsedCertificate>, CertificateError>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("result", &self.result).finish_non_exhaustive()
    }
}

impl ParsedCertificates {
    /// Adds these.
    pub(super) fn extend(&mut self, others: &Self) {
        self.entries.extend(others.entries.iter().map(|(secret, entry)| (secret.clone(), Arc::clone(entry))));
    }

    /// Has these in place of those of the same namespaces before.
    pub(super) fn replace(&mut self, before: &Self, now: &Self) {
        for secret in before.entries.keys() {
            if !now.entries.contains_key(secret) {
                self.entries.remove(secret);
            }
        }
        self.extend(now);
    }

    /// Whether the end of one of them is after `since` and not after `now`.
    pub(super) fn any_expires(&self, since: SystemTime, now: SystemTime) -> bool {
        let mut ends = self.entries.values().filter_map(|entry| Some(entry.result.as_ref().ok()?.not_after()));
        ends.any(|end| end > since && end <= now)
    }
}

/// Parses what the last compilation did not.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    last: &'a ParsedCertificates,
    now: ParsedCertificates,
}

impl<'a> Parser<'a> {
    /// Starts with what the last compilation parsed.
    pub(crate) const fn new(last: &'a ParsedCertificates) -> Self {
        Self { last, now: ParsedCertificates { entries: BTreeMap::new() } }
    }

    /// The certificate that a Secret holds.
    pub(crate) fn parse(&mut self, secret: &SecretName, chain: &[u8], key: &[u8]) -> Result<Arc<ParsedCertificate>, CertificateError> {
        let known = [&self.now, self.last].into_iter().filter_map(|memory| memory.entries.get(secret)).find(|entry| entry.is_of(chain, key));
        let entry = known.map_or_else(|| Arc::new(Entry::parse(chain, key)), Arc::clone);
        let result = entry.result.clone();
        self.now.entries.insert(secret.clone(), entry);
        result
    }

    /// What was asked for in this compilation.
    pub(crate) fn into_parsed(self) -> ParsedCertificates {
        self.now
    }
}

impl Entry {
    fn parse(chain: &[u8], key: &[u8]) -> Self {
        Self { chain: chain.to_vec(), key: key.to_vec(), result: ParsedCertificate::parse(chain, key).map(Arc::new) }
    }

    fn is_of(&self, chain: &[u8], key: &[u8]) -> bool {
        self.chain == chain && self.key == key
    }
}
