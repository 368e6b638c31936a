//! A small file that is replaced whole and holds its content twice.
//!
//! ```text
//! copy = magic (8) | format u32 | bytes u32 | content | CRC-32 of all before
//! file = copy copy
//! ```
//!
//! Replacing is atomic: a temporary file is written, synced and renamed over the old one, then the
//! directory is synced. The second copy is for a failing medium, not for crashes: one damaged
//! sector must not destroy the only record of which files must exist.

use std::io;

use crc32fast::hash;

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, OnFile};
use crate::frame::u32_at;
use crate::plant::planted;
use crate::segment::FORMAT;

const HEADER_BYTES: usize = 16;
const CRC_BYTES: usize = 4;
const FILE_BYTES_MAX: u64 = 2 << 20;

/// The length of a twin file with so many bytes of content.
pub(crate) const fn file_bytes(content: usize) -> usize {
    2 * (HEADER_BYTES + content + CRC_BYTES)
}

/// A file that is replaced whole and holds its content twice.
#[derive(Clone, Copy, Debug)]
pub struct TwinFile {
    /// The name of the file in its directory.
    pub name: &'static str,
    /// The first bytes of each copy.
    pub magic: [u8; 8],
}

/// The outcome of reading a twin file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Twin {
    /// There is no such file.
    Missing,
    /// The content, and whether both copies still hold it.
    Content(Vec<u8>, bool),
    /// A file without a valid copy.
    Damaged,
}

impl TwinFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Format`] when it is of another format.
    pub fn read<D: Disk>(&self, disk: &D) -> Result<Twin, Error> {
        let describe = || disk.describe(self.name);
        let file = match disk.open(self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Twin::Missing),
            other => other.on("open", describe)?,
        };
        let size = file.size().on("read", describe)?.min(FILE_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let read = file.read_at(0, &mut bytes).on("read", describe)?;
        bytes.truncate(read);
        let first = self.decode(&bytes);
        // The second copy starts after the first or, if that is damaged, at half the file.
        let middle = match &first {
            DecodedCopy::Content(content) => HEADER_BYTES + content.len() + CRC_BYTES,
            _ => bytes.len() / 2,
        };
        let second = self.decode(bytes.get(middle..).unwrap_or_default());
        match (first, second) {
            (DecodedCopy::Content(first), DecodedCopy::Content(second)) if first == second => {
                Ok(Twin::Content(first, true))
            }
            (DecodedCopy::Content(content), _) | (_, DecodedCopy::Content(content)) => {
                Ok(Twin::Content(content, false))
            }
            (DecodedCopy::Format(format), _) | (_, DecodedCopy::Format(format)) => {
                Err(Error::Format { file: describe(), format, known: FORMAT })
            }
            _ => Ok(Twin::Damaged),
        }
    }

    /// Replaces the content; durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`]. The file then holds either the old or the new content.
    pub fn replace<D: Disk>(&self, disk: &D, content: &[u8]) -> Result<(), Error> {
        let temporary = format!("{}.tmp", self.name);
        let describe = || disk.describe(&temporary);
        disk.discard(&temporary).on("remove", describe)?;
        let file = disk.create(&temporary).on("create", describe)?;
        self.replace_by(disk, &file, &temporary, content)
    }

    /// Replaces the content by way of `file`, which exists under the name `temporary`.
    ///
    /// # Errors
    /// Those of [`replace`](Self::replace).
    pub(crate) fn replace_by<D: Disk>(
        &self,
        disk: &D,
        file: &D::File,
        temporary: &str,
        content: &[u8],
    ) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(file_bytes(content.len()));
        for _ in 0..2 {
            let start = bytes.len();
            bytes.extend_from_slice(&self.magic);
            bytes.extend_from_slice(&FORMAT.to_le_bytes());
            bytes
                .extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(content);
            let crc = hash(&bytes[start..]);
            bytes.extend_from_slice(&crc.to_le_bytes());
        }
        let describe = || disk.describe(temporary);
        file.write_at(0, &bytes).on("write", describe)?;
        if !planted("manifest-not-synced") {
            file.sync().on("sync", describe)?;
        }
        disk.rename(temporary, self.name).on("rename", describe)?;
        if planted("manifest-name-not-synced") {
            return Ok(());
        }
        disk.sync_dir().on("sync the directory of", || disk.describe(self.name))
    }

    fn decode(&self, bytes: &[u8]) -> DecodedCopy {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return DecodedCopy::Damaged };
        let length = u32_at(head, 12) as usize;
        let end = HEADER_BYTES.saturating_add(length);
        let (Some(covered), Some(crc)) = (bytes.get(..end), bytes.get(end..end + CRC_BYTES)) else {
            return DecodedCopy::Damaged;
        };
        let checksum_ok = planted("manifest-checksum-skipped") || hash(covered) == u32_at(crc, 0);
        if head[0..8] != self.magic || !checksum_ok {
            return DecodedCopy::Damaged;
        }
        match u32_at(head, 8) {
            FORMAT => DecodedCopy::Content(covered[HEADER_BYTES..].to_vec()),
            format => DecodedCopy::Format(format),
        }
    }
}

/// One copy of the content, decoded.
enum DecodedCopy {
    Content(Vec<u8>),
    Format(u32),
    Damaged,
}
