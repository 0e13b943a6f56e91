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
