//! The options of whoever calls a server over TLS.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_rustls::rustls::ClientConfig;

use crate::net::tls::{self, BadTls, Identity, Trust};

/// Whom to trust, and who we are.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Tls {
    /// Trust the certificate authorities in this PEM file [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(super) cafile: Option<PathBuf>,
    /// Show the server this certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// The private key of the certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Trust any certificate: for tests only
    #[arg(long)]
    pub(super) insecure: bool,
}

impl Tls {
    /// Whether anything is said of TLS at all.
    pub(super) fn is_asked_for(&self) -> bool {
        self.cafile.is_some() || self.cert.is_some() || self.insecure
    }

    /// The configuration of a client.
    ///
    /// # Errors
    /// [`BadTls`].
    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, BadTls> {
        let trust = match &self.cafile {
            Some(file) => Trust::Authorities(file.clone()),
            None if self.insecure => Trust::Anyone,
            None => Trust::System,
        };
        let identity = self.cert.clone().zip(self.key.clone());
        let identity = identity.map(|(certificate, key)| Identity { certificate, key });
        tls::client(&trust, identity.as_ref())
    }
}
