//! The QUIC settings: bounds on what a peer can make this node buffer, and stateless resets.

use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Keypair;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;

use crate::config::Timing;
use crate::error::BindError;
use crate::limits::WINDOW_BYTES;

/// The key derivation context of stateless reset tokens, from which a peer learns of a restart.
const RESET_CONTEXT: &str = "icn v0 stateless reset";
const RESET_DOMAIN: &[u8] = b"icn/reset/v0\0";

/// Settings of a connection: one stream, no datagrams, and windows that bound the buffered bytes.
pub(crate) fn transport_config(
    timing: &Timing,
    streams: u32,
) -> Result<TransportConfig, BindError> {
    if timing.idle < timing.keep_alive.saturating_mul(3) {
        return Err(BindError::Timing);
    }
    let idle = IdleTimeout::try_from(timing.idle).map_err(|_| BindError::Timing)?;
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(WINDOW_BYTES.into())
        // A lost first packet is retransmitted early, so that a dial reaches a node that has just
        // restarted, before the next dial is due.
        .initial_rtt(Duration::from_millis(100))
        .keep_alive_interval(Some(timing.keep_alive))
        .max_idle_timeout(Some(idle));
    Ok(config)
}

/// Settings of the socket. The keys derive from the identity and survive a restart. So the restarted
/// node answers a packet on a link of its earlier process with a valid stateless reset.
pub(crate) fn endpoint_config(keypair: &Keypair) -> EndpointConfig {
    let secret = blake3::derive_key(RESET_CONTEXT, &keypair.sign(RESET_DOMAIN));
    let mut cid = [0; 8];
    blake3::Hasher::new_keyed(&secret).update(b"cid").finalize_xof().fill(&mut cid);
    let cid = u64::from_le_bytes(cid);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(secret)));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid)));
    config
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0).update(data).finalize_xof().fill(out);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // blake3 compares hashes in constant time: the time of a rejection says nothing about the
        // token.
        let signature = <[u8; 32]>::try_from(signature).map_err(|_| CryptoError)?;
        let expected = blake3::keyed_hash(&self.0, data);
        if expected == signature { Ok(()) } else { Err(CryptoError) }
    }
}
