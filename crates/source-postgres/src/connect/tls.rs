use super::{
    address::{Address, Host, SslMode},
    wire::Socket,
};
use pipeline::{Error, Kind};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Turns a plain stream, on which the server has agreed to TLS, into an encrypted one as `sslmode` asks.
pub(crate) async fn wrap(socket: impl Socket + 'static, address: &Address) -> Result<Box<dyn Socket>, Error> {
    let place = address.server();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verify = match (address.ssl_mode, &address.ssl_root_cert) {
        (SslMode::VerifyFull, _) => Verify::Full,
        // As in libpq, naming a root certificate asks for the chain to be checked.
        (SslMode::VerifyCa, _) | (SslMode::Require, Some(_)) => Verify::Chain,
        _ => Verify::Nothing,
    };
    let checker: Arc<dyn ServerCertVerifier> = match verify {
        Verify::Nothing => Arc::new(Checker { chain: None, provider: Arc::clone(&provider) }),
        Verify::Chain | Verify::Full => {
            let roots = Arc::new(roots(address).await?);
            let webpki = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(|e| {
                Error::new(Kind::Misconfigured, format!("no usable root certificates for {place}: {e}"))
                    .with_hint("Name the server's root certificate with sslrootcert=/path/to/root.pem in the url.")
            })?;
            match verify {
                Verify::Full => webpki,
                _ => Arc::new(Checker { chain: Some(webpki), provider: Arc::clone(&provider) }),
            }
        }
    };
    let failed = |e: String| {
        Error::new(Kind::Refused, format!("TLS with PostgreSQL at {place} failed: {e}"))
            .with_hint("Check sslmode and sslrootcert in the url, and the certificate's host name and dates on the server.")
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(checker)
        .with_no_client_auth();
    let name = match &address.host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(_) => "localhost".into(),
    };
    let name = ServerName::try_from(name).map_err(|e| failed(e.to_string()))?;
    match TlsConnector::from(Arc::new(config)).connect(name, socket).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(e) => Err(failed(e.to_string()).with_source(e)),
    }
}

enum Verify {
    Nothing,
    Chain,
    Full,
}

async fn roots(address: &Address) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match address.ssl_root_cert.as_deref() {
        None | Some("system") => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let bad = |e: String| {
                Error::new(Kind::Misconfigured, format!("the root certificate {path} can't be used: {e}"))
                    .with_hint("sslrootcert must name a readable PEM file, or be `system`.")
            };
            let pem = tokio::fs::read(path).await.map_err(|e| bad(e.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| bad(e.to_string()))?;
                roots.add(certificate).map_err(|e| bad(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("it holds no certificate".into()));
            }
        }
    }
    Ok(roots)
}

/// Checks less than rustls does by itself, as the weaker `sslmode`s of PostgreSQL ask: never the host name, the chain where there is one.
/// Signatures of the handshake are always checked.
#[derive(Debug)]
struct Checker {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Checker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki looks at the name last, so with this error the chain was found good.
            Err(rustls::Error::InvalidCertificate(
                rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
