//! Every bound in one place, with its unit in its name and the relations between them asserted at
//! compile time. What has no bound here has no business in memory.

/// A remote clock further ahead than this does not move ours and is shown as suspect.
/// The same bound as in iroh-docs; PROTOCOL section 2.
pub const HLC_AHEAD_MS: u64 = 10 * 60 * 1000;
/// An author's clock further behind at first sight than the longest storage time is suspect.
pub const HLC_BEHIND_MS: u64 = 400 * 24 * 3600 * 1000;

/// Largest frame body on a link (DETAILS section 2).
pub const FRAME_BYTES: usize = 64 * 1024;
/// Largest envelope.
pub const ENVELOPE_BYTES: usize = 64 * 1024;
/// Largest entry body; the envelope adds MLS and header bytes.
pub const ENTRY_BODY_BYTES: usize = 48 * 1024;
/// Largest HAVE body; more is said in several.
pub const HAVE_BYTES: usize = 8 * 1024;
/// Largest certificate.
pub const CERT_BYTES: usize = 300;
/// Largest invite.
pub const INVITE_BYTES: usize = 600;
/// Longest `host:port` of a relay or desk in an invite.
pub const PLACE_BYTES: usize = 64;
/// Most relays in an invite or grant.
pub const PLACES: usize = 8;
/// Certificates of administrators in a grant, renewal or card of an organisation.
pub const ADMINS_PER_CARD: usize = 4;
/// Other trusted organisations that a grant names.
pub const PARTNERS_PER_GRANT: usize = 16;
/// Devices in one roster entry, and in a grant.
pub const CARDS: usize = 8;
/// Largest request: four keys, a name, a MAC, a signature.
pub const REQUEST_BYTES: usize = 4 * 32 + NAME_BYTES + 16 + 64 + 4;
/// Largest grant.
pub const GRANT_BYTES: usize = 80 * 1024;
/// Largest card of an organisation, and largest renewal.
pub const ORG_CARD_BYTES: usize = (ADMINS_PER_CARD + 2) * (CERT_BYTES + 2) + 4;
/// Invites that one desk remembers.
pub const INVITES: usize = 256;
/// How long after its end an invite is remembered, so that a late request is told why it is refused.
pub const INVITE_KEPT_MINUTES: u32 = 30 * 24 * 60;
/// Largest blob chunk ciphertext without its tag.
pub const CHUNK_BYTES: usize = 1024;
/// Most chunks of one layer of one object (1 MiB at 1 KiB a chunk; an original of 8 MB has 8192).
pub const CHUNKS_PER_LAYER: u32 = 8 * 1024 + 64;
/// Most layers of one object.
pub const LAYERS_PER_OBJECT: usize = 16;
/// Largest plaintext of one layer; what an importer accepts (PAYLOADS).
pub const LAYER_BYTES: u32 = 8 * 1024 * 1024;
/// Longest file name in a manifest.
pub const FILE_NAME_BYTES: usize = 80;
/// Longest text of a note.
pub const NOTE_BYTES: usize = 8 * 1024;
/// Longest text of an alert or reason of a recall: an alert must fit [`ALARM_BYTES`].
pub const SHORT_TEXT_BYTES: usize = 256;
/// Largest ECG digest (PAYLOADS: one LoRa frame).
pub const DIGEST_BYTES: usize = 150;
/// Longest name of an ECG format.
pub const FORMAT_BYTES: usize = 16;
/// Distinct carriers counted for one entry; more say nothing new.
pub const CARRIERS_PER_ENTRY: usize = 64;
/// Distinct relays tracked for one entry.
pub const RELAYS_PER_ENTRY: usize = 16;
/// Most objects named in one entry.
pub const OBJECTS_PER_ENTRY: usize = 16;
/// Most recent objects whose bitmap travels in a signed head.
pub const OBJECTS_PER_HEAD: usize = 64;
/// Most holes listed for one log in RANGES.
pub const HOLES_PER_LOG: usize = 256;
/// Most logs in one RANGES.
pub const LOGS_PER_RANGES: usize = 3 * 128 * 4;
/// Most objects in one BLOBS.
pub const OBJECTS_PER_BLOBS: usize = 256;
/// Most runs in one bitmap.
pub const RUNS_PER_BITMAP: usize = 1024;
/// Most cursors in an entry or an op.
pub const CURSORS: usize = 256;
/// Most members of a thread.
pub const MEMBERS: usize = 128;
/// Most threads a device holds.
pub const THREADS: usize = 1024;
/// Most threads named in one THREADS frame.
pub const THREADS_PER_FRAME: usize = 1024;
/// Most items in one burst.
pub const ITEMS_PER_BURST: usize = 1024;
/// Parked envelopes of a thread (unknown node or key), and of one slot (N5).
pub const PARKED_PER_THREAD: usize = 256;
/// See [`PARKED_PER_THREAD`].
pub const PARKED_PER_SLOT: usize = 32;
/// Control keys kept for reading (PROTOCOL section 3).
pub const CONTROL_KEYS: usize = 64;
/// Sender ratchet: skipped keys kept, and how far it may run forward.
pub const RATCHET_WINDOW: u32 = 128;
/// See [`RATCHET_WINDOW`].
pub const RATCHET_FORWARD: u32 = 10_000;
/// Batches handed out and not yet confirmed.
pub const COMMITS_IN_FLIGHT: usize = 64;
/// Outputs that wait to be polled.
pub const OUTPUTS: usize = 64 * 1024;
/// Links open at once.
pub const LINKS: usize = 256;
/// Unsealed entries that wait in one thread.
pub const OUTBOX_ENTRIES: usize = 4096;
/// Partly received envelopes per link.
pub const PARTS_PER_LINK: usize = 64;
/// Gaps and pieces of one partly received envelope.
pub const PIECES_PER_ENVELOPE: usize = 256;
/// Most frames in one datagram or one-way file block.
pub const FRAMES_PER_DATAGRAM: usize = 256;
/// Most hashes in one REVOKED or WANT frame.
pub const HASHES_PER_FRAME: usize = 1024;
/// Most slots of a thread or handle, old incarnations included.
pub const SLOTS: usize = LOGS_PER_RANGES / 3;
/// Sent places remembered per peer and thread until the peer says what it has.
pub const SENT_MARKS: usize = 4096;
/// Intervals remembered of what one peer holds of one thread.
pub const RUNS_PER_VIEW: usize = 16 * 1024;
/// Layers of blobs remembered of what one peer holds of one thread.
pub const LAYERS_PER_VIEW: usize = 1024;
/// Unit of transmission: an alarm waits behind at most one.
pub const UNIT_BYTES: usize = 1024;
/// Unit below 1 kbit/s.
pub const UNIT_BYTES_SLOW: usize = 256;
/// Entries between two signed heads of a device that only receives.
pub const ENTRIES_PER_HEAD: u32 = 16;
/// Largest store value; larger rows are split by the host.
pub const VALUE_BYTES: usize = 1024 * 1024;

