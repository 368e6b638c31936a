//! Discovery by multicast DNS.

use std::time::Duration;

use icn_net::Config;
use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::time::{sleep, timeout};

use crate::harness::{Node, TIME_MAX, config};

/// True iff multicast DNS works on this machine, tested without the code of this crate.
async fn multicast_works() -> bool {
    let daemon = || -> Result<ServiceDaemon, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::LoopbackV4)?;
        Ok(daemon)
    };
    let (Ok(here), Ok(there)) = (daemon(), daemon()) else { return false };
    let service = "_icn-probe._udp.local.";
    let none = None::<std::collections::HashMap<String, String>>;
    let info = ServiceInfo::new(service, "probe", "icn-probe.local.", "127.0.0.1", 1, none);
    here.register(info.unwrap()).unwrap();
    let found = there.browse(service).unwrap();
    let resolved = async {
        while let Ok(event) = found.recv_async().await {
            if matches!(event, ServiceEvent::ServiceResolved(_)) {
                return true;
            }
        }
        false
    };
    let works = timeout(Duration::from_secs(5), resolved).await.unwrap_or(false);
    let _ = (here.shutdown(), there.shutdown());
    works
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_one_network_find_each_other_and_forget_a_node_that_leaves() {
    if !multicast_works().await {
        println!("skipped: the loopback interface has no multicast");
        return;
    }
    let discovering = |seed| Config { discovery: true, ..config(seed) };
    let mut a = Node::with(discovering(1));
    let mut b = Node::with(discovering(2));
    let (in_a, in_b) = tokio::join!(a.up(), b.up());
    assert_eq!(in_a.1, b.did());
    assert_eq!(in_b.1, a.did());
    b.transport.shutdown().await;
    a.down().await;
    let forgotten = async {
        while a.transport.targets().iter().any(|target| target.did == Some(in_a.1)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        timeout(TIME_MAX, forgotten).await.is_ok(),
        "the target of a node that has left remains"
    );
}
