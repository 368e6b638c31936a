//! A peer that speaks QUIC and TLS as a node does, and then sends any bytes the test likes.

use std::net::SocketAddr;
use std::sync::Arc;

use icn_gossip::{Did, KeyCard, Keypair};
use icn_net::{Frame, Hello, LocalNode, Role, TlsSession, VERSIONS_SPOKEN};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::time::timeout;

use crate::harness::{NETWORK, TIME_MAX};

pub(crate) struct RawPeer {
    endpoint: Endpoint,
    seed: [u8; 32],
    pub(crate) keypair: Keypair,
}

impl RawPeer {
    pub(crate) fn new(seed: u8) -> Self {
        let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let seed = [seed; 32];
        Self { endpoint, seed, keypair: Keypair::from_seed(seed) }
    }

    /// Opens a session as a node does, with the given ALPN protocol.
    pub(crate) async fn connect(
        &self,
        to: SocketAddr,
        protocol: &[u8],
    ) -> Result<Connection, ConnectionError> {
        self.with(to, protocol, true).await
    }

    /// Opens a session without a client key.
    pub(crate) async fn connect_without_key(
        &self,
        to: SocketAddr,
    ) -> Result<Connection, ConnectionError> {
        self.with(to, b"icn/1", false).await
    }

    async fn with(
        &self,
        to: SocketAddr,
        protocol: &[u8],
        key: bool,
    ) -> Result<Connection, ConnectionError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnyKey));
        let mut config = if key {
            let resolver = AlwaysResolvesClientRawPublicKeys::new(Arc::new(self.certified()));
            builder.with_client_cert_resolver(Arc::new(resolver))
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let crypto = QuicClientConfig::try_from(config).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connecting = self.endpoint.connect_with(config, to, "icn.invalid").unwrap();
        timeout(TIME_MAX, connecting).await.unwrap()
    }

    fn certified(&self) -> CertifiedKey {
        const PKCS8: [u8; 16] = [
            0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        let der = PrivatePkcs8KeyDer::from([PKCS8.as_slice(), &self.seed].concat());
        let key = rustls::crypto::ring::sign::any_eddsa_type(&der).unwrap();
        let spki = key.public_key().unwrap().to_vec();
        drop(PrivateKeyDer::from(der));
        CertifiedKey::new(vec![CertificateDer::from(spki)], key)
    }

    /// The Hello that a node would send on this connection.
    pub(crate) fn hello(&self, connection: &Connection, peer: Did) -> Vec<u8> {
        let mut binding = [0; 32];
        connection.export_keying_material(&mut binding, b"icn hello v0", b"").unwrap();
        let card = KeyCard::sign(&self.keypair, [7; 32], 1);
        let local = LocalNode {
            keypair: &self.keypair,
            card: &card,
            network: icn_net::network_id(NETWORK),
            versions: VERSIONS_SPOKEN,
            capabilities: 0,
        };
        Hello::sign(&local, &TlsSession { binding, role: Role::Dialler, peer })
    }

    /// Connects and shakes hands as a node does.
    pub(crate) async fn join(
        &self,
        to: SocketAddr,
        peer: Did,
    ) -> (Connection, SendStream, RecvStream) {
        let connection = self.connect(to, b"icn/1").await.unwrap();
        let (mut send, receive) = connection.open_bi().await.unwrap();
        let hello = self.hello(&connection, peer);
        send.write_all(&[encoded(0, &hello), encoded(0, b"")].concat()).await.unwrap();
        (connection, send, receive)
    }
}

pub(crate) fn encoded(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    Frame::new(kind, body.to_vec()).unwrap().encode(&mut out);
    out.to_vec()
}

/// The code with which the node closes the connection.
pub(crate) async fn code(connection: &Connection) -> u64 {
    match timeout(TIME_MAX, connection.closed()).await.expect("closed") {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

#[derive(Debug)]
struct AcceptAnyKey;

impl ServerCertVerifier for AcceptAnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
