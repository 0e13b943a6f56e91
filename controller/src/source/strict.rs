//! A deserializer over a JSON value that notices keys which the type does not have, since Kubernetes' types pass over them in silence, and that goes on behind
//! what does not fit, so that everything wrong is told at once. Pure.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::Value;

use crate::field;

/// How often a value is read again without what did not fit. It bounds the work: each reading finds one misfit.
const MOST_READINGS: usize = 20;

/// A key that the type does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownKey {
    /// Path of the key.
    pub field: String,
    /// The key that was probably meant.
    pub meant: Option<&'static str>,
}

/// Why a value does not fit its type.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// Path of the field.
    pub field: String,
    /// What is wrong, and what was expected.
    pub cause: String,
}

impl Misfit {
    /// Whether what is said of `field` may be so only because this one could not be read.
    pub(super) fn concerns(&self, field: &str) -> bool {
        // Without an item the places of those behind it are others.
        let list = self.field.rsplit_once('[').filter(|(_, index)| index.trim_end_matches(']').parse::<usize>().is_ok());
        let wrong = list.map_or(self.field.as_str(), |(list, _)| list);
        is_at_or_below(field, wrong) || is_at_or_below(wrong, field)
    }

    /// Whether `field` stands below this one.
    pub(crate) fn is_above(&self, field: &str) -> bool {
        field != self.field && is_at_or_below(field, &self.field)
    }
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What came of a value.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    /// The object, without what does not fit; `None` when nothing is left of it.
    pub object: Option<T>,
    /// Keys that the type does not have.
    pub unknown: Vec<UnknownKey>,
    /// What does not fit.
    pub misfits: Vec<Misfit>,
}

/// Reads `value`, which stands at the path `base`, as a `T`.
pub(super) fn read<T: DeserializeOwned>(value: &Value, base: &str) -> Reading<T> {
    read_without(value, base, BTreeSet::new())
}

/// The same without the fields at some paths.
pub(crate) fn read_without<T: DeserializeOwned>(value: &Value, base: &str, mut left_out: BTreeSet<String>) -> Reading<T> {
    let (mut misfits, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..MOST_READINGS {
        let notes = Notes { left_out: &left_out, unknown: RefCell::default(), failed: RefCell::default() };
        let read = T::deserialize(Strict { value, path: Path::Base(base), notes: &notes });
        unknown = notes.unknown.into_inner();
        let failed = notes.failed.into_inner();
        let error = match read {
            Ok(object) => return Reading { object: Some(object), unknown, misfits },
            Err(error) => error.to_string(),
        };
        let field = failed.unwrap_or_else(|| base.to_owned());
        if !left_out.iter().any(|left_out| error == format!("missing field `{}`", last_key(&field, left_out))) {
            misfits.push(Misfit { field: field.clone(), cause: in_words(&error) });
        }
        if field == base || !left_out.insert(field) {
            break;
        }
    }
    Reading { object: None, unknown, misfits }
}

/// The key of `path` where that is directly below `parent`; nothing that a type has, where it is not.
fn last_key<'p>(parent: &str, path: &'p str) -> &'p str {
    path.strip_prefix(parent).map_or("", |rest| rest.trim_start_matches('.'))
}

/// What serde says, with the words of YAML instead of Rust's.
fn in_words(error: &str) -> String {
    let Some((wrong, expected)) = error.split_once(", expected ") else { return error.to_owned() };
    let wrong =
        wrong.replace(": map", ": a mapping").replace(": sequence", ": a list").replace(": unit value", ": nothing").replace(": null", ": nothing");
    let expected = match expected {
        "a sequence" => "a list",
        "a map" => "a mapping",
        "u16" => "a whole number from 0 to 65535",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "a boolean" => "true or false",
        "path string" => "a path",
        "string or map" => "a string",
        other => other,
    };
    format!("{wrong}, expected {expected}")
}

/// What is noted while a value is read.
struct Notes<'n> {
    left_out: &'n BTreeSet<String>,
    unknown: RefCell<Vec<UnknownKey>>,
    /// Path of the innermost value that could not be read.
    failed: RefCell<Option<String>>,
}

impl Notes<'_> {
    fn is_left_out(&self, path: &Path<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&path.write())
    }

    fn failed<T, E>(&self, path: &Path<'_>, read: Result<T, E>) -> Result<T, E> {
        read.inspect_err(|_| {
            self.failed.borrow_mut().get_or_insert_with(|| path.write());
        })
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
    notes: &'p Notes<'p>,
}

