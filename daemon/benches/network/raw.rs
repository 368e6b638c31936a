//! What QUIC itself can do: one stream of messages from each node to each other, unsigned.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use quinn::{ClientConfig, Connection, Endpoint, SendStream, ServerConfig};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::contender::{Network, Plan};
use crate::deliveries::{Deliveries, MESSAGE_BYTES, message};

/// What is read at once.
const READ_BYTES: usize = 256 * MESSAGE_BYTES;

const NAME: &str = "node";

pub(crate) struct Raw {
    runtime: Runtime,
    /// By node, the streams to the others.
    streams: Vec<Vec<SendStream>>,
    /// They would be closed with their last handle.
    _links: Vec<Connection>,
}

impl Raw {
    pub(crate) fn found(plan: Plan<'_>) -> Outcome<Self> {
        let runtime = crate::runtime()?;
        let (streams, links) = runtime.block_on(link(plan.nodes, &plan.deliveries))?;
        Ok(Self { runtime, streams, _links: links })
    }
}

async fn link(
    nodes: usize,
    deliveries: &Arc<Deliveries>,
) -> Outcome<(Vec<Vec<SendStream>>, Vec<Connection>)> {
    let signed = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = signed.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let server = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let client = ClientConfig::with_root_certificates(Arc::new(roots))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = |_| Endpoint::server(server.clone(), address);
    let endpoints: Vec<_> = (0..nodes).map(endpoint).collect::<Result<_, _>>()?;
    let (mut streams, mut links): (Vec<Vec<SendStream>>, _) = (Vec::new(), Vec::new());
    streams.resize_with(nodes, Vec::new);
    for one in 0..nodes {
        for other in one + 1..nodes {
            let target = endpoints[other].local_addr()?;
            let dialled = endpoints[one].connect_with(client.clone(), target, NAME)?;
            let accepted = async {
                let incoming = endpoints[other].accept().await.ok_or("no endpoint")?;
                Outcome::Ok(incoming.await?)
            };
            let (dialled, accepted) = tokio::join!(dialled, accepted);
            for (node, link) in [(one, dialled?), (other, accepted?)] {
                streams[node].push(link.open_uni().await?);
                tokio::spawn(read(node, link.clone(), Arc::clone(deliveries)));
                links.push(link);
            }
        }
    }
    Ok((streams, links))
}

async fn read(node: usize, link: Connection, deliveries: Arc<Deliveries>) {
    let Ok(mut stream) = link.accept_uni().await else { return };
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    while let Ok(Some(more)) = stream.read(&mut buffer[filled..]).await {
        filled += more;
        let whole = filled - filled % MESSAGE_BYTES;
        for message in buffer[..whole].chunks(MESSAGE_BYTES) {
            deliveries.delivered(node, message);
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

impl Network for Raw {
    fn publish(&mut self, from: usize, numbers: Range<u64>) -> Outcome<()> {
        let streams = &mut self.streams[from];
        self.runtime.block_on(async {
            for number in numbers {
                let message = message(number);
                for stream in &mut *streams {
                    stream.write_all(&message).await?;
                }
            }
            Ok(())
        })
    }

    fn stop(&mut self, _: usize) -> Outcome<()> {
        Err("it has no nodes that return".into())
    }

    fn start(&mut self, _: usize) -> Outcome<()> {
        Err("it has no nodes that return".into())
    }
}
