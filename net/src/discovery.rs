//! Discovers nodes on the same local network, by multicast DNS (RFC 6762 and 6763).
//!
//! An advertisement is a hint: it names an identity and an address, and TLS proves whether the two
//! belong together. A node ignores its own advertisement.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use icn_gossip::Did;
use mdns_sd::{
    DaemonEvent, Error, IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use tokio::time::timeout;

use crate::context::Context;
use crate::dialler::{Dialler, TargetSource};
use crate::limits::{ADDRESSES_MAX, HINTS_MAX};
use crate::target::Target;

const SERVICE: &str = "_icn._udp.local.";

/// The part of the DID that names the service: 12 random characters after the common
/// `did:icn:z6Mk`.
const NAME_AT: usize = "did:icn:z6Mk".len();
const NAME_CHARS: usize = 12;

/// The most time withdrawing the advertisement may take.
const GOODBYE_TIME_MAX: Duration = Duration::from_millis(500);

/// Advertises this node and dials the nodes that others advertise, until the transport stops.
pub(crate) async fn discover(dialler: Arc<Dialler>) {
    if let Err(error) = try_discover(&dialler).await {
        tracing::warn!(%error, "discovery on the local network is off");
    }
}

async fn try_discover(dialler: &Arc<Dialler>) -> Result<(), Error> {
    let context = dialler.context();
    let daemon = ServiceDaemon::new()?;
    let listen = context.endpoint.local_addr().map_err(|error| Error::Msg(error.to_string()))?;
    choose_interfaces(&daemon, listen.ip())?;
    let advertised = advertisement(context, listen)?;
    let name = advertised.get_fullname().to_owned();
    let errors = daemon.monitor()?;
    let found = daemon.browse(SERVICE)?;
    daemon.register(advertised)?;
    let mut hints = Hints::default();
    tokio::select! {
        () = context.stopping.cancelled() => {}
        () = hints.follow(dialler, listen.ip(), &found) => {}
        () = warn_once(&errors) => {}
    }
    if let Ok(said) = daemon.unregister(&name) {
        let _ = timeout(GOODBYE_TIME_MAX, said.recv_async()).await;
    }
    daemon.shutdown().map(|_| ())
}

/// Advertises only on the interfaces where this node is reachable.
fn choose_interfaces(daemon: &ServiceDaemon, listen: IpAddr) -> Result<(), Error> {
    match listen {
        address if address.is_unspecified() && address.is_ipv6() => Ok(()),
        address if address.is_unspecified() => daemon.disable_interface(IfKind::IPv6),
        address => {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(match address {
                IpAddr::V4(address) if address.is_loopback() => IfKind::LoopbackV4,
                IpAddr::V6(address) if address.is_loopback() => IfKind::LoopbackV6,
                address => IfKind::Addr(address),
            })
        }
    }
}

fn advertisement(context: &Context, listen: SocketAddr) -> Result<ServiceInfo, Error> {
    let did = context.did.to_string();
    let name: String = did.chars().skip(NAME_AT).take(NAME_CHARS).collect();
    let host = format!("icn-{name}.local.");
    let port = listen.port().to_string();
    let newest = context.config.versions.newest.to_string();
    let run = context.run.to_string();
    let text = [("did", did.as_str()), ("v", &newest), ("port", &port), ("run", &run)];
    if listen.ip().is_unspecified() {
        let info = ServiceInfo::new(SERVICE, &name, &host, "", listen.port(), &text[..])?;
        Ok(info.enable_addr_auto())
    } else {
        ServiceInfo::new(SERVICE, &name, &host, listen.ip(), listen.port(), &text[..])
    }
}

/// Warns the operator of the first error only: without multicast every packet fails.
async fn warn_once(errors: &Receiver<DaemonEvent>) {
    let mut warned = false;
    while let Ok(event) = errors.recv_async().await {
        match event {
            DaemonEvent::Error(error) if !warned => {
                warned = true;
                tracing::warn!(%error, "discovery on the local network fails");
            }
            other => tracing::debug!(?other, "discovery"),
        }
    }
    // The daemon ends only when this node shuts it down.
    std::future::pending::<()>().await;
}

/// The advertised targets of each node, by its service name.
#[derive(Debug, Default)]
struct Hints(HashMap<String, Vec<Target>>);

impl Hints {
    async fn follow(
        &mut self,
        dialler: &Arc<Dialler>,
        listen: IpAddr,
        found: &Receiver<ServiceEvent>,
    ) {
        while let Ok(event) = found.recv_async().await {
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    let context = dialler.context();
                    if let Some(place) = elsewhere(&service, &context.did, context.run) {
                        context.emit_ours(place).await;
                    }
                    let targets = targets(&service, &dialler.context().did, listen);
                    self.replace(dialler, service.get_fullname(), targets);
                }
                ServiceEvent::ServiceRemoved(_, name) => self.replace(dialler, &name, Vec::new()),
                _ => {}
            }
        }
    }

    fn replace(&mut self, dialler: &Arc<Dialler>, name: &str, targets: Vec<Target>) {
        if self.0.len() >= HINTS_MAX && !self.0.contains_key(name) {
            return;
        }
        let before = self.0.remove(name).unwrap_or_default();
        for gone in before.iter().filter(|target| !targets.contains(target)) {
            tracing::debug!(target = %gone, "no longer on the local network");
            dialler.remove(gone, TargetSource::Hinted);
        }
        for new in targets.iter().filter(|target| !before.contains(target)) {
            tracing::debug!(target = %new, "found on the local network");
            dialler.add(new.clone(), TargetSource::Hinted);
        }
        if !targets.is_empty() {
            self.0.insert(name.to_owned(), targets);
        }
    }
}

