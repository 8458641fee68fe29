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

// Tools.
/// What a call of the terminal shows of its output; the rest is left out in the middle.
pub const TERMINAL_OUTPUT_CHARS_MAX: usize = 30_000;
/// What is kept of output that background jobs print between two commands: its end.
pub const TERMINAL_BETWEEN_CHARS_MAX: usize = 2_000;
/// Output for which one call waits; a command that prints more goes on, but has to be asked again.
pub const TERMINAL_CALL_BYTES_MAX: u64 = 256 << 20;
/// Output that is read while no call waits. Then reading stops, and so does the program that prints, until the next call.
pub const TERMINAL_UNATTENDED_BYTES_MAX: u64 = 64 << 20;
/// Output is read from the terminal in pieces of at most this many bytes.
pub const TERMINAL_CHUNK_BYTES: usize = 16 << 10;
/// A line longer than this is passed on in parts, and can no longer be overwritten by what follows.
pub const TERMINAL_LINE_CHARS_MAX: usize = 16 << 10;
/// A control sequence longer than this is taken for text that lost its beginning.
pub const TERMINAL_SEQUENCE_CHARS_MAX: usize = 4096;
/// A shell's report (its directory and `PATH`) longer than this is not recognised.
pub const TERMINAL_REPORT_BYTES_MAX: usize = 256 << 10;
/// One command, in bytes.
pub const TERMINAL_COMMAND_BYTES_MAX: usize = 1 << 20;
/// Input to a running program, in bytes.
pub const TERMINAL_INPUT_BYTES_MAX: usize = 64 << 10;
/// How long a call without a timeout waits for new output.
pub const TERMINAL_QUIET_MS: u64 = 30_000;
/// How long a call without a timeout waits at all.
pub const TERMINAL_WAIT_S_MAX: u64 = 3600;
/// The longest timeout; a longer one is taken for this.
pub const TERMINAL_TIMEOUT_S_MAX: f64 = 86_400.0;
/// How long a shell may take to start, the user's own start-up file included.
pub const TERMINAL_START_MS: u64 = 10_000;
/// How long an idle shell may take to accept a command or a secret, and a program its input.
pub const TERMINAL_ACCEPT_MS: u64 = 5_000;
/// How long an interrupted command may take to end before its shell is replaced.
pub const TERMINAL_INTERRUPT_MS: u64 = 2_000;
/// How long a cancelled call may still take to end its command.
pub const TERMINAL_CANCEL_MS: u64 = 200;
/// What a terminal claims to be.
pub const TERMINAL_COLUMNS: u16 = 256;
/// What a terminal claims to be.
pub const TERMINAL_ROWS: u16 = 50;
/// The stack of the thread that reads a terminal.
pub const TERMINAL_STACK_BYTES: usize = 256 << 10;
/// The longest file that is viewed or edited.
pub const EDITED_FILE_BYTES_MAX: u64 = 10 << 20;
/// The longest image that is shown.
pub const SHOWN_IMAGE_BYTES_MAX: u64 = 8 << 20;
/// What one view of a file shows of its text.
pub const VIEW_CHARS_MAX: usize = 16_000;
/// What one view of a directory lists.
pub const VIEW_ENTRIES_MAX: usize = 1_000;
/// Changes of files that can be undone, over all files of a conversation.
pub const UNDO_CHANGES_MAX: usize = 500;
/// Text that is kept for that.
pub const UNDO_BYTES_MAX: usize = 512 << 10;
/// Tasks in a list.
pub const TASKS_MAX: usize = 1_000;
