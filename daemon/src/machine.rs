//! The gossip state as something the store can keep.

use icn_gossip::{Loss, Mutation, Outcome, SCHEMA, State, TopicId};
use icn_snapshot::{StateMachine, Weakness};
use icn_wal::Lsn;
use serde::{Deserialize, Serialize};

/// `icn-gossip` knows no store and `icn-snapshot` no gossip; this is where they meet.
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
        let weakness = |Loss { exposed, text }| {
            let subject = exposed.map_or_else(Vec::new, |id: TopicId| id.as_bytes().to_vec());
            Weakness { subject, text }
        };
        self.0.losses(summary).into_iter().map(weakness).collect()
    }

    fn restore(&self, image: Self, branch: u64) -> Self {
        Self(self.0.restore(image.0, branch))
    }
}

#[cfg(test)]
mod tests {
    use icn_gossip::{Keypair, Mutation, State};

    use super::*;

    #[test]
    fn an_exported_state_has_the_digest_of_the_store() {
        let mut state = State::default();
        let did = Keypair::from_seed([1; 32]).did();
        state.apply(1, Mutation::Init { did, network: [2; 32], epoch: 3 });
        let mut document = Vec::new();
        state.export(&mut document).expect("memory");
        let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
        let digest = icn_snapshot::digest(&Machine(state));
        assert_eq!(document["digest"], data_encoding::HEXLOWER.encode(&digest));
    }
}
