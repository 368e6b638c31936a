//! From a connection to a link: both ends say who they are, and only then anybody hears of it.
//!
//! ```text
//! dialler                         acceptor
//! Hello                    ──►    accepts it, or closes
//! accepts it, or closes    ◄──    Hello
//! HELLO without a body     ──►    now both know that both have accepted
//! ```
//!
//! The last one is needed: a connection that TLS calls established may still be refused by the
//! other end, and a peer that was told of a link which then never was would route by it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use icn_gossip::Did;
use quinn::{ClientConfig, Connection, ConnectionError, Incoming, SendStream, WriteError};
use tokio::time::timeout;

use crate::context::Context;
use crate::frame::Frame;
use crate::frame_reader::{NoFrame, Reader};
use crate::half_open::Place;
use crate::hello::{Hello, Refusal, Role, Session};
use crate::limits::TLS_TIME_MAX;
use crate::link::Link;
use crate::link_task::{Ends, KIND_HELLO, Running};
use crate::stats::Count;
use crate::table::{Claim, Declined};
use crate::tls::{self, Verifier};
use crate::why::{self, CLOSE_REPLACED, Why};

/// What came of a dial.
#[derive(Debug)]
pub(crate) enum Dialled {
    Up(Arc<Link>),
    /// Another connection to the same peer is the link, or becomes it.
    Busy(Did),
    /// It was this node that answered.
    Ourselves,
    Failed(Failure),
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) count: Count,
    pub(crate) text: String,
}

/// Why no link came about.
enum Ended {
    Refused(Refusal),
    Declined(Declined),
    Late,
    Lost,
}

/// Connects to an address. With `expected` nobody else may answer.
pub(crate) async fn dial(
    context: &Arc<Context>,
    address: SocketAddr,
    expected: Option<Did>,
) -> Dialled {
    let verifier = Arc::new(Verifier::new(expected));
    let failed = |count, text: String| Dialled::Failed(Failure { count, text });
    let connecting = match context.identity.client(Arc::clone(&verifier)) {
        Ok(crypto) => {
            let mut config = ClientConfig::new(Arc::new(crypto));
            config.transport_config(Arc::clone(&context.dialling));
            context.endpoint.connect_with(config, address, tls::SERVER_NAME)
        }
        Err(error) => return failed(Count::DialTransport, error.to_string()),
    };
    let connecting = match connecting {
        Ok(connecting) => connecting,
        Err(error) => return failed(Count::DialTransport, error.to_string()),
    };
    let connection = match timeout(TLS_TIME_MAX, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(ConnectionError::TimedOut)) | Err(_) => {
            return failed(Count::DialUnreachable, "nobody answers".into());
        }
        Ok(Err(error)) => {
            let Some(seen) = verifier.seen().filter(|_| expected.is_some()) else {
                let text = why::words(error.to_string().as_bytes());
                return failed(Count::DialTransport, text);
            };
            if seen == context.did {
                return Dialled::Ourselves;
            }
            if Some(seen) == expected {
                let text = why::words(error.to_string().as_bytes());
                return failed(Count::DialTransport, text);
            }
            return failed(Count::DialWrongKey, format!("{seen} answers there"));
        }
    };
    let Some(session) = session(&connection, Role::Dialer) else {
        return failed(Count::DialTransport, "the session shows no key".into());
    };
    let saying = say_first(context, &connection, &session);
    let ended = match timeout(context.config.timing.hello, saying).await {
        Ok(Ok((claim, ends))) => match begin(context, claim, ends) {
            Ok(link) => return Dialled::Up(link),
            Err(declined) => Ended::Declined(declined),
        },
        Ok(Err(ended)) => ended,
        Err(_) => Ended::Late,
    };
    let text = ended.text(context);
    match (end(context, &connection, &ended), ended) {
        (_, Ended::Refused(Refusal::Ourselves)) => Dialled::Ourselves,
        (Some(Why::Theirs { code, .. }), _) if code == Refusal::Ourselves.code() => {
            Dialled::Ourselves
        }
        (_, Ended::Declined(Declined::Other)) => Dialled::Busy(session.peer),
        (Some(Why::Theirs { code: CLOSE_REPLACED, .. } | Why::Ours { .. }), _) => {
            Dialled::Busy(session.peer)
        }
        (Some(Why::Theirs { reason, .. }), _) => {
            failed(Count::DialRefused, format!("refused by the other end: {reason}"))
        }
        (Some(why), _) => failed(Count::DialTransport, why.to_string()),
        (None, _) => failed(Count::DialRefused, text),
    }
}

