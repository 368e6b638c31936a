//! How QUIC is set up: what a peer can make this node hold, and how it learns of a restart.

use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Keypair;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;

use crate::config::Timing;
use crate::error::BindError;
use crate::limits::WINDOW_BYTES;

/// The context of what keys the tokens by which a peer learns that this node was started again.
const RESET_CONTEXT: &str = "icn v0 stateless reset";
const RESET_DOMAIN: &[u8] = b"icn/reset/v0\0";

/// One stream, no datagrams, and windows that bound what a peer can make this node hold.
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
        // A first packet that nobody heard is sent again soon: a node that was started again is
        // there before the next dial.
        .initial_rtt(Duration::from_millis(100))
        .keep_alive_interval(Some(timing.keep_alive))
        .max_idle_timeout(Some(idle));
    Ok(config)
}

/// The same keys after every start of the same node: a peer that still holds a link to the process
/// before learns from its next packet that nobody is there any more.
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
        // The hashes compare in constant time.
        let signature = <[u8; 32]>::try_from(signature).map_err(|_| CryptoError)?;
        let expected = blake3::keyed_hash(&self.0, data);
        if expected == signature { Ok(()) } else { Err(CryptoError) }
    }
}
