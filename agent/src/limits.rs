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

// Masking.

/// Longest value that can be masked, hence the longest that may be lent to anyone, in bytes.
pub const MASKED_VALUE_BYTES_MAX: usize = 1 << 20;
/// Patterns in one set (the shared base, or the values of one conversation); some 20 to 40 belong to a value.
pub const MASKED_PATTERNS_MAX: usize = 1 << 20;
/// Values replaced earlier that stay masked beside the current one, for each secret.
pub const MASKED_PREVIOUS_VALUES_MAX: usize = 16;
/// A spelling of twice this or more is looked for in pieces of this length, in bytes, the last one longer: a
/// stream need not hold back more than a piece, and a part of a long value is hidden too.
pub const MASKED_PIECE_BYTES: usize = 1024;
/// Shortest line of a multi-line value that is looked for by itself, in bytes.
pub const MASKED_LINE_BYTES_MIN: usize = 16;
/// Fewest different bytes in such a line: rulers and blanks stand in texts that are no secret.
pub const MASKED_LINE_DISTINCT_MIN: usize = 6;
/// Lines of one value that are looked for by themselves.
pub const MASKED_LINES_MAX: usize = 1024;
/// Patterns shorter than this are looked for at token boundaries only, in bytes.
pub const MASKED_ANYWHERE_BYTES_MIN: usize = 8;
/// Bytes of a candidate that an interactive terminal shows early, after quiet.
pub const MASKED_SHOWN_EARLY_BYTES_MAX: usize = 3;
/// A stream with a NUL among this many first bytes is binary (the rule of git), in bytes.
pub const BINARY_PROBE_BYTES: u64 = 8_000;
/// Input that is joined at a time to what a masked stream holds back, in bytes.
pub const MASKED_JOIN_BYTES: usize = 256;

// Lending and looking up secrets.

/// How often the follower of the vault's changes looks whether it is still wanted, in milliseconds.
pub const FOLLOW_LOOK_MS: u64 = 1000;
/// Changes of the vault that are learnt in one step.
pub const FOLLOW_BATCH_CHANGES_MAX: usize = 1024;
/// Records of one page when all secrets are learnt.
pub const LENDER_PAGE_RECORDS: usize = 1000;
/// Named sources of one conversation.
pub const SOURCES_MAX: usize = 1000;
/// Headers of one LookupSecret.
pub const LOOKUP_HEADERS_MAX: usize = 32;
/// Names and values of the headers of one LookupSecret together, in bytes.
pub const LOOKUP_HEADERS_BYTES_MAX: usize = 16 << 10;
/// URL of a LookupSecret, in bytes.
pub const LOOKUP_URL_BYTES_MAX: usize = 8 << 10;
/// What one LookupSecret may take from the first look at its address to the last byte, waiting included.
pub const LOOKUP_SECONDS_MAX: u64 = 30;
/// Largest value that is fetched, in bytes: what is longer could not be masked.
pub const LOOKUP_BYTES_MAX: usize = MASKED_VALUE_BYTES_MAX;
/// First buffer for a value whose length is not announced; doubled as needed.
pub const LOOKUP_FIRST_BYTES: usize = 4 << 10;
/// Redirects that one lookup follows.
pub const LOOKUP_REDIRECTS_MAX: usize = 5;
/// Lookups of foreign servers at once; further ones wait, at most [`LOOKUP_SECONDS_MAX`].
pub const LOOKUPS_AT_ONCE_MAX: usize = 64;

// Reaching other servers.

/// From the first try to connect to one address until the next is tried, in seconds.
pub const CONNECT_ADDRESS_SECONDS_MAX: u64 = 10;
/// Finding, reaching and greeting a server, in seconds.
pub const CONNECT_SECONDS_MAX: u64 = 30;
/// Addresses of one name that are tried.
pub const CONNECT_ADDRESSES_MAX: usize = 16;
/// Names that are looked up at once. Each takes a thread, which can't be called back.
pub const NAME_LOOKUPS_AT_ONCE_MAX: usize = 32;

