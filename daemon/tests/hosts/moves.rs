use crate::harness::until;
use crate::lan::{Lan, address};
use crate::site::{Site, Watch};

#[test]
fn a_node_whose_address_changes_while_it_runs_is_found_again() {
    let Some(lan) = Lan::cable() else { return };
    let mut site = Site::new(lan, 45);
    site.start_all();
    site.wait_for_mesh();
    site.follow();
    let mut messages = 0;
    for host in [0, 1] {
        let since = Watch::start();
        site.lan.move_to(host, 10 + host);
        for publisher in [0, 1] {
            site.publish(publisher, &format!("{publisher} when {host} has moved"));
        }
        messages += 2;
        site.wait_for_messages(&[0, 1], messages);
        since.tell(&format!("{host} has moved and every host has every message"));
    }
    // After a restart each node knows the other's present address, though the link moved with it.
    site.kill(0);
    let since = Watch::start();
    site.start(0, &[]);
    until("the new addresses", || {
        (site.peers(0) == [reached_at(11, 7777)] && site.peers(1) == [reached_at(10, 7777)])
            .then_some(())
    });
    since.tell("linked again");
}

#[test]
fn a_node_restarted_at_a_new_address_is_linked_if_either_side_knows_the_other() {
    let Some(lan) = Lan::cable() else { return };
    let mut site = Site::new(lan, 45);
    site.start(0, &["--no-mdns"]);
    site.start(1, &["--no-mdns", "--peer", &reached_at(0, 7777)]);
    site.wait_for_mesh();
    // In turn: each restarted node must have kept the address that the other moved to.
    for (host, to, port) in [(1, 10, 7001), (0, 11, 7002), (1, 12, 7003)] {
        site.kill(host);
        site.lan.move_to(host, to);
        let since = Watch::start();
        let listen = format!("0.0.0.0:{port}");
        site.start(host, &["--no-mdns", "--listen", &listen]);
        let moved = reached_at(to, port);
        until("the new address", || (site.peers(1 - host) == [&*moved]).then_some(()));
        since.tell(&format!("linked to {moved}"));
    }
}

#[test]
fn two_nodes_restarted_at_new_addresses_find_each_other_by_multicast() {
    let Some(lan) = Lan::cable() else { return };
    let mut site = Site::new(lan, 45);
    site.start_all();
    site.wait_for_mesh();
    for host in [0, 1] {
        site.kill(host);
        site.lan.move_to(host, 10 + host);
    }
    let since = Watch::start();
    site.start_all();
    site.wait_for_mesh();
    since.tell("linked");
    assert_eq!(site.peers(0), [reached_at(11, 7777)]);
    assert_eq!(site.peers(1), [reached_at(10, 7777)]);
}

fn reached_at(number: usize, port: u16) -> String {
    format!("{}:{port}", address(number))
}