/// Class 0 and 1 items a routing key may hand to one carrier in a minute.
pub const BUCKET_URGENT_ITEMS_PER_MIN: u32 = 60;
/// Bytes of classes 0-2 a routing key may hand to one carrier in an hour.
pub const BUCKET_CLINICAL_BYTES_PER_H: u64 = 256 * 1024;
/// Bytes of all classes a routing key may hand to one carrier in an hour.
pub const BUCKET_BYTES_PER_H: u64 = 4 * 1024 * 1024;
/// Bytes an hour for one inbox handle from one routing key.
pub const INBOX_BYTES_PER_H: u64 = 256 * 1024;
/// Unread bytes for one inbox handle from one routing key.
pub const INBOX_UNREAD_BYTES: u64 = 1024 * 1024;
/// Default quota of a phone that carries for others.
pub const CARRY_BYTES_PHONE: u64 = 64 * 1024 * 1024;
/// Default quota of a vehicle.
pub const CARRY_BYTES_VEHICLE: u64 = 2 * 1024 * 1024 * 1024;
/// How long a relay keeps what nobody released.
pub const RELAY_KEEP_MS: u64 = 30 * 24 * 3600 * 1000;

/// Sealed size of a class 0 item at most.
pub const ALARM_BYTES: usize = 1024;

/// What sealing, a rewrap and the envelope add to an entry at most.
pub const ALARM_SEAL_BYTES: usize = 184;

/// Hashes of later entries that a rewrap carries at most.
pub const HASHES_PER_REWRAP: usize = 256;
/// Rewraps of one slot that wait for their proof.
pub const UNPROVEN_PER_SLOT: usize = 2048;
/// Longest signed head that a rewrap carries.
pub const COVER_BYTES: usize = 4096;

