//! The clocks of a node.

use std::io::{self, Write};

use super::{Show, hint};
use crate::control::reply::Clock;
use crate::text::clock::{apart, doubt, expiry, held_back, held_earlier};
use crate::text::moment;

impl Show for Clock {
    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "  wall clock    {}", moment(self.wall))?;
        writeln!(out, "  node's clock  {}", moment(self.node))?;
        if let Some(held) = self.held_back {
            hint(out, &held_back(held))?;
        }
        if let Some(held) = self.held_earlier {
            writeln!(out, "{}", held_earlier(held))?;
        }
        if let Some(apart) = apart(self.peers_apart) {
            hint(out, &apart)?;
        }
        match self.doubt {
            None => writeln!(
                out,
                "The wall clock is not in doubt. The node's clock counts the time that passes, and decides \
                 what expires; a difference between the two does no harm."
            ),
            Some(reason) => {
                hint(out, &doubt(reason))?;
                match expiry(self) {
                    None => Ok(()),
                    Some(what) => writeln!(out, "To confirm it would {what}."),
                }
            }
        }
    }
}
