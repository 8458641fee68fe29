//! Strongroom's agent side: what lies between a vault of secrets and the wire, and knows no wire.
//!
//! - [`settings`]: one typed document with its secrets marked, and what may be done to it; [`profiles`] beside it.
//! - [`openhands`]: the state directory of an OpenHands agent-server, read and written; [`fernet`]: its tokens.
//! - [`llm`]: asking models; the one part that is asynchronous and reaches the network.
//! - [`json`]: trees whose texts are wiped; [`limits`]: every bound.

pub mod fernet;
pub mod json;
pub mod limits;
pub mod llm;
pub mod openhands;
pub mod profiles;
pub mod settings;
