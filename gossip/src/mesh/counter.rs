//! Counters of events on links.

use super::action::{LinkError, PauseReason};

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A counted event on a link. Counters name no peer, so that their number is fixed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All counters, in the order of their values.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The counter's name in metrics.
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
    /// A link was closed because of a malformed message.
    Malformed = "malformed",
    /// A link was closed because of an unknown kind that must be understood.
    UnknownKind = "unknown_kind",
    /// A link was closed because of a bad signature.
    BadSignature = "bad_signature",
    /// A link was closed because of entries that were not requested.
    Unasked = "unasked",
    /// A link was closed because the peer exceeded a limit.
    TooMany = "too_many",
    /// A received entry was a duplicate.
    Duplicate = "duplicate",
    /// Entries were received for a want that this node had ended.
    AfterCease = "after_cease",
    /// A log was paused for lack of room.
    NoRoom = "no_room",
    /// A log was paused because an entry's time is too far ahead.
    Future = "future",
    /// A log was paused because the state's rules refuse an entry.
    Rules = "rules",
    /// An offer of a topic was ignored, since the peer sends too many.
    OfferIgnored = "offer_ignored",
    /// A head was announced of an author who may not write.
    HeadWithoutAccess = "head_without_access",
    /// A head was announced beyond the number kept for a link.
    HeadNotRemembered = "head_not_remembered",
    /// A stalled or slow source was replaced by one that has more entries.
    Stalled = "stalled",
    /// A source did not stop in time after CEASE.
    NeverStopped = "never_stopped",
    /// A peer has a different entry at the same position.
    Disputed = "disputed",
    /// A dispute named an entry that is missing or equal here.
    DisputeWithoutEffect = "dispute_without_effect",
    /// A proof proved nothing, or nothing new.
    ProofWithoutEffect = "proof_without_effect",
    /// An author log was frozen.
    Frozen = "frozen",
    /// A peer offered more candidates for a name than are kept.
    CandidateLeftOut = "candidate_left_out",
    /// Several topics match a join by name and creator.
    AmbiguousJoin = "ambiguous_join",
    /// A peer answered FETCH with other entries than those that were accepted before.
    FetchedOther = "fetched_other",
    /// The operator subscribes to more topics than are announced to a peer.
    InterestsLeftOut = "interests_left_out",
    /// A log was not wanted, since this node wants as many logs of the peer as the limit allows.
    LogLeftOut = "log_left_out",
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
