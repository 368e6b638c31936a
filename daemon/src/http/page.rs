//! The first page: status, health and peers as HTML without a script.

use crate::control::reply::check::{Check, Level};
use crate::control::reply::peers::{Peer, PeerState};
use crate::control::reply::{Peers, Status};
use crate::http::health::Phase;
use crate::text::status;

/// The most peers on the page.
const PEERS_MAX: usize = 50;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:3em auto;max-width:66em;padding:0 1em}\
    th{text-align:left;padding-right:2em;font-weight:600;vertical-align:top}\
    td{overflow-wrap:anywhere}h2{font-size:1.2em;margin-top:2em}\
    div{overflow-x:auto}div th,div td{white-space:nowrap;padding-right:1em}";

/// The contents of the page.
pub(crate) struct Page {
    /// The phase of the process.
    pub(crate) phase: Phase,
    /// The checks of its health.
    pub(crate) checks: Vec<Check>,
    /// The status; none while the node takes no requests or is too slow.
    pub(crate) status: Option<Status>,
    /// The peers.
    pub(crate) peers: Option<Peers>,
}

impl Page {
    /// The page as HTML. A browser reloads it every 5 s.
    pub(crate) fn render(&self, now_ms: u64) -> String {
        let state = [("State", format!("{:?}", self.phase).to_lowercase())];
        let checks = self.checks.iter().map(|check| {
            let mark = match check.level {
                Level::Ok => "",
                Level::Warn => "warning: ",
                Level::Fail => "FAILED: ",
            };
            (check.name.as_str(), format!("{mark}{}", check.text))
        });
        let status = self.status.iter().flat_map(|status| status::rows(status, now_ms));
        let rows: String = state
            .into_iter()
            .chain(checks)
            .chain(status)
            .map(|(name, text)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(&text)))
            .collect();
        let peers = self.peers.as_ref().map(linked_peers).unwrap_or_default();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"refresh\" content=\"5\"><title>ICN node</title>\
             <style>{STYLE}</style></head><body><h1>ICN node</h1>\n<table>\n{rows}</table>\n{peers}\
             <p><a href=\"/healthz\">health</a> · <a href=\"/metrics\">metrics</a></p></body></html>\n"
        )
    }
}

/// The linked peers.
fn linked_peers(Peers { peers }: &Peers) -> String {
    let linked: Vec<_> = peers.iter().filter(|peer| peer.state == PeerState::Connected).collect();
    if linked.is_empty() {
        return "<h2>Linked peers</h2>\n<p>None at the moment.</p>\n".into();
    }
    let row = |peer: &&Peer| {
        let [topics, from, to] =
            [peer.topics, peer.logs_from, peer.logs_to].map(|count| count.unwrap_or(0));
        let address = peer.address.iter().flatten().next().map_or("?", String::as_str);
        let did = escaped(&peer.did);
        let address = escaped(address);
        format!(
            "<tr><td>{did}</td><td>{address}</td><td>{topics}</td><td>{from}</td><td>{to}</td></tr>\n"
        )
    };
    let rows: String = linked.iter().take(PEERS_MAX).map(row).collect();
    let more = match linked.len().saturating_sub(PEERS_MAX) {
        0 => String::new(),
        more => format!("<p>And {more} more: <code>icnctl peer list</code></p>\n"),
    };
    format!(
        "<h2>Linked peers</h2>\n<div><table>\n<tr><th>DID</th><th>Address</th><th>Topics</th>\
         <th>Logs in</th><th>Logs out</th></tr>\n{rows}</table></div>\n{more}"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_peers_are_shown_up_to_the_limit_and_further_ones_counted() {
        let peer = |number: u64| {
            let linked = number.is_multiple_of(2);
            Peer {
                did: format!("did:{number}<"),
                state: if linked { PeerState::Connected } else { PeerState::Known },
                x25519: None,
                trust: None,
                address: Some(Some("[::1]:1".into())),
                topics: None,
                logs_from: None,
                logs_to: None,
                clock_ahead_ms: None,
            }
        };
        let shown = |count| linked_peers(&Peers { peers: (0..count).map(peer).collect() });
        assert!(shown(0).contains("None"));
        let few = shown(3);
        assert!(few.contains("did:0&lt;") && few.contains("did:2&lt;") && !few.contains("did:1"));
        assert!(!few.contains("more"));
        let many = shown(2 * (PEERS_MAX as u64 + 7));
        assert_eq!(many.matches("<tr><td>").count(), PEERS_MAX);
        assert!(many.contains("And 7 more"), "{many}");
    }
}
