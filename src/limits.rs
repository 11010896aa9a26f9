//! Every bound of the program, in one place, checked against one another at compile time.

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

/// Content is cut into chunks of this size on average, and never beyond the other two
/// (`docs/benchmarks.md` has the table that chose them).
pub const CHUNK_MIN_BYTES: usize = 512 * KIB;
pub const CHUNK_AIM_BYTES: usize = MIB;
pub const CHUNK_MAX_BYTES: usize = 8 * MIB;

/// Leaves of a tree (`docs/decisions/0007-large-leaves.md` tells why so large).
pub const LEAF_MIN_BYTES: usize = 48 * KIB;
pub const LEAF_AIM_BYTES: usize = 384 * KIB;
pub const LEAF_MAX_BYTES: usize = 768 * KIB;

/// Inner nodes of a tree.
pub const INNER_MIN_BYTES: usize = 2 * KIB;
pub const INNER_AIM_BYTES: usize = 16 * KIB;
pub const INNER_MAX_BYTES: usize = 64 * KIB;

/// A key of a tree (a path of 4096 bytes fits, and an encoded `_id`).
pub const KEY_MAX_BYTES: usize = 64 * KIB;
/// A value's own bytes beside its content; more belongs into chunks.
pub const VALUE_HEAD_MAX_BYTES: usize = MIB;
/// A value lists so many chunks itself; a longer list becomes a tree of its own.
pub const PIECES_INLINE_MAX: usize = 64;
/// A map may hold maps (a catalogue its collections), so deep; a reader refuses more.
pub const MAPS_NESTED_MAX: u8 = 3;
/// How deep a tree may be; a reader refuses more.
pub const TREE_LEVELS_MAX: u8 = 32;

/// No blob is larger than this in plain, so a decoder never allocates more.
pub const BLOB_MAX_BYTES: usize = 16 * MIB;
/// So many deltas may stand between a blob and the whole blob it is made from.
pub const DELTA_HOPS_MAX: u8 = 8;

/// A pack is closed when it has grown to this size (the default; users may choose others).
pub const PACK_AIM_BYTES: usize = 16 * MIB;
pub const PACK_AIM_MIN_BYTES: usize = 4 * MIB;
pub const PACK_AIM_MAX_BYTES: usize = 128 * MIB;
/// A session holds so many packs at most, open or on their way into the store.
pub const PACKS_HELD_MAX: usize = 4;
/// A reader refuses a pack, and a row in it, beyond these.
pub const PACK_MAX_BYTES: usize = 512 * MIB;
pub const PACK_BLOBS_MAX: usize = 1 << 19;

/// A local store writes objects from this size on past the page cache, in such steps.
pub const DIRECT_FROM_BYTES: usize = 2 * MIB;
pub const DIRECT_STEP_BYTES: usize = MIB;
/// After a read this long it asks the kernel to have as much more of the object ready.
pub const READ_ON_FROM_BYTES: u64 = 256 * KIB as u64;

/// So much of a pack's end is asked for at once, in the hope that its table is in there.
pub const PACK_TAIL_GUESS_BYTES: usize = 16 * KIB;
/// A prune's own index segments are closed at this size.
pub const INDEX_SEGMENT_AIM_BYTES: usize = 8 * MIB;
/// A check that reads all data reads so many packs at once.
pub const CHECK_PACKS_AT_ONCE: usize = 4;
/// Of each it holds so many bytes, or one blob.
pub const CHECK_STEP_BYTES: u64 = 4 * MIB as u64;
/// A prune copies out of so many packs at once.
pub const RESCUE_PACKS_AT_ONCE: usize = 2;
/// It reads the tables of so many condemned packs at once, and moves so many blobs before it looks
/// again.
pub const LOOK_PACKS_AT_ONCE: usize = 64;
pub const RESCUE_ROWS_MAX: usize = 1 << 20;
/// How often a prune looks again when others keep condemning the copies that it counts on.
pub const RESCUE_ROUNDS_MAX: usize = 16;
/// A prune asks nobody about shares of fewer packs than this.
pub const ASK_FROM_PACKS: usize = 16;
pub const ASK_FROM_PERCENT: u8 = 30;
/// While it waits for sessions, a prune looks at them this often.
pub const DRAIN_LOOK_SECONDS: u64 = 2;

