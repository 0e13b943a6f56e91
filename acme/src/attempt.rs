//! One attempt to obtain a certificate from an ACME server (RFC 8555 section 7.4), from whatever state an earlier one has left the order in. Each
//! step is kept before the next one begins.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier, Identifier, NewOrder, Order, OrderStatus};
use tokio::time::Instant;

use crate::account::Accounts;
use crate::ask::{account_is_gone, failure, patiently};
use crate::authorize::Proof;
use crate::board::Board;
use crate::certificate::{ari_identifier, leaf};
use crate::check::SelfCheck;
use crate::engine::{Clock, offload};
use crate::failure::{AttemptFailure, FailureKind};
use crate::ledger::{OrderRecord, Record};
use crate::sign::{new_key, request};
use crate::store::Store;
use crate::transport::Session;
use crate::{AcmeIssuer, HeldCertificate, SecretName, Wanted};

/// How long the CA may take to decide about an order, after it was told that the challenges are answered, and again after it got the request.
const LONGEST_DECISION: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An attempt and what it needs.
pub(crate) struct Attempt {
    pub(crate) secret: SecretName,
    pub(crate) wanted: Wanted,
    pub(crate) acme: AcmeIssuer,
    /// See `spec_fingerprint`.
    pub(crate) spec: String,
    /// What earlier attempts have left.
    pub(crate) order: Option<OrderRecord>,
    pub(crate) record: Record,
    /// The certificate that is to be replaced, when it is from the same CA.
    pub(crate) predecessor: Option<Arc<HeldCertificate>>,
    pub(crate) session: Session,
    pub(crate) accounts: Accounts,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Board,
    pub(crate) self_check: SelfCheck,
    pub(crate) clock: Clock,
}

impl Attempt {
    /// Obtains the certificate. `self.order` then says which order the CA still has for it.
    pub(crate) async fn run(&mut self) -> Result<HeldCertificate, AttemptFailure> {
        let result = self.obtain().await;
        let order_is_spent = match &result {
            Ok(_) => false,
            Err(failure) => matches!(failure.kind, FailureKind::Validation | FailureKind::Rejected | FailureKind::Account),
        };
        if order_is_spent {
            self.forget_order().await?;
        }
        result
    }

    async fn obtain(&mut self) -> Result<HeldCertificate, AttemptFailure> {
        let account = self.accounts.open(&self.acme, &self.session).await?;
        let mut order = match self.resumed(&account).await? {
            Some(order) => order,
            None => self.ordered(&account).await?,
        };
        // Each round ends in another state than it began with, or fails; a CA that goes back and forth is not followed for ever.
        for _ in 0..8 {
            match order.state().status {
                OrderStatus::Pending => self.authorize(&mut order).await?,
                OrderStatus::Ready => self.finalize(&mut order).await?,
                OrderStatus::Processing => self.wait_while(&mut order, OrderStatus::Processing).await?,
                OrderStatus::Valid => return self.download(&mut order).await,
                OrderStatus::Invalid => return Err(self.proof().verdict(&mut order).await?),
            }
        }
        Err(AttemptFailure::new(FailureKind::Unavailable, "the CA does not come to a decision about the order"))
    }

    /// The order on record, if the CA still has it and it can lead to a certificate.
    async fn resumed(&mut self, account: &Account) -> Result<Option<Order>, AttemptFailure> {
        let Some(record) = &self.order else { return Ok(None) };
        let found = patiently!(account.order(record.url.clone()));
        let refused = match found.map(|mut order| (order.state().status, order)) {
            Ok((OrderStatus::Invalid, _)) => AttemptFailure::new(FailureKind::Validation, "the order on record is invalid"),
            Ok((_, order)) => return Ok(Some(order)),
            Err(error) => self.refused("order", &error).await?,
        };
        if matches!(refused.kind, FailureKind::RateLimited | FailureKind::Unavailable) {
            return Err(refused);
        }
        tracing::info!(secret = %self.secret, %refused, "the order on record cannot be taken up again");
        self.forget_order().await?;
        Ok(None)
    }

    async fn ordered(&mut self, account: &Account) -> Result<Order, AttemptFailure> {
        let kind = self.wanted.key;
        let key_pem = offload(move || new_key(kind).map(|key| key.serialize_pem())).await?.map_err(AttemptFailure::local)?;
        let order = self.new_order(account).await?;
        let (url, spec, created) = (order.url().to_owned(), self.spec.clone(), (self.clock)());
        self.keep_order(OrderRecord { url, spec, key_pem, created }).await?;
        Ok(order)
    }

