//! Where `icnctl` gets its replies: from the running node, or from the files.

use std::path::Path;

use icn_snapshot::{PointInTime, StateAt, state_at};
use icn_wal::{FsDisk, Lsn};

use crate::control::client::Client;
use crate::control::codes;
use crate::control::reply::{FromReply, Reply, Verified};
use crate::control::request::{Request, snapshot_id};
use crate::data::{datadir, keyfile, offline};
use crate::failure::Failure;
use crate::node::guard::Guard;
use crate::node::machine::Machine;
use crate::node::{ask, describe, work};

/// Where a reply comes from.
pub(super) enum Asker<'a> {
    Node(Box<Client>),
    Files(Box<Files<'a>>),
    /// The files of a stopped node, locked for one request.
    Owner(&'a Path),
}

impl Asker<'_> {
    pub(super) fn ask<R: FromReply>(&mut self, request: &Request) -> Result<R, Failure> {
        match self {
            Self::Node(client) => client.ask(request),
            Self::Files(files) => files.ask(request)?.try_into(),
            Self::Owner(directory) => offline::ask(directory, request.clone())?.try_into(),
        }
    }
}

/// The files of a node, read without a lock. The state is read once, so all pages of one command show the same
/// one, and each costs its size alone.
pub(super) struct Files<'a> {
    directory: &'a Path,
    newest: Option<StateAt<Machine>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(directory: &'a Path) -> Self {
        Self { directory, newest: None }
    }

    fn ask(&mut self, request: &Request) -> Reply {
        let directory = self.directory;
        match request {
            Request::Identity => {
                datadir::read_only(directory)?;
                Ok(describe::identity(&keyfile::read(directory)?.card).into())
            }
            Request::SnapshotList => {
                let disk = datadir::read_only(directory)?;
                let retention = offline::config(directory)?.policy.retention;
                let window = describe::window(&icn_snapshot::restore_window(&disk, retention)?);
                Ok(describe::snapshots(&icn_snapshot::list(&disk, retention)?, window).into())
            }
            Request::Digest { lsn } => {
                let disk = datadir::read_only(directory)?;
                let at = lsn.and_then(Lsn::new).map_or(PointInTime::Latest, PointInTime::Lsn);
                let past = state_at::<Machine, _>(&disk, at)?;
                Ok(describe::state_digest(&past.state, past.lsn).into())
            }
            Request::SnapshotVerify { id } => {
                let disk = datadir::read_only(directory)?;
                state_at::<Machine, _>(&disk, PointInTime::Snapshot(snapshot_id(id)?))?;
                Ok(Verified { id: id.clone(), verified: true }.into())
            }
            Request::SnapshotPreview { to } => {
                work::preview_offline(&datadir::read_only(directory)?, to)
            }
            Request::SnapshotDiff { from, to } => {
                work::compare(&datadir::read_only(directory)?, from.as_ref(), to.as_ref())
            }
            other => {
                let past = self.newest()?;
                Guard::new(&past.weaker).check(&past.state.0, other)?;
                ask(&past.state.0, other).unwrap_or_else(|| {
                    Err(Failure::new(
                        codes::NOT_OFFLINE,
                        "The files do not answer this request; only the running node does.",
                    ))
                })
            }
        }
    }

    fn newest(&mut self) -> Result<&StateAt<Machine>, Failure> {
        let read = match self.newest.take() {
            Some(read) => read,
            None => state_at::<Machine, FsDisk>(
                &datadir::read_only(self.directory)?,
                PointInTime::Latest,
            )?,
        };
        Ok(self.newest.insert(read))
    }
}

#[cfg(test)]
mod tests {
    use icn_snapshot::Policy;

    use super::*;
    use crate::clock;
    use crate::control::reply::Entries;
    use crate::control::reply::entries::Payload;
    use crate::node::{Identity, Inputs, Node, Rng};

    struct Counted(u64);

    impl Rng for Counted {
        fn next(&mut self) -> u64 {
            self.0 += 1;
            self.0
        }
    }

    #[test]
    fn pages_of_entries_are_read_from_the_files_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let key = keyfile::read_or_create(path, 1).expect("a key");
        let disk = FsDisk::create(path).expect("a disk");
        let identity = Identity { keypair: key.keypair, card: key.card, network: [0; 32] };
        let rng = Box::new(Counted(0));
        let mut node = Node::open(&disk, Policy::default(), identity, rng, clock::now(), None)
            .expect("a node");
        let lines = [
            r#"{"v":1,"cmd":"topic_create","name":"a"}"#,
            r#"{"v":1,"cmd":"publish","topic":"a","text":"one"}"#,
            r#"{"v":1,"cmd":"publish","topic":"a","text":"two"}"#,
        ];
        let requests = lines.map(|line| ((), Request::from_line(line.as_bytes()).expect("one")));
        node.step(clock::now(), Inputs::requests(requests.into()));
        node.close().expect("closed");

        let mut asker = Asker::Files(Box::new(Files::new(path)));
        let mut page = |after| {
            let topic = "a".to_owned();
            let request = Request::Entries { topic, after, limit: Some(1) };
            asker.ask::<Entries>(&request).expect("a page")
        };
        let first = page(0);
        assert!(first.more && first.entries.len() == 1, "{first:?}");
        // The second page needs no file any more.
        std::fs::remove_dir_all(path).expect("remove");
        let second = page(first.last);
        assert!(!second.more && second.entries.len() == 1, "{second:?}");
        assert_eq!(second.entries[0].entry.payload, Payload::Text("two".into()));
    }
}