/// Largest content of a direct seal, in clear. The longest entry fits with its longest proof.
pub const DIRECT_BYTES: usize = ENVELOPE_BYTES - 256;
/// Alarms of one device that are told directly and not sealed yet.
pub const DIRECT_ALARMS: usize = 16;
/// Times that a device asks for a new leaf in a thread, from one start to the next.
pub const LEAVES_ASKED: u32 = 64;
/// Entries whose message keys are gone and that are asked for at a time, per thread.
pub const LOST_ENTRIES: usize = 1024;
/// Of them those per slot for which no signed head of the author is here.
pub const LOST_UNSIGNED: usize = 16;
/// Most ids that one question names, and objects that one answer holds.
pub const IDS_PER_QUESTION: usize = 64;
/// Second control objects kept of one slot: what its author signed at a place that was taken.
pub const SECONDS_PER_SLOT: usize = 8;
/// The same, with those that other objects here name: without them these would wait for ever.
pub const SECONDS_NAMED: usize = 256;
/// Most entries handed on in one direct seal.
pub const ENTRIES_PER_DIRECT: usize = 64;

/// Longest name in a certificate or card, UTF-8.
pub const NAME_BYTES: usize = 40;
/// Longest title of a thread, UTF-8.
pub const TITLE_BYTES: usize = 64;
/// Longest window of an administrator's certificate: a year (PROTOCOL section 1).
pub const ADMIN_MINUTES: u32 = 366 * 24 * 60;
/// Organisations that a device or relay trusts.
pub const ROOTS: usize = 256;
/// Certificates or revocations of one kind and one organisation that a directory holds.
pub const DIRECTORY_ROWS: usize = 16 * 1024;
/// Largest control object in clear, signature included.
pub const CONTROL_BYTES: usize = ENVELOPE_BYTES - 256;
/// Largest key package (X-Wing with a device certificate: about 2.7 kB).
pub const KEY_PACKAGE_BYTES: usize = 8 * 1024;
/// Most ops named in one list of a commit header.
pub const OPS_PER_COMMIT: usize = 2 * MEMBERS;
/// Highest op counter of a slot.
pub const OPS_PER_SLOT: u32 = 4096;
/// Sequencer relays, and co-owners, of a thread.
pub const SEQUENCERS: usize = 8;

/// Deadlines after which the sender says *not confirmed*, by class 0, 1, 2 (DETAILS section 4).
pub const NOT_CONFIRMED_MS: [u64; 3] = [60_000, 5 * 60_000, 3_600_000];

/// Largest key package: 2 652 B in X-Wing with an empty credential, plus a certificate.
pub const MLS_KEY_PACKAGE_BYTES: usize = 4 * 1024;
/// Largest full MLS commit, key packages included. Adding 127 members of 2.7 kB at once takes 340 kB.
pub const MLS_COMMIT_BYTES: usize = 512 * 1024;
/// Largest Welcome: 1.2 kB for each joiner.
pub const MLS_WELCOME_BYTES: usize = 256 * 1024;
/// Largest ratchet tree: 339 kB at 128 members in X-Wing without their certificates.
pub const MLS_TREE_BYTES: usize = 512 * 1024;

const _: () = assert!(MEMBERS * (CERT_BYTES + 2700) < MLS_TREE_BYTES);
const _: () = assert!(ENTRY_BODY_BYTES + 4096 + 32 * HASHES_PER_REWRAP + COVER_BYTES <= ENVELOPE_BYTES);
const _: () = assert!(HAVE_BYTES < FRAME_BYTES);
const _: () = assert!(CHUNK_BYTES + 64 < ENVELOPE_BYTES);
const _: () = assert!(LAYER_BYTES.div_ceil(CHUNK_BYTES as u32) <= CHUNKS_PER_LAYER);
const _: () = assert!(NOTE_BYTES < ENTRY_BODY_BYTES);
const _: () = assert!(UNIT_BYTES_SLOW < UNIT_BYTES);
const _: () = assert!(PARKED_PER_SLOT <= PARKED_PER_THREAD);

/// Header of an envelope at most: version, class, handle, place, length (DETAILS section 2).
pub const ENVELOPE_HEADER_BYTES: usize = 32;
/// What a carried item costs beside its bytes (row and index); counts against the quota.
pub const CARRIED_ROW_BYTES: u64 = 128;
/// Most items that a carrier or relay holds. There are never more handles than items.
pub const CARRIED_ITEMS: usize = 1024 * 1024;
/// Most items of one handle.
pub const CARRIED_ITEMS_PER_HANDLE: usize = 128 * 1024;
/// Newest heads kept of one slot: more than one, since the newest may be garbage.
pub const CARRIED_HEADS_PER_SLOT: usize = 4;
/// Share of the quota, and of the items, that one routing key may fill.
pub const CARRIED_SHARE_PERCENT: u64 = 25;
/// Share of the quota, and of the items, that the devices of one organisation may fill while another
/// one is served too.
pub const CARRIED_ORG_SHARE_PERCENT: u64 = 50;
/// The same for classes 0-1, which have a reserve there too.
pub const CARRIED_ORG_URGENT_PERCENT: u64 = 75;
/// A carrier filled above this share of its quota refuses class 4.
pub const REFUSE_BULK_PERCENT: u64 = 80;
/// A carrier filled above this share of its quota refuses class 3.
pub const REFUSE_VOICE_PERCENT: u64 = 95;
/// A carrier filled above this share of its quota refuses class 2; the rest is for classes 0-1.
pub const REFUSE_TEXT_PERCENT: u64 = 98;
/// Routing keys whose rates a carrier watches.
pub const CARRIED_BUCKETS: usize = 64 * 1024;
/// Inboxes that one routing key may write to at one carrier within an hour.
pub const INBOXES_PER_ORIGIN: usize = 256;
/// Rows that one expiry deletes at most; the next one follows at once.
pub const EXPIRIES_PER_BATCH: usize = 1024;
/// How often a carrier that only holds saves how long it has held, in milliseconds.
pub const HOLD_SAVE_MS: u64 = 60_000;
/// Longest time switched off that a carrier believes its wall clock, in milliseconds.
pub const HOLD_OFF_MS: u64 = 30 * 24 * 3600 * 1000;

