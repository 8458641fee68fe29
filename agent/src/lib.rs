//! Strongroom's agent side: JSON whose texts are wiped, children that get secrets and nothing else of ours, and
//! masking of all that comes back.

pub mod arena;
pub mod child;
pub mod inject;
pub mod isolate;
pub mod json;
pub mod limits;
pub mod redact;
