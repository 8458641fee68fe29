//! Every bound of the vault, with its unit in the name.

/// Longest namespace, in bytes of UTF-8.
pub const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest record name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest description, in bytes of UTF-8.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// Largest value, in bytes. redb takes more; a caller that needs more wants a file, not a vault.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most previous versions that can be kept of one record.
pub const HISTORY_VERSIONS_MAX: usize = 64;
/// Previous versions kept of one record unless told otherwise.
pub const HISTORY_VERSIONS_DEFAULT: usize = 4;
/// Most operations in one transaction. High, because an import of many secrets is one.
pub const TRANSACTION_OPERATIONS_MAX: usize = 65_536;
/// Most entries that one page of a list or a log holds.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// Most transactions that share one commit.
pub(crate) const COMMIT_JOBS_MAX: usize = 256;
/// Sealed bytes after which a commit takes no further transaction.
pub(crate) const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Changes that wait for one subscriber before the oldest are dropped and it is told so.
pub const CHANGES_WAITING_MAX: usize = 4096;
/// Memory that redb may use for its page cache, in bytes. Its pages hold sealed data only.
pub const STORE_CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Memory for values re-sealed under a key of the process, in bytes of ciphertext and names.
pub const VALUE_CACHE_BYTES_DEFAULT: usize = 4 * 1024 * 1024;
/// Largest value that the cache takes, in bytes.
pub(crate) const VALUE_CACHE_ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Unlock slots of one vault.
pub const SLOTS_MAX: usize = 32;
/// Largest slot file that is read, in bytes. A slot is some 300.
pub(crate) const SLOT_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Largest identity or key file that is read, in bytes.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// scrypt work factor (log2 of N) for keys that a machine keeps: about 0.1 s.
pub(crate) const WORK_FACTOR_MACHINE: u8 = 15;
/// scrypt work factor for passphrases that a person types: about 0.8 s.
pub(crate) const WORK_FACTOR_PERSON: u8 = 18;
/// Largest work factor that is tried on a slot: some 13 s and 4 GiB; beyond that a slot is an attack.
pub(crate) const WORK_FACTOR_MAX: u8 = 22;
/// A delete compacts the store at once when that is expected to take less than this, in milliseconds.
pub(crate) const COMPACT_IN_PLACE_MS_MAX: u64 = 10;
/// Quiet time after which a compaction that was put off is done, in milliseconds.
pub(crate) const COMPACT_IDLE_AFTER_MS: u64 = 2_000;
/// Longest text about who did something, in bytes of UTF-8. An entry stores its length in one byte.
pub const AUDIT_TEXT_BYTES_MAX: usize = 128;
/// What the audit trail may weigh before its oldest segments go, unless told otherwise, in bytes.
pub const AUDIT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// A read that was noted is on disk within this time, as long as the disk does its part, in milliseconds.
pub const AUDIT_DURABLE_WITHIN_MS: u64 = 100;
/// How long a noted read waits for others to go to disk with it, in milliseconds.
pub(crate) const AUDIT_FLUSH_AFTER_MS: u64 = AUDIT_DURABLE_WITHIN_MS / 2;
/// How long after a failure of the store noted reads are tried again, in milliseconds.
pub(crate) const AUDIT_RETRY_AFTER_MS: u64 = 1_000;
/// Entries that may wait for the disk, in bytes: some 15,000.
pub(crate) const AUDIT_WAITING_BYTES_MAX: usize = 1024 * 1024;
/// Different refusals that are looked through for one that is like the next, so that they are one entry.
pub(crate) const AUDIT_MERGED_ENTRIES_MAX: usize = 16;
/// Entries that are sealed together, in bytes; the last one may go beyond.
pub(crate) const AUDIT_SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Segments that one commit lets go, so that none takes long.
pub(crate) const AUDIT_SEGMENTS_DROPPED_MAX: usize = 1024;
/// What is opened for one page of the trail, in sealed bytes.
pub(crate) const AUDIT_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How far back the trail is looked through at a time for where a segment begins, in entries.
pub(crate) const AUDIT_LOOK_BACK_ENTRIES: u64 = 1024;
/// Freed memory that the C library may keep at the end of its heap, in bytes.
pub(crate) const HEAP_KEPT_BYTES: usize = 1024 * 1024;
