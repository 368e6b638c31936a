//! What nodes say to each other while nobody publishes.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::meter::Wire;
use crate::ten::{NODES, PACE, PATIENCE, WARM_UP};
use crate::{Measured, Outcome};

/// What the last messages leave behind.
const SETTLE: Duration = Duration::from_secs(5);

const IDLE: Duration = Duration::from_secs(60);

pub(crate) fn table(out: &mut dyn Write, measured: &Measured<'_>) -> Outcome<()> {
    if !measured.private {
        return Ok(());
    }
    writeln!(out, "\n### {NODES} nodes, idle for {} s, one round\n", IDLE.as_secs())?;
    writeln!(out, "| | B/s per node | packets/s per node |\n|---|--:|--:|")?;
    for contender in measured.gossiping() {
        measured.with(contender, NODES, 0..NODES, |network, deliveries| {
            for number in 0..WARM_UP {
                let publisher = number as usize % NODES;
                network.publish(publisher, number..number + 1)?;
                deliveries.wait_one(number, publisher, PATIENCE);
                thread::sleep(PACE);
            }
            thread::sleep(SETTLE);
            let before = Wire::now()?;
            thread::sleep(IDLE);
            let wire = Wire::since(before)?;
            let each = |count: f64| count / IDLE.as_secs_f64() / NODES as f64;
            let bytes = each(wire.bytes);
            let packets = each(wire.packets);
            Ok(writeln!(out, "| {} | {bytes:.0} | {packets:.2} |", contender.name)?)
        })?;
    }
    Ok(())
}
