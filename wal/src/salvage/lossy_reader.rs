//! Reads a file on a medium that fails in places.

use std::io;

use crate::disk::DiskFile;

/// The unit of a read error.
const PAGE_BYTES: usize = 4096;

/// Reads a file page by page. An unreadable page reads as zeros, which no checksum takes for a
/// frame.
pub(super) struct LossyReader<F>(pub(super) F);

impl<F: DiskFile> DiskFile for LossyReader<F> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        if let Ok(read) = self.0.read_at(offset, out) {
            return Ok(read);
        }
        let mut filled = 0;
        for page in out.chunks_mut(PAGE_BYTES) {
            let read = self.0.read_at(offset + filled as u64, page).unwrap_or_else(|_| {
                page.fill(0);
                page.len()
            });
            filled += read;
            if read < page.len() {
                break;
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.cut(len)
    }

    fn has_single_link(&self) -> io::Result<bool> {
        self.0.has_single_link()
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn drop_cache(&self, offset: u64) -> io::Result<()> {
        self.0.drop_cache(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of ones whose second page cannot be read.
    struct Failing;

    impl DiskFile for Failing {
        fn size(&self) -> io::Result<u64> {
            Ok(3 * PAGE_BYTES as u64 - 10)
        }

        fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
            let end = self.size()?.min(offset + out.len() as u64);
            let page = PAGE_BYTES as u64;
            if offset < 2 * page && end > page {
                return Err(io::Error::other("the medium fails"));
            }
            out.fill(1);
            Ok(usize::try_from(end.saturating_sub(offset)).expect("small"))
        }

        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            unreachable!("a salvage writes nothing here")
        }

        fn cut(&self, _: u64) -> io::Result<()> {
            unreachable!("a salvage cuts nothing")
        }

        fn has_single_link(&self) -> io::Result<bool> {
            unreachable!("a salvage reuses nothing")
        }

        fn sync(&self) -> io::Result<()> {
            unreachable!("a salvage writes nothing here")
        }

        fn drop_cache(&self, _: u64) -> io::Result<()> {
            unreachable!("a salvage writes nothing here")
        }
    }

    #[test]
    fn an_unreadable_page_reads_as_zeros_and_the_others_as_written() {
        let mut out = vec![7; 4 * PAGE_BYTES];
        let read = LossyReader(Failing).read_at(0, &mut out).expect("a lossy read");
        assert_eq!(read, 3 * PAGE_BYTES - 10);
        assert!(out[..PAGE_BYTES].iter().all(|&byte| byte == 1));
        assert!(out[PAGE_BYTES..2 * PAGE_BYTES].iter().all(|&byte| byte == 0));
        assert!(out[2 * PAGE_BYTES..read].iter().all(|&byte| byte == 1));
    }
}
