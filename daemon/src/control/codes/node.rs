//! Codes about the directory, key, configuration and sockets of a node: `ICN-E01xx`.

use super::Code;

entries! {
    NODE;

    DIRECTORY_UNUSABLE: "ICN-E0100", FAILED,
        "The data directory cannot be used.",
        "A permission is missing, the file system is read-only, or the disk fails.",
        "The account of icnd must be able to write there; or choose another directory: \
         icnd --data-dir DIR";
    IN_USE: "ICN-E0101", IN_USE,
        "Another process uses the data directory.",
        "icnd runs there, or an icnctl command that changes the node has not ended yet.",
        "Ask the running node: icnctl status. Or stop it first, with Ctrl-C or SIGTERM.";
    WRONG_KEY: "ICN-E0102", WRONG_KEY,
        "The key file or the network does not belong to the data.",
        "identity.key or the data comes from another node, or `network` in icn.toml was changed.",
        "Nothing was changed. Put this node's identity.key and `network` back, or choose another \
         directory: icnd --data-dir DIR";
    KEY_UNUSABLE: "ICN-E0103", FAILED,
        "The key file is missing, and so is its copy.",
        "identity.key was removed, or the data directory was put back without it.",
        "Without identity.key this node has no identity. Put the file back from a backup.";
    NOT_EMPTY: "ICN-E0104", NO_NODE,
        "The directory is not empty and holds no node.",
        "The path is mistyped, or another program keeps its files there.",
        "Nothing was changed. Choose an empty directory: icnd --data-dir DIR";
    LEGACY_STATE: "ICN-E0105", NO_NODE,
        "The directory holds a state of the earlier implementation.",
        "That implementation left a state.snapshot, which a node imports but does not run on.",
        "Nothing was changed. Make a node in another directory and import the file there:\n  \
         icnd init --data-dir DIR\n  icnctl --data-dir DIR snapshot import FILE";
    NO_NODE: "ICN-E0106", NO_NODE,
        "There is no node in the directory.",
        "No node was made there yet, or --data-dir or ICN_DATA_DIR names another directory.",
        "Name the directory of the node: icnctl --data-dir DIR status. Or make a new node: icnd init";
    NO_RESOURCES: "ICN-E0107", FAILED,
        "The system refuses a resource that the process needs.",
        "A limit on threads, memory, file descriptors or signal handlers is reached.",
        "Raise the limit or end other processes, then try again. The limits: ulimit -a";
    ENDED_EARLY: "ICN-E0108", FAILED,
        "A part of the node ended before the node was stopped.",
        "A thread of icnd panicked or was ended by the system.",
        "Nothing acknowledged is lost. Start it again: icnd. Report the last lines of its log.";
    UNSUITABLE_FILE_SYSTEM: "ICN-E0109", UNSUITABLE,
        "The file system is not suited for a node.",
        "On NFS, SMB, 9p and FUSE a lock or a sync depends on another machine or program.",
        "Nothing was changed. Choose a directory on a local disk with --data-dir, or accept the \
         risk with --unsafe-fs.";
    INVALID_CONFIGURATION: "ICN-E0110", CONFIG,
        "The configuration is invalid.",
        "A field of icn.toml or a flag of icnd is unknown, malformed or out of its range.",
        "Nothing was started. Correct the field, then check it: icnd check-config";
    NO_HOME: "ICN-E0111", CONFIG,
        "There is no home directory to keep the node in.",
        "HOME is not set, and neither --data-dir nor ICN_DATA_DIR is given.",
        "Name a directory: icnd --data-dir DIR. Or set ICN_DATA_DIR.";
    KEY_NOT_MADE: "ICN-E0112", FAILED,
        "The key file of a new node cannot be made.",
        "A permission is missing, the file system is read-only, or the disk fails.",
        "There was no node in this directory yet. Check the disk and try again: icnd init";
    NO_FILES: "ICN-E0113", FAILED,
        "No more files can be opened.",
        "The process, or all processes of the machine, have as many files and sockets open as they may.",
        "Nothing acknowledged is lost. Raise the limit: ulimit -n 450 in the shell that starts icnd, or \
         LimitNOFILE=450 in its systemd unit";
    KEY_DAMAGED: "ICN-E0114", DAMAGE,
        "The key file is damaged, and so is its copy or there is none.",
        "Bytes of identity.key have changed since it was written: a failing disk, or a change by hand.",
        "Nothing was changed. Put identity.key back from a backup, and check the disk: dmesg";
    NO_FILE_PERMISSION: "ICN-E0115", FAILED,
        "This account may not use a file of the node.",
        "The files of a node are open only to the account that icnd runs under.",
        "Use that account: sudo -u ACCOUNT icnctl --data-dir DIR status";
    CONTROL_NOT_SERVED: "ICN-E0120", FAILED,
        "The control socket cannot be made.",
        "The file system has no sockets, or a permission is missing in the data directory.",
        "Let the account of icnd write to the data directory, or choose one on a local disk: \
         icnd --data-dir DIR";
    HTTP_NOT_SERVED: "ICN-E0130", FAILED,
        "Health, metrics and the first page cannot be served over HTTP.",
        "Another process uses the address, or this machine does not have it.",
        "Choose another address with --http, or port 0 for any free one: icnd --http 127.0.0.1:0";
    PEERS_NOT_SERVED: "ICN-E0131", FAILED,
        "The socket for peers cannot be opened.",
        "Another process uses the address, or this machine does not have it.",
        "Choose another address with --listen, or port 0 for any free one: icnd --listen 0.0.0.0:0";
    NOT_RUNNING: "ICN-E0140", NOT_RUNNING,
        "The node is not running.",
        "icnd was not started, has stopped, or runs on another data directory.",
        "Start it: icnd. Commands that only read can read the files instead, with --offline";
    NODE_ENDED: "ICN-E0141", FAILED,
        "The node ended before it answered.",
        "icnd was stopped or failed while the request was in flight.",
        "Whether the request took effect is not known. Start the node: icnd. Then look before you \
         repeat it: icnctl status";
    NO_PERMISSION: "ICN-E0142", NO_PERMISSION,
        "This account may not use the control socket.",
        "The socket is open only to the account that icnd runs under.",
        "Use that account: sudo -u ACCOUNT icnctl --data-dir DIR status";
    CONTROL_UNUSABLE: "ICN-E0143", FAILED,
        "The control socket cannot be used.",
        "The system refuses the connection, or the path of the data directory cannot be reached.",
        "Check the path and the account, then try again: icnctl --data-dir DIR status";
    TIMED_OUT: "ICN-E0144", TIMED_OUT,
        "The node has not answered in time.",
        "The machine or its disk is overloaded, or the request takes longer than the limit.",
        "Whether the request took effect is not known. Look before you repeat it: icnctl status";
    DELIVERY_ENDED: "ICN-E0145", NOT_RUNNING,
        "The node has stopped, and with it the delivery.",
        "icnd was stopped or failed while a consumer followed a topic.",
        "Start it: icnd. Then follow again; with --cursor the delivery goes on where it was.";
    STARTING: "ICN-E0146", NOT_READY,
        "The node is starting.",
        "icnd runs, and is still reading its log.",
        "The request was not taken. Try again once the node is ready: icnctl status";
    STOPPING: "ICN-E0147", NOT_READY,
        "The node is stopping.",
        "icnd has received a signal to stop, and is saving a last snapshot or sealing its log.",
        "The request was not taken. Start icnd again once it has ended.";
    NEWER_DATA: "ICN-E0150", NEWER_DATA,
        "The data was written by a newer version.",
        "icnd was downgraded, or the directory comes from a machine with a newer icnd.",
        "Nothing was changed. Use the version of icnd that wrote the data: icnd --version";
}
