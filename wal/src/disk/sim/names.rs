//! The names of a simulated directory: current, synced, and the pending changes between them.

use std::collections::BTreeMap;

/// Names, each with the index of its file.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<String, usize>,
    pub(super) synced: BTreeMap<String, usize>,
    pub(super) pending: Vec<NameChange>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Names {
    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.live.clone();
        self.pending.clear();
    }

    /// A directory without pending changes.
    pub(super) fn durable(names: BTreeMap<String, usize>) -> Self {
        Self { live: names.clone(), synced: names, pending: Vec::new() }
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            // A rename whose source was lost does nothing; its target stays.
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// The directory part of a path.
pub(super) fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The name part of a path.
pub(super) fn name_of(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, name)| name)
}
