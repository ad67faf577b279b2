//! TLS of the simulator: a certificate authority for one process, and its certificate for loopback.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Creates an acceptor. Returns it with the certificate authority in PEM, which a client must trust.
pub(super) fn create_acceptor() -> io::Result<(TlsAcceptor, String)> {
    let failed = |error: rcgen::Error| io::Error::other(error.to_string());
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    // The name is unique, so that authorities of two processes are not mistaken for each other.
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, format!("made up for a simulator {}", uuid::Uuid::new_v4()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(failed)?;
    let authority = params.self_signed(&key).map_err(failed)?;
    let issuer = Issuer::new(params, key);
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let server_key = KeyPair::generate().map_err(failed)?;
    let certificate =
        CertificateParams::new(names).map_err(failed)?.signed_by(&server_key, &issuer).map_err(failed)?;
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}