// Settings, profiles, state directories.
/// Calls that wait for their turn to change settings.
pub const SETTINGS_CALLS_MAX: usize = 256;
/// LLM profiles that can be saved.
pub const LLM_PROFILES_MAX: usize = 50;
/// Agent profiles that can be saved.
pub const AGENT_PROFILES_MAX: usize = 50;
/// Meta profiles that can be saved.
pub const META_PROFILES_MAX: usize = 50;
/// Characters of a profile's name.
pub const PROFILE_NAME_CHARS_MAX: usize = 64;
/// Characters of a custom secret's name.
pub const SECRET_NAME_CHARS_MAX: usize = 64;
/// Bytes of one file of a state directory; the secrets of a large one are some ten megabytes.
pub const STATE_FILE_BYTES_MAX: usize = 256 << 20;
/// Profiles of one kind in a state directory.
pub const STATE_PROFILES_MAX: usize = 1_000;

// Talking to models.
/// Trying a model before it is saved, in seconds.
pub const LLM_TRIAL_SECONDS_MAX: u64 = 15;
/// Models that are tried at once.
pub const LLM_TRIALS_MAX: usize = 8;
/// Attempts at one answer, whatever the settings ask for.
pub const LLM_ATTEMPTS_MAX: u32 = 100;
/// How long one attempt may take unless the settings say otherwise, in seconds.
pub const LLM_TIMEOUT_SECONDS_DEFAULT: f64 = 300.0;
/// How long one attempt, or the silence of a stream, may take at most, in seconds.
pub const LLM_TIMEOUT_SECONDS_MAX: f64 = 3600.0;
/// How long one streamed answer may take as a whole, in seconds.
pub const LLM_STREAM_SECONDS_MAX: u64 = 4 * 3600;
/// Longest wait between two attempts that the settings can ask for, in seconds.
pub const LLM_WAIT_SECONDS_MAX: f64 = 3600.0;
/// Longest wait that is granted to a provider's `Retry-After`, in seconds.
pub const LLM_RETRY_AFTER_SECONDS_MAX: f64 = 300.0;
/// Largest answer, as it comes over the wire, streamed or whole, in bytes.
pub const LLM_REPLY_BYTES_MAX: usize = 64 << 20;
/// Largest single event of a streamed answer, in bytes.
pub const LLM_STREAM_EVENT_BYTES_MAX: usize = 16 << 20;
/// What is read of a provider's error, in bytes.
pub const LLM_ERROR_BYTES_MAX: usize = 64 << 10;
/// What is kept of a provider's error message, in characters.
pub const LLM_ERROR_CHARS_MAX: usize = 4000;
/// Tool calls in one answer.
pub const LLM_CALLS_MAX: usize = 256;
/// Blocks of thought in one answer.
pub const LLM_THOUGHTS_MAX: usize = 1024;
/// Largest API key or extra header, in bytes.
pub const LLM_HEADER_BYTES_MAX: usize = 16 << 10;
/// Extra headers that the settings can add to a request.
pub const LLM_EXTRA_HEADERS_MAX: usize = 64;
/// Longest model name, base URL or other word of the settings that goes to the wire, in bytes.
pub const LLM_WORD_BYTES_MAX: usize = 4096;
/// Requests whose own figures a conversation shows, the newest; the sums are of all.
pub const LLM_REQUEST_FIGURES_MAX: usize = 256;
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

