//! Codes about the log, snapshots, imports and exports: `ICN-E02xx`.

use super::Code;

entries! {
    STORE;

    DAMAGED_LOG: "ICN-E0201", DAMAGE,
        "The log is damaged.",
        "Bytes that were durable have changed or are gone: a failing disk, or a change by hand.",
        "Nothing was changed. Check the disk and copy the data directory; then see what can still \
         be read: icnctl wal salvage --dry-run";
    PARTS_DO_NOT_FIT: "ICN-E0202", DAMAGE,
        "The log and the snapshots do not fit together.",
        "A part of the data directory is missing, or was put back from another time.",
        "Nothing was changed. Put the missing part back; docs/SALVAGE.md has the steps when there \
         is no copy of it.";
    NO_SPACE: "ICN-E0203", NO_SPACE,
        "There is not enough space on the disk.",
        "The disk or the quota of the account is full.",
        "Nothing is lost. Free some space on the disk and try again. The space: df -h";
    POISONED: "ICN-E0204", POISONED,
        "The log has failed, and the node has ended.",
        "A write or a sync failed; what was not acknowledged is indeterminate until recovery.",
        "Start it again: icnd. Recovery finds every record that is durable. Check the disk: dmesg";
    APPEND_REFUSED: "ICN-E0205", FAILED,
        "The log refuses a record.",
        "The record is empty or over a limit of the log.",
        "Nothing was appended. Send less in one request; report it if the request was small.";
    DISK_REFUSED: "ICN-E0206", FAILED,
        "The disk refuses an operation.",
        "A permission is missing, the file system is read-only, or the disk fails.",
        "Nothing acknowledged is lost. Check the disk and try again: dmesg";
    LOG_CLOSED: "ICN-E0207", FAILED,
        "The log was closed before the operation was complete.",
        "The node was stopping, or the replay of the log was ended early.",
        "Nothing acknowledged is lost. If it has stopped, start it: icnd. Then try again.";
    NOT_REGULAR: "ICN-E0208", UNSUITABLE,
        "A name of the log's own is not a regular file.",
        "A directory, link or device was put in the place of a file of the log.",
        "Nothing was changed. Move it away, and put the file of the log back in its place.";
    SALVAGE_REFUSED: "ICN-E0209", FAILED,
        "The salvaged log cannot be written to this directory.",
        "The directory is not empty, lies in the data directory, or cannot be written.",
        "Nothing was changed. Choose another directory: icnctl wal salvage --to DIR";
    SNAPSHOT_UNUSABLE: "ICN-E0210", DAMAGE,
        "The snapshot cannot be used.",
        "Its file has changed since it was verified: a failing disk, or a change by hand.",
        "Other snapshots are not affected. See which there are: icnctl snapshot list";
    RECORD_UNREADABLE: "ICN-E0211", DAMAGE,
        "A record of the log cannot be decoded.",
        "Its checksum is right and its content is not: a defect of the version that wrote it.",
        "Nothing was changed. Keep a copy of the data directory, and report the number of the \
         record.";
    NO_SUCH_SNAPSHOT: "ICN-E0212", FAILED,
        "There is no snapshot with this id.",
        "The id is mistyped, or the snapshot was deleted or retired by the rules in icn.toml.",
        "See which snapshots there are: icnctl snapshot list";
    SNAPSHOT_NEEDED: "ICN-E0213", REFUSED,
        "The snapshot is needed and stays.",
        "It is the newest whole one, the restore window begins with it, it is pinned, or a restore \
         needs it.",
        "See why each one is kept: icnctl snapshot list. Unpin a pinned one: \
         icnctl snapshot unpin ID. Let the window begin later: [snapshot] keep_hours in icn.toml";
    OUTSIDE_WINDOW: "ICN-E0214", OUTSIDE_WINDOW,
        "The requested state lies outside the restore window.",
        "The log no longer reaches back so far, or does not reach that far yet.",
        "See the window and the snapshots: icnctl snapshot list";
    SNAPSHOTS_BUSY: "ICN-E0215", FAILED,
        "A snapshot is being written, and another is waiting.",
        "Snapshots were requested faster than the disk writes them.",
        "Try again in a moment: icnctl snapshot create";
    BAD_SNAPSHOT_ID: "ICN-E0216", USAGE,
        "The text is not a snapshot id.",
        "An id is the LSN and the generation of a snapshot, such as 4096-3.",
        "Copy an id from the list: icnctl snapshot list";
    RECORDS_DROPPED: "ICN-E0217", FAILED,
        "The first requested records are no longer in the log.",
        "The log drops records that a snapshot covers and that no restore needs.",
        "See the records that the log still has: icnctl wal list";
    NO_LOG: "ICN-E0218", NO_NODE,
        "There is no log in the directory.",
        "The path given with --log is not a log's own directory.",
        "Name the directory wal of a data directory: icnctl wal --log DIR/wal list";
    SNAPSHOTS_DAMAGED: "ICN-E0219", DAMAGE,
        "Some snapshots cannot be used.",
        "Their files have changed since they were verified: a failing disk, or a change by hand.",
        "The others and the log replace them. Check the disk, then take a new one: \
         icnctl snapshot create";
    IMPORT_UNREADABLE: "ICN-E0220", FAILED,
        "The file to import cannot be read.",
        "It does not exist, is not a regular file, is larger than 4 GiB, or icnd may not read it.",
        "Nothing was changed. Check the path on the machine of the node: ls -l FILE";
    IMPORT_REFUSED: "ICN-E0221", FAILED,
        "The file cannot be imported.",
        "It is damaged, or neither an exported state nor a state of the earlier implementation.",
        "Nothing was changed. Export the state again on its node: icnctl snapshot export --to FILE";
    EXPORT_NOT_WRITTEN: "ICN-E0222", FAILED,
        "The exported file cannot be written.",
        "It exists already, a permission is missing, or the disk fails.",
        "A file that was begun is not complete. Choose a new path: \
         icnctl snapshot export --to FILE";
    BAD_LABEL: "ICN-E0223", USAGE,
        "The text is not a label of a snapshot.",
        "A label is key=value, with limits on its characters, its length and the number of labels.",
        "Write it like this: icnctl snapshot create --label reason=upgrade";
    FOREIGN_STATE: "ICN-E0224", WRONG_KEY,
        "The file was exported by another node or for another network.",
        "A snapshot continues the log of one node; another node cannot go on from it.",
        "Nothing was changed. Connect to that node as a peer, and its topics arrive: \
         icnctl gossip subscribe TOPIC";
}
