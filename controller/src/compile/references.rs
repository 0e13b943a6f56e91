//! References from one namespace to another: allowed where a ReferenceGrant of the other namespace says so, or the administrator for all. Pure.

use super::Input;
use crate::objects::ReferenceGrantSpec;

/// An API group and a kind of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupKind {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
}

/// networking.k8s.io Ingress.
pub(crate) const INGRESS: GroupKind = GroupKind { group: "networking.k8s.io", kind: "Ingress" };
/// v1 Secret.
pub(crate) const SECRET: GroupKind = GroupKind { group: "", kind: "Secret" };

/// What is named, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) what: GroupKind,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Whether an object of `namespace` may name the target.
pub(crate) fn may_name(input: Input<'_>, who: GroupKind, namespace: &str, target: Target<'_>) -> bool {
    namespace == target.namespace
        || (target.what == SECRET && input.settings.cross_namespace_secrets)
        || input
            .objects
            .reference_grants
            .iter()
            .any(|(key, grant)| key.namespace == target.namespace && grants(&grant.object, who, namespace, target))
}

/// A grant stands for every pair of its `from` and its `to`.
fn grants(grant: &ReferenceGrantSpec, who: GroupKind, namespace: &str, target: Target<'_>) -> bool {
    let from = grant.from.iter().any(|from| (from.group.as_str(), from.kind.as_str(), from.namespace.as_str()) == (who.group, who.kind, namespace));
    let is_target = |name: Option<&str>| name.is_none_or(|name| name.is_empty() || name == target.name);
    from && grant.to.iter().any(|to| (to.group.as_str(), to.kind.as_str()) == (target.what.group, target.what.kind) && is_target(to.name.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{GrantFrom, GrantTo};

    #[test]
    fn a_grant_stands_for_just_what_it_names() {
        let from = |kind: &str, namespace: &str| GrantFrom { group: "networking.k8s.io".into(), kind: kind.into(), namespace: namespace.into() };
        let to = |kind: &str, name: Option<&str>| GrantTo { group: String::new(), kind: kind.into(), name: name.map(str::to_owned) };
        let target = Target { what: SECRET, namespace: "b", name: "users" };
        let rows = [
            (from("Ingress", "a"), to("Secret", None), true),
            (from("Ingress", "a"), to("Secret", Some("users")), true),
            (from("Ingress", "a"), to("Secret", Some("other")), false),
            (from("Ingress", "c"), to("Secret", None), false),
            (from("HTTPRoute", "a"), to("Secret", None), false),
            (from("Ingress", "a"), to("Service", None), false),
            (GrantFrom { group: String::new(), ..from("Ingress", "a") }, to("Secret", None), false),
            (from("Ingress", "a"), GrantTo { group: "x".into(), ..to("Secret", None) }, false),
        ];
        for (from, to, expected) in rows {
            let grant = ReferenceGrantSpec { from: vec![from], to: vec![to] };
            assert_eq!(grants(&grant, INGRESS, "a", target), expected, "{grant:?}");
        }
    }
}
