//! Ten nodes, and now and then a message from one of them to all.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::contender::{Contender, GOSSIPSUB, ICN, ICN_TOGETHER};
use crate::deliveries::MESSAGE_BYTES;
use crate::meter::{Wire, clock, sync_ms};
use crate::rounds::{Rounds, rank};
use crate::{Measured, Outcome};

pub(crate) const NODES: usize = 10;

pub(crate) const WARM_UP: u64 = 40;
const MESSAGES: u64 = 200;

/// Between two messages: 17 a second.
pub(crate) const PACE: Duration = Duration::from_millis(59);

/// For how long nothing is delivered before a message is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Of a message the publisher syncs one file after a rest, and then the subscribers one each.
const SYNCED: [(&str, usize, Duration); 3] = [
    ("in a row", 1, Duration::ZERO),
    ("after a rest", 1, PACE),
    ("at once", NODES - 1, Duration::ZERO),
];

#[derive(Default)]
struct Figures {
    p50: Rounds,
    p99: Rounds,
    lost: Rounds,
    cpu: Rounds,
    bytes: Rounds,
    packets: Rounds,
    sync: Rounds,
}

pub(crate) fn table(out: &mut dyn Write, measured: &Measured<'_>) -> Outcome<()> {
    let mut figures = Figures::default();
    for _ in 0..measured.rounds {
        for (name, files, rest) in SYNCED {
            figures.sync.push(name, sync_ms(measured.directory, files, rest)?);
        }
        for contender in contenders(measured) {
            rotate(contender, measured, &mut figures)?;
        }
    }
    figures.write(out, measured)
}

fn contenders<'a>(measured: &'a Measured<'_>) -> impl Iterator<Item = &'a Contender> {
    let together = measured.contenders.iter().any(|contender| contender.name == ICN);
    measured.contenders.iter().copied().chain(together.then_some(&ICN_TOGETHER))
}

fn rotate(contender: &Contender, measured: &Measured<'_>, figures: &mut Figures) -> Outcome<()> {
    let name = contender.name;
    measured.with(contender, NODES, 0..NODES, |network, deliveries| {
        let mut times = Vec::new();
        let mut wire = Wire::now()?;
        let mut before = Vec::new();
        for number in 0..WARM_UP + MESSAGES {
            if number == WARM_UP {
                (wire, before) = (Wire::now()?, network.cpu()?);
            }
            let publisher = number as usize % NODES;
            let start = clock();
            network.publish(publisher, number..number + 1)?;
            let came = deliveries.wait_one(number, publisher, PATIENCE);
            if number >= WARM_UP {
                times.extend(came.map(|came| (came - start).as_secs_f64() * 1e3));
            }
            thread::sleep(PACE.saturating_sub(start.elapsed()));
        }
        figures.lost.push(name, (MESSAGES - times.len() as u64) as f64);
        figures.p50.push(name, rank(times.clone(), 500));
        figures.p99.push(name, rank(times, 990));
        let deliveries = (MESSAGES * (NODES as u64 - 1)) as f64;
        let spent = network.cpu()?.into_iter().zip(before).map(|(after, before)| after - before);
        figures.cpu.push(name, spent.sum::<Duration>().as_secs_f64() * 1e6 / deliveries);
        if measured.private {
            let wire = Wire::since(wire)?;
            figures.bytes.push(name, wire.bytes / deliveries);
            figures.packets.push(name, wire.packets / deliveries);
        }
        Ok(())
    })
}

impl Figures {
    fn write(&self, out: &mut dyn Write, measured: &Measured<'_>) -> Outcome<()> {
        let rounds = measured.rounds;
        writeln!(
            out,
            "\n### {NODES} nodes, {MESSAGES} lone messages of {MESSAGE_BYTES} B to all, {rounds} rounds\n"
        )?;
        writeln!(
            out,
            "| | all reached p50 ms | × {GOSSIPSUB} | p99 ms | × {GOSSIPSUB} | lost | CPU \
             µs/delivery | wire B/delivery | packets/delivery |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for Contender { name, .. } in contenders(measured) {
            let ratio = |rounds: &Rounds| {
                let ratio = rounds.ratio(name, GOSSIPSUB);
                ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
            };
            writeln!(
                out,
                "| {name} | {} | {} | {} | {} | {:.0} | {} | {} | {} |",
                self.p50.show(name, 2),
                ratio(&self.p50),
                self.p99.show(name, 2),
                ratio(&self.p99),
                self.lost.sum(name),
                self.cpu.show(name, 0),
                self.bytes.show(name, 0),
                self.packets.show(name, 2)
            )?;
        }
        let [in_a_row, after_a_rest, at_once] = SYNCED.map(|(name, ..)| self.sync.show(name, 2));
        let rest = PACE.as_millis();
        let subscribers = NODES - 1;
        writeln!(
            out,
            "\nOne write and fdatasync on this disk takes {in_a_row} ms (p50) right after another, and \
             {after_a_rest} ms after a rest of {rest} ms. For {subscribers} files at once, the last one \
             takes {at_once} ms. A message of {ICN} waits for one after a rest, then for {subscribers} at \
             once."
        )?;
        Ok(())
    }
}
