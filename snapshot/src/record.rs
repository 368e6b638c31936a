//! A record of a store's log: one byte for its kind, then its content.

use icn_wal::Lsn;

use crate::error::Error;
use crate::id::SnapshotId;

const MUTATION: u8 = 0;
const RESTORE: u8 = 1;
const RESTORE_BYTES: usize = 25;

/// A record of a store's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRecord<'a> {
    /// A mutation, as the state machine encoded it.
    Mutation(&'a [u8]),
    /// A RESTORE record: from here on, the state is that of a snapshot.
    Restore {
        /// The snapshot of the restored state.
        id: SnapshotId,
        /// The random number given to the state machine.
        branch: u64,
    },
}

impl<'a> LogRecord<'a> {
    /// Decodes the `bytes` of the record with this LSN.
    ///
    /// # Errors
    /// [`Error::Newer`] for an unknown kind; [`Error::Record`] for an empty or truncated record.
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
            _ => Err(Error::Record { lsn: lsn.get(), why: "it is empty or truncated".into() }),
        }
    }

    /// Starts the record of a mutation in `out`. The caller appends the encoded mutation.
    pub(crate) fn start_mutation(out: &mut Vec<u8>) {
        out.clear();
        out.push(MUTATION);
    }

    /// Writes a RESTORE record into `out`.
    pub(crate) fn write_restore(id: SnapshotId, branch: u64, out: &mut Vec<u8>) {
        out.clear();
        out.push(RESTORE);
        for number in [id.lsn, id.generation, branch] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}
