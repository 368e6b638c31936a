//! The gossip state as the state machine of the store.

use icn_gossip::{Loss, Mutation, Outcome, SCHEMA, State, TopicId};
use icn_snapshot::{StateMachine, Weakness};
use icn_wal::Lsn;
use serde::{Deserialize, Deserializer, Serialize};

/// Joins the two crates: `icn-gossip` knows no store, and `icn-snapshot` knows no gossip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine(pub State);

impl StateMachine for Machine {
    type Mutation = Mutation;
    type Outcome = Outcome;
    const SCHEMA: u32 = SCHEMA;

    fn encode(mutation: &Mutation, out: &mut Vec<u8>) {
        mutation.encode(out);
    }

    fn decode(bytes: &[u8]) -> Result<Mutation, String> {
        Mutation::decode(bytes).map_err(|error| error.to_string())
    }

    fn apply(&mut self, lsn: Lsn, mutation: Mutation) -> Outcome {
        self.0.apply(lsn.get(), mutation)
    }

    fn summary(&self) -> Vec<u8> {
        self.0.summary()
    }

    fn weaker_than(&self, summary: &[u8]) -> Vec<Weakness> {
        self.0.losses(summary).into_iter().map(weakness).collect()
    }

    fn verify<'de, D: Deserializer<'de>>(
        summary: &[u8],
        source: D,
    ) -> Result<Vec<Weakness>, D::Error> {
        Ok(State::losses_of(summary, source)?.into_iter().map(weakness).collect())
    }

    fn restore(&self, image: Self, branch: u64) -> Self {
        Self(self.0.restore(image.0, branch))
    }
}

fn weakness(loss: Loss) -> Weakness {
    let subject = loss.exposed.map_or_else(Vec::new, |id: TopicId| id.as_bytes().to_vec());
    Weakness { subject, text: loss.text }
}

#[cfg(test)]
mod tests {
    use icn_gossip::{Keypair, Mutation, Provenance, State};

    use super::*;

    #[test]
    fn a_check_reports_the_same_as_the_decoded_state() {
        let machine = |topic: Option<&str>| {
            let by = Provenance::Local;
            let mut state = State::default();
            if let Some(topic) = topic.map(str::to_owned) {
                state.apply(1, Mutation::Subscribe { topic, by, time_ms: 1 });
            }
            Machine(state)
        };
        let more = machine(Some("coop:ledger"));
        let less = machine(None);
        let bytes = rmp_serde::to_vec(&less).expect("memory");
        let check = |summary: &[u8]| {
            let source = &mut rmp_serde::Deserializer::new(&bytes[..]);
            Machine::verify(summary, source).expect("a state")
        };
        assert_eq!(check(&less.summary()), []);
        let weaker = check(&more.summary());
        assert_eq!(weaker.len(), 1);
        assert_eq!(&weaker, &less.weaker_than(&more.summary()));
    }

    #[test]
    fn an_exported_state_has_the_digest_of_the_store() {
        let mut state = State::default();
        let did = Keypair::from_seed([1; 32]).did();
        state.apply(1, Mutation::Init { did, network: [2; 32], epoch: 3, clock: None });
        let mut document = Vec::new();
        state.export(&mut document).expect("memory");
        let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
        let digest = icn_snapshot::digest(&Machine(state));
        assert_eq!(document["digest"], data_encoding::HEXLOWER.encode(&digest));
    }
}
