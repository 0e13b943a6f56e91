//! How the API server is reached: a kubeconfig file, the pod's service account, or what kubectl would use.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::config::Kubernetes;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no API server can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file that was named cannot be used.
    #[error("source.kubernetes.kubeconfig: {}: {cause}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: Box<KubeconfigError>,
    },
    /// Neither in a pod nor with a kubeconfig.
    #[error(
        "source.kubernetes: this is no pod with a service account ({pod}), and there is no kubeconfig either ({kubeconfig}); name one with --kubeconfig"
    )]
    Nowhere {
        /// Why there is no service account.
        pod: String,
        /// Why there is no kubeconfig.
        kubeconfig: Box<KubeconfigError>,
    },
    /// What they say makes no client.
    #[error("source.kubernetes: {0}")]
    Client(#[from] kube::Error),
}

/// A client for the API server; nothing is asked yet.
///
/// # Errors
/// When it is not said where the API server is, or what is said cannot be used.
pub async fn connect(source: &Kubernetes) -> Result<Client, ConnectError> {
    let mut config = match &source.kubeconfig {
        Some(path) => named(path.clone()).await?,
        None => around().await?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Whoever asks decides what a failure means and when to ask again.
    config.default_retry = false;
    let agent = concat!("vrata/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    Ok(Client::try_from(config)?)
}

async fn named(path: PathBuf) -> Result<Config, ConnectError> {
    let read = async { Config::from_custom_kubeconfig(Kubeconfig::read_from(&path)?, &KubeConfigOptions::default()).await };
    read.await.map_err(|cause| ConnectError::Kubeconfig { path: path.clone(), cause: Box::new(cause) })
}

async fn around() -> Result<Config, ConnectError> {
    match Config::incluster() {
        Ok(config) => Ok(config),
        Err(pod) => Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .map_err(|kubeconfig| ConnectError::Nowhere { pod: pod.to_string(), kubeconfig: Box::new(kubeconfig) }),
    }
}
