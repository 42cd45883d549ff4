//! TLS configurations from PEM files, for listeners and for dialers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificate::SelfSigned;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme, WantsVerifier, server,
};

/// Where the systems we know keep the certificate authorities they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// A file cannot be read or holds no PEM of the kind wanted.
    #[error("{file}: {why}; give a PEM file with {wanted}")]
    File {
        /// Which.
        file: PathBuf,
        /// What went wrong.
        why: pem::Error,
        /// What should be in it.
        wanted: &'static str,
    },
    /// No system-wide list of authorities was found.
    #[error("no certificate authorities found on this system ({}); name a file of them", SYSTEM_ROOTS.join(", "))]
    NoRoots,
    /// The parts do not fit together.
    #[error("{file}: {why}")]
    Unfit {
        /// The certificate file.
        file: PathBuf,
        /// What does not fit.
        why: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A failed handshake with what to do about it, where that is known.
pub(super) fn with_remedy(error: io::Error) -> io::Error {
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    let remedy = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "call the server by a name that its certificate has, or trust any certificate by --insecure",
        Some(InvalidCertificate(CertificateError::Other(why))) if why.to_string().contains("CaUsedAsEndEntity") => {
            "it shows the certificate of an authority as its own, as many self-signed ones are: give it one that the authority has signed, or trust any certificate by --insecure"
        }
        Some(InvalidCertificate(_)) => {
            "if it is yours, trust its authority by --cafile FILE, or any certificate by --insecure"
        }
        Some(InvalidMessage(_)) => "it seems to speak no TLS on this port; write mqtt:// or ws://",
        _ if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            "it hung up on TLS; if it speaks none on this port, write mqtt:// or ws://"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {remedy}"))
}

/// A certificate chain and the private key that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the certificate, followed by those that lead to the authority.
    pub certificate: PathBuf,
    /// PEM file of the key: PKCS#8, PKCS#1 or SEC1, without a pass phrase.
    pub key: PathBuf,
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BadTls> {
        let key = PrivateKeyDer::from_pem_file(&self.key);
        Ok((certificates(&self.certificate)?, key.map_err(bad_file(&self.key, "a private key"))?))
    }
}

/// The configuration of a listener. With `client_authorities`, every client must show a certificate signed by one of
/// those in that file.
///
/// # Errors
/// [`BadTls`].
pub fn server(identity: &Identity, client_authorities: Option<&Path>) -> Result<Arc<ServerConfig>, BadTls> {
    let (chain, key) = identity.read()?;
    let builder = offer(&identity.certificate)?;
    let builder = match client_authorities {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(file)?.into(), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|why: server::VerifierBuilderError| unfit(file)(why))?)
        }
    };
    Ok(Arc::new(builder.with_single_cert(chain, key).map_err(unfit(&identity.certificate))?))
}

/// The configuration of a listener that vouches for itself.
///
/// # Errors
/// [`BadTls`].
pub fn server_itself(identity: &SelfSigned) -> Result<Arc<ServerConfig>, BadTls> {
    let file = Path::new("the certificate of our own");
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let certificate = certificate.map_err(bad_file(file, "certificates"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(bad_file(file, "a private key"))?;
    let config = offer(file)?.with_no_client_auth().with_single_cert(vec![certificate], key);
    Ok(Arc::new(config.map_err(unfit(file))?))
}

/// What every listener offers; `file` is what to name where that does not work.
fn offer(file: &Path) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, BadTls> {
    let builder = ServerConfig::builder_with_provider(provider());
    builder.with_safe_default_protocol_versions().map_err(unfit(file))
}

/// Whose certificates a dialer trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those signed by the authorities this system trusts.
    #[default]
    System,
    /// Those signed by the authorities in this PEM file.
    Authorities(PathBuf),
    /// Any, also for another host. The connection is encrypted, but with whom is not known.
    Anyone,
}

/// The configuration of a dialer.
///
/// # Errors
/// [`BadTls`].
pub fn client(trust: &Trust, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, BadTls> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unfit(Path::new("TLS")))?;
    let builder = match trust {
        Trust::System => {
            let file = SYSTEM_ROOTS.iter().map(Path::new).find(|file| file.exists()).ok_or(BadTls::NoRoots)?;
            builder.with_root_certificates(roots(file)?)
        }
        Trust::Authorities(file) => builder.with_root_certificates(roots(file)?),
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous { provider: provider() }))
        }
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.read()?;
            builder.with_client_auth_cert(chain, key).map_err(unfit(&identity.certificate))?
        }
    };
    Ok(Arc::new(config))
}

