//! Every bound of this crate, with its unit in the name.

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
/// Operations of one transaction of an import; the vault takes 4096.
pub const IMPORT_OPERATIONS_MAX: usize = 4_000;
/// Profiles of one kind in a state directory.
pub const STATE_PROFILES_MAX: usize = 1_000;
