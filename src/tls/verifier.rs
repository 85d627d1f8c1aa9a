//! Whether a server's certificate is believed: by webpki and the roots; or because it stands in
//! `ca_file` itself, byte for byte, and is for this host and this time.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::crypto::{
    verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, RootCertStore,
    SignatureScheme,
};

use super::certificate::{Certificate, key_parts};
use super::untrusted::{Reason, Untrusted, shown};

/// Decides over a server's certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None` where there are no roots.
    by_roots: Option<Arc<WebPkiServerVerifier>>,
    /// Why nobody at all can be believed, where that is so.
    no_roots: Option<String>,
    /// Those of `ca_file`. A server that shows one of them, and proves that it has the key, is the
    /// one that the operator means, also where webpki takes no such certificate.
    pinned: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// `problem`: why the system has no roots.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        roots: RootCertStore,
        pinned: Vec<CertificateDer<'static>>,
        problem: Option<String>,
    ) -> Verifier {
        let by_roots =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let by_roots = by_roots.build().ok();
        let problem = problem.unwrap_or_else(|| "none can be used".to_owned());
        let is_blind = by_roots.is_none() && pinned.is_empty();
        Verifier {
            by_roots,
            no_roots: is_blind.then_some(problem),
            pinned,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// The certificate, where it is pinned and webpki does not read it.
    fn unread_by_webpki(&self, shown: &CertificateDer<'_>) -> Option<Certificate> {
        let unread = self.pinned.contains(shown) && ParsedCertificate::try_from(shown).is_err();
        unread.then(|| Certificate::read(shown)).flatten()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_roots = self.by_roots.as_ref().map(|by_roots| {
            by_roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        let error = match by_roots {
            None => CertificateError::UnknownIssuer,
            Some(Err(Error::InvalidCertificate(error))) => error,
            Some(other) => return other,
        };
        let certificate = Certificate::read(end_entity);
        let reason = match (&self.no_roots, &certificate) {
            (Some(problem), _) => Reason::NoRoots(problem.clone()),
            (None, Some(certificate)) if self.pinned.contains(end_entity) => {
                match pinned_problem(certificate, server_name, now) {
                    None => return Ok(ServerCertVerified::assertion()),
                    Some(reason) => reason,
                }
            }
            (None, _) => Reason::of(&error, Some(server_name)),
        };
        let untrusted = Untrusted {
            reason,
            certificate,
        };
        Err(CertificateError::Other(OtherError(Arc::new(untrusted))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.unread_by_webpki(cert) {
            Some(certificate) => signed_by(&certificate, message, dss, &self.algorithms),
            None => verify_tls12_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.unread_by_webpki(cert) {
            Some(certificate) => verify_tls13_signature_with_raw_key(
                message,
                &certificate.key,
                dss,
                &self.algorithms,
            ),
            None => verify_tls13_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What is wrong with a certificate whose bytes are known: its time, or its name.
fn pinned_problem(
    certificate: &Certificate,
    host: &ServerName<'_>,
    now: UnixTime,
) -> Option<Reason> {
    // A time beyond all certificates where the clock has none of ours.
    let now = i64::try_from(now.as_secs()).map(Timestamp::from_second);
    let now = now.ok().and_then(Result::ok).unwrap_or(Timestamp::MAX);
    if now > certificate.not_after {
        Some(Reason::Expired(now))
    } else if now < certificate.not_before {
        Some(Reason::NotValidYet(now))
    } else if !certificate.is_for(host) {
        Some(Reason::OtherName(shown(host)))
    } else {
        None
    }
}

/// TLS 1.2's signature by the key of a certificate that webpki does not read. As rustls does it:
/// the first algorithm of the scheme that is one of the key's.
fn signed_by(
    certificate: &Certificate,
    message: &[u8],
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == dss.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let (algorithm, key) = key_parts(&certificate.key).ok_or(CertificateError::BadEncoding)?;
    let verified = candidates
        .iter()
        .find(|candidate| candidate.public_key_alg_id().as_ref() == algorithm)
        .map(|candidate| candidate.verify_signature(key, message, dss.signature()));
    match verified {
        Some(Ok(())) => Ok(HandshakeSignatureValid::assertion()),
        Some(Err(_)) | None => Err(CertificateError::BadSignature.into()),
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn without_a_root_a_pinned_certificate_is_believed_and_no_other() {
        let read = |name: &str| {
            let folder =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
            CertificateDer::from_pem_file(folder.join(name)).expect(name)
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let none = RootCertStore::empty;
        let server = read("server.pem");
        let verify = |pinned: &[CertificateDer<'static>], certificate: &CertificateDer<'_>| {
            let problem = Some("its store is empty".to_owned());
            let verifier = Verifier::new(&provider, none(), pinned.to_vec(), problem);
            let host = ServerName::try_from("localhost").expect("a name");
            verifier.verify_server_cert(certificate, &[], &host, &[], UnixTime::now())
        };
        let pinned = [server.clone()];
        assert!(verify(&pinned, &server).is_ok());
        let error = format!("{:?}", verify(&pinned, &read("expired.pem")).unwrap_err());
        assert!(error.contains("UnknownIssuer"), "{error}");
        let nobody = verify(&[], &server).unwrap_err();
        assert_eq!(
            crate::tls::explained(&nobody),
            "no root certificates: this machine has none (its store is empty); install \
             ca-certificates, or set ca_file"
        );
    }
}