impl Strict<'_, '_> {
    fn notice(&self, fields: &'static [&'static str]) {
        let Value::Object(entries) = self.value else { return };
        for (key, value) in entries {
            if !fields.contains(&key.as_str()) && !is_empty(value) {
                let field = field::join(&self.path.write(), key);
                self.notes.unknown.borrow_mut().push(UnknownKey { field, meant: field::nearest(key, fields.iter().copied()) });
            }
        }
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
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
        // What serde derives would take the items of a list for the fields in their order.
        if !self.value.is_object() {
            return Err(serde::de::Error::invalid_type(unexpected(self.value), &"a mapping"));
        }
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
        let notes = self.parent.notes;
        for (index, value) in self.items.by_ref() {
            let path = Path::Index(&self.parent.path, index);
            if !notes.is_left_out(&path) {
                return notes.failed(&path, seed.deserialize(Strict { value, path, notes })).map(Some);
            }
        }
        Ok(None)
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
        let Strict { path, notes, .. } = self.parent;
        let mut entries = self.entries.by_ref().map(|(key, value)| (key.as_str(), value));
        self.next = entries.find(|(key, _)| !notes.is_left_out(&Path::Key(path, key)));
        self.next.map(|(key, _)| seed.deserialize(BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Self::Error> {
        let (key, value) = self.next.take().unwrap_or(("", &Value::Null));
        let (path, notes) = (Path::Key(&self.parent.path, key), self.parent.notes);
        notes.failed(&path, seed.deserialize(Strict { value, path, notes }))
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
        let mut unknown = read::<Ingress>(&value, "").unknown;
        unknown.sort_by(|a, b| a.field.cmp(&b.field));
        let expected = [
            ("metadata.annotation", Some("annotations")),
            ("spec.replicas", None),
            ("spec.rules[0].http.paths[0].backend.service.port.nmuber", Some("number")),
            ("spec.rules[0].http.paths[0].pathtype", Some("pathType")),
        ];
        assert_eq!(unknown, expected.map(|(field, meant)| UnknownKey { field: field.into(), meant }));
    }

    fn misfits<T>(reading: &Reading<T>) -> Vec<(&str, &str)> {
        reading.misfits.iter().map(|misfit| (misfit.field.as_str(), misfit.cause.as_str())).collect()
    }

    #[test]
    fn every_misfit_names_its_field_and_the_rest_is_read() {
        let backend = |port: Value| json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": port}}}});
        let value = json!({
            "metadata": {"annotations": {"a/b": true, "a/c": "fine", "a/d": [1]}},
            "spec": {"ingressClassName": 5, "tls": "x", "rules": [3, {"host": "h", "htpp": {}, "http": {"paths": [backend("80".into()), backend(81.into()), {}]}}]},
        });
        let reading = read::<Ingress>(&value, "");
        let expected = [
            ("metadata.annotations[a/b]", "invalid type: boolean `true`, expected a string"),
            ("metadata.annotations[a/d]", "invalid type: a list, expected a string"),
            ("spec.ingressClassName", "invalid type: integer `5`, expected a string"),
            ("spec.rules[0]", "invalid type: integer `3`, expected a mapping"),
            ("spec.rules[1].http.paths[0].backend.service.port.number", "invalid type: string \"80\", expected a whole number"),
            ("spec.tls", "invalid type: string \"x\", expected a list"),
        ];
        let mut found = misfits(&reading);
        found.sort_unstable();
        assert_eq!(found, expected);
        let rules = reading.object.and_then(|ingress| ingress.spec?.rules).expect("the rule that fits");
        assert_eq!(rules.iter().map(|rule| rule.host.as_deref()).collect::<Vec<_>>(), [Some("h")]);
    }

    #[test]
    fn what_lacks_a_field_because_it_did_not_fit_is_no_misfit_of_its_own() {
        #[derive(Debug, serde::Deserialize)]
        struct Item {
            #[allow(dead_code, reason = "it only has to be there")]
            size: u16,
        }
        let reading = read::<Vec<Item>>(&json!([{"size": "x"}, {"size": 70000}, {}, {"size": 1}]), "a");
        let expected = [
            ("a[0].size", "invalid type: string \"x\", expected a whole number from 0 to 65535"),
            ("a[1].size", "invalid value: integer `70000`, expected a whole number from 0 to 65535"),
            ("a[2]", "missing field `size`"),
        ];
        assert_eq!(misfits(&reading), expected);
        assert_eq!(reading.object.expect("the item that fits").len(), 1);
    }

    #[test]
    fn the_work_is_bounded_and_a_value_that_is_wrong_as_a_whole_has_one_misfit() {
        let many: Value = (0..100).map(|number| (number.to_string(), Value::from(number))).collect::<serde_json::Map<_, _>>().into();
        let reading = read::<std::collections::BTreeMap<String, String>>(&many, "");
        assert_eq!((reading.misfits.len(), reading.object.is_none()), (MOST_READINGS, true));
        assert_eq!(misfits(&read::<Ingress>(&json!([]), "")), [("", "invalid type: a list, expected a mapping")]);
        assert_eq!(misfits(&read::<Ingress>(&json!("x"), "spec")), [("spec", "invalid type: string \"x\", expected a mapping")]);
    }

    #[test]
    fn a_misfit_concerns_what_is_above_and_below_it_and_its_whole_list() {
        let misfit = |field: &str| Misfit { field: field.into(), cause: String::new() };
        for (wrong, field, expected) in [
            ("spec.a", "spec.a", true),
            ("spec.a", "spec.a[0].b", true),
            ("spec.a.b", "spec", true),
            ("spec.a", "", true),
            ("spec.a", "spec.ab", false),
            ("spec.a[1]", "spec.a[0].b", true),
            ("spec.a[1].b", "spec.a[0].b", false),
            ("metadata.annotations[a.example/b]", "metadata.annotations[a.example/c]", false),
        ] {
            assert_eq!(misfit(wrong).concerns(field), expected, "{wrong} {field}");
        }
    }

    #[test]
    fn a_value_reads_as_serde_json_reads_it() {
        let value = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}});
        let reading = read::<k8s_openapi::api::core::v1::Service>(&value, "");
        assert_eq!(reading.unknown, []);
        assert_eq!(reading.object, Some(serde_json::from_value(value).expect("a Service")));
    }
}