    /// A new order: as the successor of the certificate that it replaces (RFC 9773 section 5), or as any other if the CA will not have that.
    async fn new_order(&self, account: &Account) -> Result<Order, AttemptFailure> {
        let names: Vec<_> = self.wanted.names.iter().cloned().map(Identifier::Dns).collect();
        let replaces = self.predecessor.as_ref().and_then(|held| ari_identifier(&leaf(&held.chain_pem).ok()?));
        if replaces.is_some() {
            let error = match self.post_order(account, &names, replaces).await {
                Ok(order) => return Ok(order),
                Err(error) => error,
            };
            let last = self.session.last();
            if let (Some(url), Some(201)) = (&last.location, last.status.map(|status| status.as_u16())) {
                // The order is there; the library drops it because the CA does not repeat `replaces`.
                let found = patiently!(account.order(url.clone()));
                return found.map_err(|error| failure("new order", &error, &self.session.last()));
            }
            let refused = failure("new order", &error, &last);
            if refused.kind == FailureKind::RateLimited || last.status.is_none() {
                return Err(refused);
            }
            tracing::info!(secret = %self.secret, %refused, "the CA does not take the order as a replacement");
        }
        match self.post_order(account, &names, None).await {
            Ok(order) => Ok(order),
            Err(error) => Err(self.refused("new order", &error).await?),
        }
    }

    async fn post_order(
        &self,
        account: &Account,
        names: &[Identifier],
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<Order, instant_acme::Error> {
        let mut order = NewOrder::new(names);
        if let Some(profile) = &self.acme.profile {
            order = order.profile(profile);
        }
        if let Some(replaces) = replaces {
            order = order.replaces(replaces);
        }
        patiently!(account.new_order(&order))
    }

    /// The failure of a step that the account is used for. An account that is gone is registered anew next time.
    async fn refused(&self, step: &str, error: &instant_acme::Error) -> Result<AttemptFailure, AttemptFailure> {
        let refused = failure(step, error, &self.session.last());
        if account_is_gone(error) {
            self.accounts.forget(&self.acme).await?;
        }
        // `unauthorized` is about a proof only where a proof was asked for.
        let kind = if refused.kind == FailureKind::Validation { FailureKind::Account } else { refused.kind };
        Ok(AttemptFailure { kind, ..refused })
    }

    fn proof(&self) -> Proof<'_> {
        let Self { wanted, record, board, self_check, session, .. } = self;
        Proof { wanted, record, board, self_check, session }
    }

    async fn authorize(&self, order: &mut Order) -> Result<(), AttemptFailure> {
        let _presented = self.proof().offer(order).await?;
        self.wait_while(order, OrderStatus::Pending).await
    }

    async fn finalize(&self, order: &mut Order) -> Result<(), AttemptFailure> {
        let key_pem = self.key_pem()?.to_owned();
        let names = self.wanted.names.clone();
        let request = offload(move || request(names, &key_pem)).await?.map_err(AttemptFailure::local)?;
        let finalized = patiently!(order.finalize_csr(&request));
        finalized.map_err(|error| failure("finalize", &error, &self.session.last()))
    }

    fn key_pem(&self) -> Result<&str, AttemptFailure> {
        self.order.as_ref().map(|order| order.key_pem.as_str()).ok_or_else(|| AttemptFailure::local("the order's key is not on record"))
    }

    /// Waits until the order is in another state than this one.
    async fn wait_while(&self, order: &mut Order, status: OrderStatus) -> Result<(), AttemptFailure> {
        let deadline = Instant::now() + LONGEST_DECISION;
        let mut pause = FIRST_PAUSE;
        loop {
            let state = patiently!(refreshed(order));
            if state.map_err(|error| failure("order", &error, &self.session.last()))? != status {
                return Ok(());
            }
            let asked = self.session.last().retry_after.and_then(|at| at.duration_since((self.clock)()).ok());
            let wait = asked.unwrap_or(pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            if Instant::now() + wait > deadline {
                let message = format!("the CA has not decided about the order within {} s", LONGEST_DECISION.as_secs());
                return Err(AttemptFailure::new(FailureKind::Unavailable, message));
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn download(&mut self, order: &mut Order) -> Result<HeldCertificate, AttemptFailure> {
        let chain = patiently!(order.certificate());
        let chain = chain.map_err(|error| failure("certificate", &error, &self.session.last()))?;
        let chain = chain.ok_or_else(|| AttemptFailure::new(FailureKind::Unavailable, "the CA has no certificate for a valid order"))?;
        let key = self.key_pem()?.to_owned();
        let read = HeldCertificate::from_pem(chain, key, None, self.wanted.issuer.to_string());
        let certificate = read.map_err(|error| AttemptFailure::new(FailureKind::Unavailable, format!("what the CA issued: {error}")))?;
        match self.wanted.names.iter().find(|name| !certificate.names.contains(name)) {
            Some(name) => Err(AttemptFailure::new(FailureKind::Rejected, format!("the CA issued a certificate without the name {name}"))),
            None => Ok(certificate),
        }
    }

    async fn keep_order(&mut self, order: OrderRecord) -> Result<(), AttemptFailure> {
        let (store, secret, record) = (self.store.clone(), self.secret.clone(), order.clone());
        offload(move || store.save_order(&secret, &record)).await?.map_err(AttemptFailure::local)?;
        self.order = Some(order);
        Ok(())
    }

    /// Forgets the order on record.
    pub(crate) async fn forget_order(&mut self) -> Result<(), AttemptFailure> {
        let (store, secret) = (self.store.clone(), self.secret.clone());
        offload(move || store.remove_order(&secret)).await?.map_err(AttemptFailure::local)?;
        self.order = None;
        Ok(())
    }
}

async fn refreshed(order: &mut Order) -> Result<OrderStatus, instant_acme::Error> {
    order.refresh().await.map(|state| state.status)
}
