//! libp2p's gossipsub over QUIC, each message signed by its author and checked by whoever gets it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, PublishError, ValidationMode,
};
use libp2p::identity::Keypair;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::Outcome;
use crate::contender::{Network, Plan, until};
use crate::deliveries::{Deliveries, message};

const TOPIC: &str = "bench";

/// How many others each node dials.
const DIALS: usize = 5;

/// Neighbours of a node in a mesh that stands, if there are so many.
const MESH: usize = 5;

/// What is published before the swarm gets its turn again.
const AT_ONCE: usize = 16;

/// After it was found that the queues are full: each attempt costs a signature.
const RETRY: Duration = Duration::from_millis(1);

pub(crate) struct Gossipsub {
    runtime: Runtime,
    nodes: Vec<Node>,
    deliveries: Arc<Deliveries>,
}

struct Node {
    key: Keypair,
    address: Option<Multiaddr>,
    running: Option<(mpsc::Sender<Command>, JoinHandle<()>)>,
}

enum Command {
    Publish(Range<u64>, oneshot::Sender<()>),
    /// Counts its neighbours.
    Mesh(oneshot::Sender<usize>),
}

impl Gossipsub {
    pub(crate) fn found(plan: Plan<'_>) -> Outcome<Self> {
        let runtime = crate::runtime()?;
        let node = || Node { key: Keypair::generate_ed25519(), address: None, running: None };
        let nodes = (0..plan.nodes).map(|_| node()).collect();
        let mut network = Self { runtime, nodes, deliveries: plan.deliveries };
        for node in 0..plan.nodes {
            // The last of them close the circle.
            let before = (1..=DIALS).filter(|back| *back <= node).map(|back| node - back);
            let ahead = (1..=DIALS).map(|ahead| node + ahead).filter(|at| *at >= plan.nodes);
            let around = ahead.map(|at| at % plan.nodes).filter(|at| *at < node);
            network.spawn(node, &before.chain(around).collect::<Vec<_>>())?;
        }
        let wanted = MESH.min(plan.nodes - 1);
        until("gossipsub's mesh", || (0..plan.nodes).all(|node| network.mesh(node) >= wanted))?;
        Ok(network)
    }

    fn spawn(&mut self, index: usize, dialled: &[usize]) -> Outcome<()> {
        let key = self.nodes[index].key.clone();
        let dialled = dialled.iter().filter_map(|at| self.nodes[*at].address.clone());
        let dialled: Vec<Multiaddr> = dialled.collect();
        let deliveries = Arc::clone(&self.deliveries);
        let (commands, due) = mpsc::channel(1);
        let (address, task) = self.runtime.block_on(async {
            let mut swarm = swarm(key)?;
            let address = listen(&mut swarm).await?;
            for target in dialled {
                swarm.dial(target)?;
            }
            Outcome::Ok((address, tokio::spawn(run(swarm, due, index, deliveries))))
        })?;
        self.nodes[index].address = Some(address);
        self.nodes[index].running = Some((commands, task));
        Ok(())
    }

    fn mesh(&self, node: usize) -> usize {
        let (answer, count) = oneshot::channel();
        let Some((commands, _)) = &self.nodes[node].running else { return 0 };
        let sent = commands.blocking_send(Command::Mesh(answer));
        sent.ok().and_then(|()| count.blocking_recv().ok()).unwrap_or(0)
    }
}

fn swarm(key: Keypair) -> Outcome<Swarm<Behaviour>> {
    let behaviour = |key: &Keypair| {
        let config = ConfigBuilder::default().validation_mode(ValidationMode::Strict).build()?;
        let mut behaviour = Behaviour::new(MessageAuthenticity::Signed(key.clone()), config)?;
        behaviour.subscribe(&IdentTopic::new(TOPIC))?;
        Ok(behaviour)
    };
    Ok(SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_quic()
        .with_behaviour(behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build())
}

async fn listen(swarm: &mut Swarm<Behaviour>) -> Outcome<Multiaddr> {
    swarm.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok(address);
        }
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    mut commands: mpsc::Receiver<Command>,
    node: usize,
    deliveries: Arc<Deliveries>,
) {
    let topic = IdentTopic::new(TOPIC);
    let mut due = 0..0;
    let mut taken = None;
    let mut not_before = None;
    loop {
        let turn = async {
            if let Some(moment) = not_before {
                sleep_until(moment).await;
            }
        };
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(Event::Message { message, .. }) = event {
                    deliveries.delivered(node, &message.data);
                }
            }
            command = commands.recv(), if due.is_empty() => match command {
                None => return,
                Some(Command::Publish(numbers, answer)) => (due, taken) = (numbers, Some(answer)),
                Some(Command::Mesh(answer)) => {
                    let _ = answer.send(swarm.behaviour().all_mesh_peers().count());
                }
            },
            () = turn, if !due.is_empty() => {
                not_before = None;
                for _ in 0..AT_ONCE.min(due.clone().count()) {
                    match swarm.behaviour_mut().publish(topic.clone(), message(due.start)) {
                        Ok(_) => due.start += 1,
                        Err(PublishError::AllQueuesFull(_)) => {
                            not_before = Some(Instant::now() + RETRY);
                            break;
                        }
                        Err(error) => panic!("gossipsub refuses a message: {error}"),
                    }
                }
                if due.is_empty() && let Some(answer) = taken.take() {
                    let _ = answer.send(());
                }
            }
        }
    }
}

impl Network for Gossipsub {
    fn publish(&mut self, from: usize, numbers: Range<u64>) -> Outcome<()> {
        let (answer, taken) = oneshot::channel();
        let (commands, _) = self.nodes[from].running.as_ref().ok_or("the node is down")?;
        commands.blocking_send(Command::Publish(numbers, answer)).map_err(|_| "it has ended")?;
        Ok(taken.blocking_recv()?)
    }

    fn stop(&mut self, node: usize) -> Outcome<()> {
        if let Some((_, task)) = self.nodes[node].running.take() {
            task.abort();
            // Its links go with it.
            let _ = self.runtime.block_on(task);
        }
        Ok(())
    }

    fn start(&mut self, node: usize) -> Outcome<()> {
        let others: Vec<_> = (0..self.nodes.len()).filter(|other| *other != node).collect();
        self.spawn(node, &others)
    }
}
