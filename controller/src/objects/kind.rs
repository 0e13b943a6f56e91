//! All objects of one kind, as a map whose copies share everything until one of them is changed: every read is a copy of what the source holds.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{ObjectKey, Stored};

/// The map that is shared.
type Map<T> = BTreeMap<ObjectKey, Arc<Stored<T>>>;

/// All objects of one kind, by namespace and name. Used as the map that it is; a change copies the keys first where another copy shares them.
#[derive(Debug)]
pub struct Kind<T>(Arc<Map<T>>);

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

impl<T: PartialEq> PartialEq for Kind<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T> Deref for Kind<T> {
    type Target = Map<T>;

    fn deref(&self) -> &Map<T> {
        &self.0
    }
}

impl<T> DerefMut for Kind<T> {
    fn deref_mut(&mut self) -> &mut Map<T> {
        Arc::make_mut(&mut self.0)
    }
}

impl<'a, T> IntoIterator for &'a Kind<T> {
    type Item = (&'a ObjectKey, &'a Arc<Stored<T>>);
    type IntoIter = btree_map::Iter<'a, ObjectKey, Arc<Stored<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> FromIterator<(ObjectKey, Arc<Stored<T>>)> for Kind<T> {
    fn from_iter<I: IntoIterator<Item = (ObjectKey, Arc<Stored<T>>)>>(objects: I) -> Self {
        Self(Arc::new(objects.into_iter().collect()))
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
    fn a_copy_shares_everything_until_one_of_them_is_changed() {
        let mut mirror: Kind<u8> = [stored("a", 1), stored("b", 2)].into_iter().collect();
        let read = mirror.clone();
        assert!(Arc::ptr_eq(&mirror.0, &read.0));
        let (key, changed) = stored("a", 3);
        mirror.insert(key.clone(), changed);
        assert_eq!((mirror[&key].object, read[&key].object), (3, 1));
        assert!(mirror != read && read == read.clone());
        let b = ObjectKey::new("", "b");
        assert!(Arc::ptr_eq(&mirror[&b], &read[&b]));
    }
}
