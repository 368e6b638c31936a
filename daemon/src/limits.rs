//! The limits that an operator, a member or a consumer can meet. `docs/reference/limits.md` is written from here.
//!
//! Invariant: each limit refuses with a word, has a way out, and a test that crosses it.

use icn_gossip::ClockStamp;
use icn_gossip::limits::{
    CANDIDATES_MAX, CURSORS_MAX, FUTURE_MS_MAX, INTERESTS_MAX, LOGS_PER_AUTHOR_MAX,
    LOGS_PER_TOPIC_MAX, NODE_BYTES_MAX, PARTICIPANTS_MAX, PAYLOAD_BYTES_MAX, PENDING_MAX,
    REFETCHES_MAX, RETENTION_MS_DEFAULT, SEARCHES_MAX, SHARE_BYTES, SHARED_TOPICS_MIN,
    SUBSCRIBERS_MAX, TOPIC_BYTES_MAX, TOPIC_ENTRIES_DEFAULT, TOPIC_NAME_BYTES_MAX, WANTS_MAX,
};
use icn_net::limits::{LINKS_MAX, TARGETS_MAX};
use icn_snapshot::{Labels, Retention};

use crate::control::request::LINE_BYTES_MAX;
use crate::files::{
    CONTROL_CONNECTIONS_MAX, FILES_MIN, HTTP_CONNECTION_MS_MAX, HTTP_CONNECTIONS_MAX,
    REQUEST_MS_MAX, STREAMS_MAX, UNREAD_MS_MAX,
};
use crate::output;

/// How far the wall clock may move against the elapsed time before it is in doubt. Leap seconds and slow
/// corrections are far below it.
pub const DRIFT_MAX_MS: u64 = 60_000;

/// Snapshots in progress or waiting; each holds an image in memory.
pub const SAVES_MAX: u32 = 2;

/// The largest file that is imported: twice what a node may retain, as base64.
pub const IMPORT_BYTES_MAX: u64 = 4 << 30;

/// From this share of a limit on, in percent, the operator is warned.
pub const WARN_PERCENT: u64 = 80;

/// A limit, and what the node does at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub what: &'static str,
    /// The most that is allowed.
    pub most: u64,
    /// The unit of `most`.
    pub unit: Unit,
    /// What happens beyond it, and who notices.
    pub beyond: &'static str,
    /// The check that shows it and from what share on, or another place that does.
    pub shown: &'static str,
    /// What to do.
    pub way_out: &'static str,
    /// The file and the name of the test that crosses it.
    pub test: (&'static str, &'static str),
}

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of items.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Ms,
}

macro_rules! limits {
    ($($name:ident: $what:literal, $most:expr, $unit:ident, $beyond:literal, $shown:literal, $way_out:literal,
        ($file:literal, $test:literal);)*) => {
        $(
            #[doc = $what]
            pub const $name: Limit = Limit {
                what: $what,
                most: $most as u64,
                unit: Unit::$unit,
                beyond: $beyond,
                shown: $shown,
                way_out: $way_out,
                test: ($file, $test),
            };
        )*
        /// All limits.
        pub const LIMITS: &[Limit] = &[$($name),*];
    };
}

