//! What is counted on links, by what it was.

use super::action::{LinkError, PauseReason};

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something that happened on a link. No peer is named: there are as many series as here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All there are, in the order of their values.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name in a metric.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

counts! {
    /// A link was closed for a body that makes no sense.
    Malformed = "malformed",
    /// … for a message that must be understood.
    UnknownKind = "unknown_kind",
    /// … for what nobody has signed.
    BadSignature = "bad_signature",
    /// … for what was not asked for.
    Unasked = "unasked",
    /// … for going over a limit.
    TooMany = "too_many",
    /// An entry was there already.
    Duplicate = "duplicate",
    /// An entry came for a log that was left.
    AfterCease = "after_cease",
    /// A log was left alone for want of room.
    NoRoom = "no_room",
    /// … because an entry is written in the future.
    Future = "future",
    /// … because the rules do not admit an entry.
    Rules = "rules",
    /// A topic came that nobody waits for.
    TopicNotWanted = "topic_not_wanted",
    /// A head of an author who may not write.
    HeadWithoutAccess = "head_without_access",
    /// A head beyond those that are remembered.
    HeadNotRemembered = "head_not_remembered",
    /// A source was left for one that has more.
    Stalled = "stalled",
    /// A source did not stop when it was asked to.
    NeverStopped = "never_stopped",
    /// A peer has another entry at a place.
    Disputed = "disputed",
    /// A dispute about what is not here, or is the same here.
    DisputeWithoutEffect = "dispute_without_effect",
    /// A proof that proves nothing, or nothing new.
    ProofWithoutEffect = "proof_without_effect",
    /// A log was frozen.
    Frozen = "frozen",
    /// The operator subscribes to more topics than a peer is told of.
    InterestsLeftOut = "interests_left_out",
}

impl From<LinkError> for Counter {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Malformed => Self::Malformed,
            LinkError::UnknownKind => Self::UnknownKind,
            LinkError::BadSignature => Self::BadSignature,
            LinkError::Unasked => Self::Unasked,
            LinkError::TooMany => Self::TooMany,
        }
    }
}

impl From<PauseReason> for Counter {
    fn from(refusal: PauseReason) -> Self {
        match refusal {
            PauseReason::NoRoom => Self::NoRoom,
            PauseReason::Future { .. } => Self::Future,
            PauseReason::Rules => Self::Rules,
        }
    }
}
