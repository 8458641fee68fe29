//! Every bound of this crate, the unit last. Reaching one is an error or a rule that has a name.

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
