//! Strongroom's agent side: JSON whose texts are wiped, children that get secrets and nothing else of ours, and
//! masking of all that comes back.

pub mod arena;
pub mod child;
pub mod inject;
pub mod isolate;
pub mod json;
pub mod lender;
pub mod limits;
pub mod lookup;
pub mod net;
pub mod redact;
pub mod secrets;
pub mod source;
