//! Joined topics, and candidates for a name.

use std::io::{self, Write};

use super::{Show, hint};
use crate::cli::table::Table;
use crate::control::reply::join::Candidate;
use crate::control::reply::{TopicCandidates, TopicJoined};
use crate::text::counted;
use crate::text::topics::{access, brief};

impl Show for TopicJoined {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(topic) = &self.topic {
            let already = if self.already { "Already joined" } else { "Joined" };
            writeln!(out, "{already}: {}", brief(topic))?;
            return writeln!(out, "  id  {}", topic.id);
        }
        if self.candidates.len() > 1 {
            writeln!(
                out,
                "Pending: its creator has several topics of this name. Join one by its id:"
            )?;
            return table(&self.candidates).write(out);
        }
        let connected = counted(self.connected, "peer");
        let by_creator = self.reference.contains('@');
        let who = if by_creator { "its creator" } else { "a peer that may read it" };
        writeln!(out, "Pending: {connected} connected, and none has offered this topic yet.")?;
        writeln!(
            out,
            "It is entered once {who} is connected and offers it, if it admits this node."
        )?;
        hint(out, "  The DID to admit:       icnctl identity show")?;
        hint(out, "  See who is connected:   icnctl peer list")?;
        hint(
            out,
            &format!("  Wait no longer:         icnctl gossip unsubscribe {}", self.reference),
        )
    }
}

impl Show for TopicCandidates {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { name, asked, answered, candidates } = self;
        if *asked == 0 {
            writeln!(
                out,
                "No peer was asked: only peers that you named, and members of private topics"
            )?;
            writeln!(out, "here, are asked for a name. None of them is connected.")?;
            hint(out, "  Name a peer by its card:  icnctl peer add CARD")?;
        } else {
            let peers = counted(*asked, "peer");
            writeln!(out, "Asked {peers} for {name}; {answered} answered.")?;
        }
        if candidates.is_empty() {
            return writeln!(out, "No candidates for {name}.");
        }
        if *asked == 0 {
            writeln!(out, "Known from an earlier search:")?;
        }
        table(candidates).write(out)?;
        writeln!(out, "Any peer can give its topic any name. Ask the creator for the id, then:")?;
        hint(out, "  icnctl topic join ID")
    }
}

fn table(candidates: &[Candidate]) -> Table {
    let mut table = Table::new(&["ID", "CREATOR", "ACCESS", "READABLE", "OFFERED BY"]);
    for candidate in candidates {
        let readable = if candidate.admits_this_node { "yes" } else { "no" };
        let peers = counted(candidate.offered_by.len() as u64, "peer");
        let Candidate { id, creator, access: rule, .. } = candidate;
        table.row([id.clone(), creator.clone(), access(*rule), readable.into(), peers]);
    }
    table
}
