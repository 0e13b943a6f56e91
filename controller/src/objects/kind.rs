//! All objects of one kind, as a map whose copies share everything until one of them is changed, and then all but the one namespace: every read is a copy
//! of what the source holds.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::iter::FlatMap;
use std::ops::Index;
use std::sync::Arc;

use super::{ObjectKey, Stored};

/// The objects of one namespace.
type Inner<T> = BTreeMap<ObjectKey, Arc<Stored<T>>>;

/// All objects of one kind, by namespace and name. None of its namespaces is empty.
#[derive(Debug)]
pub struct Kind<T>(Arc<BTreeMap<Arc<str>, Arc<Inner<T>>>>);

/// An object and its key.
type Item<'a, T> = (&'a ObjectKey, &'a Arc<Stored<T>>);

/// All objects, by key.
pub type KindIter<'a, T> = FlatMap<
    btree_map::Values<'a, Arc<str>, Arc<Inner<T>>>,
    btree_map::Iter<'a, ObjectKey, Arc<Stored<T>>>,
    fn(&'a Arc<Inner<T>>) -> btree_map::Iter<'a, ObjectKey, Arc<Stored<T>>>,
>;

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Kind<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Kind<T> {
    /// All objects, by key.
    pub fn iter(&self) -> KindIter<'_, T> {
        self.0.values().flat_map(|inner| inner.iter())
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.iter().map(|(key, _)| key)
    }

    /// All objects, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Stored<T>>> {
        self.iter().map(|(_, stored)| stored)
    }

    /// The same to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Arc<Stored<T>>> {
        Arc::make_mut(&mut self.0).values_mut().flat_map(|inner| Arc::make_mut(inner).values_mut())
    }

    /// Those of one namespace, by name.
    pub fn of(&self, namespace: &str) -> impl Iterator<Item = Item<'_, T>> {
        self.0.get(namespace).into_iter().flat_map(|inner| inner.iter())
    }

    /// The namespaces that have any, in order.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|namespace| &**namespace)
    }

    /// The object of this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Stored<T>>> {
        self.0.get(&*key.namespace)?.get(key)
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains_key(&self, key: &ObjectKey) -> bool {
        self.get(key).is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(|inner| inner.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an object, or has it in place of the one of this key.
    pub fn insert(&mut self, key: ObjectKey, stored: Arc<Stored<T>>) -> Option<Arc<Stored<T>>> {
        let outer = Arc::make_mut(&mut self.0);
        let inner = match outer.get_mut(&*key.namespace) {
            Some(inner) => inner,
            None => outer.entry(key.namespace.as_str().into()).or_default(),
        };
        Arc::make_mut(inner).insert(key, stored)
    }

    /// Takes an object out.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Stored<T>>> {
        self.get(key)?;
        let outer = Arc::make_mut(&mut self.0);
        let inner = Arc::make_mut(outer.get_mut(&*key.namespace)?);
        let removed = inner.remove(key);
        if inner.is_empty() {
            outer.remove(&*key.namespace);
        }
        removed
    }
}

impl<T: PartialEq> Kind<T> {
    /// Tells the key of each object that only one of the two has, or that differs. What both share is passed over without a look at it.
    pub fn differences<'a>(&'a self, other: &'a Self, mut tell: impl FnMut(&'a ObjectKey)) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        side_by_side(&self.0, &other.0, Arc::ptr_eq, |ours, theirs| {
            let shared = |a: &Arc<Stored<T>>, b: &Arc<Stored<T>>| Arc::ptr_eq(a, b) || a == b;
            match [ours, theirs].map(|entry| entry.map(|(_, inner)| &**inner)) {
                [Some(ours), Some(theirs)] => side_by_side(ours, theirs, shared, |a, b| a.or(b).into_iter().for_each(|(key, _)| tell(key))),
                [one, other] => one.or(other).into_iter().flat_map(BTreeMap::keys).for_each(&mut tell),
            }
        });
    }
}

/// One entry of a map.
type Entry<'a, K, V> = Option<(&'a K, &'a V)>;

/// Tells the entries of two maps that are not the same in both, those of one key together.
fn side_by_side<'a, K: Ord, V>(
    ours: &'a BTreeMap<K, V>,
    theirs: &'a BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
    mut tell: impl FnMut(Entry<'a, K, V>, Entry<'a, K, V>),
) {
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let one = if order.is_le() { ours.next() } else { None };
        let other = if order.is_ge() { theirs.next() } else { None };
        match (one, other) {
            (Some((_, a)), Some((_, b))) if same(a, b) => {}
            (one, other) => tell(one, other),
        }
    }
}

