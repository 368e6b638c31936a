//! One node publishes as fast as it can, another subscribes.

use std::io::Write;
use std::time::Duration;

use crate::contender::{Contender, GOSSIPSUB, ICN, LIMIT};
use crate::deliveries::MESSAGE_BYTES;
use crate::meter::{self, Wire, clock};
use crate::rounds::Rounds;
use crate::{Measured, Outcome};

const WARM_UP: u64 = 2000;

/// For how long nothing is delivered before the rest is lost.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Figures {
    rate: Rounds,
    lost: Rounds,
    cpu: Rounds,
    publisher: Rounds,
    subscriber: Rounds,
    clients: Rounds,
    bytes: Rounds,
    packets: Rounds,
}

pub(crate) fn table(out: &mut dyn Write, measured: &Measured<'_>) -> Outcome<()> {
    let mut figures = Figures::default();
    for _ in 0..measured.rounds {
        for contender in &measured.contenders {
            flood(contender, measured, &mut figures)?;
        }
    }
    figures.write(out, measured)
}

fn flood(contender: &Contender, measured: &Measured<'_>, figures: &mut Figures) -> Outcome<()> {
    let name = contender.name;
    let count = contender.flood;
    measured.with(contender, 2, 1..2, |network, deliveries| {
        network.publish(0, 0..WARM_UP)?;
        deliveries.wait([1], WARM_UP, PATIENCE);
        let wire = Wire::now()?;
        let before = network.cpu()?;
        let clients = meter::cpu("self")?;
        let start = clock();
        let numbers = WARM_UP..WARM_UP + count;
        network.publish(0, numbers.clone())?;
        deliveries.wait([1], numbers.end, PATIENCE);
        let last = deliveries.last(1).ok_or("nothing came")?;
        let delivered = deliveries.count(1, &numbers) as f64;
        figures.rate.push(name, delivered / (last - start).as_secs_f64());
        figures.lost.push(name, count as f64 - delivered);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / delivered;
        let spent = network.cpu()?.into_iter().zip(before).map(|(after, before)| after - before);
        let spent: Vec<f64> = spent.map(each).collect();
        figures.cpu.push(name, spent.iter().sum());
        if let [publisher, subscriber] = spent[..] {
            figures.publisher.push(name, publisher);
            figures.subscriber.push(name, subscriber);
            figures.clients.push(name, each(meter::cpu("self")? - clients));
        }
        if measured.private {
            let wire = Wire::since(wire)?;
            figures.bytes.push(name, wire.bytes / delivered);
            figures.packets.push(name, wire.packets / delivered);
        }
        Ok(())
    })
}

impl Figures {
    fn write(&self, out: &mut dyn Write, measured: &Measured<'_>) -> Outcome<()> {
        let rounds = measured.rounds;
        writeln!(out, "\n### Two nodes, {MESSAGE_BYTES} B, at full speed, {rounds} rounds\n")?;
        writeln!(
            out,
            "| | messages/s | lowest–highest | × {LIMIT} | × {GOSSIPSUB} | messages | lost in all \
             | CPU µs/message, both nodes | wire B/message | packets/message |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for Contender { name, flood, .. } in &measured.contenders {
            let ratio = |other, digits: usize| {
                let ratio = self.rate.ratio(name, other);
                ratio.map_or_else(String::new, |ratio| format!("{ratio:.digits$}"))
            };
            let (rate, range) = (self.rate.show(name, 0), self.rate.range(name));
            let limit = ratio(LIMIT, 4);
            let gossipsub = ratio(GOSSIPSUB, 2);
            let lost = self.lost.sum(name);
            let cpu = self.cpu.show(name, 1);
            let bytes = self.bytes.show(name, 0);
            let packets = self.packets.show(name, 3);
            writeln!(
                out,
                "| {name} | {rate} | {range} | {limit} | {gossipsub} | {rounds} × {flood} \
                 | {lost:.0} | {cpu} | {bytes} | {packets} |"
            )?;
        }
        writeln!(
            out,
            "\nOf {ICN}: publisher {} µs, subscriber {} µs; its clients, not counted above, {} µs.",
            self.publisher.show(ICN, 1),
            self.subscriber.show(ICN, 1),
            self.clients.show(ICN, 1)
        )?;
        Ok(())
    }
}
