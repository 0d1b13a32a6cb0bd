//! The server's certificate, from files to what connections are encrypted with.

use anyhow::{Context, Result, anyhow};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// The protocols that clients may ask for inside of TLS: PostgreSQL's, where they begin encrypted, and that of Flight SQL.
const PROTOCOLS: [&[u8]; 2] = [b"postgresql", b"h2"];

/// Reads a certificate with its chain, and its private key.
///
/// # Errors
/// Where a file can't be read, is not PEM, or the two don't belong together.
pub fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let certs = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading the certificate {}", cert.display()))?;
    if certs.is_empty() {
        return Err(anyhow!("{} holds no certificate", cert.display()));
    }
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading the private key {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certs, key))
        .context("the certificate and the private key don't go together")?;
    config.alpn_protocols = PROTOCOLS.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}
