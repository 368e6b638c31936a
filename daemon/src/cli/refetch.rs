//! `topic refetch`: a request, and a wait for its end.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use super::{Ctl, ONLINE};
use crate::control::reply::TopicRefetch;
use crate::control::request::Request;
use crate::failure::Failure;
use crate::text::entries;

/// How often the node is asked whether it is over. It ends by itself: every peer has 10 s from one answer to
/// the next.
const POLL: Duration = Duration::from_millis(100);

/// After how many polls a terminal is first shown how far it is, and how often then.
const SHOWN_FIRST: u32 = 10;
const SHOWN_EVERY: u32 = 50;

impl Ctl {
    /// Has the node bring back pruned entries of a topic, and waits for the result.
    pub(super) fn refetch(&self, topic: String, since: Option<u64>) -> Result<(), Failure> {
        let mut node = self.asker(ONLINE)?;
        let request = |again| Request::TopicRefetch { topic: topic.clone(), since, again };
        let mut found: TopicRefetch = node.ask(&request(true))?;
        let mut polls = 0;
        while found.end.is_none() {
            if polls % SHOWN_EVERY == SHOWN_FIRST && io::stderr().is_terminal() {
                let so_far = entries(found.entries);
                // The result does not depend on whether this is seen.
                let _ = writeln!(
                    io::stderr(),
                    "Asking peers; {so_far} so far. Ctrl-C leaves the node working on it."
                );
            }
            thread::sleep(POLL);
            found = node.ask(&request(false))?;
            polls += 1;
        }
        self.print(&found)
    }
}