/// The cryptography that everything here uses.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(bad_file(file, "certificates")(pem::Error::NoItemsFound)),
        chain => chain.map_err(bad_file(file, "certificates")),
    }
}

/// Those of the file that can be an authority: a system's list may hold some that nobody can read any more.
fn roots(file: &Path) -> Result<RootCertStore, BadTls> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(file)?);
    Ok(roots)
}

fn bad_file(file: &Path, wanted: &'static str) -> impl FnOnce(pem::Error) -> BadTls {
    move |why| BadTls::File { file: file.to_owned(), why, wanted }
}

fn unfit<E: std::error::Error + Send + Sync + 'static>(file: &Path) -> impl FnOnce(E) -> BadTls {
    move |why| BadTls::Unfit { file: file.to_owned(), why: why.into() }
}

/// The name a dialer asks the server to prove.
///
/// # Errors
/// If `host` is neither a name nor an address.
pub fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// Believes every certificate, but not that its holder could be somebody else: signatures are checked.
#[derive(Debug)]
struct Credulous {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The last common name in the subject of a certificate (RFC 5280, 4.1), if it has one in UTF-8 or ASCII.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<Box<str>> {
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    const VERSION: u8 = 0xA0;
    /// The object identifier 2.5.4.3.
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

    let (_, mut certificate, _) = element(certificate)?;
    let mut body = take(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        take(&mut body, VERSION)?;
    }
    // Serial number, signature algorithm, issuer and validity come before the subject.
    for _ in 0..4 {
        (_, _, body) = element(body)?;
    }
    let mut subject = take(&mut body, SEQUENCE)?;
    let mut name = None;
    while !subject.is_empty() {
        let mut parts = take(&mut subject, SET)?;
        while !parts.is_empty() {
            let pair = take(&mut parts, SEQUENCE)?;
            let (_, kind, value) = element(pair)?;
            if kind == COMMON_NAME {
                name = element(value).and_then(|(_, text, _)| std::str::from_utf8(text).ok()).map(Box::from);
            }
        }
    }
    name
}

/// Takes one DER element with this tag off the front and gives its content.
fn take<'a>(bytes: &mut &'a [u8], expect: u8) -> Option<&'a [u8]> {
    let (tag, content, rest) = element(bytes)?;
    *bytes = rest;
    (tag == expect).then_some(content)
}

/// The first DER element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_common_name_is_found_among_others() {
        let check = |names: &[(DnType, &str)], expect: Option<&str>| {
            assert_eq!(common_name(&certificate(names)).as_deref(), expect, "{names:?}");
        };
        let long = "x".repeat(300);
        check(&[(DnType::CommonName, "pump-7")], Some("pump-7"));
        check(&[(DnType::OrganizationName, "Works"), (DnType::CommonName, "Pümpe")], Some("Pümpe"));
        check(&[(DnType::CommonName, &long), (DnType::CountryName, "DE")], Some(&long));
        check(&[(DnType::OrganizationName, "Works")], None);
        check(&[], None);
    }

    #[test]
    fn a_cut_certificate_has_no_name_and_does_no_harm() {
        let whole = certificate(&[(DnType::CommonName, "pump-7")]);
        for length in 0..whole.len() {
            assert_eq!(common_name(&CertificateDer::from(&whole[..length])), None, "{length}");
        }
    }
}
