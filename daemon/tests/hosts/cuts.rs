use crate::harness::until;
use crate::lan::Lan;
use crate::site::{Site, TOPIC, Watch};

#[test]
fn two_unconfigured_nodes_find_each_other_and_survive_a_pulled_cable() {
    let Some(lan) = Lan::cable() else { return };
    let mut site = Site::new(lan, 5);
    let since = Watch::start();
    site.start_all();
    site.wait_for_mesh();
    since.tell("met");
    site.follow();
    site.publish(0, "before");
    site.wait_for_messages(&[1], 1);

    site.lan.hosts[0].ip("link set eth0 down");
    survive(&site, &[0, 1], &[0, 0], || site.lan.hosts[0].ip("link set eth0 up"));
}

#[test]
fn one_node_of_three_whose_packets_are_silently_dropped_catches_up() {
    let Some(lan) = Lan::switch(3) else { return };
    let mut site = Site::new(lan, 5);
    let since = Watch::start();
    site.start_all();
    site.wait_for_mesh();
    since.tell("all three met");
    site.follow();
    site.publish(0, "before");
    site.wait_for_messages(&[1, 2], 1);

    site.lan.isolate(0);
    survive(&site, &[0, 1, 2], &[0, 1, 1], || site.lan.rejoin(0));
    assert!(!site.log(1).contains(&format!("Lost the link to {}", site.houses[2].did())));
}

/// Host 0 is cut off and every host publishes. The cut leaves each host its number of `links`; after
/// `heal` each has every message.
fn survive(site: &Site, hosts: &[usize], links: &[usize], heal: impl Fn()) {
    for host in hosts {
        (0..10).for_each(|number| site.publish(*host, &format!("{host}: {number}")));
    }
    site.wait_for_messages(&hosts[1..], 1 + 10 * (hosts.len() - 1));
    let since = Watch::start();
    let spent = site.spent(0);
    site.wait_for_links(links);
    since.tell("the links are down");
    until("a dial that fails", || site.log(0).contains("no answer").then_some(()));
    spent.check_idle(&site.spent(0));
    assert_eq!(site.houses[0].texts(TOPIC).len(), 11);

    let since = Watch::start();
    heal();
    site.wait_for_mesh();
    since.tell("linked again");
    site.wait_for_messages(hosts, 1 + 10 * hosts.len());
    since.tell("every host has every message");
}

#[test]
fn a_link_survives_a_cut_shorter_than_the_silence_limit() {
    let Some(lan) = Lan::switch(2) else { return };
    let mut site = Site::new(lan, 45);
    site.start_all();
    site.wait_for_mesh();
    site.follow();
    site.lan.isolate(0);
    for host in [0, 1] {
        site.publish(host, &format!("from {host}"));
    }
    site.lan.rejoin(0);
    site.wait_for_messages(&[0, 1], 2);
    for host in [0, 1] {
        assert!(!site.log(host).contains("Lost the link"), "{}", site.log(host));
    }
}
