//! One job: obtains a certificate from whatever kind of issuer, and keeps it before anything that led to it is forgotten.

use std::sync::Arc;
use std::time::Duration;

use crate::account::Accounts;
use crate::attempt::Attempt;
use crate::board::Board;
use crate::engine::{Clock, offload};
use crate::failure::{AttemptFailure, FailureKind};
use crate::ledger::{OrderRecord, Record, issuer_fingerprint, spec_fingerprint};
use crate::renewal::RenewalAdvice;
use crate::sign::{new_key, self_signed, signed_by_ca};
use crate::store::Store;
use crate::transport::{Session, Transport};
use crate::{HeldCertificate, Issuer, SecretName, SelfCheck, Wanted};

/// A whole attempt. Its parts have limits of their own; this one bounds what they add up to.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(15 * 60);

/// What came of a job.
pub(crate) struct Done {
    /// For which.
    pub(crate) secret: SecretName,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// See [`Done`].
pub(crate) enum Outcome {
    /// The certificate is there, and kept.
    Issued(HeldCertificate),
    /// It is not.
    Failed {
        /// What was wanted.
        spec: String,
        /// Why.
        failure: AttemptFailure,
        /// The order that the CA still has.
        order: Option<OrderRecord>,
    },
    /// The CA was asked when to renew.
    Advised(RenewalAdvice),
}

/// A job and what it needs.
pub(crate) struct Job {
    pub(crate) secret: SecretName,
    pub(crate) wanted: Wanted,
    pub(crate) issuer: Issuer,
    pub(crate) record: Record,
    pub(crate) order: Option<OrderRecord>,
    pub(crate) predecessor: Option<Arc<HeldCertificate>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Board,
    pub(crate) accounts: Accounts,
    pub(crate) self_check: SelfCheck,
    pub(crate) clock: Clock,
}

impl Job {
    /// Obtains the certificate. The transport is there for ACME issuers.
    pub(crate) async fn issue(self, transport: Option<Transport>) -> Done {
        match (self.issuer.clone(), transport) {
            (Issuer::Acme(acme), Some(transport)) => {
                let session = Session::new(transport, &acme.server);
                self.order_from(acme, session).await
            }
            (issuer, _) => self.sign_here(issuer).await,
        }
    }

    /// A job that failed before it began.
    pub(crate) fn failed(self, failure: AttemptFailure) -> Done {
        let spec = spec_fingerprint(&self.wanted, &self.issuer);
        Done { secret: self.secret, outcome: Outcome::Failed { spec, failure, order: self.order } }
    }

    async fn order_from(self, acme: crate::AcmeIssuer, session: Session) -> Done {
        let signer = issuer_fingerprint(&self.issuer);
        let spec = spec_fingerprint(&self.wanted, &self.issuer);
        let predecessor = self.predecessor.filter(|held| held.signer.as_ref() == Some(&signer));
        let mut attempt = Attempt {
            secret: self.secret,
            wanted: self.wanted,
            acme,
            spec,
            order: self.order,
            record: self.record,
            predecessor,
            session,
            accounts: self.accounts,
            store: self.store,
            board: self.board,
            self_check: self.self_check,
            clock: self.clock,
        };
        let result = tokio::time::timeout(LONGEST_ATTEMPT, attempt.run()).await;
        let result = result.unwrap_or_else(|_| Err(AttemptFailure::new(FailureKind::Unavailable, "the attempt took too long")));
        let kept = match result {
            Ok(certificate) => keep(&attempt.store, &attempt.secret, &attempt.wanted, HeldCertificate { signer: Some(signer), ..certificate }).await,
            Err(failure) => Err(failure),
        };
        let outcome = match kept {
            Ok(certificate) => {
                if let Err(error) = attempt.forget_order().await {
                    tracing::error!(secret = %attempt.secret, %error, "cannot forget the order");
                }
                Outcome::Issued(certificate)
            }
            Err(failure) => Outcome::Failed { spec: attempt.spec, failure, order: attempt.order },
        };
        Done { secret: attempt.secret, outcome }
    }

    async fn sign_here(self, issuer: Issuer) -> Done {
        let (wanted, now) = (self.wanted.clone(), (self.clock)());
        let signed = offload(move || {
            let key = new_key(wanted.key)?;
            match &issuer {
                Issuer::Ca(ca) => signed_by_ca(&wanted, &key, ca, now),
                Issuer::SelfSigned | Issuer::Acme(_) => self_signed(&wanted, &key, now),
            }
        });
        let signed = signed.await.and_then(|signed| signed.map_err(AttemptFailure::local));
        let kept = match signed {
            Ok(certificate) => {
                let certificate = HeldCertificate { signer: Some(issuer_fingerprint(&self.issuer)), ..certificate };
                keep(&self.store, &self.secret, &self.wanted, certificate).await
            }
            Err(failure) => Err(failure),
        };
        match kept {
            Ok(certificate) => Done { secret: self.secret, outcome: Outcome::Issued(certificate) },
            Err(failure) => self.failed(failure),
        }
    }
}

/// Keeps a certificate: from here on it survives a crash.
async fn keep(store: &Arc<dyn Store>, secret: &SecretName, wanted: &Wanted, certificate: HeldCertificate) -> Result<HeldCertificate, AttemptFailure> {
    let (store, secret, wanted) = (store.clone(), secret.clone(), wanted.clone());
    let kept = offload(move || store.save_certificate(&secret, &wanted, &certificate).map(|()| certificate));
    kept.await?.map_err(AttemptFailure::local)
}