limits! {
    MESSAGE: "A message", PAYLOAD_BYTES_MAX, Bytes,
        "It is refused with ICN-E0307.", "the reply",
        "Send it in parts, or send a reference to it.",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
    TOPIC_NAME: "The name of a topic or cursor", TOPIC_NAME_BYTES_MAX, Bytes,
        "The request is refused with ICN-E0301 or ICN-E0330.", "the reply", "Choose a shorter name.",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
    MEMBERS: "Members of a topic, its creator included", PARTICIPANTS_MAX, Count,
        "The topic is not created: ICN-E0317.", "the reply", "Use a public topic, or several topics.",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
    SHARE: "What a topic may retain whatever other topics retain; less with more than 512 topics",
        SHARE_BYTES, Bytes,
        "Beyond its share, a topic needs room that topics have in common. 64 shares are set aside in advance.", "check `room`",
        "icnctl topic delete TOPIC, or wait until messages expire",
        ("gossip/tests/room.rs", "large_topics_leave_every_other_topic_its_share");
    ROOM: "What topics may retain beyond their shares, all together; less with more than 64 topics",
        NODE_BYTES_MAX - SHARED_TOPICS_MIN * SHARE_BYTES, Bytes,
        "A message of a topic beyond its share is refused: with ICN-E0316, or it waits at the peer.",
        "check `room` from 80 %, check `waiting`",
        "icnctl topic delete TOPIC, or wait until messages expire",
        ("daemon/tests/room.rs", "large_topics_fill_the_room_and_every_small_one_goes_on");
    TOPIC_BYTES: "What a topic retains", TOPIC_BYTES_MAX, Bytes,
        "Its oldest messages expire.", "`icnctl topic show`", "Use several topics.",
        ("daemon/tests/room.rs", "large_topics_fill_the_room_and_every_small_one_goes_on");
    TOPIC_ENTRIES: "Messages that a topic retains, unless it was created with --max-entries",
        TOPIC_ENTRIES_DEFAULT, Count,
        "Its oldest messages expire.", "`icnctl topic show`",
        "icnctl topic create NAME --max-entries N",
        ("daemon/tests/limits.rs", "a_topic_beyond_its_number_of_entries_lets_the_oldest_expire");
    RETENTION: "How long messages are retained, unless the topic was created with --retention-days",
        RETENTION_MS_DEFAULT, Ms,
        "They expire, but not while the wall clock is in doubt.", "`icnctl topic show`",
        "icnctl topic create NAME --retention-days N",
        ("daemon/tests/clock.rs", "a_confirmed_clock_counts_the_time_that_the_node_was_down");
    AHEAD: "How far the time of a message may be ahead of a peer's clock", FUTURE_MS_MAX, Ms,
        "The peer holds it back until its time, and notifies its author.", "check `messages` at the author",
        "Set the wall clock right: icnctl clock show",
        ("daemon/tests/clock.rs", "messages_arrive_at_once_after_a_clock_that_was_ahead_is_put_right");
    MOVED: "How far the wall clock may be moved while the node runs", DRIFT_MAX_MS, Ms,
        "It is in doubt, and no message expires by age.", "check `clock`",
        "Set it right, or icnctl clock confirm",
        ("daemon/tests/clock.rs", "a_clock_set_back_stops_no_snapshot_and_health_says_so");
    DOWN: "How long a node may be down before its wall clock is in doubt; less after a short run",
        ClockStamp::BUDGET_MS_MAX, Ms,
        "It is in doubt, and no message expires by age.", "check `clock`",
        "Set it right, or icnctl clock confirm",
        ("daemon/tests/clock.rs", "a_wrong_clock_expires_nothing_while_the_node_runs_or_over_a_restart");
    PENDING: "Pending subscriptions of the operator, and of all peers together", PENDING_MAX, Count,
        "The request is refused with ICN-E0312.", "check `limits` from 80 %",
        "icnctl gossip unsubscribe TOPIC",
        ("daemon/tests/limits.rs", "lists_of_the_operator_warn_at_80_percent_and_refuse_when_full");
    CURSORS: "Cursors", CURSORS_MAX, Count,
        "The request is refused with ICN-E0312.", "check `limits` from 80 %",
        "icnctl gossip cursor delete TOPIC NAME",
        ("daemon/tests/limits.rs", "lists_of_the_operator_warn_at_80_percent_and_refuse_when_full");
    SUBSCRIBERS: "Peers that subscribe to one topic", SUBSCRIBERS_MAX, Count,
        "A further one gets messages while it is linked, and subscribes again with its next link.",
        "check `limits` from 80 %", "No action is needed.",
        ("daemon/tests/limits.rs", "lists_that_peers_fill_warn_at_80_percent");
    AUTHOR_LOGS: "Author logs of one author in one topic: one for each run of its node", LOGS_PER_AUTHOR_MAX, Count,
        "Messages of its further runs wait at peers.", "check `limits` from 80 %, check `waiting`",
        "Go on in a new topic: icnctl topic create NAME",
        ("daemon/tests/limits.rs", "lists_that_peers_fill_warn_at_80_percent");
    TOPIC_LOGS: "Author logs of one topic", LOGS_PER_TOPIC_MAX, Count,
        "Messages of further runs wait at peers.", "check `limits` from 80 %, check `waiting`",
        "Go on in a new topic: icnctl topic create NAME",
        ("daemon/tests/limits.rs", "lists_that_peers_fill_warn_at_80_percent");
    INTERESTS: "Topics of interest to both ends of a link", INTERESTS_MAX, Count,
        "Further ones get no messages over the link.", "check `subscriptions`",
        "icnctl gossip unsubscribe TOPIC",
        ("gossip/tests/mesh/pages.rs", "beyond_the_limit_of_interests_the_operator_is_told_how_many_are_left_out");
    WANTS: "Author logs that a link carries", WANTS_MAX, Count,
        "Further ones get no messages over the link.", "check `subscriptions`",
        "icnctl gossip unsubscribe TOPIC",
        ("daemon/tests/played.rs", "a_link_that_carries_as_many_logs_as_it_can_is_a_warning_until_it_ends");
    LINKS: "Links", LINKS_MAX, Count,
        "A further peer is refused with the reason, and tries again.", "check `limits` from 80 %",
        "Stop one of the peers, or have the new one reach another node.",
        ("daemon/tests/limits.rs", "peers_beyond_the_links_of_a_node_are_refused_and_health_warns");
    TARGETS: "Peers that a node dials", TARGETS_MAX, Count,
        "Further ones are not dialled, and the log says how many; they can dial this node.",
        "check `limits` from 80 % of known addresses, the log for --peer", "icnctl peer remove DID",
        ("daemon/tests/limits.rs", "lists_that_peers_fill_warn_at_80_percent");
    STREAMS: "Consumers that follow topics at the same time", STREAMS_MAX, Count,
        "A further one is refused with ICN-E0334.", "the reply", "End one of them.",
        ("daemon/tests/limits.rs", "consumers_beyond_the_limit_are_refused_until_one_ends");
    HTTP_CONNECTIONS: "HTTP connections, each for one request; fewer if the process may have less than 450 files open",
        HTTP_CONNECTIONS_MAX, Count,
        "The one that has waited longest for its client ends in favour of the new one.",
        "metric `icn_connections_replaced_total`, check `files` for the files",
        "End clients that hold connections. For the files: ulimit -n, LimitNOFILE",
        ("daemon/tests/connections.rs", "clients_that_hold_every_connection_keep_no_other_client_out");
    CONTROL_CONNECTIONS: "Connections to the control socket, streams included; fewer if the process may have less than 450 files open",
        CONTROL_CONNECTIONS_MAX, Count,
        "The one that has waited longest for its client ends with ICN-E0516. None with a request in flight and no stream ends.",
        "metric `icn_connections_replaced_total`, check `files` for the files",
        "End clients that hold connections. For the files: ulimit -n, LimitNOFILE",
        ("daemon/tests/connections.rs", "clients_that_hold_every_connection_keep_no_other_client_out");
    HTTP_TIME: "How long an HTTP connection may take for its request and the response",
        HTTP_CONNECTION_MS_MAX, Ms,
        "It ends.", "metric `icn_connections_slow_total`", "Send the request over a new connection.",
        ("daemon/tests/connections.rs", "a_client_that_stops_halfway_loses_its_connection");
    REQUEST_TIME: "How long a request to the control socket may take to arrive after its first byte",
        REQUEST_MS_MAX, Ms,
        "It is refused with ICN-E0516, and the connection ends.", "metric `icn_connections_slow_total`",
        "Send the request over a new connection.",
        ("daemon/tests/connections.rs", "a_client_that_stops_halfway_loses_its_connection");
    UNREAD: "How long a client of the control socket may leave replies unread", UNREAD_MS_MAX, Ms,
        "Its connection ends.", "metric `icn_connections_slow_total`",
        "Read the replies, or send fewer requests at once.",
        ("daemon/src/connections.rs", "a_reply_that_stays_unread_ends_its_connection");
    FILES: "The least number of files that a node must be able to have open; below 450 it has fewer connections",
        FILES_MIN, Count,
        "With fewer it does not start: ICN-E0113.", "check `files`, metric `icn_files_open`",
        "ulimit -n 450 in the shell that starts icnd, or LimitNOFILE=450 in its systemd unit",
        ("daemon/tests/connections.rs", "a_node_that_may_open_too_few_files_says_so");
    SEARCHES: "Names whose candidates are kept, for 10 min each", SEARCHES_MAX, Count,
        "The oldest is forgotten.", "the reply", "Search again: icnctl topic candidates NAME",
        ("gossip/tests/mesh/topics.rs", "a_search_asks_known_peers_and_keeps_few_candidates");
    CANDIDATES: "Candidates that are kept for a name", CANDIDATES_MAX, Count,
        "Further ones are left out and counted.", "event `candidate_left_out` in status and metrics",
        "Join by id: icnctl topic join ID",
        ("gossip/tests/mesh/topics.rs", "a_search_asks_known_peers_and_keeps_few_candidates");
    REFETCHES: "Topics that are being refetched", REFETCHES_MAX, Count,
        "A further refetch is refused with ICN-E0312.", "the reply", "Try again when one has ended.",
        ("gossip/tests/mesh/refetch.rs", "the_number_of_refetches_is_limited_and_results_are_forgotten");
    REQUEST: "A line of the control socket", LINE_BYTES_MAX, Bytes,
        "It is refused with ICN-E0506, and the connection ends.", "the reply", "Send smaller requests.",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
    WINDOW_TIME: "How far back states can be restored, in time that the node runs",
        Retention::WINDOW_MS_DEFAULT, Ms,
        "Older states go.", "`icnctl snapshot list`", "[snapshot] keep_hours in icn.toml",
        ("daemon/tests/follow.rs", "dropped_records_are_reported_as_dropped_and_not_as_damage");
    WINDOW_BYTES: "What these states may take on the disk, or a tenth of the file system",
        Retention::WINDOW_BYTES_DEFAULT, Bytes,
        "The restore window shortens, to the newest 3 snapshots at the least.", "check `window` from 80 %",
        "[snapshot] keep_mib in icn.toml",
        ("daemon/tests/window.rs", "a_window_that_has_no_room_shortens_and_health_status_and_log_say_so");
    WINDOW_SEGMENTS: "Segments of the log that these states may take; each start after a crash begins one",
        Retention::WINDOW_SEGMENTS_DEFAULT, Count,
        "The restore window shortens, to the newest 3 snapshots at the least.", "check `window`",
        "Find out why icnd is started so often: its log",
        ("snapshot/tests/suite/crash_loop.rs", "a_loop_of_short_lives_keeps_a_bounded_number_of_segments");
    LABELS: "Labels of a snapshot", Labels::COUNT_MAX, Count,
        "The snapshot is refused with ICN-E0223.", "the reply", "Use fewer labels.",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
    LOG_LINES: "Log lines that wait for the reader of standard error", output::LINES_MAX, Count,
        "Further ones are dropped. A line in their place says how many.",
        "check `output`, `icn_log_lines_dropped_total`",
        "Restart or repair what reads the log of icnd.",
        ("daemon/tests/log_lines.rs", "a_log_that_is_not_read_stops_nothing_and_says_what_was_dropped");
    LOG_BYTES: "Bytes of these lines", output::BYTES_MAX, Bytes,
        "Further ones are dropped. A line in their place says how many.",
        "check `output`, `icn_log_lines_dropped_total`",
        "Restart or repair what reads the log of icnd.",
        ("daemon/src/output/stream.rs", "lines_dropped_at_the_end_are_reported_without_a_further_line");
    IMPORT: "A file to import", IMPORT_BYTES_MAX, Bytes,
        "It is refused with ICN-E0220.", "the reply", "Check the path: ls -l FILE",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
    SAVES: "Snapshots being written or waiting", SAVES_MAX, Count,
        "A further one is refused with ICN-E0215.", "the reply", "Try again when the first is written.",
        ("daemon/tests/limits.rs", "a_request_beyond_a_limit_is_refused_with_a_code");
}

/// Whether `used` is so near to `most` that the operator is warned.
#[must_use]
pub fn is_near(used: u64, most: u64) -> bool {
    u128::from(used) * 100 >= u128::from(most) * u128::from(WARN_PERCENT)
}
