//! The first page: how the node is, for people, without a script.

use serde_json::Value;

use crate::http::health::{Check, Level, Phase};
use crate::report::status_rows;

/// Peers that are shown.
const PEERS_MAX: usize = 50;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:3em auto;max-width:66em;padding:0 1em}\
    th{text-align:left;padding-right:2em;font-weight:600;vertical-align:top}\
    td{overflow-wrap:anywhere}h2{font-size:1.2em;margin-top:2em}\
    div{overflow-x:auto}div th,div td{white-space:nowrap;padding-right:1em}";

/// What is on it.
pub(crate) struct Page {
    /// What the node is doing.
    pub(crate) phase: Phase,
    /// Its health.
    pub(crate) checks: Vec<Check>,
    /// What it says of itself, unless it is too busy to.
    pub(crate) status: Option<Value>,
    /// Its peers.
    pub(crate) peers: Option<Value>,
}

impl Page {
    /// As HTML. A browser loads it again every 5 s.
    pub(crate) fn render(&self, now_ms: u64) -> String {
        let state = [("State", format!("{:?}", self.phase).to_lowercase())];
        let checks = self.checks.iter().map(|check| {
            let mark = match check.level {
                Level::Ok => "",
                Level::Warn => "warning: ",
                Level::Fail => "FAILED: ",
            };
            (check.name, format!("{mark}{}", check.text))
        });
        let status = self.status.iter().flat_map(|status| status_rows(status, now_ms));
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

/// The peers that there is a link to.
fn linked_peers(data: &Value) -> String {
    let peers = data["peers"].as_array().map_or(&[][..], Vec::as_slice);
    let linked: Vec<_> = peers.iter().filter(|peer| peer["state"] == "connected").collect();
    if linked.is_empty() {
        return "<h2>Linked peers</h2>\n<p>None at the moment.</p>\n".into();
    }
    let row = |peer: &&Value| {
        let text = |key: &str| escaped(peer[key].as_str().unwrap_or("?"));
        let [topics, from, to] =
            ["topics", "logs_from", "logs_to"].map(|key| peer[key].as_u64().unwrap_or(0));
        let (did, address) = (text("did"), text("address"));
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
    use serde_json::json;

    use super::*;

    #[test]
    fn linked_peers_are_shown_up_to_the_limit_and_further_ones_counted() {
        let peer = |number: u64| {
            let state = if number.is_multiple_of(2) { "connected" } else { "known" };
            json!({ "did": format!("did:{number}<"), "state": state, "address": "[::1]:1" })
        };
        let shown =
            |count| linked_peers(&json!({ "peers": (0..count).map(peer).collect::<Vec<_>>() }));
        assert!(shown(0).contains("None"));
        let few = shown(3);
        assert!(few.contains("did:0&lt;") && few.contains("did:2&lt;") && !few.contains("did:1"));
        assert!(!few.contains("more"));
        let many = shown(2 * (PEERS_MAX as u64 + 7));
        assert_eq!(many.matches("<tr><td>").count(), PEERS_MAX);
        assert!(many.contains("And 7 more"), "{many}");
    }
}
