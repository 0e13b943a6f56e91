//! Secrets: their metadata is known of all, their content is asked for only of those that something names. Pure; time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::mirror;
use crate::objects::ObjectKey;
use crate::replicas::MANAGED_BY;
use crate::source::object::Kind;

/// How long a content is held after nothing names its Secret any more. It spares a request when the name comes back, and whoever looks for Secrets that were
/// deleted has then long stopped wanting this one.
const HELD_UNNAMED: Duration = Duration::from_secs(60);

/// What is known of Secrets.
#[derive(Debug, Default)]
pub(super) struct Vault {
    own_namespace: Option<String>,
    known: BTreeMap<ObjectKey, Known>,
    named: Arc<BTreeSet<ObjectKey>>,
    /// Whether anything else was told or came since it was looked for what is to be done.
    changed: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// The version that the API server told.
    told: String,
    /// The version that was told when the content was asked for.
    asked: Option<String>,
    /// The version of the content that came.
    got: Option<String>,
    /// Whether it is this program's own.
    ours: bool,
    /// Since when it is held although nothing names it.
    unnamed: Option<Instant>,
}

/// What is to be done about contents.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// To be asked for.
    pub ask: Vec<ObjectKey>,
    /// No longer to be held.
    pub forget: Vec<ObjectKey>,
}

impl Vault {
    /// Secrets of this program lie in its own namespace.
    pub(super) fn new(own_namespace: Option<String>) -> Self {
        Self { own_namespace, ..Self::default() }
    }

    /// These are all Secrets. Returns those that are gone, and whether one that is wanted changed.
    pub(super) fn list(&mut self, values: &[Value]) -> (Vec<ObjectKey>, bool) {
        self.changed = true;
        let listed: BTreeSet<_> = values.iter().filter_map(|value| mirror::key(Kind::Secret, value)).collect();
        let gone: Vec<_> = self.known.keys().filter(|key| !listed.contains(key)).cloned().collect();
        gone.iter().for_each(|key| drop(self.known.remove(key)));
        let changed = values.iter().fold(false, |changed, value| self.apply(value) | changed);
        (gone, changed)
    }

    /// A Secret came or changed. Returns whether it is wanted.
    pub(super) fn apply(&mut self, value: &Value) -> bool {
        let Some(key) = mirror::key(Kind::Secret, value) else { return false };
        let ours = self.own_namespace.as_ref() == Some(&key.namespace) && value["metadata"]["labels"][MANAGED_BY.0] == MANAGED_BY.1;
        let version = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let wanted = ours || self.named.contains(&key);
        self.changed = true;
        let known = self.known.entry(key).or_default();
        let changed = known.told != version || known.ours != ours;
        version.clone_into(&mut known.told);
        known.ours = ours;
        wanted && changed
    }

    /// A Secret went.
    pub(super) fn delete(&mut self, value: &Value) -> Option<ObjectKey> {
        mirror::key(Kind::Secret, value).filter(|key| self.known.remove(key).is_some())
    }

    /// These are named now. What is returned counts as done. Costs nothing where nothing has changed.
    pub(super) fn name(&mut self, named: &Arc<BTreeSet<ObjectKey>>, now: Instant) -> Steps {
        let mut steps = Steps::default();
        if Arc::ptr_eq(&self.named, named) && !self.changed {
            return steps;
        }
        self.named = Arc::clone(named);
        self.changed = false;
        for (key, known) in &mut self.known {
            let wanted = known.ours || self.named.contains(key);
            known.unnamed = (!wanted && known.asked.is_some()).then(|| known.unnamed.unwrap_or(now));
            if wanted && known.asked.as_ref() != Some(&known.told) && known.got.as_ref() != Some(&known.told) {
                known.asked = Some(known.told.clone());
                steps.ask.push(key.clone());
            } else if known.unnamed.is_some_and(|since| now.saturating_duration_since(since) >= HELD_UNNAMED) {
                (known.asked, known.got, known.unnamed) = (None, None, None);
                steps.forget.push(key.clone());
            }
            // Time alone changes what is to be done about it.
            self.changed |= known.unnamed.is_some();
        }
        steps
    }

