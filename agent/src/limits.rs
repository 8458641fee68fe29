//! Every bound of this crate, with its unit in the name. Reaching one is an error with a name of its own.

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
/// How long finding, reaching and greeting the provider's server may take, in seconds.
pub const LLM_CONNECT_SECONDS_MAX: u64 = 30;
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
/// Requests whose own figures are kept for one usage id; the sums go on.
pub const LLM_REQUEST_FIGURES_MAX: usize = 10_000;
