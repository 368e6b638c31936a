//! TLS 1.3 with raw Ed25519 keys at both ends (RFC 7250): a session proves the identity of each
//! end.
//!
//! There are no certificates, names or session tickets: no credential expires, and every session
//! proves both keys anew.

use std::sync::{Arc, OnceLock};

use icn_gossip::{Did, Keypair};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureAlgorithm, SignatureScheme, version,
};

const ALPN: &[u8] = b"icn/1";

/// The exporter label of the 32 bytes that bind a Hello to its session.
pub(crate) const BINDING_LABEL: &[u8] = b"icn hello v0";

/// The server name that the TLS client API requires; it is not sent.
pub(crate) const SERVER_NAME: &str = "icn.invalid";

/// The bytes before the key in the SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key of this node in the form that TLS needs.
#[derive(Clone, Debug)]
pub(crate) struct TlsIdentity {
    certified: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl TlsIdentity {
    pub(crate) fn new(keypair: Arc<Keypair>) -> Self {
        let spki = CertificateDer::from(spki(&keypair.did()));
        let certified = CertifiedKey::new(vec![spki], Arc::new(TlsKey(keypair)));
        let provider = rustls::crypto::ring::default_provider();
        Self { certified: Arc::new(certified), provider: Arc::new(provider) }
    }

    /// The TLS settings for incoming connections.
    pub(crate) fn server(&self) -> Result<QuicServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(Arc::new(Verifier::default()))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(
                &self.certified,
            ))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
    }

    /// The TLS settings for one dial. `verifier` records the identity that answers, expected or
    /// not.
    pub(crate) fn client(&self, verifier: Arc<Verifier>) -> Result<QuicClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                Arc::clone(&self.certified),
            )));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
    }
}

/// The identity of the peer of an established connection.
pub(crate) fn peer_did(connection: &quinn::Connection) -> Option<Did> {
    let keys = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    did_from_spki(keys.first()?).ok()
}

/// Accepts the key of the expected identity, or of any identity if none is expected. Invariant: it
/// never decides what a peer may do.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    expected: Option<Did>,
    seen: OnceLock<Did>,
}

impl Verifier {
    pub(crate) fn new(expected: Option<Did>) -> Self {
        Self { expected, seen: OnceLock::new() }
    }

    /// The identity that answered the dial.
    pub(crate) fn seen(&self) -> Option<Did> {
        self.seen.get().copied()
    }

    fn signature(
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
        }
        let bad = Error::InvalidCertificate(CertificateError::BadSignature);
        let signature = signed.signature().try_into().map_err(|_| bad.clone())?;
        did_from_spki(key)?.verify(message, signature).map_err(|_| bad)?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let did = did_from_spki(key)?;
        let seen = *self.seen.get_or_init(|| did);
        match self.expected {
            Some(expected) if expected != seen => Err(unusable()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        did_from_spki(key).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Signs for TLS with the key pair itself, so that the secret is never copied. TLS prefixes 64
/// spaces and a context string to the signed bytes, so no TLS signature is valid for an entry or a
/// Hello.
#[derive(Clone, Debug)]
struct TlsKey(Arc<Keypair>);

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<_>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(spki(&self.0.did())))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

fn spki(did: &Did) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), did.key()].concat()
}

fn did_from_spki(spki: &CertificateDer<'_>) -> Result<Did, Error> {
    let key = spki.strip_prefix(&SPKI_PREFIX).ok_or_else(unusable)?;
    Did::from_key(key.try_into().map_err(|_| unusable())?).map_err(|_| unusable())
}

/// The one error that rustls sends to the peer without a text of this node.
fn unusable() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_can_be_an_identity_are_accepted() {
        let ana = Keypair::from_seed([1; 32]).did();
        let take = |bytes: Vec<u8>| did_from_spki(&CertificateDer::from(bytes));
        assert_eq!(take(spki(&ana)), Ok(ana));
        let weak = [SPKI_PREFIX.as_slice(), &[0; 32]].concat();
        let longer = [spki(&ana), vec![0]].concat();
        for wrong in [Vec::new(), SPKI_PREFIX.to_vec(), ana.key().to_vec(), weak, longer] {
            assert!(take(wrong).is_err());
        }
    }
}
