//! A label selector, read and checked once. One that cannot be read matches nothing: it must never open what it was written to fence. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// What labels have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    Present,
    Absent,
}

/// What is wrong with a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError {
    /// The field below the selector.
    pub field: String,
    /// What is wrong, with the value.
    pub message: String,
}

impl Selector {
    /// Reads a selector of Kubernetes; an empty one matches everything, as there.
    ///
    /// # Errors
    /// The expression that has no meaning.
    pub fn read(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let labels = selector.match_labels.iter().flatten();
        let mut requirements: Vec<_> =
            labels.map(|(key, value)| Requirement { key: key.clone(), wanted: Wanted::OneOf(vec![value.clone()]) }).collect();
        for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
            let values = expression.values.clone().unwrap_or_default();
            let error = |field: &str, message: String| SelectorError { field: format!("matchExpressions[{index}].{field}"), message };
            let wanted = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Wanted::OneOf(values),
                ("NotIn", false) => Wanted::NoneOf(values),
                ("Exists", true) => Wanted::Present,
                ("DoesNotExist", true) => Wanted::Absent,
                ("In" | "NotIn", true) => return Err(error("values", format!("{} needs at least one value", expression.operator))),
                ("Exists" | "DoesNotExist", false) => return Err(error("values", format!("{} goes without values", expression.operator))),
                (other, _) => return Err(error("operator", format!("{other:?} is none of In, NotIn, Exists, DoesNotExist"))),
            };
            requirements.push(Requirement { key: expression.key.clone(), wanted });
        }
        Ok(Self { requirements })
    }

    /// Whether these labels are meant.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|Requirement { key, wanted }| match (wanted, labels.get(key)) {
            (Wanted::OneOf(values), Some(value)) => values.contains(value),
            (Wanted::NoneOf(values), Some(value)) => !values.contains(value),
            (Wanted::Present, value) => value.is_some(),
            (Wanted::Absent, value) => value.is_none(),
            (Wanted::OneOf(_), None) => false,
            (Wanted::NoneOf(_), None) => true,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_match_as_in_kubernetes() {
        let labels = BTreeMap::from([("app".to_owned(), "db".to_owned()), ("tier".to_owned(), "gold".to_owned())]);
        let table = [
            (json!({}), true),
            (json!({"matchLabels": {"app": "db"}}), true),
            (json!({"matchLabels": {"app": "web"}}), false),
            (json!({"matchLabels": {"app": "db", "none": "x"}}), false),
            (json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "silver"]}]}), true),
            (json!({"matchExpressions": [{"key": "none", "operator": "In", "values": ["x"]}]}), false),
            (json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}), false),
            (json!({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["x"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false),
        ];
        for (selector, expected) in table {
            let read = Selector::read(&serde_json::from_value(selector.clone()).unwrap()).unwrap();
            assert_eq!(read.matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn an_expression_without_meaning_is_an_error_with_its_place() {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Is", "values": ["x"]}]});
        let error = Selector::read(&serde_json::from_value(selector).unwrap()).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.message.as_str()),
            ("matchExpressions[1].operator", "\"Is\" is none of In, NotIn, Exists, DoesNotExist")
        );
    }
}
