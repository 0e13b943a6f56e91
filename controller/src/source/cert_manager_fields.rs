//! Fields of cert-manager.io/v1 that exist and are not read here. Pure.

use super::object::Kind;

/// What is said about such a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: what it asks for is so anyway, or does not apply here.
    Silent,
    /// That it is not supported yet.
    NotYet,
}

/// Fields with their verdict. Solvers are silent because challenges are answered here in any case.
const ISSUER: [(&str, Verdict); 10] = [
    ("spec.acme.solvers", Verdict::Silent),
    ("spec.acme.disableAccountKeyGeneration", Verdict::Silent),
    ("spec.acme.enableDurationFeature", Verdict::Silent),
    ("spec.acme.preferredChain", Verdict::NotYet),
    ("spec.acme.externalAccountBinding", Verdict::NotYet),
    ("spec.acme.skipTLSVerify", Verdict::NotYet),
    ("spec.ca.crlDistributionPoints", Verdict::NotYet),
    ("spec.ca.ocspServers", Verdict::NotYet),
    ("spec.ca.issuingCertificateURLs", Verdict::NotYet),
    ("spec.selfSigned.crlDistributionPoints", Verdict::NotYet),
];

const CERTIFICATE: [(&str, Verdict); 17] = [
    ("spec.usages", Verdict::Silent),
    ("spec.revisionHistoryLimit", Verdict::Silent),
    ("spec.encodeUsagesInRequest", Verdict::Silent),
    ("spec.privateKey.rotationPolicy", Verdict::Silent),
    ("spec.privateKey.encoding", Verdict::NotYet),
    ("spec.subject", Verdict::NotYet),
    ("spec.literalSubject", Verdict::NotYet),
    ("spec.keystores", Verdict::NotYet),
    ("spec.additionalOutputFormats", Verdict::NotYet),
    ("spec.isCA", Verdict::NotYet),
    ("spec.ipAddresses", Verdict::NotYet),
    ("spec.uris", Verdict::NotYet),
    ("spec.emailAddresses", Verdict::NotYet),
    ("spec.otherNames", Verdict::NotYet),
    ("spec.nameConstraints", Verdict::NotYet),
    ("spec.signatureAlgorithm", Verdict::NotYet),
    ("spec.maxPathLen", Verdict::NotYet),
];

/// What is known about a field that is not read; `None` when cert-manager does not have it either.
pub(super) fn verdict(kind: Kind, field: &str) -> Option<Verdict> {
    let table: &[(&str, Verdict)] = match kind {
        Kind::Issuer | Kind::ClusterIssuer => &ISSUER,
        Kind::Certificate => &CERTIFICATE,
        _ => return None,
    };
    table.iter().find(|(known, _)| *known == field).map(|(_, verdict)| *verdict)
}
