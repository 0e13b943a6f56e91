//! gateway.networking.k8s.io ReferenceGrant. Pure.

use super::names::is_label;
use crate::objects::ReferenceGrantSpec;
use crate::source::finding::Findings;

/// A ReferenceGrant: what is missing in it must not be read as "any".
pub(in crate::source) fn reference_grant(spec: &ReferenceGrantSpec, found: &mut Findings) {
    if spec.from.is_empty() {
        found.refuse("spec.from", "There is nobody in it. Write group, kind and namespace of the objects that may refer to this namespace.");
    }
    if spec.to.is_empty() {
        found.refuse("spec.to", "There is nothing in it. Write group and kind of the objects that may be referred to.");
    }
    for (index, from) in spec.from.iter().enumerate() {
        if from.kind.is_empty() {
            found.refuse(format!("spec.from[{index}].kind"), "kind is missing. Write for instance Ingress.");
        }
        if !is_label(&from.namespace) {
            let message = format!("{:?} is no namespace. Write the namespace of the objects that may refer to this one.", from.namespace);
            found.refuse(format!("spec.from[{index}].namespace"), message);
        }
    }
    for (index, to) in spec.to.iter().enumerate() {
        if to.kind.is_empty() {
            found.refuse(format!("spec.to[{index}].kind"), "kind is missing. Write for instance Secret.");
        }
    }
}