const _: () = assert!(ENVELOPE_BYTES as u64 <= BUCKET_CLINICAL_BYTES_PER_H);
const _: () = assert!(ENVELOPE_BYTES as u64 <= INBOX_BYTES_PER_H);
const _: () =
    assert!(REFUSE_BULK_PERCENT < REFUSE_VOICE_PERCENT && REFUSE_VOICE_PERCENT < REFUSE_TEXT_PERCENT);

/// Largest ratchet tree inside a Welcome.
pub const TREE_INLINE_BYTES: usize = 48 * 1024;
/// Members of an X-Wing thread, so that its tree fits into [`TREE_INLINE_BYTES`] (about 2.6 kB a leaf
/// (measured: 22.4 kB at 8 members)).
pub const XWING_MEMBERS: usize = 17;
/// Epoch nodes whose keys a device holds of one thread. Deletion leaves the newest and those of the last
/// days.
pub const NODES_PER_THREAD: usize = 4096;
/// A node to whose child on the path all have come is demoted so long after that child appeared at the
/// earliest, in milliseconds.
pub const DEMOTE_CALM_MS: u64 = 10 * 60 * 1000;
/// A node is demoted so long after its child on the path appeared, whoever did not sign for it, in
/// milliseconds. Who was away longer, on a branch that loses, has to be added again.
pub const DEMOTE_AFTER_MS: u64 = 24 * 3600 * 1000;
/// A demoted node is kept so long at least, for messages that are under way, in milliseconds.
pub const DROP_AFTER_MS: u64 = 2 * 3600 * 1000;
/// A demoted node is kept so long at most, in milliseconds.
pub const DROP_LATEST_MS: u64 = 7 * 24 * 3600 * 1000;
/// How often a device looks whether nodes can go for which it waits, in milliseconds.
pub const FORGET_LOOK_MS: u64 = 30 * 60 * 1000;
const _: () = assert!(FORGET_LOOK_MS < DROP_AFTER_MS && DROP_AFTER_MS < DROP_LATEST_MS);
const _: () = assert!(DROP_AFTER_MS < DEMOTE_AFTER_MS);
/// Lives of one device in a thread that a Welcome may name.
pub const LIVES: u32 = 64;
/// Nodes of one author beside the path to the newest, and nodes to which no commit leads yet, that are held.
pub const SIDE_NODES: usize = 8;
/// Control keys of commits that are not here, in a thread that has begun.
pub const SIDE_KEYS: usize = 32;
/// Commits of one author whose key packages are not here.
pub const UNBUILT_PER_SLOT: usize = 16;
/// Commits of one author that name ops or parents that are not here.
pub const UNROOTED_PER_SLOT: usize = 64;
/// Highest number in the control log of a slot: all ops of a life, each with its key package and its
/// commit, and as many commits for others.
pub const CONTROL_PER_SLOT: u32 = 4 * OPS_PER_SLOT;
/// Views of a neighbour's threads that are kept after its link went down.
pub const PEERS_REMEMBERED: usize = 256;
/// Peers and mailboxes to which a restored relay says RESET.
pub const RESETS_TOLD: usize = 64 * 1024;

const _: () = assert!(CARDS * (CERT_BYTES + MLS_KEY_PACKAGE_BYTES + 4) < ENTRY_BODY_BYTES);
const _: () = assert!(
    CARDS * (CERT_BYTES + MLS_KEY_PACKAGE_BYTES + 4) + (PARTNERS_PER_GRANT + 1) * (ORG_CARD_BYTES + 2) + 2048
        < GRANT_BYTES
);
