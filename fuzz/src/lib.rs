//! The fuzz targets as plain functions over bytes: libFuzzer calls them, and so does the smoke test.
//!
//! A target panics when something is wrong and returns otherwise, whatever the bytes. An input that made one
//! panic is kept as a file in `corpus/TARGET/`.

mod body;
mod input;
mod record;
mod redact;
mod router;
mod store;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

pub use body::body;
pub use record::record;
pub use redact::redact;
pub use router::router;
pub use store::store;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("record", record),
    ("store", store),
    ("router", router),
    ("body", body),
    ("redact", redact),
];

/// Fails on some inputs, so that a test can see that failures are seen.
pub fn canary(bytes: &[u8]) {
    assert!(bytes.iter().all(|byte| *byte != b'!'), "the canary sings");
}

/// The program of one target.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::$name(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for file in std::env::args_os().skip(1) {
                $crate::$name(&std::fs::read(file)?);
            }
            Ok(())
        }
    };
}
