//! Why a name is answered as it is: the steps that [`crate::answer()`] takes, for people.

use hickory_proto::rr::RecordType;

use super::{Found, NodeId, Zone};
use crate::answer::MAX_ALIASES;
use crate::name::{WireName, to_name};
use crate::wire::{CNAME, DS};
use crate::{Name, RData, RecordSet};

/// How a name is answered: the steps in order, the last one decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explanation {
    /// One step for each name that was looked up.
    pub steps: Vec<Step>,
    /// The answer section.
    pub records: Vec<RecordSet>,
}

/// One step of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The name is not in this zone.
    OutsideZone(Name),
    /// The name is in the zone and has records of the type.
    Found(Name),
    /// The name is in the zone, and has no records of the type.
    NoData(Name),
    /// The name has no records itself, but names lie below it.
    EmptyNonTerminal(Name),
    /// The name is covered by a wildcard; the following step tells what that has.
    Wildcard {
        /// The name asked for.
        name: Name,
        /// The wildcard.
        source: Name,
    },
    /// The name is an alias; the following step is about its target.
    Alias {
        /// The owner of the CNAME.
        name: Name,
        /// Its target.
        target: Name,
    },
    /// The name lies at or below a delegation.
    Delegation {
        /// The name asked for.
        name: Name,
        /// The owner of the NS records.
        cut: Name,
    },
    /// The name does not exist.
    NxDomain {
        /// The name asked for.
        name: Name,
        /// The nearest name above it that exists.
        closest_encloser: Name,
    },
    /// The chain of aliases is too long or a loop; it ends here.
    ChainEnds(Name),
}

impl Zone {
    /// What is answered for `name` and `record_type`, and why.
    #[must_use]
    pub fn lookup_explained(&self, name: &Name, record_type: RecordType) -> Explanation {
        let mut explanation = Explanation::default();
        let mut seen: Vec<NodeId> = Vec::new();
        let mut name = name.clone();
        while let Some((alias, target)) = self.explain_one(&name, record_type, &mut explanation) {
            if seen.len() == MAX_ALIASES || seen.contains(&alias) {
                explanation.records.pop();
                explanation.steps.push(Step::ChainEnds(name));
                break;
            }
            seen.push(alias);
            explanation.steps.push(Step::Alias { name, target: target.clone() });
            name = target;
        }
        explanation
    }

    /// Explains one name; the node and the target if it is an alias.
    fn explain_one(&self, name: &Name, record_type: RecordType, explanation: &mut Explanation) -> Option<(NodeId, Name)> {
        let steps = &mut explanation.steps;
        let wire = WireName::of(name);
        if !self.encloses(&wire) {
            steps.push(Step::OutsideZone(name.clone()));
            return None;
        }
        let named = |id| to_name(self.name(self.node(id)));
        let id = match self.find(&wire) {
            Found::Cut { node, exact } if !(exact && u16::from(record_type) == DS) => {
                steps.push(Step::Delegation { name: name.clone(), cut: named(node) });
                return None;
            }
            Found::Missing { encloser } => {
                steps.push(Step::NxDomain { name: name.clone(), closest_encloser: named(encloser) });
                return None;
            }
            Found::Wildcard { source } => {
                steps.push(Step::Wildcard { name: name.clone(), source: named(source) });
                source
            }
            Found::Node(node) | Found::Cut { node, .. } => node,
        };
        self.explain_node(id, name, record_type, explanation)
    }

    fn explain_node(&self, id: NodeId, name: &Name, record_type: RecordType, explanation: &mut Explanation) -> Option<(NodeId, Name)> {
        let node = self.node(id);
        let wanted = self.set(node, record_type.into());
        let alias = self.set(node, CNAME).filter(|_| wanted.is_none());
        if let Some(set) = wanted.or(alias) {
            explanation.records.push(self.decode(name.clone(), set));
        }
        if alias.is_some() {
            return explanation.records.last().and_then(|set| set.data.first()).and_then(|data| match data {
                RData::CNAME(target) => Some((id, target.0.clone())),
                _ => None,
            });
        }
        explanation.steps.push(match wanted {
            Some(_) => Step::Found(name.clone()),
            None if self.sets(node).is_empty() => Step::EmptyNonTerminal(name.clone()),
            None => Step::NoData(name.clone()),
        });
        None
    }
}