/// The targets of another node's advertisement that are reachable from the listen address.
fn targets(service: &ResolvedService, own: &Did, listen: IpAddr) -> Vec<Target> {
    let did = service.get_property_val_str("did").and_then(|did| did.parse::<Did>().ok());
    let Some(did) = did.filter(|did| did != own) else { return Vec::new() };
    let mut addresses: Vec<_> =
        service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
    addresses.retain(|&address| reachable(address, listen));
    addresses.sort_unstable();
    addresses.truncate(ADDRESSES_MAX);
    let port = service.get_port();
    let target = |address| Target::new(Some(did), SocketAddr::new(address, port));
    addresses.into_iter().filter(|_| port > 0).map(target).collect()
}

/// Where another process with this node's identity is, if it made this advertisement.
fn elsewhere(service: &ResolvedService, own: &Did, run: u64) -> Option<String> {
    let did = service.get_property_val_str("did")?;
    let their_run = service.get_property_val_str("run")?;
    if did != own.to_string() || their_run == run.to_string() {
        return None;
    }
    let port = service.get_port();
    let addresses = service.get_addresses().iter().take(ADDRESSES_MAX);
    let addresses: Vec<_> =
        addresses.map(|ip| SocketAddr::new(ip.to_ip_addr(), port).to_string()).collect();
    Some(format!("it is advertised on the local network at {}", addresses.join(", ")))
}

fn reachable(address: IpAddr, listen: IpAddr) -> bool {
    let kind = match address {
        IpAddr::V4(_) => listen.is_ipv4() || listen.is_unspecified(),
        // A link-local address means nothing without its interface.
        IpAddr::V6(address) => listen.is_ipv6() && !address.is_unicast_link_local(),
    };
    kind && (listen.is_unspecified() || address.is_loopback() == listen.is_loopback())
}

#[cfg(test)]
mod tests {
    use icn_gossip::Keypair;

    use super::*;

    fn service(did: &str, addresses: &str, port: u16) -> ResolvedService {
        ServiceInfo::new(SERVICE, "x", "x.local.", addresses, port, &[("did", did)][..])
            .unwrap()
            .as_resolved_service()
    }

    #[test]
    fn an_advertisement_of_another_process_with_this_identity_is_seen() {
        let [own, other] = [1, 2].map(|seed| Keypair::from_seed([seed; 32]).did());
        let seen = |did: &Did, run: Option<&str>| {
            let did = did.to_string();
            let mut text = vec![("did", did.as_str())];
            text.extend(run.map(|run| ("run", run)));
            let info = ServiceInfo::new(SERVICE, "x", "x.local.", "192.0.2.1", 7, &text[..]);
            elsewhere(&info.unwrap().as_resolved_service(), &own, 5)
        };
        assert!(seen(&own, Some("6")).unwrap().contains("192.0.2.1:7"));
        assert_eq!(seen(&own, Some("5")), None, "its own");
        assert_eq!(seen(&other, Some("6")), None, "that of a peer");
        // An earlier build advertises no number.
        assert_eq!(seen(&own, None), None);
    }

    #[test]
    fn an_advertisement_is_a_target_unless_it_is_own_or_malformed() {
        let [own, other] = [1, 2].map(|seed| Keypair::from_seed([seed; 32]).did());
        let any = "0.0.0.0".parse().unwrap();
        let found = |did: &str, addresses, listen| {
            let found = targets(&service(did, addresses, 7000), &own, listen);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let text = other.to_string();
        assert_eq!(found(&text, "192.0.2.1", any), [format!("{other}@192.0.2.1:7000")]);
        assert!(found(&own.to_string(), "192.0.2.1", any).is_empty());
        assert!(found("no-did", "192.0.2.1", any).is_empty());
        assert!(targets(&service(&text, "192.0.2.1", 0), &own, any).is_empty());
        // No address that the socket of this node cannot reach.
        assert!(found(&text, "2001:db8::1", any).is_empty());
        assert!(found(&text, "192.0.2.1", "127.0.0.1".parse().unwrap()).is_empty());
        let both = "::".parse().unwrap();
        assert_eq!(found(&text, "fe80::1,2001:db8::1,192.0.2.1", both).len(), 2);
        let many: Vec<_> = (1..100).map(|host| format!("192.0.2.{host}")).collect();
        assert_eq!(found(&text, &many.join(","), any).len(), ADDRESSES_MAX);
    }
}
