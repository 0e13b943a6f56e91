//! A deserializer over a JSON value that notices keys which the type does not have: Kubernetes' types pass over them in silence, and a misspelt key is the most
//! common mistake there is. Pure.

use std::cell::RefCell;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::field;

/// A key that the type does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownKey {
    /// Path of the key.
    pub field: String,
    /// The key that was probably meant.
    pub meant: Option<&'static str>,
}

/// Why a value does not fit its type.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Path of the field.
    pub field: String,
    /// What serde says.
    pub cause: serde_json::Error,
}

/// Reads `value`, which stands at the path `base`, as a `T`.
pub(super) fn read<T: DeserializeOwned>(value: &Value, base: &str) -> Result<(T, Vec<UnknownKey>), Misfit> {
    let unknown = RefCell::new(Vec::new());
    let strict = Strict { value, path: Path::Base(base), unknown: &unknown };
    match serde_path_to_error::deserialize(strict) {
        Ok(object) => Ok((object, unknown.into_inner())),
        Err(error) => Err(Misfit { field: field::write(base, error.path()), cause: error.into_inner() }),
    }
}

/// Where the deserializer is; written out only when there is something to tell.
#[derive(Clone, Copy)]
enum Path<'p> {
    Base(&'p str),
    Key(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl Path<'_> {
    fn write(&self) -> String {
        match self {
            Self::Base(base) => (*base).to_owned(),
            Self::Key(parent, key) => field::join(&parent.write(), key),
            Self::Index(parent, index) => format!("{}[{index}]", parent.write()),
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'de, 'p> {
    value: &'de Value,
    path: Path<'p>,
    unknown: &'p RefCell<Vec<UnknownKey>>,
}

impl Strict<'_, '_> {
    fn notice(&self, fields: &'static [&'static str]) {
        let Value::Object(entries) = self.value else { return };
        for (key, value) in entries {
            if !fields.contains(&key.as_str()) && !is_empty(value) {
                let field = field::join(&self.path.write(), key);
                self.unknown.borrow_mut().push(UnknownKey { field, meant: field::nearest(key, fields.iter().copied()) });
            }
        }
    }
}

/// Writers leave empty values behind; dropping them changes nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl<'de> Deserializer<'de> for Strict<'de, '_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Array(items) => visitor.visit_seq(List { items: items.iter().enumerate(), parent: &self }),
            Value::Object(entries) => visitor.visit_map(Mapping { entries: entries.iter(), next: None, parent: &self }),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Self::Error> {
        self.notice(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, name: &'static str, variants: &'static [&'static str], visitor: V) -> Result<V::Value, Self::Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
        ignored_any
    }
}

struct List<'de, 'a> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
    parent: &'a Strict<'de, 'a>,
}

impl<'de> SeqAccess<'de> for List<'de, '_> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Self::Error> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        let path = Path::Index(&self.parent.path, index);
        seed.deserialize(Strict { value, path, unknown: self.parent.unknown }).map(Some)
    }
}

struct Mapping<'de, 'a> {
    entries: serde_json::map::Iter<'de>,
    next: Option<(&'de str, &'de Value)>,
    parent: &'a Strict<'de, 'a>,
}

impl<'de> MapAccess<'de> for Mapping<'de, '_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.next = self.entries.next().map(|(key, value)| (key.as_str(), value));
        self.next.map(|(key, _)| seed.deserialize(BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Self::Error> {
        let (key, value) = self.next.take().unwrap_or(("", &Value::Null));
        let path = Path::Key(&self.parent.path, key);
        seed.deserialize(Strict { value, path, unknown: self.parent.unknown })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::Ingress;
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_keys_are_noticed_with_the_one_that_was_meant() {
        let value = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "a", "annotation": {"b": "c"}, "creationTimestamp": null},
            "spec": {"rules": [{"http": {"paths": [{"pathtype": "Prefix", "backend": {"service": {"name": "x", "port": {"nmuber": 80}}}}]}}], "replicas": 3, "odd": {}},
        });
        let (_, mut unknown) = read::<Ingress>(&value, "").expect("an Ingress");
        unknown.sort_by(|a, b| a.field.cmp(&b.field));
        let expected = [
            ("metadata.annotation", Some("annotations")),
            ("spec.replicas", None),
            ("spec.rules[0].http.paths[0].backend.service.port.nmuber", Some("number")),
            ("spec.rules[0].http.paths[0].pathtype", Some("pathType")),
        ];
        assert_eq!(unknown, expected.map(|(field, meant)| UnknownKey { field: field.into(), meant }));
    }

    #[test]
    fn a_misfit_names_its_field() {
        let value = json!({"spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "x", "port": {"number": "80"}}}}]}}]}});
        let misfit = read::<Ingress>(&value, "").expect_err("a port is a number");
        assert_eq!(misfit.field, "spec.rules[0].http.paths[0].backend.service.port.number");
        assert_eq!(misfit.cause.to_string(), "invalid type: string \"80\", expected i32");
    }

    #[test]
    fn a_value_reads_as_serde_json_reads_it() {
        let value = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}});
        let (service, unknown) = read::<k8s_openapi::api::core::v1::Service>(&value, "").expect("a Service");
        assert_eq!(unknown, []);
        assert_eq!(service, serde_json::from_value(value).expect("a Service"));
    }
}
