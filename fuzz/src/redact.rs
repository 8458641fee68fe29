//! Masking of a stream, cut in any way.

/// Values, a text made of them and cuts, all from the bytes: what comes out depends on the text alone.
pub fn redact(bytes: &[u8]) {
    strongroom_agent::redact::check_split(bytes);
}
