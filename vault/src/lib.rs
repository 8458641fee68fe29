//! Vault.
mod plaintext;
pub use plaintext::Plaintext;
