//! `topic join` and `topic candidates`: a request, and a short wait for what peers answer.

use std::thread;
use std::time::Duration;

use super::{Ctl, ONLINE};
use crate::control::reply::{TopicCandidates, TopicJoined};
use crate::control::request::Request;
use crate::failure::Failure;

/// How often, and how many times, the node is asked whether peers have answered: for 3 s.
const POLL: Duration = Duration::from_millis(100);
const POLLS: usize = 30;

impl Ctl {
    /// Joins a topic, and waits a moment for a connected peer to offer it.
    pub(super) fn join(&self, topic: String, creator: Option<String>) -> Result<(), Failure> {
        let mut node = self.asker(ONLINE)?;
        let request = Request::TopicJoin { topic, creator };
        let mut joined: TopicJoined = node.ask(&request)?;
        let already = joined.already;
        for _ in 0..POLLS {
            if !joined.pending || joined.connected == 0 || joined.candidates.len() > 1 {
                break;
            }
            thread::sleep(POLL);
            joined = node.ask(&request)?;
        }
        self.print(&TopicJoined { already, ..joined })
    }

    /// Asks peers for topics of a name, and waits until those that are asked have answered.
    pub(super) fn candidates(&self, name: String) -> Result<(), Failure> {
        let mut node = self.asker(ONLINE)?;
        let request = |search| Request::TopicCandidates { name: name.clone(), search };
        let mut found: TopicCandidates = node.ask(&request(true))?;
        for _ in 0..POLLS {
            if found.answered >= found.asked {
                break;
            }
            thread::sleep(POLL);
            found = node.ask(&request(false))?;
        }
        self.print(&found)
    }
}
