//! TLS for the server: one certificate chain and its key, HTTP/2 and HTTP/1.1.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::HostError;

/// A certificate chain and its key, ready to serve.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads a certificate chain and a key, both PEM.
    ///
    /// # Errors
    /// [`HostError::Tls`] when a file cannot be read or the two do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, HostError> {
        let refuse = |path: &Path, error: rustls::pki_types::pem::Error| HostError::Tls(format!("`{}`: {error}", path.display()));
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(|error| refuse(certificate, error))?;
        if chain.is_empty() {
            return Err(HostError::Tls(format!("`{}` holds no certificate", certificate.display())));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refuse(key, error))?;
        Self::new(chain, key)
    }

    /// The same of a chain and key in memory.
    ///
    /// # Errors
    /// [`HostError::Tls`] when the two do not belong together.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, HostError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HostError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| HostError::Tls(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.0).into()
    }
}