// Running conversations.
/// Characters of an automatic title.
pub const TITLE_CHARS_MAX: usize = 50;
/// Characters of the first message that a title is made from.
pub const TITLE_SOURCE_CHARS_MAX: usize = 1_000;
/// How long an automatic title may take, in seconds.
pub const TITLE_SECONDS_MAX: u64 = 120;
/// Skills that one message brings up.
pub const SKILLS_ACTIVATED_MAX: usize = 20;
/// Events that are read from the log at a time when a history is made.
pub const HISTORY_PAGE_EVENTS: u64 = 500;
/// How long an interrupted tool may take to end before the conversation goes on without it, in milliseconds.
pub const TOOL_CANCEL_MS: u64 = 2_000;
/// A run that is over sooner may have ended before its client listened.
pub const SHORT_RUN_MS: u64 = 2_000;
/// Waits before the end of such a run is told again.
pub const END_TOLD_AGAIN_MS: [u64; 3] = [100, 400, 1_500];
/// How long a pause waits for the step that goes on, in seconds. The pause comes then, too.
pub const PAUSE_SECONDS_MAX: u64 = 20;
/// How long an interruption is waited for, in seconds.
pub const INTERRUPT_SECONDS_MAX: u64 = 5;

// Conversations.
/// Events of one conversation: what their ids can number.
pub const EVENTS_MAX: u64 = u32::MAX as u64 - 1;
/// One event as it is kept, in bytes. A message may be 32 MiB, and masking may lengthen it.
pub const EVENT_BYTES_MAX: usize = 64 << 20;
/// Subscribers of one conversation.
pub const SUBSCRIBERS_MAX: usize = 64;
/// Frames that wait for one subscriber; at one more it is dropped.
pub const SUBSCRIBER_FRAMES_MAX: usize = 1024;
/// What the frames that wait for one subscriber may hold together, a single one aside, in bytes.
pub const SUBSCRIBER_BYTES_MAX: usize = 8 << 20;
/// Events in one page of an answer.
pub const PAGE_EVENTS_MAX: usize = 100;
/// A page ends before the event with which it would hold more than this, its first aside, in bytes.
pub const PAGE_EVENTS_BYTES_MAX: usize = 16 << 20;
/// Events that one page with a filter looks at; then it ends, and the next begins there.
pub const PAGE_SCAN_EVENTS_MAX: u64 = 10_000;
/// The same in bytes.
pub const PAGE_SCAN_BYTES_MAX: usize = 256 << 20;
/// Conversations in memory.
pub const CONVERSATIONS_LOADED_MAX: usize = 1_024;
/// A conversation that nobody uses for so long leaves memory, and its shell ends.
pub const CONVERSATION_IDLE_SECONDS: u64 = 20 * 60;
/// How often it is looked for such ones, in seconds.
pub const CONVERSATION_LOOK_SECONDS: u64 = 60;
/// What is remembered of the logs of conversations that rest, in bytes, by the lengths of their texts.
pub const HISTORIES_BYTES_MAX: usize = 64 << 20;
/// What is remembered of a log is forgotten when no run needed it for so long, in seconds: an idle conversation is to take
/// little memory, and the log can be read again.
pub const HISTORY_IDLE_SECONDS: u64 = 60;
/// Log entries that the erasure of a conversation deletes in one step.
pub const ERASE_STEP_ENTRIES: u64 = 1_000;
/// What a server that stops waits for runs to end, in seconds.
pub const STOP_SECONDS_MAX: u64 = 5;
/// What `git init` may take in a new conversation's directory, in seconds.
pub const GIT_INIT_SECONDS_MAX: u64 = 10;
/// Conversations that one request may name.
pub const CONVERSATIONS_NAMED_MAX: usize = 99;
/// Conversations in one page of an answer.
pub const CONVERSATIONS_PAGE_MAX: usize = 100;
/// Characters of the summary that a call gets without one of its own.
pub const SUMMARY_CHARS_MAX: usize = 1_000;