/// Takes a connection. `place` is held until it is a link, or not.
pub(crate) async fn accept(context: Arc<Context>, incoming: Incoming, place: Place) {
    let from = incoming.remote_address();
    let connection = match incoming.accept() {
        Ok(connecting) => timeout(TLS_TIME_MAX, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    let Ok(Ok(connection)) = connection else {
        context.stats.add(Count::HandshakeFailed, 1);
        return tracing::debug!(%from, ?connection, "no session");
    };
    let Some(session) = session(&connection, Role::Acceptor) else {
        return context.stats.add(Count::HandshakeFailed, 1);
    };
    let saying = say_second(&context, &connection, &session);
    let ended = match timeout(context.config.timing.hello, saying).await {
        Ok(Ok((claim, ends))) => match begin(&context, claim, ends) {
            Ok(_) => return drop(place),
            Err(declined) => Ended::Declined(declined),
        },
        Ok(Err(ended)) => ended,
        Err(_) => Ended::Late,
    };
    let text = ended.text(&context);
    let why = end(&context, &connection, &ended).map(|why| why.to_string());
    tracing::debug!(%from, peer = %session.peer, why = why.unwrap_or(text), "no link");
}

fn session(connection: &Connection, role: Role) -> Option<Session> {
    let peer = tls::peer(connection)?;
    let mut binding = [0; 32];
    connection.export_keying_material(&mut binding, tls::BINDING_LABEL, &[]).ok()?;
    Some(Session { binding, role, peer })
}

async fn say_first(
    context: &Arc<Context>,
    connection: &Connection,
    session: &Session,
) -> Result<(Claim, Ends), Ended> {
    if session.peer == context.did {
        return Err(Ended::Refused(Refusal::Ourselves));
    }
    let claim = context.table.dial(session.peer, connection).map_err(Ended::Declined)?;
    let (mut send, receive) = connection.open_bi().await.map_err(|_| Ended::Lost)?;
    write(&mut send, Hello::sign(&context.local(), session)).await?;
    let mut reader = Reader::new(receive);
    let hello = hello(&mut reader).await?;
    let peer = Hello::accept(&hello, &context.local(), session).map_err(Ended::Refused)?;
    write(&mut send, Vec::new()).await?;
    reader.open();
    let connection = connection.clone();
    let binding = session.binding;
    Ok((claim, Ends { connection, send, reader, binding, dialled: true, peer }))
}

async fn say_second(
    context: &Arc<Context>,
    connection: &Connection,
    session: &Session,
) -> Result<(Claim, Ends), Ended> {
    let (mut send, receive) = connection.accept_bi().await.map_err(|_| Ended::Lost)?;
    let mut reader = Reader::new(receive);
    let hello_bytes = hello(&mut reader).await?;
    let peer = Hello::accept(&hello_bytes, &context.local(), session).map_err(Ended::Refused)?;
    let claim = context.table.accept(session.peer, connection).map_err(Ended::Declined)?;
    write(&mut send, Hello::sign(&context.local(), session)).await?;
    if !hello(&mut reader).await?.is_empty() {
        return Err(Ended::Refused(Refusal::Malformed));
    }
    reader.open();
    let connection = connection.clone();
    let binding = session.binding;
    Ok((claim, Ends { connection, send, reader, binding, dialled: false, peer }))
}

fn begin(context: &Arc<Context>, claim: Claim, ends: Ends) -> Result<Arc<Link>, Declined> {
    let running = Running::new(claim.id(), ends);
    let link = Arc::clone(running.link());
    let old = claim.commit(&link)?;
    context.tasks.spawn(running.run(Arc::clone(context), old));
    Ok(link)
}

async fn hello(reader: &mut Reader) -> Result<Bytes, Ended> {
    match reader.frame().await {
        Ok(frame) if frame.kind() == KIND_HELLO => Ok(frame.body().clone()),
        Ok(_) | Err(NoFrame::TooLarge | NoFrame::End) => Err(Ended::Refused(Refusal::Malformed)),
        Err(NoFrame::Lost) => Err(Ended::Lost),
    }
}

async fn write(send: &mut SendStream, hello: Vec<u8>) -> Result<(), Ended> {
    let frame = Frame::new(KIND_HELLO, hello).map_err(|_| Ended::Refused(Refusal::Malformed))?;
    let mut buffer = BytesMut::new();
    frame.encode(&mut buffer);
    send.write_chunk(buffer.freeze()).await.map_err(|error| match error {
        WriteError::Stopped(_) => Ended::Refused(Refusal::Malformed),
        _ => Ended::Lost,
    })
}

/// Closes the connection as it has to be, and counts it. If the connection is what ended, says how.
fn end(context: &Context, connection: &Connection, ended: &Ended) -> Option<Why> {
    let (code, text) = match ended {
        Ended::Lost => {
            let why = Why::of(connection.close_reason()?, None);
            if let Why::Theirs { code, .. } = why {
                context.stats.rejected_by_peer(code);
            }
            return Some(why);
        }
        Ended::Refused(refusal) => {
            context.stats.refused(*refusal);
            (refusal.code(), ended.text(context))
        }
        Ended::Late => {
            context.stats.add(Count::RefusedLate, 1);
            (Refusal::Malformed.code(), ended.text(context))
        }
        Ended::Declined(declined) => {
            if *declined == Declined::Full {
                context.stats.add(Count::LinksFull, 1);
            }
            (declined.code(), ended.text(context))
        }
    };
    connection.close(code.into(), text.as_bytes());
    None
}

impl Ended {
    fn text(&self, context: &Context) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Declined(declined) => declined.reason().to_owned(),
            Self::Late => format!("no Hello within {:?}", context.config.timing.hello),
            Self::Lost => "the connection was lost".to_owned(),
        }
    }
}
