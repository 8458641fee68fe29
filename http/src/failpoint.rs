//! Places where a test makes this program panic. A build without debug assertions, as every release is, has none.

/// The variable that names the place.
#[cfg(debug_assertions)]
const ARMED: &str = "STRONGROOM_TEST_PANIC";

/// Panics if a test wants it at `place`.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &str) {
    let armed = std::env::var_os(ARMED).is_some_and(|armed| armed == place);
    assert!(!armed, "the failpoint {place} was reached");
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reached(_: &str) {}
