//! Turns a connection into a link: each end accepts the other's Hello before either reports the
//! link.
//!
//! ```text
//! dialler                         acceptor
//! Hello                    ──►    accepts it, or closes
//! accepts it, or closes    ◄──    Hello
//! HELLO without a body     ──►    both know that both have accepted
//! ```
//!
//! The third frame is needed: the dialler may still refuse a connection that TLS calls established.
//! Without it, the acceptor would report, and route by, a link that never comes up.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use icn_gossip::Did;
use quinn::{ClientConfig, Connection, ConnectionError, Incoming, SendStream, WriteError};
use tokio::time::timeout;

use crate::close_reason::{self, CLOSE_CONTESTED, CLOSE_REPLACED, CloseReason};
use crate::context::Context;
use crate::frame::Frame;
use crate::frame_reader::{FrameReadError, FrameReader};
use crate::half_open::HalfOpenPermit;
use crate::hello::{Hello, Refusal, Role, TlsSession};
use crate::limits::TLS_TIME_MAX;
use crate::link::{Link, canonical};
use crate::link_table::{Claim, Committed, Declined};
use crate::link_task::{Handshaken, KIND_HELLO, LinkTask};
use crate::stats::Stat;
use crate::tls::{self, Verifier};

/// The outcome of a dial.
#[derive(Debug)]
pub(crate) enum DialOutcome {
    /// The dial became a link.
    Up(Arc<Link>),
    /// Another connection to the same peer is the link, or is about to be.
    Declined(Did),
    /// This node itself answered.
    Ourselves,
    /// No link, for this reason.
    Failed(DialFailure),
}

#[derive(Debug)]
pub(crate) struct DialFailure {
    pub(crate) stat: Stat,
    pub(crate) text: String,
}

/// Why a handshake ended without a link.
enum HandshakeError {
    Refused(Refusal),
    Declined(Declined),
    TimedOut,
    Lost,
}

/// Dials an address and shakes hands. With `expected`, only that identity may answer.
pub(crate) async fn dial(
    context: &Arc<Context>,
    address: SocketAddr,
    expected: Option<Did>,
) -> DialOutcome {
    let verifier = Arc::new(Verifier::new(expected));
    let failed = |stat, text: String| DialOutcome::Failed(DialFailure { stat, text });
    let connecting = match context.identity.client(Arc::clone(&verifier)) {
        Ok(crypto) => {
            let mut config = ClientConfig::new(Arc::new(crypto));
            config.transport_config(Arc::clone(&context.dialling));
            context.endpoint.connect_with(config, address, tls::SERVER_NAME)
        }
        Err(error) => return failed(Stat::DialTransport, error.to_string()),
    };
    let connecting = match connecting {
        Ok(connecting) => connecting,
        Err(error) => return failed(Stat::DialTransport, error.to_string()),
    };
    let connection = match timeout(TLS_TIME_MAX, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(ConnectionError::TimedOut)) | Err(_) => {
            return failed(Stat::DialUnreachable, "no answer".into());
        }
        Ok(Err(error)) => {
            let Some(seen) = verifier.seen().filter(|_| expected.is_some()) else {
                let text = close_reason::printable(error.to_string().as_bytes());
                return failed(Stat::DialTransport, text);
            };
            if seen == context.did {
                return DialOutcome::Ourselves;
            }
            if Some(seen) == expected {
                let text = close_reason::printable(error.to_string().as_bytes());
                return failed(Stat::DialTransport, text);
            }
            return failed(Stat::DialWrongKey, format!("{seen} answers there"));
        }
    };
    let Some(session) = tls_session(&connection, Role::Dialler) else {
        return failed(Stat::DialTransport, "the session shows no key".into());
    };
    if session.peer == context.did
        && !context.own_sessions.are_ours(session.binding, Role::Dialler).await
    {
        context.emit_ours(format!("it answers at {address}")).await;
        connection.close(Refusal::Ourselves.code().into(), b"another process has this identity");
        let text = "another process with this node's identity answers there".to_owned();
        return failed(Stat::DialRefused, text);
    }
    let exchange = exchange_as_dialler(context, &connection, &session);
    let error = match timeout(context.config.timing.hello, exchange).await {
        Ok(Ok((claim, handshaken))) => match start_link(context, claim, handshaken) {
            Ok(link) => return DialOutcome::Up(link),
            Err(declined) => HandshakeError::Declined(declined),
        },
        Ok(Err(error)) => error,
        Err(_) => HandshakeError::TimedOut,
    };
    let text = error.text(context);
    match (close_failed(context, &connection, &error), error) {
        (_, HandshakeError::Refused(Refusal::Ourselves)) => DialOutcome::Ourselves,
        (Some(CloseReason::Theirs { code, .. }), _) if code == Refusal::Ourselves.code() => {
            DialOutcome::Ourselves
        }
        (_, HandshakeError::Declined(Declined::OtherLink)) => DialOutcome::Declined(session.peer),
        (Some(CloseReason::Theirs { code: CLOSE_REPLACED, .. } | CloseReason::Ours { .. }), _) => {
            DialOutcome::Declined(session.peer)
        }
        (Some(CloseReason::Theirs { code: CLOSE_CONTESTED, reason }), _) => {
            context.emit_ours(format!("{} says: {reason}", session.peer)).await;
            failed(Stat::DialRefused, format!("refused by the other end: {reason}"))
        }
        (Some(CloseReason::Theirs { reason, .. }), _) => {
            failed(Stat::DialRefused, format!("refused by the other end: {reason}"))
        }
        (Some(reason), _) => failed(Stat::DialTransport, reason.to_string()),
        (None, _) => failed(Stat::DialRefused, text),
    }
}

