//! What all servers of one run share: a scratch directory, an origin, a certificate, free ports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::{CLIENT_CORE, Server};

/// Host that is asked for.
pub(crate) const HOST: &str = "bench.dyn.cloud.e-infra.cz";
/// Zone that it is in.
pub(crate) const ZONE: &str = "dyn.cloud.e-infra.cz";

/// The shared setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Scratch directory.
    pub(crate) directory: PathBuf,
    /// The `vrata` program, release build.
    pub(crate) vrata: PathBuf,
    /// Address of the origin.
    pub(crate) origin: SocketAddr,
    /// Certificate for [`HOST`], PEM.
    pub(crate) certificate: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    _origin: Server,
}

impl Setting {
    /// Makes the certificate and starts the origin.
    pub(crate) fn new(directory: &Path, vrata: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()])?;
        let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let origin = ports::free();
        let program = std::env::current_exe()?;
        let mut server =
            Server::start(CLIENT_CORE, &program.to_string_lossy(), &["origin", "--listen", &origin.to_string()], &directory.join("origin.log"))?;
        server.wait_for(origin)?;
        Ok(Self { directory: directory.to_owned(), vrata: vrata.to_owned(), origin, certificate, key, _origin: server })
    }
}
