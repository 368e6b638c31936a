//! How an operator refers to a topic: by its id, by its name, or by its name and creator.

use std::fmt;

use crate::did::Did;
use crate::topic::{Genesis, TopicId, name_is_valid};

/// Separates the name from the creator. No name contains it.
const BY: char = '@';

/// A reference to a topic. As text it is an id, `NAME`, or `NAME@DID` with the DID of the creator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// The topic with this id.
    Id(TopicId),
    /// A topic with this name by any creator. A bare name joins no topic: any peer may use it.
    Name(&'a str),
    /// A topic with this name by this creator.
    NameBy(&'a str, Did),
}

impl<'a> TopicRef<'a> {
    /// The reference that `text` spells; `None` if it spells none.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        match text.split_once(BY) {
            Some((name, creator)) if name_is_valid(name) => {
                Some(Self::NameBy(name, creator.parse().ok()?))
            }
            None if name_is_valid(text) => Some(Self::Name(text)),
            _ => None,
        }
    }

    /// The texts of all references that mean the topic with this genesis. Each has one spelling.
    #[must_use]
    pub fn texts(genesis: &Genesis) -> [String; 3] {
        let name = &genesis.spec.name;
        let by = TopicRef::NameBy(name, genesis.creator).to_string();
        [genesis.id().to_string(), name.clone(), by]
    }

    /// Whether the topic with this genesis is meant.
    #[must_use]
    pub fn matches(self, genesis: &Genesis) -> bool {
        match self {
            Self::Id(id) => genesis.id() == id,
            Self::Name(name) => genesis.spec.name == name,
            Self::NameBy(name, creator) => genesis.spec.name == name && genesis.creator == creator,
        }
    }
}

impl fmt::Display for TopicRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::NameBy(name, creator) => write!(f, "{name}{BY}{creator}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::keypair::Keypair;
    use crate::topic::TopicSpec;

    #[test]
    fn a_reference_parses_as_it_prints_and_means_one_kind_of_topic() {
        let [one, other] = [1, 2].map(|seed| Keypair::from_seed([seed; 32]));
        let spec = TopicSpec::new("coop:ledger".into(), Access::public().encode(), 1);
        let genesis = Genesis::sign(&one, [9; 32], spec, 1);
        let id = genesis.id().to_string();
        let by = |creator: &Keypair| format!("coop:ledger@{}", creator.did());
        for (text, matches) in [
            (id.as_str(), true),
            ("coop:ledger", true),
            ("coop", false),
            (&by(&one), true),
            (&by(&other), false),
            (&"0".repeat(64), false),
        ] {
            let reference = TopicRef::parse(text).expect(text);
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.matches(&genesis), matches, "{text}");
            assert_eq!(TopicRef::texts(&genesis).contains(&text.to_owned()), matches, "{text}");
        }
        for text in ["", "A", "a b", "a@", "@", "a@b", &format!("A@{}", one.did())] {
            assert_eq!(TopicRef::parse(text), None, "{text}");
        }
        assert_eq!(TopicRef::parse(&format!("{id}@{}", one.did())), None);
    }
}