/// Small sealed objects (config, sessions, snapshots, tombstones); more is refused.
pub const CONTROL_MAX_BYTES: usize = 64 * MIB;

/// Rows of the catalog are sorted in memory up to so many bytes before they are written out.
pub const CATALOG_RUN_BYTES: usize = 32 * MIB;
/// Nodes between being written and lying in a pack: so many plain bytes, or one alone.
pub const BEHIND_MAX_BYTES: usize = 8 * MIB;
/// Buffers of leaves that are kept to be used again, beside those that somebody holds.
pub const NODE_SPARE_BYTES: usize = 4 * MIB;
/// Plain nodes that a reader keeps.
pub const NODE_CACHE_BYTES: usize = 8 * MIB;
/// Buffers of a store on the local disk, and of a reader of chunks, that are kept to be used again.
pub const READ_SPARE_BYTES: usize = 6 * MIB;
/// Ranges of a pack this near to one another are read as one, if they are expected.
pub const READ_GAP_MAX_BYTES: u64 = 64 * KIB as u64;
/// No read of several blobs at once is larger, and so many bytes read ahead are kept.
pub const READ_TOGETHER_MAX_BYTES: u64 = 4 * MIB as u64;
pub const READ_AHEAD_MAX_BYTES: usize = 32 * MIB;
/// A backup hands its threads entries in batches: so many entries, or so many bytes to read.
pub const BATCH_ENTRIES_MAX: usize = 64;
pub const BATCH_BYTES_MAX: u64 = 4 << 20;
/// So many batches may be anywhere between the walk and the tree.
pub const BATCHES_IN_FLIGHT_MAX: usize = 32;
/// A file's content up to this size stands in its entry (`docs/benchmarks.md`).
pub const INLINE_MAX_BYTES: usize = 8 * KIB;
/// A content is read in steps of this size, so that most steps have a cut in them.
pub const CONTENT_STEP_BYTES: usize = 2 * MIB;
/// Chunks of large files that wait for a thread; chunks of one file between read and stored.
pub const CHUNKS_WAITING_MAX: usize = 4;
pub const CHUNKS_IN_FLIGHT_MAX: usize = 8;
/// Buffers of such chunks that are kept to be used again, beside those in flight.
pub const CHUNKS_SPARE_BYTES: usize = 12 * MIB;
/// The previous tree is read ahead so many batches of so many entries.
pub const PREVIOUS_BATCHES_MAX: usize = 8;
pub const PREVIOUS_BATCH_ENTRIES: usize = 512;

/// Key slots: what a reader accepts before it allocates (DESIGN.md 5).
pub const ARGON_MEMORY_MAX_KIB: u32 = 4 << 20;
pub const ARGON_MEMORY_MIN_KIB: u32 = 64 << 10;
pub const ARGON_TIME_MAX: u32 = 64;
pub const ARGON_LANES_MAX: u32 = 64;
pub const SLOT_HEADER_MAX_BYTES: usize = 4 * KIB;

/// A backup's packs become findable for a resumed run at least this often.
pub const INDEX_FLUSH_PACKS: usize = 256;
pub const INDEX_FLUSH_SECONDS: u64 = 300;
/// And also when so many blobs are waiting for it: they are held in memory until then.
pub const INDEX_FLUSH_ROWS: usize = 1 << 14;
/// A pack of many small blobs is closed when it holds so many.
pub const PACK_BLOBS_AIM: usize = 1 << 16;
pub const HEARTBEAT_SECONDS: u64 = 300;
/// A session that shows no progress for this long may be fenced.
pub const LEASE_SECONDS: u64 = 6 * 3600;
pub const UNDELETE_DAYS_DEFAULT: u32 = 14;
/// Slots and tombstones are kept this long after they lost their meaning.
pub const TOMBSTONE_KEEP_DAYS: u32 = 30;

