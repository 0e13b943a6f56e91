//! A part of a routing table, made once and put into many tables: what one part of the cluster asks for, while another one changes. Pure.

use super::host::HostKey;
use super::paths::HostRules;
use super::{HostPattern, Rule};

/// The rules of some hosts, ready to be put into a table.
#[derive(Debug, Default)]
pub struct TablePart {
    hosts: Vec<(HostKey, HostRules)>,
    wildcards: usize,
    any: Option<HostRules>,
}

impl TablePart {
    /// Makes a part. Rules come in order of precedence: where two have the same host and path, the first one is kept.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut rules: Vec<Rule> = rules.into_iter().collect();
        // Those of one host come together, in the order they were given.
        rules.sort_by(|a, b| a.host().cmp(b.host()));
        let mut part = Self::default();
        let mut rules = rules.into_iter().peekable();
        while let Some(first) = rules.next() {
            let host = first.host().clone();
            let mut of_host = vec![first];
            of_host.extend(std::iter::from_fn(|| rules.next_if(|next| *next.host() == host)));
            part.add(&host, HostRules::new(of_host));
        }
        part
    }

    fn add(&mut self, host: &HostPattern, rules: HostRules) {
        if *host == HostPattern::Any {
            self.any = Some(rules);
        } else if let Some(key) = HostKey::new(host) {
            self.wildcards += usize::from(matches!(key, HostKey::Wildcard(_)));
            self.hosts.push((key, rules));
        }
    }

    /// Its hosts but the catch-all, each with its rules.
    pub(super) fn hosts(&self) -> &[(HostKey, HostRules)] {
        &self.hosts
    }

    /// How many of its hosts are wildcards.
    pub(super) const fn wildcards(&self) -> usize {
        self.wildcards
    }

    /// The rules of its catch-all.
    pub(super) const fn any(&self) -> Option<&HostRules> {
        self.any.as_ref()
    }
}