    /// The content came. Returns whether it is still wanted.
    pub(super) fn answered(&mut self, key: &ObjectKey, version: Option<&str>) -> bool {
        let Some(known) = self.known.get_mut(key).filter(|known| known.asked.is_some()) else { return false };
        known.got = version.map(str::to_owned);
        self.changed = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(namespace: &str, name: &str, version: &str, labels: &Value) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "resourceVersion": version, "labels": labels}})
    }

    fn plain(name: &str, version: &str) -> Value {
        secret("ns", name, version, &Value::Null)
    }

    fn keys(names: &[&str]) -> Vec<ObjectKey> {
        names.iter().map(|name| ObjectKey::new("ns", *name)).collect()
    }

    fn named(names: &[&str]) -> Arc<BTreeSet<ObjectKey>> {
        keys(names).into_iter().collect::<BTreeSet<_>>().into()
    }

    fn ask(names: &[&str]) -> Steps {
        Steps { ask: keys(names), forget: vec![] }
    }

    #[test]
    fn contents_are_asked_for_when_they_are_named_and_when_they_change() {
        let mut vault = Vault::new(None);
        assert_eq!(vault.list(&[plain("a", "1"), plain("b", "2")]), (vec![], false));
        assert_eq!(vault.name(&named(&["a", "c"]), Instant::now()), ask(&["a"]));
        assert_eq!(vault.name(&named(&["a", "c"]), Instant::now()), ask(&[]), "it was asked for");
        assert!(vault.answered(&ObjectKey::new("ns", "a"), Some("1")));
        assert!(!vault.apply(&plain("b", "3")), "nobody names it");
        assert!(vault.apply(&plain("a", "4")) && vault.apply(&plain("c", "5")));
        assert_eq!(vault.name(&named(&["a", "c"]), Instant::now()), ask(&["a", "c"]));
    }

    #[test]
    fn a_content_that_is_newer_than_what_was_told_is_not_asked_for_again() {
        let mut vault = Vault::new(None);
        vault.list(&[plain("a", "1")]);
        vault.name(&named(&["a"]), Instant::now());
        vault.answered(&ObjectKey::new("ns", "a"), Some("2"));
        assert_eq!(vault.name(&named(&["a"]), Instant::now()), ask(&[]));
        vault.apply(&plain("a", "2"));
        assert_eq!(vault.name(&named(&["a"]), Instant::now()), ask(&[]));
    }

    #[test]
    fn what_nobody_names_any_more_is_forgotten() {
        let mut vault = Vault::new(None);
        let start = Instant::now();
        let later = move |seconds| start + Duration::from_secs(seconds);
        vault.list(&[plain("a", "1"), plain("b", "1")]);
        vault.name(&named(&["a", "b"]), later(0));
        let forgotten = |vault: &mut Vault, names: &[&str], seconds| vault.name(&named(names), later(seconds)).forget;
        assert_eq!(forgotten(&mut vault, &["b"], 10), []);
        assert_eq!(forgotten(&mut vault, &["a", "b"], 60), [], "it is named again");
        assert_eq!(forgotten(&mut vault, &["b"], 61), []);
        assert_eq!(forgotten(&mut vault, &["b"], 120), []);
        assert_eq!(vault.name(&named(&["b"]), later(121)), Steps { ask: vec![], forget: keys(&["a"]) });
        assert!(!vault.answered(&ObjectKey::new("ns", "a"), Some("1")), "an answer that comes too late");
        assert_eq!(vault.name(&named(&["a", "b"]), Instant::now()), ask(&["a"]));
        assert_eq!(vault.list(&[plain("a", "1")]), (keys(&["b"]), false));
        assert_eq!((vault.delete(&plain("a", "1")), vault.delete(&plain("a", "1"))), (Some(ObjectKey::new("ns", "a")), None));
    }

    #[test]
    fn our_own_secrets_need_not_be_named_but_only_in_our_own_namespace() {
        let mut vault = Vault::new(Some("vrata-system".into()));
        let labels = json!({"app.kubernetes.io/managed-by": "vrata"});
        let ours = secret("vrata-system", "account", "1", &labels);
        assert!(vault.apply(&ours) && !vault.apply(&secret("ns", "account", "1", &labels)));
        assert_eq!(vault.name(&Arc::default(), Instant::now()).ask, [ObjectKey::new("vrata-system", "account")]);
    }
}
