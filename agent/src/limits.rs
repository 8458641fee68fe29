//! Every bound of this crate, with its unit in the name. Reaching one is an error with a name of its own.

// Starting children.
/// `NAME=value` of one variable, without its NUL: the kernel takes no longer string (`MAX_ARG_STRLEN`).
pub const ENV_ENTRY_BYTES_MAX: usize = 131_071;
/// All variables of one child together: the kernel takes no more than this, whatever the stack limit is.
pub const ENV_BLOCK_BYTES_MAX: usize = 6 << 20;
/// Locked memory is taken in pieces of this many bytes, or more where one variable needs more.
pub const ARENA_CHUNK_BYTES: usize = 16 << 10;
/// The stack on which a new child runs until it has become its program.
pub const CHILD_STACK_BYTES: usize = 64 << 10;
/// Descriptors that one child may be handed beyond its three streams.
pub const HANDED_FDS_MAX: usize = 64;
/// On a kernel that cannot close a range of descriptors, closing more than these one by one is refused.
pub const CLOSED_FDS_MAX: i32 = 1 << 16;
/// A pipe takes this much without a reader: what is longer is fed by a thread.
pub const PIPE_FREE_BYTES: usize = 4096;
/// Output is moved from a child in pieces of at most this many bytes.
pub const OUTPUT_CHUNK_BYTES: usize = 16 << 10;
/// What may still be read from the pipes of a child that has ended (others may hold them open for ever).
pub const OUTPUT_REST_BYTES_MAX: usize = 1 << 20;
/// How often a child is looked at where the system cannot announce its end.
pub const CHILD_POLL_MS: u64 = 20;
/// How long a dropped child is waited for after it was killed.
pub const REAP_WAIT_MS: u64 = 1000;
/// Ancestors that are looked at for a peer's descent; a longer chain counts as ours.
pub const DESCENT_STEPS_MAX: usize = 1024;
/// Files of `/proc` are read up to this many bytes.
pub const PROC_FILE_BYTES_MAX: u64 = 4 << 20;
/// Places that one cover may hide, aliases included.
pub const COVERED_PLACES_MAX: usize = 256;
