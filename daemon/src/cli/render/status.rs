//! How a node is, who it is, and the digest of its state.

use std::io::{self, Write};

use super::{Show, hint};
use crate::clock::now_ms;
use crate::control::reply::check::Level;
use crate::control::reply::status::NodeState;
use crate::control::reply::{Digest, Identity, Status};
use crate::text::command::located;
use crate::text::{printable, status};

impl Show for Status {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let state = match self.node.state {
            NodeState::Ready => "ready",
            NodeState::Failed => "failed",
        };
        writeln!(out, "ICN node, {state}")?;
        for (name, text) in status::rows(self, now_ms()) {
            writeln!(out, "  {name:<12}{text}")?;
        }
        for check in self.checks.iter().filter(|check| check.level > Level::Ok) {
            writeln!(out, "! {}", printable(&located(&check.to_string())))?;
        }
        if self.last_start.passed_over > 0 {
            hint(out, "! A snapshot could not be used at the last start: icnctl snapshot list")?;
        }
        for finding in &self.last_start.weaker {
            let finding = printable(finding);
            writeln!(out, "! The last start found less than was kept: {finding}")?;
        }
        Ok(())
    }
}

impl Show for Identity {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", self.did)?;
        writeln!(out, "Peers add this node with:")?;
        writeln!(out, "  icnctl peer add {}", self.card)
    }
}

impl Show for Digest {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}  #{}", self.digest, self.lsn)
    }
}
