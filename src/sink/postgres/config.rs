//! A connection as `tokio_postgres` wants it, and TLS by rustls.

use crate::sink::{Postgres, SslMode};
use crate::{Error, Kind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where systems keep the authorities they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How to reach `at`.
pub(super) fn connection(at: &Postgres) -> Result<tokio_postgres::Config> {
    let mut config = tokio_postgres::Config::new();
    for (host, port) in at.hosts()? {
        config.host(host).port(port);
    }
    let user = at.user()?;
    config.dbname(at.dbname.as_deref().unwrap_or(&user));
    config.user(user);
    let password = match &at.password {
        Some(secret) => Some(secret.reveal()?),
        None => std::env::var("PGPASSWORD").ok(),
    };
    if let Some(password) = password {
        config.password(password);
    }
    config
        .application_name("wattline")
        .connect_timeout(Duration::from_secs_f64(at.connect_timeout.clamp(0.1, 1e6)))
        // A peer that is gone without a word is noticed within a minute.
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(60))
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .ssl_mode(match at.sslmode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
    Ok(config)
}

/// The TLS side of `at`.
pub(super) fn tls(at: &Postgres) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(at, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Internal, "TLS cannot be set up").because(e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(at: &Postgres, provider: &Arc<CryptoProvider>) -> Result<Verifier> {
    let checks = match at.sslmode {
        SslMode::VerifyFull => Checks::All,
        SslMode::VerifyCa => Checks::AllButName,
        // As libpq does: who names authorities wants them asked.
        SslMode::Require if at.sslrootcert.is_some() => Checks::AllButName,
        _ => Checks::Nothing,
    };
    let inner = match checks {
        Checks::Nothing => None,
        _ => Some(trusting(at.sslrootcert.as_deref(), provider)?),
    };
    Ok(Verifier {
        checks,
        inner,
        provider: provider.clone(),
    })
}

fn trusting(
    file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => system_roots()?,
    };
    let unusable = |why: String| {
        Error::new(
            Kind::Usage,
            format!(
                "the certificates in {} cannot be used ({why}); name a PEM file with sslrootcert=",
                path.display()
            ),
        )
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(&path).map_err(|e| unusable(e.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        roots
            .add(certificate)
            .map_err(|e| unusable(e.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| unusable(e.to_string()))
}

fn system_roots() -> Result<PathBuf> {
    let told = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let found = SYSTEM_ROOTS.iter().map(PathBuf::from).find(|p| p.exists());
    told.or(found).ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "the system has no list of trusted authorities; name a PEM file with sslrootcert=",
        )
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    /// Authority and name.
    All,
    /// The authority.
    AllButName,
    /// The connection is hidden from who listens, not from who pretends.
    Nothing,
}

/// libpq's levels of checking a server's certificate.
#[derive(Debug)]
struct Verifier {
    checks: Checks,
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        let name = CertificateError::NotValidForName;
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is checked before the name.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.checks == Checks::AllButName => Ok(ServerCertVerified::assertion()),
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                ..
            })) => Err(name.into()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
