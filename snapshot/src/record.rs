//! What the store writes into the log: one tag byte, and what it stands for.

use icn_wal::Lsn;

use crate::error::Error;
use crate::id::SnapshotId;

const MUTATION: u8 = 0;
const RESTORE: u8 = 1;
const RESTORE_BYTES: usize = 25;

/// One record of the log of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRecord<'a> {
    /// A mutation, as its state machine encoded it.
    Mutation(&'a [u8]),
    /// A step back to the state of a snapshot.
    Restore {
        /// The snapshot.
        id: SnapshotId,
        /// The random number the state machine was given.
        branch: u64,
    },
}

impl<'a> LogRecord<'a> {
    /// The record in `bytes`, the one with number `lsn`.
    ///
    /// # Errors
    /// [`Error::Newer`] for a kind this version does not know, [`Error::Record`] for none at all.
    pub fn decode(lsn: Lsn, bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&MUTATION, mutation)) => Ok(Self::Mutation(mutation)),
            Some((&RESTORE, numbers)) if bytes.len() == RESTORE_BYTES => {
                let number = |index: usize| {
                    let mut out = [0; 8];
                    out.copy_from_slice(&numbers[index * 8..index * 8 + 8]);
                    u64::from_le_bytes(out)
                };
                let id = SnapshotId { lsn: number(0), generation: number(1) };
                Ok(Self::Restore { id, branch: number(2) })
            }
            Some((&tag, _)) if tag > RESTORE => {
                let what = format!("record {lsn} of the log");
                Err(Error::Newer { what, why: format!("its kind is {tag}") })
            }
            _ => Err(Error::Record { lsn: lsn.get(), why: "it is empty or cut short".into() }),
        }
    }

    /// Starts the record of a mutation in `out`; its bytes follow.
    pub(crate) fn start_mutation(out: &mut Vec<u8>) {
        out.clear();
        out.push(MUTATION);
    }

    /// Writes the record of a restore into `out`.
    pub(crate) fn write_restore(id: SnapshotId, branch: u64, out: &mut Vec<u8>) {
        out.clear();
        out.push(RESTORE);
        for number in [id.lsn, id.generation, branch] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}
