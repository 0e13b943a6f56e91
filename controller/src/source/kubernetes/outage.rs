//! Which kinds cannot be read at the moment, and what of it is worth a line in the log: the beginning and the end of an outage, not each attempt. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Class, Fault};
use super::subject::Subject;

/// The kinds that fail, with the class of the last failure.
#[derive(Debug, Default)]
pub(super) struct Outages {
    failing: BTreeMap<Subject, Class>,
    /// What was told since all was well.
    told: BTreeSet<Class>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Something fails now that did not before.
    Begun(String),
    /// Nothing fails any more.
    Over,
}

impl Outages {
    /// A kind failed.
    pub(super) fn failed(&mut self, subject: Subject, fault: &Fault) -> Option<Line> {
        // A list that has to be taken anew is no outage.
        if fault.class == Class::Gone {
            return None;
        }
        let before = self.failing.insert(subject, fault.class);
        // A connection may break off at any time; that the next one does so too is worth a word.
        let is_once = fault.class == Class::Cut && before.is_none();
        let is_new = match fault.class {
            Class::Forbidden => before != Some(Class::Forbidden),
            class => !self.told.contains(&class),
        };
        (is_new && !is_once).then(|| {
            self.told.insert(fault.class);
            Line::Begun(format!("cannot watch {}: {}", subject.name(), fault.message))
        })
    }

    /// Whether the kind fails.
    pub(super) fn is_out(&self, subject: Subject) -> bool {
        self.failing.contains_key(&subject)
    }

    /// The kinds that fail.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Subject> {
        self.failing.keys().copied()
    }

    /// A kind is read again.
    pub(super) fn restored(&mut self, subject: Subject) -> Option<Line> {
        let is_over = self.failing.remove(&subject).is_some() && self.failing.is_empty();
        (is_over && !std::mem::take(&mut self.told).is_empty()).then_some(Line::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kubernetes::subject::followed;
    use crate::source::object::Kind;

    #[test]
    fn an_outage_of_all_kinds_is_one_line_and_so_is_its_end() {
        let mut outages = Outages::default();
        let away = Fault::new(Class::Unreachable, "connection refused");
        let subjects: Vec<_> = followed(None).map(|(subject, _)| subject).collect();
        let lines: Vec<_> = subjects.iter().chain(&subjects).filter_map(|subject| outages.failed(*subject, &away)).collect();
        assert_eq!(lines, [Line::Begun("cannot watch Ingress: connection refused".into())]);
        let over: Vec<_> = subjects.iter().filter_map(|subject| outages.restored(*subject)).collect();
        assert_eq!(over, [Line::Over]);
        assert_eq!(outages.restored(subjects[0]), None);
    }

    #[test]
    fn each_kind_that_is_forbidden_is_told_once() {
        let mut outages = Outages::default();
        let forbidden = Fault::new(Class::Forbidden, "403");
        let (a, b) = (Subject::Kind(Kind::Secret), Subject::Kind(Kind::Service));
        let told: Vec<_> = [a, b, a, b].into_iter().map(|subject| outages.failed(subject, &forbidden).is_some()).collect();
        assert_eq!(told, [true, true, false, false]);
    }

    #[test]
    fn a_connection_that_breaks_off_is_told_when_the_next_one_does_too() {
        let (mut outages, cut) = (Outages::default(), Fault::new(Class::Cut, "cut"));
        let subject = Subject::Kind(Kind::Secret);
        assert_eq!((outages.failed(subject, &cut), outages.restored(subject)), (None, None));
        let told: Vec<_> = (0..3).map(|_| outages.failed(subject, &cut)).collect();
        assert_eq!(told, [None, Some(Line::Begun("cannot watch Secret: cut".into())), None]);
        assert_eq!(outages.restored(subject), Some(Line::Over));
    }

    #[test]
    fn a_new_list_is_no_outage() {
        assert_eq!(Outages::default().failed(Subject::Kind(Kind::Secret), &Fault::new(Class::Gone, "410")), None);
    }
}
