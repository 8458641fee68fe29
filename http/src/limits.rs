//! Every bound of the wire, with its unit in the name. Reaching one gives an answer that says so.

/// Connections served at once; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections that the kernel may queue before they are accepted; it has a bound of its own. One that finds
/// no place tries again after a second.
pub const BACKLOG_CONNECTIONS: u32 = 4096;
/// Wait after the process or the system ran out of descriptors, before accepting again.
pub const ACCEPT_PAUSE_MS: u64 = 200;
/// Least time between two log lines about refused accepts.
pub const ACCEPT_LOG_SECONDS: u64 = 10;

/// Request line and headers together. hyper answers 431 beyond it.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// From the first byte of a request (or the start of the connection) to the end of its headers.
pub const HEADER_SECONDS_MAX: u64 = 10;
/// An open connection without a request after the first one.
pub const IDLE_SECONDS_MAX: u64 = 75;
/// A response of which the client takes no byte.
pub const WRITE_SILENCE_SECONDS_MAX: u64 = 30;
/// One read from a socket. Below hyper's first buffer of 8 KiB, so that the buffer never grows for a body
/// and an idle connection keeps its size.
pub const READ_BYTES_MAX: usize = 8 * 1024 - 1;
/// After a response that leaves part of the request unread: how long, and how much, is read and thrown away
/// so that the client sees the answer instead of a reset.
pub const LINGER_MS: u64 = 1_000;
/// See [`LINGER_MS`].
pub const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A message from a websocket's client.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Raw bytes of a websocket that are read at once, and all that an idle one keeps.
pub const FRAME_ROOM_BYTES: usize = 2 * 1024;
/// From the handshake of a websocket to its session key, where one is needed.
pub const SOCKET_KEY_SECONDS_MAX: u64 = 10;
/// A websocket from which nothing was heard is asked whether it is there.
pub const PING_SECONDS: u64 = 20;
/// And is given up when it says nothing for so long.
pub const SOCKET_SILENCE_SECONDS_MAX: u64 = 60;
/// Wait for the other side's end of a websocket that was closed.
pub const CLOSE_SECONDS_MAX: u64 = 2;

/// Body of a request to the secrets routes.
pub const SECRET_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Body of a request to the settings and profile routes.
pub const SETTINGS_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Body of a request that begins a conversation or says something in one: images are in it.
pub const CONVERSATION_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Parameters of a query.
pub const QUERY_PAIRS_MAX: usize = 256;
/// Items of one page.
pub const PAGE_ITEMS_MAX: usize = 100;
/// Conversations that are asked for by their ids at once.
pub const BATCH_IDS_MAX: usize = 99;
/// A pause in the middle of a request body.
pub const BODY_SILENCE_SECONDS_MAX: u64 = 30;
/// A whole request body, however steadily it trickles.
pub const BODY_SECONDS_MAX: u64 = 300;
/// First buffer for a body that does not announce its length; doubled as needed.
pub const BODY_FIRST_BYTES: usize = 8 * 1024;
/// All request bodies in memory together, in units of a KiB; further ones wait.
pub const BODIES_KIB_MAX: usize = 64 * 1024;
/// Wait for room in [`BODIES_KIB_MAX`].
pub const BODIES_WAIT_SECONDS_MAX: u64 = 30;

/// Body of a request that commands a conversation or the workspace.
pub const COMMAND_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What is gathered of an upload before it is written to the disk.
pub const UPLOAD_BATCH_BYTES: usize = 256 * 1024;
/// What is read of a file at a time on its way to a client.
pub const DOWNLOAD_PIECE_BYTES: usize = 128 * 1024;
/// Headers of one part of a form.
pub const MULTIPART_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Parts of one form.
pub const MULTIPART_PARTS_MAX: usize = 16;
/// The boundary between the parts of a form.
pub const MULTIPART_BOUNDARY_BYTES_MAX: usize = 200;

/// A secret's value.
pub const SECRET_BYTES_MAX: usize = 1024 * 1024;
/// A secret's description.
pub const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;
/// A body up to this size is parsed in place: a larger one would keep other requests waiting for milliseconds.
pub const PARSE_IN_PLACE_BYTES_MAX: usize = 64 * 1024;
/// A sealed value up to this size is opened in place: a hop to the pool costs more than the work.
pub const OPEN_IN_PLACE_BYTES_MAX: usize = 64 * 1024 + 512;
/// Records of a list that are read in place; a longer list goes on in the pool.
pub const LIST_IN_PLACE_RECORDS: usize = 32;
/// Records of one page of a long list.
pub const LIST_PAGE_RECORDS: usize = 1_000;

/// Threads for what blocks or takes long.
pub const POOL_THREADS_MAX: usize = 80;
/// Those of them that may write at once, and so share one commit. The others compute, one per core at most.
pub const POOL_WRITES_MAX: usize = 64;
/// Of them, for the one that changes the settings for all.
pub const POOL_LEADERS: usize = 1;
/// An idle thread of the pool ends after this time.
pub const POOL_IDLE_SECONDS: u64 = 10;
/// Wait for a free thread of the pool.
pub const POOL_WAIT_SECONDS_MAX: u64 = 30;

/// From SIGTERM to the end, with requests in flight.
pub const SHUTDOWN_SECONDS_MAX: u64 = 5;

/// Entries of a numbered variable such as `OH_SESSION_API_KEYS_0`.
pub const NUMBERED_VARIABLES_MAX: usize = 64;
/// The configuration file.
pub const CONFIG_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Fields without effect that are told by name.
pub const CONFIG_NOTES_MAX: usize = 20;
/// A log file, before it is put aside for a new one.
pub const LOG_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Log files that were put aside and are kept.
pub const LOG_FILES_KEPT: usize = 7;
/// Compiled size of the expression for allowed origins.
pub const ORIGIN_REGEX_BYTES_MAX: usize = 256 * 1024;

/// An answer that a command reads: a list of all secrets, or a value.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The pipe between a command and the server in its own process.
pub const PIPE_BYTES: usize = 64 * 1024;

/// Output of a command that is read at once by `run`.
pub const RUN_READ_BYTES: usize = 16 * 1024;
/// Output that is written at once: what a pipe with any room takes without blocking (`PIPE_BUF` of Linux).
pub const RUN_WRITE_BYTES: usize = 4096;
/// Keys that are read at once.
pub const RUN_TYPED_BYTES: usize = 1024;
/// Quiet on a terminal after which the first bytes of what could become a secret are shown.
pub const RUN_QUIET_MS: i64 = 50;
/// How often a command is looked at where the system can't announce its end.
pub const RUN_POLL_MS: i64 = 20;
/// What is still read of outputs that others hold open after the command's end.
pub const RUN_REST_BYTES_MAX: usize = 1024 * 1024;
/// Largest size that the audit trail may be given, in MiB.
pub const AUDIT_MIB_MAX: u64 = 16 * 1024;
/// Entries of the audit trail in one answer.
pub const AUDIT_PAGE_ENTRIES: usize = 1_000;
