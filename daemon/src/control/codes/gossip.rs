//! Codes about topics, entries, peers and cursors: `ICN-E03xx`.

use super::Code;

entries! {
    GOSSIP;

    IDENTITY: "ICN-E0300", FAILED,
        "The node's identity is not fixed yet, or is fixed already.",
        "The first record of the log fixes it, and a second such record is refused.",
        "Make the node and start it: icnd";
    BAD_TOPIC_NAME: "ICN-E0301", FAILED,
        "The name is not valid for a topic.",
        "A name has 1 to 128 of a-z 0-9 : . _ - and starts with a letter or digit.",
        "Choose such a name: icnctl topic create coop:ledger";
    UNKNOWN_TOPIC: "ICN-E0302", FAILED,
        "This node has no topic of this name or id.",
        "The name or id is mistyped, the topic was deleted, or it was not created or joined here.",
        "List the topics: icnctl topic list. Join one: icnctl topic join ID";
    AMBIGUOUS_TOPIC: "ICN-E0303", FAILED,
        "Several topics have this name.",
        "Different creators may give their topics the same name.",
        "Use the id of the topic instead of its name: icnctl topic list";
    TOPIC_EXISTS: "ICN-E0304", FAILED,
        "The topic exists already.",
        "This node has created or joined one of this name.",
        "See it: icnctl topic show TOPIC. Or choose another name.";
    SEALED_TOPIC: "ICN-E0305", REFUSED,
        "The topic is sealed: this version cannot read its access rule.",
        "Its creator runs a newer version, and a rule that is not understood admits no DID.",
        "It stays closed and unchanged until icnd is upgraded. This version: icnd --version";
    NO_ACCESS: "ICN-E0306", REFUSED,
        "The topic's access rule does not admit the DID.",
        "The DID is not a member, or is trusted less than the topic requires.",
        "Ask the topic's creator to name this node's DID as a member: icnctl identity show";
    MESSAGE_TOO_LARGE: "ICN-E0307", FAILED,
        "The message is too large.",
        "A message has at most 61440 bytes, so that its entry fits into 64 KiB.",
        "Send it in parts, or send a reference to it.";
    BAD_SIGNATURE: "ICN-E0308", FAILED,
        "The signature does not match the author.",
        "The content was changed after it was signed, or was signed with another key.",
        "Ask its author for it again.";
    WRONG_NETWORK: "ICN-E0309", FAILED,
        "The topic or entry belongs to another network.",
        "The node of its author has another `network` in icn.toml.",
        "Publish it on a node of this network; `network` in icn.toml names it.";
    OUT_OF_ORDER: "ICN-E0310", FAILED,
        "The entry is not the next one of its author's log.",
        "An earlier entry is missing here, or the log has a newer one.",
        "Publish the message again. Report it if that is refused too.";
    EQUIVOCATION: "ICN-E0311", FAILED,
        "The author has signed two different entries for one position; its log is frozen.",
        "Two processes used one identity.key, or an old copy of a data directory was started.",
        "Run one node per identity.key. A running node goes on in a new epoch by itself, and publishes again \
         what others could not accept. See: icnctl status";
    FULL: "ICN-E0312", FAILED,
        "A bounded list of the node is full.",
        "The logs and subscribers of a topic, pending subscriptions and cursors have limits.",
        "Remove what is no longer needed: icnctl topic delete TOPIC, \
         icnctl gossip cursor delete TOPIC NAME";
    TOPIC_CLOSED: "ICN-E0313", REFUSED,
        "The topic is closed: its access rule is not the one that the snapshots know.",
        "The last start recovered a state that is weaker than the one that was kept.",
        "See what has changed: icnctl status. Restore a snapshot from before that, or start the \
         version of icnd that wrote it.";
    UNBOUND_NAME: "ICN-E0314", FAILED,
        "No topic of this name was created or joined here.",
        "A name is an alias: peers may offer any topic under it, so a name alone enters none.",
        "See what peers offer: icnctl topic candidates NAME. Then join one: \
         icnctl topic join ID, or icnctl topic join NAME --creator DID";
    BAD_REFERENCE: "ICN-E0315", FAILED,
        "The text does not name a topic to join.",
        "A topic is joined by its id of 64 lower-case hexadecimal digits, or by its name and creator.",
        "Copy the id from its creator: icnctl topic list. Then: icnctl topic join ID, or \
         icnctl topic join NAME --creator DID";
    NO_ROOM: "ICN-E0316", NO_SPACE,
        "The node has no room for more messages of this topic.",
        "Messages live in memory: all topics have 1 GiB, of which 1 MiB is set aside for each.",
        "See the largest topics: icnctl topic list. Delete one that is not needed here: \
         icnctl topic delete TOPIC. Room is free again, too, when old messages expire.";
    TOO_MANY_MEMBERS: "ICN-E0317", FAILED,
        "The topic would have too many members.",
        "A topic names at most 1024 members, its creator included.",
        "Make it public: icnctl topic create NAME --public. Or make several topics.";
    NOT_SUBSCRIBED: "ICN-E0318", FAILED,
        "This node is not subscribed to the topic.",
        "Peers serve a topic only to nodes that subscribe to it.",
        "Subscribe first: icnctl gossip subscribe TOPIC";
    BAD_CARD: "ICN-E0320", FAILED,
        "The text is not a key card.",
        "It is cut short or changed, or its signature does not match its DID.",
        "Copy the whole card, icn-card:…, that the peer prints: icnctl identity show";
    OWN_CARD: "ICN-E0321", REFUSED,
        "The key card is that of this node itself.",
        "A node needs the card of its peer, and the peer needs the card of the node.",
        "Add the card that the other node prints: icnctl identity show";
    BAD_DID: "ICN-E0322", USAGE,
        "The text is not a DID.",
        "A DID looks like did:icn:z6Mk… and holds an Ed25519 key.",
        "Copy the whole DID: icnctl peer list --all. On its own node: icnctl identity show";
    BAD_CURSOR_NAME: "ICN-E0330", FAILED,
        "The name is not valid for a cursor.",
        "A name has 1 to 128 of a-z 0-9 : . _ - and starts with a letter or digit.",
        "Choose such a name: icnctl gossip subscribe TOPIC --follow --cursor app";
    NO_CURSOR: "ICN-E0331", FAILED,
        "The topic has no cursor of this name.",
        "The name is mistyped, or the cursor was deleted, if need be while it was in use.",
        "List the cursors: icnctl gossip subscriptions";
    CURSOR_AHEAD: "ICN-E0332", FAILED,
        "The cursor cannot stand past the last entry of the topic.",
        "The position was not read from this node, or a restore took the later entries back.",
        "Begin at a position that exists: icnctl gossip entries TOPIC";
    CURSOR_IN_USE: "ICN-E0333", REFUSED,
        "Another consumer uses the cursor.",
        "Two consumers with one cursor would each get a part of the entries.",
        "End the other consumer, or choose another name with --cursor NAME.";
    TOO_MANY_CONSUMERS: "ICN-E0334", FAILED,
        "Too many consumers follow topics.",
        "Each one holds a connection and buffers of the node, so their number is bounded.",
        "End one of them, or start one that serves several.";
}
