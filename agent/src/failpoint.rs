//! Places where a test makes the program panic. A build without debug assertions, as every release is, has none.

use std::fmt::Display;

/// The variable that names the place.
#[cfg(debug_assertions)]
const ARMED: &str = "STRONGROOM_TEST_PANIC";

/// Panics if a test wants it at `place`.
///
/// # Panics
/// As the test wants.
#[cfg(debug_assertions)]
pub fn reached(place: impl Display) {
    let armed = std::env::var_os(ARMED).is_some_and(|armed| *armed == *place.to_string());
    assert!(!armed, "the failpoint {place} was reached");
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub fn reached(_: impl Display) {}