impl<T: PartialEq> PartialEq for Kind<T> {
    fn eq(&self, other: &Self) -> bool {
        let mut differ = false;
        self.differences(other, |_| differ = true);
        !differ
    }
}

impl<T> Index<&ObjectKey> for Kind<T> {
    type Output = Arc<Stored<T>>;

    fn index(&self, key: &ObjectKey) -> &Self::Output {
        self.get(key).expect("there is an object of this key")
    }
}

impl<'a, T> IntoIterator for &'a Kind<T> {
    type Item = Item<'a, T>;
    type IntoIter = KindIter<'a, T>;

    fn into_iter(self) -> KindIter<'a, T> {
        self.iter()
    }
}

impl<T> FromIterator<(ObjectKey, Arc<Stored<T>>)> for Kind<T> {
    fn from_iter<I: IntoIterator<Item = (ObjectKey, Arc<Stored<T>>)>>(objects: I) -> Self {
        objects.into_iter().fold(Self::default(), |mut kind, (key, stored)| {
            kind.insert(key, stored);
            kind
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Age, Meta};
    use crate::problem::ObjectRef;

    fn stored(name: &str, object: u8) -> (ObjectKey, Arc<Stored<u8>>) {
        let reference = ObjectRef { kind: "Test".into(), namespace: None, name: name.into() };
        let age = Age { created: None, origin: None, name: name.into() };
        (ObjectKey::new("", name), Arc::new(Stored { reference, object, origin: None, age, meta: Meta::default() }))
    }

    #[test]
    fn differences_are_what_came_went_or_changed() {
        let kind = |objects: &[(&str, u8)]| objects.iter().map(|(name, object)| stored(name, *object)).collect::<Kind<u8>>();
        let before = kind(&[("a", 1), ("b", 2), ("c", 3), ("e", 5)]);
        let mut after = before.clone();
        for (name, object) in [("b", 9), ("c", 3), ("d", 4)] {
            let (key, stored) = stored(name, object);
            after.insert(key, stored);
        }
        after.remove(&ObjectKey::new("", "e"));
        let told = |one: &Kind<u8>, other: &Kind<u8>| {
            let mut told = Vec::new();
            one.differences(other, |key| told.push(key.name.clone()));
            told
        };
        assert_eq!(told(&after, &before), ["b", "d", "e"]);
        assert_eq!(told(&before, &after), ["b", "d", "e"]);
        assert_eq!(told(&Kind::default(), &before), ["a", "b", "c", "e"]);
        assert_eq!(told(&before, &before.clone()), Vec::<String>::new());
    }

    #[test]
    fn objects_are_found_by_namespace() {
        let object = |namespace: &str, name: &str| (ObjectKey::new(namespace, name), stored(name, 1).1);
        let kind: Kind<u8> = [object("a", "1"), object("a", "2"), object("a-b", "1"), object("ab", "1"), object("b", "9")].into_iter().collect();
        assert_eq!(kind.namespaces().collect::<Vec<_>>(), ["a", "a-b", "ab", "b"]);
        assert_eq!(kind.of("a").map(|(key, _)| key.name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((kind.of("aa").count(), Kind::<u8>::default().namespaces().count()), (0, 0));
    }

    #[test]
    fn a_copy_shares_everything_until_one_of_them_is_changed() {
        let mut mirror: Kind<u8> = [stored("a", 1), stored("b", 2)].into_iter().collect();
        mirror.insert(ObjectKey::new("other", "c"), stored("c", 1).1);
        let read = mirror.clone();
        assert!(Arc::ptr_eq(&mirror.0, &read.0));
        let (key, changed) = stored("a", 3);
        mirror.insert(key.clone(), changed);
        assert_eq!((mirror[&key].object, read[&key].object), (3, 1));
        assert!(mirror != read && read == read.clone());
        let b = ObjectKey::new("", "b");
        assert!(Arc::ptr_eq(&mirror[&b], &read[&b]) && Arc::ptr_eq(&mirror.0["other"], &read.0["other"]));
        mirror.remove(&ObjectKey::new("other", "c"));
        assert_eq!((mirror.len(), read.len(), mirror.namespaces().collect::<Vec<_>>()), (2, 3, vec![""]));
    }
}
