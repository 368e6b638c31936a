//! `topic refetch`: a request, and a wait for its end.

use std::thread;
use std::time::Duration;

use super::{Ctl, ONLINE};
use crate::control::reply::TopicRefetch;
use crate::control::request::Request;
use crate::failure::Failure;

/// How often the node is asked whether it is over. It ends by itself: every peer has 10 s to answer.
const POLL: Duration = Duration::from_millis(100);

impl Ctl {
    /// Has the node bring back pruned entries of a topic, and waits for the result.
    pub(super) fn refetch(&self, topic: String, since: Option<u64>) -> Result<(), Failure> {
        let mut node = self.asker(ONLINE)?;
        let request = |again| Request::TopicRefetch { topic: topic.clone(), since, again };
        let mut found: TopicRefetch = node.ask(&request(true))?;
        while found.end.is_none() {
            thread::sleep(POLL);
            found = node.ask(&request(false))?;
        }
        self.print(&found)
    }
}
