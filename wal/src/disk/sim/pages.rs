//! The bytes of a simulated file, in pages that images share until one is written.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;
static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// A byte vector in pages. A page that always held zeros is not stored.
#[derive(Clone, Default)]
pub(super) struct Pages {
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
    len: usize,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Extends it with zeros to at least `len` bytes.
    pub(super) fn grow(&mut self, len: usize) {
        self.len = self.len.max(len);
        self.pages.resize(self.len.div_ceil(PAGE_BYTES), None);
    }

    /// Truncates it to at most `len` bytes.
    pub(super) fn cut(&mut self, len: usize) {
        if len < self.len {
            let mut kept = vec![0; len];
            self.read(0, &mut kept);
            *self = Self::default();
            self.write(0, &kept);
        }
    }

    /// Copies bytes from `offset` on into `out`; returns how many there were.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(out.len());
        let mut done = 0;
        while done < count {
            let page = (offset + done) / PAGE_BYTES;
            let at = (offset + done) % PAGE_BYTES;
            let part = (PAGE_BYTES - at).min(count - done);
            let out = &mut out[done..done + part];
            match &self.pages[page] {
                Some(bytes) => out.copy_from_slice(&bytes[at..at + part]),
                None => out.fill(0),
            }
            done += part;
        }
        count
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.grow(offset + bytes.len());
        let mut done = 0;
        while done < bytes.len() {
            let page = (offset + done) / PAGE_BYTES;
            let at = (offset + done) % PAGE_BYTES;
            let part = (PAGE_BYTES - at).min(bytes.len() - done);
            let bytes = &bytes[done..done + part];
            let page = &mut self.pages[page];
            if page.is_some() || *bytes != ZEROS[..part] {
                let page = page.get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
                Arc::make_mut(page)[at..at + part].copy_from_slice(bytes);
            }
            done += part;
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }
}

impl From<&[u8]> for Pages {
    fn from(bytes: &[u8]) -> Self {
        let mut pages = Self::default();
        pages.write(0, bytes);
        pages
    }
}

impl Hash for Pages {
    /// Equal bytes have equal hashes, whether a page of zeros is stored or not.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.len.hash(hasher);
        for (index, page) in self.pages.iter().enumerate() {
            if let Some(page) = page.as_deref().filter(|page| **page != ZEROS) {
                (index, page).hash(hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_a_vector_of_bytes() {
        let mut pages = Pages::default();
        let mut model = Vec::new();
        for (offset, length, byte) in
            [(0, 10, 1), (4090, 20, 2), (9000, 5000, 0), (5000, 9000, 3), (12_000, 1, 0)]
        {
            pages.write(offset, &vec![byte; length]);
            model.resize(model.len().max(offset + length), 0);
            model[offset..offset + length].fill(byte);
            assert_eq!(pages.to_vec(), model);
        }
        let mut out = [9; 8];
        assert_eq!(pages.read(model.len() - 3, &mut out), 3);
        assert_eq!(out[3..], [9; 5]);
        assert_eq!(pages.read(model.len() + 3, &mut out), 0);
        for len in [model.len() + 1, 9100, 4096, 0] {
            pages.cut(len);
            model.truncate(len);
            assert_eq!(pages.to_vec(), model);
        }
    }
}
