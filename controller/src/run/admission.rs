//! The webhook of this process, and who keeps its certificate: the state directory, or the Secret that all replicas share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::origin::Origin;
use crate::admission::{CertificateError, Certificates, Listener, shared};
use crate::config::Config;
use crate::state::StateDir;
use crate::status::Published;

/// A webhook that is to be bound.
pub(super) struct Webhook {
    address: SocketAddr,
    /// `None` in a cluster.
    certificates: Option<Certificates>,
}

/// A webhook whose socket is bound.
pub(super) struct Bound {
    listener: Listener,
    kept: watch::Sender<Option<Arc<crate::admission::Kept>>>,
    certificates: Option<Certificates>,
}

/// The cluster that keeps the certificate.
pub(super) struct Keeper(Option<(Client, String)>);

impl Webhook {
    /// The webhook, where one is configured.
    ///
    /// # Errors
    /// When its certificate cannot be read or made.
    pub(super) fn open(config: &Config, state: Arc<StateDir>) -> Result<Option<Self>, CertificateError> {
        let Some(address) = config.admission.listen else { return Ok(None) };
        let alone = config.source.kubernetes.is_none();
        let certificates = alone.then(|| Certificates::open(state, config.admission.names(), SystemTime::now())).transpose()?;
        Ok(Some(Self { address, certificates }))
    }

    /// Binds it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) async fn bind(webhook: Option<Self>, published: watch::Receiver<Arc<Published>>) -> Result<Option<Bound>, RunError> {
        let Some(Self { address, certificates }) = webhook else { return Ok(None) };
        let kept = watch::Sender::default();
        let listener = Listener::bind(address, kept.subscribe(), published).await.map_err(|e| RunError::Admission(address, e))?;
        Ok(Some(Bound { listener, kept, certificates }))
    }
}

impl Keeper {
    /// Who keeps certificates where objects come from there.
    pub(super) fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Alone { .. } => Self(None),
            Origin::Cluster(cluster) => Self(Some((cluster.client.clone(), cluster.namespace.clone()))),
        }
    }
}

/// Serves until `stop`.
pub(super) async fn run(webhook: Option<Bound>, keeper: Keeper, stop: CancellationToken) {
    let Some(Bound { listener, kept, certificates }) = webhook else { return };
    let keeping = async {
        match (certificates, &keeper.0) {
            (Some(certificates), _) => certificates.tend(&kept).await,
            (None, Some((client, namespace))) => shared::follow(client, namespace, &kept).await,
            (None, None) => {}
        }
    };
    tokio::join!(listener.run(stop.clone()), stop.run_until_cancelled(keeping));
}
