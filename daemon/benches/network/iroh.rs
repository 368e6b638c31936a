//! iroh-gossip, in which messages have no author who signs them.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use iroh::address_lookup::memory::MemoryLookup;
use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey};
use iroh_gossip::api::{Event, GossipReceiver, GossipSender, JoinOptions};
use iroh_gossip::net::{GOSSIP_ALPN, Gossip};
use iroh_gossip::proto::TopicId;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::contender::{Network, Plan, until};
use crate::deliveries::{Deliveries, message};

const TOPIC: TopicId = TopicId::from_bytes([7; 32]);

/// Whom a node asks first.
const BOOTSTRAP: usize = 5;

/// What one that listens may be behind before it loses something.
const BEHIND_MAX: usize = 1 << 17;

pub(crate) struct Iroh {
    runtime: Runtime,
    nodes: Vec<Node>,
    /// Where all of them are.
    addresses: MemoryLookup,
    deliveries: Arc<Deliveries>,
}

struct Node {
    key: SecretKey,
    neighbours: Arc<AtomicUsize>,
    running: Option<(Router, GossipSender)>,
}

impl Iroh {
    pub(crate) fn found(plan: Plan<'_>) -> Outcome<Self> {
        let node =
            || Node { key: SecretKey::generate(), neighbours: Arc::default(), running: None };
        let mut network = Self {
            runtime: crate::runtime()?,
            nodes: (0..plan.nodes).map(|_| node()).collect(),
            addresses: MemoryLookup::new(),
            deliveries: plan.deliveries,
        };
        for index in 0..plan.nodes {
            network.spawn(index, index.saturating_sub(BOOTSTRAP)..index)?;
        }
        until("iroh-gossip's neighbours", || {
            network.nodes.iter().all(|node| node.neighbours.load(Ordering::Acquire) > 0)
        })?;
        Ok(network)
    }

    fn spawn(&mut self, index: usize, bootstrap: Range<usize>) -> Outcome<()> {
        let others = bootstrap.filter(|other| *other != index);
        let others: Vec<EndpointId> = others.map(|other| self.nodes[other].key.public()).collect();
        let key = self.nodes[index].key.clone();
        let addresses = self.addresses.clone();
        let deliveries = Arc::clone(&self.deliveries);
        let neighbours = Arc::clone(&self.nodes[index].neighbours);
        let running = self.runtime.block_on(async move {
            let endpoint = Endpoint::builder(presets::Minimal)
                .secret_key(key)
                .relay_mode(RelayMode::Disabled)
                .address_lookup(addresses.clone())
                .clear_ip_transports()
                .bind_addr((Ipv4Addr::LOCALHOST, 0))?
                .bind()
                .await?;
            let here = endpoint.bound_sockets().into_iter();
            let address = here.fold(EndpointAddr::new(endpoint.id()), EndpointAddr::with_ip_addr);
            addresses.set_endpoint_info(address);
            let gossip = Gossip::builder().spawn(endpoint.clone());
            let router = Router::builder(endpoint).accept(GOSSIP_ALPN, gossip.clone()).spawn();
            let (sender, receiver) = subscribe(&gossip, &others).await?;
            tokio::spawn(async move {
                let mut receiver = Some(receiver);
                // One that was too slow is closed and has to ask again.
                while let Some(messages) = receiver.take() {
                    listen(messages, index, &deliveries, &neighbours).await;
                    receiver = subscribe(&gossip, &[]).await.ok().map(|(_, receiver)| receiver);
                }
            });
            Outcome::Ok((router, sender))
        })?;
        self.nodes[index].running = Some(running);
        Ok(())
    }
}

async fn subscribe(
    gossip: &Gossip,
    others: &[EndpointId],
) -> Outcome<(GossipSender, GossipReceiver)> {
    let mut options = JoinOptions::with_bootstrap(others.iter().copied());
    options.subscription_capacity = BEHIND_MAX;
    Ok(gossip.subscribe_with_opts(TOPIC, options).await?.split())
}

/// Until nothing more comes.
async fn listen(
    mut messages: GossipReceiver,
    node: usize,
    deliveries: &Deliveries,
    neighbours: &AtomicUsize,
) {
    while let Some(Ok(event)) = messages.next().await {
        match event {
            Event::Received(message) => deliveries.delivered(node, &message.content),
            Event::NeighborUp(_) => drop(neighbours.fetch_add(1, Ordering::Release)),
            _ => {}
        }
    }
}

impl Network for Iroh {
    fn publish(&mut self, from: usize, numbers: Range<u64>) -> Outcome<()> {
        let (_, sender) = self.nodes[from].running.as_ref().ok_or("the node is down")?;
        self.runtime.block_on(async {
            for number in numbers {
                sender.broadcast(message(number).to_vec().into()).await?;
            }
            Ok(())
        })
    }

    fn stop(&mut self, node: usize) -> Outcome<()> {
        match self.nodes[node].running.take() {
            Some((router, _)) => Ok(self.runtime.block_on(router.shutdown())?),
            None => Ok(()),
        }
    }

    fn start(&mut self, node: usize) -> Outcome<()> {
        self.spawn(node, 0..self.nodes.len())
    }
}