/// The walk keeps so many names of one directory in memory; a larger one is read more than once.
pub const WALK_NAMES_MAX: usize = 128 << 10;
/// And so many of all directories from `/` down to where it is.
pub const WALK_NAMES_HELD_MAX: usize = 2 * WALK_NAMES_MAX;
/// It keeps so many directories open, beside those that somebody is using.
pub const WALK_DIRS_OPEN_MAX: usize = 128;
/// What one call asks a directory for.
pub const WALK_LIST_BYTES: usize = 64 * KIB;
/// Files of this size on are read ahead by the system.
pub const READ_AHEAD_MIN_BYTES: usize = MIB;
/// Extended attributes of one entry, names and values.
pub const ATTRIBUTES_MAX_BYTES: usize = 512 * KIB;

/// Documents in documents: what a server can be set to take; a reader refuses more.
pub const DOCUMENT_DEPTH_MAX: usize = 250;
/// A longer key of a document stands as so many of its bytes and a hash.
pub const DOCUMENT_KEY_HEAD_BYTES: usize = 4 * KIB;
/// No change makes a document larger; a server's own are below 17 MiB.
pub const DOCUMENT_MAX_BYTES: usize = 48 * MIB;
/// A scan of a collection asks for so many documents at once (a reply is 16 MiB at most): about
/// what fits into a processor's cache, and into buffers that are used again.
pub const SCAN_BATCH_DOCUMENTS: u32 = 2000;
/// It tries so often to go on, with growing pauses (25 s in all), before it gives up.
pub const SCAN_FAILURES_MAX: u32 = 8;
/// So fast a scan is taken to be when it is asked whether it fits into the server's history.
pub const SCAN_ASSUMED_BYTES_PER_SECOND: u64 = 64 * MIB as u64;
/// So long the majority of a set may take to have what one member has.
pub const MAJORITY_PATIENCE_MILLIS: i32 = 60_000;
/// A catalogue is read so often until it stays the same.
pub const CATALOGUE_TRIES: u32 = 6;

/// A longer document stands in its collection's tree as chunks.
pub const DOCUMENT_INLINE_MAX_BYTES: usize = 256 * KIB;
/// Collections that are read at once. Of one that is larger than a batch there are batches on
/// their way (`SCAN_BATCHES_WAITING_MAX` and two in hand, 16 MiB each), a window or a sort, what
/// came late, and blocks in order for its tree, half a window each: so `LARGE_COLLECTIONS_AT_ONCE`
/// bounds memory to about 2 * 128 MiB.
pub const COLLECTIONS_AT_ONCE: usize = 4;
pub const LARGE_COLLECTIONS_AT_ONCE: usize = 2;
pub const SCAN_BATCHES_WAITING_MAX: usize = 1;
/// Documents that come nearly in the order of their keys are ordered in so much.
pub const DOCUMENT_WINDOW_BYTES: usize = 16 * MIB;
/// Others are sorted in so much, and beyond that on disk; those that come too late in half of it.
pub const DOCUMENT_SORT_BYTES: usize = 32 * MIB;
/// What was sorted goes to the tree in blocks of this size, and so many blocks wait for it.
pub const DOCUMENT_BLOCK_BYTES: usize = MIB;
pub const DOCUMENT_BLOCKS_WAITING_MAX: usize = 2;
/// A capture begins again, or scans again, at most so often.
pub const CAPTURE_TRIES: u32 = 5;

/// Pairs that a sort was given are cut into blocks of this size on disk.
pub const SORT_BLOCK_BYTES: usize = 256 * KIB;
/// No pair that is sorted is larger, key and value: a server's document fits.
pub const SORT_PAIR_MAX_BYTES: usize = 20 * MIB;
/// So many runs are merged at once: a block of each is in memory, and each is an open file.
pub const SORT_RUNS_MAX: usize = 64;

