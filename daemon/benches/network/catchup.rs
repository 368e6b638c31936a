//! Three nodes, of which one is down while another publishes.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::contender::{Contender, ICN};
use crate::deliveries::MESSAGE_BYTES;
use crate::meter::{Wire, clock};
use crate::rounds::Rounds;
use crate::ten::PATIENCE;
use crate::{Measured, Outcome};

const NODES: usize = 3;
const WARM_UP: u64 = 10;
const MISSED: u64 = 10_000;
const SIGNATURE_BYTES: usize = 64;

/// Until the last of them has left every queue. Whoever returns before gets what is still on its way.
const DRAIN: Duration = Duration::from_secs(3);

/// For how long one that has returned may get nothing more.
const RETURNED_PATIENCE: Duration = Duration::from_secs(12);

#[derive(Default)]
struct Figures {
    got: Rounds,
    ms: Rounds,
    bytes: Rounds,
}

pub(crate) fn table(out: &mut dyn Write, measured: &Measured<'_>) -> Outcome<()> {
    let mut figures = Figures::default();
    for contender in measured.gossiping() {
        // What gives nothing back takes its time, and gives no more the next time.
        let rounds = if contender.name == ICN { measured.rounds } else { 1 };
        for _ in 0..rounds {
            miss(contender, measured, &mut figures)?;
        }
    }
    writeln!(
        out,
        "\n### Three nodes, one of them down for {MISSED} messages of {MESSAGE_BYTES} B\n"
    )?;
    writeln!(
        out,
        "| | received after its restart | ms from its start to the last | wire B per byte of payload \
         and signature |\n|---|--:|--:|--:|"
    )?;
    for Contender { name, .. } in measured.gossiping() {
        let got = figures.got.show(name, 0);
        let ms = figures.ms.show(name, 0);
        writeln!(out, "| {name} | {got} | {ms} | {} |", figures.bytes.show(name, 2))?;
    }
    Ok(())
}

fn miss(contender: &Contender, measured: &Measured<'_>, figures: &mut Figures) -> Outcome<()> {
    const BACK: usize = NODES - 1;
    let name = contender.name;
    measured.with(contender, NODES, 1..NODES, |network, deliveries| {
        network.publish(0, 0..WARM_UP)?;
        deliveries.wait(1..NODES, WARM_UP, PATIENCE).ok_or("the warm-up was lost")?;
        network.stop(BACK)?;
        let missed = WARM_UP..WARM_UP + MISSED;
        network.publish(0, missed.clone())?;
        deliveries.wait([1], missed.end, PATIENCE);
        thread::sleep(DRAIN);
        let wire = Wire::now()?;
        let start = clock();
        network.start(BACK)?;
        let came = deliveries.wait([BACK], missed.end, RETURNED_PATIENCE);
        let got = deliveries.count(BACK, &missed);
        figures.got.push(name, got as f64);
        if let Some(came) = came {
            figures.ms.push(name, (came - start).as_secs_f64() * 1e3);
            if measured.private {
                let carried = MISSED as usize * (MESSAGE_BYTES + SIGNATURE_BYTES);
                figures.bytes.push(name, Wire::since(wire)?.bytes / carried as f64);
            }
        }
        Ok(())
    })
}
