//! Codes about requests and the command line: `ICN-E05xx`.

use super::Code;

entries! {
    REQUEST;

    MALFORMED_REQUEST: "ICN-E0501", USAGE,
        "The request is malformed.",
        "It is not JSON, its cmd is unknown, or a field is missing, unknown or of another type.",
        "A request is one line of JSON: {\"v\":1,\"cmd\":\"status\"}";
    PROTOCOL_VERSION: "ICN-E0502", FAILED,
        "The node does not speak the protocol version of the request.",
        "icnctl and icnd are of different versions.",
        "Use the icnctl that came with the node. Compare them: icnctl --version, icnd --version";
    BAD_ANSWER: "ICN-E0503", FAILED,
        "The node's answer cannot be read.",
        "icnctl and icnd are of different versions.",
        "Use the icnctl that came with the node. Compare them: icnctl --version, icnd --version";
    BAD_MESSAGE: "ICN-E0504", USAGE,
        "The request to publish has no valid message.",
        "It has both or neither of text and base64, or the base64 is malformed.",
        "Give one of them: {\"v\":1,\"cmd\":\"publish\",\"topic\":\"TOPIC\",\"text\":\"hello\"}";
    TWO_ACCESS_RULES: "ICN-E0505", USAGE,
        "The request gives a topic two access rules.",
        "A topic admits every DID, its members, or DIDs of enough trust.",
        "Give one of --public, --member and --min-trust: icnctl topic create NAME --member DID";
    REQUEST_TOO_LONG: "ICN-E0506", USAGE,
        "The request is too long.",
        "A request is at most 1 MiB long, so that the node's memory is bounded.",
        "Send less in one request.";
    NOT_SERVED: "ICN-E0507", FAILED,
        "The node cannot do what the request asks for.",
        "The request has no place in this connection or this version.",
        "Use the icnctl that came with the node. Compare them: icnctl --version, icnd --version";
    NOT_OFFLINE: "ICN-E0508", USAGE,
        "The request cannot be answered from the files.",
        "Only the running node knows the answer.",
        "Start it: icnd. Then repeat the command without --offline.";
    FOLLOWS_ONLY: "ICN-E0509", USAGE,
        "A connection that follows a topic takes cursor_move only.",
        "After follow, the node sends the entries of the topic over the connection.",
        "Send the request over another connection.";
    NEEDS_YES: "ICN-E0511", NEEDS_YES,
        "The command was not confirmed, and nothing was done.",
        "It changes more than can be undone by hand, and --yes was not given.",
        "Repeat the command with --yes.";
    INPUT_UNREADABLE: "ICN-E0512", FAILED,
        "The standard input cannot be read.",
        "It was closed or fails.",
        "Give the message as an argument: icnctl gossip publish TOPIC TEXT";
    OUTPUT_NOT_WRITTEN: "ICN-E0513", FAILED,
        "The output cannot be written.",
        "The disk of a redirected output is full, or the output was closed.",
        "Check where the output goes, and repeat the command if it only reads.";
    BAD_SCOPE: "ICN-E0514", USAGE,
        "The text is not a scope of a topic.",
        "There are local, regional and global.",
        "Give one of them: icnctl topic create NAME --scope regional";
    BAD_MIN_TRUST: "ICN-E0515", USAGE,
        "The least trust of a topic is out of range.",
        "Every DID has a trust of 0 or more, and none has more than 1000.",
        "Give 1 to 1000: icnctl topic create NAME --min-trust 700. \
         To admit every DID: icnctl topic create NAME --public";
    CONNECTION_ENDED: "ICN-E0516", FAILED,
        "The node has ended the connection.",
        "It had no request in flight when another client needed its place, or a request was cut short.",
        "Nothing of the last request was done. Send it again over a new connection.";
}
