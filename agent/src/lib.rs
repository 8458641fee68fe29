//! Strongroom's agent side: settings and profiles, named secrets, children that get secrets and nothing else of
//! ours, and masking of all that comes back.

pub mod arena;
pub mod child;
pub mod fernet;
pub mod inject;
pub mod isolate;
pub mod json;
pub mod lender;
pub mod limits;
pub mod lookup;
pub mod net;
pub mod openhands;
pub mod profiles;
pub mod redact;
pub mod secrets;
pub mod settings;
pub mod source;