/// A restore into MongoDB writes with so many threads, so many documents or bytes a command. A
/// command may be a little longer than the longest document (16 MiB), and has room for one of it.
pub const RESTORE_WRITERS: usize = 4;
pub const RESTORE_BATCH_DOCUMENTS: usize = 1000;
pub const RESTORE_BATCH_BYTES: usize = 12 * MIB;
/// What a unique key stood against is tried again so often.
pub const RESTORE_ROUNDS_MAX: usize = 32;
/// Of what waits for that, so many bytes are kept; beyond that it fails at once. Of what failed so
/// many are told, and all counted.
pub const RESTORE_AGAIN_BYTES: usize = 64 * MIB;
pub const RESTORE_FAILURES_TOLD: usize = 16;
/// A server that changes its role or is away is waited for so long.
pub const RESTORE_PATIENCE_SECONDS: u64 = 60;
/// What a server lost that was killed after a restore wrote to it is written again so often.
pub const RESTORE_AGAIN_MAX: u32 = 3;
/// Live documents are sorted in so much memory, before they spill; longer ones stand there by
/// their hash.
pub const RESTORE_SORT_BYTES: usize = 256 * MIB;
pub const RESTORE_SORTED_MAX_BYTES: usize = MIB;
/// So many documents are looked up in one command.
pub const RESTORE_LOOKUP_DOCUMENTS: usize = 500;
/// Collections of no more documents are compared by looking them up, not by reading all there is.
pub const RESTORE_LOOKUP_MAX: u64 = 10_000;

const _: () = {
    assert!(DOCUMENT_INLINE_MAX_BYTES + KEY_MAX_BYTES < SORT_PAIR_MAX_BYTES);
    assert!(DOCUMENT_INLINE_MAX_BYTES < VALUE_HEAD_MAX_BYTES);
    assert!(RESTORE_BATCH_BYTES + MIB < BLOB_MAX_BYTES);
    assert!(RESTORE_SORTED_MAX_BYTES + KEY_MAX_BYTES + KIB < SORT_PAIR_MAX_BYTES);
    assert!(DOCUMENT_KEY_HEAD_BYTES + 33 < KEY_MAX_BYTES);
    assert!(ATTRIBUTES_MAX_BYTES < VALUE_HEAD_MAX_BYTES);
    assert!(CHUNK_MIN_BYTES < CHUNK_AIM_BYTES && CHUNK_AIM_BYTES < CHUNK_MAX_BYTES);
    assert!(CHUNK_AIM_BYTES.is_power_of_two());
    assert!(CHUNK_MAX_BYTES <= BLOB_MAX_BYTES);
    assert!(LEAF_MIN_BYTES < LEAF_AIM_BYTES && LEAF_AIM_BYTES < LEAF_MAX_BYTES);
    assert!(INNER_MIN_BYTES < INNER_AIM_BYTES && INNER_AIM_BYTES < INNER_MAX_BYTES);
    assert!(LEAF_MAX_BYTES + KEY_MAX_BYTES + VALUE_HEAD_MAX_BYTES <= BLOB_MAX_BYTES);
    assert!(PACK_AIM_MIN_BYTES <= PACK_AIM_BYTES && PACK_AIM_BYTES <= PACK_AIM_MAX_BYTES);
    assert!(DIRECT_STEP_BYTES.is_multiple_of(4096) && DIRECT_STEP_BYTES <= DIRECT_FROM_BYTES);
    assert!(PACK_AIM_MAX_BYTES + 2 * BLOB_MAX_BYTES < PACK_MAX_BYTES);
    assert!(SLOT_HEADER_MAX_BYTES <= u16::MAX as usize);
    assert!(INLINE_MAX_BYTES < LEAF_AIM_BYTES && INLINE_MAX_BYTES < CHUNK_MIN_BYTES);
    assert!(INDEX_SEGMENT_AIM_BYTES * 4 < CONTROL_MAX_BYTES);
    assert!(HEARTBEAT_SECONDS * 4 < LEASE_SECONDS);
};
