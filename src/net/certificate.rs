//! A certificate for the listeners that this tool opens for its own tests: signed by itself, made anew for each run, and
//! believed by none but those who believe anyone ([`super::tls::Trust::Anyone`]).

use std::io;

/// A certificate for this machine's own address, and its private key, both as PEM.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl SelfSigned {
    /// A fresh one.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn fresh() -> io::Result<Self> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        Ok(Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }
}