/// Accepts a connection and shakes hands. `permit` counts it as half-open until the handshake ends.
pub(crate) async fn accept(context: Arc<Context>, incoming: Incoming, permit: HalfOpenPermit) {
    let from = incoming.remote_address();
    let connection = match incoming.accept() {
        Ok(connecting) => timeout(TLS_TIME_MAX, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    let Ok(Ok(connection)) = connection else {
        context.stats.add(Stat::HandshakeFailed, 1);
        return tracing::debug!(%from, ?connection, "TLS handshake failed");
    };
    let Some(session) = tls_session(&connection, Role::Acceptor) else {
        return context.stats.add(Stat::HandshakeFailed, 1);
    };
    if session.peer == context.did
        && !context.own_sessions.are_ours(session.binding, Role::Acceptor).await
    {
        context.emit_ours(format!("it dials this node from {from}")).await;
    }
    let exchange = exchange_as_acceptor(&context, &connection, &session);
    let error = match timeout(context.config.timing.hello, exchange).await {
        Ok(Ok((claim, handshaken))) => match start_link(&context, claim, handshaken) {
            Ok(_) => return drop(permit),
            Err(declined) => HandshakeError::Declined(declined),
        },
        Ok(Err(error)) => error,
        Err(_) => HandshakeError::TimedOut,
    };
    if let HandshakeError::Declined(Declined::Contested(up)) = error {
        context.emit_contested(session.peer, [up, canonical(from)]).await;
    }
    let text = error.text(&context);
    let reason = close_failed(&context, &connection, &error).map(|reason| reason.to_string());
    tracing::debug!(%from, peer = %session.peer, reason = reason.unwrap_or(text), "no link");
}

fn tls_session(connection: &Connection, role: Role) -> Option<TlsSession> {
    let peer = tls::peer_did(connection)?;
    let mut binding = [0; 32];
    connection.export_keying_material(&mut binding, tls::BINDING_LABEL, &[]).ok()?;
    Some(TlsSession { binding, role, peer })
}

async fn exchange_as_dialler(
    context: &Arc<Context>,
    connection: &Connection,
    session: &TlsSession,
) -> Result<(Claim, Handshaken), HandshakeError> {
    if session.peer == context.did {
        return Err(HandshakeError::Refused(Refusal::Ourselves));
    }
    let claim =
        context.table.claim_dial(session.peer, connection).map_err(HandshakeError::Declined)?;
    let (mut send, receive) = connection.open_bi().await.map_err(|_| HandshakeError::Lost)?;
    write_hello(&mut send, Hello::sign(&context.local(), session)).await?;
    let mut reader = FrameReader::new(receive);
    let hello = read_hello(&mut reader).await?;
    let peer = Hello::accept(&hello, &context.local(), session).map_err(HandshakeError::Refused)?;
    write_hello(&mut send, Vec::new()).await?;
    reader.lift_limit();
    let connection = connection.clone();
    let binding = session.binding;
    Ok((claim, Handshaken { connection, send, reader, binding, dialled: true, peer }))
}

async fn exchange_as_acceptor(
    context: &Arc<Context>,
    connection: &Connection,
    session: &TlsSession,
) -> Result<(Claim, Handshaken), HandshakeError> {
    let (mut send, receive) = connection.accept_bi().await.map_err(|_| HandshakeError::Lost)?;
    let mut reader = FrameReader::new(receive);
    let hello_bytes = read_hello(&mut reader).await?;
    let peer =
        Hello::accept(&hello_bytes, &context.local(), session).map_err(HandshakeError::Refused)?;
    let claim =
        context.table.claim_accept(session.peer, connection).map_err(HandshakeError::Declined)?;
    write_hello(&mut send, Hello::sign(&context.local(), session)).await?;
    if !read_hello(&mut reader).await?.is_empty() {
        return Err(HandshakeError::Refused(Refusal::Malformed));
    }
    reader.lift_limit();
    let connection = connection.clone();
    let binding = session.binding;
    Ok((claim, Handshaken { connection, send, reader, binding, dialled: false, peer }))
}

fn start_link(
    context: &Arc<Context>,
    claim: Claim,
    handshaken: Handshaken,
) -> Result<Arc<Link>, Declined> {
    let task = LinkTask::new(claim.id(), handshaken);
    let link = Arc::clone(task.link());
    let Committed { old, contested } = claim.commit(&link)?;
    context.tasks.spawn(task.run(Arc::clone(context), old));
    if let Some(addresses) = contested {
        let (context, peer) = (Arc::clone(context), link.peer());
        context.tasks.clone().spawn(async move { context.emit_contested(peer, addresses).await });
    }
    Ok(link)
}

async fn read_hello(reader: &mut FrameReader) -> Result<Bytes, HandshakeError> {
    match reader.next_frame().await {
        Ok(frame) if frame.kind() == KIND_HELLO => Ok(frame.body().clone()),
        Ok(_) | Err(FrameReadError::TooLarge | FrameReadError::End) => {
            Err(HandshakeError::Refused(Refusal::Malformed))
        }
        Err(FrameReadError::Lost) => Err(HandshakeError::Lost),
    }
}

async fn write_hello(send: &mut SendStream, hello: Vec<u8>) -> Result<(), HandshakeError> {
    let frame =
        Frame::new(KIND_HELLO, hello).map_err(|_| HandshakeError::Refused(Refusal::Malformed))?;
    let mut buffer = BytesMut::new();
    frame.encode(&mut buffer);
    send.write_chunk(buffer.freeze()).await.map_err(|error| match error {
        WriteError::Stopped(_) => HandshakeError::Refused(Refusal::Malformed),
        _ => HandshakeError::Lost,
    })
}

/// Counts a failed handshake and closes its connection. Returns how the connection ended, if it
/// ended by itself.
fn close_failed(
    context: &Context,
    connection: &Connection,
    error: &HandshakeError,
) -> Option<CloseReason> {
    let (code, text) = match error {
        HandshakeError::Lost => {
            let reason = CloseReason::from_error(connection.close_reason()?, None);
            if let CloseReason::Theirs { code, .. } = reason {
                context.stats.rejected_by_peer(code);
            }
            return Some(reason);
        }
        HandshakeError::Refused(refusal) => {
            context.stats.refused(*refusal);
            (refusal.code(), error.text(context))
        }
        HandshakeError::TimedOut => {
            context.stats.add(Stat::RefusedLate, 1);
            (Refusal::Malformed.code(), error.text(context))
        }
        HandshakeError::Declined(declined) => {
            if *declined == Declined::Full {
                context.stats.add(Stat::LinksFull, 1);
            }
            (declined.code(), error.text(context))
        }
    };
    connection.close(code.into(), text.as_bytes());
    None
}

impl HandshakeError {
    fn text(&self, context: &Context) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Declined(declined) => declined.reason().into_owned(),
            Self::TimedOut => format!("no Hello within {:?}", context.config.timing.hello),
            Self::Lost => "the connection was lost".to_owned(),
        }
    }
}