// The workspace.
/// One path, in bytes; the kernel takes no longer one.
pub const PATH_BYTES_MAX: usize = 4096;
/// Commands that run at once.
pub const BASH_RUNNING_MAX: usize = 32;
/// Characters of standard output, or of standard error, in one event.
pub const BASH_EVENT_CHARS_MAX: usize = 1 << 20;
/// Events of commands that are kept. The oldest commands give way.
pub const BASH_EVENTS_MAX: usize = 10_000;
/// Text of all of them together, in bytes, what running commands have printed included. The oldest commands that
/// have ended give way; what finds no room then is left out, with a word about it.
pub const BASH_KEPT_BYTES_MAX: usize = 64 << 20;
/// How long a command may run that says nothing else, in seconds.
pub const BASH_TIMEOUT_SECONDS_DEFAULT: u64 = 300;
/// How long a command may run at most; a longer time is taken for this.
pub const BASH_TIMEOUT_SECONDS_MAX: u64 = 7 * 86_400;
/// How long a command that is told to end may take until it is killed.
pub const BASH_GRACE_MS: u64 = 1000;
/// The stack of the thread that watches a command.
pub const BASH_STACK_BYTES: usize = 256 << 10;
/// How long the end of all commands is waited for when the server stops.
pub const BASH_CLOSE_MS: u64 = 2000;
/// Largest page of events.
pub const BASH_PAGE_EVENTS_MAX: usize = 100;
/// How long one question to git may take, in seconds.
pub const GIT_SECONDS_MAX: u64 = 30;
/// What is read of the answer to one question to git, in bytes.
pub const GIT_ANSWER_BYTES_MAX: usize = 16 << 20;
/// The longest file whose difference is shown, in bytes.
pub const GIT_FILE_BYTES_MAX: u64 = 1 << 20;
/// Repositories right below a directory that are looked into.
pub const GIT_NESTED_MAX: usize = 64;
/// Filters that a repository may define; they are switched off one by one.
pub const GIT_FILTERS_MAX: usize = 256;

// MCP servers.
/// Servers of one conversation; further ones are not started.
pub const MCP_SERVERS_MAX: usize = 32;
/// One message of a server, in bytes.
pub const MCP_MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Messages to one server that wait: to be written, or for an answer.
pub const MCP_PENDING_MAX: usize = 16;
/// Lines of a server that are no message of the protocol; at one more it is given up.
pub const MCP_NOISE_LINES_MAX: usize = 1_000;
/// Pages of a server's list of tools.
pub const MCP_PAGES_MAX: usize = 32;
/// Tools of one server; further ones are not offered.
pub const MCP_TOOLS_MAX: usize = 256;
/// Description and schema of one tool, in bytes; a larger one is not offered.
pub const MCP_TOOL_BYTES_MAX: usize = 64 << 10;
/// The name of a tool, in bytes: what providers of models take.
pub const MCP_NAME_BYTES_MAX: usize = 64;
/// Places of a schema that a model is shown; beyond them anything goes.
pub const MCP_SCHEMA_PLACES_MAX: usize = 4_096;
/// How long a server may take to start and to list its tools, in seconds.
pub const MCP_START_SECONDS_MAX: u64 = 30;
/// A server that did not start is tried again by a run that begins so much later, in seconds.
pub const MCP_RETRY_SECONDS: u64 = 60;
/// How long one call may take whose server says nothing else, in seconds.
pub const MCP_CALL_SECONDS_DEFAULT: u64 = 300;
/// How long one call may take at most; a longer time is taken for this.
pub const MCP_CALL_SECONDS_MAX: u64 = 3_600;
/// How long a message that wants no answer may take to reach a server over HTTP, in seconds.
pub const MCP_TELL_SECONDS_MAX: u64 = 5;
/// How long a server that is told to end may take until it is killed, in milliseconds.
pub const MCP_GRACE_MS: u64 = 500;
/// Characters of a server's own message in an error.
pub const MCP_REASON_CHARS_MAX: usize = 2_000;
/// One line of a server's standard error in the log, in bytes.
pub const MCP_CHATTER_BYTES_MAX: usize = 1_000;
