//! Strongroom agent.

pub mod limits;
pub mod redact;
